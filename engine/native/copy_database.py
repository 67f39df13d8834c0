"""COPY FROM DATABASE: between the store and an attached database of the kernel's."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from ...errors import UnknownName, Unsupported
from ...sql import statement as st
from ...sql.names import close_matches
from ...sql.tokens import literal, quote
from ...storage.schema_path import SEPARATOR
from ..result import Result
from ..statements.attached import require_no_transaction
from .export import full_copy
from .export import run as export

if TYPE_CHECKING:
    from ..session import Session


def run(session: Session, statement: st.CopyDatabase) -> Result:
    """Run COPY FROM DATABASE.

    Raises:
        UnknownName: There is no such database.
        Unsupported: An attached database would be changed inside a transaction.
    """
    attached, store = session.database.attached, session.database.name.lower()
    for name in (statement.source, statement.target):
        if name.lower() not in {*attached, store}:
            raise UnknownName(
                f'there is no database "{name}"',
                name=name,
                suggestions=close_matches(name, [*attached, session.database.name]),
            )
    source, target = statement.source.lower(), statement.target.lower()
    if target in attached:
        require_no_transaction(session)
    if target in attached and source in attached:
        session.primary().execute(statement.sql)
    elif target in attached:
        _hand_over(session, target, statement.what)
    else:
        _take_in(session, source, statement.what)
    return Result(None)


def _hand_over(session: Session, target: str, what: str) -> None:
    """Copy the store to an attached database."""
    if not any(SEPARATOR in schema for schema in session.snapshot().schemas):
        option = f"({what})" if what else ""
        with full_copy(session) as copy, session.guard.watch(copy.cursor):
            copy.cursor.execute(f"COPY FROM DATABASE {copy.database} TO {quote(target)} {option}")
        return
    if what:
        raise Unsupported(
            f"COPY FROM DATABASE … ({what}) of schemas within schemas is not supported",
            construct="COPY FROM DATABASE of nested schemas",
            hint="copy everything",
        )
    # A native copy's schemas are flat; what EXPORT DATABASE writes tells of those within others.
    cursor = session.primary()
    with tempfile.TemporaryDirectory() as folder:
        export(session, st.ExportDatabase(literal(folder), ""))
        try:
            cursor.execute(f"USE {quote(target)}")
            cursor.execute(f"IMPORT DATABASE {literal(folder)}")
        finally:
            cursor.execute("USE memory")  # where a kernel cursor begins


def _take_in(session: Session, source: str, what: str) -> None:
    """Make the objects of an attached database in the store, and insert its rows; all or none."""
    own = not session.in_transaction
    if own:
        session.begin()
    try:
        if what != "DATA":
            for sql in _schema(session, source):
                session.execute(sql).close()
        if what != "SCHEMA":
            for sql in _inserts(session, source):
                session.execute(sql).close()
    except BaseException:
        if own:
            session.rollback()
        raise
    if own:
        session.commit()


def _schema(session: Session, source: str) -> list[str]:
    """The statements that make what is in a database: the kernel writes them, to a folder."""
    kernel = session.database.kernel
    scratch = kernel.attach_memory("scratch")
    try:
        kernel.execute(f"COPY FROM DATABASE {quote(source)} TO {scratch} (SCHEMA)")
        with tempfile.TemporaryDirectory() as folder:
            kernel.execute(f"EXPORT DATABASE {scratch} TO {literal(folder)}")
            path = literal(f"{folder}/schema.sql")
            rows = kernel.execute(f"SELECT content FROM read_text({path})")
            return session.statements(str(rows[0][0]))
    finally:
        kernel.detach(scratch)


def _inserts(session: Session, source: str) -> list[str]:
    """Statements that insert all rows, those of tables that others refer to first."""
    columns = session.database.kernel.execute(
        "SELECT schema_name, table_name, list(column_name ORDER BY column_index) "
        "FROM duckdb_tables() JOIN duckdb_columns() "
        "USING (database_name, schema_name, table_name, table_oid) "
        f"WHERE lower(database_name) = {literal(source)} AND NOT is_generated "
        "GROUP BY schema_name, table_name, table_oid ORDER BY table_oid"
    )
    inserts = []
    for schema, table, names in columns:
        listed = ", ".join(quote(name) for name in names)
        named = f"{quote(schema)}.{quote(table)}"
        rows = f"SELECT {listed} FROM {quote(source)}.{named}"
        inserts.append(f"INSERT INTO {named} ({listed}) {rows}")
    return inserts
