"""Commands about files: `.read`, `.import`, `.load`."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import InvalidRequest
from .command import Command

if TYPE_CHECKING:
    from ..repl import Shell


def _read(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        raise _READ.misuse()
    shell.run_file(arguments[0])


def _import(shell: Shell, arguments: list[str]) -> None:
    if not arguments:
        raise _IMPORT.misuse()
    file, *name = arguments
    table = name[0] if name else Path(file).name.split(".")[0]
    _load_files(shell, table, [file])


def _load(shell: Shell, arguments: list[str]) -> None:
    if len(arguments) < 2:
        raise _LOAD.misuse()
    _load_files(shell, arguments[0], arguments[1:])


def _load_files(shell: Shell, table: str, patterns: list[str]) -> None:
    from ...commands.load import load_files

    if shell.at is not None:
        raise InvalidRequest(
            f"version {shell.at} cannot be changed", hint=".at returns to the present"
        )
    files: list[Path] = []
    for pattern in patterns:
        # A file that is there may have a * in its name.
        found = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern))
        if not found:
            raise InvalidRequest(f"there is no file {pattern}")
        files += map(Path, found)
    load_files(shell.store, table, files, quiet=not shell.screen.status)


_READ = Command(
    ".read",
    "FILE",
    "Run a script of statements and commands.",
    (".read load.sql",),
    _read,
    takes="file",
)
_IMPORT = Command(
    ".import",
    "FILE [TABLE]",
    "Append a file to a table, made when absent and named after the file by default.",
    (".import trips.parquet", ".import new.csv trips"),
    _import,
    2,
    takes="file",
)
_LOAD = Command(
    ".load",
    "TABLE FILE…",
    "Append files to a table, all in one transaction; * stands for anything.",
    (".load trips trips-2026-*.parquet",),
    _load,
    1_000,
    takes="file",
)
COMMANDS = (_READ, _IMPORT, _LOAD)
