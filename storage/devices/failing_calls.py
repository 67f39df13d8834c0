"""File calls of which one fails on purpose.

A run is repeated with the first call failing, then the second, and so on until none is left
to fail: every way in which the operating system can let a store down, once each.
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from .file_calls import SYSTEM_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .file_calls import FileCalls


class Fault(Enum):
    """How a call fails.

    The value is the error number, None for a write that writes a part of what it was given.
    """

    EIO = errno.EIO
    ENOSPC = errno.ENOSPC
    EINTR = errno.EINTR
    SHORT_WRITE = None


_WRITES = frozenset({"writev", "pwrite"})
# What a full device may refuse: whatever takes room, or settles what took it.
_TAKES_ROOM = frozenset(
    {"open", "writev", "pwrite", "fsync", "fdatasync", "link", "link_unnamed", "mkdir", "punch"}
)


class FailingCalls:
    """Counts file calls and lets one of them fail.

    Only calls that the fault is possible for are counted: a short write is for writes, a full
    device for what takes room.

    Args:
        fault: How the call fails.
        at: Which call fails, counted from 1; 0 for none.
        late: Do what was asked for before failing, as a device may that loses the answer only.
        calls: The operating system behind.

    Attributes:
        fault: How the call fails.
        calls: The file calls to give to a device.
        counted: How many calls were counted so far.
        failed: Name of the call that failed, None until then.
    """

    def __init__(
        self,
        fault: Fault,
        at: int = 0,
        *,
        late: bool = False,
        calls: FileCalls = SYSTEM_CALLS,
    ) -> None:
        self.fault = fault
        self._at = at
        self._late = late
        self._lock = threading.Lock()
        self._close = calls.close
        self.counted = 0
        self.failed: str | None = None
        possible = {
            Fault.SHORT_WRITE: _WRITES,
            Fault.ENOSPC: _TAKES_ROOM,
        }.get(fault, frozenset(field.name for field in fields(calls)))
        self.calls = replace(
            calls, **{name: self._counting(name, getattr(calls, name)) for name in possible}
        )

    def _counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            with self._lock:
                self.counted += 1
                if self.counted != self._at:
                    chosen = False
                else:
                    chosen, self.failed = True, name
            return self._fail(name, call, arguments) if chosen else call(*arguments)

        return counted

    def _fail(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        code = self.fault.value
        if code is None:
            return call(arguments[0], *_shortened(name, arguments[1:]))
        # A failed close has released the descriptor all the same; one that stays open would be
        # a leak of this module's making.
        if self._late or name == "close":
            done = call(*arguments)
            if name == "open":
                self._close(done)
            elif name == "map":
                done.close()
        raise OSError(code, os.strerror(code))


def _shortened(name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of a write for the first half of the bytes only."""
    if name == "pwrite":
        content, offset = arguments
        return content[: max(1, len(content) // 2)], offset
    views = [memoryview(part).cast("B") for part in arguments[0]]
    left = max(1, sum(map(len, views)) // 2)
    kept = []
    for view in views:
        kept.append(view[:left])
        left -= len(kept[-1])
        if not left:
            break
    return (kept,)
