"""Results: every form of fetching, several open at once, and what they hold."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import polars
import pyarrow as pa
import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 5000
QUERY = "SELECT a, b FROM t ORDER BY a"


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute(
            f"CREATE TABLE t AS SELECT r AS a, 'v' || r AS b FROM range({ROWS}) x(r)"
        )
        yield connection


def expected() -> list[tuple[int, str]]:
    return [(n, f"v{n}") for n in range(ROWS)]


def test_forms_of_one_result(db: pagelake.Connection) -> None:
    table = pa.table({"a": [n for n, _ in expected()], "b": [s for _, s in expected()]})
    assert db.sql(QUERY).fetchall() == expected()
    assert db.sql(QUERY).arrow().equals(table)
    assert db.sql(QUERY).reader().read_all().equals(table)
    assert db.sql(QUERY).df().equals(table.to_pandas())
    assert db.sql(QUERY).pl().equals(polars.from_arrow(table))
    assert list(db.sql(QUERY)) == expected()
    assert pa.table(db.sql(QUERY)).equals(table)
    assert pa.RecordBatchReader.from_stream(db.sql(QUERY)).read_all().equals(table)
    rows = db.sql(QUERY)
    assert [rows.fetchone(), *rows.fetchmany(3), *rows.fetchall()] == expected()


def test_forms_after_execute(db: pagelake.Connection) -> None:
    assert db.execute(QUERY).arrow().num_rows == ROWS
    assert db.execute(QUERY).df().shape == (ROWS, 2)
    assert db.execute(QUERY).pl().shape == (ROWS, 2)
    assert sum(batch.num_rows for batch in db.execute(QUERY).reader()) == ROWS
    cursor = db.execute(QUERY)
    assert cursor.fetchone() == (0, "v0")


def test_columns_and_types_without_running(db: pagelake.Connection) -> None:
    result = db.sql("SELECT 1::DECIMAL(9, 2) AS d, [1] AS l, NULL AS n")
    assert result.columns == ["d", "l", "n"]
    assert result.types[:2] == ["DECIMAL(9,2)", "INTEGER[]"]
    assert result.rowcount == -1
    assert result.fetchall()[0][1:] == ([1], None)


def test_batch_rows(db: pagelake.Connection) -> None:
    sizes = [batch.num_rows for batch in db.sql(QUERY).reader(2048)]
    assert max(sizes) <= 2048
    assert sum(sizes) == ROWS


def test_zero_rows_keep_their_columns(db: pagelake.Connection) -> None:
    nothing = "SELECT * FROM t WHERE a < 0"
    assert db.sql(nothing).arrow().schema.names == ["a", "b"]
    assert db.sql(nothing).reader().read_all().num_rows == 0
    assert db.sql(nothing).fetchall() == []
    assert db.sql(nothing).fetchone() is None
    assert list(db.sql(nothing).df().columns) == ["a", "b"]


def test_results_of_changes(db: pagelake.Connection) -> None:
    result = db.sql("INSERT INTO t VALUES (-1, 'x'), (-2, 'y')")
    assert result.rowcount == 2
    assert result.columns == ["Count"]
    assert result.fetchall() == [(2,)]
    assert db.sql("UPDATE t SET b = '' WHERE a < 0").arrow().to_pylist() == [{"Count": 2}]
    assert db.sql("DELETE FROM t WHERE a = -1 RETURNING a, b").fetchall() == [(-1, "")]
    assert db.sql("CREATE TABLE u (a INTEGER)").fetchall() == []
    assert db.sql("CREATE TABLE v (a INTEGER)").arrow().num_columns == 0


def test_a_result_is_read_once(db: pagelake.Connection) -> None:
    result = db.sql(QUERY)
    result.arrow()
    assert result.fetchall() == []
    assert result.fetchone() is None
    assert list(result) == []


def test_two_open_results_on_one_connection(db: pagelake.Connection) -> None:
    one, two = db.sql(QUERY), db.sql("SELECT a FROM t ORDER BY a DESC")
    for n in range(2500):
        assert one.fetchone() == (n, f"v{n}")
        assert two.fetchone() == (ROWS - 1 - n,)
    assert len(one.fetchall()) == len(two.fetchall()) == 2500


def test_a_half_read_result_sees_its_own_snapshot(db: pagelake.Connection) -> None:
    result = db.sql(QUERY)
    assert result.fetchone() == (0, "v0")
    db.sql("DELETE FROM t").close()
    db.sql("DROP TABLE t").close()
    assert len(result.fetchall()) == ROWS - 1
    lazy = db.sql("SELECT 1")
    assert lazy.fetchall() == [(1,)]


def test_a_dropped_result_frees_what_it_held(db: pagelake.Connection) -> None:
    router = db._database.router
    kept = [db.sql(QUERY) for _ in range(5)]
    for result in kept[:3]:
        result.fetchone()
    kept.append(db.sql(QUERY))
    readers = [db.sql(QUERY).reader() for _ in range(2)]
    readers[0].read_next_batch()
    del readers
    assert any(route.users for route in router._routes.values())
    del kept, result
    gc.collect()
    # Given back by the next statement: garbage is collected at points where nothing may be run.
    assert db.sql("SELECT 1").fetchall() == [(1,)]
    assert not any(route.users for route in router._routes.values())
    assert db.sql(QUERY).fetchall() == expected()


def test_results_outlive_many_others(db: pagelake.Connection) -> None:
    held = db.sql(QUERY)
    assert held.fetchone() == (0, "v0")
    for n in range(40):
        db.execute("INSERT INTO t VALUES (?, ?)", (-n, "x"))
        db.execute("SELECT count(*) FROM t").fetchall()
    assert len(held.fetchall()) == ROWS - 1


def test_reading_after_close(db: pagelake.Connection) -> None:
    result = db.sql(QUERY)
    result.fetchone()
    result.close()
    result.close()
    assert result.fetchall() == []
    open_result = db.sql(QUERY)
    open_result.fetchone()
    db.close()
    with pytest.raises(pagelake.Error):
        open_result.fetchall()


def test_reader_streams(db: pagelake.Connection) -> None:
    """The first batch is there long before the kernel could have made all of them."""
    endless = "SELECT r AS n FROM range(1000000000000) x(r)"
    reader = db.sql(endless).reader(1000)
    assert reader.read_next_batch().column(0)[0].as_py() == 0
    reader.close()
    result = db.sql(endless)
    assert result.fetchmany(3) == [(0,), (1,), (2,)]
    result.close()
    rows = iter(db.sql(endless))
    assert next(rows) == (0,)
    del rows, result
    assert db.sql("SELECT 1").fetchall() == [(1,)]


def test_errors_while_reading(db: pagelake.Connection) -> None:
    result = db.sql("SELECT CASE WHEN a = 4000 THEN error('boom') ELSE a END FROM t")
    with pytest.raises(pagelake.Error, match="boom"):
        result.fetchall()
    with pytest.raises(pagelake.DataError):
        db.sql("SELECT CAST(b AS INTEGER) FROM t").reader().read_all()
    with pytest.raises(pagelake.DataError):
        db.sql("SELECT CAST(b AS INTEGER) FROM t").arrow()


def test_names_are_checked_when_the_result_is_made_or_read(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.UnknownName) as caught:
        db.sql("SELECT * FROM tt")
    assert "t" in caught.value.suggestions or "t" in str(caught.value)
    with pytest.raises(pagelake.UnknownName, match="aa"):
        db.sql("SELECT aa FROM t").fetchall()


def test_show_explain_and_repr(db: pagelake.Connection, capfdbinary: object) -> None:
    assert "SCAN" in db.sql(QUERY).explain().upper()
    assert "columns" in repr(db.sql(QUERY))
    assert "rowcount=1" in repr(db.sql("INSERT INTO t VALUES (-1, 'x')"))


def test_show_prints_rows(
    db: pagelake.Connection, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    db.sql("SELECT 'shown' AS word").show()
    printed = capsysbinary.readouterr().out
    assert b"word" in printed
    assert b"shown" in printed
