from __future__ import annotations

import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from pagelake.tpch import generate as module
from pagelake.tpch.extras import MissingPackage
from pagelake.tpch.generate import default_cache, generate, parquet_file

if TYPE_CHECKING:
    from pathlib import Path


def _never(*_: object) -> None:
    raise AssertionError("it generated again")


def test_a_complete_folder_is_used_again(tpch_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_run_generator", _never)
    assert generate(0.01, tpch_cache, progress=_never) == tpch_cache / "sf0.01"


@pytest.mark.parametrize("damage", ["missing", "truncated", "unmarked"])
def test_a_damaged_folder_is_generated_again(
    parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    shutil.copytree(parquet, tmp_path / "sf0.01")
    victim = parquet_file(tmp_path / "sf0.01", "nation")
    if damage == "missing":
        victim.unlink()
    elif damage == "truncated":
        victim.write_bytes(victim.read_bytes()[:-1])
    else:
        (tmp_path / "sf0.01" / "complete.json").unlink()
    runs: list[Path] = []

    def copy(
        executable: str, scale_factor: float, folder: Path, threads: object, progress: object
    ) -> None:
        del executable, scale_factor, threads, progress
        runs.append(folder)
        for source in parquet.glob("*.parquet"):
            shutil.copy(source, folder)

    monkeypatch.setattr(module, "_run_generator", copy)
    folder = generate(0.01, tmp_path)
    assert len(runs) == 1
    assert (
        parquet_file(folder, "nation").read_bytes() == parquet_file(parquet, "nation").read_bytes()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["sf0.01"]


def test_a_failure_leaves_nothing_behind_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "generator"
    broken.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(module, "_find_executable", lambda: str(broken))
    with pytest.raises(RuntimeError, match="no space left"):
        generate(0.01, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_generator_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPackage, match=r"pip install 'pagelake\[tpch\]'"):
        generate(0.01, tmp_path / "cache")


@pytest.mark.parametrize("scale_factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_factor_is_a_number_above_zero(tmp_path: Path, scale_factor: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        generate(scale_factor, tmp_path)


def test_the_default_cache_honours_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "pagelake" / "tpch"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "pagelake" / "tpch"
