"""The stores that one command works on, each opened once."""

from __future__ import annotations

import errno
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...storage.devices.local_device import LocalDevice
from ...storage.devices.striped_device import open_member
from ...storage.files.file_error import FileError
from ...storage.files.files import Files
from ...storage.files.path import join, names_of, parent_of
from ...storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from ...storage.files.files_snapshot import FilesSnapshot
    from .place import Place


class Stores:
    """Open stores, by their directories; closed at the end of the `with` block.

    Files need no SQL, and the kernel takes a second to load: only the storage is opened. What a
    database does in the background is left to those who have one open, but for checkpoints, without
    which a store would take ever longer to open.

    Args:
        written: Places that are changed: their stores are opened for writing, and created.
    """

    def __init__(self, written: Iterable[Place] = ()) -> None:
        self._open: dict[str, Files] = {}
        self._writable = {_real(place) for place in written if place.store is not None}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for files in self._open.values():
            files.close()
            if kind is None and not files.store.read_only and files.store.checkpoint_due:
                files.store.checkpoint()
            files.store.close()

    def files(self, place: Place) -> Files:
        """The files of a place's store.

        Raises:
            NotAStore: It is none, or none was made there yet.
        """
        real = _real(place)
        if real not in self._open:
            writable = real in self._writable
            root = Path(real)
            device = open_member(root, create=writable) or LocalDevice(root, create=writable)
            try:
                self._open[real] = Files(Store(device, read_only=not writable))
            except BaseException:
                device.close()
                raise
        return self._open[real]

    def directory(self, place: Place) -> bytes:
        """Where a place's store lies."""
        return _real(place).encode("utf-8", "surrogateescape")

    def same(self, one: Place, other: Place) -> bool:
        """Tell whether two places are in one store."""
        return None not in {one.store, other.store} and _real(one) == _real(other)

    def interrupt(self) -> None:
        """Do nothing: the work looks whether it was cancelled."""


def _real(place: Place) -> str:
    assert place.store is not None
    return str(Path(place.store).expanduser().resolve())


def expanded(names: FilesSnapshot, place: Place) -> list[Place]:
    """Return what a place stands for: itself, or what matches it as a pattern.

    `*`, `?` and `[…]` match within a name. A place that exists by its very name is no pattern.

    Returns:
        Places that exist, by paths without links before their last names.

    Raises:
        FileError: There is none, or nothing matches.
    """
    if names.find(place.path) is not None:
        return [place]
    if not place.wild:
        parent, name = parent_of(place.path)
        direct = replace(place, path=join(names.resolve(parent).path, name))
        names.get(direct.path)
        return [direct]
    found = ["/"]
    for pattern in names_of(place.path):
        deeper: list[str] = []
        for path in found:
            directory = names.find(path)
            if directory is None or not directory.is_directory:
                continue
            if not any(sign in pattern for sign in "*?["):
                if names.child(directory.handle, pattern) is not None:
                    deeper.append(join(path, pattern))
                continue
            deeper += [
                join(path, child.name)
                for child in names.children(directory.handle)
                if fnmatchcase(child.name, pattern)
                # As in shells: hidden names are matched by patterns that say so.
                and (pattern.startswith(".") or not child.name.startswith("."))
            ]
        found = deeper
    if not found:
        raise FileError(errno.ENOENT, place.written)
    return [place.at(path) for path in found]
