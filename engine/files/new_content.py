"""The contents that a statement makes: staged as its rows go by, let go when all is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...storage.content.content import INLINE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.content.content import Content
    from ...storage.content.content_store import ContentStore
    from ...storage.transaction import Transaction

RECORD_BYTES_MAX: Final = 64 << 10
"""Bytes of contents that a statement leaves in the commit record, beside the files' rows."""
EFFECTS_MAX: Final = 64
"""Effects of a transaction beyond which its statements leave none there: there are very many."""


def new_contents(
    store: ContentStore, transaction: Transaction, values: Sequence[bytes | None]
) -> list[Content | None]:
    """Write the contents of some files, with one sync for all of them.

    Args:
        store: Where they go.
        transaction: The transaction that will commit them, all in one statement's effects.
        values: The bytes; None for a file that has none.

    Returns:
        The contents, in order; None for empty ones.

    Raises:
        StorageFull: There is no room.
    """
    sizes = [len(value) for value in values if value]
    is_small = sum(sizes) <= RECORD_BYTES_MAX and len(transaction.effects) <= EFFECTS_MAX
    if is_small and max(sizes, default=0) <= INLINE_BYTES_MAX:
        return [store.inline(value) if value else None for value in values]
    contents: list[Content | None] = []
    left = len(sizes)
    with store.write(inline_bytes_max=0) as writer:
        for value in values:
            if not value:
                contents.append(None)
                continue
            writer.write(value)
            left -= 1
            contents.append(writer.next() if left else writer.finish())
    for content in contents:
        if content is not None:
            hold(store, transaction, content)
    return contents


def hold(store: ContentStore, transaction: Transaction, content: Content) -> None:
    """Let go of a content once its transaction has ended."""
    transaction.on_end.append(lambda committed: store.release(content, committed=committed))
