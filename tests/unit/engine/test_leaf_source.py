"""Streamed leaves: the kernel asks for columns and filters, and gets true rows and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

import pagelake
from pagelake.engine.leaves import table_leaf
from pagelake.engine.leaves.leaf_source import LeafSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pagelake.engine.leaves.leaf_source import Comparison

TABLE = pa.table({
    "a": pa.array([1, 2, None, 4], pa.int32()),
    "b": ["x", "y", None, "it's"],
    "f": [1.0, float("nan"), None, -0.0],
    "d": pa.array([0, 1, None, 3], pa.date32()),
    "o": [True, False, None, True],
})  # fmt: skip


class Rows:
    """Rows of a table, noting what was asked for."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.asked: list[tuple[tuple[str, ...], tuple[Comparison, ...]]] = []

    def schema(self) -> pa.Schema:
        return self.table.schema

    def rows(self) -> int:
        return self.table.num_rows

    def batches(
        self, columns: Sequence[str], comparisons: Sequence[Comparison]
    ) -> Iterator[pa.RecordBatch]:
        self.asked.append((tuple(columns), tuple(comparisons)))
        yield from self.table.select(list(columns) or ["a"]).to_batches(max_chunksize=2)


@pytest.fixture
def kernel() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"python_enable_replacements": False}) as connection:
        yield connection


@pytest.mark.parametrize(
    "condition",
    [
        "a = 2", "a <> 2", "a > 1", "a >= 2 AND b < 'z'", "a IN (1, 4)", "a IS NULL",
        "a IS NOT NULL", "b = 'it''s'", "f = 'nan'::DOUBLE", "f > 0", "f <= 0", "d > '1970-01-02'",
        "o", "NOT o", "a = 1 OR b = 'y'", "a + 1 = 3", "b LIKE 'x%'", "a BETWEEN 2 AND 4",
        "a IS DISTINCT FROM 2", "b IN ('x', 'none', NULL)", "false",
    ],
)  # fmt: skip
@pytest.mark.parametrize("select", ["*", "count(*)", "b", "d, a"])
def test_filters_are_exact(select: str, condition: str, kernel: duckdb.DuckDBPyConnection) -> None:
    kernel.register("leaf", LeafSource(Rows(TABLE)))
    kernel.register("plain", TABLE)
    kernel.execute("CREATE TABLE native AS SELECT * FROM plain")
    answers = [
        kernel.execute(f"SELECT {select} FROM {source} WHERE {condition}").fetchall()
        for source in ("leaf", "native")
    ]
    assert str(answers[0]) == str(answers[1])


def test_only_columns_that_are_needed_are_read(kernel: duckdb.DuckDBPyConnection) -> None:
    rows = Rows(TABLE)
    kernel.register("leaf", LeafSource(rows))
    assert kernel.execute("SELECT b FROM leaf WHERE a > 1 ORDER BY b").fetchall() == [
        ("it's",),
        ("y",),
    ]
    assert set(rows.asked[-1][0]) == {"a", "b"}
    assert ("a", ">", (1,)) in rows.asked[-1][1]
    assert kernel.execute("SELECT count(*) FROM leaf").fetchall() == [(4,)]
    assert len(rows.asked[-1][0]) <= 1


def test_a_leaf_is_scanned_any_number_of_times(kernel: duckdb.DuckDBPyConnection) -> None:
    kernel.register("leaf", LeafSource(Rows(TABLE)))
    joined = "SELECT count(*) FROM leaf x JOIN leaf y ON x.a = y.a"
    assert kernel.execute(joined).fetchall() == [(3,)]
    assert kernel.execute(joined).fetchall() == [(3,)]


def test_the_kernel_plans_with_the_row_count(kernel: duckdb.DuckDBPyConnection) -> None:
    kernel.register("leaf", LeafSource(Rows(pa.concat_tables([TABLE] * 5000))))
    explained = kernel.execute("EXPLAIN SELECT a FROM leaf").fetchall()[0][1]
    assert "20,000" in explained or "20000" in explained


def test_streamed_tables_answer_as_native_ones(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
        db.execute("CREATE TABLE t AS SELECT r AS a, 'v' || (r % 100) AS b FROM range(300000) x(r)")
        db.execute("DELETE FROM t WHERE a % 10 = 3")
        db.execute("INSERT INTO t VALUES (NULL, 'last')")
    queries = [
        "SELECT count(*), sum(a), count(DISTINCT b) FROM t",
        "SELECT b, count(*) FROM t WHERE a > 299000 GROUP BY b ORDER BY b",
        "SELECT a FROM t WHERE b = 'last'",
        "SELECT count(*) FROM t x JOIN t y USING (a) WHERE x.a < 1000",
        "SELECT max(a) FROM t WHERE a IN (5, 150000, 299999)",
    ]
    answers = []
    for delta_rows in (1_000_000, 0):
        with monkeypatch.context() as patched:
            patched.setattr(table_leaf, "DELTA_ROWS_MAX", delta_rows)
            with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
                answers.append([db.execute(query).fetchall() for query in queries])
    assert answers[0] == answers[1]
    assert answers[0][0] == [(270_001, sum(n for n in range(300_000) if n % 10 != 3), 91)]


def test_a_damaged_page_in_a_stream_is_corrupt(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
        db.execute("CREATE TABLE t AS SELECT hash(r) AS a FROM range(200000) x(r)")
    (segment,) = [f for f in (store_path / "segments").iterdir() if f.stat().st_size > 1_000_000]
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)
    monkeypatch.setattr(table_leaf, "DELTA_ROWS_MAX", 0)
    with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
        for read in (
            lambda: db.execute("SELECT sum(a) FROM t").fetchall(),
            lambda: db.sql("SELECT a FROM t").arrow(),
            lambda: db.execute("DELETE FROM t WHERE a = 1"),
        ):
            with pytest.raises(pagelake.Corrupt) as caught:
                read()
            assert "Traceback" not in str(caught.value)
        assert db.execute("SELECT 1").fetchall() == [(1,)]


@pytest.mark.parametrize("where", ["scan", "estimated_rows"])
def test_an_error_of_a_system_relation_keeps_its_class(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise pagelake.FormatTooNew("a later version of Pagelake wrote it")

    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        relation = db._session.database.system["snapshots"]
        monkeypatch.setattr(type(relation), where, fail)
        with pytest.raises(pagelake.FormatTooNew, match="later version"):
            db.execute("SELECT * FROM pagelake.snapshots AS s JOIN t ON t.a = s.version").fetchall()
