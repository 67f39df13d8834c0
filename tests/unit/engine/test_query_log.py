"""``pagelake.queries``: what ran, how it ended, and nothing more."""

from __future__ import annotations

import pytest

import pagelake
from pagelake.engine.query_log import ENTRIES_KEPT, SQL_CHARACTERS_MAX, QueryLog
from pagelake.engine.result import Timing


def test_statements_are_logged_with_their_end() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        db.execute("INSERT INTO t VALUES (1), (2)")
        db.execute("SELECT a FROM t").fetchall()
        with pytest.raises(pagelake.Error):
            db.execute("SELECT error('a secret value') FROM t").fetchall()
        rows = db.execute(
            "SELECT sql, state, rows, error FROM pagelake.queries ORDER BY id"
        ).fetchall()
        found = {sql: (state, count, error) for sql, state, count, error in rows}
        assert found["INSERT INTO t VALUES (1), (2)"] == ("finished", 2, None)
        assert found["SELECT a FROM t"] == ("finished", 2, None)
        state, _, error = found["SELECT error('a secret value') FROM t"]
        assert state == "failed"
        assert error
        assert "secret" not in error


def test_a_running_statement_is_listed() -> None:
    with pagelake.connect() as db:
        result = db.sql("SELECT * FROM range(100000)")
        result.fetchone()
        running = "SELECT count(*) FROM pagelake.queries WHERE state = 'running' AND sql = ?"
        other = db.cursor()
        assert other.execute(running, ("SELECT * FROM range(100000)",)).fetchone() == (1,)
        result.close()


def test_times_are_of_the_statement() -> None:
    with pagelake.connect() as db:
        db.execute("SELECT count(*) FROM range(2000000) r(x) WHERE hash(x) % 3 = 1").fetchall()
        total, planning, kernel = db.execute(
            "SELECT total_ms, planning_ms, kernel_ms FROM pagelake.queries"
            " WHERE sql LIKE '%hash(x)%' ORDER BY id LIMIT 1"
        ).fetchall()[0]
        assert 0 < kernel <= total
        assert 0 < planning <= total


def test_the_log_is_bounded() -> None:
    log = QueryLog()
    for n in range(ENTRIES_KEPT + 10):
        entry = log.begin(f"{n} " + "x" * 20_000, 1, plan_cached=False, timing=Timing())
        log.end(entry, n, None)
    rows = log.rows()
    assert len(rows) == ENTRIES_KEPT
    assert rows[0]["id"] == 11
    assert all(len(str(row["sql"])) == SQL_CHARACTERS_MAX for row in rows)
