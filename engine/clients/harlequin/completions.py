"""What Harlequin completes besides the catalog's names: functions, settings and keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harlequin.autocomplete.completion import HarlequinCompletion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...connection import Cursor

_KEYWORD, _FUNCTION, _SETTING = 100, 1000, 1100
"""Harlequin's order: words of the language first, then the catalog's names, then functions."""


def completions(cursor: Cursor) -> list[HarlequinCompletion]:
    """Functions, settings and the keywords of the dialect."""
    return [
        *_of("kw", _KEYWORD, cursor.sql("SELECT keyword_name FROM duckdb_keywords()").fetchall()),
        *_of(
            "fn",
            _FUNCTION,
            cursor.sql(
                "SELECT DISTINCT function_name FROM duckdb_functions() "
                "WHERE function_name SIMILAR TO '[a-z_][a-z0-9_]*' ORDER BY ALL"
            ).fetchall(),
        ),
        *_of("set", _SETTING, cursor.sql("SELECT name FROM pagelake.settings").fetchall()),
    ]


def _of(kind: str, priority: int, rows: Iterable[tuple[str]]) -> list[HarlequinCompletion]:
    return [
        HarlequinCompletion(label=name, type_label=kind, value=name, priority=priority)
        for (name,) in rows
    ]
