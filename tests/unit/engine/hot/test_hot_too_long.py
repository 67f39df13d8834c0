"""A load that grows longer than a hot segment may be, after one was begun for it."""

from __future__ import annotations

import threading

import pagelake
from pagelake.engine.statements import bulk_write

ROWS = 1_000_000
PATIENCE_S = 120


def test_a_load_longer_than_a_segment_ends(monkeypatch, store_path):
    monkeypatch.setattr(bulk_write, "HOT_ROWS_MIN", ROWS // 4)
    monkeypatch.setattr(bulk_write, "HOT_ROWS_MAX", ROWS // 2)
    counts = []

    def load():
        with pagelake.connect(store_path) as con:
            con.execute(f"CREATE TABLE t AS SELECT range AS n FROM range({ROWS})")
            counts.extend(con.sql("SELECT count(*) FROM t").fetchone())

    # In a thread of its own: what must not happen is that it waits for ever.
    loading = threading.Thread(target=load, daemon=True)
    loading.start()
    loading.join(PATIENCE_S)
    assert counts == [ROWS]
