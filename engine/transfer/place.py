"""Where something is: a local path, or a path in a store written `STORE:/path`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Final

from ...errors import InvalidRequest
from ...storage.files.file_error import FileError
from ...storage.files.name import bytes_of
from ...storage.files.path import join, names_of, parent_of

LOCAL_PREFIX: Final = "file://"
STANDARD_STREAM: Final = "-"
_STORE: Final = re.compile(r"(.+?):(/.*|$)", re.DOTALL)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FORGOTTEN_SLASH: Final = re.compile(r"([^/:]+):(.+)", re.DOTALL)
_WILD: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Place:
    """A path on the command line.

    Attributes:
        written: As it was written.
        store: Directory of the store that it is in; None for a local path.
        path: In a store: absolute and normal. Local: as `os.fsdecode` gives it.
        into: Whether it ends in `/`, and so is a directory to put things into.
        inside: Whether it ends in `/.`: what is in a directory, without the directory itself.
    """

    written: str
    store: str | None
    path: str
    into: bool
    inside: bool = False

    @property
    def local(self) -> bytes:
        """The local path."""
        assert self.store is None
        return os.fsencode(self.path)

    @property
    def name(self) -> str:
        """What a copy is called in a directory, as names of stores are.

        Empty for a root, and for what is in a directory: the copy is the directory then.
        """
        if self.inside:
            return ""
        if self.store is not None:
            return parent_of(self.path)[1]
        name = os.path.basename(os.path.abspath(self.local))
        return local_name(name)

    @property
    def wild(self) -> bool:
        """Whether it may be a pattern."""
        return self.store is not None and _WILD.search(self.path) is not None

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input or output."""
        return self.written == STANDARD_STREAM

    def at(self, path: str) -> Place:
        """Another path in the same store."""
        return replace(self, path=path, written=f"{self.store}:{path}")

    def below(self, name: str) -> Place:
        """What has a name, as names of stores are, in this directory."""
        if self.store is not None:
            return self.at(join(self.path, name))
        path = os.path.join(self.local, bytes_of(name))
        return Place(os.fsdecode(path), None, os.fsdecode(path), into=False)


def local_name(name: bytes) -> str:
    """Return a local name as names of stores are."""
    from ...storage.files.name import text_of

    return text_of(name)


def parse_place(written: str) -> Place:
    """Read a path from the command line.

    What follows the first `:/` (or a colon at the end) is a path in the store named before it. A
    local path with such a place in it is written behind `file://`.

    Raises:
        InvalidRequest: It is empty, of another system, or in doubt; the hint says what to write.
    """
    if written.startswith(LOCAL_PREFIX):
        return _local(written, written.removeprefix(LOCAL_PREFIX))
    if url := _URL.match(written):
        raise InvalidRequest(
            f"{url[0]} is neither a store nor a local directory: {written}",
            hint="a path in a store is written STORE:/path",
        )
    found = _STORE.fullmatch(written)
    if found is None:
        doubtful = _FORGOTTEN_SLASH.fullmatch(written)
        if doubtful is not None:
            raise InvalidRequest(
                f"is this in a store, or local? {written}",
                hint=f"write {doubtful[1]}:/{doubtful[2]} or {LOCAL_PREFIX}{written}",
            )
        return _local(written, written)
    store, path = found[1], found[2]
    try:
        names = names_of("/" + "/".join(part for part in path.split("/") if part != "."))
    except FileError as error:
        raise InvalidRequest(
            f"{os.strerror(error.errno)}: {written}",
            hint="paths in stores are without '..', names of at most 255 bytes",
        ) from error
    into, inside = not path or path.endswith("/"), path.endswith("/.")
    return Place(written, store, "/" + "/".join(names), into, inside)


def _local(written: str, path: str) -> Place:
    if not path or "\0" in path:
        raise InvalidRequest("a path is empty, or has a NUL in it")
    inside = path == "." or path.endswith("/.")
    return Place(written, None, path, path.endswith("/"), inside)


def require_store(written: str) -> Place:
    """Read a path that must be in a store.

    Raises:
        InvalidRequest: It is local, or no path.
    """
    place = parse_place(written)
    if place.store is None:
        raise InvalidRequest(
            f"not in a store: {written}", hint="a path in a store is written STORE:/path"
        )
    return place
