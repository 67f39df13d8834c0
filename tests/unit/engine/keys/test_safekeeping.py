"""Key runs live as long as what refers to them: checkpoints, reclaim, backup, check."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.storage.keys.run_check import contradiction
from pagelake.storage.maintenance.check import verify_store

if TYPE_CHECKING:
    from pathlib import Path

    from pagelake.storage.keys.key_run import KeyRun
    from pagelake.storage.snapshot import TableState

ROWS = 12_000
SETTINGS = {"background_maintenance": False}
LOOKUP = "SELECT k FROM t WHERE s IN ('s7', 's11999')"


def loaded(path: Path) -> pagelake.Connection:
    db = pagelake.connect(path, settings=SETTINGS)
    db.execute("CREATE TABLE t (k BIGINT PRIMARY KEY, o BIGINT UNIQUE, s VARCHAR, UNIQUE (s))")
    db.execute(f"INSERT INTO t SELECT (i * 7919) % {ROWS}, i * i, 's' || i FROM range({ROWS}) r(i)")
    return db


def table(db: pagelake.Connection) -> TableState:
    return next(iter(db._database.store.snapshot().tables.values()))


def runs(db: pagelake.Connection) -> dict[str, KeyRun]:
    return {run.form: run for run in table(db).key_runs}


def test_checkpoints_have_them(store_path: Path) -> None:
    with loaded(store_path) as db:
        before = table(db).key_runs
        db.execute("CALL pagelake.checkpoint()")
    with pagelake.connect(store_path, settings=SETTINGS) as db:
        assert table(db).key_runs == before
        assert db.execute(LOOKUP).fetchall() == [((7 * 7919) % ROWS,), ((11999 * 7919) % ROWS,)]


def test_reclaim_leaves_them(store_path: Path) -> None:
    with loaded(store_path) as db:
        db.execute("CREATE INDEX late ON t (o, k)")
        db.execute("CALL pagelake.reclaim(keep => '0s')")
    with pagelake.connect(store_path, settings=SETTINGS) as db:
        assert len(db.execute(LOOKUP).fetchall()) == 2
        assert db.execute("SELECT s FROM t WHERE k = 7919 AND o = 1").fetchall() == [("s1",)]
        assert verify_store(db._database.store) == []


def test_backup_copies_them(store_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.lake"
    loaded(store_path).close()
    pagelake.backup(store_path, copy)
    with pagelake.connect(copy, settings=SETTINGS) as db:
        assert len(db.execute(LOOKUP).fetchall()) == 2
        assert "KEY_LOOKUP" in db.execute(f"EXPLAIN {LOOKUP}").fetchall()[0][1]
        with pytest.raises(pagelake.ConstraintViolation):
            db.execute("INSERT INTO t VALUES (-1, -1, 's7')")


def test_runs_without_row_groups_go(store_path: Path) -> None:
    with loaded(store_path) as db:
        db.execute("DELETE FROM t")
        assert table(db).key_runs == ()
        db.execute("INSERT INTO t VALUES (1, 1, 'a')")
        assert db.execute("SELECT k FROM t WHERE s = 'a'").fetchall() == [(1,)]


@pytest.mark.parametrize("form", ["packed", "ordered", "hashed"])
def test_check_compares_them_with_their_rows(store_path: Path, form: str) -> None:
    with loaded(store_path) as db:
        store, run = db._database.store, runs(db)[form]
        assert contradiction(run, table(db), store.pages) is None
        words = run.words(store.pages).copy()
        words[100] += 1 << run.bits
        assert contradiction(replace(run, _words=words), table(db), store.pages) is not None
        rows = (run.rows[0] + 1,)
        assert contradiction(replace(run, rows=rows), table(db), store.pages) is not None
        db.execute("UPDATE t SET k = -k WHERE k < 100")
        assert verify_store(store) == []
