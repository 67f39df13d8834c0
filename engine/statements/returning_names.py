"""Names of what RETURNING answers: the kernel calls an expression by what it makes of it.

``RETURNING t.a + 1`` is called ``(a + 1)``, with the casts that binding adds, where a query would
call it ``(t.a + 1)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from ...sql.tokens import TokenStream, quote
from ..native.catalog_copy import catalog_copy

if TYPE_CHECKING:
    from ...storage.effects import TableDefinition
    from .change import Change


def kernel_names(
    change: Change, definition: TableDefinition, returning: str, alias: str | None
) -> list[str] | None:
    """Names that the kernel gives to the columns of RETURNING; None where a query's are the same.

    Args:
        change: The statement's surroundings.
        definition: The table.
        returning: The select list.
        alias: What the statement calls the table, if not by its name.
    """
    if _is_plain(returning, {column.name.lower() for column in definition.columns}):
        return None
    session, snapshot = change.session, change.transaction.snapshot
    try:
        with catalog_copy(
            session, snapshot, session.schema, tables=[definition.id], foreign_keys=False
        ) as copy:
            table = copy.table(snapshot.tables[definition.id])
            named = f"{table} AS {quote(alias or definition.name)}"
            sql = f"DELETE FROM {named} WHERE false RETURNING {returning}"
            return [str(column[0]) for column in copy.cursor.execute(sql).description]
    except duckdb.Error:
        return None  # the answer itself will tell what is wrong


def _is_plain(returning: str, columns: set[str]) -> bool:
    """Tell whether there are only columns, stars and expressions that are given a name."""
    stream = TokenStream(returning)
    while not stream.at_end():
        start, first = stream.at, str(stream.tokens[stream.at].text).lower()
        while not stream.at_end() and stream.word() != ",":
            stream.skip_balanced()
        is_named = stream.at - start > 2 and stream.word(-2) == "AS"
        is_alone = stream.at - start == 1 and (first in columns or first == "*")
        if not is_alone and not is_named:
            return False
        stream.accept(",")
    return True
