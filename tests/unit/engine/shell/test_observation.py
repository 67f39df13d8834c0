"""How far a query is, and what it has read: from hot segments, streams and memory."""

from __future__ import annotations

import pytest

import pagelake
from pagelake.engine.shell.observation import Observer, Reads

ROWS = 1_500_000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    store = tmp_path_factory.mktemp("observed") / "test.lake"
    with pagelake.connect(store) as con:
        con.execute(f"CREATE TABLE t AS SELECT range AS n FROM range({ROWS})")
    return store


@pytest.fixture(params=["hot", "stream"])
def con(request, path):
    budget = (1 << 30) if request.param == "hot" else 0
    with pagelake.connect(path, settings={"hot_bytes_max": budget}) as connection:
        yield connection


def test_pruned_row_groups_are_not_counted_as_read(con):
    observer = Observer(con._session)
    con.sql("SELECT count(*) FROM t WHERE n < 1000").fetchall()
    reads = observer.reads()
    assert isinstance(reads, Reads)
    assert (reads.row_groups, reads.row_groups_total) == (1, 13)
    observer.begin()
    con.sql("SELECT sum(n) FROM t").fetchall()
    assert observer.reads().row_groups == 13
    observer.close()


def test_progress_grows_to_all_rows(con):
    observer = Observer(con._session)
    reader = con.sql("SELECT n FROM t WHERE n % 2 = 0").reader(10_000)
    seen = [observer.progress()]
    seen.extend(observer.progress() for _ in reader)
    assert seen[-1].rows_total == ROWS
    assert seen[-1].bytes_total > 0
    fractions = [p.fraction for p in seen if p.fraction is not None]
    assert fractions
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert max(p.rows for p in seen) <= ROWS
    observer.close()


def test_a_connection_that_nobody_watches_keeps_nothing(con):
    con.sql("SELECT count(*) FROM t").fetchall()
    assert con._session.guard.last is None
    assert con._session.guard.reads is None
