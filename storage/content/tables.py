"""The hidden tables that content lies in: their definitions, and what makes them.

    elements.extents, extents   which chunks, in order, a content is made of
    chunks                      where each chunk lies in its pack, and how to make its bytes of it
    packs                       on which page each pack lies

``chunks`` tells what is stored already, and ``packs`` names the pages that must stay: both are
ordinary tables, so that every version of the store has its own.

What the columns hold: docs/format/content.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ..effects import Column, Constraint, CreateSchema, CreateTable, TableDefinition, serialize_type

if TYPE_CHECKING:
    from ..effects import Effect
    from ..snapshot import Snapshot

SCHEMA: Final = "file_data"
ELEMENTS: Final = f"{SCHEMA}.elements"
EXTENTS: Final = f"{SCHEMA}.extents"
CHUNKS: Final = f"{SCHEMA}.chunks"
PACKS: Final = f"{SCHEMA}.packs"
INLINE_COLUMN: Final = "inline"
EXTENTS_COLUMN: Final = "extents"
"""Columns of ``elements`` that hold content, found by name: the table is another module's."""

_ARROW: Final = {
    "BIGINT": pa.int64(),
    "BLOB": pa.binary(),
    "INTEGER": pa.int32(),
    "TINYINT": pa.int8(),
    "UBIGINT": pa.uint64(),
}


def _definition(name: str, *columns: tuple[str, str]) -> TableDefinition:
    """A table whose rows are found by its first column, which may repeat."""
    made = tuple(
        Column(number, column, kind, serialize_type(_ARROW[kind]), nullable=column == "base")
        for number, (column, kind) in enumerate(columns, 1)
    )
    index = Constraint("index", (1,), name=f"{name}_{columns[0][0]}")
    return TableDefinition(f"{SCHEMA}.{name}", SCHEMA, name, made, len(made) + 1, (index,))


EXTENTS_TABLE: Final = _definition(
    "extents", ("handle", "BIGINT"), ("start", "BIGINT"), ("extents", "BLOB")
)
CHUNKS_TABLE: Final = _definition(
    "chunks",
    ("code", "BIGINT"),
    ("hash", "BLOB"),
    ("pack", "BIGINT"),
    ("start", "INTEGER"),
    ("length", "INTEGER"),
    ("stored", "INTEGER"),
    ("codec", "TINYINT"),
    ("within", "INTEGER"),
    ("base", "BLOB"),
)
PACKS_TABLE: Final = _definition(
    "packs",
    ("pack", "BIGINT"),
    ("segment", "UBIGINT"),
    ("offset", "BIGINT"),
    ("length", "BIGINT"),
    ("checksum", "UBIGINT"),
    ("domain", "INTEGER"),
)
NEVER_SCANNED: Final = frozenset({EXTENTS, CHUNKS, PACKS})
"""Tables whose rows are looked up by key, and asked for by no query: a copy would be waste."""
KEY: Final = (1,)
"""Column ids of the index of each of the tables."""


def creation(snapshot: Snapshot) -> list[Effect]:
    """The effects that make what is missing of the tables, for the transaction that needs them.

    Two first users meet in a Conflict on the names, and the second one runs again.
    """
    effects: list[Effect] = []
    if SCHEMA not in snapshot.schemas:
        effects.append(CreateSchema(SCHEMA))
    effects.extend(
        CreateTable(definition)
        for definition in (EXTENTS_TABLE, CHUNKS_TABLE, PACKS_TABLE)
        if definition.id not in snapshot.tables
    )
    return effects
