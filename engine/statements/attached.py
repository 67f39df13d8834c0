"""ATTACH, DETACH, and what is said to attached databases.

A database of another kind (a DuckDB file, one in memory) is the kernel's own. Queries read it
beside stored tables; a statement that changes it is the kernel's to run, and after ``USE`` of
it everything is, until another USE leads back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import Unsupported
from ...sql import statement as st
from ...sql.tokens import TokenStream, quote
from ..result import Result
from . import options

if TYPE_CHECKING:
    from ...sql.tokens import Name
    from ..kernel import Parameters
    from ..session import Session


def attach(session: Session, statement: st.Attach) -> Result:
    """Run ATTACH, DETACH or ALTER DATABASE.

    Raises:
        Unsupported: The database to alter is the store, or one that the engine works with.
    """
    database = session.database
    if statement.verb == "ALTER":
        stream = TokenStream(statement.sql)
        stream.accept("ALTER", "DATABASE")
        stream.accept("IF", "EXISTS")
        name = stream.identifier().lower()
        known = database.kernel.execute("SELECT lower(database_name) FROM duckdb_databases()")
        if name in {database.name.lower(), *(row[0] for row in known)} - database.attached:
            raise Unsupported("ALTER DATABASE is not supported", construct="ALTER DATABASE")
    before = set(database.kernel.databases())
    cursor = session.primary()
    cursor.execute(statement.sql)
    after = set(database.kernel.databases())
    database.attached |= after - before
    database.attached &= after
    return Result(None)


def is_outside(session: Session, name: Name) -> bool:
    """Tell whether a name leads into an attached database."""
    first = name.parts[0].lower()
    if first not in session.database.attached or len(name.parts) < 2:
        return False
    return len(name.parts) > 2 or not session.snapshot().has_schema(first)


def _is_schema_outside(session: Session, name: Name) -> bool:
    """Tell whether a schema's name leads into an attached database, not into another schema."""
    return len(name.parts) > 1 and name.parts[0].lower() in session.database.attached


def concerns(session: Session, statement: st.Statement) -> bool:
    """Tell whether a statement changes an attached database."""
    if not session.database.attached:
        return False
    match statement:
        case st.Insert() | st.Update() | st.Delete() | st.CopyFrom():
            return is_outside(session, statement.target)
        case st.CreateSchema(name):
            return _is_schema_outside(session, name)
        case st.Drop(kind="SCHEMA"):
            return any(_is_schema_outside(session, name) for name in statement.names)
        case st.CreateTable() | st.CreateView() | st.Alter():
            return is_outside(session, statement.name)
        case st.CreateIndex():
            return is_outside(session, statement.table)
        case st.Drop() | st.DropIndex():
            return any(is_outside(session, name) for name in statement.names)
        case st.Native() if statement.targets:
            return any(is_outside(session, name) for name in statement.targets)
        case st.CatalogChange() | st.Describe() | st.Show():
            return _mentioned(session, getattr(statement, "sql", ""))
    return False


def _mentioned(session: Session, sql: str) -> bool:
    tokens = TokenStream(sql).tokens
    return any(
        str(token.text).lower() in session.database.attached and tokens[index + 1].text == "."
        for index, token in enumerate(tokens[:-1])
    )


def is_kernels_own(session: Session, statement: st.Statement) -> bool:
    """Tell whether a statement is about what the kernel alone holds.

    That is the session's temporary relations, and attached databases.

    Raises:
        Unsupported: A transaction of the store is open that it could take no part in.
    """
    if concerns(session, statement):
        require_no_transaction(session)
        return True
    match statement:
        case st.Insert() | st.Update() | st.Delete() | st.CopyFrom():
            return session.is_temporary(statement.target)
        case st.Native():
            return any(session.is_temporary(name) for name in statement.targets)
        case st.Drop():
            return any(session.is_temporary(name) for name in statement.names)
        case st.Alter(name=name) | st.CreateIndex(table=name):
            return session.is_temporary(name)
        case st.CatalogChange():
            return names_temporary(session, statement.sql)
    return False


def names_temporary(session: Session, sql: str) -> bool:
    """Tell whether a text names one of the session's temporary relations."""
    return bool(session.temporary) and any(
        str(token.text).lower() in session.temporary for token in TokenStream(sql).tokens
    )


def use(session: Session, statement: st.Use) -> Result:
    """Run USE: of a schema of the store, or of an attached database."""
    if _enter(session, statement):
        return Result(None)
    return options.use(session, statement.name.parts)


def _enter(session: Session, statement: st.Use) -> bool:
    """Follow USE into an attached database; False where it leads to a schema of the store."""
    parts = [part.lower() for part in statement.name.parts]
    if parts[0] not in session.database.attached or session.snapshot().has_schema(parts[0]):
        if session.outside:
            session.primary().execute("USE memory")  # where a kernel cursor begins
            session.outside = False
        return False
    cursor = session.primary()
    cursor.execute("USE " + ".".join(map(quote, statement.name.parts)))
    session.outside = True
    return True


def require_no_transaction(session: Session) -> None:
    """Refuse a change of an attached database that a ROLLBACK would not take back.

    Raises:
        Unsupported: A transaction of the store is open.
    """
    if session.transactions.explicit:
        raise Unsupported(
            "a transaction cannot change an attached database",
            construct="changes of attached databases in a transaction",
            hint="end the transaction first",
        )


def run_outside(session: Session, sql: str, parameters: Parameters) -> Result:
    """Let the kernel run a statement where USE has led."""
    from .change import restored, storing

    cursor = session.primary()
    session.database.results.forget()  # it may be a setting that holds for all
    with session.guard.watch(cursor):
        answer: Any = (  # None for a statement without rows, whatever the stubs say
            cursor.sql(sql) if parameters is None else cursor.sql(sql, params=parameters)
        )
        if answer is None:
            return Result(None)
        names, types = list(answer.columns), [str(kind) for kind in answer.types]
        table = answer.project(storing(types)).to_arrow_table()
    return restored(session, table, names, types)
