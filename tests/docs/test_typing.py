"""A user's script that uses the whole public API passes ``mypy --strict``, and nothing is Any."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pagelake

from .markdown import ROOT

SCRIPT = Path(__file__).with_name("typed_script.py")
# Stand-ins for what ships no types, or too many: the test is about Pagelake's annotations.
_STUBS = {
    "pyarrow": "class Table: ...\nclass RecordBatchReader: ...\n",
    "pandas": "class DataFrame: ...\n",
    "polars": "class DataFrame: ...\n",
}
_OPEN = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"
_CONFIG = """\
[mypy]
strict = true
follow_imports = silent
disable_error_code = no-any-unimported
[mypy-click.*,duckdb.*,numpy.*,prompt_toolkit.*,pygments.*,rich.*,sqlglot.*,msgpack.*,pytz.*,xxhash.*]
follow_imports = skip
ignore_missing_imports = true
"""
_REVEALED = re.compile(r"typed_script\.py:(\d+): note: Revealed type is \"(.+)\"")
_EXPECTED = re.compile(r"reveal_type\(.+\)  # (.+)$")


def checked(folder: Path) -> subprocess.CompletedProcess[str]:
    """What mypy says of the script, which sees the package from outside."""
    (folder / "typed_script.py").write_text(SCRIPT.read_text("utf-8"), "utf-8")
    (folder / "mypy.ini").write_text(_CONFIG, "utf-8")
    for name, text in _STUBS.items():
        (folder / "stubs" / name).mkdir(parents=True)
        (folder / "stubs" / name / "__init__.pyi").write_text(_OPEN + text, "utf-8")
    (folder / "packages").mkdir()
    (folder / "packages/pagelake").symlink_to(ROOT / "pagelake")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "typed_script.py"]
    cache = ROOT / ".mypy_cache" / "typed_script"  # kept, so that all runs but the first are quick
    path = os.pathsep.join(str(folder / part) for part in ("stubs", "packages"))
    return subprocess.run(
        [*command, "--cache-dir", str(cache)],
        capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "MYPYPATH": path},
    )  # fmt: skip


def members(text: str) -> list[str]:
    """Members of a union, whose order depends on what was checked first."""
    return sorted(text.split(" | "))


def test_a_typed_script_passes_and_its_types_are_what_they_should_be(tmp_path: Path) -> None:
    told = checked(tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    revealed = {int(line): members(text) for line, text in _REVEALED.findall(told.stdout)}
    expected = {
        number: members(match[1])
        for number, line in enumerate(SCRIPT.read_text("utf-8").splitlines(), 1)
        if (match := _EXPECTED.search(line))
    }
    assert len(expected) > 25
    assert revealed == expected


def test_the_script_uses_the_whole_public_api() -> None:
    text = SCRIPT.read_text("utf-8")
    unused = [n for n in pagelake.__all__ if not re.search(rf"\bpagelake\.{n}\b", text)]
    assert not unused
    for kind in (pagelake.Cursor, pagelake.Connection, pagelake.Result):
        for name, member in vars(kind).items():
            is_ours = inspect.isfunction(member) or isinstance(member, property)
            if is_ours and not name.startswith("_"):
                assert re.search(rf"\.{name}\b", text), f"{kind.__name__}.{name}"


def test_the_package_ships_its_types() -> None:
    assert (ROOT / "pagelake" / "py.typed").is_file()
