"""Objects of the caller that SQL names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas
import polars
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import pagelake

if TYPE_CHECKING:
    from collections.abc import Iterator

of_the_module = pa.table({"a": [10]})


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE stored AS SELECT 1 AS a")
        yield connection


@pytest.mark.parametrize(
    "rows",
    [
        pa.table({"a": [1, 2]}),
        pa.record_batch({"a": [1, 2]}),
        pandas.DataFrame({"a": [1, 2]}),
        polars.DataFrame({"a": [1, 2]}),
        polars.LazyFrame({"a": [1, 2]}),
        ds.dataset(pa.table({"a": [1, 2]})),
        ds.dataset(pa.table({"a": [1, 2]})).scanner(),
    ],
    ids=lambda rows: type(rows).__module__.split(".")[0] + type(rows).__name__,
)
def test_kinds_of_objects(rows: object, db: pagelake.Connection) -> None:
    assert db.execute("SELECT sum(a) FROM rows").fetchall() == [(3,)]


def test_a_stream_is_read_once(db: pagelake.Connection) -> None:
    rows = pa.table({"a": [1, 2]}).to_reader()
    assert db.execute("SELECT sum(a) FROM rows").fetchall() == [(3,)]
    with pytest.raises(StopIteration):
        rows.read_next_batch()


def test_locals_globals_and_the_frame_around(db: pagelake.Connection) -> None:
    local = pa.table({"a": [5]})

    def run(sql: str) -> list[tuple[object, ...]]:
        return db.sql(sql).fetchall()

    assert db.sql("SELECT a FROM local").fetchall() == [(5,)]
    assert db.sql("SELECT a FROM of_the_module").fetchall() == [(10,)]
    assert run("SELECT a FROM local") == [(5,)]
    assert local.num_rows == 1


def test_every_door_looks_in_the_callers_frame(db: pagelake.Connection) -> None:
    rows = pa.table({"a": [1, 2, 3]})
    cursor = db.cursor()
    assert cursor.sql("SELECT count(*) FROM rows").fetchall() == [(3,)]
    assert cursor.execute("SELECT count(*) FROM rows").fetchall() == [(3,)]
    db.execute("INSERT INTO stored SELECT a + 10 FROM rows")
    db.execute("CREATE TABLE copied AS SELECT * FROM rows")
    db.execute("DELETE FROM stored WHERE a IN (SELECT a FROM rows)")
    db.execute("UPDATE copied SET a = -a WHERE a = (SELECT max(a) FROM rows)")
    assert db.execute("SELECT sum(a) FROM stored").fetchone() == (36,)
    assert db.execute("SELECT sum(a) FROM copied").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM rows JOIN copied USING (a)").fetchone() == (2,)
    assert rows.num_rows == 3


def test_stored_tables_ctes_and_views_win(db: pagelake.Connection) -> None:
    stored = of_the_cte = of_the_view = pa.table({"a": [99]})
    db.execute("CREATE VIEW of_the_view AS SELECT 2 AS a")
    assert db.execute("SELECT a FROM stored").fetchall() == [(1,)]
    assert db.execute("SELECT a FROM of_the_view").fetchall() == [(2,)]
    with_cte = "WITH of_the_cte AS (SELECT 3 AS a) SELECT a FROM of_the_cte"
    assert db.execute(with_cte).fetchall() == [(3,)]
    assert stored is of_the_cte is of_the_view


def test_the_newest_object_is_read_each_time(db: pagelake.Connection) -> None:
    for n in range(3):
        rows = pa.table({"a": [n]})
        assert db.execute("SELECT a FROM rows").fetchall() == [(n,)]
        assert rows.num_rows == 1
    rows = pa.table({"b": ["other", "columns"]})
    assert db.execute("SELECT count(b) FROM rows").fetchall() == [(2,)]


def test_objects_that_are_no_tables_are_not_found(db: pagelake.Connection) -> None:
    number = listed = 5
    for name in ("number", "listed", "pytest", "db"):
        with pytest.raises(pagelake.UnknownName):
            db.execute(f"SELECT * FROM {name}").fetchall()
    assert number == listed


@pytest.mark.parametrize(
    "name", ["rows", "batch", "batches", "source", "s", "session", "content", "positions", "holder",
             "pagelake_appended_rows", "new_keys", "frame", "value", "self"],
)  # fmt: skip
def test_variables_of_the_engine_are_never_visible(name: str, db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.UnknownName):
        db.execute(f"SELECT * FROM {name}")
    db.append("stored", pa.table({"a": [5]}))
    with pytest.raises(pagelake.UnknownName):
        db.execute(f"INSERT INTO stored SELECT * FROM {name}")


def test_close_names_in_scope_are_suggested(db: pagelake.Connection) -> None:
    my_frame = pa.table({"a": [1]})
    with pytest.raises(pagelake.UnknownName) as caught:
        db.execute("SELECT * FROM my_frme")
    assert "my_frame" in caught.value.suggestions
    assert my_frame.num_rows == 1


def test_temporary_relations_are_made_of_the_callers_objects(db: pagelake.Connection) -> None:
    mine = pa.table({"a": [1, 2]})
    db.execute("CREATE TEMP TABLE kept AS SELECT a FROM mine")
    db.execute("INSERT INTO kept SELECT a + 5 FROM mine")
    assert db.execute("SELECT a FROM kept").fetchall() == [(1,), (2,), (6,), (7,)]
    assert mine.num_rows == 2
