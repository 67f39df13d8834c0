"""`Connection.schema_sql`, `store_id` and `format_version`: what a store says about itself."""

from __future__ import annotations

import json

import pytest

import pagelake

TABLES = (
    "CREATE TABLE plain (a INTEGER, b VARCHAR NOT NULL, c DECIMAL(15,2) DEFAULT 1.5)",
    "CREATE TABLE keyed (id BIGINT PRIMARY KEY, v VARCHAR UNIQUE, CHECK (id > 0))",
    'CREATE TABLE "odd Name" ("order" INTEGER, "with ""quotes""" VARCHAR, PRIMARY KEY ("order"))',
    "CREATE TABLE named (a INTEGER CONSTRAINT k PRIMARY KEY, b INTEGER, "
    'CONSTRAINT "See A" FOREIGN KEY (b) REFERENCES named (a), CONSTRAINT c CHECK (b > 0))',
    'CREATE TABLE nested (l INTEGER[], s STRUCT(a INTEGER, "B c" VARCHAR), m MAP(VARCHAR, DATE))',
    "CREATE TABLE special (e ENUM('x', 'it''s'), n VARCHAR COLLATE NOCASE, u UNION(a INT, b DATE))",
)


@pytest.mark.parametrize("create", TABLES)
def test_running_it_makes_the_same_table(create):
    with pagelake.connect() as first, pagelake.connect() as second:
        first.execute(create)
        (name,) = first.table_names()
        quoted = '"' + name + '"'
        text = first.schema_sql(quoted)
        second.execute(text)
        assert second.schema_sql(quoted) == text
        described = [con.sql(f"DESCRIBE {quoted}").fetchall() for con in (first, second)]
        assert described[0] == described[1]


def test_views_and_schemas():
    with pagelake.connect() as con:
        con.execute("CREATE SCHEMA sales")
        con.execute("CREATE TABLE sales.t (a INTEGER)")
        con.execute("CREATE VIEW v AS SELECT a + 1 AS b FROM sales.t")
        assert con.schema_sql("SALES.T") == "CREATE TABLE sales.t (\n    a INTEGER\n);"
        view = con.schema_sql("v")
        assert view.startswith("CREATE VIEW v AS SELECT")
        con.execute("DROP VIEW v")
        con.execute(view)
        assert con.sql("SELECT b FROM v").fetchall() == []


@pytest.mark.parametrize("name", ["absent", "pagelake.segments"])
def test_what_is_not_stored_has_no_schema(name):
    with pagelake.connect() as con, pytest.raises(pagelake.UnknownName):
        con.schema_sql(name)


def test_identity_stays(tmp_path):
    with pagelake.connect(tmp_path / "a.lake") as con:
        identity = con.store_id
        assert con.format_version >= 1
    with pagelake.connect(tmp_path / "a.lake") as con:
        assert con.store_id == identity
    described = json.loads((tmp_path / "a.lake" / "store.json").read_text())
    assert described["store_id"] == identity
    with pagelake.connect(tmp_path / "b.lake") as other:
        assert other.store_id != identity
