"""Classifying: from the text of a statement to what it asks for.

Reads tokens, never the whole grammar: the SQL kernel is the judge of what is valid SQL. The
syntax that Pagelake adds to it is read here too: CLONE, RESTORE, TAG, CLUSTER BY, isolation
levels and CALL.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

from ..errors import ParseError
from . import classify_native as native
from .assignments import assignments
from .classify_copy import read_copy
from .indexes import read_create_index, read_drop_index
from .references import UNITS, At, arguments, at_clause
from .statement import (
    Alter,
    Attach,
    Call,
    CloneTable,
    CreateDirectory,
    CreateSchema,
    CreateTable,
    CreateTag,
    CreateView,
    Delete,
    Describe,
    Drop,
    DropTag,
    Explain,
    Insert,
    Native,
    Other,
    Query,
    RestoreTable,
    SetOption,
    Show,
    Temporary,
    TransactionControl,
    Update,
    Use,
)
from .tokens import TokenStream, quote

if TYPE_CHECKING:
    from .statement import Statement
    from .tokens import Name

_QUERY_WORDS = frozenset(
    {"SELECT", "FROM", "VALUES", "TABLE", "PIVOT", "UNPIVOT", "SUMMARIZE", "("}
)
_CREATE_PREFIXES = frozenset({"PERSISTENT"})
_VIEW_PREFIXES = frozenset({"RECURSIVE", "SECURE"})
_END_CLAUSES = ("RETURNING", ";")
_CHANGING = re.compile(
    r"\(\s*(WITH\b|INSERT\b|UPDATE\b|DELETE\s+FROM\b|MERGE\s+INTO\b)", re.IGNORECASE
)
"""What may be a data-modifying CTE."""


def classify(sql: str) -> Statement:
    """Tell what a statement is.

    Args:
        sql: One statement that the kernel's parser accepts, or one of Pagelake's own.

    Raises:
        ParseError: A statement of Pagelake's own is malformed.
    """
    stream = TokenStream(sql)
    verb = stream.word()
    if verb in _QUERY_WORDS and not _CHANGING.search(sql):
        return Query(sql)
    around = verb in {"PREPARE", "EXPLAIN"}  # what is inside is classified by itself
    if not around and _CHANGING.search(sql) and (changed := native.changing_ctes(stream)):
        return _with_changes(stream, changed)
    if verb in _QUERY_WORDS:
        return Query(sql)
    if verb == "WITH":
        return _with(stream)
    reader = _READERS.get(verb)
    if reader is None:
        return Other(verb or sql[:20])
    stream.at += 1
    return reader(stream)


def _with_changes(stream: TokenStream, changed: tuple[Name, ...]) -> Statement:
    """A statement with CTEs that change tables, and may itself be one that does."""
    inner = _with(stream) if stream.word() == "WITH" else Query(stream.sql)
    own: tuple[Name, ...] = ()
    if isinstance(inner, Insert | Update | Delete):
        own = (inner.target,)
    elif isinstance(inner, Native):
        own = inner.targets
    return Native("WITH", (*changed, *own), stream.sql)


def _with(stream: TokenStream) -> Statement:
    """A CTE list and the statement behind it."""
    start = stream.offset
    stream.accept("WITH")
    stream.accept("RECURSIVE")
    while not stream.at_end():
        _text_or_name(stream)  # a file's name may be a CTE's
        while stream.word() not in {"AS", ""}:
            stream.skip_balanced()
        stream.expect("AS")
        stream.accept("NOT")
        stream.accept("MATERIALIZED")
        stream.skip_balanced()
        if not stream.accept(","):
            break
    ctes = stream.sql[start : stream.behind] + " "
    match stream.word():
        case "INSERT":
            stream.at += 1
            return _insert(stream, ctes)
        case "UPDATE":
            stream.at += 1
            return _update(stream, ctes)
        case "DELETE":
            stream.at += 1
            return _delete(stream, ctes)
        case "MERGE":
            stream.at += 1
            return native.merge(stream)
    return Query(stream.sql)


def _explain(stream: TokenStream) -> Statement:
    analyze = stream.accept("ANALYZE")
    options = ""
    if stream.word() == "(":
        start = stream.offset
        stream.skip_balanced()
        options = stream.sql[start : stream.behind].upper()
    return Explain(stream.rest(), analyze or "ANALYZE" in options, "JSON" in options)


def _insert(stream: TokenStream, ctes: str = "") -> Statement:
    either = stream.accept("OR")
    stream.at += either
    stream.expect("INTO")
    target = stream.name()
    if either:
        return native.upsert(target, stream.sql)
    if stream.accept("AS"):
        stream.identifier()
    columns = None
    if stream.word() == "(" and stream.word(1) not in _QUERY_WORDS | {"WITH"}:
        columns = stream.names_in_parentheses()
    by_name = False
    if stream.accept("BY"):
        by_name = stream.accept("NAME")
        if not by_name:
            stream.expect("POSITION")
        elif stream.word() == "VALUES":
            raise stream.error("expected a query: VALUES have no names to insert BY NAME")
    source: str | None = None
    if not stream.accept("DEFAULT", "VALUES"):
        source = stream.text_until("RETURNING", "ON", ";") if _conflict_clause(stream) else (
            stream.text_until(*_END_CLAUSES)
        )  # fmt: skip
    if stream.word() == "ON":
        return native.upsert(target, stream.sql)
    return Insert(target, columns, by_name, source, _returning(stream), ctes)


def _conflict_clause(stream: TokenStream) -> bool:
    """Tell whether ON CONFLICT comes outside brackets; ON may also belong to a join."""
    at = stream.at
    found = False
    while not stream.at_end():
        if stream.word() == "ON" and stream.word(1) == "CONFLICT":
            found = True
            break
        stream.skip_balanced()
    stream.at = at
    return found


def _returning(stream: TokenStream) -> str | None:
    return stream.text_until(";") if stream.accept("RETURNING") else None


def _alias(stream: TokenStream, *stop: str) -> str | None:
    if stream.accept("AS"):
        return stream.identifier()
    if not stream.at_end() and stream.word() not in {*stop, ";"}:
        return stream.identifier()
    return None


def _update(stream: TokenStream, ctes: str = "") -> Statement:
    if stream.word() == "EXTENSIONS" and stream.word(1) in {"", ";", "("}:
        return Other("UPDATE EXTENSIONS")
    target = stream.name()
    alias = _alias(stream, "SET")
    stream.expect("SET")
    try:
        assigned = assignments(stream, "FROM", "WHERE", *_END_CLAUSES)
    except ParseError:  # the kernel knows more forms, such as (a, b) = (SELECT …)
        return Native("UPDATE", (target,), stream.sql)
    sources = stream.text_until("WHERE", *_END_CLAUSES) if stream.accept("FROM") else None
    condition = stream.text_until(*_END_CLAUSES) if stream.accept("WHERE") else None
    returning = _returning(stream)
    return Update(target, alias, assigned, sources, condition, returning, ctes)


def _delete(stream: TokenStream, ctes: str = "") -> Statement:
    stream.expect("FROM")
    target = stream.name()
    alias = _alias(stream, "USING", "WHERE", "RETURNING")
    sources = stream.text_until("WHERE", *_END_CLAUSES) if stream.accept("USING") else None
    condition = stream.text_until(*_END_CLAUSES) if stream.accept("WHERE") else None
    return Delete(target, alias, sources, condition, _returning(stream), ctes)


def _truncate(stream: TokenStream) -> Statement:
    stream.accept("TABLE")
    return Delete(stream.name(), None, None, None, None)


def _create(stream: TokenStream) -> Statement:
    or_replace = stream.accept("OR", "REPLACE")
    for word in ("LOCAL", "GLOBAL"):
        stream.accept(word)
    temporary = stream.accept("TEMP") or stream.accept("TEMPORARY")
    unique = stream.accept("UNIQUE")
    if stream.accept("INDEX"):
        return read_create_index(stream, unique=unique)
    kind = stream.word()
    if kind in native.CATALOG_KINDS:
        return native.create_object(stream, kind, temporary=temporary)
    if kind == "VIEW" or kind in _VIEW_PREFIXES:
        return _create_view(stream, or_replace=or_replace, temporary=temporary)
    if kind == "DIRECTORY":
        return _create_directory(stream)
    if kind not in {"TABLE", "SCHEMA", "TAG"}:
        kind = f"{kind} {stream.word(1)}" if kind in _CREATE_PREFIXES else kind
        return Other(f"CREATE {kind}")
    stream.at += 1
    if_not_exists = stream.accept("IF", "NOT", "EXISTS")
    if kind == "TAG":
        return CreateTag(_text_or_name(stream), if_not_exists, _ended(stream, at_clause(stream)))
    name = stream.name()
    if kind == "SCHEMA":
        return CreateSchema(name, if_not_exists, or_replace)
    if stream.accept("CLONE") and not temporary:
        source = stream.name()
        at = _ended(stream, at_clause(stream))
        return CloneTable(name, or_replace, if_not_exists, source, at)
    return _create_table(stream, name, (or_replace, if_not_exists, temporary))


def _create_directory(stream: TokenStream) -> CreateDirectory:
    stream.at += 1
    if_not_exists = stream.accept("IF", "NOT", "EXISTS")
    path = _text(stream)
    source = _text(stream) if stream.accept("CLONE") else None
    _ended(stream, None)
    return CreateDirectory(path, if_not_exists, source)


def _text(stream: TokenStream) -> str:
    """A path, which is a string."""
    if stream.at_end() or stream.tokens[stream.at].token_type is not TokenType.STRING:
        raise stream.error("expected a path between quotes, such as '/photos'")
    stream.at += 1
    return str(stream.tokens[stream.at - 1].text)


def _create_view(stream: TokenStream, *, or_replace: bool, temporary: bool) -> CreateView:
    secure, recursive = stream.accept("SECURE"), stream.accept("RECURSIVE")
    stream.expect("VIEW")
    if_not_exists = stream.accept("IF", "NOT", "EXISTS")
    name = stream.name()
    columns = stream.names_in_parentheses() if stream.word() == "(" else ()
    deferred = stream.accept("WITH")
    if deferred:
        stream.skip_balanced()  # DEFER_BINDING, the one option that the kernel knows
    stream.expect("AS")
    query = stream.text_until(";")
    if recursive:
        own, listed = quote(name.last), ", ".join(map(quote, columns))
        query = f"WITH RECURSIVE {own} ({listed}) AS ({query}\n) SELECT {listed} FROM {own}"
    flags = (or_replace, if_not_exists, temporary)
    return CreateView(name, *flags, columns, query, secure, deferred)


def _text_or_name(stream: TokenStream) -> str:
    """A name, as an identifier or as a string."""
    if not stream.at_end() and stream.tokens[stream.at].token_type is TokenType.STRING:
        stream.at += 1
        return str(stream.tokens[stream.at - 1].text)
    return stream.identifier()


def _ended(stream: TokenStream, at: At | None) -> At | None:
    """Check that a statement of Pagelake's own ends here."""
    stream.accept(";")
    if not stream.at_end():
        raise stream.error("the statement should end here")
    return at


def _create_table(stream: TokenStream, name: Name, flags: tuple[bool, bool, bool]) -> CreateTable:
    start = stream.offset
    columns, query, with_rows = None, None, True
    at = stream.at
    if stream.word() == "(":
        stream.skip_balanced()
    if stream.accept("AS"):
        if at + 1 < stream.at:
            behind, stream.at = stream.at, at
            columns = stream.names_in_parentheses()
            stream.at = behind
        query, with_rows = _with_rows(stream)
    body = stream.sql[start:].rstrip().removesuffix(";")
    found = _cluster_by(body)
    if found is None:
        return CreateTable(name, *flags, body, columns, query, with_rows)
    body, clustered = found
    if query is not None:
        shortened = _cluster_by(query)
        query = query if shortened is None else shortened[0]
    return CreateTable(name, *flags, body, columns, query, with_rows, clustered)


def _cluster_by(text: str) -> tuple[str, tuple[str, ...]] | None:
    """A text without the CLUSTER BY clause at its end, and the columns of that clause."""
    stream = TokenStream(text)
    while not stream.at_end():
        # One token of sqlglot's; the kernel's grammar does not have it.
        if stream.tokens[stream.at].token_type is TokenType.CLUSTER_BY:
            mark = stream.behind
            stream.at += 1
            columns = stream.names_in_parentheses()
            if not stream.at_end() and stream.word() not in {"WITH", ";"}:  # WITH [NO] DATA
                raise stream.error("CLUSTER BY should end the statement")
            return text[:mark] + text[stream.behind :], columns
        stream.skip_balanced()
    return None


def _with_rows(stream: TokenStream) -> tuple[str, bool]:
    """The query of CREATE TABLE … AS, and whether its rows are wanted (WITH [NO] DATA)."""
    start = stream.offset
    stream.rest()
    while stream.word(-1) == ";":
        stream.at -= 1
    with_rows = True
    if stream.word(-1) == "DATA" and "WITH" in {stream.word(-2), stream.word(-3)}:
        with_rows = stream.word(-2) == "WITH"
        stream.at -= 2 if with_rows else 3
    query = stream.sql[start : stream.behind]
    stream.rest()
    return query, with_rows


def _drop(stream: TokenStream) -> Statement:
    kind = stream.word()
    stream.at += 1
    if kind in native.CATALOG_KINDS:
        return native.change_object("DROP", kind, stream)
    if kind == "INDEX":
        return read_drop_index(stream)
    if kind not in {"TABLE", "VIEW", "SCHEMA", "TAG"}:
        return Other(f"DROP {kind}")
    if_exists = stream.accept("IF", "EXISTS")
    if kind == "TAG":
        name = _text_or_name(stream)
        _ended(stream, None)
        return DropTag(name, if_exists)
    names = [stream.name()]
    while stream.accept(","):
        names.append(stream.name())
    cascade = stream.accept("CASCADE")
    stream.accept("RESTRICT")
    return Drop(kind, tuple(names), if_exists, cascade)


def _alter(stream: TokenStream) -> Statement:
    kind = stream.word()
    stream.at += 1
    if kind in native.CATALOG_KINDS:
        return native.change_object("ALTER", kind, stream)
    if kind == "DATABASE":
        return Attach("ALTER", stream.sql)
    if kind not in {"TABLE", "VIEW"}:
        return Other(f"ALTER {kind}")
    if_exists = stream.accept("IF", "EXISTS")
    return Alter(kind, stream.name(), if_exists, stream.text_until(";"))


def _restore(stream: TokenStream) -> Statement:
    stream.accept("TABLE")
    name = stream.name()
    stream.expect("TO")
    unit = stream.word()
    if unit not in UNITS:
        raise stream.error(f"expected {', '.join(sorted(UNITS))}")
    stream.at += 1
    expression = stream.text_until(";")
    if not expression:
        raise stream.error(f"expected a {unit.lower()}")
    return RestoreTable(name, At(unit, expression))


def _begin(stream: TokenStream) -> Statement:
    if not stream.accept("TRANSACTION"):
        stream.accept("WORK")
    isolation = None
    if stream.accept("READ", "ONLY"):
        return TransactionControl("BEGIN", read_only=True)
    stream.accept("READ", "WRITE")
    if stream.accept("ISOLATION", "LEVEL"):
        isolation = stream.word().lower()
        if isolation not in {"serializable", "snapshot"}:
            raise stream.error("expected SERIALIZABLE or SNAPSHOT")
        stream.at += 1
        _ended(stream, None)
    return TransactionControl("BEGIN", isolation=isolation)


def _commit(stream: TokenStream) -> Statement:
    return TransactionControl("COMMIT")


def _rollback(stream: TokenStream) -> Statement:
    stream.accept("TRANSACTION")
    stream.accept("WORK")
    if stream.accept("TO"):
        stream.accept("SAVEPOINT")
        return TransactionControl("ROLLBACK TO", stream.identifier())
    return TransactionControl("ROLLBACK")


def _savepoint(stream: TokenStream) -> Statement:
    return TransactionControl("SAVEPOINT", stream.identifier())


def _release(stream: TokenStream) -> Statement:
    stream.accept("SAVEPOINT")
    return TransactionControl("RELEASE", stream.identifier())


def _set(stream: TokenStream) -> Statement:
    if stream.accept("VARIABLE"):
        return Temporary(stream.sql, stream.name())
    for scope in ("SESSION", "LOCAL", "GLOBAL"):
        stream.accept(scope)
    name = "timezone" if stream.accept("TIME", "ZONE") else stream.identifier().lower()
    bare = name in {"timezone", "schema"}
    if not (stream.accept("=") or stream.accept("TO")) and not bare:
        raise stream.error("expected = or TO")
    value = stream.text_until(";").strip()
    if name == "schema":
        stream = TokenStream(value.strip("'"))
        entry = stream.name()
        _ended(stream, None)
        return Use(entry)
    return SetOption(name, value, stream.sql)


def _reset(stream: TokenStream) -> Statement:
    if stream.accept("VARIABLE"):
        return Temporary(stream.sql, stream.name())
    for scope in ("SESSION", "LOCAL", "GLOBAL"):
        stream.accept(scope)
    return SetOption(stream.identifier().lower(), None, stream.sql)


def _show(stream: TokenStream) -> Statement:
    if stream.accept("ALL", "TABLES") or _is_over(stream):
        return Show("ALL TABLES")
    if stream.word() in {"TABLES", "SCHEMAS", "DATABASES"} and stream.word(1) in {"", ";"}:
        return Show(stream.word())
    if stream.accept("TABLES", "FROM"):
        return Show("TABLES", stream.name())
    if stream.word() in _QUERY_WORDS:
        return Query(stream.sql)
    if stream.word() == "VARIABLES":
        return Query("FROM (SHOW VARIABLES)")
    found = _describe(stream)
    return replace(found, or_setting=True) if isinstance(found, Describe) else found


def _is_over(stream: TokenStream) -> bool:
    return stream.at_end() or stream.word() == ";"


def _describe(stream: TokenStream) -> Statement:
    if _is_over(stream):
        return Show("ALL TABLES")
    stream.accept("TABLE")
    if stream.word() in _QUERY_WORDS | {"WITH"}:
        return Query(stream.sql)
    at = stream.at
    name = stream.name()
    if _is_over(stream):
        return Describe(name)
    stream.at = at
    return Query(stream.sql)


_SHORT_PROCEDURES = frozenset({"catalog_scan", "catalog_drop"})
"""Procedures that may be called without their schema: the kernel has none of these names."""


def _call(stream: TokenStream) -> Statement:
    name = stream.name()
    called = name.dotted.lower()
    if called in _SHORT_PROCEDURES:
        called = f"pagelake.{called}"
    elif name.parts[0].lower() != "pagelake":
        return Query(stream.sql)  # one of the kernel's own
    positional: list[str] = []
    named: list[tuple[str, str]] = []
    for text in arguments(stream):
        argument = TokenStream(text)
        if argument.word(1) in {"=>", ":="}:
            key = argument.identifier().lower()
            argument.at += 1
            named.append((key, argument.rest()))
        elif named:
            raise stream.error("a value by position comes after one by name")
        else:
            positional.append(text)
    _ended(stream, None)
    return Call(called, tuple(positional), tuple(named))


_READERS = {
    "EXPLAIN": _explain,
    "INSERT": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "TRUNCATE": _truncate,
    "CREATE": _create,
    "DROP": _drop,
    "ALTER": _alter,
    "COPY": read_copy,
    "BEGIN": _begin,
    "START": _begin,
    "COMMIT": _commit,
    "END": _commit,
    "ROLLBACK": _rollback,
    "ABORT": _rollback,
    "SAVEPOINT": _savepoint,
    "RELEASE": _release,
    "SET": _set,
    "RESET": _reset,
    "USE": lambda stream: Use(stream.name()),
    "SHOW": _show,
    "DESCRIBE": _describe,
    "DESC": _describe,
    "CALL": _call,
    "RESTORE": _restore,
    "COMMENT": native.comment,
    "MERGE": native.merge,
    "PREPARE": native.prepare,
    "EXECUTE": native.execute,
    "DEALLOCATE": native.deallocate,
    "PRAGMA": native.pragma,
    "CHECKPOINT": native.housekeeping,
    "FORCE": native.housekeeping,
    "VACUUM": native.housekeeping,
    "ANALYZE": native.housekeeping,
    "ATTACH": native.attach,
    "DETACH": native.attach,
    "EXPORT": native.export_database,
    "IMPORT": native.import_database,
}
