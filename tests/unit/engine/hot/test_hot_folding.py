"""Hot segments of tables with deleted rows: built anew without them, and still located rightly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 200_000


class Pair:
    """The same statements on Pagelake and on stock DuckDB."""

    def __init__(self, path: Path) -> None:
        self.lake = pagelake.connect(path)
        self.duck = duckdb.connect()

    def run(self, sql: str) -> None:
        self.lake.execute(sql)
        self.duck.execute(sql)

    def check(self) -> None:
        for sql in (
            "SELECT count(*), sum(a), sum(b), min(a), max(a) FROM t",
            "SELECT * FROM t WHERE a % 97 = 5 ORDER BY a, b",
        ):
            assert self.lake.sql(sql).fetchall() == self.duck.execute(sql).fetchall()

    def build(self) -> None:
        self.lake.execute("CALL pagelake.build_hot_segments()")

    def deleted_in_hot(self) -> int:
        plan = self.lake.sql("EXPLAIN SELECT sum(a) FROM t").fetchall()[0][1]
        return plan.count("DELETE_VECTOR")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path / "lake")
    pair.run(f"CREATE TABLE t AS SELECT range AS a, range % 7 AS b FROM range({ROWS})")
    yield pair
    pair.lake.close()
    pair.duck.close()


def test_deleted_rows_are_folded_into_a_rebuilt_segment(pair: Pair) -> None:
    pair.run("DELETE FROM t WHERE a % 10 = 3")
    pair.build()
    pair.check()
    assert pair.deleted_in_hot() == 0
    used = pair.lake.sql("SELECT live_rows FROM pagelake.hot_segments WHERE used").fetchall()
    assert used == [(ROWS * 9 // 10,)]


def test_changes_after_folding_hit_the_right_rows(pair: Pair) -> None:
    pair.run("DELETE FROM t WHERE a % 10 = 3")
    pair.build()
    pair.run("UPDATE t SET b = b + 100 WHERE a % 11 = 0")
    pair.run("DELETE FROM t WHERE a % 17 = 0 OR b = 105")
    pair.check()
    pair.build()
    pair.run("UPDATE t SET a = a + 1000000 WHERE b = 2")
    pair.check()


def test_an_older_snapshot_does_not_read_a_segment_without_its_rows(pair: Pair) -> None:
    reader = pair.lake.cursor()
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (ROWS,)
    pair.run("DELETE FROM t WHERE a % 10 = 3")
    pair.build()
    pair.check()
    assert reader.execute("SELECT count(*), sum(a) FROM t").fetchone() == (
        ROWS,
        ROWS * (ROWS - 1) // 2,
    )


def test_pending_deletes_do_not_pass_for_folded_ones(pair: Pair) -> None:
    writer = pair.lake.cursor()
    writer.execute("BEGIN")
    writer.execute("DELETE FROM t WHERE a >= 150000")
    pair.run("DELETE FROM t WHERE a < 30000")
    pair.build()
    assert writer.execute("SELECT min(a), max(a), count(*) FROM t").fetchone() == (
        0,
        149999,
        150000,
    )
    writer.execute("COMMIT")
    pair.duck.execute("DELETE FROM t WHERE a >= 150000")
    pair.check()


def test_few_deleted_rows_are_left_out_at_the_leaf(pair: Pair) -> None:
    pair.run("DELETE FROM t WHERE a < 100")
    pair.build()
    pair.check()
    assert pair.deleted_in_hot() == 1
