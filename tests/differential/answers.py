"""What an engine answered, and how two answers differ."""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import duckdb

import pagelake

DIGITS: Final = 12
"""Significant digits in which floats must agree where their last bits may not: sums are added up
in whatever order the rows are met."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answered.

    Attributes:
        names: Column names.
        types: SQL types of the columns.
        rows: The rows.
        error: The kind of error, where there is one instead.
        message: What the error said.
    """

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    error: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """How two answers differ.

    Attributes:
        kind: ``error``, ``names``, ``types``, ``rows`` or ``order``.
        text: What to show.
    """

    kind: str
    text: str


_KINDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (duckdb.ParserException, "syntax"),
    (duckdb.CatalogException, "name"),
    (duckdb.ConstraintException, "constraint"),
    (duckdb.ConversionException, "value"),
    (duckdb.OutOfRangeException, "value"),
    (duckdb.NotImplementedException, "unsupported"),
    (duckdb.TransactionException, "transaction"),
    (duckdb.BinderException, "request"),
    (duckdb.InvalidInputException, "request"),
    (duckdb.InternalException, "internal"),
    (pagelake.ParseError, "syntax"),
    (pagelake.AlreadyExists, "name"),
    (pagelake.UnknownName, "name"),
    (pagelake.ConstraintViolation, "constraint"),
    (pagelake.TypeMismatch, "request"),
    (pagelake.InvalidValue, "value"),
    (pagelake.Unsupported, "unsupported"),
    (pagelake.TransactionAborted, "transaction"),
    (pagelake.InternalError, "internal"),
    (pagelake.InvalidRequest, "request"),
    # Some of the binder's errors, such as a parameter in GROUP BY, have no class of their own.
    (duckdb.Error, "request"),
)
_FAULTS: Final = ("Failed to delete all rows from index", "database has been invalidated")
_DEPENDENT: Final = re.compile(r"Could not drop|Cannot drop|depend", re.IGNORECASE)
_MISSING: Final = ("not found", "does not exist", "does not have a column", "already exists")


def error_kind(error: Exception) -> str:
    """The kind of an error, in words that are the same for both engines."""
    for cls, kind in _KINDS:
        if isinstance(error, cls):
            if "Division by zero" in str(error):
                return "value"  # a DataError, as PEP 249 has it
            if isinstance(error, duckdb.CatalogException) and _DEPENDENT.search(str(error)):
                return "request"
            # The binder says so of columns, the catalog of tables: both are about names.
            about_name = kind == "request" and isinstance(error, duckdb.Error)
            if about_name and any(words in str(error) for words in _MISSING):
                return "name"
            return kind
    return type(error).__name__


def exact(value: Any) -> Any:
    """A value as something that is equal to nothing but the same value of the same type."""
    match value:
        case float():
            return "nan" if math.isnan(value) else struct.pack("<d", value)
        case list() | tuple():
            return (type(value).__name__, *map(exact, value))
        case dict():
            return ("dict", *((exact(k), exact(v)) for k, v in value.items()))
        case bool() | int():
            return (type(value).__name__, value)
    return value if isinstance(value, str | None) else (type(value).__name__, str(value))


def close(value: Any) -> Any:
    """The same with floats to so many digits, and one zero."""
    match value:
        case float():
            return "nan" if math.isnan(value) else float(f"{value + 0.0:.{DIGITS}g}")
        case list() | tuple():
            return (type(value).__name__, *map(close, value))
        case dict():
            return ("dict", *((close(k), close(v)) for k, v in value.items()))
    return exact(value)


def is_fault(theirs: Answer) -> bool:
    """Whether stock DuckDB stumbled over itself, after which its database is of no use."""
    stumbled = any(words in theirs.message for words in _FAULTS)
    return theirs.error == "internal" or (theirs.error != "" and stumbled)


def compare(ours: Answer, theirs: Answer, *, is_ordered: bool) -> tuple[Difference | None, bool]:
    """How an answer differs from stock DuckDB's.

    Returns:
        The difference, if any, and whether the answers agree in all bits.
    """
    if ours.error or theirs.error:
        if ours.error == theirs.error:
            return None, True
        told = f"pagelake: {ours.error or 'no error'}: {ours.message}"
        told += f"\nduckdb: {theirs.error or 'no error'}: {theirs.message}"
        return Difference("error", told), True
    for kind, mine, wanted in (
        ("names", ours.names, theirs.names),
        ("types", ours.types, theirs.types),
    ):
        if mine != wanted:
            return Difference(kind, f"pagelake: {mine}\nduckdb: {wanted}"), True
    if ours.rows == theirs.rows and _equal(ours, theirs, exact, is_ordered=True):
        return None, True
    if _equal(ours, theirs, exact, is_ordered=is_ordered):
        return None, True
    if _equal(ours, theirs, close, is_ordered=is_ordered):
        return None, False
    kind = "order" if _equal(ours, theirs, close, is_ordered=False) else "rows"
    return Difference(kind, _shown(ours, theirs)), True


def _equal(ours: Answer, theirs: Answer, seen: Any, *, is_ordered: bool) -> bool:
    mine = [tuple(map(seen, row)) for row in ours.rows]
    wanted = [tuple(map(seen, row)) for row in theirs.rows]
    return mine == wanted if is_ordered else Counter(mine) == Counter(wanted)


def _shown(ours: Answer, theirs: Answer) -> str:
    mine, wanted = Counter(map(repr, ours.rows)), Counter(map(repr, theirs.rows))
    more, fewer = list((mine - wanted).elements()), list((wanted - mine).elements())
    lines = [f"{len(ours.rows)} rows from pagelake, {len(theirs.rows)} from duckdb"]
    lines += [f"pagelake only: {row[:400]}" for row in more[:3]]
    lines += [f"duckdb only: {row[:400]}" for row in fewer[:3]]
    return "\n".join(lines)
