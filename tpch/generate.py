"""TPC-H tables as Parquet files, from the ``tpchgen-cli`` executable, kept in a cache.

    <cache>/sf0.1/region.parquet … lineitem.parquet complete.json

A set of files is generated into a temporary folder beside its final place and renamed there once
``complete.json`` lists every file with its size, so that an interrupted run never leaves a folder
that looks whole, and two runs at once leave one.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .extras import MissingPackage
from .schema import TABLES

__all__ = ["Progress", "default_cache", "generate", "parquet_file"]

Progress = Callable[[str, int, int], None]
"""Called with the name of the step just begun, the steps done and the steps in all."""

_EXECUTABLE = "tpchgen-cli"
_MARKER = "complete.json"
_POLL_S = 0.1
_MB_PER_SCALE = 362
"""Megabytes of Parquet at scale factor 1, for progress only."""


def default_cache() -> Path:
    """Return the folder used when none is named: ``$XDG_CACHE_HOME/pagelake/tpch``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "pagelake" / "tpch"


def parquet_file(folder: Path, table_name: str) -> Path:
    """Return the path of one table's file inside a generated folder."""
    return folder / f"{table_name}.parquet"


def generate(
    scale_factor: float,
    cache: Path | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Generate all eight tables, or find them already generated.

    Args:
        scale_factor: Any number above 0; 1 is about 1 GB of text and 6 M rows of ``lineitem``.
        cache: Folder holding one sub-folder per scale factor; `default_cache` when None.
        threads: Threads of the generator; its own default (all cores) when None.
        progress: Called with the MB written so far of those expected; not called when re-used.

    Returns:
        The folder with one ``<table>.parquet`` per table.

    Raises:
        ValueError: If the scale factor is not a positive, finite number.
        MissingPackage: If the executable cannot be found.
        RuntimeError: If the generator fails; the message carries its last words.
    """
    if not (math.isfinite(scale_factor) and scale_factor > 0):
        raise ValueError(f"the scale factor must be a number above 0, not {scale_factor}")
    root = cache or default_cache()
    folder = root / f"sf{scale_factor:g}"
    if _is_complete(folder):
        return folder
    executable = _find_executable()
    root.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=root))
    try:
        _run_generator(executable, scale_factor, scratch, threads, progress)
        _write_marker(scratch, scale_factor)
        _publish(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _find_executable() -> str:
    # The wheel puts the program beside the interpreter of its environment, which need not be
    # activated and so need not be on PATH.
    beside = Path(sys.executable).with_name(_EXECUTABLE)
    for candidate in (beside, beside.with_suffix(".exe")):
        if candidate.is_file():
            return str(candidate)
    found = shutil.which(_EXECUTABLE)
    if found is None:
        raise MissingPackage(_EXECUTABLE, "tpch")
    return found


def _run_generator(
    executable: str,
    scale_factor: float,
    folder: Path,
    threads: int | None,
    progress: Progress | None,
) -> None:
    # One process for all tables: each start spends a second on its pool of random text.
    command = [executable, "parquet", "--quiet", "--no-progress", "--output-dir", str(folder)]
    command += ["--scale-factor", f"{scale_factor:g}"]
    if threads is not None:
        command += ["--num-threads", str(threads)]
    expected_mb = max(1, round(_MB_PER_SCALE * scale_factor))
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(command, stdout=words, stderr=words) as generator,  # noqa: S603
    ):
        while not _has_ended(generator):
            if progress is not None:
                written_mb = sum(path.stat().st_size for path in folder.iterdir()) // 10**6
                progress("MB", min(written_mb, expected_mb), expected_mb)
        if generator.returncode != 0:
            words.seek(0)
            last = words.read().decode(errors="replace").strip()[-800:]
            raise RuntimeError(f"{_EXECUTABLE} failed: {last}")
    if progress is not None:
        progress("done", expected_mb, expected_mb)


def _has_ended(generator: subprocess.Popen[bytes]) -> bool:
    try:
        generator.wait(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _write_marker(folder: Path, scale_factor: float) -> None:
    sizes = {entry.name: parquet_file(folder, entry.name).stat().st_size for entry in TABLES}
    marker = {"scale_factor": scale_factor, "bytes": sizes}
    (folder / _MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def _is_complete(folder: Path) -> bool:
    try:
        marker = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
        return all(
            parquet_file(folder, entry.name).stat().st_size == marker["bytes"][entry.name]
            for entry in TABLES
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _publish(scratch: Path, folder: Path) -> None:
    # A damaged folder is moved aside rather than deleted in place: a rename is atomic, a
    # recursive delete is not, and another run may be looking.
    if folder.exists() and not _is_complete(folder):
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.rename(aside / folder.name)
        shutil.rmtree(aside, ignore_errors=True)
    scratch.chmod(0o755)
    try:
        scratch.rename(folder)
    except OSError:
        if not _is_complete(folder):
            raise
