"""`pagelake devices` and what SQL says of devices: a store over directories, end to end."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.cli import main
from pagelake.engine.devices.care import Pace
from pagelake.engine.devices.cli import UNWELL_STATUS
from pagelake.errors import Denied, InvalidRequest, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

ROWS = 20_000
SUMS = "SELECT count(*), sum(a), count(DISTINCT b) FROM t"


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process; gives (status, standard output, standard error)."""
    monkeypatch.delenv("PAGELAKE_DEBUG", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.decode(), err.decode()

    return call


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    roots = [tmp_path / f"d{number}" for number in range(5)]
    with pagelake.connect(devices=roots, parity=2) as db:
        db.execute(f"CREATE TABLE t AS SELECT r AS a, md5(r::VARCHAR) AS b FROM range({ROWS}) x(r)")
        db.execute("INSERT INTO t VALUES (-1, 'single')")
    return roots


def spoil_strip(root: Path) -> None:
    strip = max((root / "segments").iterdir(), key=lambda path: path.stat().st_size)
    rotten = bytearray(strip.read_bytes())
    rotten[len(rotten) // 2] ^= 1
    strip.unlink()
    strip.write_bytes(rotten)


def test_every_command_opens_the_store_by_any_directory(
    run: Run, roots: list[Path], tmp_path: Path
) -> None:
    assert run("query", roots[3], SUMS, "-f", "csv")[1].splitlines()[1].startswith(f"{ROWS + 1},")
    assert run("shell", roots[1], "-c", "INSERT INTO t VALUES (-2, 'x')")[0] == 0
    status, out, _ = run("info", roots[2], "-f", "json")
    assert status == 0
    assert json.loads(out)["tables"][0]["rows"] == ROWS + 2
    assert run("check", roots[4])[:2] == (0, "no damage\n")
    assert run("backup", roots[0], tmp_path / "copy", "-q")[0] == 0
    assert run("query", tmp_path / "copy", "SELECT 1")[0] == 0
    status, _, err = run("backup", roots[0], roots[1])
    assert status != 0
    assert "is a device of a store already" in err


def test_create_status_and_refusals(run: Run, tmp_path: Path) -> None:
    roots = [tmp_path / f"n{number}" for number in range(3)]
    status, out, _ = run("devices", "create", *roots)
    assert status == 0
    assert "2 + 1 devices, 2/3 of the room" in out
    status, _, err = run("devices", "create", *roots)
    assert status != 0
    assert "is a device of a store already" in err
    status, out, _ = run("devices", "status", roots[2])
    assert status == 0
    assert out.startswith("2 + 1 devices, epoch 0; 1 more may be lost\n")
    plain = tmp_path / "plain"
    pagelake.connect(plain).close()
    status, _, err = run("devices", "status", plain)
    assert status != 0
    assert "one device only" in err
    assert run("devices", "status", tmp_path / "nothing")[0] != 0


def test_lost_scrubbed_and_rebuilt(run: Run, roots: list[Path], tmp_path: Path) -> None:
    shutil.rmtree(roots[0])
    spoil_strip(roots[3])
    assert run("query", roots[1], "INSERT INTO t VALUES (-3, 'degraded')")[0] == 0
    status, out, _ = run("devices", "status", roots[1], "-f", "json")
    assert status == UNWELL_STATUS
    listed = json.loads(out)
    assert [row["state"] for row in listed] == ["missing", *["live"] * 4]
    assert listed[0]["directory"] == str(roots[0])
    status, out, _ = run("devices", "scrub", roots[1], "--rate", 0, "--dry-run")
    assert status == UNWELL_STATUS
    assert "left as it is: segments/" in out
    status, out, _ = run("devices", "scrub", roots[1], "--rate", 0)
    assert status == 0
    assert "repaired: segments/" in out
    assert "1 damaged, 0 left" in out
    status, out, _ = run("devices", "rebuild", roots[1], "--device", 0, "--into", tmp_path / "new")
    assert (status, out) == (0, f"device 0 is live in {tmp_path / 'new'}\n")
    status, out, _ = run("devices", "status", tmp_path / "new", "-f", "json")
    assert status == 0
    rows = json.loads(out)
    assert [(row["errors_found"], row["errors_repaired"]) for row in rows][3] == (1, 1)
    assert rows[0]["last_scrub"]
    status, _, err = run("devices", "rebuild", roots[1], "--device", 0)
    assert status != 0
    assert "not lost" in err
    for root in (roots[1], roots[2]):
        shutil.rmtree(root)
    assert (
        run("query", tmp_path / "new", SUMS, "-f", "csv")[1]
        .splitlines()[1]
        .startswith(f"{ROWS + 2},")
    )


def test_half_of_a_mirror_asks_first(run: Run, tmp_path: Path) -> None:
    roots = [tmp_path / "m0", tmp_path / "m1"]
    assert run("devices", "create", *roots)[0] == 0
    shutil.rmtree(roots[0])
    status, _, err = run("query", roots[1], "SELECT 1")
    assert status != 0
    assert "pagelake devices accept-loss" in err
    assert run("devices", "status", roots[1])[0] == UNWELL_STATUS
    assert "goes on with 1 of 2" in run("devices", "accept-loss", roots[1])[1]
    assert run("query", roots[1], "CREATE TABLE t (a INT)")[0] == 0
    assert run("devices", "rebuild", roots[1], "-d", 0, "-q")[:2] == (0, "")
    assert run("query", roots[0], "FROM t")[0] == 0


def test_ctrl_c_stops_a_scrub_that_goes_on_later(
    run: Run, roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def interrupted(_pace: Pace, _bytes_read: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Pace, "__call__", interrupted)
        status, _, err = run("devices", "scrub", roots[0])
    assert status == 130
    assert "the next scrub goes on from here" in err
    assert "a scrub was stopped on the way" in run("devices", "status", roots[0])[1]
    status, out, _ = run("devices", "scrub", roots[0], "--rate", 0, "-f", "json")
    assert status == 0
    rest = json.loads(out)["files"]
    everything = json.loads(run("devices", "scrub", roots[0], "--rate", 0, "-f", "json")[1])
    assert rest == everything["files"] - 2
    assert "stopped" not in run("devices", "status", roots[0])[1]


def test_sql_shows_scrubs_and_rebuilds(roots: list[Path], tmp_path: Path) -> None:
    spoil_strip(roots[2])
    with pagelake.connect(roots[4]) as db:
        before = db.execute(SUMS).fetchall()
        assert db.execute(
            "SELECT device, directory, state, decides FROM pagelake.devices ORDER BY device"
        ).fetchall() == [(n, str(root), "live", n == 0) for n, root in enumerate(roots)]
        result = db.execute("CALL pagelake.scrub(mb_per_s := 0)").fetchall()
        assert result[0][2:4] == (1, 0)
        assert db.execute(
            "SELECT device, errors_found, errors_repaired FROM pagelake.devices "
            "WHERE last_scrub IS NOT NULL AND errors_found > 0"
        ).fetchall() == [(2, 1, 1)]
        shutil.rmtree(roots[2])
        db.execute("INSERT INTO t VALUES (-9, 'z')")
        db.execute("CALL pagelake.rebuild_device(2, directory := ?)", [str(tmp_path / "r2")])
        row = db.execute("SELECT state, directory FROM pagelake.devices WHERE device = 2")
        assert row.fetchall() == [("live", str(tmp_path / "r2"))]
        assert db.execute(SUMS).fetchall()[0][0] == before[0][0] + 1
        with pytest.raises(InvalidRequest, match="not lost"):
            db.execute("CALL pagelake.rebuild_device(1)")
        with pytest.raises(InvalidRequest, match="mb_per_s"):
            db.execute("CALL pagelake.scrub(mb_per_s := -1)")
    with pagelake.connect(roots[4], read_only=True) as db, pytest.raises(Denied):
        db.execute("CALL pagelake.scrub()")


def test_a_plain_store_has_one_device_and_no_parity(tmp_path: Path) -> None:
    with pagelake.connect(tmp_path / "plain") as db:
        assert db.execute("SELECT device, directory, state FROM pagelake.devices").fetchall() == [
            (0, str(tmp_path / "plain"), "live")
        ]
        with pytest.raises(InvalidRequest, match="without parity"):
            db.execute("CALL pagelake.scrub()")
    with pagelake.connect() as db:
        assert db.execute("SELECT count(*) FROM pagelake.devices").fetchall() == [(0,)]


def test_too_many_lost_names_them(roots: list[Path]) -> None:
    for root in roots[:3]:
        shutil.rmtree(root)
    with pytest.raises(Unavailable, match=f"3 of 5.*{roots[0]}"):
        pagelake.connect(roots[4])
