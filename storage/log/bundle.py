"""Bundles: commit records folded into one file, so that versions are not inodes.

A bundle holds the records of a range of versions as they were written, behind an index with
their lengths and with what the history tells of each version. Bundles may overlap when two
processes fold at the same moment; each is right.

Byte layout: docs/format/bundle.md.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import msgpack

from ...errors import Corrupt, SnapshotGone
from .checkpoint import info_from_wire, info_to_wire
from .record import frame, unframe, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..devices.device import Device
    from ..snapshot import CommitInfo

FOLDER = "log/bundles"
_MAGIC = b"PLBN"
_LENGTH = struct.Struct("<Q")
_INDEX_BYTES_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Bundle:
    """The index of a bundle.

    Attributes:
        name: File name on the device.
        first: First version.
        last: Last version.
        offsets: Where each record begins, and after the last one where the file ends.
        infos: What the history tells of each version.
    """

    name: str
    first: int
    last: int
    offsets: tuple[int, ...]
    infos: tuple[CommitInfo, ...]


def bundle_name(first: int, last: int) -> str:
    """Name of the bundle of a range of versions, both ends included."""
    return f"{FOLDER}/{first:020d}-{last:020d}"


def encode(
    records: Sequence[bytes], infos: Sequence[CommitInfo], *, store_id: bytes, last_hash: bytes
) -> bytes:
    """Serialise the records of successive versions."""
    body: bytes = msgpack.packb([[len(r) for r in records], [info_to_wire(i) for i in infos]])
    last = infos[-1]
    index = frame(
        body, magic=_MAGIC, store_id=store_id, base=(last.version, last_hash), time_us=last.time_us
    )
    return b"".join([_LENGTH.pack(len(index)), index, *records])


class Bundles:
    """The bundles of a store.

    Args:
        device: The store's device.
        store_id: 16 bytes.
    """

    def __init__(self, device: Device, store_id: bytes) -> None:
        self._device = device
        self._store_id = store_id
        self._lock = threading.Lock()
        self._open: dict[str, Bundle] = {}
        self._ranges: list[tuple[int, int, str]] = []

    def ranges(self) -> list[tuple[int, int, str]]:
        """First version, last version and file name of each bundle, in order."""
        found = []
        for name in self._device.list(FOLDER):
            first, _, last = name.partition("-")
            if first.isdigit() and last.isdigit():
                found.append((int(first), int(last), f"{FOLDER}/{name}"))
        self._ranges = sorted(found)
        return self._ranges

    def open(self, name: str) -> Bundle:
        """The index of a bundle.

        Raises:
            Corrupt: It is damaged.
            FileNotFoundError: It is gone.
        """
        with self._lock:
            known = self._open.get(name)
        if known is not None:
            return known
        try:
            (length,) = _LENGTH.unpack(self._device.map(name, 0, _LENGTH.size))
            if length > _INDEX_BYTES_MAX:
                raise EOFError
            framed = bytes(self._device.map(name, _LENGTH.size, length))
        except EOFError as error:
            raise Corrupt(f"{name} is cut short", file=name, offset=0) from error
        body, last, _, _ = unframe(framed, magic=_MAGIC, store_id=self._store_id, name=name)
        wire = unpack(body, name)
        try:
            lengths, infos = wire[0], tuple(info_from_wire(info) for info in wire[1])
            offsets = tuple(accumulate(lengths, initial=_LENGTH.size + length))
            first = infos[0].version
        except (IndexError, TypeError, ValueError) as error:
            raise Corrupt(f"{name} cannot be read: {error}", file=name, offset=0) from error
        counts = {last - first + 1, len(infos), len(lengths)}
        if name != bundle_name(first, last) or len(counts) > 1:
            raise Corrupt(f"{name} holds other versions than its name says", file=name, offset=0)
        bundle = Bundle(name, first, last, offsets, infos)
        with self._lock:
            self._open[name] = bundle
        return bundle

    def record(self, version: int) -> bytes:
        """The record of a version, as it was written.

        Raises:
            SnapshotGone: No bundle holds it any more.
            Corrupt: The bundle is damaged.
        """
        for ranges in (self._ranges, None):
            for first, last, name in self.ranges() if ranges is None else ranges:
                if not first <= version <= last:
                    continue
                try:
                    bundle = self.open(name)
                    start, end = bundle.offsets[version - first : version - first + 2]
                    return bytes(self._device.map(name, start, end - start))
                except FileNotFoundError:
                    continue
                except EOFError as error:
                    raise Corrupt(f"{name} is cut short", file=name, offset=0) from error
        raise SnapshotGone(f"the record of version {version} was reclaimed")

    def infos(self) -> Iterator[CommitInfo]:
        """What the history tells of all bundled versions, in order."""
        seen = 0
        for first, last, name in self.ranges():
            if last <= seen:
                continue
            try:
                bundle = self.open(name)
            except FileNotFoundError:
                continue
            yield from bundle.infos[max(0, seen + 1 - first) :]
            seen = last

    def drop(self, upto: int) -> int:
        """Remove bundles that hold nothing above a version; returns how many."""
        gone = [name for _, last, name in self.ranges() if last <= upto]
        for name in gone:
            self._device.unlink(name)
            with self._lock:
                self._open.pop(name, None)
        if gone:
            self.ranges()
        return len(gone)
