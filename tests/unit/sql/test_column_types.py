"""Every SQL type goes through the kernel, Arrow, IPC bytes and back, by itself and nested."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pagelake.errors import Unsupported
from pagelake.sql.column_types import column_type

if TYPE_CHECKING:
    from collections.abc import Iterator

HUGE = 2**127
GROUPS = {
    "BOOLEAN": ["true", "false"],
    "TINYINT": ["-128", "127"],
    "SMALLINT": ["-32768", "32767"],
    "INTEGER": ["-2147483648", "2147483647"],
    "BIGINT": ["-9223372036854775808", "9223372036854775807"],
    "HUGEINT": [f"'-{HUGE}'", f"'{HUGE - 1}'", "0", "-1", f"'1{'0' * 38}'"],
    "UTINYINT": ["0", "255"],
    "USMALLINT": ["0", "65535"],
    "UINTEGER": ["0", "4294967295"],
    "UBIGINT": ["0", "18446744073709551615"],
    "UHUGEINT": ["0", f"'{HUGE - 1}'", f"'{HUGE}'", f"'{2 * HUGE - 1}'"],
    "BIGNUM": ["0", "-1", f"'-{'9' * 99}'", f"'{'1' * 99}'"],
    "DECIMAL(1,0)": ["-9", "9"],
    "DECIMAL(4,4)": ["-0.9999", "0.0001"],
    "DECIMAL(9,2)": ["-9999999.99", "9999999.99"],
    "DECIMAL(18,3)": ["-999999999999999.999", "999999999999999.999"],
    "DECIMAL(38,0)": [f"'-{'9' * 38}'", f"'{'9' * 38}'"],
    "DECIMAL(38,38)": [f"'-0.{'9' * 38}'", f"'0.{'0' * 37}1'"],
    "FLOAT": ["'nan'", "'inf'", "'-inf'", "-0.0::FLOAT", "1e-45::FLOAT", "3.4028235e38::FLOAT"],
    "DOUBLE": ["'nan'", "'inf'", "'-inf'", "-0.0::DOUBLE", "5e-324::DOUBLE", "1e308::DOUBLE"],
    "VARCHAR": ["''", "'NULL'", "'日本 \u200d'", "chr(0) || 'a'", "repeat('x', 5000)"],
    "BLOB": ["''::BLOB", r"'\x00\xFF'::BLOB"],
    "BIT": ["'0'", "'1'", "'00000001'", "'000000001'", "'0101010101010101010101'"],
    "UUID": [
        "'00000000-0000-0000-0000-000000000000'",
        "'80000000-0000-0000-0000-000000000001'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    ],
    "JSON": ["'null'", "'\"x\"'", "'{\"a\":  [1, 1.50, null]}'"],
    "ENUM('b', 'a', '', 'it''s, \"so\"')": ["'a'", "'b'", "''", "'it''s, \"so\"'"],
    "DATE": ["'infinity'", "'-infinity'", "'5877642-06-25 (BC)'", "'5881580-07-10'"],
    "TIME": ["'00:00:00'", "'24:00:00'", "'23:59:59.999999'"],
    "TIME_NS": ["'00:00:00.000000001'", "'24:00:00'"],
    "TIME WITH TIME ZONE": ["'00:00:00+15:59:59'", "'24:00:00-15:59:59'", "'01:02:03.4+01:30'"],
    "TIMESTAMP_S": ["'infinity'", "'-infinity'", "'290309-12-22 (BC) 00:00:00'"],
    "TIMESTAMP_MS": ["'infinity'", "'-infinity'", "'290309-12-22 (BC) 00:00:00.001'"],
    "TIMESTAMP": ["'infinity'", "'-infinity'", "'294247-01-10 04:00:54.775806'"],
    "TIMESTAMP_NS": ["'infinity'", "'-infinity'", "'2262-04-11 23:47:16.854775806'"],
    "TIMESTAMP WITH TIME ZONE": [
        "'infinity'",
        "'-infinity'",
        "'290309-12-22 (BC) 00:00:00+00'",
        "'294247-01-10 04:00:54.775806+00'",
        "'2024-11-03 01:30:00-04'",
        "'2024-11-03 01:30:00-05'",
    ],
    "TIMESTAMPTZ_NS": ["'infinity'", "'-infinity'", "'1850-01-01 00:00:00.000000001+00'"],
    "INTERVAL": [
        "to_microseconds(9223372036854775807)",
        "to_microseconds(-9223372036854775808)",
        "to_months(2147483647) + to_days(-2147483648) + to_microseconds(-1)",
        "to_months(-2147483648) + to_days(2147483647)",
        "to_months(-13) + to_days(31) + to_hours(25)",
        "INTERVAL '0 days'",
    ],
    "GEOMETRY": [
        "'POINT(0.1 -0.30000000000000004)'",
        "'POINT Z (1 2 3)'",
        "'POINT M (1 2 3)'",
        "'POINT ZM (1 2 3 4)'",
        "'POINT EMPTY'",
        "'LINESTRING(0 0, 1 1)'",
        "'POLYGON((0 0, 3 0, 3 3, 0 0), (1 1, 2 1, 2 2, 1 1))'",
        "'POLYGON EMPTY'",
        "'MULTIPOINT(1 2, 3 4)'",
        "'MULTILINESTRING((0 0, 1 1), (2 2, 3 3))'",
        "'MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))'",
        "'GEOMETRYCOLLECTION(POINT(1 2), GEOMETRYCOLLECTION(POINT EMPTY))'",
    ],
    "GEOMETRY('OGC:CRS84')": ["'POINT(1 2)'"],
    '"NULL"': [],
    "STRUCT": ["{}"],
    'STRUCT("a b" INTEGER, "it\'s""q" UUID, "select" VARCHAR, Ab BIT, "é" UHUGEINT)': [
        "row(1, uuid(), 'x', '01'::BIT, 5)",
        "row(NULL, NULL, NULL, NULL, NULL)",
    ],
    "TUPLE(INTEGER, UUID, UHUGEINT)": ["row(1, uuid(), 7)", "row(NULL, NULL, NULL)"],
    "MAP(VARCHAR, INTEGER)": ["MAP {}", "MAP {'a': 1, '': NULL}"],
    "MAP(UUID, STRUCT(b BIT, u UHUGEINT[]))": ["MAP {}", "MAP {uuid(): {'b': '01', 'u': [1]}}"],
    "UNION(i INTEGER, s VARCHAR, j INTEGER, u UUID, h HUGEINT)": [
        "union_value(i := 1)",
        "union_value(j := 1)",
        "union_value(s := '1')",
        "union_value(s := NULL)",
        "union_value(i := NULL)",
        "union_value(u := uuid())",
        f"union_value(h := '{HUGE - 1}'::HUGEINT)",
    ],
    "VARIANT": [
        "1::INTEGER",
        "1::BIGINT",
        "1::UTINYINT",
        "'1'",
        "true",
        "1.5::DOUBLE",
        "1::FLOAT",
        "DATE '2020-01-01'",
        "DATE 'infinity'",
        "TIMESTAMP '2020-01-01'",
        "TIMESTAMPTZ '2020-01-01 00:00:00+05'",
        "'2020-01-01 00:00:00.000000001'::TIMESTAMP_NS",
        "'1850-01-01 00:00:00+00'::TIMESTAMPTZ_NS",
        "'2020-01-01'::TIMESTAMP_S",
        "'2020-01-01'::TIMESTAMP_MS",
        "TIME '12:00:00'",
        "'12:00:00.000000001'::TIME_NS",
        "'12:00:00+01:30'::TIMETZ",
        "to_months(-13) + to_days(31) + to_hours(25)",
        "uuid()",
        r"'\xFF'::BLOB",
        "'001'::BIT",
        f"'-{HUGE}'::HUGEINT",
        f"'{2 * HUGE - 1}'::UHUGEINT",
        "18446744073709551615::UBIGINT",
        f"'{'9' * 99}'::BIGNUM",
        "'POINT(0.1 0.30000000000000004)'::GEOMETRY",
        "[1, NULL, 3]",
        "{'a': 1, 'b': {'c': ['x'::VARIANT, DATE '2020-01-01'::VARIANT, NULL]}}",
    ],
}

NESTINGS = {
    "itself": ("{}", "v"),
    "list": ("{}[]", "[v, NULL, v]"),
    "array": ("{}[2]", "array_value(v, NULL)"),
    "list of arrays of lists": ("{}[][2][]", "[array_value([v, NULL], NULL), NULL]"),
    "struct": ('STRUCT("a b" {0}, c {0}[])', "{{'a b': v, 'c': [v, NULL]}}"),
    "tuple": ("TUPLE({0}, INTEGER, {0}[])", "row(v, 1, [v])"),
    "map value": ("MAP(INTEGER, {})", "MAP {{1: v, 2: NULL}}"),
    "union member": ("UNION(i INTEGER, m {0}, n {0}[])", "union_value(n := [v])"),
    "all of them": (
        "STRUCT(m MAP(VARCHAR, TUPLE(UNION(i INTEGER, m {}), UHUGEINT)[]), u UUID)[]",
        "[{{'m': MAP {{'k': [row(union_value(m := v), 1), NULL]}}, 'u': NULL}}, NULL]",
    ),
}


@pytest.fixture(scope="module")
def instance() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as kernel:
        yield kernel


@pytest.fixture
def connection(instance: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor of its own on one kernel, because opening a kernel takes longer than most tests."""
    with instance.cursor() as kernel:
        kernel.execute("SET TimeZone = 'UTC'")
        yield kernel


def through_ipc(table: pa.Table) -> pa.Table:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def without_field_metadata(table: pa.Table, arrow: pa.DataType) -> pa.Table:
    """The stored column as a page holds it: of the promised type, with nothing beside it."""
    return pa.table({"i": table["i"], "v": table["v"].cast(arrow)})


def store_and_restore(
    kernel: duckdb.DuckDBPyConnection, sql: str, *, zones: tuple[str, str] = ("UTC", "UTC")
) -> pa.Table:
    """Send column `v` of `source` out under one time zone and back, into `target`, in another."""
    column = column_type(sql)
    kernel.execute(f"SET TimeZone = '{zones[0]}'")
    exported = kernel.sql(f"SELECT i, {column.to_storage('v')} AS v FROM source").to_arrow_table()
    stored = through_ipc(without_field_metadata(exported, column.arrow))
    stored.validate(full=False)
    kernel.execute(f"SET TimeZone = '{zones[1]}'")
    kernel.register("stored", stored)
    kernel.execute(
        f"CREATE OR REPLACE TABLE target AS SELECT i, {column.from_storage('v')} AS v FROM stored"
    )
    kernel.unregister("stored")
    return exported


def differences(kernel: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return kernel.execute(
        "SELECT i, s.v::VARCHAR, t.v::VARCHAR FROM source s FULL JOIN target t USING (i)"
        " WHERE s.v IS DISTINCT FROM t.v OR s.v::VARCHAR IS DISTINCT FROM t.v::VARCHAR"
        " OR (s.v IS NULL) <> (t.v IS NULL)"
    ).fetchall()


def fill_source(kernel: duckdb.DuckDBPyConnection, sql: str, nesting: str) -> str:
    """Fill `source` with the group's values, nested, and NULL rows; answer the nested type."""
    template, value = NESTINGS[nesting]
    nested = template.format(sql)
    kernel.execute(f"CREATE OR REPLACE TABLE leaf (i INTEGER, v {sql})")
    for i, literal in enumerate([*GROUPS[sql], "NULL"]):
        kernel.execute(f"INSERT INTO leaf VALUES ({i}, {literal})")
    kernel.execute(f"CREATE OR REPLACE TABLE source (i INTEGER, v {nested})")
    kernel.execute(f"INSERT INTO source SELECT i, {value.format()} FROM leaf")
    kernel.execute("INSERT INTO source VALUES (1000, NULL)")
    if nested.endswith("[]"):
        kernel.execute("INSERT INTO source VALUES (1001, [])")
    assert type_in(kernel, "source") == nested
    return nested


def type_in(kernel: duckdb.DuckDBPyConnection, table: str) -> object:
    return kernel.execute(f"DESCRIBE {table}").fetchall()[1][1]


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("sql", GROUPS)
def test_value_and_type_survive(
    connection: duckdb.DuckDBPyConnection, sql: str, nesting: str
) -> None:
    nested = fill_source(connection, sql, nesting)
    exported = store_and_restore(connection, nested)
    assert exported.schema.field("v").type == column_type(nested).arrow
    assert type_in(connection, "target") == nested == column_type(nested).sql
    assert differences(connection) == []


@pytest.mark.parametrize("nesting", ["itself", "list", "struct", "all of them"])
@pytest.mark.parametrize(
    "sql", ["TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS", "TIME WITH TIME ZONE", "VARIANT"]
)
def test_instants_survive_a_change_of_time_zone(
    connection: duckdb.DuckDBPyConnection, sql: str, nesting: str
) -> None:
    nested = fill_source(connection, sql, nesting)
    store_and_restore(connection, nested, zones=("America/New_York", "Asia/Kolkata"))
    assert differences(connection) == []


def test_inner_types_of_variant_survive(connection: duckdb.DuckDBPyConnection) -> None:
    fill_source(connection, "VARIANT", "itself")
    store_and_restore(connection, "VARIANT")
    changed = connection.execute(
        "SELECT variant_typeof(s.v), variant_typeof(t.v) FROM source s JOIN target t USING (i)"
        " WHERE variant_typeof(s.v) <> variant_typeof(t.v)"
    ).fetchall()
    assert changed == []


def test_variant_keeps_what_differs_inside_objects(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "CREATE OR REPLACE TABLE source AS"
        " SELECT 1 AS i, {'a': 1, 'b': '1', 'c': DATE '2020-01-01'}::VARIANT AS v"
    )
    store_and_restore(connection, "VARIANT")
    kinds = "variant_typeof(v.a), variant_typeof(v.b), variant_typeof(v.c)"
    assert connection.execute(f"SELECT {kinds} FROM target").fetchall() == [
        ("INT32", "VARCHAR", "DATE")
    ]


def test_variant_refuses_what_it_cannot_keep_inside_objects(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "CREATE OR REPLACE TABLE source AS SELECT 1 AS i, {'a': INTERVAL '1 day'}::VARIANT AS v"
    )
    with pytest.raises(duckdb.Error, match="INTERVAL"):
        store_and_restore(connection, "VARIANT")


def test_union_tag_survives_null_members(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "UNION(i INTEGER, s VARCHAR, j INTEGER, u UUID, h HUGEINT)"
    fill_source(connection, sql, "itself")
    store_and_restore(connection, sql)
    tags = "SELECT i, union_tag(v)::VARCHAR FROM {} ORDER BY i"
    expected = connection.execute(tags.format("source")).fetchall()
    assert {tag for _, tag in expected} == {"i", "s", "j", "u", "h", None}
    assert connection.execute(tags.format("target")).fetchall() == expected


@pytest.mark.parametrize(
    "sql",
    [
        "INTEGER",
        "DECIMAL(38,2)",
        "VARCHAR",
        "TIMESTAMP WITH TIME ZONE",
        "STRUCT(a INTEGER, b VARCHAR[])",
        "MAP(VARCHAR, DOUBLE[3])",
        "STRUCT",
    ],
)
def test_types_that_arrow_carries_need_no_expression(sql: str) -> None:
    column = column_type(sql)
    assert column.identity
    assert (column.storage_sql, column.to_storage("v"), column.from_storage("v")) == (sql, "v", "v")


@pytest.mark.parametrize("sql", ["HUGEINT", "UUID", "INTEGER[]", "VARIANT", "TUPLE(INTEGER)"])
def test_identity_means_no_expression(sql: str) -> None:
    column = column_type(sql)
    assert column.identity == (column.to_storage("v") == "v" == column.from_storage("v"))


def test_lambda_parameters_hide_columns_of_their_name(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    column = column_type("UHUGEINT[][]")
    connection.execute(
        "CREATE OR REPLACE TABLE source AS SELECT 7 AS pl0, [[1]]::UHUGEINT[][] AS pl1"
    )
    stored = f"SELECT pl0, {column.to_storage('pl1')} AS pl1 FROM source"
    restored = f"SELECT {column.from_storage('pl1')} FROM ({stored})"
    assert connection.execute(restored).fetchall() == [([[1]],)]


def test_uuid_is_stored_in_sixteen_bytes(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE OR REPLACE TABLE source AS SELECT 1 AS i, uuid() AS v")
    exported = store_and_restore(connection, "UUID")
    (original,) = connection.execute("SELECT v FROM source").fetchone() or ()
    assert isinstance(original, uuid.UUID)
    assert exported["v"].to_pylist() == [original.bytes]


@pytest.mark.parametrize("sql", [sql for sql in GROUPS if column_type(sql).ordered])
def test_stored_order_is_the_order_of_values(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    fill_source(connection, sql, "itself")
    exported = store_and_restore(connection, sql).filter(pc.field("v").is_valid())
    if pa.types.is_floating(exported["v"].type):
        exported = exported.filter(pc.invert(pc.is_nan(exported["v"])))
        connection.execute("DELETE FROM source WHERE isnan(v)")
    by_value = connection.execute("SELECT i FROM source WHERE v IS NOT NULL ORDER BY v").fetchall()
    by_storage = exported.take(pc.sort_indices(exported["v"]))["i"].to_pylist()
    assert by_storage == [i for (i,) in by_value]


def test_enum_order_is_not_the_order_of_its_text() -> None:
    assert not column_type("ENUM('b', 'a')").ordered
    assert not column_type("VARCHAR", collation="nocase").ordered
    assert not column_type("INTEGER[]").ordered


def test_collation_is_applied_to_what_is_read(connection: duckdb.DuckDBPyConnection) -> None:
    column = column_type("VARCHAR", collation="nocase.noaccent")
    assert column.collation == "nocase.noaccent"
    assert not column.identity
    connection.execute("CREATE OR REPLACE TABLE source AS SELECT 'Été' AS v")
    connection.execute(
        f"CREATE OR REPLACE VIEW restored AS SELECT {column.from_storage('v')} AS v FROM source"
    )
    found = connection.execute("SELECT v FROM restored WHERE v = 'ete'").fetchall()
    assert found == [("Été",)]


@pytest.mark.parametrize(("sql", "collation"), [("INTEGER", "nocase"), ("VARCHAR", "a; DROP")])
def test_impossible_collations_are_refused(sql: str, collation: str) -> None:
    with pytest.raises(Unsupported):
        column_type(sql, collation=collation)


@pytest.mark.parametrize(
    "sql", ["TYPE", "ANY", "LAMBDA", "AGGREGATE_STATE", "PARQUET_VARIANT", "POINTER", "mood"]
)
@pytest.mark.parametrize("template", ["{}", "STRUCT(a {}[])", "MAP(INTEGER, {})"])
def test_types_without_columns_are_refused_by_name(sql: str, template: str) -> None:
    with pytest.raises(Unsupported, match=sql.upper()):
        column_type(template.format(sql))


def test_every_type_of_the_kernel_is_stored_or_refused(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    described = connection.execute("DESCRIBE FROM test_all_types()").fetchall()
    assert len(described) > 50
    for name, sql, *_ in described:
        connection.execute(
            "CREATE OR REPLACE TABLE source AS"
            f' SELECT row_number() OVER () AS i, "{name}" AS v FROM test_all_types()'
        )
        store_and_restore(connection, sql)
        assert type_in(connection, "target") == sql
        assert differences(connection) == [], sql
