"""EXPORT DATABASE and IMPORT DATABASE: the kernel writes and names the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sql import statement as st
from ...sql.logical import LogicalPlan
from ...sql.tokens import literal
from ..query import open_route
from ..result import Result
from ..statements.change import Change
from .catalog_copy import catalog_copy
from .mirror import BEFORE, Mirror

if TYPE_CHECKING:
    from ..session import Session


def run(session: Session, statement: st.ExportDatabase | st.ImportDatabase) -> Result:
    """Run EXPORT DATABASE or IMPORT DATABASE."""
    if isinstance(statement, st.ImportDatabase):
        return _import(session, statement)
    return _export(session, statement)


def _export(session: Session, statement: st.ExportDatabase) -> Result:
    """Write schema and rows of the whole store to a folder."""
    transaction = session.transactions.current or session.database.store.begin()
    snapshot = transaction.snapshot
    nothing = LogicalPlan(statement.target, ())
    opened = open_route(session, nothing, None, snapshot)
    drained = False
    try:
        with catalog_copy(session, snapshot, session.schema, None) as copy:
            Mirror(Change(session, transaction), copy, opened, {}).fill(nothing)
            copy.cursor.execute(f"DROP SCHEMA {copy.database}.{BEFORE} CASCADE")
            with session.guard.watch(copy.cursor):
                copy.cursor.execute(
                    f"EXPORT DATABASE {copy.database} TO {statement.target} {statement.options}"
                )
        drained = True
    finally:
        opened.close(drained=drained)
        if transaction is not session.transactions.current:
            transaction.rollback()
    return Result(None)


def _import(session: Session, statement: st.ImportDatabase) -> Result:
    """Run the scripts of a folder that EXPORT DATABASE has written."""
    for script in ("schema.sql", "load.sql"):
        path = f"concat({statement.source}, {literal('/' + script)})"
        rows = session.database.kernel.execute(f"SELECT content FROM read_text({path})")
        for (content,) in rows:
            session.execute(str(content)).close()
    return Result(None)
