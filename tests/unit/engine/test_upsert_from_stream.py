"""Statements on native copies that read a table which is decoded as it is scanned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pagelake
from pagelake.engine.leaves import table_leaf

if TYPE_CHECKING:
    import pytest


def test_an_upsert_reads_a_streamed_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_leaf, "DELTA_ROWS_MAX", 0)
    with pagelake.connect() as db:
        db.execute("CREATE TABLE source AS SELECT g AS id, g * 2 AS v FROM range(9) AS r(g)")
        db.execute("CREATE TABLE target (id INTEGER PRIMARY KEY, v INTEGER)")
        db.execute("INSERT INTO target VALUES (1, 0), (50, 0)")
        upsert = "INSERT INTO target SELECT id, v FROM source WHERE v < 10 ON CONFLICT (id)"
        db.execute(f"{upsert} DO UPDATE SET v = excluded.v")
        found = db.execute("SELECT count(*), sum(v) FROM target").fetchall()
    assert found == [(6, 20)]
