"""Which statements have an answer that stays theirs; whatever is not known has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake
from pagelake.engine.query import make_plan
from pagelake.engine.result_cache.immutability import (
    NotImmutable,
    functions,
    judge,
    macro_bodies,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as opened:
        opened.execute("""
            CREATE TABLE t AS SELECT i, i % 7 AS g, 'x' || i AS s FROM range(10) r(i);
            CREATE TABLE drawn (a INTEGER, b AS (random()));
            CREATE TABLE added (a INTEGER, b AS (a + 1), "user" INTEGER);
            CREATE TABLE zoned (z TIMETZ);
            CREATE VIEW plain AS SELECT g, count(*) AS n FROM t GROUP BY g;
            CREATE VIEW timed AS SELECT now() AS n;
            CREATE VIEW around AS FROM timed;
            CREATE MACRO sound(a, b := 1) AS a + b;
            CREATE MACRO drawing() AS random();
            CREATE MACRO around_drawing() AS drawing() + 1;
            CREATE MACRO dated(a := current_date) AS a;
            CREATE MACRO several(a) AS a, (a, b) AS a + b;
            CREATE MACRO several_drawn(a) AS a, (a, b) AS random();
            CREATE MACRO rows_of(a) AS TABLE SELECT i, a FROM t;
            CREATE MACRO sampled(a) AS TABLE FROM t USING SAMPLE 1;
            CREATE SCHEMA other; CREATE MACRO other.now() AS 1;
            CREATE TYPE mood AS ENUM ('a', 'b');
        """)
        yield opened


def reason(db: pagelake.Connection, sql: str) -> str:
    session = db._session
    plan = make_plan(session, sql)
    assert plan.logical is not None, sql
    return judge(session, plan.logical, session.schema, session.snapshot()).reason


@pytest.mark.parametrize(
    "sql",
    [
        "FROM t",
        "FROM plain",
        "FROM added",
        'SELECT "user" FROM added',
        "SELECT 'a'::mood",
        "SELECT sound(1), several(1), several(1, 2)",
        "FROM rows_of(2)",
        "FROM range(3)",
        "SELECT unnest([1, 2]), list_sum([1]), list_aggr([1], 'avg')",
        "WITH a AS (SELECT 1 AS b) FROM a, (WITH c AS (FROM a) FROM c)",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) FROM c",
        "SELECT * EXCLUDE (g) REPLACE (i + 1 AS i), COLUMNS('s') FROM t",
        "FROM t PIVOT (sum(i) FOR g IN (1, 2))",
        "SELECT g, sum(i) OVER w, lag(i) OVER w FROM t WINDOW w AS (PARTITION BY g ORDER BY i)",
        "SELECT DISTINCT ON (g) g, s.upper() FROM t ORDER BY g, i LIMIT 3",
        "SELECT g, count(*) FILTER (i > 1), string_agg(s, ',' ORDER BY s) FROM t GROUP BY ALL",
        "SELECT grouping(g), coalesce(i, 1), nullif(i, 2), i::VARCHAR LIKE '1', s[1:2], [1][1] "
        "FROM t GROUP BY CUBE (g, i, s)",
        "SELECT EXTRACT(year FROM DATE '2024-01-01'), age(TIMESTAMP '2024-01-01', '2023-01-01')",
        "FROM t USING SAMPLE reservoir(3 ROWS) REPEATABLE (7)",
        "VALUES (1), (2)",
        "SELECT i FROM t AT (VERSION => 1) INTERSECT SELECT $1 ORDER BY ALL",
        "SELECT i FROM t LIMIT 3",
    ],
)
def test_immutable(db: pagelake.Connection, sql: str) -> None:
    assert reason(db, sql) == ""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT random()",
        "SELECT uuid(), gen_random_uuid()",
        "SELECT now()",
        "SELECT main.now()",
        "SELECT current_date",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT localtime",
        "SELECT current_localtimestamp()",
        "SELECT today()",
        "SELECT age(TIMESTAMP '2024-01-01')",
        "SELECT ago(INTERVAL 1 DAY)",
        "SELECT current_setting('threads')",
        "SELECT getvariable('x')",
        "SELECT txid_current()",
        "SELECT current_schema()",
        "SELECT other.now()",
        "SELECT drawing()",
        "SELECT around_drawing()",
        "SELECT dated()",
        "SELECT several_drawn(1)",
        "FROM sampled(1)",
        "FROM timed",
        "FROM around",
        "FROM drawn",
        "FROM zoned",
        "SELECT '12:00'::TIMETZ",
        "SELECT * REPLACE (random() AS i) FROM t",
        "SELECT [x + random() FOR x IN [1]]",
        "SELECT list_transform([1], lambda x: x + random())",
        "SELECT {'a': random()}",
        "SELECT sum(i) FILTER (WHERE random() < 1) FROM t",
        "SELECT sum(i) OVER (ORDER BY random()) FROM t",
        "SELECT string_agg(s, ',' ORDER BY random()) FROM t",
        "SELECT list_aggr([1], 'reservoir_quantile', 0.5)",
        "SELECT list_aggr([1], s) FROM t",
        "SELECT reservoir_quantile(i, 0.5) FROM t",
        "SELECT count(*) FROM t HAVING random() < 2",
        "FROM t ORDER BY random()",
        "FROM t LIMIT (SELECT (random() * 3)::INTEGER)",
        "FROM t QUALIFY random() < row_number() OVER ()",
        "FROM t a JOIN t b ON a.i = b.i AND random() < 2",
        "FROM t WHERE EXISTS (SELECT uuid())",
        "FROM t, LATERAL (SELECT t.i + random())",
        "VALUES (random())",
        "SELECT 1 UNION ALL SELECT random()",
        "WITH a AS (SELECT random() AS r) FROM a",
        "FROM t USING SAMPLE 3",
        "FROM t TABLESAMPLE 10%",
        "FROM pagelake.snapshots",
        "FROM pagelake.table_changes('t', 1, 1)",
        "FROM duckdb_settings()",
        "FROM information_schema.tables",
        "FROM 'rows.csv'",
        "FROM read_csv('rows.csv')",
        "FROM glob('*')",
        "FROM query('SELECT 1')",
        "FROM query_table('t')",
        "SELECT json_serialize_plan('SELECT 1')",
        "SUMMARIZE t",
        "PIVOT t ON g USING sum(i)",
    ],
)
def test_not_immutable(db: pagelake.Connection, sql: str) -> None:
    assert reason(db, sql)


def test_the_kernel_calls_no_function_immutable_that_we_know_to_be_none(
    db: pagelake.Connection,
) -> None:
    found = functions(db._database.kernel)
    assert {"abs", "sum", "+", "row_number", "date_add", "list_sum"} <= found.immutable
    told = duckdb.sql(
        "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
        "WHERE stability <> 'CONSISTENT'"
    ).fetchall()
    volatile = {name for (name,) in told}
    assert len(volatile) > 25
    assert not found.immutable & volatile


def test_a_function_without_arguments_is_looked_at_by_hand(db: pagelake.Connection) -> None:
    """What needs no argument and is called consistent may be a clock: a new one is to be seen."""
    told = duckdb.sql(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE function_type = 'scalar' AND stability = 'CONSISTENT' AND len(parameters) = 0"
    ).fetchall()
    looked_at = {
        "+", "add", "array_cat", "array_concat", "array_to_json", "array_value", "array_zip",
        "current_localtime", "current_localtimestamp", "json_array", "json_object", "json_quote",
        "list_cat", "list_concat", "list_pack", "list_value", "list_zip", "map", "map_concat",
        "pi", "row", "row_to_json", "struct_concat", "struct_pack", "to_json", "union_value",
        "unpivot_list", "version",
    }  # fmt: skip
    assert {name for (name,) in told} <= looked_at
    assert not functions(db._database.kernel).immutable & {
        "current_localtime",
        "current_localtimestamp",
    }


@pytest.mark.parametrize(
    ("sql", "bodies"),
    [
        ('CREATE MACRO "m"(a) AS a + 1', ["SELECT a + 1"]),
        ('CREATE MACRO "m"(a) AS f(a, 1), (a, b) AS b', ["SELECT f(a, 1)", "SELECT b"]),
        ('CREATE MACRO "m"() AS TABLE SELECT 1, 2', ["SELECT 1, 2"]),
    ],
)
def test_bodies_of_macros(sql: str, bodies: list[str]) -> None:
    assert list(macro_bodies(sql)) == bodies


@pytest.mark.parametrize(
    "sql",
    [
        'CREATE MACRO "m"(a := random()) AS a',
        'CREATE MACRO "m"(a := current_date) AS a',
        'CREATE MACRO "m"(a DECIMAL(3, 1)) AS a',
        'CREATE FUNCTION "m"(a) AS a',
    ],
)
def test_macros_that_are_not_understood(sql: str) -> None:
    with pytest.raises(NotImmutable):
        list(macro_bodies(sql))
