"""Maintenance against writers: nothing is lost, nothing comes back, users come first."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pagelake
from pagelake.errors import Conflict
from pagelake.storage.environment import Environment

if TYPE_CHECKING:
    from pathlib import Path

QUIET = {"background_maintenance": False, "lock_timeout": "60s"}
WRITERS = 3
STATEMENTS = 60


def write(con: pagelake.Connection, writer: int, expected: dict[int, int]) -> None:
    """Insert, update and delete rows of one's own, and keep book of what was acknowledged."""
    choose = random.Random(writer)
    for number in range(STATEMENTS):
        key = writer * 1_000_000 + number
        con.execute("INSERT INTO t VALUES (?, ?)", (key, number))
        expected[key] = number
        target = choose.choice(sorted(expected))
        if number % 3 == 1:
            con.execute("UPDATE t SET v = v + 1000 WHERE k = ?", (target,))
            expected[target] += 1000
        elif number % 3 == 2:
            con.execute("DELETE FROM t WHERE k = ?", (target,))
            del expected[target]


def test_writers_lose_nothing_while_compaction_loops(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t (k BIGINT, v BIGINT)")
        books: list[dict[int, int]] = [{} for _ in range(WRITERS)]
        failures: list[BaseException] = []

        def run(writer: int) -> None:
            try:
                with con.cursor() as cursor:
                    write(cursor, writer, books[writer])
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        maintenance, rewritten = con._database.maintenance, 0
        while any(thread.is_alive() for thread in threads):
            try:
                rewritten += maintenance.seal() + maintenance.compact()
            except Conflict:
                continue
        for thread in threads:
            thread.join()
        assert failures == []
        rewritten += maintenance.compact()
        assert rewritten > 0
        expected = sorted(pair for book in books for pair in book.items())
        assert con.sql("SELECT k, v FROM t ORDER BY k").fetchall() == expected
    with pagelake.connect(tmp_path / "lake", read_only=True) as con:
        assert con.sql("SELECT k, v FROM t ORDER BY k").fetchall() == expected


def test_an_open_transaction_keeps_reading_what_it_began_with(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t (k BIGINT)")
        for n in range(20):
            con.execute("INSERT INTO t VALUES (?)", (n,))
        reader = con.cursor()
        reader.begin()
        assert reader.sql("SELECT sum(k) FROM t").fetchall() == [(190,)]
        con.execute("DELETE FROM t WHERE k < 10")
        assert con._database.maintenance.compact() == 10
        assert reader.sql("SELECT count(*), sum(k) FROM t").fetchall() == [(20, 190)]
        reader.rollback()
        assert reader.sql("SELECT count(*), sum(k) FROM t").fetchall() == [(10, 145)]


def test_deletes_follow_rows_that_moved_meanwhile(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t AS SELECT range AS k FROM range(1000)")
        con.execute("DELETE FROM t WHERE k % 5 = 0")
        other = con.cursor()
        other.begin()
        other.execute("DELETE FROM t WHERE k = 1")
        con._database.maintenance.compact()
        other.commit()
        assert con.sql("SELECT count(*), min(k) FROM t").fetchall() == [(799, 2)]


def test_compaction_of_a_table_that_is_gone_does_nothing(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t (k BIGINT)")
        con.execute("INSERT INTO t VALUES (1)")
        table = next(iter(con._database.store.snapshot().tables))
        con.execute("DROP TABLE t")
        assert con._database.maintenance.compact(table) == 0
        assert con._database.maintenance.seal(table) == 0


def test_row_ids_survive(tmp_path: Path) -> None:
    from pagelake.storage.row_group import read_row_ids

    with pagelake.connect(tmp_path / "lake", settings=QUIET) as con:
        con.execute("CREATE TABLE t (k BIGINT)")
        for n in range(10):
            con.execute("INSERT INTO t VALUES (?)", (n,))
        con.execute("UPDATE t SET k = 100 WHERE k = 4")
        con.execute("DELETE FROM t WHERE k = 7")

        def ids() -> list[int]:
            store = con._database.store
            state = store.snapshot().table("main", "t")
            assert state is not None
            found = [read_row_ids(store, state.definition, g) for g in state.row_groups]
            return [row for array in found for row in array.to_pylist()]

        before = sorted(ids())
        assert con._database.maintenance.compact() == 9
        assert sorted(ids()) == before == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_nothing_runs_in_the_background_where_there_are_no_threads(tmp_path: Path) -> None:
    from pagelake.engine.database import Database

    database = Database(tmp_path / "lake", environment=Environment(threads=False))
    names = {thread.name for thread in threading.enumerate()}
    database.close()
    assert "pagelake-maintenance" not in names
