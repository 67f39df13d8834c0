"""Hot files may be deleted at any time; whoever opens the store next builds them again."""

from __future__ import annotations

import shutil
import time

import pagelake

ROWS = 100_000
WAIT_S = 30.0


def used_rows(con):
    return [
        row[0] for row in con.sql("SELECT rows FROM pagelake.hot_segments WHERE used").fetchall()
    ]


def test_deleted_hot_files_are_built_again_without_a_write(tmp_path):
    store = tmp_path / "test.lake"
    with pagelake.connect(store) as con:
        con.execute(f"CREATE TABLE t AS SELECT range AS n FROM range({ROWS})")
        assert used_rows(con) == [ROWS]
    shutil.rmtree(store / "hot")
    with pagelake.connect(store) as con:
        assert con.sql("SELECT count(*), sum(n) FROM t").fetchall() == [
            (ROWS, ROWS * (ROWS - 1) // 2)
        ]
        deadline = time.monotonic() + WAIT_S
        while not used_rows(con) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert used_rows(con) == [ROWS]


def test_a_reader_builds_nothing(tmp_path):
    store = tmp_path / "test.lake"
    with pagelake.connect(store) as con:
        con.execute(f"CREATE TABLE t AS SELECT range AS n FROM range({ROWS})")
    shutil.rmtree(store / "hot")
    with pagelake.connect(store, read_only=True) as con:
        assert con.sql("SELECT count(*) FROM t").fetchall() == [(ROWS,)]
        assert used_rows(con) == []
    assert not (store / "hot").exists()
