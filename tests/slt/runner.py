"""Runs .slt files (see ``script``) on several engines in lock-step.

Every record runs on each engine: memory and directory store, plan cache on and off, and on
stock DuckDB unless the header says ``peer: none``. All must give the same rows of the same
types. With ``hot: on`` in the header, stores with and without the hot tier take the place of the
four; with ``hot: only``, one store with it.
"""

from __future__ import annotations

import decimal
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

import pagelake
from pagelake.sql import statement as st
from pagelake.sql.classify import classify
from tests.slt.script import Record, Script, parse

if TYPE_CHECKING:
    from pathlib import Path

_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?")
_REALS = re.compile(r"FLOAT|DOUBLE|DECIMAL.*")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answered: type names and rows of text."""

    types: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def letters(self) -> str:
        """The types as letters."""
        return "".join(
            "I" if _INTEGERS.fullmatch(t) else "R" if _REALS.fullmatch(t) else "T"
            for t in self.types
        )

    def lines(self, sort: str) -> tuple[str, ...]:
        """The rows as lines in a sort mode."""
        if sort == "valuesort":
            return tuple(sorted(value for row in self.rows for value in row))
        lines = ["\t".join(row) for row in self.rows]
        return tuple(sorted(lines) if sort == "rowsort" else lines)


def value_text(value: object) -> str:
    """A value as it stands in a file: one word for NULL and for the empty string, no tabs."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case float():
            return repr(float(f"{value:.12g}"))  # sums may differ in their last digits
        case decimal.Decimal():
            return str(value)
        case str():
            shown = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
            return shown or "(empty)"
        case list() | tuple():
            return f"[{', '.join(map(value_text, value))}]"
        case dict():
            return "{" + ", ".join(f"{k}: {value_text(v)}" for k, v in value.items()) + "}"
    return str(value)


class Engine(Protocol):
    """Something that runs statements.

    Attributes:
        name: What it is called in a failure.
        store: The first part of its three-part names.
    """

    name: str
    store: str

    def run(self, sql: str, connection: str) -> Answer:
        """Run a statement on the connection of a label."""
        ...

    def restart(self) -> None:
        """Close and open again what outlives its process."""
        ...

    def close(self) -> None:
        """Close everything."""
        ...


class PagelakeEngine:
    """A store, with the plan cache on or off, and with or without the hot tier."""

    def __init__(
        self, name: str, path: str, *, plan_cache: bool = True, hot: bool | None = None
    ) -> None:
        self.name = name
        self._path = path
        self._plan_cache = plan_cache
        self._hot = hot
        self._open()

    def _open(self) -> None:
        # Plans depend on what maintenance has rewritten, and must not depend on when.
        settings: dict[str, object] = {"background_maintenance": False}
        if self._hot is False:
            settings["hot_bytes_max"] = 0
        self.connection = pagelake.connect(self._path, settings=settings)
        self.store = self.connection._database.name
        self._cursors: dict[str, pagelake.Cursor] = {"": self.connection}

    def run(self, sql: str, connection: str) -> Answer:
        cursor = self._cursors.get(connection) or self.connection.cursor()
        self._cursors[connection] = cursor
        self.settle()
        answer = _pagelake_answer(cursor.sql(sql).start())
        if self._plan_cache and isinstance(classify(sql), st.Query):
            again = _pagelake_answer(cursor.sql(sql))  # from the cache, bound before it runs
            assert sorted(again.rows) == sorted(answer.rows), f"the second run differs: {sql}"
            assert again.types == answer.types
        return answer

    def settle(self) -> None:
        """Do what may be done before a statement: build hot segments, forget plans."""
        if self._hot:
            self.connection._database.maintenance.build_all()
        if not self._plan_cache:
            self.connection._database.plans.clear()

    def restart(self) -> None:
        if self._path != ":memory:":
            self.close()
            self._open()

    def close(self) -> None:
        self.connection.close()


def _pagelake_answer(result: pagelake.Result) -> Answer:
    types = tuple(result.types)
    return Answer(types, tuple(tuple(map(value_text, row)) for row in result.fetchall()))


class DuckDBEngine:
    """Stock DuckDB, in memory: what is right where both have a feature."""

    name = "duckdb"
    store = "memory"

    def __init__(self) -> None:
        self._root = duckdb.connect()
        self._root.execute("SET python_enable_replacements = false")
        self._cursors: dict[str, Any] = {"": self._root}

    def run(self, sql: str, connection: str) -> Answer:
        cursor = self._cursors.setdefault(connection, self._root.cursor())
        executed = cursor.execute(sql)
        types = tuple(str(column[1]).strip('"') for column in executed.description or [])
        return Answer(types, tuple(tuple(map(value_text, row)) for row in executed.fetchall()))

    def restart(self) -> None:
        """Do nothing: what it knows stays."""

    def close(self) -> None:
        for cursor in self._cursors.values():
            cursor.close()


def engines_of(script: Script, directory: Path, *, whole: bool = True) -> list[Engine]:
    """The engines that a file runs on; the one to take goldens from comes first.

    Args:
        script: The file.
        directory: Where stores are made.
        whole: Run on each kind of store with the plan cache on and off, and not on one of them.
    """
    engines: list[Engine] = []
    if script.header.get("peer") != "none":
        engines.append(DuckDBEngine())
    if script.header.get("hot") is not None:
        for hot in (True, False) if script.header["hot"] == "on" else (True,):
            name = f"hot tier {'on' if hot else 'off'}"
            engines.append(PagelakeEngine(name, str(directory / name / "lake"), hot=hot))
        return engines
    # Without all of them, each file on one: by its name, so that every one has its files.
    chosen = zlib.crc32(script.header["name"].encode()) % 4
    for number, (cached, stored) in enumerate(product((True, False), (False, True))):
        if not whole and number != chosen:
            continue
        name = f"plan cache {'on' if cached else 'off'}"
        path = str(directory / name / "lake") if stored else ":memory:"
        store = "directory" if stored else "memory"
        engines.append(PagelakeEngine(f"{store}, {name}", path, plan_cache=cached))
    return engines


Stage = Callable[[PagelakeEngine, str, str], str]
"""Draws a stage of a statement's plan: engine, name of the stage, SQL."""


class Mismatch(AssertionError):
    """An engine did not answer what a file expects."""


def run_file(
    path: Path,
    directory: Path,
    *,
    rewrite: bool,
    stage: Stage | None = None,
    whole: bool = True,
) -> None:
    """Run a file.

    Args:
        path: The file.
        directory: An empty directory for stores and for what the file writes.
        rewrite: Replace what is expected by what the first engine answers.
        stage: Draws plans, for files with stages.
        whole: See `engines_of`.

    Raises:
        Mismatch: An engine answered something else; all of a file's records are run first.
    """
    __tracebackhide__ = True
    script = parse(path.read_text())
    engines = engines_of(script, directory, whole=whole)
    failures: dict[str, list[str]] = {}
    records: list[Record] = []
    for engine in engines:
        (directory / engine.name).mkdir(exist_ok=True)
    try:
        for written in script.records:
            golden, exact = written, None
            for engine in engines:
                here = str(directory / engine.name)
                sql = written.sql.replace("__DIR__", here)
                placed = replace(golden, sql=sql.replace("__STORE__", engine.store))
                found = _run_record(engine, placed, stage)
                if found is None:
                    continue
                lines = [x.replace(here, "__DIR__") for x in found.expected or ()]
                expected = None if found.expected is None else tuple(lines)
                found = replace(found, sql=written.sql, expected=expected)
                # An error where there was an answer is never taken for a new golden.
                is_golden = rewrite and found.kind == written.kind
                if is_golden and engine is _authority(engines, written):
                    golden = found
                exact = exact or found.exact_types
                if complaint := _complaint(golden, found, exact):
                    where = failures.setdefault(f"line {written.line}: {complaint}", [])
                    where.append(engine.name)
            records.append(golden)
    finally:
        for engine in engines:
            engine.close()
    if rewrite:
        path.write_text("\n\n".join([script.header_text, *(r.render() for r in records)]) + "\n")
    if failures:
        told = [f"{text}\non {'; '.join(names)}" for text, names in failures.items()]
        raise Mismatch("\n\n".join([str(path), *told]))


def _authority(engines: Sequence[Engine], record: Record) -> Engine:
    """Whose answer becomes the golden: stock DuckDB's, but errors and plans are our own."""
    if record.kind in {"error", "stage"}:
        return next(e for e in engines if isinstance(e, PagelakeEngine))
    return engines[0]


def _run_record(engine: Engine, record: Record, stage: Stage | None) -> Record | None:
    """The record as an engine would have it; None where it has no say."""
    if record.kind == "restart":
        engine.restart()
        return None
    if record.kind == "stage":
        if not isinstance(engine, PagelakeEngine) or stage is None:
            return None
        text = stage(engine, record.types, record.sql)
        return replace(record, expected=tuple(text.split("\n")))
    try:
        answer = engine.run(record.sql, record.connection)
    except pagelake.Error as error:
        return _with_error(record, f"{type(error).__name__}: {error}")
    except duckdb.Error as error:
        # Only that it is one counts: the texts are each engine's own.
        return None if record.kind == "error" else _with_error(record, str(error))
    if record.kind == "query":
        return replace(
            record,
            types=answer.letters(),
            expected=answer.lines(record.sort),
            exact_types=answer.types,
        )
    return replace(record, kind="ok", expected=None)


def _with_error(record: Record, text: str) -> Record:
    text = re.sub(r"\n\s*\n", "\n", text)  # a blank line ends a record
    pattern = "\n".join(record.expected or ())
    if record.kind == "error" and pattern and re.search(pattern, text, re.DOTALL):
        return record
    escaped = re.sub(r"([\\.^$*+?{}\[\]|()])", r"\\\1", text).split("\n")
    return replace(record, kind="error", types="", sort="nosort", expected=tuple(escaped))


def _complaint(golden: Record, found: Record, exact: Sequence[str] | None) -> str | None:
    """How what was found differs from what is expected, if it does."""
    if found != golden:
        return f"expected\n{golden.render()}\nbut found\n{found.render()}"
    if found.exact_types != tuple(exact or ()):
        return f"{golden.sql}\nhas types {exact} elsewhere, but here {found.exact_types}"
    return None
