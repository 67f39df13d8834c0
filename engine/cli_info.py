"""`pagelake info`: what a store holds, read from the system relations by SQL."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from .. import __version__
from .output.terminal import visible
from .shell.presenter import count_text

if TYPE_CHECKING:
    from .connection import Connection

# Name in the description -> system relation; each is shown whole, in the relation's own columns.
_RELATIONS = {
    "tables": "relations",
    "segments": "segments",
    "hot_segments": "hot_segments",
    "settings": "settings",
}


def show_info(con: Connection, *, as_json: bool) -> None:
    """Print what a store holds.

    Args:
        con: A connection to the store.
        as_json: Whether to print one JSON object instead of lines for people.
    """
    description: dict[str, object] = {
        "store": str(con.path),
        "engine": __version__,
        "version": con.snapshot(),
    }
    for name, relation in _RELATIONS.items():
        description[name] = _rows(con, relation)
    if as_json:
        sys.stdout.write(json.dumps(description, default=str, ensure_ascii=False, indent=2) + "\n")
        return
    lines: list[str] = []
    for name, value in description.items():
        label = name.replace("_", " ")
        if not isinstance(value, list):
            lines.append(f"{label:<14}{visible(str(value))}")
            continue
        lines.append(f"{label:<14}{count_text(len(value), 'row')}")
        lines += [
            "  " + ", ".join(f"{key} {visible(str(cell))}" for key, cell in row.items())
            for row in value
        ]
    sys.stdout.write("\n".join(lines) + "\n")


def _rows(con: Connection, relation: str) -> list[dict[str, object]]:
    result = con.sql(f"SELECT * FROM pagelake.{relation}")
    return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]
