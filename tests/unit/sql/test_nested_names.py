"""Names in schemas within schemas, and what only looks like one."""

from __future__ import annotations

import pytest

from pagelake.sql.nested_names import NestedSchemas
from pagelake.storage.schema_path import (
    SEPARATOR,
    dotted,
    enclosing,
    innermost,
    is_within,
    joined,
    respelled,
    shown,
)

A_B, A_B_C, D_B = joined("a", "B"), joined("a", "B", "c"), joined("d", "b")
SCHEMAS = ("main", "a", A_B, A_B_C, "d", D_B, "e.f")
THERE = {(A_B.lower(), "t"), (A_B.lower(), "v"), (D_B, "t"), (D_B, "u")}


def flattened(sql: str, *, databases: tuple[str, ...] = ()) -> str:
    nested = NestedSchemas(
        SCHEMAS, databases, "Store", lambda s, n: (s.lower(), n.lower()) in THERE
    )
    return nested.flattened(sql).replace(SEPARATOR, "/")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM a.b.t", 'SELECT * FROM "a/B".t'),
        ('FROM "A" . "b" . "T"', 'FROM "a/B" . "T"'),
        ("FROM store.a.b.t", 'FROM store."a/B".t'),
        ("SELECT a.b.t.x, t.x FROM a.b.t", 'SELECT "a/B".t.x, t.x FROM "a/B".t'),
        ("SELECT b.t.x FROM a.b.t", 'SELECT "a/B".t.x FROM "a/B".t'),
        ("SELECT b.t.x FROM a.b.t, d.b.t", 'SELECT b.t.x FROM "a/B".t, "d/b".t'),
        ("INSERT INTO a.b.new VALUES (1)", 'INSERT INTO "a/B".new VALUES (1)'),
        ("CREATE TABLE a.b.c.new (x INT)", 'CREATE TABLE "a/B/c".new (x INT)'),
        ("CREATE SCHEMA a.b.new", 'CREATE SCHEMA "a/B".new'),
        ("DROP SCHEMA IF EXISTS a.b CASCADE", 'DROP SCHEMA IF EXISTS "a/B" CASCADE'),
        ("SHOW TABLES FROM a.b", 'SHOW TABLES FROM "a/B"'),
        ("SELECT a.b.v(1), 'x'::d.b.u", 'SELECT "a/B".v(1), \'x\'::"d/b".u'),
        ("SELECT nextval('a.b.s')", """SELECT nextval('"a/B"."s"')"""),
        ('SELECT currval(\'a."b"."S 1"\')', """SELECT currval('"a/B"."S 1"')"""),
        ("FROM query('FROM a.b.t')", """FROM query('FROM "a/B".t')"""),
        ("FROM a.b.t -- a.b.t", 'FROM "a/B".t -- a.b.t'),
    ],
)
def test_a_name_in_a_nested_schema(sql: str, expected: str) -> None:
    assert flattened(sql) == expected
    assert flattened(expected.replace("/", SEPARATOR)) == expected, "it is done once"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a.b.x FROM (SELECT {'x': 1} AS b) AS a",  # a field of a struct
        "SELECT a.b FROM (SELECT 1 AS b) AS a",
        "SELECT 'a.b.t', lower('a.b.t'), nextval('a.nope.s')",
        "SELECT * FROM a.t, b.t, main.a.b, e.f.t, x.a.b.t",
        "SELECT x.a.b.t FROM x",
        "SELECT b.t.x FROM b.t",
    ],
)
def test_what_only_looks_like_one(sql: str) -> None:
    assert flattened(sql) == sql


def test_an_attached_database_goes_first() -> None:
    assert flattened("SELECT * FROM a.b.t", databases=("a",)) == "SELECT * FROM a.b.t"
    assert flattened("SELECT * FROM a.b.t", databases=("b",)) == 'SELECT * FROM "a/B".t'


def test_paths() -> None:
    assert (dotted(A_B_C), innermost(A_B_C), innermost("a")) == ("a.B.c", "c", "a")
    assert (enclosing(A_B_C), enclosing("a")) == (("a", A_B), ())
    assert [is_within(s, "A") for s in (A_B, A_B_C, "a", "ab", D_B)] == [
        True, True, False, False, False,
    ]  # fmt: skip
    sql = f"""SELECT nextval('"{A_B}"."s"'), "x" FROM "{A_B_C}".t WHERE '"' = '"'"""
    plain = """SELECT nextval('a.B."s"'), "x" FROM a.B.c.t WHERE '"' = '"'"""
    assert shown(f'"{A_B}".t') == '"a"."B".t'
    assert respelled(sql, str) == plain
