"""Do two engines give the same answer to a query?

Rows are compared in order. Where the query's ORDER BY leaves rows tied, and only there, their
order is free: a run of rows with equal sort keys is compared as a bag. No LIMIT of the 22 queries
cuts such a run with the validation parameters, so nothing else needs tolerance.

Values are exact, except that a floating-point value may differ by a relative 1e-9: DuckDB's avg
and division of decimals give DOUBLE, whose last digits depend on the order of summation. Where
one engine gives a decimal and the other a float, the decimal's own last digit is allowed too.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from .query import Query

__all__ = ["RELATIVE_TOLERANCE", "difference", "order_columns"]

RELATIVE_TOLERANCE = 1e-9

Row = tuple[object, ...]


@cache
def order_columns(query: Query) -> tuple[str, ...]:
    """Return the names of the output columns the query is ordered by, most significant first."""
    import sqlglot

    order = sqlglot.parse_one(query.sql, dialect="duckdb").args.get("order")
    return tuple(term.this.name for term in order.expressions) if order is not None else ()


def difference(
    query: Query, expected: pa.Table, actual: pa.Table, *, names: bool = True
) -> str | None:
    """Return the first difference between two answers in words, or None when they are equal.

    Args:
        query: What was asked; its ORDER BY decides which rows are tied.
        expected: The reference answer.
        actual: The answer to judge.
        names: Whether the column names must agree (other dialects name expressions differently).
    """
    if expected.num_columns != actual.num_columns:
        return f"{actual.num_columns} columns instead of {expected.num_columns}"
    if names and expected.column_names != actual.column_names:
        return f"columns {actual.column_names} instead of {expected.column_names}"
    if expected.num_rows != actual.num_rows:
        return f"{actual.num_rows} rows instead of {expected.num_rows}"
    keys = [expected.column_names.index(name) for name in order_columns(query)]
    start = 0
    for want, have in _tied_runs(_rows(expected), _rows(actual), keys):
        problem = _bag_difference(want, have, start)
        if problem is not None:
            return problem
        start += len(want)
    return None


def _rows(table: pa.Table) -> list[Row]:
    columns = [column.to_pylist() for column in table.columns]
    return list(zip(*columns, strict=True))


def _tied_runs(
    expected: list[Row], actual: list[Row], keys: Sequence[int]
) -> list[tuple[list[Row], list[Row]]]:
    """Cut both answers where the expected sort key changes; no ORDER BY makes one run of all."""
    runs: list[tuple[list[Row], list[Row]]] = []
    start = 0
    for _, group in groupby(expected, key=lambda row: tuple(row[key] for key in keys)):
        want = list(group)
        runs.append((want, actual[start : start + len(want)]))
        start += len(want)
    return runs


def _bag_difference(expected: list[Row], actual: list[Row], start: int) -> str | None:
    if len(expected) > 1:
        expected, actual = sorted(expected, key=_rank), sorted(actual, key=_rank)
    for index, (want, have) in enumerate(zip(expected, actual, strict=True), start):
        for column, (left, right) in enumerate(zip(want, have, strict=True)):
            if not _same(left, right):
                return f"row {index}, column {column}: {right!r} instead of {left!r}"
    return None


def _rank(row: Row) -> tuple[str, ...]:
    # Inexact values come last and rounded, so that they cannot reorder otherwise different rows.
    exact = [_text(value) for value in row if not isinstance(value, float)]
    inexact = [f"{value:.6e}" for value in row if isinstance(value, float)]
    return (*exact, *inexact)


def _text(value: object) -> str:
    # 5, 5.0 and 5.00 are one value and must sort alike.
    if isinstance(value, (int, Decimal)):
        return f"{Decimal(value).normalize():f}"
    return f"{value}"


def _same(left: object, right: object) -> bool:
    if left is None or right is None:
        return left is right
    if isinstance(left, float) or isinstance(right, float):
        return _same_float(left, right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    # Decimal and int compare by value, so DECIMAL(38,0) 5 equals BIGINT 5.
    return left == right


def _same_float(left: object, right: object) -> bool:
    if not (isinstance(left, (int, float, Decimal)) and isinstance(right, (int, float, Decimal))):
        return False
    first, second = float(left), float(right)
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    last_digit = max(_last_digit(left), _last_digit(right))
    return math.isclose(first, second, rel_tol=RELATIVE_TOLERANCE, abs_tol=last_digit)


def _last_digit(value: object) -> float:
    if not isinstance(value, Decimal):
        return 0.0
    exponent = value.as_tuple().exponent
    return 10.0**exponent if isinstance(exponent, int) else 0.0
