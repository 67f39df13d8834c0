"""Random work on tables with keys, next to DuckDB: the same answers, the same refusals."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Pair = tuple[pagelake.Connection, duckdb.DuckDBPyConnection]

TABLES = {
    "whole": "CREATE TABLE {t} (a BIGINT PRIMARY KEY, b VARCHAR, c INTEGER)",
    "text": "CREATE TABLE {t} (a BIGINT, b VARCHAR UNIQUE, c INTEGER)",
    "several": "CREATE TABLE {t} (a BIGINT, b VARCHAR, c INTEGER, PRIMARY KEY (b, a), UNIQUE (c))",
}
STEPS = 45
KEYS = 400
WIDE = 1 << 58
"""Some keys lie so far apart that they do not fit a packed run."""


@pytest.fixture
def pair(store_path: Path) -> Iterator[Pair]:
    settings = {"background_maintenance": False, "lock_timeout": "0s"}
    with pagelake.connect(store_path, settings=settings) as ours, duckdb.connect() as peer:
        yield ours, peer


class Actor:
    """Does the same to both."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.ours, self.peer = pair
        self.random = random.Random(seed)
        self.wide = seed % 2

    def key(self) -> int:
        key = self.random.randrange(KEYS)
        return key + self.wide * WIDE * self.random.choice((-1, 0, 1))

    def row(self) -> str:
        key, number = self.key(), self.random.randrange(KEYS * 10)
        text = self.random.choice(["NULL", f"'n{key}'", f"'a rather long name {key}'"])
        return f"({key}, {text}, {self.random.choice(['NULL', number])})"

    def rows(self, count: int) -> str:
        return "VALUES " + ", ".join(self.row() for _ in range(count))

    def step(self) -> str:
        low = self.key()
        match self.random.randrange(8):
            case 0 | 1:
                return f"INSERT INTO t {self.rows(1)}"
            case 2:
                return f"INSERT INTO t {self.rows(self.random.randrange(2, 6))}"
            case 3:
                # More than a record takes, so that it becomes a paged row group.
                start = self.random.randrange(1000, 60_000)
                return (
                    f"INSERT INTO t SELECT i, 'bulk ' || i, i + 100000 FROM range({start},"
                    f" {start + 9000}) r(i) ORDER BY hash(i) "
                )
            case 4:
                return f"DELETE FROM t WHERE a BETWEEN {low} AND {low + 20}"
            case 5:
                return f"UPDATE t SET c = c + 1 WHERE a = {low}"
            case 6:
                return f"UPDATE t SET b = b || '.' WHERE a IN ({low}, {self.key()})"
            case _:
                return "DELETE FROM t WHERE a > 1000 AND a % 3 = 0"

    def run(self, sql: str) -> None:
        """Run a statement on both; where one refuses, the other must."""
        errors: list[Exception | None] = [None, None]
        for number, con in enumerate((self.ours, self.peer)):
            try:
                con.execute(sql)
            except (pagelake.ConstraintViolation, duckdb.ConstraintException) as error:
                errors[number] = error
        assert (errors[0] is None) == (errors[1] is None), (sql, errors)

    def compare(self) -> None:
        a, texts = [self.key() for _ in range(5)], [f"n{self.key()}" for _ in range(3)]
        bulk = self.random.randrange(1000, 69_000)
        queries = [
            (f"SELECT * FROM t WHERE a IN ({', '.join(map(str, a))}, {bulk})", None),
            ("SELECT a, c FROM t WHERE b = ?", [texts[0]]),
            (f"SELECT a, c FROM t WHERE b IN ('bulk {bulk}', ?)", [texts[1]]),
            (f"SELECT b FROM t WHERE a = ? AND b IN ('n{a[0]}', 'bulk {bulk}')", [a[0]]),
            (f"SELECT a, b FROM t WHERE c = {bulk + 100_000}", None),
        ]
        for sql, parameters in queries:
            mine = self.ours.execute(sql, parameters).fetchall()
            theirs = self.peer.execute(sql, parameters).fetchall()
            assert sorted(mine, key=repr) == sorted(theirs, key=repr), (sql, parameters)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("table", TABLES)
def test_the_same_as_duckdb(pair: Pair, table: str, seed: int) -> None:
    actor = Actor(pair, seed)
    for con in pair:
        con.execute(TABLES[table].format(t="t"))
    for number in range(STEPS):
        actor.run(actor.step())
        if number == STEPS // 3:
            for con in pair:
                con.execute("CREATE INDEX by_a ON t (a)")
        if number % 20 == 19:
            pair[0].execute("CALL pagelake.compact()")
        actor.compare()
    assert "KEY_LOOKUP" in pair[0].execute("EXPLAIN SELECT a FROM t WHERE a = 1").fetchall()[0][1]
