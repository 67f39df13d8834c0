"""Views of files: those that compute a path from two stored columns.

    CASE parent_path WHEN '/' THEN '' ELSE parent_path END || '/' || name AS "path"

They are the system's own and read one table each, whose rows lie in the order of ``parent_path``
and ``name``. Names there hold no slash, and the root alone has an empty one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from .provider import RelationKind

if TYPE_CHECKING:
    from .provider import Relation

PATH_COLUMNS: Final = frozenset({"path", "parent_path", "search_path"})
"""Columns of such a view that tell where its rows lie."""

_PREFIX: Final = "CASE parent_path WHEN '/' THEN '' ELSE parent_path END || '/'"
_VIEW: Final = re.compile(
    rf'\ASELECT {re.escape(_PREFIX)} \|\| name AS "path", .*'
    rf'{re.escape(_PREFIX)} AS "search_path".* FROM "(\w+)"\."((?:[^"]|"")+)"(?: WHERE .*)?\Z',
    re.DOTALL,
)
_SCHEMAS: Final = frozenset({"catalog_data", "file_data"})
"""Schemas in which only the system makes tables."""
_LABEL: Final = ', directory AS "directory"'


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """What a view of files reads.

    Attributes:
        schema: The schema of its table.
        table: The table's name.
        labelled: True where rows have the label of their directory, in a column ``directory``.
    """

    schema: str
    table: str
    labelled: bool


def stored_files(relation: Relation) -> StoredFiles | None:
    """Tell what a relation reads, None where it is no view of files."""
    return _read(relation.sql) if relation.kind is RelationKind.VIEW else None


@lru_cache(maxsize=64)
def _read(sql: str) -> StoredFiles | None:
    found = _VIEW.match(sql)
    if found is None or found[1] not in _SCHEMAS:
        return None
    return StoredFiles(found[1], found[2].replace('""', '"'), _LABEL in sql)
