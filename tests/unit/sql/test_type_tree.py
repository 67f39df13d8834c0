"""Type text is parsed to a tree that prints the same text."""

from __future__ import annotations

import duckdb
import pytest

from pagelake.errors import Unsupported
from pagelake.sql.type_tree import (
    NESTING_MAX,
    ArrayType,
    Field,
    ListType,
    MapType,
    ScalarType,
    StructType,
    TupleType,
    UnionType,
    parse_type,
)

INTEGER = ScalarType("INTEGER")


@pytest.mark.parametrize(
    ("sql", "tree"),
    [
        ("INTEGER", INTEGER),
        ("DECIMAL(15,2)", ScalarType("DECIMAL", (15, 2))),
        ("TIMESTAMP WITH TIME ZONE[]", ListType(ScalarType("TIMESTAMP WITH TIME ZONE"))),
        ("INTEGER[3][]", ListType(ArrayType(INTEGER, 3))),
        ("INTEGER[][3]", ArrayType(ListType(INTEGER), 3)),
        ("ENUM('a', 'it''s', 'x, y)')", ScalarType("ENUM", ("a", "it's", "x, y)"))),
        ("GEOMETRY('OGC:CRS84')", ScalarType("GEOMETRY", ("OGC:CRS84",))),
        ("STRUCT", StructType(())),
        ('STRUCT("a ""b" INTEGER, c "NULL")',
         StructType((Field('"a ""b"', INTEGER), Field("c", ScalarType("NULL"))))),
        ("TUPLE(INTEGER)", TupleType((INTEGER,))),
        ("MAP(INTEGER, INTEGER[])", MapType(INTEGER, ListType(INTEGER))),
        ("UNION(a INTEGER)", UnionType((Field("a", INTEGER),))),
    ],
)  # fmt: skip
def test_canonical_text_makes_a_tree_and_back(sql: str, tree: object) -> None:
    assert parse_type(sql) == tree
    assert parse_type(sql).sql == sql


def test_field_name_is_without_quotes() -> None:
    assert Field('"a ""b"', INTEGER).name == 'a "b'
    assert Field("Ab", INTEGER).name == "Ab"


@pytest.mark.parametrize(
    "sql",
    ["int", "Text", "NUMERIC", "decimal(5)", "timestamptz", "TIME WITHOUT TIME ZONE", "varchar(9)",
     "row(a int8, b double precision)", "struct ( a bool [ ] [ 2 ] )", "timetz[]", "oid", "hugeint",
     "STRUCT(time TIME WITH TIME ZONE)"],
)  # fmt: skip
def test_spellings_mean_what_they_mean_to_the_kernel(sql: str) -> None:
    with duckdb.connect() as kernel:
        kernel.execute(f"CREATE TABLE t (v {sql})")
        described = kernel.execute("DESCRIBE t").fetchall()[0][1]
    assert parse_type(described).sql == described
    assert parse_type(sql).sql.replace('"', "") == described.replace('"', "")


def test_every_name_of_the_kernel_is_understood() -> None:
    with duckdb.connect() as kernel:
        names = kernel.execute(
            "SELECT DISTINCT type_name, logical_type FROM duckdb_types()"
            " WHERE logical_type NOT IN ('ENUM', 'LIST', 'ARRAY', 'MAP', 'UNION', 'NULL')"
            " AND type_name <> 'JSON'"
        ).fetchall()
    assert len(names) > 50
    for spelling, canonical in names:
        assert parse_type(spelling).sql.partition("(")[0] == canonical


@pytest.mark.parametrize(
    "sql",
    ["", "[]", "INTEGER[", "INTEGER[-1]", "INTEGER INTEGER", "STRUCT(a)", "MAP(INTEGER)", "ENUM(a)",
     "DECIMAL(1,2,3)", "INTEGER(3)", "STRUCT(a INTEGER", "'text'", "INTEGER;", "TIME WITH ZONE"],
)  # fmt: skip
def test_other_text_is_refused(sql: str) -> None:
    with pytest.raises(Unsupported):
        parse_type(sql)


def test_nesting_is_bounded() -> None:
    assert parse_type("INTEGER" + "[]" * NESTING_MAX)
    for sql in ("INTEGER" + "[]" * (NESTING_MAX + 1), "TUPLE(" * 5000 + "INTEGER" + ")" * 5000):
        with pytest.raises(Unsupported):
            parse_type(sql)
