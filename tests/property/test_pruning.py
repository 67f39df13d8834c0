"""Pruning never loses a row: neither by zone map alone nor through SQL end to end.

The end-to-end part streams every row group (no hot tier, nothing copied into memory), which is
where zone maps decide, and compares with the same predicate that nothing can prune by.
"""

from __future__ import annotations

import contextlib
import datetime
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pagelake
from pagelake.storage.effects import ColumnChunk, RowGroup
from pagelake.storage.page import PageRef
from pagelake.storage.scan import group_may_match
from pagelake.storage.zone_map import ZoneMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NAN = float("nan")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


def order(value: object) -> tuple[int, object]:
    """SQL's total order: NaN above every number, text by its UTF-8 bytes."""
    if isinstance(value, float) and math.isnan(value):
        return (1, 0)
    return (0, value.encode() if isinstance(value, str) else value)


def holds(row: object, op: str, constant: Any) -> bool:
    if op == "is null":
        return row is None
    if op == "is not null":
        return row is not None
    if row is None:
        return False
    if op == "in":
        return any(order(row) == order(item) for item in constant)
    return OPERATORS[op](order(row), order(constant))


COLUMNS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-5, 5) | st.integers(-(1 << 63), (1 << 63) - 1),
    pa.float64(): st.sampled_from([0.0, -0.0, 1.5, NAN, math.inf, -math.inf]) | st.floats(),
    pa.string(): st.text(max_size=3) | st.text("ab", min_size=15, max_size=18),
    pa.bool_(): st.booleans(),
}


@st.composite
def predicates(draw: st.DrawFn, columns: Sequence[pa.DataType]) -> tuple[int, str, object]:
    number = draw(st.integers(0, len(columns) - 1))
    values = COLUMNS[columns[number]]
    op = draw(st.sampled_from([*OPERATORS, "in", "is null", "is not null"]))
    constant: object = None
    if op == "in":
        constant = draw(st.lists(values, min_size=1, max_size=3))
    elif op in OPERATORS:
        constant = draw(values)
    return number, op, constant


@given(st.data())
def test_a_group_with_a_matching_row_is_read(data: st.DataObject) -> None:
    """Any conjunction: the group is kept whenever one of its rows meets all of it."""
    types = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=3))
    rows = data.draw(
        st.lists(st.tuples(*[COLUMNS[type_] | st.none() for type_ in types]), max_size=8)
    )
    mapped = data.draw(st.lists(st.booleans(), min_size=len(types), max_size=len(types)))
    page = PageRef(0, 0, 0, 0)
    chunks = {
        number: ColumnChunk(
            page, "", ZoneMap.of(pa.array([row[number] for row in rows], type_)) if known else None
        )
        for number, (type_, known) in enumerate(zip(types, mapped, strict=True))
    }
    group = RowGroup("g", len(rows), chunks)
    conjunction = data.draw(st.lists(predicates(types), max_size=3))
    matching = [
        row
        for row in rows
        if all(holds(row[column], op, value) for column, op, value in conjunction)
    ]
    if matching:
        assert group_may_match(group, conjunction)


def test_an_inlined_group_is_always_read() -> None:
    assert group_may_match(RowGroup("g", 1, inline=b"", inline_columns=(1,)), [(1, "=", 5)])


# End to end

GROUP = 122_880
ROWS = 3 * GROUP + 1_000
"""Three full row groups and a rest, whose ranges differ in every column."""
SELECT = f"""
    SELECT
        CASE WHEN i % 11 = 0 THEN NULL ELSE i // 7 END AS n,
        CASE WHEN i % 13 = 0 THEN 'nan'::DOUBLE WHEN i % 17 = 0 THEN NULL
             WHEN i < {GROUP} THEN -i / 3.0 ELSE i / 3.0 END AS d,
        CASE WHEN i % 19 = 0 THEN NULL
             ELSE repeat('a', 14 + (i // {GROUP})::INTEGER) || i::VARCHAR END AS s,
        CASE WHEN i // {GROUP} = 1 THEN NULL ELSE DATE '2000-01-01' + (i // 1000)::INTEGER END AS t,
        (i / 100)::DECIMAL(15, 2) AS m,
        i // {GROUP} = 2 AS b,
        TIMESTAMP '2020-01-01' + INTERVAL (i) SECOND AS ts
    FROM range({ROWS}) r(i)
"""
CONSTANTS: dict[str, st.SearchStrategy[str]] = {
    "n": st.integers(-10, ROWS // 7 + 10).map(str) | st.just("1.5"),
    "d": st.integers(-GROUP // 3 - 2, ROWS // 3 + 2).map(lambda v: f"{v}::DOUBLE")
    | st.sampled_from(["'nan'::DOUBLE", "'inf'::DOUBLE", "'-inf'::DOUBLE", "-0.0::DOUBLE"]),
    "s": st.integers(0, ROWS).map(lambda i: f"'{'a' * (14 + i // GROUP)}{i}'")
    | st.sampled_from(["''", "'a'", "'b'", "'aaaaaaaaaaaaaaaa'"]),
    "t": st.integers(-3, ROWS // 1000 + 3).map(
        lambda days: f"DATE '{datetime.date(2000, 1, 1) + datetime.timedelta(days)}'"
    ),
    "m": st.integers(-100, ROWS + 100).map(lambda cents: str(Decimal(cents) / 100))
    | st.just("0.005"),
    "b": st.sampled_from(["TRUE", "FALSE"]),
    "ts": st.integers(-5, ROWS + 5).map(
        lambda s: f"TIMESTAMP '{datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=s)}'"
    ),
}


@st.composite
def conditions(draw: st.DrawFn) -> str:
    column = draw(st.sampled_from(list(CONSTANTS)))
    op = draw(st.sampled_from([*OPERATORS, "IN", "BETWEEN", "IS NULL", "IS NOT NULL", "NULL"]))
    constants = [draw(CONSTANTS[column]) for _ in range(3)]
    match op:
        case "IN":
            return f"{column} IN ({', '.join(constants)})"
        case "BETWEEN":
            return f"{column} BETWEEN {constants[0]} AND {constants[1]}"
        case "NULL":
            return f"{column} = NULL"
        case "IS NULL" | "IS NOT NULL":
            return f"{column} {op}"
        case _:
            return f"{column} {op} {constants[0]}"


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pagelake.Connection]:
    path = tmp_path_factory.mktemp("pruning") / "test.lake"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pagelake.engine.leaves.table_leaf.DELTA_ROWS_MAX", 0)
        with pagelake.connect(path, settings={"hot_bytes_max": 0}) as db:
            db.execute(f"CREATE TABLE t AS {SELECT}")
            db.execute("DELETE FROM t WHERE n % 1000 = 3")
            yield db


SUMMARY = "count(*), count(n), sum(n)::BIGINT, sum(hash(n, d, s, t, m, b, ts) % 1000003)::BIGINT"


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    condition=st.lists(conditions(), min_size=1, max_size=2).flatmap(
        lambda parts: st.sampled_from([" AND ".join(parts), " OR ".join(parts)])
    )
)
def test_a_pruned_query_answers_as_one_that_cannot_be_pruned(
    streamed: pagelake.Connection, reference: Callable[[str], Any], condition: str
) -> None:
    found = streamed.execute(f"SELECT {SUMMARY} FROM t WHERE {condition}").fetchall()
    assert found == reference(condition)


@pytest.fixture(scope="module")
def reference() -> Iterator[Callable[[str], Any]]:
    """The same rows in memory, where no zone map of ours is asked."""
    import duckdb

    with contextlib.closing(duckdb.connect()) as kernel:
        kernel.execute(f"CREATE TABLE t AS {SELECT}")
        kernel.execute("DELETE FROM t WHERE n % 1000 = 3")
        yield lambda condition: kernel.execute(
            f"SELECT {SUMMARY} FROM t WHERE {condition}"
        ).fetchall()


def test_pruning_prunes(streamed: pagelake.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above would prove nothing if every row group were read."""
    read: list[bool] = []

    def observed(group: RowGroup, predicates: Any) -> bool:
        read.append(group_may_match(group, predicates))
        return read[-1]

    monkeypatch.setattr("pagelake.engine.leaves.table_leaf.group_may_match", observed)
    middle = GROUP * 3 // 2
    for condition in (
        f"n = {middle // 7}", f"ts > TIMESTAMP '2020-01-01' + INTERVAL ({ROWS - 500}) SECOND",
        "b = TRUE", f"s = 'aaaaaaaaaaaaaaaa{ROWS - 1}'",
        f"t > DATE '2000-01-01' + {ROWS // 1000 - 1}",
    ):  # fmt: skip
        read.clear()
        streamed.execute(f"SELECT count(*) FROM t WHERE {condition}").fetchall()
        assert len(read) == math.ceil(ROWS / GROUP), condition
        assert sum(read) < len(read), f"{condition} prunes nothing"
