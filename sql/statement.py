"""Statements: what a text asks for, as far as Pagelake itself must know.

Reads tokens, never the whole grammar: the SQL kernel is the judge of what is valid SQL. A
statement that changes the store is taken apart into the pieces that its execution splices
together again; a query stays the user's text.
"""

from __future__ import annotations

from dataclasses import dataclass

from .assignments import assignments
from .tokens import Name, TokenStream


@dataclass(frozen=True, slots=True)
class Query:
    """Anything that only reads."""

    sql: str


@dataclass(frozen=True, slots=True)
class Explain:
    """EXPLAIN [ANALYZE] of a statement."""

    sql: str
    analyze: bool


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT; ``source`` is a query's text, None for DEFAULT VALUES."""

    target: Name
    columns: tuple[str, ...] | None
    by_name: bool
    source: str | None
    returning: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE; the parts are text, assignments are (column, expression)."""

    target: Name
    alias: str | None
    assignments: tuple[tuple[str, str], ...]
    sources: str | None
    condition: str | None
    returning: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE and TRUNCATE."""

    target: Name
    alias: str | None
    sources: str | None
    condition: str | None
    returning: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE TABLE; ``body`` is the text behind the name, ``query`` what follows AS."""

    name: Name
    or_replace: bool
    if_not_exists: bool
    temporary: bool
    body: str
    columns: tuple[str, ...] | None
    query: str | None
    with_rows: bool


@dataclass(frozen=True, slots=True)
class CreateView:
    """CREATE VIEW."""

    name: Name
    or_replace: bool
    if_not_exists: bool
    temporary: bool
    columns: tuple[str, ...]
    query: str


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """CREATE SCHEMA."""

    name: Name
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class Drop:
    """DROP TABLE, VIEW or SCHEMA."""

    kind: str
    names: tuple[Name, ...]
    if_exists: bool
    cascade: bool


@dataclass(frozen=True, slots=True)
class Alter:
    """ALTER TABLE or VIEW; ``action`` is the text behind the name."""

    kind: str
    name: Name
    if_exists: bool
    action: str


@dataclass(frozen=True, slots=True)
class CopyFrom:
    """COPY table FROM file; options are (name, value text or None)."""

    target: Name
    columns: tuple[str, ...] | None
    source: str
    options: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class CopyTo:
    """COPY query TO file."""

    query: str
    target: str
    options: tuple[tuple[str, str | None], ...]
    sql: str


@dataclass(frozen=True, slots=True)
class TransactionControl:
    """BEGIN, COMMIT, ROLLBACK, SAVEPOINT, ROLLBACK TO, RELEASE."""

    verb: str
    savepoint: str | None = None


@dataclass(frozen=True, slots=True)
class SetOption:
    """SET or RESET (value None) of a setting."""

    name: str
    value: str | None
    sql: str


@dataclass(frozen=True, slots=True)
class Use:
    """USE schema."""

    name: Name


@dataclass(frozen=True, slots=True)
class Show:
    """SHOW TABLES, SHOW ALL TABLES, SHOW SCHEMAS, SHOW DATABASES."""

    what: str


@dataclass(frozen=True, slots=True)
class Describe:
    """DESCRIBE of a table by its name."""

    name: Name


@dataclass(frozen=True, slots=True)
class Call:
    """CALL pagelake.procedure(arguments)."""

    procedure: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Temporary:
    """CREATE TEMP of something that only the session's kernel connection holds."""

    sql: str
    name: Name


@dataclass(frozen=True, slots=True)
class Other:
    """A statement that Pagelake does not have; ``verb`` names it."""

    verb: str


Statement = (
    Query
    | Explain
    | Insert
    | Update
    | Delete
    | CreateTable
    | CreateView
    | CreateSchema
    | Drop
    | Alter
    | CopyFrom
    | CopyTo
    | TransactionControl
    | SetOption
    | Use
    | Show
    | Describe
    | Call
    | Temporary
    | Other
)

_QUERY_WORDS = frozenset(
    {"SELECT", "FROM", "VALUES", "TABLE", "PIVOT", "UNPIVOT", "SUMMARIZE", "("}
)
_END_CLAUSES = ("RETURNING", ";")


def classify(sql: str) -> Statement:
    """Tell what a statement is.

    Args:
        sql: One statement that the kernel's parser accepts, or one of Pagelake's own.

    Raises:
        ParseError: A statement of Pagelake's own is malformed.
    """
    stream = TokenStream(sql)
    verb = stream.word()
    if verb in _QUERY_WORDS:
        return Query(sql)
    if verb == "WITH":
        return _with(stream)
    reader = _READERS.get(verb)
    if reader is None:
        return Other(verb or sql[:20])
    stream.at += 1
    return reader(stream)


def _with(stream: TokenStream) -> Statement:
    """A CTE list and the statement behind it."""
    start = stream.offset
    stream.accept("WITH")
    stream.accept("RECURSIVE")
    while not stream.at_end():
        stream.identifier()
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
            return Other("MERGE")
    return Query(stream.sql)


def _explain(stream: TokenStream) -> Statement:
    analyze = stream.accept("ANALYZE")
    if stream.word() == "(":
        options = stream.offset
        stream.skip_balanced()
        analyze = analyze or "ANALYZE" in stream.sql[options : stream.behind].upper()
    return Explain(stream.rest(), analyze)


def _insert(stream: TokenStream, ctes: str = "") -> Statement:
    if stream.accept("OR"):
        return Other(f"INSERT OR {stream.word()}")
    stream.expect("INTO")
    target = stream.name()
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
    source: str | None = None
    if not stream.accept("DEFAULT", "VALUES"):
        source = stream.text_until("RETURNING", "ON", ";") if _conflict_clause(stream) else (
            stream.text_until(*_END_CLAUSES)
        )  # fmt: skip
    if stream.word() == "ON":
        return Other("INSERT … ON CONFLICT")
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
    target = stream.name()
    alias = _alias(stream, "SET")
    stream.expect("SET")
    assigned = assignments(stream, "FROM", "WHERE", *_END_CLAUSES)
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
    temporary = stream.accept("TEMP") or stream.accept("TEMPORARY")
    stream.accept("LOCAL")
    kind = stream.word()
    if kind not in {"TABLE", "VIEW", "SCHEMA", "MACRO", "FUNCTION"}:
        return Other(f"CREATE {kind}")
    stream.at += 1
    if_not_exists = stream.accept("IF", "NOT", "EXISTS")
    name = stream.name()
    if kind == "SCHEMA":
        return CreateSchema(name, if_not_exists)
    if kind in {"MACRO", "FUNCTION"}:
        return Temporary(stream.sql, name) if temporary else Other(f"CREATE {kind}")
    if kind == "VIEW":
        columns = stream.names_in_parentheses() if stream.word() == "(" else ()
        stream.expect("AS")
        query = stream.text_until(";")
        return CreateView(name, or_replace, if_not_exists, temporary, columns, query)
    return _create_table(stream, name, (or_replace, if_not_exists, temporary))


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
    return CreateTable(name, *flags, body, columns, query, with_rows)


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
    if kind not in {"TABLE", "VIEW", "SCHEMA"}:
        return Other(f"DROP {kind}")
    if_exists = stream.accept("IF", "EXISTS")
    names = [stream.name()]
    while stream.accept(","):
        names.append(stream.name())
    cascade = stream.accept("CASCADE")
    stream.accept("RESTRICT")
    return Drop(kind, tuple(names), if_exists, cascade)


def _alter(stream: TokenStream) -> Statement:
    kind = stream.word()
    stream.at += 1
    if kind not in {"TABLE", "VIEW"}:
        return Other(f"ALTER {kind}")
    if_exists = stream.accept("IF", "EXISTS")
    return Alter(kind, stream.name(), if_exists, stream.text_until(";"))


def _copy(stream: TokenStream) -> Statement:
    if stream.word() == "(":
        start = stream.offset + 1
        stream.skip_balanced()
        query = stream.sql[start : stream.behind - 1]
        name, columns = None, None
    else:
        start = stream.offset
        name = stream.name()
        columns = stream.names_in_parentheses() if stream.word() == "(" else None
        listed = ", ".join(f'"{c}"' for c in columns) if columns else "*"
        query = f"SELECT {listed} FROM {stream.sql[name.start : name.end]}"
    if stream.accept("TO"):
        return CopyTo(query, _file(stream), _options(stream), stream.sql)
    stream.expect("FROM")
    if name is None:
        raise stream.error("COPY … FROM needs a table")
    if name.last.upper() == "DATABASE":
        return Other("COPY FROM DATABASE")
    return CopyFrom(name, columns, _file(stream), _options(stream))


def _file(stream: TokenStream) -> str:
    """The text of a file name, or of a list of them."""
    start = stream.offset
    stream.skip_balanced()
    return stream.sql[start : stream.behind]


def _options(stream: TokenStream) -> tuple[tuple[str, str | None], ...]:
    """COPY options: ``(NAME value, …)`` or ``NAME value …``."""
    stream.accept("WITH")
    parenthesised = stream.accept("(")
    options: list[tuple[str, str | None]] = []
    while not stream.at_end() and stream.word() not in {")", ";"}:
        option = stream.identifier().lower()
        start = stream.offset
        while not stream.at_end() and stream.word() not in {",", ")", ";"}:
            stream.skip_balanced()
            if not parenthesised:
                break
        value = stream.sql[start : stream.behind] if stream.behind > start else None
        options.append((option, value))
        stream.accept(",")
    return tuple(options)


def _begin(stream: TokenStream) -> Statement:
    return TransactionControl("BEGIN")


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
    if not (stream.accept("=") or stream.accept("TO")) and name != "timezone":
        raise stream.error("expected = or TO")
    value = stream.text_until(";").strip()
    if name == "schema":
        return Use(TokenStream(value.strip("'")).name())
    return SetOption(name, value, stream.sql)


def _reset(stream: TokenStream) -> Statement:
    for scope in ("SESSION", "LOCAL", "GLOBAL"):
        stream.accept(scope)
    return SetOption(stream.identifier().lower(), None, stream.sql)


def _show(stream: TokenStream) -> Statement:
    if stream.accept("ALL", "TABLES"):
        return Show("ALL TABLES")
    if stream.word() in {"TABLES", "SCHEMAS", "DATABASES"} and stream.word(1) in {"", ";"}:
        return Show(stream.word())
    return Query(stream.sql) if stream.word() in _QUERY_WORDS else _describe(stream)


def _describe(stream: TokenStream) -> Statement:
    stream.accept("TABLE")
    if stream.word() in _QUERY_WORDS | {"WITH"}:
        return Query(stream.sql)
    at = stream.at
    name = stream.name()
    if stream.at_end() or stream.word() == ";":
        return Describe(name)
    stream.at = at
    return Query(stream.sql)


def _call(stream: TokenStream) -> Statement:
    name = stream.name()
    stream.expect("(")
    start = stream.offset
    stream.at -= 1
    stream.skip_balanced()
    return Call(name.dotted.lower(), stream.sql[start : stream.behind - 1])


_READERS = {
    "EXPLAIN": _explain,
    "INSERT": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "TRUNCATE": _truncate,
    "CREATE": _create,
    "DROP": _drop,
    "ALTER": _alter,
    "COPY": _copy,
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
}
