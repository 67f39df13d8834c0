"""Rows of elements that were found lately, kept from one version to the next.

A row does not change, it is replaced; and whoever replaces or removes rows tells their handles
(`definition`). So what was found in one version holds in the next one, but for the rows that were
told. Where a version does not tell all, nothing is kept.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from ..conflict import Kind
from ..snapshot import OVERLAY_STAMP
from .definition import ELEMENTS, HANDLE_KEY
from .key_code import handle_of_code

if TYPE_CHECKING:
    from ..snapshot import Snapshot
    from ..store import Store
    from .element import Element

ROWS_MAX: Final = 1 << 16
"""Rows that are kept."""
CONTENT_BYTES_MAX: Final = 32 << 20
"""Bytes of content that are kept with them."""
VERSIONS_MAX: Final = 512
"""Versions that are looked through; after more of them, beginning anew costs less."""
_KEPT: Final = frozenset({Kind.APPEND, Kind.KEYED_APPEND, Kind.DELETE, Kind.RELY, Kind.INDEX})
"""What versions may have done to the table if rows are to be kept."""


class KnownRows:
    """Rows that were found; thread-safe.

    An entry holds from the version that it was found in, and as long as it is there.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._version = -1
        self._rows: dict[int, tuple[Element, int]] = {}
        self._names: dict[tuple[int, str], int] = {}
        self._content_bytes = 0

    def follow(self, snapshot: Snapshot) -> bool:
        """Forget what does not hold any more in a version.

        Returns:
            False for a snapshot with changes that are not committed: nothing is known of it.
        """
        state = snapshot.tables.get(ELEMENTS)
        if snapshot.overlay or state is None or state.changed >= OVERLAY_STAMP:
            return False
        if snapshot.version > self._version:
            with self._lock:
                if snapshot.version > self._version:
                    self._advance(snapshot.version)
        return True

    def _advance(self, version: int) -> None:
        if self._rows and (
            version - self._version > VERSIONS_MAX
            or not all(map(self._look_through, range(self._version + 1, version + 1)))
        ):
            self._forget_all()
        self._version = version

    def _look_through(self, version: int) -> bool:
        """Forget what a version has replaced; False where it does not tell that."""
        try:
            footprint, _ = self._store.head.recent.footprint(version)
        except KeyError:
            return False
        kinds = footprint.tables.get(ELEMENTS, set())
        if Kind.DELETE not in kinds:
            return kinds <= _KEPT
        told = (footprint.removed.codes(ELEMENTS) or {}).get(HANDLE_KEY, set())
        gone = sum(
            vector.count
            for (table, _), vectors in footprint.deletes.items()
            if table == ELEMENTS
            for vector in vectors
        )
        if not kinds <= _KEPT or len(told) != gone:
            return False
        for code in told:
            self._rows.pop(handle_of_code(code), None)
        return True

    def _forget_all(self) -> None:
        # Others may be reading the old ones.
        self._rows, self._names, self._content_bytes = {}, {}, 0

    def row(self, handle: int, version: int) -> Element | None:
        """The row of a handle, if it is known to be there in a version."""
        known = self._rows.get(handle)
        return known[0] if known is not None and known[1] <= version else None

    def child(self, parent: int, name: str, version: int) -> Element | None:
        """The row of a name, if it is known to be there in a version."""
        handle = self._names.get((parent, name))
        row = None if handle is None else self.row(handle, version)
        if row is None or row.parent_handle != parent or row.name != name:
            return None
        return row

    def note(self, row: Element, version: int) -> None:
        """Keep a row that was found in a version, unless that is not the newest one any more."""
        with self._lock:
            if version != self._version:
                return
            self._content_bytes += len(row.inline or b"") + len(row.extents or b"")
            if len(self._rows) >= ROWS_MAX or self._content_bytes > CONTENT_BYTES_MAX:
                self._forget_all()
            self._rows[row.handle] = row, version
            self._names[row.parent_handle, row.name] = row.handle
