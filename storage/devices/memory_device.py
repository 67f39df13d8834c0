"""A device in memory: throw-away stores (``:memory:``) and fast tests.

Derived hot files cannot live here, because the kernel attaches files by path;
``local_path`` answers None and the hot tier stays off.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .device import HOLD_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class _MemoryAppendFile:
    __slots__ = ("_content", "_lock")

    def __init__(self, content: bytearray, lock: threading.Lock) -> None:
        self._content = content
        self._lock = lock

    @property
    def size(self) -> int:
        return len(self._content)

    def append(self, *parts: bytes | memoryview) -> int:
        with self._lock:
            offset = len(self._content)
            for part in parts:
                self._content += part
            return offset

    def sync(self) -> None:
        """Nothing to do: memory is as durable as it gets."""

    def close(self) -> None:
        """Nothing to release."""


class _MemoryStagedFile:
    __slots__ = ("_content", "_device")

    def __init__(self, device: MemoryDevice, content: bytes) -> None:
        self._device = device
        self._content = content

    def link(self, name: str) -> bool:
        return self._device._link(name, self._content)

    def discard(self) -> None:
        """Nothing to drop."""


class _MemoryHold:
    __slots__ = ("_device", "_name")

    def __init__(self, device: MemoryDevice, name: str) -> None:
        self._device = device
        self._name = name

    def update(self, content: bytes) -> None:
        self._device._say(self._name, content)

    def release(self) -> None:
        self._device._say(self._name, None)


@dataclass(slots=True)
class _SharedTurn:
    """What the stores that share a device know of a turn."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    said: bytes = b""


class _MemoryTurn:
    __slots__ = ("_mine", "_shared")

    def __init__(self, shared: _SharedTurn) -> None:
        self._shared = shared
        self._mine = False

    def take(self) -> bool:
        self._mine = self._mine or self._shared.lock.acquire(blocking=False)
        return self._mine

    def give(self) -> None:
        if self._mine:
            self._mine = False
            self._shared.lock.release()

    def say(self, content: bytes) -> None:
        self._shared.said = content

    def said(self) -> bytes:
        return self._shared.said

    def close(self) -> None:
        self.give()


class MemoryDevice:
    """Files in a dictionary.

    Args:
        files: What it holds at first: content by name.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self._files: dict[str, bytearray | bytes] = {}
        # Names by folder: the log's small folders are listed with every commit.
        self._folders: defaultdict[str, set[str]] = defaultdict(set)
        for name, content in (files or {}).items():
            self._add(name, content)
        self._holds: dict[str, bytes] = {}
        self._turns: defaultdict[str, _SharedTurn] = defaultdict(_SharedTurn)
        self._lock = threading.Lock()

    def _add(self, name: str, content: bytearray | bytes) -> None:
        self._files[name] = content
        folder, _, base = name.rpartition("/")
        self._folders[folder].add(base)

    def _say(self, name: str, content: bytes | None) -> None:
        if content is not None and len(content) > HOLD_BYTES_MAX:
            raise ValueError(f"a hold takes {HOLD_BYTES_MAX} bytes, not {len(content)}")
        with self._lock:
            if content is None:
                self._holds.pop(name, None)
            else:
                self._holds[name] = content

    def turn(self, name: str) -> _MemoryTurn:
        return _MemoryTurn(self._turns[name])

    def hold(self, name: str, content: bytes) -> _MemoryHold:
        if name in self._holds:
            raise FileExistsError(name)
        self._say(name, content)
        return _MemoryHold(self, name)

    def held(self, folder: str) -> list[bytes]:
        with self._lock:
            return [c for name, c in self._holds.items() if name.rpartition("/")[0] == folder]

    def _link(self, name: str, content: bytes) -> bool:
        with self._lock:
            if name in self._files:
                return False
            self._add(name, content)
            return True

    def create(self, name: str) -> _MemoryAppendFile:
        content = bytearray()
        with self._lock:
            if name in self._files:
                raise FileExistsError(name)
            self._add(name, content)
        return _MemoryAppendFile(content, self._lock)

    def extend(self, name: str) -> _MemoryAppendFile:
        """Open a file for appending again, where nobody else can be appending: in a backup."""
        content = bytearray(self._get(name))
        with self._lock:
            self._files[name] = content
        return _MemoryAppendFile(content, self._lock)

    def stage(self, content: bytes) -> _MemoryStagedFile:
        return _MemoryStagedFile(self, bytes(content))

    def exists(self, name: str) -> bool:
        return name in self._files

    def _get(self, name: str) -> bytearray | bytes:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def read(self, name: str) -> bytes:
        return bytes(self._get(name))

    def map(self, name: str, offset: int, length: int) -> memoryview:
        content = self._get(name)
        if len(content) < offset + length:
            raise EOFError(f"{name} is shorter than {offset + length} bytes")
        # A copy: a bytearray with an exported view could not grow any more.
        with self._lock:
            return memoryview(bytes(content[offset : offset + length]))

    def list(self, folder: str) -> list[str]:
        with self._lock:
            return sorted(self._folders[folder])

    def size(self, name: str) -> int:
        return len(self._get(name))

    def unlink(self, name: str) -> None:
        with self._lock:
            self._files.pop(name, None)
            folder, _, base = name.rpartition("/")
            self._folders[folder].discard(base)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> int | None:
        freed = 0
        with self._lock:
            content = self._files.get(name)
            if content is None:
                return 0
            if isinstance(content, bytes):
                content = self._files[name] = bytearray(content)
            for offset, length in ranges:
                zeros = bytes(len(content[offset : offset + length]))
                if content[offset : offset + length] != zeros:
                    content[offset : offset + length] = zeros
                    freed += length
        return freed

    def sync_directory(self, folder: str) -> None:
        """Nothing to do."""

    def local_path(self, name: str) -> Path | None:
        return None

    def adopt(self, path: Path, name: str) -> bool:
        raise NotImplementedError(f"{name} cannot be adopted: nothing is read by path here")

    def touch(self, name: str) -> None:
        """Nothing to note."""

    def modified_s(self, name: str) -> float:
        self._get(name)
        return 0.0

    def close(self) -> None:
        """Nothing to release; the content goes with the object."""
