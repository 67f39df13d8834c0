"""PRIMARY KEY and UNIQUE, across and within statements, by order and by look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.statements import key_check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def db(store_path: Path) -> Iterator[pagelake.Connection]:
    with pagelake.connect(store_path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR UNIQUE)")
        yield connection


def refused(db: pagelake.Connection, sql: str, parameters: object = None) -> None:
    before = db.execute("SELECT count(*), sum(hash(t)) FROM t").fetchall()
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute(sql, parameters)
    assert db.execute("SELECT count(*), sum(hash(t)) FROM t").fetchall() == before


def test_across_and_within_statements(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    refused(db, "INSERT INTO t VALUES (1, 'z')")
    refused(db, "INSERT INTO t VALUES (3, 'y')")
    refused(db, "INSERT INTO t VALUES (3, 'z'), (3, 'w')")
    refused(db, "INSERT INTO t VALUES (3, 'z'), (4, 'z')")
    refused(db, "INSERT INTO t VALUES (?, ?)", (2, "w"))
    refused(db, "INSERT INTO t VALUES (NULL, 'w')")
    db.execute("INSERT INTO t VALUES (0, 'z')")
    assert db.execute("SELECT a FROM t ORDER BY a").fetchall() == [(0,), (1,), (2,)]


def test_nulls_are_unique(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, NULL), (2, NULL)")
    db.execute("INSERT INTO t (a) VALUES (3)")
    assert db.execute("SELECT count(*) FROM t WHERE b IS NULL").fetchone() == (3,)


def test_deleted_keys_are_free_again(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'x')")
    db.execute("DELETE FROM t")
    db.execute("INSERT INTO t VALUES (1, 'x')")
    refused(db, "INSERT INTO t VALUES (1, 'y')")


def test_updates_of_key_columns(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, NULL)")
    refused(db, "UPDATE t SET a = 2 WHERE a = 1")
    refused(db, "UPDATE t SET a = 7")
    refused(db, "UPDATE t SET b = 'x' WHERE a = 3")
    refused(db, "UPDATE t SET a = NULL WHERE a = 3")
    db.execute("UPDATE t SET a = a + 1")
    db.execute("UPDATE t SET b = CASE b WHEN 'x' THEN 'y' WHEN 'y' THEN 'x' END")
    assert db.execute("SELECT * FROM t ORDER BY a").fetchall() == [(2, "y"), (3, "x"), (4, None)]


def test_several_columns_in_one_key(db: pagelake.Connection) -> None:
    db.execute(
        "CREATE TABLE m (a INTEGER, b VARCHAR, c INTEGER, PRIMARY KEY (a, b), UNIQUE (b, c))"
    )
    db.execute("INSERT INTO m VALUES (1, 'x', 1), (1, 'y', 1), (2, 'x', 2), (3, 'x', NULL)")
    db.execute("INSERT INTO m VALUES (4, 'x', NULL)")
    for row in ("(1, 'x', 9)", "(9, 'x', 1)", "(9, NULL, 9)", "(8, 'q', 1), (8, 'q', 2)"):
        with pytest.raises(pagelake.ConstraintViolation):
            db.execute(f"INSERT INTO m VALUES {row}")
    assert db.execute("SELECT count(*) FROM m").fetchone() == (5,)


@pytest.mark.parametrize("order", ["r", "-r", "hash(r)"])
def test_loads_in_any_order(order: str, db: pagelake.Connection) -> None:
    load = "INSERT INTO t SELECT r, 'k' || r FROM range({}, {}) x(r) ORDER BY {}"
    db.execute(load.format(0, 20_000, order))
    db.execute(load.format(20_000, 40_000, order))
    refused(db, load.format(39_999, 50_000, order))
    refused(db, load.format(-10, 1, order))
    twice = "INSERT INTO t SELECT 50000 + r // 2, NULL FROM range(20001) x(r) ORDER BY r"
    refused(db, twice)
    assert db.execute("SELECT count(*), min(a), max(a) FROM t").fetchone() == (40_000, 0, 39_999)


def test_sorted_loads_store_no_codes(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE s (a BIGINT PRIMARY KEY)")
    db.execute("INSERT INTO s SELECT * FROM range(20000)")
    db.execute("INSERT INTO s SELECT * FROM range(20000, 40000)")
    (state,) = (
        s for s in db._database.store.snapshot().tables.values() if s.definition.name == "s"
    )
    assert [(run.form, run.page) for run in state.key_runs] == [("dense", None)] * 2
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO s SELECT * FROM range(39999, 60000)")


def test_more_keys_than_are_held(db: pagelake.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_check, "PROBE_ROWS_MAX", 100)
    db.execute("INSERT INTO t SELECT r, NULL FROM range(1000) x(r) ORDER BY hash(r)")
    refused(
        db, "INSERT INTO t SELECT 2000 - r, NULL FROM range(1001) x(r) UNION ALL SELECT 1000, NULL"
    )
    refused(db, "INSERT INTO t SELECT 1999 - r, NULL FROM range(1001) x(r)")


def test_one_row_and_empty_batches(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO t SELECT 1, 'x' WHERE false")
    db.execute("INSERT INTO t SELECT 1, 'x'")
    refused(db, "INSERT INTO t SELECT 1, 'y'")


def test_collated_keys_compare_to_the_letter(db: pagelake.Connection) -> None:
    """As in DuckDB, whose indexes know nothing of collations."""
    db.execute("CREATE TABLE c (a VARCHAR COLLATE NOCASE PRIMARY KEY)")
    db.execute("INSERT INTO c VALUES ('Key')")
    db.execute("INSERT INTO c VALUES ('other')")
    db.execute("INSERT INTO c VALUES ('kEY')")
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO c VALUES ('Key')")


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("UUID", "'12345678-9abc-def0-0123-456789abcdef'"),
        ("HUGEINT", "1"),
        ("TIMESTAMPTZ", "'2024-01-01 00:00:00+00'"),
        ("DECIMAL(18,3)", "1.5"),
        ("DOUBLE", "1.5"),
        ("BLOB", "'x'"),
        ("ENUM('p', 'q')", "'p'"),
        ("DATE", "'2024-01-01'"),
    ],
)
def test_key_types(sql: str, value: str, db: pagelake.Connection) -> None:
    db.execute(f"CREATE TABLE k (a {sql} PRIMARY KEY)")
    db.execute(f"INSERT INTO k VALUES ({value})")
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute(f"INSERT INTO k VALUES ({value})")
    assert db.execute("SELECT count(*) FROM k").fetchone() == (1,)


def test_keys_hold_between_concurrent_transactions(db: pagelake.Connection) -> None:
    one, two = db.cursor(), db.cursor()
    one.begin()
    two.begin()
    one.execute("INSERT INTO t VALUES (1, 'x')")
    two.execute("INSERT INTO t VALUES (1, 'y')")
    one.commit()
    with pytest.raises((pagelake.Conflict, pagelake.ConstraintViolation)):
        two.commit()
    assert db.execute("SELECT * FROM t").fetchall() == [(1, "x")]


def test_keys_hold_in_a_transaction_and_its_own_rows(db: pagelake.Connection) -> None:
    db.begin()
    db.execute("INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO t VALUES (1, 'y')")
    db.rollback()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
