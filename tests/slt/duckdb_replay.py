"""Replays a DuckDB test file (see ``duckdb_script``) on one engine and compares the answers."""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import shutil
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import duckdb

from tests.slt.duckdb_script import Step, Unreadable, iterations, read, substitute

if TYPE_CHECKING:
    from collections.abc import Sequence

_HASH = re.compile(r"(\d+) values hashing to [0-9a-z]{32}")
_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BIGNUM")
_AVAILABLE = {
    "skip_reload", "noforcestorage", "no_force_storage", "no_alternative_verify", "notmusl",
    "notmingw", "notwindows", "64bit", "nothreadsan", "strinline", "longdouble", "ram",
    "disk_space", "no_latest_storage", "no_vector_verification", "no_extension_autoloading",
    "allow_unsigned_extensions", "vacuum_rebuild_indexes", "json", "parquet", "icu",
    "core_functions", "vector_size", "block_size",
}  # fmt: skip
_IGNORED = {"sleep", "unzip", "reset", "test-env", "tags", "mode", "hash-threshold", "cache"}


class Skipped(Exception):
    """A file needs what is not there."""


class Failed(Exception):
    """An engine did not answer what a file expects."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer: SQL type texts of the columns, and the values as text, row after row."""

    types: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.values) // len(self.types) if self.types else 0

    def sorted(self, how: str) -> tuple[str, ...]:
        """The values in a sort mode: none, by row or each for itself."""
        if how == "value":
            return tuple(sorted(self.values))
        if how == "row" and self.types:
            width = len(self.types)
            rows = [self.values[at : at + width] for at in range(0, len(self.values), width)]
            return tuple(value for row in sorted(rows) for value in row)
        return self.values


class Engine(Protocol):
    """Something that runs statements."""

    errors: tuple[type[Exception], ...]

    def run(self, sql: str, connection: str) -> None:
        """Run statements and drop their rows."""
        ...

    def rows(self, sql: str, connection: str) -> Rows:
        """Run statements; the rows of the last one."""
        ...

    def load(self, path: str | None, *, read_only: bool) -> None:
        """Close what is open and open another database, None for a fresh throw-away one."""
        ...

    def restart(self) -> None:
        """Close the database and open it again."""
        ...

    def reconnect(self) -> None:
        """Close the first connection and open it again."""
        ...

    def close(self) -> None:
        """Close everything."""
        ...


@dataclass(slots=True)
class Replay:
    """One run of one file.

    Attributes:
        engine: What it runs on.
        root: The checkout that holds the tests and their data.
        scratch: An empty folder for what the file writes.
        error_texts: Compare the texts of expected errors too.
        progress: Told the line and SQL of each record before it runs.
    """

    engine: Engine
    root: Path
    scratch: Path
    error_texts: bool = False
    line: int = 0
    sql: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    _labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _ignored: tuple[str, ...] = ("HTTP", "Unable to connect")
    _hash_threshold: int = 0

    def run(self, path: Path) -> None:
        """Run a file.

        Raises:
            Failed: An answer was not the expected one.
            Skipped: The file does not apply here.
            Unreadable: The file is not understood.
        """
        temporary = str(self.scratch)
        self.variables |= {
            "TEST_DIR": temporary, "TEMP_DIR": temporary, "TEMP_DIR_ABSOLUTE": temporary,
            "DATA_DIR": str(self.root / "data"), "WORKING_DIR": str(self.root),
            "WORKING_DIRECTORY": str(self.root),
            "UUID": hashlib.md5(temporary.encode()).hexdigest(),
            "TEST_NAME": path.stem, "BASE_TEST_NAME": path.stem,
        }  # fmt: skip
        self._steps(read(path, self.root), {})

    def _replaced(self, text: str, values: dict[str, str]) -> str:
        # Twice, because the value of an iterator may name a variable.
        text = substitute(text, {**self.variables, **values})
        text = substitute(text, {**self.variables, **values})
        return text.replace("__TEST_DIR__", str(self.scratch)).replace(
            "__WORKING_DIRECTORY__", str(self.root)
        )

    def _steps(self, steps: Sequence[Step], values: dict[str, str]) -> bool:
        """Run steps; False where the file is to stop without a complaint."""
        for step in steps:
            self.line = step.line
            if not self._step(step, values):
                return False
        return True

    def _step(self, step: Step, values: dict[str, str]) -> bool:
        match step.kind:
            case "statement":
                return self._statement(step, values)
            case "query":
                return self._query(step, values)
            case "loop" | "foreach":
                turns = iterations(step, lambda word: self._replaced(word, values))
                return all(self._steps(step.body, {**values, **turn}) for turn in turns)
            case "concurrentloop" | "concurrentforeach":
                raise Skipped("runs concurrently")
            case "require":
                self._require(step.words)
            case "require-env":
                raise Skipped(f"needs the variable {step.words[0]}")
            case "halt":
                return False
            case "load":
                words = [self._replaced(word, values) for word in step.words]
                read_only = "readonly" in words[1:]
                self._opening(lambda: self.engine.load(words[0] if words else None,
                                                       read_only=read_only))  # fmt: skip
            case "restart":
                self._opening(self.engine.restart)
            case "reconnect":
                self._opening(self.engine.reconnect)
            case "continue" | "break":
                raise Skipped(f"{step.kind} is not understood")
            case "set":
                self._set(step.words, values)
            case _:
                self._minor(step, values)
        return True

    def _opening(self, call) -> None:  # type: ignore[no-untyped-def]
        try:
            call()
        except self.engine.errors as error:
            raise Failed(f"cannot open: {error}") from error

    def _minor(self, step: Step, values: dict[str, str]) -> None:
        words = [self._replaced(word, values) for word in step.words]
        match step.kind:
            case "sleep":
                unit = {"s": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}[words[1][0]]
                time.sleep(float(words[0]) * unit)
            case "unzip":
                target = words[1] if len(words) > 1 else ""
                target = target or str(self.scratch / Path(words[0]).stem)
                if not (self.root / words[0]).exists():
                    raise Skipped(f"there is no {words[0]}")
                with gzip.open(self.root / words[0]) as packed, Path(target).open("wb") as out:
                    shutil.copyfileobj(packed, out)
            case "reset":
                self._labels.pop(words[-1], None)
            case "hash-threshold":
                self._hash_threshold = int(words[0])
            case kind if kind not in _IGNORED:
                raise Unreadable(f"line {step.line}: {kind}")

    def _require(self, words: Sequence[str]) -> None:
        name = words[0].lower()
        too_large = name == "vector_size" and int(words[1]) > 2048
        if name not in _AVAILABLE or too_large or words[1:] == ("512",):
            raise Skipped(f"needs {' '.join(words)}")

    def _set(self, words: Sequence[str], values: dict[str, str]) -> None:
        match words[0]:
            case "seed":
                self.engine.run(f"SELECT setseed({words[1]})", "")
            case "variable":
                self.variables[words[1]] = self._replaced(words[2], values)
            case "ignore_error_messages":
                self._ignored = tuple(w.strip() for w in " ".join(words[1:]).split(",") if w)

    def _statement(self, step: Step, values: dict[str, str]) -> bool:
        self.sql = self._replaced(step.sql, values)
        try:
            self.engine.run(self.sql, step.connection)
        except self.engine.errors as error:
            text = str(error)
            if step.outcome == "ok":
                if any(known and known in text for known in self._ignored):
                    return False
                raise Failed(f"unexpected error: {text}") from error
            if self.error_texts and step.outcome == "error" and step.expected:
                wanted = self._replaced("\n".join(step.expected), values)
                if wanted not in text and not _matches(text, wanted):
                    raise Failed(f"another error: {text}\nexpected: {wanted}") from error
        else:
            if step.outcome == "error":
                wanted = "\n".join(step.expected or ())
                raise Failed(f"no error; expected: {wanted}")
        return True

    def _query(self, step: Step, values: dict[str, str]) -> bool:
        self.sql = self._replaced(step.sql, values)
        try:
            found = self.engine.rows(self.sql, step.connection)
        except self.engine.errors as error:
            if any(known and known in str(error) for known in self._ignored):
                return False
            raise Failed(f"unexpected error: {error}") from error
        expected = [self._replaced(line, values) for line in step.expected or ()]
        if len(expected) == 1 and expected[0].startswith("<FILE>:"):
            expected = _file_values(self.root / expected[0].removeprefix("<FILE>:"), found)
        self._compare(step, found, expected)
        return True

    def _compare(self, step: Step, found: Rows, expected: list[str]) -> None:
        ordered = found.sorted(step.sort)
        is_hash = len(expected) == 1 and _HASH.fullmatch(expected[0]) is not None
        if step.label is not None and not is_hash:
            known = self._labels.setdefault(step.label, ordered)
            if known != ordered:
                raise Failed(f"label {step.label}: {_shown(ordered)} but before {_shown(known)}")
            return
        if is_hash:
            digest = hashlib.md5("".join(f"{v}\n" for v in ordered).encode()).hexdigest()
            told = f"{len(ordered)} values hashing to {digest}"
            if told != expected[0]:
                raise Failed(f"{told}, expected {expected[0]}: {_shown(ordered)}")
            return
        width = len(found.types)
        if not width and not expected:
            return  # a statement without rows
        if len(step.words[0]) != width:
            raise Failed(f"{width} columns instead of {len(step.words[0])}")
        wanted = _values(expected, width, found.count)
        if len(wanted) != len(ordered):
            raise Failed(f"{_shown(ordered)}, expected {_shown(wanted)}")
        if not _same(ordered, wanted, found.types):
            raise Failed(f"{_shown(ordered)}, expected {_shown(wanted)}")


def _shown(values: Sequence[str]) -> str:
    text = " | ".join(values[:40])
    return text if len(text) < 600 else f"{text[:600]}…"


def _values(expected: list[str], width: int, rows: int) -> list[str]:
    """Expected lines as values: one a line, or a row a line with tabs."""
    by_row = width > 1 and (len(expected) == rows or all("\t" in line for line in expected))
    if not by_row:
        return expected
    split = [[value for value in line.split("\t") if value] for line in expected]
    if any(len(row) != width for row in split):
        raise Failed(f"rows of {width} columns, expected {expected[:3]}")
    return [value for row in split for value in row]


def _same(found: Sequence[str], wanted: Sequence[str], types: Sequence[str]) -> bool:
    width = len(types)
    return all(
        a == b or _alike(a, b, types[index % width])
        for index, (a, b) in enumerate(zip(found, wanted, strict=True))
    )


def _alike(found: str, wanted: str, type_: str) -> bool:
    if _matches(found, wanted):
        return True
    if type_ == "BOOLEAN":
        spelled = {"true": "1", "false": "0"}
        return spelled.get(found.lower(), found) == spelled.get(wanted.lower(), wanted)
    if "NULL" in {found, wanted} or not _NUMERIC.fullmatch(type_):
        return False
    if type_ in {"FLOAT", "DOUBLE"}:
        try:
            a, b = float(found), float(wanted)
        except ValueError:
            return False
        both_nan = math.isnan(a) and math.isnan(b)
        return a == b or both_nan or abs(a - b) <= abs(b) * 0.01 + 1e-8
    sql = f"SELECT TRY_CAST(? AS {type_}) = TRY_CAST(? AS {type_})"
    return bool(_judge().execute(sql, [found, wanted]).fetchall()[0][0])


@lru_cache(maxsize=1)
def _judge() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _matches(found: str, wanted: str) -> bool:
    for mark, sense in (("<REGEX>:", True), ("<!REGEX>:", False)):
        if wanted.startswith(mark):
            pattern = wanted.replace(mark, "")
            sql = "SELECT regexp_full_match(?, ?, 's')"
            return bool(_judge().execute(sql, [found, pattern]).fetchall()[0][0]) is sense
    return False


def _file_values(path: Path, found: Rows) -> list[str]:
    """Values of a file of expected rows, with a header and bars between values."""
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(found.types)))
    sql = f"SELECT * FROM read_csv(?, header = true, sep = '|', columns = {{{columns}}})"
    rows = _judge().execute(sql, [str(path)]).fetchall()
    return ["NULL" if value is None else str(value) for row in rows for value in row]
