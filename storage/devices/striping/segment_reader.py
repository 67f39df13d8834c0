"""Reads the segments of a striped device: finds their stripes, and computes units that are lost."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING

from ....errors import Corrupt
from .members import UNREADABLE
from .stripes import (
    HEADER_BYTES,
    StripeIndex,
    file_key,
    next_stripe,
    pack_header,
    slices,
    unit_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .erasure import ErasureCode, Words
    from .members import Members
    from .striped_file import StripedFile
    from .stripes import Stripe


class SegmentReader:
    """The segments over all children.

    Args:
        members: The children.
        code: Computes what is lost.
    """

    def __init__(self, members: Members, code: ErasureCode) -> None:
        self._members = members
        self._code = code
        self._lock = threading.RLock()
        self._indexes: dict[str, StripeIndex] = {}
        self._files: dict[str, StripedFile] = {}
        self._written: dict[str, StripedFile] = {}

    def begin(self, name: str) -> StripeIndex:
        """The stripes of a file that is being created."""
        with self._lock:
            index = self._indexes[name] = StripeIndex()
            return index

    def opened(self, name: str, file: StripedFile) -> None:
        """This process appends to a file."""
        with self._lock:
            self._files[name] = self._written[name] = file

    def closed(self, name: str) -> None:
        """A file takes no further appends."""
        with self._lock:
            self._files.pop(name, None)

    def removed(self, name: str) -> None:
        """A file is no more."""
        with self._lock:
            self._indexes.pop(name, None)
            self._files.pop(name, None)
            self._written.pop(name, None)

    def settle(self) -> dict[str, StripedFile]:
        """Put what this process has written on all children that are in use now.

        Returns:
            The files that take no further appends, by name: done with, once nobody has joined
            up to the moment at which their content is referred to (``settled``).
        """
        with self._lock:
            written = dict(self._written)
        return {name: file for name, file in written.items() if file.settle()}

    def settled(self, files: Iterable[str]) -> None:
        """Whoever joins from here on finds these files as they will stay."""
        with self._lock:
            for name in files:
                self._written.pop(name, None)

    def is_open(self, name: str) -> bool:
        """True while this process appends to a file."""
        return name in self._files

    def child_of(self, key: int, number: int) -> int:
        """Index of the child that has a unit of a file."""
        return (number + key) % self._members.devices.children

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            FileNotFoundError: No child has the file.
        """
        file = self._files.get(name)
        return file.size if file else self._index(name, None).end

    def stripes(self, name: str) -> tuple[Stripe, ...]:
        """All stripes of a file, in order.

        Raises:
            FileNotFoundError: No child has the file.
        """
        return tuple(self._index(name, None))

    def map(self, name: str, offset: int, length: int) -> memoryview:
        """A part of a file.

        Raises:
            FileNotFoundError: No child has the file.
            EOFError: It ends before.
            Corrupt: Too few units of a stripe are sound.
        """
        if length == 0:
            return memoryview(b"")
        index = self._index(name, offset + length)
        if index.end < offset + length:
            raise EOFError(f"{name} is shorter than {offset + length} bytes")
        pieces: list[memoryview] = []
        for stripe in index.overlapping(offset, length):
            wanted = slices(stripe, offset, length, self._members.devices.data)
            units = self.units(name, stripe, [number for number, _, _ in wanted])
            pieces += [
                units[number].data.cast("B")[start:end].toreadonly()
                for number, start, end in wanted
            ]
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def units(self, name: str, stripe: Stripe, wanted: Sequence[int]) -> dict[int, Words]:
        """Units of a stripe, read where they are sound and computed where not.

        Raises:
            Corrupt: Fewer than ``data`` units of the stripe are sound.
        """
        devices = self._members.devices
        found = {
            number: unit
            for number in wanted
            if (unit := self.stored_unit(name, stripe, number)) is not None
        }
        missing = [number for number in wanted if number not in found]
        if not missing:
            return found
        present = dict(found)
        for number in range(devices.children):
            if len(present) >= devices.data:
                break
            if number not in wanted:
                unit = self.stored_unit(name, stripe, number)
                if unit is not None:
                    present[number] = unit
        if len(present) < devices.data:
            raise Corrupt(
                f"of a stripe of {name} only {len(present)} units are sound, and "
                f"{devices.data} are needed",
                file=name,
                offset=stripe.offset,
                hint="bring a missing device back, or restore the file from a backup",
            )
        return found | dict(zip(missing, self._code.rebuild(present, missing), strict=True))

    def strip(self, name: str, stripes: Sequence[Stripe], number: int) -> bytes:
        """The strip of one child as it should be, computed from the others where it is not.

        Raises:
            Corrupt: What is left does not suffice.
        """
        key = file_key(name)
        parts: list[bytes | memoryview] = []
        for stripe in stripes:
            unit = self.units(name, stripe, [number])[number]
            parts += [pack_header(key, stripe, number, unit), unit.data.cast("B")]
        return b"".join(parts)

    def stored_unit(self, name: str, stripe: Stripe, number: int) -> Words | None:
        """A unit as its child has it, None when the child or the unit is not sound."""
        key = file_key(name)
        index = self.child_of(key, number)
        if not self._members.in_use(index):
            return None
        size = HEADER_BYTES + stripe.unit_bytes
        try:
            stored = self._members[index].map(name, stripe.strip_offset, size)
        except UNREADABLE:
            return None
        return unit_of(stored, key, number, stripe)

    def _index(self, name: str, needed: int | None) -> StripeIndex:
        """Stripes of a file at least up to an offset, or all of them.

        Raises:
            FileNotFoundError: No child has the file.
        """
        with self._lock:
            index = self._indexes.setdefault(name, StripeIndex())
            if needed is not None and needed <= index.end:
                return index
            file = self._files.get(name)
        if file is not None:
            file.flush()
            return index
        with self._lock:
            try:
                self._scan(name, index)
            except BaseException:
                self._indexes.pop(name, None)
                raise
        return index

    def _scan(self, name: str, index: StripeIndex) -> None:
        """Add the stripes that were appended since the last look."""
        key = file_key(name)
        members = self._members
        live = set(members.live())
        numbers = [n for n in range(members.devices.children) if self.child_of(key, n) in live]
        sizes: dict[int, int] = {}
        for number in numbers:
            with contextlib.suppress(*UNREADABLE):
                sizes[number] = members[self.child_of(key, number)].size(name)
        if not sizes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

        def header_of(number: int, at: int) -> memoryview | None:
            with contextlib.suppress(*UNREADABLE):
                return members[self.child_of(key, number)].map(name, at, HEADER_BYTES)
            return None

        while stripe := next_stripe(index, key, sizes, header_of, members.devices.data):
            index.add(stripe)
