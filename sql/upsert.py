"""The parts of an upsert and of a MERGE: where the rows come from, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import ParseError
from .parameters import markers
from .tokens import TokenStream

if TYPE_CHECKING:
    from .tokens import Name

_CLAUSES = {"ON", "USING", ""}


@dataclass(frozen=True, slots=True)
class Upsert:
    """INSERT OR REPLACE, OR IGNORE or ON CONFLICT, in pieces of its text.

    Attributes:
        ctes: WITH clause before it, or empty.
        either: ``OR REPLACE``, ``OR IGNORE``, or empty.
        target: The table.
        alias: Its alias.
        columns: The columns that are listed.
        by_name: True for BY NAME.
        source: The query or the VALUES; ``DEFAULT VALUES``.
        rest: What follows: ON CONFLICT, RETURNING.
    """

    ctes: str
    either: str
    target: Name
    alias: str | None
    columns: tuple[str, ...] | None
    by_name: bool
    source: str
    rest: str


@dataclass(frozen=True, slots=True)
class Merge:
    """MERGE INTO, in pieces of its text.

    Attributes:
        ctes: WITH clause before it, or empty.
        target: The table.
        alias: Its alias.
        source: What follows USING, with its alias.
        source_name: The name under which the condition knows it, if it has one.
        equal: Pairs of expressions that ON requires to be equal; for USING (columns) both are the
            column's name.
        condition: The clause with that condition, as it stands there.
        rest: What follows: WHEN, RETURNING.
    """

    ctes: str
    target: Name
    alias: str | None
    source: str
    source_name: str | None
    equal: tuple[tuple[str, str], ...]
    condition: str
    rest: str


def numbered(sql: str) -> str:
    """A statement with its ``?`` numbered, so that its pieces know which parameters are theirs."""
    pieces, done = [], 0
    for marker in markers(sql):
        if marker.positional:
            pieces += [sql[done : marker.start], f"${marker.key}"]
            done = marker.end
    return "".join([*pieces, sql[done:]])


def read_upsert(sql: str) -> Upsert | None:
    """Take an upsert apart; None for what has another form."""
    stream = TokenStream(sql)
    try:
        ctes = _ctes(stream)
        stream.expect("INSERT")
        either = ""
        if stream.accept("OR"):
            either = f"OR {stream.word()}"
            stream.at += 1
        stream.expect("INTO")
        target = stream.name()
        alias = stream.identifier() if stream.accept("AS") else None
        columns = None
        if stream.word() == "(" and stream.word(1) not in {"SELECT", "FROM", "VALUES", "WITH"}:
            columns = stream.names_in_parentheses()
        by_name = stream.accept("BY", "NAME")
        stream.accept("BY", "POSITION")
        start = stream.offset
        while not stream.at_end() and stream.word() not in {"RETURNING", ";"}:
            if stream.word() == "ON" and stream.word(1) == "CONFLICT":
                break
            stream.skip_balanced()
        source = sql[start : stream.behind]
        return Upsert(ctes, either, target, alias, columns, by_name, source, _rest(stream))
    except ParseError:
        return None


def read_merge(sql: str) -> Merge | None:
    """Take a MERGE apart; None for what has another form."""
    stream = TokenStream(sql)
    try:
        ctes = _ctes(stream)
        stream.expect("MERGE", "INTO")
        target = stream.name()
        alias = None
        if stream.accept("AS") or stream.word() != "USING":
            alias = stream.identifier()
        stream.expect("USING")
        start = stream.offset
        name = None if stream.word() == "(" else TokenStream(sql[start:]).name().last
        while stream.word() not in _CLAUSES | {"AS"} and not _is_alias(stream, start):
            stream.skip_balanced()
        if stream.accept("AS") or stream.word() not in _CLAUSES:
            name = stream.identifier()
            if stream.word() == "(":
                stream.skip_balanced()
        source = sql[start : stream.behind]
        begin = stream.offset
        if stream.accept("USING"):
            equal = tuple((column, column) for column in stream.names_in_parentheses())
        else:
            stream.expect("ON")
            equal = _equalities(stream)
        condition = sql[begin : stream.behind]
        return Merge(ctes, target, alias, source, name, equal, condition, _rest(stream))
    except ParseError:
        return None


def _is_alias(stream: TokenStream, start: int) -> bool:
    """Tell whether a name without AS follows the source."""
    return stream.offset > start and stream.word(-1) != "." and stream.word() not in {".", "("}


def _ctes(stream: TokenStream) -> str:
    start = stream.offset
    if stream.word() == "WITH":
        while not stream.at_end() and stream.word() not in {"INSERT", "MERGE"}:
            stream.skip_balanced()
    return stream.sql[start : stream.offset]


def _equalities(stream: TokenStream) -> tuple[tuple[str, str], ...]:
    """The equalities of a condition whose parts are joined by AND, up to WHEN."""
    found: list[tuple[str, str]] = []
    while stream.word() not in {"WHEN", ""}:
        part = stream.text_until("AND", "OR", "WHEN")
        if stream.word() == "OR":
            raise stream.error("a condition with OR")
        words = TokenStream(part)
        left = words.text_until("=")
        if words.accept("=") and not words.at_end():
            right = words.rest()
            if not {"BETWEEN", "CASE"} & _words(part):
                found.append((left, right))
        stream.accept("AND")
    return tuple(found)


def _words(text: str) -> set[str]:
    stream = TokenStream(text)
    return {stream.word(ahead) for ahead in range(len(stream.tokens))}


def _rest(stream: TokenStream) -> str:
    return stream.rest().rstrip().removesuffix(";")


def has_subquery(text: str) -> bool:
    """Tell whether a piece of a statement may read a relation."""
    stream = TokenStream(text)
    words = [stream.word(ahead) for ahead in range(len(stream.tokens))]
    return "SELECT" in words or any(
        before == "(" and word in {"FROM", "VALUES", "TABLE", "WITH"}
        for before, word in pairwise(words)
    )
