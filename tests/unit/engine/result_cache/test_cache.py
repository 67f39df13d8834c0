"""The budget of the result cache: the least recently used go first, and it is never exceeded."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import pagelake
from pagelake.engine.result_cache.cache import PART_OF_BUDGET, Entry, ResultCache

if TYPE_CHECKING:
    from collections.abc import Iterator


def entry(size: int) -> Entry:
    return Entry(pa.table({"a": [size]}), ("a",), ("BIGINT",), "SELECT c0 AS a FROM rows", size)


def state(cache: ResultCache) -> dict[str, object]:
    (row,) = cache.rows()
    return row


def test_the_least_recently_used_goes_first() -> None:
    cache = ResultCache(100)
    for key in "abcd":
        cache.put(key, entry(25), 0)
    assert cache.get("a") is not None
    cache.put("e", entry(25), 0)
    assert [key for key in "abcde" if cache.contains(key)] == ["a", "c", "d", "e"]
    assert state(cache) | {"misses": 0} == {
        "entries": 4, "bytes": 100, "bytes_max": 100, "hits": 1, "misses": 0, "stored": 5,
        "evicted": 1,
    }  # fmt: skip


def test_a_result_that_is_too_large_is_remembered_as_that() -> None:
    cache = ResultCache(100)
    cache.put("a", entry(100 // PART_OF_BUDGET + 1), 0)
    assert not cache.contains("a")
    assert cache.is_unfit("a")
    cache.resize(1000)
    assert not cache.is_unfit("a")


def test_a_smaller_budget_frees_at_once() -> None:
    cache = ResultCache(400)
    for number in range(8):
        cache.put(number, entry(50), 0)
    cache.put("large", entry(100), 0)
    cache.resize(200)  # of which a quarter is 50
    assert not cache.contains("large")
    assert state(cache)["entries"] == 4
    assert state(cache)["bytes"] == 200
    cache.resize(0)
    assert state(cache)["entries"] == state(cache)["bytes"] == 0


def test_what_was_begun_before_everything_was_forgotten_is_not_kept() -> None:
    cache = ResultCache(100)
    epoch = cache.epoch
    cache.put("a", entry(1), epoch)
    cache.forget()
    cache.put("b", entry(1), epoch)
    assert not cache.contains("a")
    assert not cache.contains("b")


def test_the_bytes_are_those_of_what_is_there_whatever_happens() -> None:
    cache, chosen = ResultCache(1000), random.Random(1)
    for _ in range(3000):
        match chosen.randrange(20):
            case 0:
                cache.resize(chosen.choice([0, 300, 1000, 2000]))
            case 1:
                cache.forget()
            case _:
                key = chosen.randrange(60)
                if cache.get(key) is None:
                    cache.put(key, entry(chosen.randrange(1, 400)), cache.epoch)
        there = [e.bytes for e in cache._entries.values()]
        assert state(cache)["bytes"] == sum(there) <= cache.bytes_max
        assert max(there, default=0) <= cache.entry_bytes_max


# In a store


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect(settings={"result_cache_bytes": "1MB"}) as opened:
        opened.execute("CREATE TABLE t AS SELECT i, 'x' || i AS s FROM range(200000) r(i)")
        yield opened


def _bytes(db: pagelake.Connection) -> int:
    return int(db.sql("SELECT bytes FROM pagelake.result_cache").fetchall()[0][0])


def test_bytes_are_those_of_the_rows(db: pagelake.Connection) -> None:
    rows = db.sql("SELECT i FROM t LIMIT 20000").arrow()
    assert rows.nbytes <= _bytes(db) <= 2 * rows.nbytes + 10_000


def test_the_budget_holds_whatever_is_asked(db: pagelake.Connection) -> None:
    for first in range(100):
        db.sql("SELECT i, s FROM t WHERE i BETWEEN ? AND ?", [first, first + 5000]).fetchall()
        assert _bytes(db) <= 1_000_000
    row = db.sql("SELECT entries > 2, evicted > 50 FROM pagelake.result_cache").fetchall()
    assert row == [(True, True)]


@pytest.mark.parametrize("statement", ["SET result_cache_bytes = 0", "RESET result_cache_bytes"])
def test_switched_off_it_is_empty(db: pagelake.Connection, statement: str) -> None:
    sql = "SELECT count(*) FROM t"
    db.sql(sql).fetchall()
    db.cursor().execute(statement)
    assert _bytes(db) == 0
    assert not db.sql(sql).from_cache
    db.execute("PRAGMA result_cache_bytes = '2MB'")
    assert not db.sql(sql).from_cache
    db.sql(sql).fetchall()
    assert db.sql(sql).from_cache


def test_threads_that_read_and_write_at_once_get_right_answers(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE log (n INTEGER)")
    wrong: list[object] = []
    go = threading.Barrier(4)

    def write() -> None:
        cursor = db.cursor()
        go.wait()
        for number in range(40):
            cursor.execute("INSERT INTO log VALUES (?)", [number])
            if number % 10 == 9:
                cursor.execute(f"SET result_cache_bytes = {random.Random(number).randrange(10**6)}")

    def read() -> None:
        cursor, last = db.cursor(), 0
        go.wait()
        for number in range(80):
            result = cursor.sql("SELECT count(*), coalesce(sum(n), 0), max(n) FROM log")
            rows = result.arrow().to_pylist() if number % 2 else result.fetchall()
            count, total, highest = tuple(rows[0].values()) if number % 2 else rows[0]
            if (
                count < last
                or total != count * (count - 1) // 2
                or (highest or 0) != max(0, count - 1)
            ):
                wrong.append((last, rows))
            last = count

    threads = [threading.Thread(target=run) for run in (write, read, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert db.sql("SELECT count(*) FROM log").fetchall() == [(40,)]
