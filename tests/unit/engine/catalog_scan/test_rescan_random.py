"""A rescan of a tree that was edited at random gives what a fresh scan of it gives."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import pagelake
from pagelake.engine.catalog_scan import full_rescan as full_rescan_module
from pagelake.engine.catalog_scan import rescan as rescan_module
from pagelake.engine.catalog_scan import scan as scan_module
from pagelake.extensions.catalog import extension_totals, labels
from pagelake.extensions.catalog.rescan import extension_changes
from tests.unit.engine.catalog_scan.fresh import Editor, check_labels, differences
from tests.unit.extensions.catalog.trees import LocalCrew, walk_local

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pagelake.extensions.catalog.block import Block, WalkOptions

NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Let this thread look at files as nobody does, so that permissions count for root too."""
    if sys.platform != "linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.setfsuid(NOBODY)
    try:
        yield
    finally:
        libc.setfsuid(0)


class NobodysCrew(LocalCrew):
    def stat(self, paths: Sequence[bytes]) -> Any:
        with unprivileged():
            return super().stat(paths)

    def read(self, paths: Sequence[bytes], own: Any) -> Any:
        with unprivileged():
            return super().read(paths, own)


def nobodys_walk(root: bytes, options: WalkOptions, *_: object) -> Iterator[Block]:
    with unprivileged():
        blocks = list(walk_local(root, options))
    yield from blocks


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scan in this process, with few labels between directories, and sums of small subtrees."""
    monkeypatch.setattr(scan_module, "Crew", NobodysCrew)
    monkeypatch.setattr(scan_module, "walk", nobodys_walk)
    for module in (labels, extension_totals):
        monkeypatch.setattr(module, "GAP", 8)
    monkeypatch.setattr(labels, "ROOM", 2)
    for module in (extension_totals, extension_changes):
        monkeypatch.setattr(module, "ENTRIES_MIN", 5)


@pytest.fixture
def root() -> Iterator[Path]:
    """Return a directory that others can reach, which pytest's own are not."""
    above = Path(tempfile.mkdtemp(prefix="pagelake-"))
    above.chmod(0o755)
    (above / "tree").mkdir()
    yield above / "tree"
    for path, _, _ in os.walk(above):
        Path(path).chmod(0o755)
    shutil.rmtree(above)


@pytest.mark.parametrize("seed", range(int(os.environ.get("RESCAN_SEEDS", "2"))))
@pytest.mark.usefixtures("small")
def test_a_rescan_is_a_fresh_scan(root: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    monkeypatch.setattr(scan_module, "_Scan", refused(scan_module._Scan, root))
    editor = Editor(root, random, in_place=False, links=seed % 2 == 0)
    editor.edit(60)
    with pagelake.connect() as con:
        call = f"CALL catalog_scan('{root}', name => '%s')"
        con.execute(call % "kept")
        for turn in range(7):
            # Most directories of a new tree are racy, and would all be listed.
            margin = 2.0 if random.random() < 0.2 else -1e9
            monkeypatch.setattr(rescan_module, "racy_seconds", lambda _, m=margin: m)
            editor.edit(random.choice((0, 1, 3, 20)))
            con.execute(call % "kept")
            con.execute(call % f"fresh{turn}")
            assert differences(con, "kept", f"fresh{turn}") == [], (seed, turn)
            check_labels(con, "kept")
        kinds = "SELECT DISTINCT kind FROM catalog.kept_scans ORDER BY ALL"
        assert con.sql(kinds).fetchall() == [("directories",), ("full",)]


@pytest.mark.parametrize("seed", range(int(os.environ.get("RESCAN_SEEDS", "1"))))
def test_a_full_rescan_sees_changes_in_place(
    root: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(1000 + seed)
    monkeypatch.setattr(scan_module, "Crew", NobodysCrew)
    monkeypatch.setattr(scan_module, "walk", nobodys_walk)
    monkeypatch.setattr(rescan_module, "racy_seconds", lambda _: -1e9)
    monkeypatch.setattr(full_rescan_module, "CHUNK_ENTRIES", 7)
    for module in (extension_totals, extension_changes):
        monkeypatch.setattr(module, "ENTRIES_MIN", 5)
    monkeypatch.setattr(scan_module, "_Scan", refused(scan_module._Scan, root))
    editor = Editor(root, random, in_place=True, links=True)
    editor.edit(60)
    with pagelake.connect() as con:
        call = f"CALL catalog_scan('{root}', name => '%s', full => %s)"
        con.execute(call % ("kept", "true"))
        for turn in range(4):
            editor.edit(random.choice((0, 1, 3, 20)))
            if random.random() < 0.3:
                con.execute(call % ("kept", "false"))
            con.execute(call % ("kept", "true"))
            con.execute(call % (f"fresh{turn}", "true"))
            assert differences(con, "kept", f"fresh{turn}") == [], (seed, turn)
            check_labels(con, "kept")


def refused(scan: Any, root: Path) -> Any:
    """Return the walk of a first scan; it is an error where a catalog is there already."""

    def made(catalog: Any, *rest: Any) -> Any:
        assert not catalog.exists, "a rescan found no way but to walk"
        return scan(catalog, *rest)

    return made
