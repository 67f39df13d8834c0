"""Content of files and objects, the door to it: one object a store.

bytes -> Content  -> effects -> committed with the element's row -> release
         (writer, editor, inline)
row   -> ContentReader
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ..effects import Delete, DeleteVector
from .chunk_bytes import PackPages
from .chunk_index import ChunkIndex
from .content import INLINE_BYTES_MAX, Content
from .content_editor import ContentEditor
from .content_reader import ContentReader, extents_of
from .content_writer import DOMAIN, ContentWriter, described, inline_content
from .extent import references, unpack
from .hashing import domain_key
from .segments import Segments
from .staged import EXTENT_SCHEMA, Staged, codes
from .tables import EXTENTS

if TYPE_CHECKING:
    from ..effects import Effect
    from ..keys.key_index import KeyIndexes
    from ..keys.key_run import Integers
    from ..snapshot import Snapshot
    from ..store import Store
    from .content_reader import Described, HasContent


_TOLD_MAX: Final = 512
"""Handles that a record names; of more it says that they may be any."""


class ContentStore:
    """The contents of a store. Thread-safe; what it gives out is as it says.

    Args:
        store: The store.
        keys: Key indexes to share; its own by default.
    """

    def __init__(self, store: Store, keys: KeyIndexes | None = None) -> None:
        self._store = store
        self._index = ChunkIndex(store, keys)
        self._pages = PackPages(store.pages)
        self._key = domain_key(store.id, DOMAIN)

    def inline(self, content: bytes) -> Content:
        """A content that stands in its element's row: no pages, and nothing to release."""
        return inline_content(bytes(content), self._key)

    def write(
        self, *, inline_bytes_max: int = INLINE_BYTES_MAX, previous: HasContent | None = None
    ) -> ContentWriter:
        """Begin to write a content.

        Args:
            inline_bytes_max: Bytes up to which it stands in its element's row; 0 for bulk writes,
                whose rows are too many to lie in commit records.
            previous: The element whose content it replaces, to store only what differs.

        Raises:
            Denied: The store was opened read-only, and the content is not a small one.
        """
        return ContentWriter(
            self._store,
            self._index,
            self._pages,
            inline_bytes_max=inline_bytes_max,
            previous=previous,
        )

    def read(self, snapshot: Snapshot, element: HasContent) -> ContentReader:
        """Open an element's content.

        Raises:
            Corrupt: Its extents are damaged.
        """
        return ContentReader(self._index, self._pages, snapshot, element, self._store.executor)

    def edit(self, snapshot: Snapshot, element: HasContent) -> ContentEditor:
        """Begin to change an element's content at random places.

        Raises:
            Denied: The store was opened read-only.
            Corrupt: Its extents are damaged.
        """
        return ContentEditor(self._store, self._index, self._pages, snapshot, element)

    def share(self, snapshot: Snapshot, element: Described) -> Content:
        """The content of an element for another one, without a look at its bytes.

        Raises:
            Denied: The store was opened read-only.
            Corrupt: Its extents are damaged.
        """
        etag = element.etag or ""
        if element.inline is not None:
            size = len(element.inline)
            said = etag, element.checksum, element.inline
            return Content(size, size, *said, None, None, None)
        extents = extents_of(self._index, snapshot, element)
        staged = Staged(Segments(self._store, snapshot), [], references(extents))
        content = described(extents, element.used, element.checksum, self._key, staged)
        return replace(content, etag=etag)

    def effects(self, snapshot: Snapshot, handle: int, content: Content) -> list[Effect]:
        """What must be committed with an element's row for its content.

        To be asked for anew, with the same content, for each attempt of a transaction.

        Args:
            snapshot: What the transaction builds on; it has the tables (``tables.creation``).
            handle: The element's handle.
            content: Its new content.

        Raises:
            Conflict: What the content shares with others was removed too long ago.
        """
        effects, kept = self._far_rows(snapshot, handle, content)
        staged = content.staged
        if staged is not None:
            effects.extend(staged.outcome(self._index, self._store, snapshot, kept))
        return effects

    def _far_rows(
        self, snapshot: Snapshot, handle: int, content: Content
    ) -> tuple[list[Effect], Integers]:
        """Replace an element's rows of ``extents``.

        Returns:
            The effects, and the first words of the chunks that rows which stay refer to.
        """
        effects: list[Effect] = []
        fresh: dict[int, bytes] = {}
        if content.far_extents is not None:
            starts, packed = (column.to_pylist() for column in content.far_extents.columns)
            fresh = dict(zip(starts, packed, strict=True))
        kept = [np.empty(0, dtype=np.int64)]
        rows = self._index.far_rows(snapshot, np.array([handle], dtype=np.int64))
        if rows is not None and rows[1].size:
            state, groups, positions, (starts, packed) = rows
            gone: dict[str, list[int]] = {}
            there = zip(starts.to_pylist(), packed.to_pylist(), strict=True)
            for (start, piece), group, position in zip(
                there, groups.tolist(), positions.tolist(), strict=True
            ):
                if fresh.get(start) == piece:
                    del fresh[start]
                    kept.append(unpack(piece)["first"])
                else:
                    gone.setdefault(state.row_groups[group].id, []).append(position)
            if gone:
                told = (codes(np.array([handle], dtype=np.int64)),)
                effects.append(Delete(EXTENTS, _vectors(gone), told))
        if fresh:
            assert content.staged is not None, "who has that many extents has written them"
            columns = [[handle] * len(fresh), list(fresh), list(fresh.values())]
            arrays = [
                pa.array(column, field.type)
                for column, field in zip(columns, EXTENT_SCHEMA, strict=True)
            ]
            batch = pa.RecordBatch.from_arrays(arrays, schema=EXTENT_SCHEMA)
            effects.extend(content.staged.extents(self._store, batch))
        return effects, np.concatenate(kept)

    def removed(self, snapshot: Snapshot, handles: Integers) -> list[Effect]:
        """What must be committed when elements go away.

        Args:
            snapshot: What the transaction builds on.
            handles: Of the elements: int64; any number.
        """
        rows = self._index.far_rows(snapshot, handles)
        if rows is None or not rows[1].size:
            return []
        state, groups, positions, _ = rows
        gone: dict[str, list[int]] = {}
        for group, position in zip(groups.tolist(), positions.tolist(), strict=True):
            gone.setdefault(state.row_groups[group].id, []).append(position)
        told = (codes(handles),) if handles.size <= _TOLD_MAX else ()
        return [Delete(EXTENTS, _vectors(gone), told)]

    def release(self, content: Content, *, committed: bool | None) -> None:
        """Let go of what a content holds, once its transaction has ended.

        Args:
            content: The content.
            committed: Whether it was committed; None where the outcome is unknown.
        """
        if content.staged is not None:
            content.staged.segments.release(committed=committed)


def _vectors(positions: dict[str, list[int]]) -> dict[str, DeleteVector]:
    return {
        group: DeleteVector.of(np.array(sorted(several), dtype=np.uint32))
        for group, several in positions.items()
    }
