"""Parameters that choose versions, beside parameters that the kernel gets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.statements.version_parameters import bind_versions
from pagelake.sql.parameters import markers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect(settings={"background_maintenance": False}) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")  # version 1
        for value in (1, 2, 3):  # versions 2, 3 and 4
            connection.execute("INSERT INTO t VALUES (?)", [value])
        connection.execute("CREATE TAG gold AT (VERSION => 3)")
        yield connection


Given = list[object] | tuple[object, ...] | dict[str, object] | None
COUNT = "SELECT count(*) FROM t "


@pytest.mark.parametrize(
    ("sql", "parameters", "expected"),
    [
        (COUNT + "AT (VERSION => $1)", [2], 1),
        (COUNT + "AT (VERSION => ?)", (3,), 2),
        (COUNT + "AT (VERSION => ?::BIGINT)", ["3"], 2),
        (COUNT + "AT (VERSION => $v)", {"v": 2}, 1),
        (COUNT + "AT (VERSION => $v + 1)", {"v": 2}, 2),
        (COUNT + "AT (TAG => $1)", ["gold"], 2),
        (COUNT + "AT (TAG => $1) WHERE a = $2", ["gold", 2], 1),
        (COUNT + "AT (TAG => ?) WHERE a >= ?", ["gold", 2], 1),
        ("SELECT ?, count(*) FROM t AT (VERSION => ?) WHERE a >= ?", [7, 3, 2], 7),
        ("SELECT $3 FROM t AT (VERSION => $2) WHERE a = $1", [2, 3, "x"], "x"),
        (COUNT + "AT (VERSION => $1) WHERE a < $1", [3], 2),
        (COUNT + "AT (VERSION => $v) WHERE a = $w", {"v": 4, "w": 3}, 1),
        ("SELECT count(*) FROM pagelake.table_changes($1, $2, $3)", ["t", 3, 4], 2),
        ("SELECT count(*) FROM pagelake.table_changes(?, 3, ?) WHERE a > ?", ["t", 4, 2], 1),
        ("SELECT count(*) FROM t AT (VERSION => (SELECT $1)) x, t y", [2], 3),
    ],
)
def test_versions_are_chosen_by_parameters(
    db: pagelake.Connection, sql: str, parameters: Given, expected: object
) -> None:
    row = db.sql(sql, parameters).fetchone()
    assert row is not None
    assert row[0] == expected


def test_times_are_parameters(db: pagelake.Connection) -> None:
    times = db.sql("SELECT time FROM pagelake.snapshots ORDER BY version").fetchall()
    at_time = COUNT + "AT (TIMESTAMP => $1)"
    assert db.sql(at_time, [times[2][0]]).fetchone() == (2,)
    assert db.sql(at_time, [times[2][0] - timedelta(microseconds=1)]).fetchone() == (1,)
    db.execute("SET TimeZone = 'UTC'")
    assert db.sql(at_time, [times[1][0].astimezone(UTC).replace(tzinfo=None)]).fetchone() == (1,)
    with pytest.raises(pagelake.SnapshotGone):
        db.sql(at_time, [date(1999, 1, 1)])
    assert db.sql(at_time, [datetime.now(UTC)]).fetchone() == (3,)


def test_each_value_reads_its_own_version(db: pagelake.Connection) -> None:
    """A plan must not be kept for another value."""
    counts = [db.sql(COUNT + "AT (VERSION => $1)", [v]).fetchone() for v in (1, 2, 3, 4, 2)]
    assert counts == [(0,), (1,), (2,), (3,), (1,)]


def test_statements_that_change_take_parameters_too(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE b CLONE t AT (VERSION => $1)", [2])
    db.execute("INSERT INTO b SELECT a + $2 FROM t AT (VERSION => $1)", [3, 10])
    assert db.sql("FROM b ORDER BY a").fetchall() == [(1,), (11,), (12,)]
    db.executemany("INSERT INTO b SELECT a + ? FROM t AT (VERSION => ?)", [(100, 2), (200, 3)])
    assert db.sql("SELECT count(*) FROM b WHERE a > 100").fetchone() == (3,)
    db.execute("CREATE TAG early AT (VERSION => ?)", [2])
    db.execute("RESTORE t TO VERSION ?", [3])
    assert db.sql(COUNT).fetchone() == (2,)
    db.execute("RESTORE t TO TAG $name", {"name": "early"})
    assert db.sql(COUNT).fetchone() == (1,)
    db.execute("CREATE VIEW v AS FROM t AT (VERSION => $1)", [4])
    assert db.sql("SELECT count(*) FROM v").fetchone() == (3,)
    assert db.execute("CALL pagelake.compact($1)", ["t"]).fetchall() is not None
    db.execute("CALL pagelake.reclaim(keep => ?)", [timedelta(days=7)])


@pytest.mark.parametrize(
    ("sql", "parameters", "message"),
    [
        (COUNT + "AT (VERSION => $1)", None, "no value"),
        (COUNT + "AT (VERSION => $2)", [1], r"no value for \$2"),
        (COUNT + "AT (VERSION => $v)", {"w": 1}, r"no value for \$v"),
        (COUNT + "AT (VERSION => $1)", [[1]], "a list cannot be"),
        (COUNT + "AT (VERSION => $1)", [None], "NULL"),
        (COUNT + "AT (VERSION => $1)", [1.5], "whole numbers"),
        (COUNT + "AT (VERSION => $1)", ["x"], "no version number"),
        (COUNT + "AT (VERSION => $1)", [2, 3], "mismatch"),
    ],
)
def test_values_that_cannot_be(
    db: pagelake.Connection, sql: str, parameters: Given, message: str
) -> None:
    with pytest.raises(pagelake.InvalidRequest, match=message):
        db.sql(sql, parameters).fetchall()


def test_texts_are_quoted(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.UnknownName):
        db.sql(COUNT + "AT (TAG => $1)", ["gold') --"])


def test_a_statement_without_versions_is_left_alone() -> None:
    sql, parameters = "SELECT $1 FROM t WHERE at ($2)", [1, 2]
    assert bind_versions(sql, parameters) == (sql, parameters)
    assert bind_versions("FROM t AT (VERSION => 2) WHERE a = ?", (1,)) == (
        "FROM t AT (VERSION => 2) WHERE a = ?", (1,),
    )  # fmt: skip


def test_markers_are_told_from_texts_and_operators() -> None:
    found = markers("SELECT '?', \"$1\", ?::INT, $2, $name -- ?\n, $$ ? $$")
    assert [(m.key, m.positional) for m in found] == [("1", True), ("2", False), ("name", False)]
