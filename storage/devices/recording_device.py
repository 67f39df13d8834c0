"""A device that writes down every call that changes something, for crash tests.

The trace is what ``crash_states`` rebuilds the disk from as a power failure could have left it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .memory_device import MemoryDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .device import AppendFile, Device, Hold, StagedFile, Turn


@dataclass(frozen=True, slots=True)
class Create:
    """A file was created for appending; it and its name may still be lost."""

    file: int
    name: str


@dataclass(frozen=True, slots=True)
class Append:
    """Bytes were appended, but not synced."""

    file: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Sync:
    """All that was appended to a file before is durable."""

    file: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A file without a name was written and synced."""

    file: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A staged file got a name, which may still be lost."""

    file: int
    name: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """A file made by somebody else got a name; neither is known to be durable."""

    file: int
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name was removed; it may still come back."""

    name: str


@dataclass(frozen=True, slots=True)
class Punch:
    """Parts of a file became zeros; what was there may still come back."""

    name: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    """The names in a folder are durable as they are."""

    folder: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that the workload says about itself, such as what it was promised."""

    text: str


Call = Create | Append | Sync | Stage | Link | Adopt | Unlink | Punch | SyncDirectory | Mark


@dataclass(frozen=True, slots=True)
class Trace:
    """What happened to a device.

    Attributes:
        initial: Files that were there before, by name, all durable.
        calls: The calls that succeeded and changed something, in the order they took effect.
    """

    initial: Mapping[str, bytes] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def prefix(self, length: int) -> Trace:
        """The first ``length`` calls, as a trace that can be continued."""
        return Trace(self.initial, self.calls[:length])


class _RecordedAppendFile:
    __slots__ = ("_device", "_inner", "_number")

    def __init__(self, device: RecordingDevice, inner: AppendFile, number: int) -> None:
        self._device = device
        self._inner = inner
        self._number = number

    @property
    def size(self) -> int:
        return self._inner.size

    def append(self, *parts: bytes | memoryview) -> int:
        self._device.before("append")
        with self._device.lock:
            offset = self._inner.append(*parts)
            self._device.record(Append(self._number, b"".join(parts)))
            return offset

    def sync(self) -> None:
        self._device.before("sync")
        with self._device.lock:
            self._inner.sync()
            self._device.record(Sync(self._number))

    def close(self) -> None:
        self._inner.close()


class _RecordedStagedFile:
    __slots__ = ("_device", "_inner", "_number")

    def __init__(self, device: RecordingDevice, inner: StagedFile, number: int) -> None:
        self._device = device
        self._inner = inner
        self._number = number

    def link(self, name: str) -> bool:
        self._device.before("link")
        with self._device.lock:
            linked = self._inner.link(name)
            if linked:
                self._device.record(Link(self._number, name))
            return linked

    def discard(self) -> None:
        self._inner.discard()


def _go_ahead(_call: str) -> None:
    """Nothing happens before a call."""


class _RecordedTurn:
    """A turn: nothing rests on it, so there is nothing to record, but it can be waited for."""

    __slots__ = ("_device", "_inner")

    def __init__(self, device: RecordingDevice, inner: Turn) -> None:
        self._device = device
        self._inner = inner

    def take(self) -> bool:
        self._device.before("take")
        return self._inner.take()

    def give(self) -> None:
        self._inner.give()  # also when its process is killed

    def say(self, content: bytes) -> None:
        self._device.before("say")
        self._inner.say(content)

    def said(self) -> bytes:
        self._device.before("said")
        return self._inner.said()

    def close(self) -> None:
        self._inner.close()


class RecordingDevice:
    """Records the calls to another device.

    Args:
        inner: What does the work; by default memory, holding the trace's initial files.
        trace: Where to record. A trace that has calls already is continued, as by a process
            that starts after another was killed: what was not durable is still not.
        before: Called with the name of each call before it is made; it may wait or raise.
    """

    def __init__(
        self,
        inner: Device | None = None,
        *,
        trace: Trace | None = None,
        before: Callable[[str], None] | None = None,
    ) -> None:
        self.before = before or _go_ahead
        self.trace = Trace() if trace is None else trace
        self.lock = threading.RLock()
        self._inner = MemoryDevice(self.trace.initial) if inner is None else inner
        self._numbers = len(self.trace.calls)  # a call names at most one new file

    def record(self, call: Call) -> None:
        """Write a call down."""
        self.trace.calls.append(call)

    def mark(self, text: str) -> None:
        """Write down what the workload has to say."""
        with self.lock:
            self.record(Mark(text))

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def turn(self, name: str) -> Turn | None:
        inner = self._inner.turn(name)
        return None if inner is None else _RecordedTurn(self, inner)

    def hold(self, name: str, content: bytes) -> Hold:
        self.before("hold")
        return self._inner.hold(name, content)  # ends with the power, so there is nothing to record

    def held(self, folder: str) -> list[bytes]:
        self.before("held")
        return self._inner.held(folder)

    def create(self, name: str) -> _RecordedAppendFile:
        self.before("create")
        with self.lock:
            inner, number = self._inner.create(name), self._number()
            self.record(Create(number, name))
            return _RecordedAppendFile(self, inner, number)

    def stage(self, content: bytes) -> _RecordedStagedFile:
        self.before("stage")
        with self.lock:
            inner, number = self._inner.stage(content), self._number()
            self.record(Stage(number, bytes(content)))
            return _RecordedStagedFile(self, inner, number)

    def exists(self, name: str) -> bool:
        self.before("exists")
        return self._inner.exists(name)

    def read(self, name: str) -> bytes:
        self.before("read")
        return self._inner.read(name)

    def map(self, name: str, offset: int, length: int) -> memoryview:
        self.before("map")
        return self._inner.map(name, offset, length)

    def list(self, folder: str) -> list[str]:
        self.before("list")
        return self._inner.list(folder)

    def size(self, name: str) -> int:
        self.before("size")
        return self._inner.size(name)

    def unlink(self, name: str) -> None:
        self.before("unlink")
        with self.lock:
            self._inner.unlink(name)
            self.record(Unlink(name))

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> int | None:
        self.before("punch")
        with self.lock:
            freed = self._inner.punch(name, ranges)
            if freed:
                self.record(Punch(name, tuple(ranges)))
            return freed

    def sync_directory(self, folder: str) -> None:
        self.before("sync_directory")
        with self.lock:
            self._inner.sync_directory(folder)
            self.record(SyncDirectory(folder))

    def local_path(self, name: str) -> Path | None:
        return self._inner.local_path(name)

    def adopt(self, path: Path, name: str) -> bool:
        self.before("adopt")
        with self.lock:
            adopted = self._inner.adopt(path, name)
            if adopted:
                self.record(Adopt(self._number(), name, self._inner.read(name)))
            return adopted

    def touch(self, name: str) -> None:
        self.before("touch")
        self._inner.touch(name)

    def modified_s(self, name: str) -> float:
        self.before("modified_s")
        return self._inner.modified_s(name)

    def close(self) -> None:
        """Nothing to release: several stores may share this device, and a trace outlives it."""
