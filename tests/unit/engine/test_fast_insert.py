"""INSERT of plain values without the kernel: the same rows, types and errors as the long way."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.statements import fast_insert

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = {
    "TINYINT": [0, 127, -128, 128, 1.5, "5", True, None],
    "UBIGINT": [0, 2**64 - 1, -1, 2**64, None],
    "INTEGER": [1, 2**31, "x", 1.4999, b"1", None],
    "DOUBLE": [1, 1.5, math.inf, "2.5", 2**53 + 1, None],
    "VARCHAR": ["", "é\0", 5, 1.5, True, None],
    "BLOB": [b"", b"\0\xff", bytearray(b"x"), None],
    "BOOLEAN": [True, False, 1, "true", None],
    "DATE": [datetime.date(1, 1, 1), datetime.datetime(2024, 2, 29, 1), "2024-01-01", None],
    "TIMESTAMP": [
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
        datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
        datetime.date(2024, 1, 1),
        None,
    ],
    "DECIMAL(9,2)": [decimal.Decimal("1.25"), decimal.Decimal("1.255"), 7, 10**7, 1.5, "3.5", None],
    "UUID": ["12345678-9abc-def0-0123-456789abcdef", "x", None],
}


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        yield connection


def outcome(db: pagelake.Connection, insert: str, value: object) -> object:
    """The row that an INSERT leaves, or the class of its error."""
    try:
        db.execute(insert, (value,))
    except pagelake.Error as error:
        return type(error)
    rows = db.execute("SELECT a, a::VARCHAR, typeof(a) FROM t").fetchall()
    db.execute("DELETE FROM t")
    return rows


@pytest.mark.parametrize(
    ("sql", "value"), [(sql, value) for sql, values in COLUMNS.items() for value in values]
)
def test_values_become_what_the_kernel_makes_of_them(
    sql: str, value: object, db: pagelake.Connection
) -> None:
    db.execute(f"CREATE TABLE t (a {sql})")
    fast = outcome(db, "INSERT INTO t VALUES (?)", value)
    assert fast == outcome(db, "INSERT INTO t SELECT ?", value)


@pytest.mark.parametrize(
    "literal", ["1", "-1", "'x'", "NULL", "TRUE", "1.5", "1e3", "'it''s'", "-128", "DEFAULT", "(1)"]
)
@pytest.mark.parametrize("sql", ["TINYINT", "VARCHAR", "BOOLEAN", "DECIMAL(4,1)"])
def test_literals(sql: str, literal: str, db: pagelake.Connection) -> None:
    db.execute(f"CREATE TABLE t (a {sql}); CREATE TABLE u (a {sql})")
    results = []
    for table, text in (("t", f"VALUES ({literal})"), ("u", f"SELECT {literal}")):
        try:
            db.execute(f"INSERT INTO {table} {text.replace('SELECT DEFAULT', 'SELECT NULL')}")
            results.append(db.execute(f"SELECT a FROM {table}").fetchall())
        except pagelake.Error as error:
            results.append(type(error))  # type: ignore[arg-type]
    assert results[0] == results[1]


def test_column_lists_defaults_and_constraints(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (a INTEGER NOT NULL, b VARCHAR DEFAULT 'd', c INTEGER)")
    db.execute("INSERT INTO t (c, A) VALUES (?, ?)", (1, 2))
    db.execute("INSERT INTO t (b, a) VALUES ($b, $a)", {"a": 3, "b": None})
    assert db.execute("SELECT * FROM t ORDER BY a").fetchall() == [(2, "d", 1), (3, None, None)]
    with pytest.raises(pagelake.ConstraintViolation, match="a"):
        db.execute("INSERT INTO t (c) VALUES (?)", (1,))
    with pytest.raises(pagelake.ConstraintViolation, match="a"):
        db.execute("INSERT INTO t VALUES (?, ?, ?)", (None, "x", 1))
    with pytest.raises(pagelake.InvalidRequest):
        db.execute("INSERT INTO t (a, a) VALUES (?, ?)", (1, 2))
    with pytest.raises(pagelake.InvalidRequest):
        db.execute("INSERT INTO t VALUES (?)", (1,))
    with pytest.raises(pagelake.UnknownName, match="z"):
        db.execute("INSERT INTO t (a, z) VALUES (?, ?)", (1, 2))
    db.execute("CREATE TABLE k (a INTEGER CHECK (a > 0))")
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO k VALUES (?)", (0,))


def test_plain_values_do_not_meet_the_kernel(
    db: pagelake.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    batch = fast_insert.FastInsert.batch

    def noted(self: fast_insert.FastInsert, rows: object) -> object:
        batches.append(batch(self, rows))  # type: ignore[arg-type]
        return batches[-1]

    monkeypatch.setattr(fast_insert.FastInsert, "batch", noted)
    db.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
    db.execute("INSERT INTO t VALUES (?, 'x')", (1,))
    db.executemany("INSERT INTO t VALUES ($1, $2)", [(n, str(n)) for n in range(20)])
    assert [rows.num_rows for rows in batches] == [1, 20]
    db.execute("INSERT INTO t VALUES (?, 'x')", ("7",))
    assert batches[-1] is None
    assert db.execute("SELECT count(*), sum(a) FROM t").fetchone() == (22, 1 + 190 + 7)


def test_inside_a_transaction(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (a INTEGER)")
    db.begin()
    db.execute("INSERT INTO t VALUES (?)", (1,))
    assert db.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert db.execute("UPDATE t SET a = a + 1").rowcount == 1
    db.execute("INSERT INTO t VALUES (?)", (5,))
    db.commit()
    assert db.execute("SELECT a FROM t ORDER BY a").fetchall() == [(2,), (5,)]
