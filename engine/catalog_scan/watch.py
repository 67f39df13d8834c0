"""A catalog kept fresh: a scan, and from then on a small one for whatever the kernel tells of.

    watch begins ─▶ scan ─▶ events ─▶ wait a little for more ─▶ list those directories ─▶ commit ─┐
                              ▲                                                                  │
                              └──────────────────────────────────────────────────────────────────┘

The watch begins before the scan, so that nothing is missed between them. Where the kernel has
dropped events, all directories are looked at.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest, Unavailable
from ...extensions.catalog.coordinator import root_of
from ...extensions.catalog.names import text_of
from ...extensions.catalog.rescan.crew import Crew
from ...extensions.catalog.rescan.network import is_network
from ...extensions.catalog.watching.watcher import Area, Events, open_watcher
from .scan import rescan_directories, scan, store_directories, with_skip

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...extensions.catalog.block import WalkProgress
    from ...extensions.catalog.watching.watcher import Watcher
    from ..session import Session
    from .account import ScanRequest, ScanSummary

DEBOUNCE_SECONDS: Final = 0.2
"""How long after its first event a change may still be going on: unpacking an archive is one."""

POLL_SECONDS: Final = 0.1
ROOT_SECONDS: Final = 1.0
"""How often is looked whether the root is still there: its going is no event in it."""


@dataclass(slots=True)
class Watching:
    """A watch over one tree.

    Attributes:
        session: Whose statements the scans are.
        request: What to scan.
        poll: Called ten times a second; what it raises ends the watch.
        on_scan: Told of every scan that was made.
        on_progress: Told how far the first scan is.
        ways: How to watch, in order of preference.
    """

    session: Session
    request: ScanRequest
    poll: Callable[[], None]
    on_scan: Callable[[ScanSummary], None]
    on_progress: Callable[[WalkProgress], None] | None = None
    ways: tuple[str, ...] = ("fanotify", "inotify")

    def run(self) -> None:
        """Scan, and go on until `poll` or the session's interrupt ends it.

        Raises:
            Interrupted: Somebody ended it.
            InvalidRequest: The root is no directory or cannot be read.
            Unsupported: Trees cannot be watched on this system.
            Unavailable: The root has gone, or there are too many directories to be watched.
        """
        request = with_skip(self.session, self.request)
        root, own = root_of(request.directory, request.options)
        apart = tuple(os.fsencode(path) for path in store_directories(self.session))
        one = request.options.one_file_system
        with closing(open_watcher(Area(root, apart, one), self.ways)) as watcher:
            self.on_scan(scan(self.session, request, self.on_progress))
            request = replace(request, full=False)
            here = not is_network(root)
            crew = Crew(root, int(own["device"]), request.options, None, here)
            with closing(crew):
                self._follow(watcher, request, root, crew)

    def _follow(self, watcher: Watcher, request: ScanRequest, root: bytes, crew: Crew) -> None:
        identity = _identity(root)
        ready = select.poll()
        ready.register(watcher.fileno(), select.POLLIN)
        looked = time.monotonic()
        while True:
            self.poll()
            if not ready.poll(POLL_SECONDS * 1000):
                if time.monotonic() - looked >= ROOT_SECONDS:
                    looked = time.monotonic()
                    _require(root, identity)
                continue
            events = self._gathered(watcher)
            _require(root, identity)
            try:
                if events.lost:
                    self.on_scan(scan(self.session, request))
                elif events.dirty:
                    dirty = frozenset(events.dirty)
                    self.on_scan(rescan_directories(self.session, request, root, crew, dirty))
            except InvalidRequest:
                _require(root, identity)  # it went between
                raise

    def _gathered(self, watcher: Watcher) -> Events:
        """Take what there is, wait a little, and take what has come since."""
        events = watcher.read()
        if events.dirty or events.lost:
            until = time.monotonic() + DEBOUNCE_SECONDS
            while (left := until - time.monotonic()) > 0:
                self.poll()
                time.sleep(min(left, POLL_SECONDS))
            more = watcher.read()
            events.dirty |= more.dirty
            events.lost |= more.lost
        return events


def _identity(root: bytes) -> tuple[int, int]:
    try:
        found = os.lstat(root)
    except OSError as error:
        raise _gone(root) from error
    return found.st_dev, found.st_ino


def _require(root: bytes, identity: tuple[int, int]) -> None:
    if _identity(root) != identity:
        raise _gone(root)


def _gone(root: bytes) -> Unavailable:
    return Unavailable(
        f"{text_of(root)!r} is gone, or another directory stands in its place",
        hint="the catalog is as it was last; scan again when it is back",
    )
