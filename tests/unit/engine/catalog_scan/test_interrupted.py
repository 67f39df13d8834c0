"""Scans that do not come to their end, and scans that meet."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import pagelake
from pagelake import Conflict, Interrupted
from pagelake.engine.catalog_scan import scan as scan_module
from pagelake.engine.catalog_scan.scan import ScanRequest, scan
from pagelake.extensions.catalog.block import Block, WalkOptions, WalkProgress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake import Connection

COUNT = "SELECT count(*) FROM catalog.proj"
CRASH = """
import os, sys, pagelake
from pagelake.engine.catalog_scan import scan as module
for name in ("fill", "replace"):
    def die(self, table, *rest, write=getattr(module.StoredCatalog, name)):
        written = write(self, table, *rest)
        if table.name == "proj_" + sys.argv[3]:
            os._exit(9)
        return written
    setattr(module.StoredCatalog, name, die)
with pagelake.connect(sys.argv[1]) as con:
    con.sql("CALL catalog_scan('" + sys.argv[2] + "', name => 'proj', full => " + sys.argv[4] + ")")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for folder in range(5):
        (root / f"d{folder}").mkdir(parents=True)
        for file in range(20):
            (root / f"d{folder}" / f"f{file}").touch()
    return root


def run(con: Connection, tree: Path, name: str = "proj") -> int:
    request = ScanRequest(str(tree).encode(), name, WalkOptions(processes=1))
    return scan(con._session, request).entries


def interrupting(con: Connection, blocks_before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the walk be interrupted once it has yielded some blocks."""
    walk = scan_module.walk

    def watched(*arguments: Any) -> Iterator[Block]:
        for number, block in enumerate(walk(*arguments)):
            if number == blocks_before:
                con.interrupt()
            yield block
        con.interrupt()

    monkeypatch.setattr(scan_module, "walk", watched)


@pytest.mark.parametrize("blocks_before", [0, 3, 100])
def test_a_cancelled_scan_leaves_the_last_one(
    tree: Path, store_path: Path, blocks_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pagelake.connect(store_path) as con:
        assert run(con, tree) == 106
        (tree / "new").touch()
        interrupting(con, blocks_before, monkeypatch)
        with pytest.raises(Interrupted, match="cancelled"):
            con.sql(f"CALL catalog_scan('{tree}', name => 'proj', full => true)")
        assert con.sql(COUNT).fetchall() == [(106,)]
        monkeypatch.undo()
        assert run(con, tree) == 107
        assert con.sql(COUNT).fetchall() == [(107,)]


def test_a_scan_obeys_the_time_out_of_statements(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, expired = scan_module.walk, threading.Event()
    interrupt = scan_module.Cancellation.interrupt

    def told(self: scan_module.Cancellation) -> None:
        interrupt(self)
        expired.set()

    def slow(*arguments: Any) -> Iterator[Block]:
        for block in walk(*arguments):
            assert expired.wait(60)
            yield block

    monkeypatch.setattr(scan_module.Cancellation, "interrupt", told)
    monkeypatch.setattr(scan_module, "walk", slow)
    with pagelake.connect() as con:
        con.execute("SET statement_timeout = '50ms'")
        with pytest.raises(pagelake.Timeout):
            con.sql(f"CALL catalog_scan('{tree}')")


@pytest.mark.parametrize(
    ("table", "full"), [("entries", "true"), ("directories", "false"), ("scans", "false")]
)
def test_a_scan_that_dies_leaves_the_last_one(
    tree: Path, store_path: Path, table: str, full: str
) -> None:
    with pagelake.connect(store_path) as con:
        assert run(con, tree) == 106
    (tree / "new").touch()
    command = [sys.executable, "-c", CRASH, str(store_path), str(tree), table, full]
    assert subprocess.run(command, timeout=120).returncode == 9
    with pagelake.connect(store_path) as con:
        assert con.sql(COUNT).fetchall() == [(106,)]
        assert run(con, tree) == 107


def test_a_failure_in_the_middle_leaves_no_catalog(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = scan_module.walk

    def broken(*arguments: Any) -> Iterator[Block]:
        for number, block in enumerate(walk(*arguments)):
            if number == 3:
                raise pagelake.Unavailable("the processes of the scan keep dying")
            yield block

    monkeypatch.setattr(scan_module, "walk", broken)
    with pagelake.connect() as con:
        with pytest.raises(pagelake.Unavailable):
            run(con, tree)
        with pytest.raises(pagelake.UnknownName):
            con.sql(COUNT)


@pytest.mark.parametrize("names", [("proj", "proj"), ("proj", "other")])
def test_two_scans_at_once(tree: Path, store_path: Path, names: tuple[str, str]) -> None:
    meeting = threading.Barrier(2, timeout=60)
    found: dict[int, object] = {}

    def meet(progress: WalkProgress) -> None:
        if progress.entries == 106 and not meeting.broken and threading.get_ident() not in met:
            met.add(threading.get_ident())
            meeting.wait()

    def one(number: int) -> None:
        request = ScanRequest(str(tree).encode(), names[number], WalkOptions(processes=1))
        with pagelake.connect(store_path) as con:
            try:
                found[number] = scan(con._session, request, meet).entries
            except Conflict as error:
                found[number] = error

    met: set[int] = set()
    with pagelake.connect(store_path) as con:
        con.execute("SET lock_timeout = '60s'")
        threads = [threading.Thread(target=one, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert found == {0: 106, 1: 106}
        for name in set(names):
            assert con.sql(f"SELECT count(*) FROM catalog.{name}").fetchall() == [(106,)]
            directories = f"SELECT count(*) FROM catalog.{name}_directories"
            assert con.sql(directories).fetchall() == [(6,)]
        scans = "SELECT count(*) FROM catalog.proj_scans"
        assert con.sql(scans).fetchall() == [(3 - len(set(names)),)]
