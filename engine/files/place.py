"""What a user writes for a place in the store, as a path; and refusals in words of SQL."""

from __future__ import annotations

import errno
from typing import Final

from ...errors import InvalidRequest
from ...sql.file_urls import SCHEME
from ...sql.tokens import literal
from ...storage.files.file_error import FileError
from ...storage.files.name import NAME_BYTES_MAX
from ...storage.files.path import normal

_TOLD: Final = {
    errno.EEXIST: ("there is something at {} already", "DELETE it first, or UPDATE it"),
    errno.ENOENT: ("there is no file or directory {}", None),
    errno.ENOTDIR: ("a part of {} is a file and no directory", None),
    errno.EISDIR: ("{} is a directory, and has no content", None),
    errno.ENOTEMPTY: ("the directory {} is not empty", "delete what lies below it as well"),
    errno.ENAMETOOLONG: (
        "{} is too long: a name has at most 255 bytes, a path at most 4,096",
        None,
    ),
    errno.ELOOP: ("the symbolic links at {} lead in a circle", None),
}


def stored_path(given: str) -> str:
    """The path that a path or URL means.

    Raises:
        InvalidRequest: It is not absolute.
    """
    path = given
    if given.startswith(SCHEME):
        path = "/" + given.removeprefix(SCHEME).lstrip("/")
    if not path.startswith("/"):
        raise InvalidRequest(
            f"{literal(shown(given))} is no path of the store: paths begin with /",
            hint=f"write {literal('/' + shown(given))}" if given else "the root is '/'",
        )
    return path


def usual_path(given: str) -> str:
    """The path that a path or URL means, in the form that rows have.

    Raises:
        FileError: It can be none.
        InvalidRequest: It is not absolute.
    """
    if _is_usual(given):
        return given
    path = stored_path(given)
    try:
        return normal(path)
    except FileError as error:
        # What is refused is one name of it; who reads the refusal has written the whole.
        raise told(FileError(error.errno, path)) from error


def _is_usual(path: str) -> bool:
    """Tell of most paths, in a fraction of the time, that they are in that form already."""
    return (
        len(path) <= NAME_BYTES_MAX
        and path.isascii()
        and path[:1] == "/"
        and path[-1:] != "/"
        and "//" not in path
        and "/." not in path
        and "\0" not in path
    )


def told(error: FileError, path: str = "") -> FileError:
    """Give a refusal the words of somebody who writes SQL; its number stays.

    Args:
        error: The refusal.
        path: What it is about, where it does not say.
    """
    about = str(error.path or path)
    text, hint = _TOLD.get(error.errno or 0, (None, None))
    if error.errno == errno.EINVAL:
        text, hint = _invalid(about)
    if text is not None:
        error.message = text.format(literal(shown(about)))
        error.hint = hint or error.hint
    return error


def _invalid(path: str) -> tuple[str | None, str | None]:
    """What is wrong with a name or path that cannot be one."""
    names = path.split("/")
    if "\0" in path:
        return "{} holds a NUL, which no name can", None
    if ".." in names or "." in names:
        return "{} holds the name . or .., which stands for another directory", (
            "write the path without it"
        )
    if not path.strip("/"):
        return "{} is no name of a file", None
    return "{} cannot be moved to a place below itself", None


def shown(path: str) -> str:
    """A path as it can be shown: without control characters, and no longer than a line."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)
    return plain if len(plain) <= 120 else f"{plain[:100]}…{plain[-10:]}"
