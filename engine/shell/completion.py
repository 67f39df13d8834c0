"""Completion: what may stand at the cursor, by what stands before it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.completion import Completer, Completion

from ...errors import Error
from ..output.format import FORMAT_NAMES
from .keywords import KEYWORDS
from .names import SYSTEM_SCHEMA, Names
from .scanner import script_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from .names import Relation
    from .repl import Shell

FILES_MAX = 500
"""Files of a folder that are offered."""

_WORD = re.compile(r"(?:[\w$]|\"(?:[^\"]|\"\")*\"?)*(?:\.(?:[\w$]|\"(?:[^\"]|\"\")*\"?)*)*$")
_AFTER_TABLE_WORD = re.compile(
    r"\b(?:from|join|into|update|table|view|describe|summarize|using|truncate)\s+[\w.\"]*$"
    r"|\bfrom\s+[\w.\",\s]*,\s*[\w.\"]*$",
    re.IGNORECASE,
)
_AFTER_SETTING_WORD = re.compile(r"^\s*(?:set|reset)\s+(?:session\s+|local\s+)?\w*$", re.IGNORECASE)
_AFTER_SCHEMA_WORD = re.compile(r"\b(?:schema|use)\s+\w*$", re.IGNORECASE)
_CLOSED_TEXT = re.compile(r"--[^\n]*\n|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_OPEN_COMMENT = re.compile(r"--[^\n]*$|/\*.*$", re.DOTALL)


class ShellCompleter(Completer):
    """Completes SQL, file names inside quotes, and dot commands with their arguments.

    Args:
        shell: The shell.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._names = Names(shell)

    def get_completions(self, document: Document, _event: CompleteEvent) -> Iterator[Completion]:
        """Yield what may stand at the cursor."""
        before = document.text_before_cursor
        try:
            if before.lstrip().startswith("."):
                yield from self._command(before.lstrip())
            else:
                yield from self._statement(_statement_before(before), document.text)
        except (Error, OSError):
            # A completion that fails, say on a closed connection, completes nothing.
            return

    # Dot commands

    def _command(self, before: str) -> Iterator[Completion]:
        from .commands import COMMANDS, find_command

        name, blank, rest = before.partition(" ")
        if not blank:
            meta = {command.name: command.summary for command in COMMANDS.values()}
            yield from _matching(before, COMMANDS, meta)
            return
        command = find_command(name)
        if command is None:
            return
        word = rest.rpartition(" ")[2]
        match command.takes:
            case "file":
                yield from _files(word)
                if name == ".load" and word == rest:
                    yield from _matching(word, self._table_names())
            case "table":
                yield from _matching(word, self._table_names())
            case "mode":
                yield from _matching(word, FORMAT_NAMES)
            case "setting":
                from .config import OPTIONS

                yield from _matching(word, [*self._names.settings(), *OPTIONS])
            case "command":
                yield from _matching(word, [known.removeprefix(".") for known in COMMANDS])
            case "version":
                yield from _matching(word, self._names.tags())
            case "query":
                yield from self._statement(rest, rest)
            case _:
                offered = list(_matching(word, command.takes.split()))
                yield from offered
                if command.is_raw and not offered:
                    yield from self._statement(rest, rest)

    def _table_names(self) -> list[str]:
        return [_spelled(r, self._names) for r in self._names.relations() if r.kind != "system"]

    # Statements

    def _statement(self, before: str, text: str) -> Iterator[Completion]:
        bare = _CLOSED_TEXT.sub(" ", before)
        if _OPEN_COMMENT.search(bare):
            return
        if "'" in bare:
            yield from _files(bare.rpartition("'")[2])
            return
        match = _WORD.search(before)
        word = match[0] if match else ""
        if _AFTER_SETTING_WORD.search(bare):
            yield from _matching(word, self._names.settings())
        elif "." in word:
            yield from self._after_dot(word, text)
        elif _AFTER_SCHEMA_WORD.search(bare):
            yield from _matching(word, self._names.schemas())
        elif _AFTER_TABLE_WORD.search(bare):
            yield from self._relation(word, text)
        else:
            yield from self._expression(word, text)

    def _after_dot(self, word: str, text: str) -> Iterator[Completion]:
        """Columns of a relation or an alias, relations of a schema."""
        qualifier, _, rest = word.rpartition(".")
        relation = self._names.find(qualifier, text)
        if relation is not None:
            yield from _matching(rest, self._columns(relation))
            return
        schema = qualifier.replace('"', "").lower()
        inside = [r for r in self._names.relations() if r.schema.lower() == schema]
        meta = {_quoted(r.name): r.kind for r in inside}
        yield from _matching(rest, meta, meta)

    def _relation(self, word: str, text: str) -> Iterator[Completion]:
        relations = [r for r in self._names.relations() if r.kind != "system"]
        meta = {_spelled(relation, self._names): relation.kind for relation in relations}
        meta |= dict.fromkeys(_common_tables(text), "with")
        meta |= {f"{schema}.": "schema" for schema in self._names.schemas()}
        yield from _matching(word, meta, meta)
        if word:
            functions = {f"{name}(": "table function" for name in self._names.functions()[1]}
            yield from _matching(word, functions, functions)

    def _expression(self, word: str, text: str) -> Iterator[Completion]:
        mentioned = self._names.mentioned(text)
        meta = {
            column: relation.name for relation in mentioned for column in self._columns(relation)
        }
        yield from _matching(word, sorted(meta), meta)
        relations = {_spelled(r, self._names): r.kind for r in mentioned}
        yield from _matching(word, relations, relations)
        if not word:
            return
        others = {
            _spelled(r, self._names): r.kind
            for r in self._names.relations()
            if r.kind != "system" and r not in mentioned
        }
        yield from _matching(word, others, others)
        yield from _matching(word, [_in_case_of(word, keyword) for keyword in KEYWORDS])
        functions = {f"{name}(": "function" for name in self._names.functions()[0]}
        yield from _matching(word, functions, functions)
        yield from _matching(word, [f"{SYSTEM_SCHEMA}."])

    def _columns(self, relation: Relation) -> list[str]:
        return [_quoted(column) for column in self._names.columns(relation)]


def _statement_before(before: str) -> str:
    """The statement that the cursor is in, up to the cursor."""
    items = list(script_items(before))
    if not items or items[-1].is_closed:
        return ""
    return items[-1].text


def _common_tables(text: str) -> list[str]:
    return re.findall(r"(?:\bwith\b(?:\s+recursive\b)?|,)\s*(\w+)\s+as\s*\(", text, re.IGNORECASE)


def _spelled(relation: Relation, names: Names) -> str:
    """A relation's name, with its schema where that must be said."""
    if relation.kind == "temporary" or relation.schema.lower() == names.current_schema().lower():
        return _quoted(relation.name)
    return f"{_quoted(relation.schema)}.{_quoted(relation.name)}"


def _quoted(name: str) -> str:
    from ...sql.tokens import quote

    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else quote(name)


def _files(prefix: str) -> Iterator[Completion]:
    """Files and folders that begin like this."""
    folder, _, begin = prefix.rpartition("/")
    base = Path(f"{folder}/" if folder or prefix.startswith("/") else ".").expanduser()
    with os.scandir(base) as entries:
        found = sorted(
            (entry.name + "/" if entry.is_dir() else entry.name)
            for entry in entries
            if entry.name.startswith(begin) and (begin or not entry.name.startswith("."))
        )
    for name in found[:FILES_MAX]:
        if name.isprintable():
            yield Completion(name, start_position=-len(begin))


def _matching(
    word: str, names: Iterable[str], meta: dict[str, str] | None = None
) -> Iterator[Completion]:
    start = word.lower()
    for name in names:
        if name.lower().startswith(start) or name.lower().startswith(f'"{start}'):
            yield Completion(
                name, start_position=-len(word), display_meta=(meta or {}).get(name, "")
            )


def _in_case_of(word: str, keyword: str) -> str:
    return keyword.lower() if word.islower() else keyword
