"""The directory of hot segments: derived native copies of row groups, disposable at any time.

A hot segment is a file of the SQL kernel that holds some row groups of one table, rows in
order, so that position ``n`` of the file is row ``n`` of the row groups laid end to end. Its
name tells what it covers, the kernel that wrote it and its size; nothing else needs to be
recorded or agreed on, and deleting the folder loses nothing but speed::

    hot/<table id>-<hash of columns and row groups>-<kernel>-<bytes>.duckdb

Several processes may build the same segment; the first link wins and the rest are dropped.
Names and content: docs/format/hot-segment.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .devices.device import Device
    from .effects import RowGroup, TableDefinition

FOLDER = "hot"
_SUFFIX = ".duckdb"


@dataclass(frozen=True, slots=True)
class HotFile:
    """A hot segment that lies in the directory.

    Attributes:
        name: File name.
        table: Table id.
        cover: Hash of the columns and row groups it holds.
        kernel: Version of the kernel that wrote it.
        bytes: Size that the file must have.
    """

    name: str
    table: str
    cover: str
    kernel: str
    bytes: int


def cover_hash(
    definition: TableDefinition,
    groups: Sequence[RowGroup],
    folded: Mapping[str, int],
    rebased: int = 0,
) -> str:
    """Identify the content of a hot segment: these columns of these row groups.

    Args:
        definition: The table.
        groups: The row groups, in order.
        folded: How many rows of each row group were left out because they are deleted.
        rebased: Version of the table's last restore: as many deleted rows may be others since.
    """
    digest = hashlib.blake2b(digest_size=16)
    if rebased and any(folded.values()):
        digest.update(f"{rebased}\0".encode())
    for column in definition.columns:
        cold = "cold\0" if column.id in definition.cold else ""
        digest.update(f"{column.id}\0{column.type}\0{cold}".encode())
    for group in groups:
        digest.update(f"{group.id}\0{group.rows}\0{folded.get(group.id, 0)}\0".encode())
    return digest.hexdigest()


class HotDirectory:
    """Names, budget and publishing of hot segments.

    Args:
        device: The store's device; hot segments need one with local paths.
        kernel: Version of the kernel; files of other versions are dropped.
        bytes_max: Budget; 0 switches the hot tier off.
        read_only: Neither publish nor drop anything.
    """

    def __init__(self, device: Device, *, kernel: str, bytes_max: int, read_only: bool) -> None:
        self._device = device
        self._kernel = kernel
        self._lock = threading.Lock()
        self._files: dict[str, HotFile] | None = None
        self.bytes_max = bytes_max
        self.read_only = read_only

    @property
    def enabled(self) -> bool:
        """True when hot segments may be used."""
        return self.bytes_max > 0 and self._device.local_path(FOLDER) is not None

    @property
    def writable(self) -> bool:
        """True when hot segments may be built."""
        return self.enabled and not self.read_only

    def set_budget(self, bytes_max: int) -> None:
        """Change the budget; what no longer fits goes at once."""
        self.bytes_max = bytes_max
        if not self.read_only and bytes_max > 0:
            self._make_room(0)
            self.files(rescan=True)

    def files(self, *, rescan: bool = False) -> dict[str, HotFile]:
        """Hot segments of this kernel by cover hash.

        Args:
            rescan: Look at the folder again instead of answering from memory.
        """
        with self._lock:
            if self._files is None or rescan:
                found = [self.parse(name) for name in self._device.list(FOLDER)]
                self._files = {f.cover: f for f in found if f and f.kernel == self._kernel}
            return self._files

    @staticmethod
    def parse(name: str) -> HotFile | None:
        """Read a file name; None when it is not a hot segment's."""
        parts = name.removesuffix(_SUFFIX).split("-")
        if not name.endswith(_SUFFIX) or len(parts) != 4 or not parts[3].isdecimal():
            return None
        return HotFile(name, parts[0], parts[1], parts[2], int(parts[3]))

    def path(self, file: HotFile) -> Path | None:
        """Path of a hot segment, None when it is gone or not of the size it should have."""
        try:
            if self._device.size(f"{FOLDER}/{file.name}") != file.bytes:
                self.drop(file)
                return None
        except FileNotFoundError:
            with self._lock:
                if self._files is not None:
                    self._files.pop(file.cover, None)
            return None
        path = self._device.local_path(f"{FOLDER}/{file.name}")
        if not self.read_only:
            self._device.touch(
                f"{FOLDER}/{file.name}"
            )  # the budget drops what was used longest ago
        return path

    def staging_name(self, random: bytes) -> str:
        """An unused name to build a hot segment at."""
        return f"tmp/hot-{random.hex()}{_SUFFIX}"

    def staging_path(self, staged: str) -> Path:
        """Path of a staged file, for the kernel that writes it."""
        path = self._device.local_path(staged)
        if path is None:
            raise ValueError("a device without paths has no hot segments")
        return path

    def publish(self, staged: str, table: str, cover: str) -> HotFile | None:
        """Give a finished file its name; None when the budget has no room for it."""
        size = self._device.size(staged)
        if not self._make_room(size):
            return None
        name = f"{table}-{cover}-{self._kernel}-{size}{_SUFFIX}"
        self._device.adopt(self.staging_path(staged), f"{FOLDER}/{name}")
        return self.files(rescan=True).get(cover)

    def discard(self, staged: str) -> None:
        """Remove a staged file and what the kernel left beside it."""
        self._device.unlink(staged)
        self._device.unlink(f"{staged}.wal")

    def drop(self, file: HotFile) -> None:
        """Remove a hot segment; who has it attached keeps reading it."""
        if not self.read_only:
            self._device.unlink(f"{FOLDER}/{file.name}")
        with self._lock:
            if self._files is not None:
                self._files.pop(file.cover, None)

    def bytes_used(self) -> int:
        """Bytes that all hot segments in the folder take, those of other kernels included."""
        total = 0
        for name in self._device.list(FOLDER):
            with contextlib.suppress(FileNotFoundError):
                total += self._device.size(f"{FOLDER}/{name}")
        return total

    def _make_room(self, needed: int) -> bool:
        """Drop the segments attached longest ago until ``needed`` bytes fit the budget."""
        if needed > self.bytes_max:
            return False
        aged: list[tuple[float, int, str]] = []
        for name in self._device.list(FOLDER):
            path = f"{FOLDER}/{name}"
            with contextlib.suppress(FileNotFoundError):
                aged.append((self._device.modified_s(path), self._device.size(path), path))
        used = sum(size for _, size, _ in aged)
        for _, size, path in sorted(aged):
            if used + needed <= self.bytes_max:
                break
            self._device.unlink(path)
            used -= size
        return used + needed <= self.bytes_max
