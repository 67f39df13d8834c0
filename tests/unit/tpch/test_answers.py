from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from pagelake.tpch.answers import difference, order_columns
from pagelake.tpch.query import Query, queries, query

ORDERED = Query(0, "by revenue", "SELECT name, revenue, ratio FROM t ORDER BY revenue DESC")
ROWS: dict[str, list[object]] = {
    "name": ["a", "b", "c", "d"],
    "revenue": [Decimal("9.50"), Decimal("7.00"), Decimal("7.00"), Decimal("1.25")],
    "ratio": [0.5, 0.25, 0.125, None],
}


def changed(column: str, row: int, value: object) -> pa.Table:
    values = list(ROWS[column])
    values[row] = value
    return pa.table({**ROWS, column: values})


def test_equal_answers_have_no_difference() -> None:
    assert difference(ORDERED, pa.table(ROWS), pa.table(ROWS)) is None


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("name", 0, "z"),
        ("name", 3, None),
        ("revenue", 1, Decimal("7.01")),
        ("ratio", 0, 0.5 * (1 + 1e-8)),
        ("ratio", 0, None),
        ("ratio", 3, 0.0),
        ("ratio", 2, float("nan")),
    ],
)
def test_a_changed_value_is_found(column: str, row: int, value: object) -> None:
    assert difference(ORDERED, pa.table(ROWS), changed(column, row, value)) is not None


def test_the_last_digits_of_a_float_are_free() -> None:
    assert difference(ORDERED, pa.table(ROWS), changed("ratio", 0, 0.5 * (1 + 1e-12))) is None


def test_missing_and_additional_rows_are_found() -> None:
    table = pa.table(ROWS)
    assert difference(ORDERED, table, table.slice(0, 3)) == "3 rows instead of 4"
    assert difference(ORDERED, table, pa.concat_tables([table, table.slice(3)])) is not None


def test_a_row_that_replaces_its_neighbour_is_found() -> None:
    table = pa.table(ROWS)
    assert difference(ORDERED, table, table.take([0, 1, 1, 3])) is not None


def test_order_is_free_within_ties_and_nowhere_else() -> None:
    table = pa.table(ROWS)
    assert difference(ORDERED, table, table.take([0, 2, 1, 3])) is None
    assert difference(ORDERED, table, table.take([1, 0, 2, 3])) is not None
    assert difference(ORDERED, table, table.take([0, 1, 3, 2])) is not None


def test_column_names_count_unless_another_dialect_named_them() -> None:
    other = pa.table(ROWS).rename_columns(["name", "revenue", "x"])
    assert difference(ORDERED, pa.table(ROWS), other) is not None
    assert difference(ORDERED, pa.table(ROWS), other, names=False) is None
    assert difference(ORDERED, pa.table(ROWS), pa.table(ROWS).select([0, 1])) is not None


def test_numbers_compare_by_value_across_types() -> None:
    whole = Query(0, "", "SELECT n FROM t")
    assert difference(whole, pa.table({"n": [Decimal("5.00")]}), pa.table({"n": [5]})) is None
    assert (
        difference(whole, pa.table({"n": [0.123456]}), pa.table({"n": [Decimal("0.12")]})) is None
    )
    assert difference(whole, pa.table({"n": [0.153456]}), pa.table({"n": [Decimal("0.12")]}))
    assert difference(whole, pa.table({"n": ["5"]}), pa.table({"n": [5]})) is not None


def test_the_order_of_every_query_is_by_output_columns() -> None:
    assert order_columns(query(3)) == ("revenue", "o_orderdate")
    assert order_columns(query(6)) == ()
    ordered = [each.number for each in queries() if order_columns(each)]
    assert set(range(1, 23)) - set(ordered) == {6, 14, 17, 19}
