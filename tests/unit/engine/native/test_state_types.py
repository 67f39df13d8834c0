"""The types of aggregates' states: told by the kernel's plans, and made again from plain values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb
import pytest

from pagelake.engine.native.state_types import told_types
from pagelake.errors import Unsupported
from pagelake.sql.column_types import column_type, converted, typed_null
from pagelake.sql.type_tree import physical, printed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = """CREATE TABLE rows AS SELECT range::DOUBLE AS x, range + 1.5 AS y, 'v' || range AS v,
    range::DECIMAL(12, 2) AS d, range::INTEGER AS i, '{"a": 1}'::JSON AS j,
    (CASE WHEN range > 3 THEN 'a''' ELSE 'b' END)::ENUM ('a''', 'b') AS e,
    'X' COLLATE nocase AS c, union_value(n := range) AS u, MAP {range: 'a'} AS m,
    TIMESTAMP '2020-01-01' + range * INTERVAL 1 DAY AS t, INTERVAL 1 DAY AS l,
    range::UHUGEINT AS h, range::VARIANT AS w, '101'::BIT AS b, [range, NULL]::INTEGER[2] AS a,
    '00000000-0000-0000-0000-00000000000a'::UUID AS id, row(range, 'z') AS r
    FROM range(9)"""

AGGREGATES = (
    "avg(x)", "avg(d)", "avg(t)", "avg(l)", "sum(i)", "sum(d)", "fsum(x)", "favg(x)", "product(x)",
    "count(*)", "count(x)", "min(v)", "max(t)", "max(l)", "min(id)", "max(e)", "max(u)", "min(c)",
    "max(b)", "first(e)", "last(j)", "first(c)", "any_value(w)", "first({'a b': v, 'n': [i]})",
    "first(a)", "arg_min(e, m)", "arg_max(r, t)", "list(h)", "list(w)", "list(m)", "list(u)",
    "list(x ORDER BY x DESC, y NULLS FIRST)", "list(v ORDER BY x)", "first(r ORDER BY y)",
    "string_agg(v, '')", "string_agg(v, 'ü''\\ \" ' ORDER BY v)", "string_agg(v)",
    "quantile_cont(x, 0.5)", "quantile_cont(x, [0.25, 0.75])", "quantile_disc(v, 0.123456789)",
    "quantile_disc(d, -0.5)", "quantile_cont(t, 0.1::DOUBLE)", "median(d)", "mad(x)",
    "approx_quantile(x, [0.5, 0.1])", "approx_top_k(v, 3)", "lttb(x, y, 3)",
    "lttb(x, y, 300 ORDER BY x)", "bit_xor(i)", "bool_and(i > 2)", "corr(x, y)", "skewness(x)",
    "regr_slope(x, y)", "stddev_samp(x)", "count_if(x > 2)", "arbitrary(x)",
)  # fmt: skip


@pytest.fixture
def kernel() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(ROWS)
        yield connection


def told(kernel: duckdb.DuckDBPyConnection, query: str) -> str:
    types = [str(t) for t in kernel.sql(query).types]
    return told_types(kernel, query, types)[0]


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_a_state_is_made_again(aggregate: str, kernel: duckdb.DuckDBPyConnection) -> None:
    # Ordered, so that what depends on the rows' order is the same each time.
    query = f"SELECT {aggregate} EXPORT_STATE AS s FROM (SELECT * FROM rows ORDER BY x)"
    sql = told(kernel, query)
    assert printed(sql) == "AGGREGATE_STATE" != sql
    stored = column_type(sql)
    kernel.execute(f"CREATE TABLE exported AS {query}")
    kernel.execute(f"CREATE TABLE stored AS SELECT {stored.to_storage('s')} AS s FROM exported")
    kernel.execute(f"CREATE TABLE again AS SELECT {stored.from_storage('s')} AS s FROM stored")
    kernel.execute(f"INSERT INTO again SELECT {converted('s', sql)} FROM exported")
    (first,), (second,) = kernel.execute("SELECT finalize(s)::VARCHAR FROM again").fetchall()
    assert [(first,)] == kernel.execute("SELECT finalize(s)::VARCHAR FROM exported").fetchall()
    assert second == first
    assert told(kernel, "FROM again") == sql
    kernel.execute(f"SELECT combine(s, {typed_null(sql)}) FROM exported").fetchall()
    assert kernel.sql("FROM stored").to_arrow_table().schema.field(0).type == stored.arrow


@pytest.mark.parametrize(
    "query",
    [
        "SELECT [avg(x) EXPORT_STATE, NULL] AS s FROM rows",
        "SELECT {'a': i, 'b c': {'d': [avg(x) EXPORT_STATE]}} AS s FROM rows GROUP BY i",
        "SELECT MAP {1: max(t) EXPORT_STATE} AS s FROM rows",
        "SELECT row(1, list(h) EXPORT_STATE) AS s FROM rows",
    ],
)
def test_a_state_inside_another_type(query: str, kernel: duckdb.DuckDBPyConnection) -> None:
    sql = told(kernel, query)
    assert printed(sql) == str(kernel.sql(query).types[0])
    assert "to_aggregate_state" in typed_null(sql)
    stored = column_type(sql)
    kernel.execute(f"CREATE TABLE stored AS SELECT {stored.to_storage('s')} AS s FROM ({query})")
    kernel.execute(f"CREATE TABLE again AS SELECT {stored.from_storage('s')} AS s FROM stored")
    kernel.execute(f"INSERT INTO again SELECT {converted('s', sql)} FROM ({query})")
    assert told(kernel, "FROM again") == sql
    assert kernel.execute(f"SELECT typeof({typed_null(sql)})").fetchall() == [(printed(sql),)]
    rows = kernel.execute("SELECT s::VARCHAR FROM again ORDER BY 1").fetchall()
    expected = kernel.execute(f"SELECT s::VARCHAR FROM ({query}) ORDER BY 1").fetchall()
    assert rows == sorted(expected * 2)


def test_parameters_of_a_query(kernel: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT avg(x + $1) EXPORT_STATE AS s, $1 AS p FROM rows"
    types = told_types(kernel, query, ["AGGREGATE_STATE", "INTEGER"], [3])
    assert physical(types[0]) == 'STRUCT("count" UBIGINT, "value" DOUBLE)'
    assert types[1] == "INTEGER"


def test_states_of_states_are_refused(kernel: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT list(s) EXPORT_STATE FROM (SELECT avg(x) EXPORT_STATE AS s FROM rows)"
    with pytest.raises(Unsupported, match="States of states"):
        told(kernel, query)


@pytest.mark.parametrize("form", ["UNION(a {})", "{}[1]"])
def test_where_a_state_cannot_be(form: str) -> None:
    state = "AGGREGATE_STATE(BIGINT, '''count'', [''ANY'']')"
    shown = re.escape(form.format("AGGREGATE_STATE"))
    with pytest.raises(Unsupported, match=f"Columns of type {shown} cannot be stored"):
        column_type(form.format(state))
