"""`pagelake scan` as a command: what it prints, and how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import pagelake
from pagelake.engine.catalog_scan import cli as scan_cli
from pagelake.engine.catalog_scan.scan import ScanSummary
from pagelake.engine.cli import cli, main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file.txt").write_bytes(b"x" * 2048)
    (root / "skip.tmp").touch()
    return root


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, ["scan", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_scan_prints_a_summary(tree: Path, store_path: Path) -> None:
    told = run(tree, store_path, "--name", "proj")
    assert told.startswith("4 entries (2 files and others in 2 directories), ")
    with pagelake.connect(store_path) as con:
        assert con.sql("SELECT count(*) FROM catalog.proj").fetchall() == [(4,)]


def test_a_scan_prints_json_for_programs(tree: Path, store_path: Path) -> None:
    told = json.loads(run(tree, store_path, "--exclude", "*.tmp", "--processes", 1, "--json"))
    assert (told["catalog"], told["entries"], told["errors"]) == ("tree", 3, 0)
    assert told["root"] == str(tree)


def test_a_quiet_scan_prints_nothing(tree: Path, store_path: Path) -> None:
    assert run(tree, store_path, "--quiet", "--cross", "--xattrs") == ""


@pytest.mark.parametrize("below", ["nowhere", "sub/file.txt", ""])
def test_what_cannot_be_scanned_is_told(
    tree: Path, store_path: Path, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["scan", str(tree / below) if below else "", str(store_path), "--name", "x"])
    assert ended.value.code == 65
    assert "error:" in capsys.readouterr().err


def test_the_summary_says_where_errors_are() -> None:
    summary = ScanSummary("proj", "/x", 10, 4, 3 << 30, 4 << 30, 2, 0.5)
    told = scan_cli._told(summary)
    assert "10 entries (6 files and others in 4 directories), 3.0 GiB" in told
    assert '2 places could not be read: FROM catalog."proj_errors"' in told
