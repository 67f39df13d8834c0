"""Attributes of directories, remembered for a moment.

The kernel asks for a directory's attributes after every change in it, and finding out when
something last came or went there, and how many directories lie in it, costs more than the change.
What a new file changes of them is known; after anything else they are looked up.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...storage.files.element import Element

GOOD_FOR_S: Final = 1.0
"""What others have changed is told sooner, where it can be told."""
DIRECTORIES_MAX: Final = 1024


class DirectoryAttributes:
    """Directories as they were seen last; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes = 0
        self._known: OrderedDict[int, tuple[float, Element]] = OrderedDict()

    def get(self, handle: int) -> Element | None:
        """A directory, when it is known as it is now."""
        found = self._known.get(handle)
        if found is None or time.monotonic() - found[0] > GOOD_FOR_S:
            return None
        return found[1]

    def begin(self) -> int:
        """Note a moment before a directory is looked up."""
        return self._changes

    def note(self, element: Element, begun: int) -> None:
        """Remember a directory that was looked up, unless any was changed since `begin`."""
        with self._lock:
            if begun == self._changes:
                self._known[element.handle] = time.monotonic(), element
                self._known.move_to_end(element.handle)
                if len(self._known) > DIRECTORIES_MAX:
                    self._known.popitem(last=False)

    def entered(self, made: Element) -> None:
        """Something was made in a directory."""
        if made.is_directory:
            self.forget(made.parent_handle)
            return
        with self._lock:
            self._changes += 1
            known = self._known.get(made.parent_handle)
            if known is None:
                return
            when, directory = known
            # Right as well where it was looked up after this had been made.
            moment = max(made.linked_time or 0, directory.ctime or 0)
            directory = replace(directory, mtime=moment, ctime=moment)
            self._known[made.parent_handle] = when, directory

    def forget(self, *handles: int) -> None:
        """Directories were changed in some other way; without handles, any may have been."""
        with self._lock:
            self._changes += 1
            for handle in handles:
                self._known.pop(handle, None)
            if not handles:
                self._known.clear()
