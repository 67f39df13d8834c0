"""Hot segments: used after a load, true to the newest commit, and safe to lose."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.leaves import hot_tier
from pagelake.engine.statements import bulk_write

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 5000
LOAD = f"CREATE TABLE t AS SELECT r AS a, 'v' || r AS b FROM range({ROWS}) x(r)"
BUILD = "CALL pagelake.build_hot_segments()"
SUMS = "SELECT count(*), sum(a), count(DISTINCT b) FROM t"
WHOLE = [(ROWS, sum(range(ROWS)), ROWS)]
COVER = "SELECT rows, live_rows, used FROM pagelake.hot_segments WHERE table_name = 't'"


@pytest.fixture(autouse=True)
def few_rows_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_tier, "HOT_ROWS_MIN", 1000)
    monkeypatch.setattr(bulk_write, "HOT_ROWS_MIN", 1000)


def hot_files(store: Path) -> list[Path]:
    return sorted((store / "hot").glob("*.duckdb"))


def plan(db: pagelake.Connection, sql: str = "SELECT * FROM t") -> str:
    return db.sql(sql).explain().lower()


def loaded(store: Path) -> None:
    with pagelake.connect(store) as db:
        db.execute(LOAD)
    assert len(hot_files(store)) == 1


def test_a_load_builds_and_uses_a_segment(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute(LOAD)
        assert db.execute(COVER).fetchall() == [(ROWS, ROWS, True)]
        assert "hot" in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE
    with pagelake.connect(store_path) as db:
        assert "hot" in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE
        assert db.execute(COVER).fetchall() == [(ROWS, ROWS, True)]


def test_small_tables_have_none(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t AS SELECT * FROM range(500)")
        db.execute(BUILD)
        assert db.execute(COVER).fetchall() == []


def test_fresh_rows_and_deletes_are_seen_at_once(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute(LOAD)
        db.execute("INSERT INTO t VALUES (-1, 'fresh')")
        assert db.execute("SELECT * FROM t WHERE a < 1 ORDER BY a").fetchall() == [
            (-1, "fresh"),
            (0, "v0"),
        ]
        assert db.execute("DELETE FROM t WHERE a % 2 = 0").rowcount == 2500
        assert db.execute(SUMS).fetchall() == [(2501, 2500 * 2500 - 1, 2501)]
        assert db.execute("UPDATE t SET b = 'new' WHERE a = 1").rowcount == 1
        assert db.execute("SELECT b FROM t WHERE a = 1").fetchall() == [("new",)]
        other = db.cursor()
        other.begin()
        assert other.execute("DELETE FROM t").rowcount == 2501
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM t").fetchone() == (2501,)
        other.rollback()
        assert db.execute("SELECT count(*) FROM t").fetchone() == (2501,)


def test_building_ends_and_answers_stay_right_whatever_was_deleted(store_path: Path) -> None:
    for share in (3, 2, 1):
        with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
            db.execute("DROP TABLE IF EXISTS t")
            db.execute(LOAD)
            db.execute(f"DELETE FROM t WHERE a % {share + 1} < {share}")
            expected = db.execute(SUMS).fetchall()
        with pagelake.connect(store_path) as db:
            db.execute(BUILD)
            db.execute(BUILD)
            assert db.execute(SUMS).fetchall() == expected


def test_the_budget_is_kept(store_path: Path) -> None:
    loaded(store_path)
    size = hot_files(store_path)[0].stat().st_size
    with pagelake.connect(store_path, settings={"hot_bytes_max": int(size * 1.5)}) as db:
        for name in ("u", "w"):
            db.execute(LOAD.replace("TABLE t", f"TABLE {name}"))
            assert sum(f.stat().st_size for f in hot_files(store_path)) <= size * 1.5
        db.execute(BUILD)
        assert sum(f.stat().st_size for f in hot_files(store_path)) <= size * 1.5
        for name in ("t", "u", "w"):
            assert db.execute(SUMS.replace("FROM t", f"FROM {name}")).fetchall() == WHOLE


def test_a_budget_below_one_segment_leaves_none(store_path: Path) -> None:
    with pagelake.connect(store_path, settings={"hot_bytes_max": 1000}) as db:
        db.execute(LOAD)
        db.execute(BUILD)
        assert hot_files(store_path) == []
        assert db.execute(SUMS).fetchall() == WHOLE


def test_no_budget_switches_the_hot_tier_off(store_path: Path) -> None:
    loaded(store_path)
    with pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as db:
        assert "hot" not in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE
        db.execute("SET hot_bytes_max = '1GB'")
        assert "hot" in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE
        db.execute("SET hot_bytes_max = 0")
        assert "hot" not in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE


def test_files_deleted_between_uses_are_built_again(store_path: Path) -> None:
    loaded(store_path)
    shutil.rmtree(store_path / "hot")
    with pagelake.connect(store_path) as db:
        assert db.execute(SUMS).fetchall() == WHOLE
        db.execute(BUILD)
        assert len(hot_files(store_path)) == 1
        assert "hot" in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE


def test_files_deleted_during_use(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute(LOAD)
        result = db.sql("SELECT a FROM t ORDER BY a")
        assert result.fetchone() == (0,)
        for file in hot_files(store_path):
            file.unlink()
        assert len(result.fetchall()) == ROWS - 1
        assert db.execute(SUMS).fetchall() == WHOLE
        db.execute("INSERT INTO t VALUES (-1, 'x')")
        assert db.execute("SELECT count(*) FROM t").fetchone() == (ROWS + 1,)
        db.execute(BUILD)
        assert len(hot_files(store_path)) == 1
        assert db.execute("SELECT count(*) FROM t").fetchone() == (ROWS + 1,)


@pytest.mark.parametrize("damage", ["truncated", "emptied", "header", "middle", "everywhere"])
def test_damaged_files_never_change_an_answer(damage: str, store_path: Path) -> None:
    loaded(store_path)
    (file,) = hot_files(store_path)
    content = bytearray(file.read_bytes())
    match damage:
        case "truncated":
            del content[len(content) // 2 :]
        case "emptied":
            content.clear()
        case "header":
            content[0:64] = bytes(64)
        case "middle":
            for at in range(len(content) // 4, 3 * len(content) // 4, 500):
                content[at] ^= 0xFF
        case "everywhere":
            content[12288:] = bytes(len(content) - 12288)
    file.write_bytes(content)
    with pagelake.connect(store_path) as db:
        assert db.execute(SUMS).fetchall() == WHOLE
        assert db.sql("SELECT b FROM t WHERE a = 4321").fetchall() == [("v4321",)]
        assert db.execute("DELETE FROM t WHERE a = 17").rowcount == 1
        db.execute(BUILD)
        assert db.execute("SELECT count(*) FROM t").fetchone() == (ROWS - 1,)


def test_a_segment_of_another_kernel_is_ignored(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(store_path)
    from pagelake.engine import database

    monkeypatch.setattr(database, "kernel_version", lambda: "0.0.1")
    with pagelake.connect(store_path) as db:
        assert "hot" not in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE
        db.execute(BUILD)
        assert "hot" in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE


def test_columns_change_over_an_existing_segment(store_path: Path) -> None:
    loaded(store_path)
    with pagelake.connect(store_path) as db:
        db.execute("ALTER TABLE t RENAME b TO name")
        assert db.execute("SELECT name FROM t WHERE a = 5").fetchall() == [("v5",)]
        db.execute("ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 42")
        db.execute("ALTER TABLE t ADD COLUMN d VARCHAR[]")
        db.execute("INSERT INTO t VALUES (-1, 'x', 1, ['y'])")
        assert db.execute("SELECT * FROM t WHERE a IN (-1, 5) ORDER BY a").fetchall() == [
            (-1, "x", 1, ["y"]),
            (5, "v5", 42, None),
        ]
        db.execute("ALTER TABLE t DROP COLUMN name")
        assert db.execute("SELECT * FROM t WHERE a = 5").fetchall() == [(5, 42, None)]
        assert "hot" in plan(db)
        db.execute("ALTER TABLE t RENAME TO u")
        assert db.execute("SELECT sum(c) FROM u").fetchone() == (42 * ROWS + 1,)
        db.execute("UPDATE u SET c = a WHERE a = 6")
        db.execute("ALTER TABLE u ALTER a TYPE VARCHAR")
        assert db.execute("SELECT a, c FROM u WHERE a = '6'").fetchall() == [("6", 6)]
        db.execute(BUILD)
        assert db.execute("SELECT count(*), sum(c) FROM u").fetchone() == (
            ROWS + 1,
            42 * ROWS + 1 - 36,
        )
    with pagelake.connect(store_path) as db:
        assert db.execute("SELECT count(*), sum(c) FROM u").fetchone() == (
            ROWS + 1,
            42 * ROWS + 1 - 36,
        )


def test_read_only_uses_but_does_not_build(store_path: Path) -> None:
    loaded(store_path)
    before = [(f.name, f.stat().st_mtime_ns) for f in hot_files(store_path)]
    with pagelake.connect(store_path, read_only=True) as db:
        assert "hot" in plan(db)
        assert db.execute(SUMS).fetchall() == WHOLE
    assert [(f.name, f.stat().st_mtime_ns) for f in hot_files(store_path)] == before
    shutil.rmtree(store_path / "hot")
    with pagelake.connect(store_path, read_only=True) as db:
        assert db.execute(SUMS).fetchall() == WHOLE
    assert not (store_path / "hot").exists() or hot_files(store_path) == []


def test_a_dropped_table_is_not_answered_from_its_segment(store_path: Path) -> None:
    loaded(store_path)
    with pagelake.connect(store_path) as db:
        db.execute("DROP TABLE t")
        db.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with pytest.raises(pagelake.UnknownName):
            db.execute("SELECT * FROM u")


def test_many_loads_merge_into_few_segments(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE t (a BIGINT, b VARCHAR)")
        for n in range(7):
            db.execute(f"INSERT INTO t SELECT r + {n * 2000}, 'v' || r FROM range(2000) x(r)")
        db.execute(BUILD)
        segments = db.execute(COVER + " AND used").fetchall()
        assert 1 <= len(segments) <= hot_tier.HOT_FILES_MAX + 1
        assert db.execute("SELECT count(*), sum(a) FROM t").fetchone() == (
            14_000,
            sum(range(14_000)),
        )
