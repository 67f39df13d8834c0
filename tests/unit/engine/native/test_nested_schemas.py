"""Schemas within schemas, where more than SQL shows them: scripts, tools, other transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake

if TYPE_CHECKING:
    from pathlib import Path

MADE = (
    "CREATE SCHEMA s1",
    "CREATE SCHEMA s1.s2",
    'CREATE SCHEMA s1.s2."Third one"',
    "CREATE TABLE s1.s2.t (i INTEGER PRIMARY KEY, CONSTRAINT positive CHECK (i > 0))",
    "CREATE SEQUENCE s1.s2.seq START 7",
    "CREATE TABLE s1.s2.d (i INTEGER DEFAULT nextval('s1.s2.seq'))",
    "CREATE VIEW s1.s2.v AS SELECT i * 10 AS x FROM s1.s2.t",
    "CREATE MACRO s1.s2.twice(a) AS a * 2",
    "INSERT INTO s1.s2.t VALUES (1), (2)",
)


def test_scripts_of_an_export_have_dots(tmp_path: Path) -> None:
    with pagelake.connect() as db, pagelake.connect() as other:
        for sql in MADE:
            db.execute(sql)
        db.execute(f"EXPORT DATABASE '{tmp_path / 'export'}'")
        schema = (tmp_path / "export" / "schema.sql").read_text()
        assert 'CREATE SCHEMA s1.s2;\nCREATE SCHEMA s1.s2."Third one";' in schema
        assert "COPY s1.s2.t FROM" in (tmp_path / "export" / "load.sql").read_text()
        assert "\x1f" not in schema
        other.execute(f"IMPORT DATABASE '{tmp_path / 'export'}'")
        assert other.sql("SELECT x, s1.s2.twice(x) FROM s1.s2.v ORDER BY x").fetchall() == [
            (10, 20), (20, 40),
        ]  # fmt: skip
        other.execute("INSERT INTO s1.s2.d DEFAULT VALUES")
        assert other.sql("FROM s1.s2.d").fetchall() == [(7,)]


def test_tools_write_paths_with_dots() -> None:
    with pagelake.connect() as db:
        for sql in MADE:
            db.execute(sql)
        assert db.schema_sql("s1.s2.t").startswith("CREATE TABLE s1.s2.t (")
        assert "nextval('s1.s2.\"seq\"')" in db.schema_sql("s1.s2.d")
        assert db.schema_sql("s1.s2.v") == (
            "CREATE VIEW s1.s2.v AS SELECT i * 10 AS x FROM s1.s2.t;"
        )
        assert db.table_names("s1.s2") == ["d", "t", "v"]
        asked = "SELECT table_name FROM pagelake.relations WHERE table_schema = 's1.s2' ORDER BY 1"
        assert db.sql(asked).fetchall() == [("d",), ("t",), ("v",)]
        plan = db.sql("EXPLAIN SELECT * FROM s1.s2.t WHERE i > 1").fetchall()
        assert "s1.s2.t" in plan[0][1]
        assert "\x1f" not in str(db.sql("SELECT sql FROM duckdb_tables()").fetchall() + plan)
        with pytest.raises(pagelake.UnknownName) as missing:
            db.execute("SELECT nothing FROM s1.s2.t")
        assert "\x1f" not in str(missing.value)


def test_a_schema_that_was_dropped_takes_nothing_in(store_path: Path) -> None:
    with pagelake.connect(store_path) as db, pagelake.connect(store_path) as other:
        db.execute("CREATE SCHEMA s1; CREATE SCHEMA s1.s2")
        db.execute("BEGIN; CREATE SCHEMA s1.s2.s3")
        other.execute("DROP SCHEMA s1 CASCADE")
        with pytest.raises(pagelake.Conflict, match='schema "s1'):
            db.execute("COMMIT")
        assert db.sql("SELECT count(*) FROM duckdb_schemas() WHERE schema_name LIKE 's_'").fetchall(
        ) == [(0,)]  # fmt: skip
