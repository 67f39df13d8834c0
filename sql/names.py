"""Close matches for names that do not exist."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def close_matches(name: str, candidates: Iterable[str], *, at_most: int = 3) -> tuple[str, ...]:
    """Names that a misspelt one could have meant, nearest first, as they are written.

    Args:
        name: What was asked for.
        candidates: What exists.
        at_most: How many to suggest.
    """
    schema, dot, _ = name.lower().rpartition(".")
    # Of names in one schema the schema says nothing, and would make all of them near.
    shared = schema + dot
    by_folded = {candidate.lower().removeprefix(shared): candidate for candidate in candidates}
    asked = name.lower().removeprefix(shared)
    near = difflib.get_close_matches(asked, by_folded, n=at_most, cutoff=0.6)
    return tuple(by_folded[folded] for folded in near)
