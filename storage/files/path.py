"""Paths of elements: absolute, with `/` between names, `/` for the root."""

from __future__ import annotations

import errno

from .file_error import FileError
from .name import exact_bytes, require_name

PATH_BYTES_MAX = 4096
"""Longest path, as POSIX programs expect it."""


def names_of(path: str) -> tuple[str, ...]:
    """Split a path into names; none for the root. Doubled and trailing slashes do not count.

    Raises:
        FileError: EINVAL where it is not absolute or has a name that none can have,
            ENAMETOOLONG where it or a name is too long.
    """
    if not path.startswith("/"):
        raise FileError(errno.EINVAL, path)
    if len(path) * 4 > PATH_BYTES_MAX and len(exact_bytes(path)) > PATH_BYTES_MAX:
        raise FileError(errno.ENAMETOOLONG, path)
    return tuple(require_name(name) for name in path.split("/") if name)


def join(parent_path: str, name: str) -> str:
    """The path of a name in a directory; that of the root, whose name and parent are empty."""
    if parent_path == "/":
        return f"/{name}"
    return f"{parent_path}/{name}"


def parent_of(path: str) -> tuple[str, str]:
    """Split a normal path into that of its parent and its name; of the root both are empty."""
    if path == "/":
        return "", ""
    parent, _, name = path.rpartition("/")
    return parent or "/", name


def normal(path: str) -> str:
    """A path in the form that rows have.

    Raises:
        FileError: See `names_of`.
    """
    return "/" + "/".join(names_of(path))


def prefix_of(path: str) -> str:
    """What paths of all elements below a directory begin with."""
    return "/" if path == "/" else f"{path}/"
