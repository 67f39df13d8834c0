"""EXPORT DATABASE and IMPORT DATABASE: the kernel writes and names the files."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...sql import statement as st
from ...sql.logical import LogicalPlan
from ...sql.tokens import literal, quote
from ...storage.schema_path import SEPARATOR, respelled
from ..query import open_route
from ..result import Result
from ..statements.change import Change
from ..statements.constraint_names import INDEX_KINDS, with_given_names
from ..statements.describe import speller
from ..statements.shadow import render
from .catalog_copy import CatalogCopy, catalog_copy
from .mirror import Mirror
from .row_gaps import BEFORE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..session import Session

_SCRIPTS = ("schema.sql", "load.sql")


def run(session: Session, statement: st.ExportDatabase | st.ImportDatabase) -> Result:
    """Run EXPORT DATABASE or IMPORT DATABASE."""
    if isinstance(statement, st.ImportDatabase):
        return _import(session, statement)
    return _export(session, statement)


def _export(session: Session, statement: st.ExportDatabase) -> Result:
    """Write schema and rows of the whole store to a folder."""
    with full_copy(session) as copy, session.guard.watch(copy.cursor):
        copy.cursor.execute(
            f"EXPORT DATABASE {copy.database} TO {statement.target} {statement.options}"
        )
        _name_constraints(copy, statement.target)
        if any(SEPARATOR in schema for schema in copy.snapshot.schemas):
            _write_paths(copy, statement.target, speller(session))
    return Result(None)


@contextmanager
def full_copy(session: Session) -> Iterator[CatalogCopy]:
    """A native copy of everything in the store, with all rows."""
    transaction = session.transactions.current or session.database.store.begin()
    snapshot = transaction.snapshot
    nothing = LogicalPlan("", ())
    opened = open_route(session, nothing, None, snapshot)
    drained = False
    try:
        with catalog_copy(session, snapshot, session.schema, None) as copy:
            Mirror(Change(session, transaction), copy, opened, {}).fill(nothing)
            copy.cursor.execute(f"DROP SCHEMA {copy.database}.{BEFORE} CASCADE")
            yield copy
        drained = True
    finally:
        opened.close(drained=drained)
        if transaction is not session.transactions.current:
            transaction.rollback()


def _name_constraints(copy: CatalogCopy, target: str) -> None:
    """Write into an exported schema the names of constraints, which the kernel does not know."""
    definitions = [with_given_names(state.definition, copy.snapshot) for state in copy.tables]
    named = [
        d for d in definitions if any(c.name and c.kind not in INDEX_KINDS for c in d.constraints)
    ]
    if not named:
        return
    path, text = _script(copy, target, "schema.sql")
    rows = copy.cursor.execute(
        "SELECT schema_name, table_name, sql FROM duckdb_tables() "
        f"WHERE database_name = {literal(copy.database)}"
    ).fetchall()
    written = {(schema, name): sql for schema, name, sql in rows}
    for definition in named:
        table = quote(definition.name)
        if definition.schema != "main":
            table = f"{quote(definition.schema)}.{table}"
        sql = written[definition.schema, definition.name]
        text = text.replace(sql, f"{render(definition, table, copy.snapshot)};")
    _write(copy, path, text)


def _write_paths(copy: CatalogCopy, target: str, spell: Callable[[str], str]) -> None:
    """Write the paths of schemas within schemas into exported scripts as everybody reads them."""
    for script in _SCRIPTS:
        path, text = _script(copy, target, script)
        _write(copy, path, respelled(text, spell))


def _script(copy: CatalogCopy, target: str, name: str) -> tuple[str, str]:
    """Path and text of a script in an export's folder."""
    asked = f"SELECT concat({target}, {literal('/' + name)})"
    path = str(copy.cursor.execute(asked).fetchall()[0][0])
    read = f"SELECT content FROM read_text({literal(path)})"
    return path, str(copy.cursor.execute(read).fetchall()[0][0])


def _write(copy: CatalogCopy, path: str, text: str) -> None:
    copy.cursor.execute(f"COPY (SELECT encode({literal(text)})) TO {literal(path)} (FORMAT blob)")


def _import(session: Session, statement: st.ImportDatabase) -> Result:
    """Run the scripts of a folder that EXPORT DATABASE has written."""
    for script in _SCRIPTS:
        path = f"concat({statement.source}, {literal('/' + script)})"
        rows = session.database.kernel.execute(f"SELECT content FROM read_text({path})")
        session.importing = True
        try:
            for (content,) in rows:
                session.execute(str(content)).close()
        finally:
            session.importing = False
    return Result(None)
