"""The catalogs that a store has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UnknownName
from ...extensions.catalog.relations import HIDDEN_SCHEMA, Relations
from ...sql.names import close_matches

if TYPE_CHECKING:
    from ...storage.snapshot import Snapshot


def catalogs(snapshot: Snapshot) -> list[str]:
    """Names of the catalogs that a store has."""
    suffix = Relations("x").entries.name[1:]
    tables = (state.definition for state in snapshot.tables.values())
    return sorted(
        table.name.removesuffix(suffix)
        for table in tables
        if table.schema == HIDDEN_SCHEMA and table.name.endswith(suffix)
    )


def unknown(snapshot: Snapshot, name: str) -> UnknownName:
    """Return the error about a catalog that is not there."""
    return UnknownName(
        f'there is no catalog "{name}"',
        name=name,
        suggestions=close_matches(name, catalogs(snapshot)),
    )
