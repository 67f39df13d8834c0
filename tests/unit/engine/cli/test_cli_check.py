"""`pagelake check` and `pagelake backup` on real files: what they find, say and return."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake
from pagelake.engine.leaves import hot_tier
from pagelake.engine.safekeeping.hot_check import check_hot
from pagelake.engine.statements import bulk_write
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.maintenance.finding import Severity
from pagelake.storage.store import Store

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 30_000
SUMS = "SELECT count(*), sum(a), count(DISTINCT b) FROM t"


@pytest.fixture(autouse=True)
def few_rows_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_tier, "HOT_ROWS_MIN", 1000)
    monkeypatch.setattr(bulk_write, "HOT_ROWS_MIN", 1000)


@pytest.fixture
def store(store_path: Path) -> Path:
    """A table with a hot segment, types that travel in disguise, and a checkpoint."""
    with pagelake.connect(store_path) as db:
        db.execute(
            "CREATE TABLE t AS SELECT r AS a, 'v' || r AS b, r::HUGEINT AS h, [r] AS l, "
            "md5(r::VARCHAR)::UUID AS u, CASE WHEN r % 3 > 0 THEN r / 7 END AS f "
            f"FROM range({ROWS}) x(r)"
        )
        db.execute("INSERT INTO t (a, b) VALUES (-1, 'fresh')")
        db.execute("CALL pagelake.build_hot_segments()")  # if it was given up for lack of time
        db.execute("CALL pagelake.checkpoint()")
    return store_path


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.unlink()
    path.write_bytes(bytes(content))


def hot_damage(store: Path) -> list[str]:
    opened = Store(LocalDevice(store, create=False), read_only=True)
    try:
        return [f.what for f in check_hot(opened) if f.severity is Severity.DAMAGE]
    finally:
        opened.close()


def test_a_sound_store_is_clean(run, store: Path) -> None:
    assert run("check", store) == (0, "no damage\n", "")
    assert run("check", store, "--repair") == (0, "no damage\n", "")
    status, out, _ = run("check", store, "--format", "json")
    assert (status, json.loads(out)) == (0, {"findings": [], "repairs": []})


@pytest.mark.parametrize("kind", ["record", "checkpoint", "segment", "hot", "identity"])
def test_damage_is_named(run, store: Path, kind: str) -> None:
    path, at = {
        "record": (store / "log" / f"{2:020d}", 120),
        "checkpoint": (store / "log" / "checkpoints" / f"{2:020d}", 120),
        "segment": (only(store / "segments"), 100),
        "hot": (only(store / "hot"), 12_400),
        "identity": (store / "store.json", 0),
    }[kind]
    flip(path, at)
    status, out, err = run("check", store, "--format", "json")
    assert (status, err) == (1, "")
    found = [f for f in json.loads(out)["findings"] if f["severity"] == "damage"]
    assert {f["file"] for f in found} == {str(path.relative_to(store))}
    derived = kind in {"checkpoint", "hot"}
    assert all(f["derived"] == derived for f in found)
    assert derived or all(f["affects"] for f in found)
    status, out, _ = run("check", store)
    assert status == 1
    assert str(path.relative_to(store)) in out
    # A repair makes good what is derived, and leaves the rest exactly as it was.
    before = path.read_bytes()
    status, out, _ = run("check", store, "--repair")
    assert status == (0 if derived else 1)
    assert ("left as it is" in out) != derived
    assert derived or path.read_bytes() == before
    assert run("check", store)[0] == status


def test_a_dropped_hot_segment_is_built_again(run, store: Path) -> None:
    hot = only(store / "hot")
    hot.write_bytes(hot.read_bytes()[:-4096])
    assert run("check", store)[0] == 1
    assert run("check", store, "--repair")[0] == 0
    assert list((store / "hot").iterdir()) == []
    with pagelake.connect(store) as db:
        db.execute("CALL pagelake.build_hot_segments()")
        assert db.execute(SUMS).fetchall() == [(ROWS + 1, sum(range(ROWS)) - 1, ROWS + 1)]
    assert run("check", store) == (0, "no damage\n", "")
    assert len(list((store / "hot").iterdir())) == 1


def forge_hot(store: Path, sql: str) -> None:
    """Change a hot segment by SQL, as a defect of ours would, and give it its right size."""
    path = only(store / "hot")
    with duckdb.connect(str(path)) as kernel:
        kernel.execute(sql)
    parts = path.stem.split("-")
    path.rename(path.with_name(f"{'-'.join(parts[:3])}-{path.stat().st_size}.duckdb"))


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE rows SET c1 = 5 WHERE c1 = 4", "not the row group's"),
        ("UPDATE rows SET c6 = NULL WHERE c1 = 4", "not the row group's"),
        ("UPDATE rows SET c1 = CASE c1 WHEN 4 THEN 5 ELSE 4 END WHERE c1 IN (4, 5)", "not the row"),
        ("DELETE FROM rows WHERE c1 = 4", "29999 rows instead of 30000"),
        ("UPDATE row_groups SET rows = 29999", "its name says"),
        ("UPDATE columns SET type = 'INTEGER' WHERE id = 1", "its name says"),
        ("DROP TABLE row_groups", "cannot read it"),
    ],
)
def test_a_hot_segment_that_holds_other_rows_is_found(store: Path, sql: str, said: str) -> None:
    assert hot_damage(store) == []
    forge_hot(store, sql)
    (what,) = hot_damage(store)
    assert said in what


def test_folded_and_deleted_rows_are_told_apart(run, store: Path) -> None:
    with pagelake.connect(store) as db:
        db.execute("DELETE FROM t WHERE a % 3 = 0")
        db.execute("CALL pagelake.build_hot_segments()")
        db.execute("DELETE FROM t WHERE a = 7")
        db.execute("ALTER TABLE t ADD COLUMN later INTEGER DEFAULT 3")
        db.execute("ALTER TABLE t DROP COLUMN h")
    assert run("check", store)[0] == 0
    forge_hot(store, "UPDATE rows SET c1 = 1 WHERE c1 = 7")
    assert hot_damage(store) == [], "nobody reads a deleted row"
    forge_hot(store, "UPDATE rows SET c1 = 1 WHERE c1 = 8")
    assert len(hot_damage(store)) == 1


def test_a_path_without_a_store_is_refused(run, tmp_path: Path) -> None:
    status, _, err = run("check", tmp_path / "none")
    assert (status, "does not exist" in err) == (66, True)
    assert not (tmp_path / "none").exists()
    status, _, err = run("check", tmp_path)
    assert (status, "no store here" in err) == (66, True)
    assert run("check")[0] == 2
    status, _, err = run("backup", tmp_path, tmp_path / "copy")
    assert (status, "no store here" in err) == (66, True)


def test_backup_and_restore(run, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.lake"
    status, out, err = run("backup", store, copy)
    assert (status, err) == (0, "")
    assert "copied" in out
    assert "version 2" in out
    assert run("check", copy)[0] == 0
    with pagelake.connect(store) as db:
        expected = db.execute(SUMS).fetchall()
        db.execute("INSERT INTO t (a) SELECT * FROM range(10)")
        # In use while it is copied.
        status, out, _ = run("backup", store, copy)
        assert status == 0
        now = db.execute(SUMS).fetchall()
    assert "version 3" in out
    shutil.rmtree(store)
    with pagelake.connect(copy) as db:
        assert db.execute(SUMS).fetchall() == now != expected
        assert db.execute(f"{SUMS} AT (VERSION => 2)").fetchall() == expected


def test_backup_refuses_what_is_not_a_backup(run, store: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letter.txt").write_text("dear")
    assert run("backup", store, foreign)[0] == 66
    assert [p.name for p in foreign.iterdir()] == ["letter.txt"]
    other = tmp_path / "other.lake"
    pagelake.connect(other).close()
    status, _, err = run("backup", store, other)
    assert (status, "another store" in err) == (66, True)
    status, _, err = run("backup", store, store)
    assert (status, "into itself" in err) == (65, True)


def test_a_store_over_devices_loses_rot_to_its_parity(run, tmp_path: Path) -> None:
    roots = [tmp_path / f"d{number}" for number in range(4)]
    with pagelake.connect(devices=roots, parity=1) as db:
        db.execute(f"CREATE TABLE t AS SELECT r AS a, 'v' || r AS b FROM range({ROWS}) x(r)")
        expected = db.execute(SUMS).fetchall()
    assert run("check", *roots)[0] == 0
    flip(only(roots[1] / "segments"), 9000)
    status, out, _ = run("check", *roots)
    assert (status, "device 1" in out) == (1, True)
    status, out, _ = run("check", *roots, "--repair")
    assert (status, "rebuilt" in out) == (0, True)
    assert run("check", *roots)[0] == 0
    copy = tmp_path / "copy.lake"
    assert run("backup", *roots, copy)[0] == 0
    with pagelake.connect(copy, read_only=True) as db:
        assert db.execute(SUMS).fetchall() == expected
