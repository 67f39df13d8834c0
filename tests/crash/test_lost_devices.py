"""A store over 8 + 2 directories loses any two of them, and nothing else."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.errors import Unavailable
from pagelake.storage.devices.rebuild import rebuild
from pagelake.storage.devices.scrub import scrub, status
from pagelake.storage.devices.striped_device import open_striped
from tests.crash.lost_devices import (
    CHILDREN,
    PARITY,
    contents,
    create,
    pairs,
    survive,
    without,
)

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "SELECT count(*), sum(a), count(DISTINCT b) FROM t"


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    roots = [tmp_path / f"d{number}" for number in range(CHILDREN)]
    create(roots, rows=50_000)
    return roots


def ask(roots: list[Path], sql: str) -> list[tuple[object, ...]]:
    with pagelake.connect(devices=roots) as connection:
        return connection.execute(sql).fetchall()


def test_every_pair_can_be_lost(roots: list[Path]) -> None:
    expected = contents(roots)
    assert any(name.startswith("segments/") for name in expected)
    for pair in pairs():
        with without(roots, pair):
            assert contents(roots) == expected, f"devices {pair} lost"


@pytest.mark.parametrize(("data", "parity", "samples"), [(10, 4, 12), (32, 4, 4)])
@pytest.mark.parametrize("rot", [False, True])
def test_wide_sets_survive(tmp_path: Path, data: int, parity: int, samples: int, rot: bool) -> None:
    roots = [tmp_path / f"d{number}" for number in range(data + parity)]
    create(roots, 3_000, parity)
    equal, tried, rotten = survive(roots, parity, samples=samples, rot=rot, seed=1)
    assert equal == tried == samples
    assert (rotten > 0) == rot


def test_reads_and_commits_go_on_while_two_are_lost(roots: list[Path]) -> None:
    (before,) = ask(roots, ROWS)
    for number in (0, 5):
        shutil.rmtree(roots[number])
    with pagelake.connect(devices=roots) as connection:
        assert connection.execute(ROWS).fetchall() == [before]
        connection.execute("INSERT INTO t VALUES (1000000, 'late')")
        connection.execute("DELETE FROM t WHERE a = 7")
        (after,) = connection.execute(ROWS).fetchall()
    assert ask(roots, ROWS) == [after]
    assert after[0] == before[0]

    device = open_striped(roots, None, create=True)
    for number in (0, 5):
        rebuild(device, number, roots[number])
    assert all(child.live for child in status(device))
    assert list(scrub(device)) == []
    device.close()
    for number in (1, 9):  # what was rebuilt carries the store now
        shutil.rmtree(roots[number])
    assert ask(roots, ROWS) == [after]


def test_loss_while_connected(roots: list[Path]) -> None:
    with pagelake.connect(devices=roots) as connection:
        (before,) = connection.execute(ROWS).fetchall()
        shutil.rmtree(roots[3])
        connection.execute("INSERT INTO t SELECT range, 'more' FROM range(20000)")
        shutil.rmtree(roots[0])
        connection.execute("INSERT INTO t VALUES (5, 'last')")
        ((count,),) = connection.execute("SELECT count(*) FROM t").fetchall()
        assert count == before[0] + 20_001
    assert ask(roots, "SELECT count(*) FROM t WHERE b IN ('more', 'last')") == [(20_001,)]


@pytest.mark.parametrize("lost", [(), (0,), (0, 1)])
def test_reclaim_spares_what_is_read_whatever_is_lost(
    roots: list[Path], lost: tuple[int, ...]
) -> None:
    with pagelake.connect(devices=roots) as reader, pagelake.connect(devices=roots) as writer:
        reader.execute("BEGIN")
        reader.execute(ROWS).fetchall()
        version = reader.snapshot()
        writer.execute("DELETE FROM t WHERE a % 2 = 0")
        writer.execute("CALL pagelake.compact('t')")
        for number in lost:
            roots[number].rename(roots[number].with_suffix(".away"))
        writer.execute("INSERT INTO t VALUES (1, 'one more')")
        result = writer.sql("CALL pagelake.reclaim(keep := INTERVAL '0 seconds')")
        report = dict(zip(result.columns, result.fetchall()[0], strict=True))
        assert report["held_back_by"] == version
        assert report["segments"] == 0
        reader.execute("ROLLBACK")


def test_rotten_strip_is_found_and_repaired(roots: list[Path]) -> None:
    expected = contents(roots)
    strip = max((roots[4] / "segments").iterdir(), key=lambda path: path.stat().st_size)
    sound = strip.read_bytes()
    rotten = bytearray(sound)
    rotten[len(rotten) // 2] ^= 0x10
    strip.write_bytes(rotten)
    assert contents(roots) == expected
    device = open_striped(roots, None, create=True)
    (damage,) = scrub(device)
    device.close()
    assert (damage.name, damage.index, damage.repaired) == (f"segments/{strip.name}", 4, True)
    assert strip.read_bytes() == sound


def test_three_lost_is_a_typed_error(roots: list[Path]) -> None:
    assert PARITY == 2
    for number in (2, 4, 6):
        shutil.rmtree(roots[number])
    with pytest.raises(Unavailable, match="3 of 10 devices are missing"):
        pagelake.connect(devices=roots)
