"""A result is the same in every form, kept or from the cache; what is not whole is not kept."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pytest

import pagelake
from pagelake.engine.result_cache.recorded_result import (
    ROWS_AT_ONCE,
    RecordedResult,
    interruptible,
)
from pagelake.engine.result_cache.rows import ROWS_IN_PYTHON_MAX
from pagelake.engine.result_cache.stored_result import StoredResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Of pandas, about what the kernel's client does with it.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ON = {"result_cache_bytes": "64MB"}
FORMS: dict[str, Callable[[pagelake.Result], object]] = {
    "fetchall": lambda r: r.fetchall(),
    "fetchmany": lambda r: [r.fetchone(), r.fetchmany(3), r.fetchall(), r.fetchone(), r.fetchall()],
    "iterated": list,
    "iterated in part": lambda r: [next(iter(r)), r.fetchone(), r.fetchall()],
    "arrow": lambda r: [r.arrow(), r.arrow(), r.fetchall()],
    "reader": lambda r: [r.reader(100).read_all(), r.fetchall()],
    "df": lambda r: [r.df(), r.df()],
    "pl": lambda r: r.pl().to_arrow(),
    "the rest as Arrow": lambda r: [r.fetchmany(3), r.arrow(), r.fetchall()],
    "the rest as a stream": lambda r: [r.fetchone(), r.reader(100).read_all()],
    "the rest as a frame": lambda r: [r.fetchone(), r.df()],
    "started": lambda r: [r.start().fetchone(), r.fetchall()],
    "started, Arrow": lambda r: r.start().arrow(),
    "started, frame": lambda r: r.start().df(),
    "closed": lambda r: [r.columns, r.types, r.close(), r.fetchall(), r.fetchone(), r.arrow()],
    "capsule": pa.table,
    "described": lambda r: [r.columns, r.types, r.description, r.rowcount, r.returns_rows],
}
TYPES = {
    "BOOLEAN": "true",
    "UTINYINT": "255",
    "BIGINT": "-9223372036854775808",
    "HUGEINT": "-170141183460469231731687303715884105728",
    "FLOAT": "0.1",
    "DOUBLE": "'NaN'",
    "DECIMAL(4,1)": "999.9",
    "DECIMAL(38,10)": "-1234567890123456789012345678.0123456789",
    "VARCHAR": "'ünï \0 x'",
    "BLOB": "'\\x00\\xFF'",
    "DATE": "'infinity'",
    "TIME": "'23:59:59.999999'",
    "TIMESTAMP": "'294247-01-10 04:00:54.775806'",
    "TIMESTAMP_S": "'2024-01-01'",
    "TIMESTAMP_NS": "'2024-01-01 00:00:00.000000001'",
    "TIMESTAMPTZ": "'2024-01-01 12:00:00+03'",
    "UUID": "'12345678-1234-5678-1234-567812345678'",
    "JSON": "'{\"a\": [1]}'",
    "ENUM('a', 'b')": "'b'",
    "INTEGER[]": "[1, NULL]",
    "INTEGER[2]": "[1, 2]",
    'STRUCT(a INTEGER, "B c" VARCHAR[])': "{'a': 1, 'B c': ['x']}",
    "MAP(VARCHAR, INTEGER)": "MAP {'a': 1}",
    # Never kept, and right all the same.
    "INTERVAL": "'400 years 3 days'",
    "BIT": "'10101'",
    "UHUGEINT": "340282366920938463463374607431768211455",
    "BIGNUM": "'123456789012345678901234567890'",
    "UUID[]": "['12345678-1234-5678-1234-567812345678']",
    "UNION(n INTEGER, s VARCHAR)": "'x'",
}
NEVER_KEPT = {"INTERVAL", "BIT", "UHUGEINT", "BIGNUM", "UUID[]", "UNION(n INTEGER, s VARCHAR)"}


@pytest.fixture(scope="module")
def stores() -> Iterator[tuple[pagelake.Connection, pagelake.Connection]]:
    """A store whose results are kept, and one whose are not, alike in everything else."""
    with pagelake.connect(settings=ON) as kept, pagelake.connect() as plain:
        for db in (kept, plain):
            db.execute("SET TimeZone = 'Asia/Tokyo'")
            db.execute(
                "CREATE TABLE t AS SELECT i, i % 7 AS g, 'x' || i AS s FROM range(40000) r(i)"
            )
            for number, (sql_type, value) in enumerate(TYPES.items()):
                db.execute(f"CREATE TABLE typed{number} (a {sql_type})")
                db.execute(f"INSERT INTO typed{number} VALUES ({value}), (NULL), ({value})")
        yield kept, plain


def told(value: object) -> object:
    """Something that is equal exactly where values are the same in value, type and order."""
    if isinstance(value, list):
        return [told(item) for item in value]
    if isinstance(value, pa.Table):
        return (value.schema, repr(value.to_pylist()) if value.num_rows < 100 else value)
    if isinstance(value, pd.DataFrame):
        hashed = "" if len(value) < 100 else list(pd.util.hash_pandas_object(value))
        return (list(value.columns), list(value.dtypes), hashed or repr(value.to_dict("list")))
    return repr(value)


def outcome(form: Callable[[pagelake.Result], object], result: pagelake.Result) -> object:
    try:
        return told(form(result))
    except (ValueError, OverflowError, StopIteration, pa.ArrowException, pagelake.Error) as error:
        return type(error).__name__


def clear(db: pagelake.Connection) -> None:
    db.execute("SET result_cache_bytes = 0; SET result_cache_bytes = '64MB'")


@pytest.mark.parametrize("number", range(len(TYPES)), ids=list(TYPES))
def test_types(stores: tuple[pagelake.Connection, pagelake.Connection], number: int) -> None:
    kept, plain = stores
    sql = f"SELECT a, a AS b, [a] AS l FROM typed{number}"
    if list(TYPES)[number] in {"UUID", "HUGEINT", "JSON", "ENUM('a', 'b')"}:
        sql = f"SELECT a, a AS b FROM typed{number}"  # as part of another type they are not kept
    clear(kept)
    for name in ("fetchall", "arrow", "df", "reader", "started, frame", "described"):
        assert outcome(FORMS[name], kept.sql(sql)) == outcome(FORMS[name], plain.sql(sql)), name
    assert kept.sql(sql).from_cache == (list(TYPES)[number] not in NEVER_KEPT)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT i, s FROM t WHERE i < 10 ORDER BY i",
        "SELECT i, s FROM t WHERE i < 0",
        "SELECT sum(i) AS total, avg(i), min(s) FROM t",
        f"SELECT i FROM t ORDER BY i LIMIT {ROWS_IN_PYTHON_MAX + 5}",
        f"SELECT i, TIMESTAMPTZ '2024-01-01' AS z FROM t ORDER BY i LIMIT {ROWS_AT_ONCE + 5}",
    ],
)
@pytest.mark.parametrize("name", FORMS)
def test_forms(
    stores: tuple[pagelake.Connection, pagelake.Connection], sql: str, name: str
) -> None:
    kept, plain = stores
    expected = outcome(FORMS[name], plain.sql(sql))
    clear(kept)
    first = kept.sql(sql)
    assert isinstance(first, RecordedResult)
    assert outcome(FORMS[name], first) == expected
    clear(kept)
    kept.sql(sql).fetchall()
    again = kept.sql(sql)
    assert isinstance(again, StoredResult)
    assert outcome(FORMS[name], again) == expected


@pytest.mark.parametrize("name", sorted(FORMS.keys() - {"closed", "described"}))
def test_every_way_of_reading_to_the_end_keeps(
    stores: tuple[pagelake.Connection, pagelake.Connection], name: str
) -> None:
    kept, _ = stores
    clear(kept)
    FORMS[name](kept.sql("SELECT i, s FROM t WHERE i < 9 ORDER BY i"))
    assert kept.sql("SELECT i, s FROM t WHERE i < 9 ORDER BY i").from_cache


def test_a_cursor_gives_what_is_kept(
    stores: tuple[pagelake.Connection, pagelake.Connection],
) -> None:
    kept, _ = stores
    clear(kept)
    for _round in range(2):
        cursor = kept.execute("SELECT i FROM t WHERE i < 3 ORDER BY i")
        assert cursor.description is not None
        assert cursor.fetchone() == (0,)
        assert cursor.fetchall() == [(1,), (2,)]
    assert kept._result is not None
    assert kept._result.from_cache


# What is not whole


@pytest.mark.parametrize(
    "read",
    [
        lambda r: r.fetchone(),
        lambda r: r.fetchmany(20_000),
        lambda r: next(iter(r)),
        lambda r: r.start(),
        lambda r: next(iter(r.reader(100))),
        lambda r: r.columns,
        lambda r: None,
    ],
)
def test_a_result_read_in_part_is_not_kept(
    stores: tuple[pagelake.Connection, pagelake.Connection], read: Callable[[object], object]
) -> None:
    kept, _ = stores
    sql = "SELECT i, s FROM t ORDER BY i"
    clear(kept)
    result = kept.sql(sql)
    read(result)
    result.close()
    assert not kept.sql(sql).from_cache


def test_a_query_that_fails_is_not_kept(
    stores: tuple[pagelake.Connection, pagelake.Connection],
) -> None:
    kept, _ = stores
    sql = "SELECT CASE WHEN i < 30000 THEN 1 ELSE error_here END FROM t".replace(
        "error_here", "('x' || i)::INTEGER"
    )
    for read in (lambda r: r.fetchall(), lambda r: r.arrow(), lambda r: r.reader(100).read_all()):
        for _ in range(2):
            with pytest.raises(pagelake.InvalidValue):
                read(kept.sql(sql))


@pytest.mark.parametrize("name", ["fetchall", "arrow", "df", "reader", "started", "iterated"])
def test_a_result_that_is_too_large_is_given_and_not_kept(name: str) -> None:
    sql = "SELECT i, 'x' || i AS s FROM range(60000) r(i)"
    with (
        pagelake.connect(settings={"result_cache_bytes": "1MB"}) as db,
        pagelake.connect() as plain,
    ):
        expected = outcome(FORMS[name], plain.sql(sql))
        first, again = db.sql(sql), None
        assert isinstance(first, RecordedResult)
        assert outcome(FORMS[name], first) == expected
        again = db.sql(sql)
        assert type(again) is pagelake.Result  # it is not even noted any more
        assert outcome(FORMS[name], again) == expected


def test_noting_a_large_result_holds_no_more_than_may_be_kept() -> None:
    with pagelake.connect(settings={"result_cache_bytes": "1MB"}) as db:
        result = db.sql("SELECT i FROM range(2000000) r(i)")
        assert isinstance(result, RecordedResult)
        for batch in result.reader(10_000):
            assert batch.num_rows
            assert result._tape_bytes <= 250_000 or result._tape is None


def test_the_first_row_of_a_large_result_comes_before_the_last_is_computed() -> None:
    with pagelake.connect(settings=ON) as db:
        result = db.sql("SELECT i FROM range(50000000) r(i)")
        assert result.fetchone() == (0,)
        assert isinstance(result, RecordedResult)
        assert result._execution is not None
        assert result._rows < 1_000_000
        result.close()


def test_ctrl_c_keeps_nothing_and_the_next_statement_runs() -> None:
    with pagelake.connect(settings=ON) as db:
        db.execute("CREATE TABLE t AS SELECT i FROM range(30000) r(i)")
        sql = "SELECT count(*) FROM t a, t b WHERE hash(a.i, b.i) % 7 = 3"
        for start in (lambda: db.sql(sql).fetchall(), lambda: db.execute(sql)):
            pressed = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            pressed.start()
            with pytest.raises((KeyboardInterrupt, pagelake.Interrupted)):
                start()
            pressed.join()
        assert db.sql("SELECT entries FROM pagelake.result_cache").fetchall() == [(0,)]
        for _ in range(2):
            assert db.execute("SELECT 42").fetchall() == [(42,)]


def test_what_is_waited_for_ends_when_it_is_interrupted() -> None:
    asked, ended = threading.Event(), threading.Event()

    def read() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        asked.wait()
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        interruptible(read, asked.set)
    assert ended.is_set()
    assert interruptible(lambda: 3, asked.set) == 3
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0, asked.set)
