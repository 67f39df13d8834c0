"""Statements that the kernel runs on copies, by several users of one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.result import Timing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[pagelake.Connection, pagelake.Connection]]:
    """Two databases over one directory, as two processes have it."""
    first = pagelake.connect(tmp_path / "lake")
    second = pagelake.connect(tmp_path / "lake")
    yield first, second
    second.close()
    first.close()


def test_a_sequence_gives_each_value_once(
    two: tuple[pagelake.Connection, pagelake.Connection],
) -> None:
    first, second = two
    first.execute("CREATE SEQUENCE ticket")
    given = [user.sql("SELECT nextval('ticket')").fetchall()[0][0] for user in (first, second) * 3]
    assert given == [1, 2, 3, 4, 5, 6]


def test_values_of_open_transactions_conflict(
    two: tuple[pagelake.Connection, pagelake.Connection],
) -> None:
    first, second = two
    first.execute("CREATE SEQUENCE ticket")
    first.execute("BEGIN")
    first.sql("SELECT nextval('ticket')").fetchall()
    second.sql("SELECT nextval('ticket')").fetchall()
    with pytest.raises(pagelake.Conflict):
        first.execute("COMMIT")


@pytest.mark.parametrize("child_first", [True, False])
def test_no_child_loses_its_parent(
    two: tuple[pagelake.Connection, pagelake.Connection], child_first: bool
) -> None:
    first, second = two
    first.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    first.execute("CREATE TABLE child (id INTEGER REFERENCES parent (id))")
    first.execute("INSERT INTO parent VALUES (1)")
    insert, delete = "INSERT INTO child VALUES (1)", "DELETE FROM parent"
    first.execute("BEGIN")
    first.execute(insert if child_first else delete)
    second.execute(delete if child_first else insert)
    with pytest.raises(pagelake.Conflict):
        first.execute("COMMIT")
    orphans = "SELECT * FROM child ANTI JOIN parent USING (id)"
    assert second.sql(orphans).fetchall() == []


def test_concurrent_upserts_of_one_key_leave_one_row(
    two: tuple[pagelake.Connection, pagelake.Connection],
) -> None:
    first, second = two
    first.execute("CREATE TABLE stock (item VARCHAR PRIMARY KEY, pieces INTEGER)")
    upsert = (
        "INSERT INTO stock VALUES ('pin', 1) "
        "ON CONFLICT DO UPDATE SET pieces = stock.pieces + excluded.pieces"
    )
    first.execute("BEGIN")
    first.execute(upsert)
    second.execute(upsert)
    with pytest.raises(pagelake.Conflict):
        first.execute("COMMIT")
    first.execute(upsert)
    assert second.sql("FROM stock").fetchall() == [("pin", 2)]


def test_catalog_entries_outlive_a_checkpoint(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake") as db:
        db.execute("CREATE SEQUENCE ticket START 7")
        db.sql("SELECT nextval('ticket')").fetchall()
        db.execute("CREATE MACRO twice(x) AS x * 2")
        db.execute("CREATE TABLE box (wide INTEGER, area INTEGER AS (wide * wide))")
        db.execute("CALL pagelake.checkpoint()")
    with pagelake.connect(tmp_path / "lake") as db:
        assert db.sql("SELECT nextval('ticket'), twice(4)").fetchall() == [(8, 8)]
        db.execute("INSERT INTO box VALUES (3)")
        assert db.sql("FROM box").fetchall() == [(3, 9)]


def test_an_insert_with_a_sequence_reads_no_rows_of_its_table(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "lake") as db:
        db.execute("CREATE SEQUENCE ticket")
        db.execute("CREATE TABLE visitor (id BIGINT DEFAULT nextval('ticket'), name VARCHAR)")
        db.execute("INSERT INTO visitor (name) VALUES ('ada')")
        plan = db._session._plan("INSERT INTO visitor (name) VALUES ('bob')", Timing())
        assert plan[0].statement.only_adds
