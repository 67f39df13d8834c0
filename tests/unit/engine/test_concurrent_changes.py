"""Statements that meet changes made by others, or undone, between their planning and their end."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import pagelake
from pagelake.storage.row_group import read_row_ids

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db(tmp_path: Path) -> Iterator[pagelake.Connection]:
    with pagelake.connect(tmp_path / "lake") as connection:
        yield connection


def reopened(db: pagelake.Connection) -> pagelake.Connection:
    return pagelake.connect(db.path)


def change_before_commit(
    db: pagelake.Connection, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """Let another connection run a statement once, right before the next commit."""
    store = db._database.store
    commit, done = store.commit, []

    def interfering(transaction: object) -> int:
        if not done:
            done.append(True)
            with reopened(db) as other:
                other.execute(sql)
        return commit(transaction)

    monkeypatch.setattr(store, "commit", interfering)


def test_an_insert_that_loses_to_a_drop_leaves_the_log_readable(
    db: pagelake.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute("CREATE TABLE t (a BIGINT)")
    db.execute("INSERT INTO t VALUES (?)", [1])
    change_before_commit(db, monkeypatch, "DROP TABLE t")
    with pytest.raises(pagelake.UnknownName):
        db.execute("INSERT INTO t VALUES (?)", [2])
    with reopened(db) as other:
        assert other.table_names() == []


def test_an_insert_that_loses_to_a_new_key_is_checked_against_it(
    db: pagelake.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    db.execute("CREATE TABLE t (a BIGINT)")
    db.execute("INSERT INTO t VALUES (?)", [1])
    change_before_commit(db, monkeypatch, "ALTER TABLE t ADD PRIMARY KEY (a)")
    with pytest.raises(pagelake.ConstraintViolation):
        db.execute("INSERT INTO t VALUES (?)", [1])
    assert db.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_column_id_used_again_after_a_rollback_has_its_own_initial_value(
    db: pagelake.Connection,
) -> None:
    db.execute("CREATE TABLE t AS SELECT range AS a FROM range(5)")
    db.execute("BEGIN")
    db.execute("ALTER TABLE t ADD COLUMN b BIGINT DEFAULT 1")
    assert db.execute("SELECT sum(b) FROM t").fetchone() == (5,)
    db.execute("ROLLBACK")
    db.execute("ALTER TABLE t ADD COLUMN c BIGINT DEFAULT 99")
    assert db.execute("SELECT sum(c) FROM t").fetchone() == (495,)


def test_a_row_updated_twice_in_one_transaction_keeps_its_id(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t AS SELECT range AS a FROM range(3)")
    db.execute("BEGIN")
    db.execute("UPDATE t SET a = 10 WHERE a = 1")
    db.execute("UPDATE t SET a = 20 WHERE a = 10")
    db.execute("COMMIT")
    store = db._database.store
    (state,) = store.snapshot().tables.values()
    ids: list[int] = []
    for group in state.row_groups:
        gone = {int(p) for v in state.deletes.get(group.id, ()) for p in v.positions(store.pages)}
        every = read_row_ids(store, state.definition, group).to_pylist()
        ids += [row_id for position, row_id in enumerate(every) if position not in gone]
    assert sorted(ids) == [0, 1, 2]


def test_many_bulk_inserts_hold_few_files_open(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (a BIGINT)")
    rows = pa.table({"a": pa.array(range(9000), pa.int64())})
    for _ in range(40):
        db.append("t", rows)
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here to count descriptors in")
    open_segments = [p for p in folder.iterdir() if "/segments/" in str(p.resolve())]
    # Of forty segments; maintenance may be mapping what it rewrites.
    assert len(open_segments) <= 20
    assert db.execute("SELECT count(*) FROM t").fetchone() == (360_000,)


def test_unread_results_give_their_routes_back(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (a BIGINT)")
    for number in range(30):
        db.execute("INSERT INTO t VALUES (?)", [number])
        db.sql("SELECT * FROM t")
    gc.collect()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (30,)
    routes = db._database.kernel.execute(
        "SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'route_%'"
    )
    assert routes[0][0] <= 10


def test_rows_come_in_the_order_of_the_log(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t AS SELECT range AS a FROM range(70000)")
    db.execute("INSERT INTO t SELECT range + 70000 FROM range(230000)")
    assert db.execute("SELECT a FROM t LIMIT 3").fetchall() == [(0,), (1,), (2,)]


def test_comments_before_rollback(db: pagelake.Connection) -> None:
    db.execute("BEGIN")
    with pytest.raises(pagelake.Error):
        db.execute("SELECT * FROM nowhere")
    db.execute("/* never mind */ ROLLBACK -- done")
    assert db.execute("SELECT 1").fetchone() == (1,)


def test_closing_cancels_what_runs_and_closes_everything(tmp_path: Path) -> None:
    db = pagelake.connect(tmp_path / "lake")
    reader = db.sql("SELECT count(*) FROM range(1000000) a, range(1000000) b").reader
    result = db.sql("SELECT * FROM range(10000000)").reader(1000)
    result.read_next_batch()
    db.close()
    db.close()
    assert db._database.store.executor._shutdown
    with pytest.raises(pagelake.Error):
        reader()


def test_updates_that_keep_the_keys_go_with_inserts_of_others(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    db.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
    with reopened(db) as other:
        for connection in (db, other):
            connection.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (3, 0)")
        other.execute("UPDATE t SET n = 1 WHERE id = 1")
        other.execute("COMMIT")
        db.execute("COMMIT")
        for connection in (db, other):
            connection.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (4, 0)")
        other.execute("UPDATE t SET id = 4 WHERE id = 2")
        other.execute("COMMIT")
        with pytest.raises(pagelake.errors.Conflict):
            db.execute("COMMIT")
        assert db.execute("SELECT id, n FROM t ORDER BY id").fetchall() == [(1, 1), (3, 0), (4, 0)]
