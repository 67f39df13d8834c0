"""Blocks of a walk as record batches: the stored columns of a catalog's entries.

This module is the one place that names the stored columns (`STORED`); the definition of the table
and the views over it follow it. Rows come in the order of blocks, the root's own row first, in
batches of exactly a row group, so that the writer need not cut or join them.
"""

from __future__ import annotations

import os
import stat
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from .block import ENTRY, TYPE_MASK, UNKNOWN_TIME, Block, joined
from .names import text_array, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from .block import EntryArray

BATCH_ROWS: Final = 122_880
"""Rows of a row group."""

STORED: Final = pa.schema(
    [
        ("directory", pa.int64()),  # the label of the directory it lies in
        ("name", pa.string()),
        ("parent_path", pa.dictionary(pa.int32(), pa.string())),
        ("extension", pa.string()),  # '' where there is none
        ("element_type", pa.dictionary(pa.int32(), pa.string())),
        ("size", pa.int64()),
        ("slack", pa.int64()),  # see USED_SQL
        ("nfs_mode_bits", pa.int32()),  # permissions, no type
        ("nlinks", pa.uint32()),
        ("uid", pa.uint32()),
        ("gid", pa.uint32()),
        ("owner_name", pa.dictionary(pa.int32(), pa.string())),
        ("group_owner_name", pa.dictionary(pa.int32(), pa.string())),
        ("inode", pa.int64()),  # the bits of an unsigned number, as are those of the device
        ("device", pa.int64()),
        ("atime", pa.timestamp("ns")),
        ("mtime", pa.timestamp("ns")),
        ("ctime", pa.timestamp("ns")),
        ("creation_time", pa.timestamp("ns")),  # NULL where the file system does not say
        ("symlink_path", pa.string()),  # NULL for what is no link
        ("major_device", pa.int32()),  # of device files; NULL for all else
        ("minor_device", pa.int32()),
        ("user_tags", pa.map_(pa.string(), pa.string())),  # NULL where there are none
    ]
)
"""The stored columns, in order."""

USED_GRAIN: Final = 4096
USED_PLAIN_MIN: Final = 2**62
USED_SQL: Final = (
    f"CASE WHEN size >= {USED_PLAIN_MIN} THEN size ELSE (size + {USED_GRAIN - 1}) "
    f"// {USED_GRAIN} * {USED_GRAIN} END + slack"
)
"""`used` in SQL. Only its difference from the rounded size is stored, which is nearly always 0."""

EXTENSION_BYTES_MAX: Final = 16
"""Longer endings are no extensions but parts of names."""

ELEMENT_TYPES: Final = (*("FILE", "DIR", "SYMLINK", "FIFO", "SOCKET", "CHR", "BLK", "OTHER"),)
_TYPE_BITS: Final = (
    *(stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR),
    stat.S_IFBLK,
)
_TYPE_CODES: Final = np.full(16, len(ELEMENT_TYPES) - 1, dtype=np.int32)
_TYPE_CODES[[bits >> 12 for bits in _TYPE_BITS]] = range(len(_TYPE_BITS))

Piece = tuple[Block, int, int, int]
"""A block, which of its entries: from, to; and the label of its directory."""


class OwnerNames:
    """Names of users and groups by number, each asked for once; numbers without a name stand."""

    def __init__(self) -> None:
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}

    def user(self, number: int) -> str:
        """Return the name of a user, or the number as text."""
        if number not in self._users:
            import pwd

            self._users[number] = _known(lambda: pwd.getpwuid(number).pw_name, number)
        return self._users[number]

    def group(self, number: int) -> str:
        """Return the name of a group, or the number as text."""
        if number not in self._groups:
            import grp

            self._groups[number] = _known(lambda: grp.getgrgid(number).gr_name, number)
        return self._groups[number]


def _known(ask: Callable[[], str], number: int) -> str:
    try:
        # A directory service may answer with any bytes, which come as surrogates.
        return ask().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except (KeyError, OverflowError):
        return str(number)


def record_batches(
    blocks: Iterable[Block],
    label: Callable[[bytes], int],
    *,
    rows: int = BATCH_ROWS,
    with_root: bool = True,
) -> Iterator[pa.RecordBatch]:
    """Return blocks as batches of `STORED`, all of `rows` rows but the last.

    Args:
        blocks: In the order of `walk`.
        label: Gives the label of a directory by its path; called once for each block that has
            entries, in order, and before all for the parent of the root (`b''` for that of `/`).
        rows: Rows of a batch.
        with_root: Begin with a row for the first block's own directory: its name, in its parent.
            That of `/` has the name `''` in the parent `''`.
    """
    owners = OwnerNames()
    for pieces in _cut(_with_root(blocks) if with_root else blocks, label, rows):
        yield _batch(pieces, owners)


def _with_root(blocks: Iterable[Block]) -> Iterator[Block]:
    root: bytes | None = None
    for block in blocks:
        if root is None:
            root = block.path
            parent, _, name = root.rpartition(b"/")
            own = np.array([block.own], dtype=ENTRY)
            yield Block(parent if parent or not name else b"/", block.own, [name], own)
        yield block


def _cut(
    blocks: Iterable[Block], label: Callable[[bytes], int], rows: int
) -> Iterator[list[Piece]]:
    """Cut blocks into pieces that make batches of `rows` rows."""
    pieces: list[Piece] = []
    missing = rows
    for block in blocks:
        start, count = 0, len(block.names)
        number = label(block.path) if count else 0
        while start < count:
            end = min(count, start + missing)
            pieces.append((block, start, end, number))
            missing -= end - start
            start = end
            if not missing:
                yield pieces
                pieces, missing = [], rows
    if pieces:
        yield pieces


def _batch(pieces: list[Piece], owners: OwnerNames) -> pa.RecordBatch:
    entries = joined([block.entries[start:end] for block, start, end, _ in pieces])
    counts = np.array([end - start for _, start, end, _ in pieces])
    of_piece = np.repeat(np.arange(len(pieces), dtype=np.int32), counts)
    paths = [piece[0].path for piece in pieces]
    labels = np.array([label for *_, label in pieces], dtype=np.int64)
    names = list(chain.from_iterable(block.names[start:end] for block, start, end, _ in pieces))
    name = text_array(names)
    kinds = _TYPE_CODES[(entries["mode"] & TYPE_MASK) >> 12]
    major, minor = _special_devices(entries)
    columns = {
        "directory": pa.array(labels[of_piece]),
        "name": name,
        "parent_path": pa.DictionaryArray.from_arrays(pa.array(of_piece), text_array(paths)),
        "extension": _extensions(name, kinds == ELEMENT_TYPES.index("DIR")),
        "element_type": pa.DictionaryArray.from_arrays(pa.array(kinds), list(ELEMENT_TYPES)),
        "size": _numbers(entries, "size"),
        "slack": pa.array(slack_of(entries)),
        "nfs_mode_bits": pa.array((entries["mode"] & 0o7777).astype(np.int32)),
        "nlinks": pa.array(np.ascontiguousarray(entries["nlink"])),
        "uid": pa.array(np.ascontiguousarray(entries["uid"])),
        "gid": pa.array(np.ascontiguousarray(entries["gid"])),
        "owner_name": _looked_up(entries["uid"], owners.user),
        "group_owner_name": _looked_up(entries["gid"], owners.group),
        "inode": _numbers(entries, "inode"),
        "device": _numbers(entries, "device"),
        **{field: _times(entries[field]) for field in ("atime", "mtime", "ctime")},
        "creation_time": _times(entries["birth"]),
        "symlink_path": _symlink_paths(pieces, len(names)),
        "major_device": major,
        "minor_device": minor,
        "user_tags": _user_tags(pieces, len(names)),
    }
    return pa.record_batch([columns[field] for field in STORED.names], schema=STORED)


def slack_of(entries: EntryArray) -> NDArray[np.int64]:
    """Return what `USED_SQL` adds to the rounded size, shape (len(entries),)."""
    size = entries["size"]
    rounded = np.where(
        size >= USED_PLAIN_MIN, size, (size + (USED_GRAIN - 1)) & np.int64(-USED_GRAIN)
    )
    slack: NDArray[np.int64] = entries["used"] - rounded
    return slack


def _numbers(entries: EntryArray, field: str) -> pa.Array:
    return pa.array(np.ascontiguousarray(entries[field]).view(np.int64))


def _times(times: NDArray[np.int64]) -> pa.Array:
    times = np.ascontiguousarray(times)
    unknown = times == UNKNOWN_TIME
    return pa.array(times, mask=unknown if unknown.any() else None).view(pa.timestamp("ns"))


def _looked_up(numbers: NDArray[np.uint32], name: Callable[[int], str]) -> pa.Array:
    encoded = pa.array(np.ascontiguousarray(numbers)).dictionary_encode()
    values = pa.array([name(number) for number in encoded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices, values)


def _extensions(name: pa.StringArray, directories: NDArray[np.bool_]) -> pa.Array:
    """Return what follows the last dot; a dot that begins a name is none, directories have none."""
    count = len(name)
    offsets = np.frombuffer(name.buffers()[1], dtype=np.int32, count=count + 1).astype(np.int64)
    characters = np.frombuffer(name.buffers()[2] or b"", dtype=np.uint8)
    starts, ends = offsets[:-1], offsets[1:]
    dots = np.flatnonzero(characters == ord("."))
    last = np.full(count, -1)
    if len(dots):
        at = np.searchsorted(dots, ends) - 1
        last = np.where(at >= 0, dots[at.clip(0)], -1)
    has = (last > starts) & (ends - last <= EXTENSION_BYTES_MAX + 1) & ~directories
    begins = np.where(has, last + 1, ends)
    lengths = ends - begins
    out = np.zeros(count + 1, dtype=np.int32)
    np.cumsum(lengths, out=out[1:])
    gathered = characters[np.repeat(begins - out[:-1], lengths) + np.arange(out[-1])]
    buffers = [None, pa.py_buffer(out), pa.py_buffer(gathered)]
    return pa.Array.from_buffers(pa.string(), count, buffers)


def _symlink_paths(pieces: list[Piece], count: int) -> pa.Array:
    rows, targets = _sparse(pieces, lambda block: block.targets)
    return _scattered(rows, text_array(targets), count)


def _user_tags(pieces: list[Piece], count: int) -> pa.Array:
    rows, found = _sparse(pieces, lambda block: block.xattrs)
    maps = [[(text_of(k), text_of(v)) for k, v in sorted(tags.items())] for tags in found]
    return _scattered(rows, pa.array(maps, STORED.field("user_tags").type), count)


def _special_devices(entries: EntryArray) -> tuple[pa.Array, pa.Array]:
    kinds = entries["mode"] & TYPE_MASK
    rows = np.flatnonzero((kinds == stat.S_IFCHR) | (kinds == stat.S_IFBLK)).tolist()
    numbers = entries["rdev"][rows].tolist()
    # A minor number of macOS may be all of 32 bits.
    major = pa.array(np.array([os.major(number) for number in numbers], np.uint32).view(np.int32))
    minor = pa.array(np.array([os.minor(number) for number in numbers], np.uint32).view(np.int32))
    return _scattered(rows, major, len(entries)), _scattered(rows, minor, len(entries))


def _sparse(
    pieces: list[Piece], values: Callable[[Block], Mapping[int, Any]]
) -> tuple[list[int], list[Any]]:
    """Return what few entries have, with their rows in the batch."""
    rows: list[int] = []
    found: list[Any] = []
    base = 0
    for block, start, end, _ in pieces:
        of_block = values(block)
        for index in sorted(of_block) if of_block else ():
            if start <= index < end:
                rows.append(base + index - start)
                found.append(of_block[index])
        base += end - start
    return rows, found


def _scattered(rows: list[int], values: pa.Array, count: int) -> pa.Array:
    """Return `values` at their rows of a column of `count`, NULL elsewhere."""
    if not rows:
        return pa.nulls(count, values.type)
    where = np.zeros(count, dtype=np.int32)
    empty = np.ones(count, dtype=np.bool_)
    where[rows] = np.arange(len(rows))
    empty[rows] = False
    return values.take(pa.array(where, mask=empty))
