"""Classifying what the kernel itself is to run: catalog objects, prepared statements, upserts.

Only what Pagelake must know is read: which tables a statement may change, and what the names
are of what it makes. ``sql.classify`` is where a statement's first word leads here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .references import arguments
from .statement import (
    Attach,
    CatalogChange,
    CopyDatabase,
    Deallocate,
    Describe,
    ExecutePrepared,
    ExportDatabase,
    ImportDatabase,
    Native,
    Pragma,
    Prepare,
    Query,
    SetOption,
    Show,
    Temporary,
    Use,
)

if TYPE_CHECKING:
    from .statement import Statement
    from .tokens import Name, TokenStream

CATALOG_KINDS = {
    "SEQUENCE": "SEQUENCE",
    "MACRO": "MACRO",
    "FUNCTION": "MACRO",
    "TYPE": "TYPE",
}
_QUERY_PRAGMAS = frozenset(
    {
        "table_info", "show", "database_list", "storage_info", "version", "platform",
        "functions", "collations",
        "database_size", "metadata_info", "user_agent",
    }
)  # fmt: skip
_SHOWN = {
    "show_tables": "TABLES",
    "show_tables_expanded": "ALL TABLES",
    "show_databases": "DATABASES",
}


def create_object(stream: TokenStream, kind: str, *, temporary: bool) -> Statement:
    """CREATE SEQUENCE, MACRO or TYPE; the stream stands at the kind."""
    named = CATALOG_KINDS[kind]
    stream.at += 1
    if temporary or _is_temporary(stream):
        stream.accept("IF", "NOT", "EXISTS")
        return Temporary(stream.sql, stream.name())
    if named != "MACRO":
        return CatalogChange("CREATE", named, None, "", stream.sql)
    stream.accept("IF", "NOT", "EXISTS")
    name = stream.name()
    return CatalogChange("CREATE", named, name, stream.sql[name.end :], stream.sql)


def _is_temporary(stream: TokenStream) -> bool:
    ahead = 3 if stream.word() == "IF" else 0
    return stream.word(ahead) == "TEMP" and stream.word(ahead + 1) == "."


def change_object(verb: str, kind: str, stream: TokenStream) -> Statement:
    """DROP or ALTER of what ``create_object`` makes."""
    return CatalogChange(verb, CATALOG_KINDS[kind], None, "", stream.sql)


def comment(stream: TokenStream) -> Statement:
    """COMMENT ON anything."""
    stream.expect("ON")
    return CatalogChange("COMMENT", stream.word(), None, "", stream.sql)


def merge(stream: TokenStream) -> Statement:
    """MERGE INTO."""
    stream.expect("INTO")
    return Native("MERGE", (stream.name(),), stream.sql)


def upsert(target: Name, sql: str) -> Statement:
    """INSERT with OR REPLACE, OR IGNORE or ON CONFLICT."""
    return Native("INSERT", (target,), sql)


def changing_ctes(stream: TokenStream) -> tuple[Name, ...]:
    """Tables that data-modifying CTEs of a statement may change."""
    found: list[Name] = []
    at = stream.at
    for index in range(1, len(stream.tokens) - 2):
        stream.at = index
        if stream.word(-1) != "(":
            continue
        stream.accept("WITH")
        if (
            stream.accept("INSERT", "INTO")
            or stream.accept("INSERT", "OR", "REPLACE", "INTO")
            or stream.accept("INSERT", "OR", "IGNORE", "INTO")
            or stream.accept("DELETE", "FROM")
            or stream.accept("MERGE", "INTO")
            or stream.accept("UPDATE")
        ):
            found.append(stream.name())
    stream.at = at
    return tuple(found)


def prepare(stream: TokenStream) -> Statement:
    """PREPARE name AS statement."""
    name = stream.identifier()
    if stream.word() == "(":
        stream.skip_balanced()
    stream.expect("AS")
    return Prepare(name.lower(), stream.rest().rstrip().removesuffix(";"))


def execute(stream: TokenStream) -> Statement:
    """EXECUTE name(values)."""
    name = stream.identifier()
    positional, named = _arguments(stream) if stream.word() == "(" else ((), ())
    return ExecutePrepared(name.lower(), positional, named)


def _arguments(stream: TokenStream) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    positional: list[str] = []
    named: list[tuple[str, str]] = []
    for text in arguments(stream):
        argument = type(stream)(text)
        if argument.word(1) in {"=>", ":="}:
            key = argument.identifier().lower()
            argument.at += 1
            named.append((key, argument.rest()))
        else:
            positional.append(text)
    return tuple(positional), tuple(named)


def deallocate(stream: TokenStream) -> Statement:
    """DEALLOCATE [PREPARE] name, or ALL."""
    stream.accept("PREPARE")
    return Deallocate(None if stream.word() == "ALL" else stream.identifier().lower())


def pragma(stream: TokenStream) -> Statement:
    """PRAGMA: a query, a setting, or something that the kernel is told."""
    name = stream.identifier().lower()
    if name in {"table_info", "storage_info"} and stream.word() == "(":
        return Query(f"SELECT * FROM pragma_{name}{stream.text_until(';')}")
    if name == "show" and stream.word() == "(":
        (named,) = arguments(stream)
        return Describe(type(stream)(named.strip("'")).name(), or_setting=True)
    if name in _SHOWN:
        return Show(_SHOWN[name])
    if name in _QUERY_PRAGMAS:
        return Query(stream.sql)
    if stream.accept("=") or stream.accept("TO"):
        value = stream.text_until(";").strip()
        return Use(type(stream)(value.strip("'")).name()) if name == "schema" else SetOption(
            name, value, f"SET {name} = {value}"
        )  # fmt: skip
    return Pragma(name, stream.sql)


def housekeeping(stream: TokenStream) -> Statement:
    """CHECKPOINT, VACUUM and ANALYZE: the store does by itself what they ask for."""
    return Pragma(stream.word(-1).lower(), stream.sql)


def attach(stream: TokenStream) -> Statement:
    """ATTACH and DETACH."""
    return Attach(stream.word(-1), stream.sql)


def export_database(stream: TokenStream) -> Statement:
    """EXPORT DATABASE [name TO] 'folder' [(options)]."""
    stream.expect("DATABASE")
    if stream.word(1) == "TO":
        stream.at += 2
    start = stream.offset
    stream.at += 1
    target = stream.sql[start : stream.behind]
    return ExportDatabase(target, stream.text_until(";"))


def copy_database(stream: TokenStream) -> Statement:
    """COPY FROM DATABASE source TO target [(SCHEMA | DATA)]; the stream stands at the source."""
    source = stream.identifier()
    stream.expect("TO")
    target = stream.identifier()
    what = stream.word(1) if stream.word() == "(" else ""
    return CopyDatabase(source, target, what, stream.sql)


def import_database(stream: TokenStream) -> Statement:
    """IMPORT DATABASE 'folder'."""
    stream.expect("DATABASE")
    return ImportDatabase(stream.text_until(";"))
