"""`file_facts(path)` in SQL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pagelake
from pagelake import Unsupported

if TYPE_CHECKING:
    from pathlib import Path


def test_facts_are_columns_of_what_a_scan_found(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for rows in (1, 20):
        pq.write_table(pa.table({"a": list(range(rows))}), tree / f"{rows}.parquet")
    (tree / "notes.txt").write_text("text")
    with pagelake.connect() as con:
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(tree)])
        asked = "SELECT name, file_facts(path) AS f FROM catalog.proj WHERE element_type = 'FILE'"
        told = f"SELECT name, f.content_type, f.rows FROM ({asked}) ORDER BY name"
        parquet = "application/vnd.apache.parquet"
        assert con.sql(told).fetchall() == [
            ("1.parquet", parquet, 1),
            ("20.parquet", parquet, 20),
            ("notes.txt", "text/plain", None),
        ]
        con.execute(f"CREATE TABLE kept AS {asked}")
        assert con.sql("SELECT sum(f.rows) FROM kept").fetchall() == [(21,)]
        assert con.sql("SELECT file_facts(NULL)").fetchall() == [(None,)]


def test_a_macro_of_the_users_comes_first() -> None:
    with pagelake.connect() as con:
        con.execute("CREATE MACRO file_facts(x) AS x + 1")
        assert con.sql("SELECT file_facts(1)").fetchall() == [(2,)]


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "puremagic", None)
    with pagelake.connect() as con, pytest.raises(Unsupported, match="two packages more"):
        con.sql("SELECT file_facts('/etc/passwd')").fetchall()
