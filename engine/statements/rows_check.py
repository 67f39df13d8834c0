"""Whether the rows that a table has meet a constraint that it is to get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConstraintViolation
from ...sql.tokens import quote
from ..query import bind_text, open_route

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
    session: Session, transaction: Transaction, definition: TableDefinition, key: Constraint
) -> None:
    """Refuse a key that rows share.

    Raises:
        ConstraintViolation: There are such rows.
    """
    names = [quote(c.name) for c in definition.columns if c.id in key.columns]
    present = " AND ".join(f"{name} IS NOT NULL" for name in names)
    condition = f"WHERE {present} GROUP BY {', '.join(names)} HAVING count(*) > 1"
    if _has_rows(session, transaction, definition, condition):
        raise ConstraintViolation(
            f"{key.kind.replace('_', ' ').upper()} constraint failed: "
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
