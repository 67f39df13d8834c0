"""Where bytes live: the one interface through which the store reaches files.

A device holds flat files under names such as ``log/00000000000000000007`` or
``segments/9f3c…``. Nothing written is durable before the matching ``sync``; a name is
durable only after its directory was synced. The interface asks for nothing that an
object store with put-if-absent could not give: files are appended or published whole,
never overwritten and never renamed over.

Implementations: ``local_device.LocalDevice`` (a directory) and
``memory_device.MemoryDevice`` (a dictionary, for ``:memory:`` stores and tests).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOLD_BYTES_MAX: Final = 64 << 10
"""Bytes that a hold's content may have."""


class AppendFile(Protocol):
    """A new file that only its creator appends to."""

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        ...

    def append(self, *parts: bytes | memoryview) -> int:
        """Append the parts one after another; returns the offset of the first byte.

        Raises:
            StorageFull: The device has no room. What was written is to be discarded.
        """
        ...

    def sync(self) -> None:
        """Make everything appended so far durable.

        Raises:
            OutcomeUnknown: The sync failed. The file takes no further appends.
        """
        ...

    def close(self) -> None:
        """Release the file. Closing twice is allowed."""
        ...


class StagedFile(Protocol):
    """A complete, synced file that has no name yet."""

    def link(self, name: str) -> bool:
        """Give the file a name, atomically; False when the name is taken already.

        The same staged file may be offered name after name until one is free. The name
        becomes durable with the next ``sync_directory`` of its folder.
        """
        ...

    def discard(self) -> None:
        """Drop whatever was staged and not linked. Calling twice is allowed."""
        ...


class Hold(Protocol):
    """Something said for as long as whoever said it lives, unless it is taken back.

    A hold ends with ``release`` or with its process, however that ends; a stopped process still
    holds.
    """

    def update(self, content: bytes) -> None:
        """Say something else instead; readers see the one or the other, never a mixture.

        Raises:
            Unavailable: It failed. What the hold says cannot be read until an update succeeds.
        """
        ...

    def release(self) -> None:
        """Take it back. Calling twice is allowed."""
        ...


class Turn(Protocol):
    """Something that processes had better do one after another, and what the last one said of it.

    Advice only: who is stopped keeps the turn, so that others must be able to go on without it,
    and what is said may be older than the power failure before. The turn ends with its process.
    """

    def take(self) -> bool:
        """Take the turn; False when somebody else has it.

        Raises:
            Unavailable: The device failed.
        """
        ...

    def give(self) -> None:
        """Give the turn back."""
        ...

    def say(self, content: bytes) -> None:
        """Say something to those who wait; only for who has the turn.

        Raises:
            Unavailable: The device failed.
        """
        ...

    def said(self) -> bytes:
        """What was said last; empty when nothing was, or when it is just being said.

        Raises:
            Unavailable: The device failed.
        """
        ...

    def close(self) -> None:
        """Release it, and with it the turn. Closing twice is allowed."""
        ...


class Device(Protocol):
    """Flat files under slash-separated names."""

    def turn(self, name: str) -> Turn | None:
        """Take part in turns, such as ``commit/turn``; None where there is no way to.

        Raises:
            Unavailable: The device failed.
        """
        ...

    def hold(self, name: str, content: bytes) -> Hold:
        """Say something to everybody who uses the store, for as long as this process lives.

        Args:
            name: A new name, such as ``pins/5e1c…``; its folder holds nothing but holds.
            content: Up to ``HOLD_BYTES_MAX`` bytes.

        Raises:
            FileExistsError: The name is taken.
            Unavailable: The device failed, or has no locks; nothing is held.
        """
        ...

    def held(self, folder: str) -> list[bytes]:
        """Contents of the holds of a folder, those of this process included, in no order.

        What the dead left behind is removed. An owner that dies meanwhile may still be listed.

        Raises:
            Unavailable: A hold cannot be read, so that what it says must be assumed to matter.
        """
        ...

    def create(self, name: str) -> AppendFile:
        """Create a file for appending; its name must be new."""
        ...

    def stage(self, content: bytes) -> StagedFile:
        """Write and sync content without giving it a name."""
        ...

    def exists(self, name: str) -> bool:
        """Tell whether a file of this name can be opened."""
        ...

    def read(self, name: str) -> bytes:
        """Return a whole file.

        Raises:
            FileNotFoundError: No such name.
        """
        ...

    def map(self, name: str, offset: int, length: int) -> memoryview:
        """Return a read-only view of part of a file, without a copy where possible.

        What it shows stays as it is, whatever is removed or punched meanwhile.

        Raises:
            FileNotFoundError: No such name.
            EOFError: The file ends before ``offset + length``.
        """
        ...

    def list(self, folder: str) -> list[str]:
        """Names (without the folder) in a folder, sorted. A hint, never the truth."""
        ...

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            FileNotFoundError: No such name.
        """
        ...

    def unlink(self, name: str) -> None:
        """Remove a name; missing names are ignored. Views that are open stay valid."""
        ...

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> int | None:
        """Give back the room of parts of a file, which read as zeros from then on.

        A power failure may undo any of it. A file that is missing, or that somebody looks at, has
        no room to give back.

        Args:
            name: The file.
            ranges: Offset and length of each part, both multiples of a page's alignment.

        Returns:
            Bytes given back; None where the device can never do it.

        Raises:
            Unavailable: The device failed; any of it may have been done.
        """
        ...

    def sync_directory(self, folder: str) -> None:
        """Make the names in a folder durable."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Path of a file for a reader outside this process's heap, None where there is none."""
        ...

    def adopt(self, path: Path, name: str) -> bool:
        """Give a file made outside the device (a hot segment) a name; False when it is taken."""
        ...

    def touch(self, name: str) -> None:
        """Note that a file was used just now; failing to is no error."""
        ...

    def modified_s(self, name: str) -> float:
        """Seconds since the epoch at which a file was made or last touched.

        Raises:
            FileNotFoundError: No such name.
        """
        ...

    def close(self) -> None:
        """Release what the device holds open."""
        ...
