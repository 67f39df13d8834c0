"""SHOW and DESCRIBE: answered from the snapshot, since the kernel only knows our internals."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from ...errors import UnknownName
from ...sql import statement as st
from ...sql.names import close_matches
from ...sql.provider import RelationKind
from ...sql.tokens import Name, TokenStream, literal, quote
from ...sql.type_tree import printed
from ...storage.schema_path import innermost, joined, parts_of, respelled
from ...storage.schema_path import shown as shown_paths
from ..catalog import DEFAULT_SCHEMA
from ..native.catalog_copy import catalog_copy
from ..query import from_table
from .constraint_names import with_given_names
from .shadow import column_clauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...storage.effects import TableDefinition
    from ..kernel import Parameters
    from ..result import Result
    from ..session import Session


def describe(session: Session, statement: st.Show | st.Describe) -> Result:
    """Run SHOW or DESCRIBE."""
    if isinstance(statement, st.Describe):
        return _describe(session, statement)
    if statement.what == "ALL TABLES":
        return session.execute("FROM (SHOW ALL TABLES)")
    if statement.what == "DATABASES":
        return session.execute("FROM (SHOW DATABASES)")
    snapshot = session.snapshot()
    if statement.what == "SCHEMAS":
        schemas = sorted([*map(innermost, snapshot.schemas), "pagelake"])
        return _names(session, "schema_name", schemas)
    seen = {session.schema, DEFAULT_SCHEMA}
    also = set(session.temporary)
    if statement.source is not None:
        seen, also = _schemas_of(session, statement.source), set()
    here = [s.definition.name for s in snapshot.tables.values() if s.definition.schema in seen]
    here += [v.name for v in snapshot.views.values() if v.schema in seen]
    return _names(session, "name", sorted({*here, *also}))


def _schemas_of(session: Session, name: Name) -> set[str]:
    """The schemas that SHOW TABLES FROM means: one, or all of the store.

    Raises:
        UnknownName: There is no such schema.
    """
    snapshot, store = session.snapshot(), session.database.name.lower()
    parts = [part.lower() for part in name.parts]
    if parts[0] == store and (len(parts) == 2 or not snapshot.has_schema(store)):
        parts = parts[1:]
    parts = [joined(*parts)] if parts else []
    found = {s for s in snapshot.schemas if [s.lower()] == parts or not parts}
    if not found:
        raise UnknownName(
            f'there is no schema "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(name.last, snapshot.schemas),
        )
    return found


def _names(session: Session, column: str, names: list[str]) -> Result:
    return from_table(session, pa.table({column: pa.array(names, pa.string())}))


def _describe(session: Session, statement: st.Describe) -> Result:
    name = statement.name
    told = _show_behavior(session) if statement.or_setting else "table"
    relation = None if told == "setting" else session.catalog().resolve(name.parts)
    if relation is None:
        if name.parts[0].lower() in {"information_schema", "pg_catalog"} or name.last.startswith(
            "duckdb_"
        ):
            return session.execute(f"DESCRIBE SELECT * FROM {name.dotted}")
        if told != "table" and len(name.parts) == 1 and _is_setting(session, name.last):
            shown = quote(name.last.lower())
            return session.execute(f"SELECT current_setting({literal(name.last)}) AS {shown}")
        raise UnknownName(
            f'there is no table or view "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(name.last, session.catalog().names()),
        )
    if relation.kind is not RelationKind.TABLE:
        dotted = ".".join(map(quote, name.parts))
        return session.execute(f"DESCRIBE SELECT * FROM {dotted}")
    definition = session.snapshot().tables[relation.key].definition
    return from_table(session, _columns(definition, shown=statement.or_setting))


def _show_behavior(session: Session) -> str:
    """What SHOW of a name may tell: ``table``, ``setting``, or ``auto`` for either."""
    cursor = session.database.kernel.cursor()
    try:
        for sql in session.kernel_settings:
            cursor.execute(sql)
        return str(cursor.execute("SELECT current_setting('show_behavior')").fetchall()[0][0])
    finally:
        cursor.close()


def _is_setting(session: Session, name: str) -> bool:
    known = session.database.kernel.execute("SELECT lower(name) FROM duckdb_settings()")
    return (name.lower(),) in known


def schema_sql(session: Session, table: str) -> str:
    """CREATE statement of a stored table or view, for people to read and to run again.

    Raises:
        UnknownName: There is no such table or view.
    """
    snapshot, name = session.snapshot(), TokenStream(table).name()
    relation = session.catalog(snapshot).resolve(name.parts)
    if relation is None or relation.kind not in {RelationKind.TABLE, RelationKind.VIEW}:
        raise UnknownName(
            f'there is no stored table or view "{name.dotted}"',
            name=name.dotted,
            suggestions=close_matches(name.last, session.catalog(snapshot).names()),
        )
    spell = speller(session)
    target = spell(relation.name)
    if relation.schema != "main":
        target = ".".join([*map(spell, parts_of(relation.schema)), target])
    if relation.kind is RelationKind.VIEW:
        view = snapshot.view(relation.schema, relation.name)
        assert view is not None, "the catalog resolves views from the same snapshot"
        columns = f" ({', '.join(map(spell, view.columns))})" if view.columns else ""
        secure = "SECURE " if view.secure else ""
        text = f"CREATE {secure}VIEW {target}{columns} AS {view.sql.strip().rstrip(';')};"
        return respelled(text, spell)
    definition = with_given_names(snapshot.tables[relation.key].definition, snapshot)
    body = ",\n    ".join(column_clauses(definition, spell, snapshot))
    names = {column.id: spell(column.name) for column in definition.columns}
    order = ", ".join(names[column] for column in definition.cluster_by if column in names)
    body = respelled(body, spell)
    return f"CREATE TABLE {target} (\n    {body}\n){f' CLUSTER BY ({order})' if order else ''};"


def speller(session: Session) -> Callable[[str], str]:
    """A function that quotes a name only where SQL needs it: people read what it writes."""
    rows = session.database.kernel.execute(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    )
    reserved = {row[0] for row in rows}
    return lambda name: (
        name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and name not in reserved else quote(name)
    )


def _columns(definition: TableDefinition, *, shown: bool) -> pa.Table:
    """What DESCRIBE tells of a table; SHOW also tells what generated columns are made of."""
    keys: dict[int, str] = {}
    for constraint in definition.keys:
        for column in constraint.columns:
            keys.setdefault(column, "PRI" if constraint.kind == "primary_key" else "UNI")
    rows: list[tuple[str | None, ...]] = [
        (
            c.name,
            printed(c.type),
            "YES" if c.nullable else "NO",
            keys.get(c.id),
            None if c.default is None else shown_paths(c.default),
            None,
        )
        for c in definition.columns
    ]
    for made in definition.generated:
        default = f"CAST({made.expression} AS {made.type})" if shown else None
        rows.insert(made.place, (made.name, made.type, "YES", None, default, None))
    fields = ("column_name", "column_type", "null", "key", "default", "extra")
    return pa.table(
        {
            field: pa.array([row[place] for row in rows], pa.string())
            for place, field in enumerate(fields)
        }
    )


def about_query(session: Session, statement: st.AboutQuery, parameters: Parameters) -> Result:
    """Answer a query that only describes or plans queries, over the catalog's copy."""
    snapshot, sql = session.snapshot(), statement.sql
    texts = (str(token.text).lower() for token in TokenStream(sql).tokens)
    words = frozenset(word.lower() for word in re.findall(r"\w+", sql))  # in strings too
    words = words.union(texts)
    with catalog_copy(session, snapshot, session.schema, words) as copy:
        cursor = copy.cursor
        told = cursor.sql(sql) if parameters is None else cursor.sql(sql, params=parameters)
        rows = told.to_arrow_table()
    return from_table(session, rows)
