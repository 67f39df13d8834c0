"""The metadata of many names at once, as an array of `ENTRY`.

On Linux, statx(2) is called through ctypes and writes straight into a numpy buffer: no Python
object an entry, and the time of creation comes with it. Elsewhere, and where libc has no statx
(glibc before 2.28), `os.stat` does the same more slowly.

Source: statx(2) and `struct statx` of linux/stat.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from .block import ENTRY, UNKNOWN_TIME, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .block import EntryArray

SLOT_BYTES: Final = 256
SLOTS: Final = 8192
"""Slots of the buffer, 2 MiB: what a wave of directories fills stays in the CPU's cache."""

STATX: Final = np.dtype(
    {
        "names": [
            *("mask", "attributes", "nlink", "uid", "gid", "mode", "ino", "size", "blocks"),
            *("atime", "atime_ns", "birth", "birth_ns", "ctime", "ctime_ns", "mtime", "mtime_ns"),
            *("rdev_major", "rdev_minor", "dev_major", "dev_minor"),
        ],
        "formats": [
            *("<u4", "<u8", "<u4", "<u4", "<u4", "<u2", "<u8", "<u8", "<u8"),
            *("<i8", "<u4", "<i8", "<u4", "<i8", "<u4", "<i8", "<u4"),
            *("<u4", "<u4", "<u4", "<u4"),
        ],
        "offsets": [
            *(0, 8, 16, 20, 24, 28, 32, 40, 48),
            *(64, 72, 80, 88, 96, 104, 112, 120),
            *(128, 132, 136, 140),
        ],
        "itemsize": SLOT_BYTES,
    }
)

# AT_SYMLINK_NOFOLLOW: a link is an entry. AT_NO_AUTOMOUNT: looking at a name mounts nothing.
FLAGS: Final = 0x100 | 0x800
# STATX_BASIC_STATS and STATX_BTIME.
WANTED: Final = 0x7FF | 0x800
BIRTH_KNOWN: Final = 0x800
MOUNT_ROOT: Final = 0x2000

SECONDS_MIN, SECONDS_MAX = -9_223_372_036, 9_223_372_035
"""Whole seconds whose nanoseconds fit 64 bits: 1677 to 2262. Times beyond are cut to these."""

Failure = tuple[int, int]
"""Index among the names asked for, and errno."""


class StatBuffer(Protocol):
    """Collects the metadata of names, directory after directory, and hands it out as one array."""

    def fill(self, directory: int, names: Sequence[bytes]) -> list[Failure]:
        """Append the metadata of `names`, in order, without those that fail.

        Args:
            directory: An open descriptor that the names are relative to.
            names: Names in it, no path of several components needs a copy.

        Returns:
            The failures, by rising index.
        """
        ...

    def take(self) -> tuple[EntryArray, NDArray[np.bool_]]:
        """Return all that was filled since the last call, and which are roots of mounts."""
        ...


def stat_buffer(*, portable: bool = False, beat: Callable[[], None] | None = None) -> StatBuffer:
    """Return the fastest buffer that works here.

    Args:
        portable: Take the one of `os.stat` in any case.
        beat: Called at times while a directory of very many names is read.
    """
    statx = None if portable or sys.platform != "linux" else _statx_function()
    return PortableBuffer(beat) if statx is None else StatxBuffer(statx, beat)


def _statx_function() -> Any | None:  # a function of ctypes has no better type
    try:
        # PyDLL keeps the interpreter lock: one call is too short for handing it over to pay.
        function = ctypes.PyDLL(None, use_errno=True).statx
    except (AttributeError, OSError):
        return None
    function.argtypes = [
        *(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    ]
    slot = ctypes.create_string_buffer(SLOT_BYTES)
    # A kernel before 4.11, or a sandbox that forbids the call.
    return function if function(-100, b"/", FLAGS, WANTED, ctypes.addressof(slot)) == 0 else None


class StatxBuffer:
    """The `StatBuffer` of statx."""

    def __init__(self, statx: Any, beat: Callable[[], None] | None = None) -> None:  # see above
        self._statx = statx
        self._beat = beat
        self._slots = np.zeros(SLOTS, dtype=STATX)
        self._address = self._slots.ctypes.data
        self._filled = 0
        self._done: list[tuple[EntryArray, NDArray[np.bool_]]] = []

    def fill(self, directory: int, names: Sequence[bytes]) -> list[Failure]:
        """See `StatBuffer`."""
        count = len(names)
        if count <= SLOTS - self._filled:
            return self._fill_slots(directory, names, 0)
        failures: list[Failure] = []
        start = 0
        while start < count:
            if self._filled == SLOTS:
                self._convert()
            piece = names[start : start + SLOTS - self._filled]
            failures += self._fill_slots(directory, piece, start)
            start += len(piece)
            if self._beat is not None:
                self._beat()
        return failures

    def take(self) -> tuple[EntryArray, NDArray[np.bool_]]:
        """See `StatBuffer`."""
        self._convert()
        parts, self._done = self._done, []
        if len(parts) == 1:
            return parts[0]
        return joined([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _fill_slots(self, directory: int, names: Sequence[bytes], base: int) -> list[Failure]:
        first = self._address + SLOT_BYTES * self._filled
        ends = first + SLOT_BYTES * len(names)
        addresses = range(first, ends, SLOT_BYTES)
        codes = list(
            map(self._statx, repeat(directory), names, repeat(FLAGS), repeat(WANTED), addresses)
        )
        if not any(codes):
            self._filled += len(names)
            return []
        return self._fill_singly(directory, names, base)

    def _fill_singly(self, directory: int, names: Sequence[bytes], base: int) -> list[Failure]:
        """Do it name by name: errno is known of the last call only."""
        failures = []
        for index, name in enumerate(names, base):
            address = self._address + SLOT_BYTES * self._filled
            if self._statx(directory, name, FLAGS, WANTED, address) == 0:
                self._filled += 1
            else:
                failures.append((index, ctypes.get_errno() or errno.EIO))
        return failures

    def _convert(self) -> None:
        slots = self._slots[: self._filled]
        self._filled = 0
        entries = np.empty(len(slots), dtype=ENTRY)
        for ours, theirs in (
            *(("mode", "mode"), ("nlink", "nlink"), ("uid", "uid"), ("gid", "gid")),
            *(("inode", "ino"), ("size", "size")),
        ):
            entries[ours] = slots[theirs]
        entries["used"] = slots["blocks"] * np.uint64(512)
        for name in ("atime", "mtime", "ctime", "birth"):
            entries[name] = _nanoseconds(slots[name], slots[name + "_ns"])
        entries["birth"][slots["mask"] & BIRTH_KNOWN == 0] = UNKNOWN_TIME
        entries["device"] = _device_numbers(slots["dev_major"], slots["dev_minor"])
        entries["rdev"] = _device_numbers(slots["rdev_major"], slots["rdev_minor"])
        self._done.append((entries, slots["attributes"] & np.uint64(MOUNT_ROOT) != 0))


def _nanoseconds(seconds: NDArray[np.int64], rest: NDArray[np.uint32]) -> NDArray[np.int64]:
    return np.clip(seconds, SECONDS_MIN, SECONDS_MAX) * 1_000_000_000 + rest


def _device_numbers(major: NDArray[np.uint32], minor: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return what `os.makedev` does, which is what `st_dev` holds."""
    pairs = major.astype(np.uint64) << np.uint64(32) | minor
    if len(pairs) and (pairs == pairs[0]).all():  # all of one device: nearly always
        number = os.makedev(int(major[0]), int(minor[0]))
        return np.full(len(pairs), number, dtype=np.uint64)
    different, where = np.unique(pairs, return_inverse=True)
    numbers = [os.makedev(pair >> 32, pair & 0xFFFFFFFF) for pair in different.tolist()]
    return np.array(numbers, dtype=np.uint64)[where]


class PortableBuffer:
    """The `StatBuffer` of `os.stat`. It knows of no mounts."""

    def __init__(self, beat: Callable[[], None] | None = None) -> None:
        self._beat = beat
        self._done: list[EntryArray] = []

    def fill(self, directory: int, names: Sequence[bytes]) -> list[Failure]:
        """See `StatBuffer`."""
        failures = []
        for start in range(0, len(names), SLOTS):
            rows = []
            for index, name in enumerate(names[start : start + SLOTS], start):
                try:
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                except OSError as error:
                    failures.append((index, error.errno or errno.EIO))
                else:
                    rows.append(_row(found))
            self._done.append(np.array(rows, dtype=ENTRY))
            if self._beat is not None and start:
                self._beat()
        return failures

    def take(self) -> tuple[EntryArray, NDArray[np.bool_]]:
        """See `StatBuffer`."""
        parts, self._done = self._done, []
        entries = joined(parts)
        return entries, np.zeros(len(entries), dtype=np.bool_)


def entry_of(found: os.stat_result) -> np.void:
    """Return one `ENTRY` from what `os.stat` says."""
    entry: np.void = np.array([_row(found)], dtype=ENTRY)[0]
    return entry


def _row(found: os.stat_result) -> tuple[int, ...]:
    # macOS has the time of creation, as a float; whole nanoseconds of it stay the same every time.
    birth = getattr(found, "st_birthtime", None)
    return (
        *(found.st_mode, found.st_nlink, found.st_uid, found.st_gid),
        # An ID of a network file system may come out negative where its C type is signed.
        *(found.st_ino & (2**64 - 1), found.st_dev & (2**64 - 1)),
        *(found.st_size, 512 * found.st_blocks),
        *(_cut(found.st_atime_ns), _cut(found.st_mtime_ns), _cut(found.st_ctime_ns)),
        UNKNOWN_TIME if birth is None else _cut(int(birth * 1_000_000_000)),
        found.st_rdev & (2**64 - 1),
    )


def _cut(nanoseconds: int) -> int:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return min(max(seconds, SECONDS_MIN), SECONDS_MAX) * 1_000_000_000 + rest
