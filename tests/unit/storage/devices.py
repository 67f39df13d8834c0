"""Devices that observe or fail, around one that works."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pagelake.errors import OutcomeUnknown, StorageFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.devices.device import AppendFile, Device, StagedFile


class CountingDevice:
    """Counts calls, and lets a test act just before one.

    Args:
        device: What does the work.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.calls: Counter[str] = Counter()
        self.before_link: Callable[[str], None] | None = None
        self.failing_sync: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def stage(self, content: bytes) -> StagedFile:
        self.calls["stage"] += 1
        return _ObservedStagedFile(self, self.device.stage(content))

    def sync_directory(self, folder: str) -> None:
        self.calls[f"sync {folder}"] += 1
        if folder == self.failing_sync:
            raise OutcomeUnknown(f"syncing {folder} failed")
        self.device.sync_directory(folder)


class _ObservedStagedFile:
    def __init__(self, observer: CountingDevice, staged: StagedFile) -> None:
        self._observer = observer
        self._staged = staged

    def link(self, name: str) -> bool:
        if self._observer.before_link is not None:
            self._observer.before_link(name)
        self._observer.calls["link"] += 1
        return self._staged.link(name)

    def discard(self) -> None:
        self._staged.discard()


class FullDevice:
    """Has no room from the n-th call that needs some, until it is given room again.

    Args:
        device: What does the work.

    Attributes:
        room: How many more appends, new files and staged files there is room for; None means
            any number.
        refused: Calls that were refused.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.room: int | None = None
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def take(self) -> None:
        if self.room is None:
            return
        if self.room == 0:
            self.refused += 1
            raise StorageFull("the device has no room left")
        self.room -= 1

    def create(self, name: str) -> AppendFile:
        self.take()
        return _FullAppendFile(self, self.device.create(name))

    def stage(self, content: bytes) -> StagedFile:
        self.take()
        return self.device.stage(content)


class _FullAppendFile:
    def __init__(self, owner: FullDevice, file: AppendFile) -> None:
        self._owner = owner
        self._file = file

    @property
    def size(self) -> int:
        return self._file.size

    def append(self, *parts: bytes | memoryview) -> int:
        self._owner.take()
        return self._file.append(*parts)

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.close()
