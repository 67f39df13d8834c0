"""Answers come from the cache for as long as they are right, and not one moment longer."""

from __future__ import annotations

import datetime
import subprocess
import sys
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ON = {"result_cache_bytes": "8MB"}
COUNT = "SELECT count(*) AS n, sum(i) AS s FROM t"


def is_kept(db: pagelake.Cursor, sql: str, parameters: object = None) -> bool:
    """Run a query twice; tells whether the second answer came from the cache."""
    first = db.sql(sql, parameters).fetchall()  # type: ignore[arg-type]
    again = db.sql(sql, parameters)  # type: ignore[arg-type]
    rows = again.fetchall()
    if again.from_cache:
        assert repr(rows) == repr(first)
    return again.from_cache


def fresh(db: pagelake.Cursor, sql: str) -> list[tuple[object, ...]]:
    """The rows of a query that must not come from the cache."""
    result = db.sql(sql)
    assert not result.from_cache
    return result.fetchall()


def test_an_identical_query_is_answered_from_the_cache(db: pagelake.Connection) -> None:
    assert fresh(db, COUNT) == [(1000, 499500)]
    again = db.sql(COUNT)
    assert again.from_cache
    assert again.columns == ["n", "s"]
    assert again.types == ["BIGINT", "HUGEINT"]
    assert again.fetchall() == [(1000, 499500)]
    found = db.sql("SELECT entries, hits, stored FROM pagelake.result_cache").fetchall()
    assert found == [(1, 1, 1)]


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (i INTEGER)")
        assert not is_kept(db, COUNT)
        assert db.sql("SELECT entries, misses FROM pagelake.result_cache").fetchall() == [(0, 0)]


def test_layout_does_not_matter_and_quotes_do(db: pagelake.Connection) -> None:
    db.sql("SELECT s FROM t WHERE s = 'x 1'").fetchall()
    assert db.sql("  SELECT s\tFROM   t WHERE s = 'x 1' ;").from_cache
    assert not db.sql("SELECT s FROM t WHERE s = 'x  1'").from_cache
    assert not db.sql("SELECT s FROM t WHERE s = 'X 1'").from_cache
    assert not db.sql("SELECT S FROM t WHERE s = 'x 1'").from_cache


def test_a_string_over_two_lines_is_not_one_with_an_alias(db: pagelake.Connection) -> None:
    one, two = "SELECT 'a' 'b'", "SELECT 'a'\n'b'"
    with pagelake.connect() as plain:
        for sql in (one, two, one, two):
            try:
                expected = plain.sql(sql).arrow()
            except pagelake.Error as error:
                with pytest.raises(type(error)):
                    db.sql(sql).arrow()
            else:
                assert db.sql(sql).arrow() == expected


def test_every_connection_of_the_store_shares_it(db: pagelake.Connection) -> None:
    db.sql(COUNT).fetchall()
    assert db.cursor().sql(COUNT).from_cache


def test_a_prepared_statement_is_answered_from_it(db: pagelake.Connection) -> None:
    db.execute("PREPARE p AS SELECT count(*) FROM t WHERE g = $1")
    assert is_kept(db, "EXECUTE p(3)")
    assert not db.sql("EXECUTE p(4)").from_cache


# What changes an answer


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO t VALUES (5000, 1, 'y')",
        "DELETE FROM t WHERE i = 3",
        "UPDATE t SET i = i + 1 WHERE i = 3",
        "ALTER TABLE t ALTER i TYPE INTEGER",
        "DROP TABLE t; CREATE TABLE t AS SELECT 1 AS i",
        "CREATE OR REPLACE TABLE t AS SELECT 1 AS i",
        "ALTER TABLE t RENAME TO u; CREATE TABLE t AS SELECT 1 AS i",
    ],
)
def test_a_change_of_the_table_is_seen_at_once(db: pagelake.Connection, change: str) -> None:
    assert is_kept(db, COUNT)
    db.execute(change)
    now = fresh(db, COUNT)
    with pagelake.connect() as plain:
        plain.execute("CREATE TABLE t AS SELECT i, i % 7 AS g, 'x' || i AS s FROM range(1000) r(i)")
        plain.execute(change)
        assert now == plain.sql(COUNT).fetchall()
        assert db.sql(COUNT).types == plain.sql(COUNT).types


def test_changes_of_other_tables_leave_it(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE other (a INTEGER)")
    db.sql(COUNT).fetchall()
    db.execute("INSERT INTO other VALUES (1)")
    db.execute("CREATE TABLE third (a INTEGER)")
    db.execute("DROP TABLE other")
    assert db.sql(COUNT).from_cache


def test_a_commit_of_another_process_is_seen_at_once(store_path: Path) -> None:
    add = "import pagelake,sys; pagelake.connect(sys.argv[1]).execute('INSERT INTO t VALUES (7)')"
    with pagelake.connect(store_path, settings=ON) as db:
        db.execute("CREATE TABLE t (i INTEGER)")
        assert is_kept(db, COUNT)
        subprocess.run([sys.executable, "-c", add, str(store_path)], check=True)
        assert fresh(db, COUNT) == [(1, 7)]


def test_two_openings_of_a_store_see_each_other(store_path: Path) -> None:
    with (
        pagelake.connect(store_path, settings=ON) as one,
        pagelake.connect(store_path, settings=ON) as two,
    ):
        one.execute("CREATE TABLE t (i INTEGER)")
        for number in range(5):
            one.execute("INSERT INTO t VALUES (?)", [number])
            for db in (one, two, one, two):
                assert db.sql(COUNT).fetchall()[0][0] == number + 1


def test_what_a_transaction_has_changed_is_its_own(db: pagelake.Connection) -> None:
    other = db.cursor()
    db.sql(COUNT).fetchall()
    db.begin()
    assert db.sql(COUNT).from_cache  # nothing is changed yet
    db.execute("DELETE FROM t")
    assert fresh(db, COUNT) == [(0, None)]
    assert fresh(db, COUNT) == [(0, None)]
    assert other.sql(COUNT).fetchall() == [(1000, 499500)]
    db.rollback()
    assert db.sql(COUNT).from_cache
    assert db.sql(COUNT).fetchall() == [(1000, 499500)]


def test_a_transaction_goes_on_reading_its_version(db: pagelake.Connection) -> None:
    other = db.cursor()
    db.begin()
    assert db.sql(COUNT).fetchall() == [(1000, 499500)]
    other.execute("INSERT INTO t VALUES (0, 0, '')")
    assert other.sql(COUNT).fetchall() == [(1001, 499500)]
    assert db.sql(COUNT).fetchall() == [(1000, 499500)]
    db.rollback()
    assert db.sql(COUNT).fetchall() == [(1001, 499500)]


def test_an_answer_from_the_cache_was_read_by_a_serializable_transaction(
    db: pagelake.Connection,
) -> None:
    db.execute("CREATE TABLE seen (n BIGINT)")
    db.sql(COUNT).fetchall()
    other = db.cursor()
    db.execute("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    assert db.sql(COUNT).from_cache
    other.execute("DELETE FROM t WHERE i = 1")
    db.execute("INSERT INTO seen VALUES (1000)")
    with pytest.raises(pagelake.Conflict):
        db.commit()


def test_a_view_a_macro_and_a_type_are_what_they_are_now(db: pagelake.Connection) -> None:
    made = {
        "FROM v": ["CREATE OR REPLACE VIEW v AS SELECT {} AS a FROM t LIMIT 1"],
        "FROM named": ["CREATE OR REPLACE VIEW named(c{}) AS SELECT 1"],
        "SELECT m(1)": ["CREATE OR REPLACE MACRO m(a) AS a + {}"],
        "FROM tm(1)": ["CREATE OR REPLACE MACRO tm(a) AS TABLE SELECT a + {} AS b"],
        "FROM outer_v": ["CREATE OR REPLACE VIEW outer_v AS FROM v"],
        "SELECT 'a'::mood": ["DROP TYPE IF EXISTS mood", "CREATE TYPE mood AS ENUM ('a', 'b{}')"],
    }
    with pagelake.connect() as plain:
        plain.execute("CREATE TABLE t AS FROM range(1)")
        for number in range(3):
            for statements in made.values():
                for statement in statements:
                    db.execute(statement.format(number))
                    plain.execute(statement.format(number))
            for sql in made:
                assert is_kept(db, sql), sql
                assert db.sql(sql).fetchall() == plain.sql(sql).fetchall()
                assert db.sql(sql).columns == plain.sql(sql).columns
                assert db.sql(sql).types == plain.sql(sql).types


def test_a_macro_may_take_the_name_of_a_function(db: pagelake.Connection) -> None:
    assert fresh(db, "SELECT abs(-1)") == [(1,)]
    db.execute("CREATE MACRO abs(a) AS a")
    assert fresh(db, "SELECT abs(-1)") == [(-1,)]
    db.execute("CREATE OR REPLACE MACRO abs(a) AS a + random()")
    assert not is_kept(db, "SELECT abs(-1)")


def test_temporary_objects_come_before_stored_ones(db: pagelake.Connection) -> None:
    other = db.cursor()
    db.sql(COUNT).fetchall()
    other.execute("CREATE TEMP TABLE t AS SELECT 42 AS i")
    assert other.sql(COUNT).fetchall() == [(1, 42)]
    assert other.sql(COUNT).fetchall() == [(1, 42)]
    assert db.sql(COUNT).fetchall() == [(1000, 499500)]
    third = db.cursor()
    third.execute("CREATE TEMP MACRO sum(a) AS -1")
    assert third.sql("SELECT sum(i) FROM t").fetchall()[0] == (-1,)


def test_a_name_means_what_it_means_in_the_current_schema(db: pagelake.Connection) -> None:
    assert is_kept(db, COUNT)
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 5 AS i; USE s")
    assert fresh(db, COUNT) == [(1, 5)]
    db.execute("USE main")
    assert db.sql(COUNT).fetchall() == [(1000, 499500)]


def test_earlier_versions_have_answers_of_their_own(db: pagelake.Connection) -> None:
    then = db.snapshot()
    past = f"{COUNT} AT (VERSION => {then})"
    assert is_kept(db, past)
    assert is_kept(db, COUNT)
    db.execute("DELETE FROM t")
    db.execute("CREATE TAG now_empty")
    tagged = f"{COUNT} AT (TAG => 'now_empty')"
    assert fresh(db, tagged) == [(0, None)]
    assert db.sql(past).from_cache
    assert db.sql(past).fetchall() == [(1000, 499500)]
    assert fresh(db, COUNT) == [(0, None)]
    db.execute("DROP TAG now_empty; INSERT INTO t VALUES (1, 1, ''); CREATE TAG now_empty")
    assert db.sql(tagged).fetchall() == [(1, 1)]


def test_a_version_that_was_reclaimed_is_gone_from_the_cache_too(store_path: Path) -> None:
    with pagelake.connect(store_path, settings=ON) as db:
        db.execute("SET background_maintenance = false")
        db.execute("CREATE TABLE t (i INTEGER)")
        past = f"{COUNT} AT (VERSION => {db.snapshot()})"
        assert is_kept(db, past)
        for number in range(3):
            db.execute("INSERT INTO t VALUES (?)", [number])
        db.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECONDS)")
        with pytest.raises(pagelake.SnapshotGone):
            db.sql(past).fetchall()


def test_tables_kept_by_maintenance_have_the_same_answers(store_path: Path) -> None:
    with pagelake.connect(store_path, settings=ON) as db:
        db.execute("CREATE TABLE t (i INTEGER)")
        for number in range(5):
            db.execute("INSERT INTO t VALUES (?)", [number])
        before = db.sql(COUNT).fetchall()
        db.execute("DELETE FROM t WHERE i = 9; CALL pagelake.compact()")
        assert db.sql(COUNT).fetchall() == before


# Settings


@pytest.mark.parametrize(
    ("setting", "sql"),
    [
        ("TimeZone = 'Asia/Tokyo'", "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00'::VARCHAR"),
        ("TimeZone = 'Asia/Tokyo'", "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00'"),
        ("default_null_order = 'nulls_first'", "FROM (VALUES (1), (NULL)) v(a) ORDER BY a"),
        ("default_order = 'desc'", "SELECT i FROM t ORDER BY i LIMIT 3"),
        ("default_collation = 'nocase'", "SELECT 'A' = s FROM (VALUES ('a')) v(s)"),
        ("integer_division = true", "SELECT 7 / 2"),
        ("ieee_floating_point_ops = false", "SELECT 1 / 0.0"),
        ("error_on_division_by_zero = false", "SELECT 1 // i FROM t WHERE i < 2"),
    ],
)
@pytest.mark.parametrize("scope", ["", "SESSION", "GLOBAL"])
def test_settings_that_change_answers_keep_them_apart(
    db: pagelake.Connection, setting: str, sql: str, scope: str
) -> None:
    def answer(con: pagelake.Cursor) -> str:
        try:
            result = con.sql(sql)
            return repr((result.types, result.fetchall()))
        except pagelake.Error as error:
            return type(error).__name__

    with pagelake.connect() as plain:
        plain.execute("CREATE TABLE t AS SELECT i FROM range(1000) r(i)")
        for statement in (
            None,
            f"SET {scope} {setting}",
            f"RESET {setting.split(' ', maxsplit=1)[0]}",
        ):
            for con in (db, plain):
                if statement is not None:
                    con.execute(statement)
            for _ in range(2):
                assert answer(db) == answer(plain), statement
                assert answer(db.cursor()) == answer(plain.cursor()), statement


def test_values_look_as_the_setting_was_when_the_query_was_made(db: pagelake.Connection) -> None:
    sql = "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00' AS z, [1] AS l"
    for _ in range(2):
        db.execute("SET TimeZone = 'Asia/Tokyo'")
        result = db.sql(sql)
        db.execute("SET TimeZone = 'UTC'")
        assert result.fetchall()[0][0].utcoffset() == datetime.timedelta(hours=9)


# Parameters

_BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
_NOON = datetime.datetime(2024, 7, 1, 12)


@pytest.mark.parametrize(
    "values",
    [
        [1, 1.0, True, Decimal("1"), Decimal("1.0"), "1", b"1"],
        [0.0, -0.0, 0, False, float("nan"), -float("nan"), None, ""],
        [_NOON, _NOON.replace(tzinfo=datetime.UTC), _NOON.replace(tzinfo=_BERLIN), _NOON.date()],
        [
            datetime.datetime(2024, 10, 27, 2, 30, tzinfo=_BERLIN, fold=0),
            datetime.datetime(2024, 10, 27, 2, 30, tzinfo=_BERLIN, fold=1),
        ],
        [datetime.time(12), datetime.time(12, tzinfo=datetime.UTC), datetime.timedelta(hours=12)],
        [[1], (1,), [True], [1.0], [[1]], {"a": 1}, {"a": True}, {"b": 1}, [None]],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_values_that_look_alike_have_answers_of_their_own(
    db: pagelake.Connection, values: list[object]
) -> None:
    sql = "SELECT typeof($1) AS kind, $1::VARCHAR AS shown, $1 AS value"
    with pagelake.connect() as plain:
        for value in [*values, *values]:
            expected = plain.sql(sql, [value]).fetchall()
            assert repr(db.sql(sql, [value]).fetchall()) == repr(expected), repr(value)
    assert db.sql("SELECT hits > 0 FROM pagelake.result_cache").fetchall() == [(True,)]


def test_parameters_by_name_are_told_apart(db: pagelake.Connection) -> None:
    sql = "SELECT $a - $b"
    assert db.sql(sql, {"a": 3, "b": 1}).fetchall() == [(2,)]
    assert db.sql(sql, {"b": 3, "a": 1}).fetchall() == [(-2,)]
    assert db.sql(sql, {"b": 1, "a": 3}).fetchall() == [(2,)]


def test_values_changed_after_the_call_do_not_count(db: pagelake.Connection) -> None:
    values: list[object] = [5, [1, 2]]
    result = db.sql("SELECT $1, $2", values)
    values[0] = 6
    values[1].append(3)  # type: ignore[attr-defined]
    assert result.fetchall() == [(5, [1, 2])]
    assert db.sql("SELECT $1, $2", [5, [1, 2]]).fetchall() == [(5, [1, 2])]
    assert db.sql("SELECT $1, $2", values).fetchall() == [(6, [1, 2, 3])]


def test_a_type_of_parameter_that_is_not_known_is_never_kept(db: pagelake.Connection) -> None:
    class Number(int):
        pass

    assert not is_kept(db, "SELECT $1", [Number(3)])
    assert is_kept(db, "SELECT $1", [3])


# What is never kept


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT random()",
        "SELECT now()",
        "SELECT count(*) FROM t WHERE random() < 0.5",
        "SELECT count(*) FROM pagelake.snapshots",
        "SELECT count(*) FROM duckdb_tables()",
        "SELECT count(*) FROM information_schema.tables",
        "FROM t USING SAMPLE 3",
        "EXPLAIN ANALYZE SELECT count(*) FROM t",
        "INSERT INTO t VALUES (1, 1, '') RETURNING i",
        "SHOW TABLES",
        "DESCRIBE t",
        "SUMMARIZE t",
    ],
)
def test_never_kept(db: pagelake.Connection, sql: str) -> None:
    assert not is_kept(db, sql)


def test_objects_of_the_caller_are_read_each_time(db: pagelake.Connection) -> None:
    frame = pa.table({"a": [1]})
    assert db.sql("SELECT sum(a) FROM frame").fetchall() == [(1,)]
    frame = pa.table({"a": [2]})
    assert db.sql("SELECT sum(a) FROM frame").fetchall() == [(2,)]
    assert frame.num_rows == 1


def test_files_and_attached_databases_are_read_each_time(
    db: pagelake.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    for number in (1, 2):
        file.write_text(f"a\n{number}\n", encoding="utf-8")
        assert db.sql(f"SELECT sum(a) FROM '{file}'").fetchall() == [(number,)]
        assert db.sql(f"SELECT sum(a) FROM read_csv('{file}')").fetchall() == [(number,)]
    db.execute("ATTACH ':memory:' AS other; CREATE TABLE other.u AS SELECT 1 AS a")
    assert db.sql("SELECT sum(a) FROM other.u").fetchall() == [(1,)]
    db.execute("INSERT INTO other.u VALUES (2)")
    assert db.sql("SELECT sum(a) FROM other.u").fetchall() == [(3,)]


def test_a_setting_for_all_that_was_made_in_an_attached_database_counts(
    db: pagelake.Connection,
) -> None:
    sql = "FROM (VALUES (1), (NULL)) v(a) ORDER BY a"
    assert is_kept(db.cursor(), sql)
    other = db.cursor()
    other.execute("ATTACH ':memory:' AS elsewhere; USE elsewhere")
    other.execute("SET GLOBAL default_null_order = 'nulls_first'")
    assert db.cursor().sql(sql).fetchall() == [(None,), (1,)]


def test_a_dotted_function_may_become_one_of_an_attached_database(db: pagelake.Connection) -> None:
    sql = "SELECT s.upper() FROM t WHERE i = 1"
    assert is_kept(db, sql)
    db._database.attached.add("s")
    assert not db.sql(sql).from_cache
    db._database.attached.clear()


def test_explain_tells(db: pagelake.Connection) -> None:
    def told(sql: str) -> str:
        text: str = db.sql(f"EXPLAIN {sql}").fetchall()[0][1]
        lines = [line for line in text.splitlines() if "result cache" in line]
        return "".join(lines).strip("│ ")

    assert told(COUNT) == "result cache: the answer is kept once it is read"
    db.sql(COUNT).fetchall()
    assert told(COUNT) == "result cache: the answer is there"
    assert told("SELECT uuid()") == "result cache: the answer is not kept, it calls uuid()"
    db.execute("SET result_cache_bytes = 0")
    assert told(COUNT) == ""


@pytest.mark.parametrize("fetch", ["fetchall", "arrow", "df"])
def test_the_query_log_counts_the_rows(db: pagelake.Connection, fetch: str) -> None:
    sql = "SELECT i FROM t WHERE i < 12"
    for _ in range(2):
        read: Callable[[], object] = getattr(db.sql(sql), fetch)
        read()
    db.execute(sql).fetchall()
    log = "SELECT state, rows, error FROM pagelake.queries WHERE sql = ?"
    assert db.sql(log, [sql]).fetchall() == [("finished", 12, None)] * 3
