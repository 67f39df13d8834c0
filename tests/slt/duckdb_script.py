"""DuckDB's dialect of sqllogictest files: from text to a list of steps.

A file is read once into steps; loops hold their own. Nothing is replaced here: iterators and
variables get their values when a step runs (``duckdb_replay``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SORTS = {"nosort": "", "rowsort": "row", "sort": "row", "valuesort": "value"}
_CONDITIONS = {"onlyif", "skipif"}

TYPE_LISTS = {
    "<signed>": "tinyint smallint integer bigint hugeint",
    "<unsigned>": "utinyint usmallint uinteger ubigint uhugeint",
    "<compression>": "none uncompressed rle bitpacking dictionary fsst alp alprd",
}
TYPE_LISTS["<integral>"] = f"{TYPE_LISTS['<signed>']} {TYPE_LISTS['<unsigned>']}"
TYPE_LISTS["<numeric>"] = f"{TYPE_LISTS['<integral>']} float double"
TYPE_LISTS["<alltypes>"] = f"{TYPE_LISTS['<numeric>']} bool interval varchar date time timestamp"
"""What some words of a ``foreach`` stand for."""


class Unreadable(Exception):
    """A file has something that this reader does not know."""


@dataclass(frozen=True, slots=True)
class Step:
    """One record of a file.

    Attributes:
        line: Where it begins.
        kind: ``statement``, ``query``, ``loop``, or the first word of any other record.
        words: What follows that word.
        sql: The statement of a statement or query.
        expected: The lines behind ``----``; None without that mark.
        body: The steps of a loop.
    """

    line: int
    kind: str
    words: tuple[str, ...]
    sql: str = ""
    expected: tuple[str, ...] | None = None
    body: tuple[Step, ...] = ()

    @property
    def outcome(self) -> str:
        """Of a statement: ``ok``, ``error`` or ``maybe``."""
        return self.words[0]

    @property
    def sort(self) -> str:
        """Of a query: the empty string, ``row`` or ``value``."""
        return _SORTS.get(self.words[1], "") if len(self.words) > 1 else ""

    @property
    def label(self) -> str | None:
        """Of a query: the name under which its result is compared with others."""
        return self.words[2] if len(self.words) > 2 else None

    @property
    def connection(self) -> str:
        """The connection to run on, the empty string for the first."""
        if len(self.words) < 2:
            return ""
        named = self.words[1]
        return "" if self.kind == "query" and named in _SORTS else named


@dataclass(slots=True)
class _Reader:
    lines: list[str]
    include: Callable[[str], str]
    at: int = 0
    conditions: list[tuple[str, str]] = field(default_factory=list)
    skipping: bool = False

    def steps(self, *, inside: bool = False) -> list[Step]:
        found: list[Step] = []
        while (step := self._next()) is not None:
            if step.kind == "endloop":
                if not inside:
                    raise Unreadable(f"line {step.line}: endloop without a loop")
                return found
            if step.kind in {"loop", "foreach", "concurrentloop", "concurrentforeach"}:
                skipped = self._skipped()
                step = replace(step, body=tuple(self.steps(inside=True)))
                if skipped:
                    continue
            elif step.kind in _CONDITIONS:
                self.conditions.append((step.kind, step.words[0]))
                continue
            elif step.kind == "mode" and step.words[:1] in {("skip",), ("unskip",)}:
                self.skipping = step.words[0] == "skip"
                continue
            elif step.kind == "include":
                text = self.include(step.words[0])
                found += _Reader(text.splitlines(), self.include).steps()
                continue
            elif self._skipped():
                continue
            found.append(step)
        if inside:
            raise Unreadable("a loop does not end")
        return found

    def _skipped(self) -> bool:
        """Tell whether the next record is not for DuckDB, or lies in a skipped part."""
        taken, self.conditions = self.conditions, []
        excluded = any(
            system.lower() == "duckdb" if word == "skipif" else system.lower() != "duckdb"
            for word, system in taken
            if "=" not in system
        )
        return excluded or self.skipping

    def _next(self) -> Step | None:
        while self.at < len(self.lines) and _blank(self.lines[self.at]):
            self.at += 1
        if self.at >= len(self.lines):
            return None
        line, words = self.at + 1, self.lines[self.at].split()
        self.at += 1
        if words[0] not in {"statement", "query"}:
            return Step(line, words[0], tuple(words[1:]))
        sql: list[str] = []
        while self.at < len(self.lines) and not _blank(self.lines[self.at]):
            if self.lines[self.at] == "----":
                break
            sql.append(self.lines[self.at])
            self.at += 1
        expected = None
        if self.at < len(self.lines) and self.lines[self.at] == "----":
            self.at += 1
            expected = self._until_empty()
        return Step(line, words[0], tuple(words[1:]), "\n".join(sql), expected)

    def _until_empty(self) -> tuple[str, ...]:
        begin = self.at
        while self.at < len(self.lines) and self.lines[self.at]:
            self.at += 1
        return tuple(self.lines[begin : self.at])


def _blank(line: str) -> bool:
    return not line or line.startswith("#")


def read(path: Path, root: Path) -> list[Step]:
    """Read a file.

    Args:
        path: The file.
        root: Folder in which included files are looked for.

    Raises:
        Unreadable: Its loops do not pair up.
    """
    text = path.read_text(encoding="utf-8", errors="surrogateescape").replace("\r", "")
    return _Reader(text.split("\n"), lambda name: (root / name).read_text()).steps()


def iterations(step: Step, replaced: Callable[[str], str]) -> list[dict[str, str]]:
    """The values of a loop's iterators, turn by turn.

    Args:
        step: A loop.
        replaced: Gives iterators and variables in a word their values.
    """
    name = step.words[0]
    if step.kind.endswith("loop"):
        first, last = (int(replaced(word)) for word in step.words[1:3])
        return [{name: str(number)} for number in range(first, last)]
    values: list[str] = []
    for word in map(replaced, step.words[1:]):
        if word.startswith("!") and word[1:] in values:
            values.remove(word[1:])
        else:
            values += TYPE_LISTS.get(word.lower(), word).split()
    names = name.split(",")
    if len(names) == 1:
        return [{name: value} for value in values]
    return [dict(zip(names, value.split(","), strict=True)) for value in values]


def substitute(text: str, values: dict[str, str]) -> str:
    """Replace ``{name}`` and ``${name}`` by values."""
    if "{" not in text:
        return text
    return re.sub(r"\$?\{([^{}\s]+)\}", lambda match: values.get(match[1], match[0]), text)
