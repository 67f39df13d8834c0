"""Cached plans: reused while the names stand, and never beyond."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine import query
from pagelake.engine.plan_cache import Plan, PlanCache
from pagelake.sql import statement as st

if TYPE_CHECKING:
    from pathlib import Path

QUERY = "SELECT * FROM t WHERE a > ?"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were planned."""
    texts: list[str] = []
    make_plan = query.make_plan

    def counted(session: object, text: str) -> Plan:
        texts.append(text)
        return make_plan(session, text)  # type: ignore[arg-type]

    monkeypatch.setattr(query, "make_plan", counted)
    return texts


def test_a_repeated_statement_is_planned_once(planned: list[str]) -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        for n in range(5):
            db.execute("INSERT INTO t VALUES (?)", (n,))
            assert len(db.execute(QUERY, (0,)).fetchall()) == n
            assert len(db.cursor().execute(QUERY, (-1,)).fetchall()) == n + 1
        assert planned.count(QUERY) == 1
        assert planned.count("INSERT INTO t VALUES (?)") == 1
        log = "SELECT plan_cached FROM pagelake.queries WHERE sql = ? ORDER BY id"
        flags = [cached for (cached,) in db.execute(log, (QUERY,)).fetchall()]
        assert flags == [False] + [True] * 9


def test_ddl_makes_a_new_plan(planned: list[str]) -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a")
        assert db.sql(QUERY, (0,)).columns == ["a"]
        db.execute("ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 2")
        assert db.execute(QUERY, (0,)).fetchall() == [(1, 2)]
        db.execute("DROP TABLE t")
        with pytest.raises(pagelake.UnknownName):
            db.execute(QUERY, (0,))
        db.execute("CREATE VIEW t AS SELECT 5 AS a")
        assert db.execute(QUERY, (0,)).fetchall() == [(5,)]
        assert planned.count(QUERY) == 4


def test_insert_plans_follow_ddl() -> None:
    insert = "INSERT INTO t VALUES (?)"
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        db.execute(insert, (1,))
        db.execute("ALTER TABLE t ALTER a TYPE VARCHAR")
        db.execute(insert, (2,))
        assert db.execute("SELECT * FROM t ORDER BY a").fetchall() == [("1",), ("2",)]
        db.execute("ALTER TABLE t ADD COLUMN b INTEGER")
        with pytest.raises(pagelake.InvalidRequest):
            db.execute(insert, (3,))
        db.execute("DROP TABLE t; CREATE TABLE t (a INTEGER PRIMARY KEY)")
        db.execute(insert, (1,))
        with pytest.raises(pagelake.ConstraintViolation):
            db.execute(insert, (1,))


def test_ddl_of_another_process(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a")
        assert db.execute(QUERY, (0,)).fetchall() == [(1,)]
        script = (
            "import sys, pagelake\n"
            "with pagelake.connect(sys.argv[1]) as db:\n"
            "    db.execute('ALTER TABLE t RENAME a TO z')\n"
            "    db.execute('ALTER TABLE t ADD COLUMN a INTEGER DEFAULT 7')\n"
        )
        subprocess.run([sys.executable, "-c", script, str(store_path)], check=True, timeout=60)
        assert db.sql(QUERY, (0,)).columns == ["z", "a"]
        assert db.execute(QUERY, (0,)).fetchall() == [(1, 7)]


def test_plans_belong_to_their_schema() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a; CREATE SCHEMA s")
        db.execute("CREATE TABLE s.t AS SELECT 2 AS a")
        other = db.cursor()
        other.execute("USE s")
        for _ in range(2):
            assert db.execute(QUERY, (0,)).fetchall() == [(1,)]
            assert other.execute(QUERY, (0,)).fetchall() == [(2,)]


def test_temporary_relations_and_transactions_are_not_shared() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a")
        assert db.execute(QUERY, (0,)).fetchall() == [(1,)]
        other = db.cursor()
        other.execute("CREATE TEMP TABLE t AS SELECT 9 AS a")
        assert other.execute(QUERY, (0,)).fetchall() == [(9,)]
        assert db.execute(QUERY, (0,)).fetchall() == [(1,)]
        db.begin()
        db.execute("CREATE TABLE u AS SELECT 3 AS a")
        assert db.execute("SELECT * FROM u").fetchall() == [(3,)]
        with pytest.raises(pagelake.UnknownName):
            db.cursor().execute("SELECT * FROM u")
        db.rollback()
        with pytest.raises(pagelake.UnknownName):
            db.execute("SELECT * FROM u")


def test_the_least_recently_used_go_first() -> None:
    cache = PlanCache(2)
    plans = {text: Plan(text, st.Query(text), 1) for text in "abc"}
    cache.put("main", plans["a"])
    cache.put("main", plans["b"])
    assert cache.get("a", "main") is plans["a"]
    cache.put("main", plans["c"])
    assert cache.get("b", "main") is None
    assert cache.get("a", "main") is plans["a"]
    assert cache.get("a", "other") is None
    cache.clear()
    assert cache.get("a", "main") is None
