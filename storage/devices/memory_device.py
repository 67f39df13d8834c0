"""A device in memory: throw-away stores (``:memory:``) and fast tests.

Derived hot files cannot live here, because the kernel attaches files by path;
``local_path`` answers None and the hot tier stays off.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


class MemoryDevice:
    """Files in a dictionary."""

    def __init__(self) -> None:
        self._files: dict[str, bytearray | bytes] = {}
        self._lock = threading.Lock()

    def _link(self, name: str, content: bytes) -> bool:
        with self._lock:
            if name in self._files:
                return False
            self._files[name] = content
            return True

    def create(self, name: str) -> _MemoryAppendFile:
        content = bytearray()
        with self._lock:
            if name in self._files:
                raise FileExistsError(name)
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
        prefix = folder + "/"
        with self._lock:
            rest = [name[len(prefix) :] for name in self._files if name.startswith(prefix)]
        return sorted(name for name in rest if "/" not in name)

    def size(self, name: str) -> int:
        return len(self._get(name))

    def unlink(self, name: str) -> None:
        with self._lock:
            self._files.pop(name, None)

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
