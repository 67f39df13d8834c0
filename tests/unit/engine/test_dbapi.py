"""PEP 249: module, connection and cursor behave as drivers expect."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator

EXCEPTIONS = (
    "Warning",
    "Error",
    "InterfaceError",
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
)


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
        yield connection


def test_module_globals() -> None:
    assert (pagelake.apilevel, pagelake.threadsafety, pagelake.paramstyle) == ("2.0", 2, "qmark")


def test_exceptions_form_the_tree_of_the_specification() -> None:
    assert issubclass(pagelake.Warning, Exception)
    assert issubclass(pagelake.Error, Exception)
    assert issubclass(pagelake.InterfaceError, pagelake.Error)
    assert issubclass(pagelake.DatabaseError, pagelake.Error)
    for name in EXCEPTIONS[4:]:
        assert issubclass(getattr(pagelake, name), pagelake.DatabaseError)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_on_the_connection(name: str, db: pagelake.Connection) -> None:
    assert getattr(db, name) is getattr(pagelake, name)


def test_description_and_rowcount(db: pagelake.Connection) -> None:
    cursor = db.cursor()
    assert cursor.description is None
    assert cursor.rowcount == -1
    cursor.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    assert cursor.rowcount == 2
    cursor.execute("SELECT a, b FROM t ORDER BY a")
    assert cursor.description is not None
    assert [column[0] for column in cursor.description] == ["a", "b"]
    assert all(len(column) == 7 for column in cursor.description)
    assert cursor.description[0][1] == pagelake.NUMBER
    assert cursor.description[1][1] == pagelake.STRING
    assert cursor.description[0][1] != pagelake.STRING
    assert cursor.execute("UPDATE t SET b = 'z'").rowcount == 2
    assert cursor.execute("DELETE FROM t WHERE a = 1").rowcount == 1
    assert cursor.execute("CREATE TABLE u (a INTEGER)").description is None


def test_description_stays_after_the_rows_were_read(db: pagelake.Connection) -> None:
    cursor = db.execute("SELECT 1 AS one")
    assert cursor.fetchall() == [(1,)]
    assert cursor.description is not None
    assert cursor.description[0][0] == "one"


def test_fetching(db: pagelake.Connection) -> None:
    cursor = db.cursor()
    cursor.executemany("INSERT INTO t VALUES (?, ?)", [(n, str(n)) for n in range(10)])
    assert cursor.rowcount == 10
    cursor.execute("SELECT a FROM t ORDER BY a")
    assert cursor.arraysize == 1
    assert cursor.fetchone() == (0,)
    assert cursor.fetchmany() == [(1,)]
    cursor.arraysize = 3
    assert cursor.fetchmany() == [(2,), (3,), (4,)]
    assert cursor.fetchmany(2) == [(5,), (6,)]
    assert next(iter(cursor)) == (7,)
    assert cursor.fetchall() == [(8,), (9,)]
    assert cursor.fetchone() is None
    assert cursor.fetchmany(5) == []
    assert cursor.fetchall() == []


def test_iteration(db: pagelake.Connection) -> None:
    assert list(db.execute("SELECT * FROM range(3000)")) == [(n,) for n in range(3000)]
    cursor = db.execute("SELECT * FROM range(3)")
    assert list(cursor) == [(0,), (1,), (2,)]
    assert list(cursor) == []


def test_fetching_without_a_result_is_an_error(db: pagelake.Connection) -> None:
    cursor = db.cursor()
    for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall):
        with pytest.raises(pagelake.Error):
            fetch()


def test_a_closed_cursor_refuses_everything(db: pagelake.Connection) -> None:
    cursor = db.execute("SELECT 1")
    cursor = db.cursor()
    cursor.execute("SELECT 1")
    cursor.close()
    cursor.close()
    for call in (
        cursor.fetchone,
        cursor.fetchall,
        cursor.fetchmany,
        cursor.commit,
        cursor.rollback,
        lambda: cursor.execute("SELECT 1"),
        lambda: cursor.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x")]),
    ):
        with pytest.raises(pagelake.Closed):
            call()
    assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_a_closed_connection_refuses_everything() -> None:
    db = pagelake.connect()
    cursor = db.cursor()
    db.close()
    db.close()
    for call in (db.cursor, db.commit, db.rollback, lambda: db.execute("SELECT 1"), db.table_names,
                 lambda: cursor.execute("SELECT 1"), cursor.commit, db.snapshot):  # fmt: skip
        with pytest.raises(pagelake.Closed):
            call()


def test_context_managers_close() -> None:
    with pagelake.connect() as db:
        with db.cursor() as cursor:
            cursor.execute("SELECT 1")
        with pytest.raises(pagelake.Closed):
            cursor.execute("SELECT 1")
    with pytest.raises(pagelake.Closed):
        db.execute("SELECT 1")


def test_transactions_belong_to_their_cursor(db: pagelake.Connection) -> None:
    cursor = db.cursor()
    cursor.begin()
    cursor.execute("INSERT INTO t VALUES (1, 'x')")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    cursor.commit()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (1,)
    cursor.begin()
    cursor.execute("DELETE FROM t")
    cursor.rollback()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (1,)
    cursor.commit()
    cursor.rollback()


def test_executemany_is_one_transaction(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.Error):
        db.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), ("no number", "y")])
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
    before = db.snapshot()
    db.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x") for n in range(50)])
    assert db.snapshot() == before + 1
    db.executemany("UPDATE t SET b = $b WHERE a = $a", [{"a": n, "b": "y"} for n in range(3)])
    assert db.rowcount == 3
    assert db.snapshot() == before + 2
    assert db.execute("SELECT count(*) FROM t WHERE b = 'y'").fetchone() == (3,)
    db.executemany("INSERT INTO t VALUES (?, ?)", [])
    assert db.rowcount == 0
    db.executemany("INSERT INTO t VALUES (?, ?)", iter([(100, "z")]))
    assert db.rowcount == 1


def test_errors_have_their_classes(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.ProgrammingError):
        db.execute("SELEKT 1")
    with pytest.raises(pagelake.ProgrammingError):
        db.execute("SELECT * FROM nowhere")
    with pytest.raises(pagelake.DataError):
        db.execute("SELECT 'x'::INTEGER")
    db.execute("CREATE TABLE k (a INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO k VALUES (1)")
    with pytest.raises(pagelake.IntegrityError):
        db.execute("INSERT INTO k VALUES (1)")
    with pytest.raises(pagelake.NotSupportedError):
        db.execute("CREATE TRIGGER f AFTER INSERT ON k FOR EACH STATEMENT DELETE FROM k")


def test_constructors_and_values(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE v (d DATE, c TIME, s TIMESTAMP, b BLOB)")
    row = (
        pagelake.Date(2024, 2, 29),
        pagelake.Time(1, 2, 3),
        pagelake.Timestamp(2024, 2, 29, 1, 2, 3),
        pagelake.Binary(b"\0\xff"),
    )
    db.execute("INSERT INTO v VALUES (?, ?, ?, ?)", row)
    assert db.execute("SELECT * FROM v").fetchone() == row
    ticks = datetime.datetime(2024, 2, 29, 1, 2, 3).timestamp()
    assert pagelake.DateFromTicks(ticks) == row[0]
    assert pagelake.TimeFromTicks(ticks) == row[1]
    assert pagelake.TimestampFromTicks(ticks) == row[2]
    kinds = [column[1] for column in db.execute("SELECT * FROM v").description or []]
    assert kinds[0] == pagelake.DATETIME
    assert kinds[2] == pagelake.DATETIME
    assert kinds[3] == pagelake.BINARY


def test_null_comes_and_goes_as_none(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO t VALUES (?, ?)", (None, None))
    assert db.execute("SELECT * FROM t").fetchall() == [(None, None)]


def test_input_and_output_sizes_are_accepted(db: pagelake.Connection) -> None:
    db.setinputsizes([1])
    db.setoutputsize(1)
    db.setoutputsize(1, 0)
