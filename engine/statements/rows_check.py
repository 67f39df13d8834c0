"""Whether the rows that a table has meet a constraint that it is to get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConstraintViolation
from ...sql.tokens import quote
from ..query import bind_text, open_route
from .constraint_names import called
from .key_check import as_key

if TYPE_CHECKING:
    from ...storage.effects import Column, Constraint, TableDefinition
    from ...storage.transaction import Transaction
    from ..session import Session


def refuse_nulls(
    session: Session, transaction: Transaction, definition: TableDefinition, column: Column
) -> None:
    """Refuse NOT NULL where a row has none.

    Raises:
        ConstraintViolation: There is such a row.
    """
    if _has_rows(session, transaction, definition, f"WHERE {quote(column.name)} IS NULL"):
        raise ConstraintViolation(
            f"NOT NULL constraint failed: {definition.name}.{column.name} has NULLs",
            hint="give those rows a value first",
        )


def refuse_duplicates(
    session: Session,
    transaction: Transaction,
    definition: TableDefinition,
    becomes: TableDefinition,
    key: Constraint,
) -> None:
    """Refuse a key that rows share.

    Args:
        session: Who asks.
        transaction: Sees the rows.
        definition: The table as it is.
        becomes: The table as it is to be; columns may be added to it.
        key: A constraint of that one.

    Raises:
        ConstraintViolation: There are such rows.
    """
    before = {column.id for column in definition.columns}
    added = [c for c in becomes.columns if c.id in key.columns and c.id not in before]
    names = [quote(c.name) for c in becomes.columns if c.id in key.columns]
    keys = [as_key(quote(c.name), c) for c in becomes.columns if c.id in key.columns]
    present = " AND ".join(f"{name} IS NOT NULL" for name in names)
    condition = f"WHERE {present} GROUP BY {', '.join(keys)} HAVING count(*) > 1"
    if added:
        if any(column.initial is None for column in added):
            return  # NULL in every row
        condition = "HAVING count(*) > 1"  # the same value in every row
    if _has_rows(session, transaction, definition, condition):
        raise ConstraintViolation(
            f"{key.kind.replace('_', ' ').upper()} constraint{called(key)} failed: "
            f"{definition.name} has duplicates in ({', '.join(names)})"
        )


def _has_rows(
    session: Session, transaction: Transaction, definition: TableDefinition, condition: str
) -> bool:
    named = f"{quote(definition.schema)}.{quote(definition.name)}"
    sql = f"SELECT 1 FROM {named} {condition} LIMIT 1"
    logical = bind_text(session, sql, transaction.snapshot)
    opened = open_route(session, logical, None, transaction.snapshot)
    drained = False
    try:
        found = opened.cursor.execute(sql).fetchall()
        drained = True
    finally:
        opened.close(drained=drained)
    return bool(found)
