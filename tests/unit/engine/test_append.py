"""Appending Arrow data and data frames."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pandas
import polars
import pyarrow as pa
import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute(
            "CREATE TABLE t (id BIGINT, name VARCHAR DEFAULT 'none', price DECIMAL(9, 2))"
        )
        yield connection


TABLE = pa.table({"name": ["x", None], "id": pa.array([1, 2], pa.int32()), "price": ["1.50", "2"]})
EXPECTED = [(1, "x", "1.50"), (2, None, "2.00")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: TABLE,
        lambda: TABLE.to_batches()[0],
        lambda: TABLE.to_reader(max_chunksize=1),
        lambda: polars.DataFrame(TABLE.to_pydict()),
        lambda: polars.from_arrow(TABLE).lazy(),
        TABLE.to_pandas,
        lambda: pandas.DataFrame({"id": [1, 2], "name": ["x", None], "price": [1.5, 2.0]}),
        lambda: pa.dataset.dataset(TABLE),
    ],
    ids=["table", "batch", "reader", "polars", "lazy", "pandas", "pandas2", "dataset"],
)
def test_kinds_of_rows(make: object, db: pagelake.Connection) -> None:
    import pyarrow.dataset  # noqa: F401 - makes pa.dataset

    assert db.append("t", make()) == 2  # type: ignore[operator]
    assert db.execute("SELECT id, name, price::VARCHAR FROM t ORDER BY id").fetchall() == EXPECTED


def test_missing_columns_get_defaults_and_case_does_not_matter(db: pagelake.Connection) -> None:
    assert db.append("T", pa.table({"ID": [7]})) == 1
    assert db.execute("SELECT * FROM t").fetchall() == [(7, "none", None)]


def test_zero_rows(db: pagelake.Connection) -> None:
    before = db.snapshot()
    assert db.append("t", TABLE.slice(0, 0)) == 0
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert db.snapshot() - before in {0, 1}


def test_schema_qualified_table(db: pagelake.Connection) -> None:
    db.execute("CREATE SCHEMA s; CREATE TABLE s.u (a INTEGER)")
    assert db.append("s.u", pa.table({"a": [1]})) == 1
    assert db.execute("SELECT * FROM s.u").fetchall() == [(1,)]


def test_an_unknown_column_is_named_with_a_suggestion(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.UnknownName) as caught:
        db.append("t", pa.table({"id": [1], "nam": ["x"]}))
    assert "nam" in str(caught.value)
    assert "name" in caught.value.suggestions


def test_an_unknown_table_is_named(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.UnknownName, match="tt"):
        db.append("tt", TABLE)


@pytest.mark.parametrize(
    "make", [lambda t: t, lambda t: t.to_pandas(), polars.from_arrow],
    ids=["arrow", "pandas", "polars"],
)  # fmt: skip
def test_a_type_mismatch_names_the_column(make: object, db: pagelake.Connection) -> None:
    rows = pa.table({"name": ["x", "y"], "id": ["1", "many"]})
    with pytest.raises(pagelake.TypeMismatch, match='"id"') as caught:
        db.append("t", make(rows))  # type: ignore[operator]
    assert caught.value.column == "id"
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_types_without_a_cast_name_the_column(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.Error, match=r"id|BIGINT"):
        db.append("t", pa.table({"id": [datetime.date(2024, 1, 1)]}))
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_invalid_arrow_is_refused(db: pagelake.Connection) -> None:
    broken = pa.Array.from_buffers(
        pa.string(),
        1,
        [None, pa.array([0, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff\xfe")],
    )
    with pytest.raises(pagelake.InvalidValue):
        db.append("t", pa.table({"name": broken}))
    with pytest.raises(pagelake.InvalidValue):
        db.append("t", pa.record_batch({"name": broken}))
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


@pytest.mark.parametrize("rows", [None, [1, 2], {"id": 1}, "text", 5])
def test_other_objects_are_refused(rows: object, db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.InvalidRequest, match=type(rows).__name__):
        db.append("t", rows)


def test_a_failing_stream_appends_nothing(db: pagelake.Connection) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": list(range(10_000))})
        raise OSError("the source is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema({"id": pa.int64()}), batches())
    with pytest.raises(pagelake.Error, match="the source is gone"):
        db.append("t", reader)
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_constraints_hold(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE k (a INTEGER PRIMARY KEY, b INTEGER CHECK (b > 0))")
    assert db.append("k", pa.table({"a": [1, 2], "b": [1, 2]})) == 2
    for rows in ({"a": [3, 3]}, {"a": [1]}, {"a": [None]}, {"a": [4], "b": [0]}):
        with pytest.raises(pagelake.ConstraintViolation):
            db.append("k", pa.table({n: pa.array(v, pa.int32()) for n, v in rows.items()}))
    assert db.execute("SELECT count(*) FROM k").fetchone() == (2,)


def test_append_inside_a_transaction(db: pagelake.Connection) -> None:
    db.begin()
    db.append("t", TABLE)
    assert db.execute("SELECT count(*) FROM t").fetchone() == (2,)
    db.rollback()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_many_rows_in_chunks(db: pagelake.Connection) -> None:
    chunks = [pa.record_batch({"id": list(range(n, n + 7000))}) for n in range(0, 140_000, 7000)]
    assert db.append("t", pa.Table.from_batches(chunks)) == 140_000
    found = db.execute("SELECT count(*), count(DISTINCT id), sum(id) FROM t").fetchone()
    assert found == (140_000, 140_000, sum(range(140_000)))
