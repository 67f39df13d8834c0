"""Cancelling and timing out: the statement ends with its own error, the connection goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENDLESS = "SELECT count(*) FROM range(1000000000) a, range(1000) b WHERE a.range + b.range = 1"


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE t (a BIGINT)")
        yield connection


def interrupted(cursor: pagelake.Cursor, run: Callable[[], object]) -> None:
    """Run something endless and cancel it from another thread until it is over."""
    over = threading.Event()

    def cancel() -> None:
        # A single signal could come before the kernel has begun.
        while not over.wait(0.05):
            cursor.interrupt()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(pagelake.Interrupted):
            run()
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    "run",
    [
        lambda db: db.execute(ENDLESS),
        lambda db: db.sql(ENDLESS).fetchall(),
        lambda db: db.sql(ENDLESS).arrow(),
        lambda db: db.sql(ENDLESS).reader().read_all(),
        lambda db: db.execute(f"INSERT INTO t {ENDLESS}"),
        lambda db: db.execute(f"CREATE TABLE u AS {ENDLESS}"),
        lambda db: db.execute(f"DELETE FROM t WHERE a = ({ENDLESS})"),
        lambda db: db.execute(f"EXPLAIN ANALYZE {ENDLESS}"),
    ],
    ids=["execute", "fetchall", "arrow", "reader", "insert", "ctas", "delete", "explain"],
)
def test_interrupt_from_another_thread(
    run: Callable[[pagelake.Connection], object], db: pagelake.Connection
) -> None:
    db.execute("INSERT INTO t VALUES (1)")
    interrupted(db, lambda: run(db))
    assert db.execute("SELECT * FROM t").fetchall() == [(1,)]
    assert db.table_names() == ["t"]


def test_only_the_interrupted_cursor_stops(db: pagelake.Connection) -> None:
    other = db.cursor()
    result = other.execute("SELECT * FROM range(100000)")
    assert result.fetchone() == (0,)
    interrupted(db, lambda: db.execute(ENDLESS))
    assert len(result.fetchall()) == 99_999


@pytest.mark.parametrize(
    "run",
    [
        lambda db: db.execute(ENDLESS),
        lambda db: db.sql(ENDLESS).fetchall(),
        lambda db: db.sql(ENDLESS).arrow(),
        lambda db: db.sql(ENDLESS).reader().read_all(),
        lambda db: db.execute(f"INSERT INTO t {ENDLESS}"),
        lambda db: db.execute(f"UPDATE t SET a = ({ENDLESS})"),
    ],
    ids=["execute", "fetchall", "arrow", "reader", "insert", "update"],
)
def test_statement_timeout(
    run: Callable[[pagelake.Connection], object], db: pagelake.Connection
) -> None:
    db.execute("INSERT INTO t VALUES (1)")
    db.execute("SET statement_timeout = '100ms'")
    with pytest.raises(pagelake.Timeout, match="statement_timeout"):
        run(db)
    assert db.execute("SELECT * FROM t").fetchall() == [(1,)]
    db.execute("SET statement_timeout = 0")
    assert db.execute("SELECT count(*) FROM range(1000000)").fetchone() == (1_000_000,)


def test_statement_timeout_is_the_connections_own(db: pagelake.Connection) -> None:
    other = db.cursor()
    other.execute("SET statement_timeout = '1ms'")
    work = "SELECT count(*) FROM range(3000000) a WHERE hash(a.range) % 7 = 1"
    assert len(db.execute(work).fetchall()) == 1


def test_two_writers_of_a_row_get_a_retryable_conflict(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1)")
        one, two = db.cursor(), db.cursor()
        one.begin()
        two.begin()
        one.execute("UPDATE t SET a = 2")
        with pytest.raises(pagelake.Conflict) as caught:
            two.execute("UPDATE t SET a = 3")
        assert caught.value.retryable
        two.rollback()
        one.commit()
        assert db.execute("SELECT a FROM t").fetchall() == [(2,)]
        two.execute("UPDATE t SET a = 4")
        assert db.execute("SELECT a FROM t").fetchall() == [(4,)]


def test_an_interrupt_inside_a_transaction_aborts_it(db: pagelake.Connection) -> None:
    db.begin()
    db.execute("INSERT INTO t VALUES (1)")
    interrupted(db, lambda: db.execute(ENDLESS))
    with pytest.raises(pagelake.TransactionAborted):
        db.execute("SELECT 1")
    db.rollback()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
