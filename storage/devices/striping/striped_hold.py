"""Holds on a striped device: on one child more than may be lost, so that somebody sees them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ....errors import Denied, OutcomeUnknown, Unavailable

if TYPE_CHECKING:
    from ..device import Hold
    from .members import Members

_FAILURES = (OSError, Unavailable, OutcomeUnknown, Denied)


class StripedHold:
    """A hold on the first ``parity`` + 1 children that are in use and take one.

    Whoever looks, looks on all children. Children that cannot take a hold are passed over, never
    left out for it: holds are advice.

    Args:
        members: The children.
        name: Of the hold.
        content: What it says at first.

    Raises:
        FileExistsError: The name is taken.
        Unavailable: No child took it.
    """

    __slots__ = ("__weakref__", "_content", "_lock", "_members", "_name", "_parts")

    def __init__(self, members: Members, name: str, content: bytes) -> None:
        self._members = members
        self._name = name
        self._content: bytes | None = content
        self._lock = threading.RLock()
        self._parts: dict[int, tuple[object, Hold]] = {}
        with self._lock:
            failure = self._spread()
        if not self._parts:
            raise failure or Unavailable("no device takes a hold")

    def _spread(self) -> Exception | None:
        """Hold on as many children as there should be; the last failure, if there was one."""
        failure: Exception | None = None
        assert self._content is not None
        live = self._members.live()
        for index in list(self._parts):
            child, part = self._parts[index]
            # Another directory may have taken the child's place.
            if index not in live or self._members[index] is not child:
                part.release()
                del self._parts[index]
        for index in live:
            if len(self._parts) > self._members.devices.parity:
                break
            if index in self._parts:
                continue
            child = self._members[index]
            try:
                self._parts[index] = (child, child.hold(self._name, self._content))
            except FileExistsError:
                raise
            except _FAILURES as error:
                failure = error
        return failure

    def renew(self) -> None:
        """Others are in use than before: hold on those."""
        with self._lock:
            if self._content is not None:
                try:
                    self._spread()
                except (FileExistsError, Unavailable):
                    return  # what is held already has to do

    def update(self, content: bytes) -> None:
        """Say something else instead.

        Raises:
            Unavailable: No child took it.
        """
        with self._lock:
            self._content = content
            for index, (_, part) in list(self._parts.items()):
                try:
                    part.update(content)
                except _FAILURES:
                    part.release()
                    del self._parts[index]
            failure = self._spread()
            if not self._parts:
                raise failure or Unavailable("no device takes a hold")

    def release(self) -> None:
        """Take it back. Calling twice is allowed."""
        with self._lock:
            self._content = None
            for _, part in self._parts.values():
                part.release()
            self._parts.clear()
