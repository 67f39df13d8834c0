"""Connections: parameters, scripts, names, threads, forks and read-only stores."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b VARCHAR DEFAULT 'none')")
        yield connection


FAST = "INSERT INTO t VALUES ({0}, {1})"
SLOW = "INSERT INTO t SELECT {0} + 0, {1} || ''"


@pytest.mark.parametrize("insert", [FAST, SLOW], ids=["fast", "slow"])
@pytest.mark.parametrize(
    ("marks", "parameters"),
    [
        (("?", "?"), [1, "x"]),
        (("?", "?"), (1, "x")),
        (("$1", "$2"), [1, "x"]),
        (("$2", "$1"), ["x", 1]),
        (("$n", "$s"), {"n": 1, "s": "x"}),
    ],
    ids=["list", "tuple", "numbered", "reversed", "named"],
)
def test_parameters(
    insert: str, marks: tuple[str, str], parameters: object, db: pagelake.Connection
) -> None:
    db.execute(insert.format(*marks), parameters)
    assert db.execute("SELECT * FROM t").fetchall() == [(1, "x")]
    query = f"SELECT a FROM t WHERE a = {marks[0]} AND b = {marks[1]}"
    assert db.sql(query, parameters).fetchall() == [(1,)]
    assert db.execute(query, parameters).fetchall() == [(1,)]
    assert db.sql(query, parameters).arrow().num_rows == 1
    assert db.sql(query, parameters).reader().read_all().num_rows == 1
    change = f"UPDATE t SET b = b || '!' WHERE a = {marks[0]} AND b = {marks[1]}"
    assert db.execute(change, parameters).rowcount == 1
    gone = f"DELETE FROM t WHERE a = {marks[0]} AND b = {marks[1]} || '!'"
    assert db.execute(gone, parameters).rowcount == 1


@pytest.mark.parametrize("insert", [FAST, SLOW], ids=["fast", "slow"])
@pytest.mark.parametrize(
    ("marks", "parameters"),
    [
        (("?", "?"), [1]),
        (("?", "?"), [1, "x", 2]),
        (("?", "?"), None),
        (("?", "?"), []),
        (("$1", "$2"), [1]),
        (("$n", "$s"), {"n": 1}),
        (("$n", "$s"), {"n": 1, "s": "x", "z": 2}),
        (("$n", "$s"), [1, "x"]),
        (("1", "'x'"), [1]),
    ],
)
def test_wrong_parameters_are_invalid_requests(
    insert: str, marks: tuple[str, str], parameters: object, db: pagelake.Connection
) -> None:
    with pytest.raises(pagelake.InvalidRequest, match=r"(?i)parameter"):
        db.execute(insert.format(*marks), parameters)
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    query = f"SELECT a FROM t WHERE a = {marks[0]} AND b = {marks[1]}"
    with pytest.raises(pagelake.InvalidRequest, match=r"(?i)parameter"):
        db.sql(query, parameters).fetchall()
    with pytest.raises(pagelake.InvalidRequest, match=r"(?i)parameter"):
        db.execute(f"DELETE FROM t WHERE a = {marks[0]} AND b = {marks[1]}", parameters)


def test_a_text_is_not_a_list_of_parameters(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.InvalidRequest):
        db.execute("INSERT INTO t (b) VALUES (?)", "x")


def test_a_script_answers_with_its_last_statement(db: pagelake.Connection) -> None:
    script = "INSERT INTO t VALUES (1, 'a;b'); -- a comment; with a semicolon\nSELECT b FROM t;"
    assert db.execute(script).fetchall() == [("a;b",)]
    assert db.execute("").description is None
    assert db.execute(" -- nothing\n;").description is None
    with pytest.raises(pagelake.InvalidRequest):
        db.execute("SELECT ?; SELECT 1", [1])


def test_table_names_and_snapshot(db: pagelake.Connection) -> None:
    first = db.snapshot()
    db.execute("CREATE SCHEMA s; CREATE TABLE s.z (a INTEGER); CREATE VIEW v AS SELECT 1 AS x")
    assert db.table_names() == ["t", "v"]
    assert db.table_names("S") == ["z"]
    assert db.snapshot() == first + 3
    db.execute("USE s")
    assert db.table_names() == ["z"]


def test_interrupt_of_an_idle_connection_does_nothing(db: pagelake.Connection) -> None:
    db.interrupt()
    assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_read_only(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a")
    with pagelake.connect(store_path, read_only=True) as db:
        assert db.read_only
        assert db.execute("SELECT * FROM t").fetchall() == [(1,)]
        for sql in ("INSERT INTO t VALUES (2)", "DROP TABLE t", "CREATE TABLE u (a INTEGER)",
                    "UPDATE t SET a = 2", "DELETE FROM t"):  # fmt: skip
            with pytest.raises(pagelake.Denied):
                db.execute(sql)
        db.execute("CREATE TEMP TABLE x AS SELECT * FROM t")
        assert db.execute("SELECT * FROM x").fetchall() == [(1,)]


def test_unknown_settings_are_refused(store_path: Path) -> None:
    with pytest.raises(pagelake.InvalidRequest, match="memory_limit"):
        pagelake.connect(store_path, settings={"memory_limits": "1GB"})
    with pytest.raises(pagelake.InvalidRequest):
        pagelake.connect(store_path, settings={"threads": 0})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_must_connect_anew(db: pagelake.Connection) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"no error"
        try:
            db.execute("SELECT 1")
        except pagelake.ForkedConnection as error:
            answer = str(error).encode()
        except BaseException as error:
            answer = repr(error).encode()
        os.write(writing, answer)
        os._exit(0)
    os.waitpid(child, 0)
    assert b"fork" in os.read(reading, 1000)
    os.close(reading)
    os.close(writing)
    assert db.execute("SELECT 1").fetchall() == [(1,)]


def in_threads(count: int, work: object) -> None:
    """Run a function of the thread's number in threads; raise what any of them raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_threads_with_a_cursor_each(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (thread INTEGER, n INTEGER)")

        def work(number: int) -> None:
            with db.cursor() as cursor:
                for n in range(12):
                    cursor.execute("INSERT INTO t VALUES (?, ?)", (number, n))
                    mine = "SELECT count(*), max(n) FROM t WHERE thread = ?"
                    assert cursor.execute(mine, (number,)).fetchone() == (n + 1, n)
                cursor.execute("UPDATE t SET n = n + 100 WHERE thread = ? AND n < 3", (number,))

        in_threads(8, work)
        expected = [(n, 12, 103 * 3 - 6 + sum(range(3, 12))) for n in range(8)]
        found = "SELECT thread, count(*), sum(n) FROM t GROUP BY ALL ORDER BY ALL"
        assert db.execute(found).fetchall() == expected
    with pagelake.connect(store_path) as db:
        assert db.execute(found).fetchall() == expected


def test_threads_on_one_connection(db: pagelake.Connection) -> None:
    def work(number: int) -> None:
        for n in range(10):
            assert db.sql("INSERT INTO t VALUES (?, ?)", (n, str(number))).rowcount == 1
            assert db.sql("SELECT ? + 1", (n,)).fetchall() == [(n + 1,)]

    in_threads(8, work)
    assert db.execute("SELECT count(*), sum(a) FROM t").fetchone() == (80, 8 * 45)
