"""The grammar of .slt files: sqllogictest's, with plans.

A file begins with a header, `# name:`, `# description:` and `# group:`; then come records,
separated by blank lines:

    statement ok [connection]         query <types> [nosort|rowsort|valuesort] [connection]
    CREATE TABLE t (a INTEGER)        SELECT a, b FROM t
                                      ----
    statement error [connection]      1    NULL
    SELECT nothing FROM t
    ----                              stage <name>
    UnknownName: .*nothing            SELECT a FROM t
                                      ----
    restart                           <text of the plan>

Types are I (integers), R (floating and decimal numbers) and T (everything else), one letter a
column; columns of a row are separated by a tab; an error is a regular expression over the
error's class and message. In SQL, ``__DIR__`` stands for a directory of the file's own and
``__STORE__`` for the store's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

_SORTS = {"nosort", "rowsort", "valuesort"}


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        kind: ``ok``, ``error``, ``query``, ``stage`` or ``restart``.
        line: Line of its first word, from 1.
        comments: Comment lines above it.
        sql: Its statement.
        expected: The lines behind ``----``; None where there are none.
        types: Type letters of a query, name of a stage.
        sort: Sort mode of a query.
        connection: Label of the connection that it runs on.
        exact_types: Types of the columns by name, as an engine answered; not part of the file.
    """

    kind: str
    line: int
    comments: tuple[str, ...] = ()
    sql: str = ""
    expected: tuple[str, ...] | None = None
    types: str = ""
    sort: str = "nosort"
    connection: str = ""
    exact_types: tuple[str, ...] = field(default=(), compare=False)

    def render(self) -> str:
        """The record as text."""
        words = [{"ok": "statement ok", "error": "statement error"}.get(self.kind, self.kind)]
        words += [self.types] if self.types else []
        words += [self.sort] if self.sort != "nosort" else []
        words += [self.connection] if self.connection else []
        lines = [*self.comments, " ".join(words)]
        lines += [self.sql] if self.sql else []
        if self.expected is not None:
            lines += ["----", *self.expected]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed file: its header's fields and its records."""

    header: dict[str, str]
    header_text: str
    records: tuple[Record, ...]


def parse(text: str) -> Script:
    """Parse a file.

    Raises:
        ValueError: The file is malformed; the message names the line.
    """
    header: dict[str, str] = {}
    records: list[Record] = []
    blocks = list(_blocks(text))
    for line in blocks[0][1]:
        name, _, value = line.removeprefix("#").partition(":")
        header[name.strip()] = value.strip()
    missing = {"name", "description", "group"} - set(header)
    if missing:
        raise ValueError(f"the header lacks {', '.join(sorted(missing))}")
    for start, lines in blocks[1:]:
        comments = tuple(line for line in lines if line.startswith("#"))
        body = [line for line in lines if not line.startswith("#")]
        if body:
            records.append(_record(start + len(comments), body, comments))
    return Script(header, "\n".join(blocks[0][1]), tuple(records))


def _blocks(text: str) -> list[tuple[int, list[str]]]:
    """Runs of lines without a blank one, each with the number of its first line."""
    blocks: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            blocks.append((number + 1, []))
        elif blocks:
            blocks[-1][1].append(line)
        else:
            blocks.append((number, [line]))
    return [block for block in blocks if block[1]]


def _record(line: int, body: list[str], comments: tuple[str, ...]) -> Record:
    words, rest = body[0].split(), body[1:]
    expected = None
    if "----" in rest:
        at = rest.index("----")
        rest, expected = rest[:at], tuple(rest[at + 1 :])
    record = Record("", line, comments, "\n".join(rest), expected)
    match words:
        case ["statement", ("ok" | "error") as kind, *label]:
            return replace(record, kind=kind, connection=" ".join(label))
        case ["query", *options]:
            types = options.pop(0) if options and re.fullmatch("[IRT]+", options[0]) else ""
            sort = options.pop(0) if options and options[0] in _SORTS else "nosort"
            return replace(
                record, kind="query", types=types, sort=sort, connection=" ".join(options)
            )
        case ["stage", name]:
            return replace(record, kind="stage", types=name)
        case ["restart"]:
            return replace(record, kind="restart")
    raise ValueError(f"line {line}: {body[0]!r} begins no record")
