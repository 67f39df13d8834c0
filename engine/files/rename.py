"""UPDATE files SET path = …: renames of any number of elements, as if all happened at once.

An UPDATE that gives every row below a directory the path that it has by the directory's rename
says the same thing many times: it becomes one rename. Names that are exchanged, or handed on from
one row to the next, are parked in between.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest
from ...sql.tokens import literal
from ...storage.files.definition import DIRECTORY, ROOT_HANDLE
from ...storage.files.file_error import FileError
from ...storage.files.path import join, parent_of
from ...storage.files.renaming import Rename
from .parents import MakeParents
from .place import shown, usual_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...storage.files.namespace import Place

_PARKED: Final = ".pagelake-renamed-"


@dataclass(frozen=True, slots=True)
class Renaming:
    """What a row is to be called.

    Attributes:
        handle: The element.
        parent_handle: Its directory.
        path: Its path.
        element_type: What it is.
        new_path: Its path from now on, as the statement says it.
    """

    handle: int
    parent_handle: int
    path: str
    element_type: str
    new_path: str | None

    @property
    def place(self) -> Place:
        """Its name, before anything is renamed."""
        return self.parent_handle, parent_of(self.path)[1]


def rename_all(renamings: Sequence[Renaming], token: str) -> list[Rename | MakeParents]:
    """The operations that rename elements.

    Args:
        renamings: The elements, each once.
        token: Text for names that are used in between, and that nobody has.

    Raises:
        FileError: A path can be none.
        InvalidRequest: A path is NULL, or no absolute one; two elements are to have the same.
    """
    wanted = _wanted(renamings)
    explicit = _explicit(renamings, wanted)
    moving = {renaming.path for renaming in explicit}
    operations: list[Rename | MakeParents] = []
    ordered: list[tuple[bool, int, str, Place]] = []
    for renaming in explicit:
        path, place = wanted[renaming.handle], renaming.place
        # Its new name, or a directory on the way, is another one's that goes away.
        is_parked = any(above in moving for above in _upwards(path))
        if is_parked:
            place = ROOT_HANDLE, f"{_PARKED}{token}-{renaming.handle}"
            operations.append(Rename(renaming.place, place))
        ordered.append((is_parked, path.count("/"), path, place))
    made: set[str] = {"/"}
    for _, _, path, place in sorted(ordered, key=lambda item: item[:3]):
        parent = parent_of(path)[0]
        if parent not in made:
            operations.append(MakeParents(path))
            made.add(parent)
        operations.append(Rename(place, path, no_replace=True))
    return operations


def _upwards(path: str) -> Iterator[str]:
    """A path, and those of the directories above it, the root left out."""
    while path != "/":
        yield path
        path = parent_of(path)[0]


def _wanted(renamings: Sequence[Renaming]) -> dict[int, str]:
    """The new path of each element, in the form that rows have."""
    wanted: dict[int, str] = {}
    owners: dict[str, str] = {}
    for renaming in renamings:
        if renaming.new_path is None:
            raise InvalidRequest(f"{_told(renaming.path)}: the path of a file cannot be NULL")
        path = usual_path(renaming.new_path)
        if renaming.new_path.endswith("/") and renaming.element_type != DIRECTORY:
            raise InvalidRequest(
                f"{_told(renaming.new_path)} ends with a slash, as only a directory's path can",
                hint="leave the slash out",
            )
        if path in owners:
            raise InvalidRequest(
                f"{_told(owners[path])} and {_told(renaming.path)} cannot both become {_told(path)}"
            )
        owners[path] = renaming.path
        if renaming.handle == ROOT_HANDLE and path != "/":
            raise InvalidRequest("the root directory cannot be renamed")
        if path.startswith(f"{renaming.path}/") and renaming.element_type == DIRECTORY:
            raise FileError(errno.EINVAL, renaming.path)
        wanted[renaming.handle] = path
    return wanted


def _explicit(renamings: Sequence[Renaming], wanted: dict[int, str]) -> list[Renaming]:
    """Those that do not follow from the renaming of a directory above, in order of depth."""
    explicit: list[Renaming] = []
    becomes: dict[str, str] = {"/": "/"}
    """Paths of directories, by what they were, after what is known to be renamed so far."""

    def now(path: str) -> str:
        if path not in becomes:
            parent, name = parent_of(path)
            becomes[path] = join(now(parent), name)
        return becomes[path]

    for renaming in sorted(renamings, key=lambda r: (r.path != "/", r.path.count("/"))):
        if renaming.handle == ROOT_HANDLE:
            continue
        new_path = wanted[renaming.handle]
        parent, name = parent_of(renaming.path)
        if join(now(parent), name) != new_path:
            explicit.append(renaming)
        if renaming.element_type == DIRECTORY:
            becomes[renaming.path] = new_path
    return explicit


def _told(path: str) -> str:
    return literal(shown(path))
