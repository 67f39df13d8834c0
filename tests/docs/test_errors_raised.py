"""Errors come when docs/python.md says that they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as opened:
        opened.execute("CREATE TABLE t (a INTEGER PRIMARY KEY CHECK (a < 1000), b DOUBLE NOT NULL)")
        opened.execute("INSERT INTO t VALUES (1, 1)")
        yield opened


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELEC 1", pagelake.ParseError),
        ("FROM s", pagelake.UnknownName),
        ("SET no_such_setting = 1", pagelake.InvalidRequest),
        ("SELECT a FROM t GROUP BY b", pagelake.InvalidRequest),
        ("CREATE TABLE t (a INTEGER)", pagelake.AlreadyExists),
        ("SELECT 'one'::INTEGER", pagelake.InvalidValue),
        ("SELECT 300::TINYINT", pagelake.InvalidValue),
        ("SELECT 1 // 0", pagelake.InvalidValue),
        ("INSERT INTO t VALUES (1, 1)", pagelake.ConstraintViolation),
        ("INSERT INTO t VALUES (2000, 1)", pagelake.ConstraintViolation),
        ("INSERT INTO t VALUES (2, NULL)", pagelake.ConstraintViolation),
        ("LOAD httpfs", pagelake.Unsupported),
        ("FROM t AT (VERSION => 99)", pagelake.SnapshotGone),
        ("SET memory_limit = '20MB'; SELECT list(i) FROM range(9000000) r(i)",
         pagelake.LimitExceeded),
        ("SET statement_timeout = '50ms'; SELECT count(*) FROM range(9000000) a, range(9000) b",
         pagelake.Timeout),
    ],
)  # fmt: skip
def test_a_statement_raises(
    db: pagelake.Connection, statement: str, kind: type[pagelake.Error]
) -> None:
    with pytest.raises(pagelake.Error) as caught:
        db.sql(statement).fetchall()
    assert type(caught.value) is kind


def test_a_limit_of_memory_gives_no_advice_that_cannot_be_followed(
    db: pagelake.Connection,
) -> None:
    with pytest.raises(pagelake.LimitExceeded) as caught:
        db.sql("SET memory_limit = '20MB'; SELECT list(i) FROM range(9000000) r(i)").fetchall()
    assert "solutions" not in str(caught.value)
    assert caught.value.hint is not None
    assert "memory_limit" in caught.value.hint


def test_a_failed_transaction_takes_no_further_statement(db: pagelake.Connection) -> None:
    db.begin()
    with pytest.raises(pagelake.UnknownName):
        db.execute("FROM s")
    with pytest.raises(pagelake.TransactionAborted):
        db.execute("FROM t")
    db.rollback()
    assert db.execute("FROM t").fetchall() == [(1, 1.0)]


def test_two_transactions_that_change_one_row_conflict(db: pagelake.Connection) -> None:
    other = db.cursor()
    other.execute("SET lock_timeout = 0")
    db.begin().execute("UPDATE t SET b = 2")
    with pytest.raises(pagelake.Conflict):
        other.execute("UPDATE t SET b = 3")
    db.commit()


def test_a_read_only_transaction_changes_nothing(db: pagelake.Connection) -> None:
    db.execute("BEGIN TRANSACTION READ ONLY")
    with pytest.raises(pagelake.Denied):
        db.execute("DELETE FROM t")
    db.rollback()


def test_appending_what_does_not_fit_names_the_column(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.TypeMismatch) as mismatch:
        db.append("t", pa.table({"a": [5], "b": ["five"]}))
    assert mismatch.value.column == "b"
    with pytest.raises(pagelake.UnknownName):
        db.append("t", pa.table({"a": [5], "c": [5.0]}))
    with pytest.raises(pagelake.InvalidRequest):
        db.append("t", [(5, 5.0)])


def test_what_is_closed_or_read_only_says_so(db: pagelake.Connection, tmp_path: Path) -> None:
    cursor = db.cursor()
    with pytest.raises(pagelake.Closed):
        cursor.fetchone()
    with pytest.raises(pagelake.InvalidRequest):
        cursor.execute("DELETE FROM t").fetchone()
    cursor.close()
    with pytest.raises(pagelake.Closed):
        cursor.execute("FROM t")
    pagelake.connect(tmp_path / "made").close()
    for past in (
        pagelake.connect(tmp_path / "made", at=0),
        pagelake.connect(tmp_path / "made", read_only=True),
    ):
        with past, pytest.raises(pagelake.Denied):
            past.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(pagelake.NotAStore):
        pagelake.connect(tmp_path / "absent", read_only=True)
