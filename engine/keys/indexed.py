"""Which keys the store indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...storage.keys.key_index import has_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.effects import Column

_EQUAL_IN_SEVERAL_FORMS = frozenset({"INTERVAL", "TIME WITH TIME ZONE", "TIMETZ", "GEOMETRY"})
"""Types whose stored values may differ where the values are equal: 1 month and 30 days."""


def is_indexed(columns: Sequence[Column]) -> bool:
    """Tell whether keys of these columns are equal exactly where their stored values are."""
    plain = all(c.type.upper() not in _EQUAL_IN_SEVERAL_FORMS for c in columns)
    return plain and has_codes(columns)
