"""Time travel: from what a statement says of versions to the versions themselves.

``t AT (…)`` and ``pagelake.table_changes(…)`` are replaced in the text by names that the catalog
resolves at the right version (``sql.references``); the kernel never sees them. What is between
the brackets may be any constant expression: the kernel computes it when the statement is
planned.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

from ..errors import InvalidRequest, ParseError, SnapshotGone, UnknownName, Unsupported
from ..extensions.files.relations import ELEMENTS, FILES, HIDDEN_SCHEMA, changes_sql
from ..extensions.reports import REPORTS
from ..sql.file_urls import SCHEME, with_prefix
from ..sql.names import close_matches
from ..sql.provider import RelationKind
from ..sql.references import (
    At,
    FileSelection,
    FunctionCall,
    VersionedName,
    at_schema,
    changes_schema,
    references,
)
from ..sql.tokens import TokenStream, literal, quote
from .catalog_scan.changes import CATALOG_CHANGES, changes_query
from .constant import constant
from .reports.expansion import expanded, named_argument
from .selected_files import selected_paths

if TYPE_CHECKING:
    from ..sql.tokens import Name
    from ..storage.snapshot import Snapshot
    from .catalog import SessionCatalog
    from .session import Session

_INTEGER = re.compile(r"\d{1,18}")
_LASTS = re.compile(
    r"^\s*CREATE\s+(OR\s+REPLACE\s+)?((TEMP|TEMPORARY|SECURE|RECURSIVE)\s+)*"
    r"(VIEW|MACRO|FUNCTION)\b",
    re.IGNORECASE,
)
_NAMES = {TokenType.VAR, TokenType.IDENTIFIER}
_FUNCTIONS = ("table_changes",)


@dataclass(slots=True)
class Spliced:
    """A text without references of Pagelake's own.

    Attributes:
        sql: The text.
        lasting: False where the versions that were meant may be others next time.
    """

    sql: str
    lasting: bool = True
    _pieces: list[tuple[int, int, str]] = field(default_factory=list)

    def replace(self, start: int, end: int, text: str) -> None:
        """Note a replacement, by offsets in the original text."""
        self._pieces.append((start, end, text))

    def finish(self) -> Spliced:
        """Carry the replacements out."""
        for start, end, text in sorted(self._pieces, reverse=True):
            self.sql = self.sql[:start] + text + self.sql[end:]
        self._pieces.clear()
        return self


def splice(session: Session, sql: str, catalog: SessionCatalog) -> Spliced:
    """Replace the references of Pagelake's own in a text by names that the catalog resolves.

    Raises:
        UnknownName: There was no such relation then, or there is no such tag.
        SnapshotGone: There is no such version, or it was reclaimed.
        InvalidRequest: An expression is not constant.
    """
    spliced = Spliced(sql)
    for reference in references(sql):
        match reference:
            case FunctionCall():
                _splice_call(session, reference, catalog, spliced)
            case FileSelection():
                if _LASTS.match(sql):
                    raise Unsupported(
                        "a view or macro cannot choose files by a query",
                        construct="a query that chooses files in a view or macro",
                        hint="write the query where the files are read",
                    )
                query = splice(session, reference.query, catalog).sql
                paths = selected_paths(session, query, catalog)
                spliced.replace(reference.start, reference.end, paths)
                spliced.lasting = False  # other rows may choose other files
            case VersionedName():
                _splice_name(session, reference, catalog, spliced)
    spliced.finish()
    if SCHEME in sql or SCHEME in spliced.sql:
        _splice_urls(session, catalog, spliced)
    return spliced


def _splice_urls(session: Session, catalog: SessionCatalog, spliced: Spliced) -> None:
    """Let URLs of stored files mean what the statement sees."""
    spliced.lasting = False
    snapshot, database = catalog.snapshot, session.database
    is_newest = snapshot.version == database.store.known_version and not snapshot.overlay
    if is_newest and not session.in_transaction:
        database.urls.begin()
    else:
        spliced.sql = with_prefix(spliced.sql, database.urls.enter(snapshot))


def require_lasting(sql: str) -> None:
    """Refuse a view whose versions would be others each time it is read.

    Raises:
        Unsupported: An AT clause is not a literal.
    """
    for reference in references(sql):
        if isinstance(reference, VersionedName) and not _is_literal(reference.at.expression):
            raise Unsupported(
                "a view can read the past at a literal version, tag or time only",
                construct="AT with an expression in a view",
                hint="write the version as a number, or give it a tag",
            )


def _is_constant(argument: str) -> bool:
    """Tell whether an argument, by position or by name, is a literal."""
    return _is_literal(named_argument(argument)[1])


def _is_literal(expression: str) -> bool:
    stream = TokenStream(expression)
    stream.accept("TIMESTAMP")
    stream.accept("TIMESTAMPTZ")
    return len(stream.tokens) - stream.at == 1


# Versions


def version_at(session: Session, at: At, snapshot: Snapshot) -> int:
    """The version that an AT clause means.

    Args:
        session: Whose time zone is meant.
        at: The clause.
        snapshot: What the statement sees; later versions do not exist for it.

    Raises:
        UnknownName: There is no such tag.
        SnapshotGone: There is no such version, or it was reclaimed.
        InvalidRequest: The expression is not constant.
    """
    match at.unit:
        case "VERSION":
            version = _version_number(session, at.expression.strip())
            # Raises for what does not exist at all; a transaction does not see what came since.
            session.database.store.snapshot_at(version)
            if version > snapshot.version:
                raise SnapshotGone(
                    f"version {version} was committed after the transaction began",
                    hint=f"it reads versions up to {snapshot.version}",
                )
            return version
        case "TAG":
            return tagged(snapshot, _tag_name(session, at.expression.strip()))
    time_us = constant(session, at.expression, "TIMESTAMPTZ", read="epoch_us({})")
    found = session.database.store.version_at(int(str(time_us)))
    return min(found, snapshot.version)


def _version_number(session: Session, given: str) -> int:
    if _INTEGER.fullmatch(given):
        return int(given)
    value = constant(session, given, "DECIMAL(38, 9)", meaning="version number")
    assert isinstance(value, Decimal)
    if value != int(value):
        raise InvalidRequest(f"{given} is no version number: versions are whole numbers")
    return int(value)


def _tag_name(session: Session, given: str) -> str:
    """The name of a tag, written as a text or, as where it is created, as a name."""
    stream = TokenStream(given)
    if len(stream.tokens) == 1 and stream.tokens[0].token_type in _NAMES:
        return stream.identifier()
    return str(constant(session, given, "VARCHAR", meaning="name of a tag"))


def tagged(snapshot: Snapshot, name: str) -> int:
    """The version that a tag names.

    Raises:
        UnknownName: There is no such tag.
    """
    version = snapshot.tags.get(name.lower())
    if version is None:
        raise UnknownName(
            f'there is no tag "{name}"', name=name, suggestions=close_matches(name, snapshot.tags)
        )
    return version


def name_in(text: str) -> Name:
    """The possibly qualified name that a text consists of.

    Raises:
        InvalidRequest: It is no name.
    """
    with suppress(ParseError):
        stream = TokenStream(text)
        name = stream.name()
        if stream.at_end():
            return name
    raise InvalidRequest(
        f"{literal(text)} is no name of a table",
        hint="quote what is no plain word: '\"my table\"'",
    )


# Splicing


def _splice_name(
    session: Session, reference: VersionedName, catalog: SessionCatalog, spliced: Spliced
) -> None:
    name, at = reference.name, reference.at
    if spliced.sql[name.start] == ")":
        raise Unsupported(
            "AT stands behind the name of a table or view",
            construct="AT behind a subquery or a function",
            hint="put it inside, behind each name",
        )
    version = version_at(session, at, catalog.snapshot)
    # What a time means depends on the session's time zone, and on the commits after it.
    spliced.lasting &= at.unit != "TIMESTAMP" and _is_literal(at.expression)
    relation = catalog.at(version).resolve(name.parts)
    if relation is None:
        present = catalog.resolve(name.parts)
        if present is not None and present.kind is RelationKind.TEMPORARY:
            raise Unsupported(
                f'"{name.dotted}" is temporary and has no versions', construct="AT of a temporary"
            )
        hint = None
        if present is None and not close_matches(name.last, catalog.at(version).names()):
            hint = "only tables and views of the store have versions"
        if present is not None and present.kind is RelationKind.TABLE:
            was = catalog.at(version).snapshot.tables.get(present.key)
            hint = f'it was named "{was.definition.name}" then' if was else "it was created later"
        raise UnknownName(
            f'there was no table or view "{name.dotted}" at version {version}',
            name=name.dotted,
            suggestions=() if hint else close_matches(name.last, catalog.at(version).names()),
            hint=hint,
        )
    schema = at_schema(version, relation.schema)
    spliced.replace(name.start, name.end, f"{quote(schema)}.{quote(relation.name)}")
    spliced.replace(reference.start, reference.end, "")


def _is_users(catalog: SessionCatalog, function: str) -> bool:
    """Tell whether somebody has made a table macro of a name."""
    entries = catalog.snapshot.entries
    return any(kind == "table_macro" and name == function for kind, _, name in entries)


def _splice_call(
    session: Session, call: FunctionCall, catalog: SessionCatalog, spliced: Spliced
) -> None:
    if call.bare and _is_users(catalog, call.function):
        return
    query = None
    if call.function in REPORTS:
        report = REPORTS[call.function]
        query = expanded(session, report, call.arguments, catalog.snapshot)
    elif call.function == CATALOG_CHANGES:
        query = changes_query(session, call.arguments, catalog.snapshot)
    if query is not None:
        inner = splice(session, query, catalog)
        spliced.lasting &= inner.lasting and all(map(_is_constant, call.arguments))
        spliced.replace(call.start, call.end, f"({inner.sql})")
        return
    if call.bare and call.function not in _FUNCTIONS:
        return  # nobody's: the kernel says so
    if call.function in catalog.system:
        if call.arguments:
            raise InvalidRequest(f"pagelake.{call.function} takes no arguments")
        spliced.replace(call.bracket, call.end, "")
        return
    if call.function not in _FUNCTIONS:
        known = [*_FUNCTIONS, CATALOG_CHANGES, *catalog.system, *REPORTS]
        raise UnknownName(
            f'there is no relation or function "pagelake.{call.function}"',
            name=call.function,
            suggestions=close_matches(call.function, known),
        )
    if len(call.arguments) != 3:
        raise InvalidRequest(
            "table_changes needs a table and two versions",
            hint="pagelake.table_changes('t', 3, 5): what versions 3, 4 and 5 changed",
        )
    named = str(constant(session, call.arguments[0], "VARCHAR", meaning="name of a table"))
    name = name_in(named)
    first, last = (
        version_at(session, At("VERSION", text), catalog.snapshot) for text in call.arguments[1:]
    )
    if first > last:
        raise InvalidRequest(
            f"version {first} comes after version {last}",
            hint="name the older version first",
        )
    then = catalog.at(last)
    relation = then.resolve(name.parts)
    of_files = relation is not None and relation.name == FILES and then.is_built_in(relation)
    if of_files:
        relation = then.resolve((HIDDEN_SCHEMA, ELEMENTS))
    elif relation is None or relation.kind is not RelationKind.TABLE:
        raise UnknownName(
            f'there was no table "{named}" at version {last}',
            name=named,
            suggestions=close_matches(name.last, then.names()),
        )
    first, horizon = max(first, 1), session.database.store.log.horizon.read()
    if first <= horizon:
        raise SnapshotGone(
            f"what version {first} changed cannot be told any more",
            hint=f"the changes of versions {horizon + 1} to {catalog.snapshot.version} can be read",
        )
    changes = None
    if relation is not None:
        changes = f'{quote(changes_schema(first, last, relation.key))}."table_changes"'
    spliced.lasting &= all(map(_is_literal, call.arguments))
    text = f"({changes_sql(changes)})" if of_files else str(changes)
    spliced.replace(call.start, call.end, text)
