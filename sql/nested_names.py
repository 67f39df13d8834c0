"""Names in schemas within schemas, replaced by names of the one schema under which they are kept.

The kernel reads ``a.b.t`` as catalog, schema and table first, and so does Pagelake: a nested schema
is meant where the first name is no database's. What is replaced are the names of the path, by one
quoted identifier (``storage/schema_path.py``); everything else of the text stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlglot.tokenizer_core import TokenType

from ..storage.schema_path import SEPARATOR, innermost, joined
from .qualified_columns import dotted_names
from .tokens import TokenStream, literal, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlglot.tokenizer_core import Token

_MAKING: Final = {"CREATE", "ALTER", "DROP", "COMMENT"}
"""Statements that name what need not be there."""
_BEFORE_RELATIONS: Final = {
    "COPY", "DESC", "DESCRIBE", "FROM", "INTO", "JOIN", "REFERENCES", "SHOW", "SUMMARIZE", "TABLE",
    "TRUNCATE", "UPDATE",
}  # fmt: skip
_BY_NAME: Final = {
    "nextval", "currval", "setval", "pragma_table_info", "pragma_show", "query_table", "table_info",
}  # fmt: skip
"""Functions to which a name is a string."""
_PART: Final = re.compile(r'"(?:[^"]|"")+"|[^\W\d]\w*')
_DOTTED: Final = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern})){{2,}}")


@dataclass(frozen=True, slots=True)
class NestedSchemas:
    """The nested schemas of a store, as a session sees them.

    Attributes:
        schemas: Names of all schemas of the store.
        databases: Folded names of the databases that are attached beside it.
        store: The name that the store answers to.
        has: Tells whether a schema has something of a name, regardless of case.
    """

    schemas: Collection[str]
    databases: Collection[str]
    store: str
    has: Callable[[str, str], bool]

    def flattened(self, sql: str) -> str:
        """A text in which each name in a nested schema has its schema's one name."""
        if not any(SEPARATOR in schema for schema in self.schemas):
            return sql
        return _Text(self, sql).flattened()

    def path(self, parts: Sequence[str]) -> tuple[str, int]:
        """The innermost nested schema that a dotted name begins with, and how many parts that is.

        Returns:
            An empty name where it begins with none, or with an attached database.
        """
        folded = [part.lower() for part in parts]
        if folded[0] in self.databases:
            return "", 0
        for length in range(len(parts), 1, -1):
            wanted = joined(*folded[:length])
            for schema in self.schemas:
                if schema.lower() == wanted:
                    return schema, length
        return "", 0


@dataclass(slots=True)
class _Text:
    """One text on its way to another one."""

    nested: NestedSchemas
    sql: str
    edits: list[tuple[int, int, str]] = field(default_factory=list)
    used: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def flattened(self) -> str:
        tokens = TokenStream(self.sql).tokens
        left = [chain for chain in dotted_names(tokens) if not self._replaced(tokens, chain)]
        for chain in left:
            self._replace_innermost([tokens[index] for index in chain])
        for index in range(2, len(tokens)):
            self._replace_text(tokens[index - 2], tokens[index - 1], tokens[index])
        text = self.sql
        for start, end, replacement in sorted(self.edits, reverse=True):
            text = text[:start] + replacement + text[end:]
        return text

    def _replaced(self, tokens: Sequence[Token], chain: Sequence[int]) -> bool:
        """Replace the path that a name begins with, if it begins with one."""
        parts = [str(tokens[index].text) for index in chain]
        skipped = int(len(parts) > 2 and parts[0].lower() == self.nested.store.lower())
        schema, length = self.nested.path(parts[skipped:]) if len(parts) > 1 else ("", 0)
        if skipped and not schema:
            skipped, (schema, length) = 0, self.nested.path(parts)
        if not schema:
            return False
        rest = parts[skipped + length :]
        before = tokens[chain[0] - 1].text.upper() if chain[0] else ""
        making = tokens[0].text.upper() in _MAKING
        if not rest:
            meant = before in {"SCHEMA", "EXISTS"} or tokens[0].text.upper() == "SHOW"
        else:
            meant = making or before in _BEFORE_RELATIONS or self.nested.has(schema, rest[0])
        if not meant:
            return False
        first, last = tokens[chain[skipped]], tokens[chain[skipped + length - 1]]
        self.edits.append((first.start, last.end + 1, quote(schema)))
        if rest:
            key = (innermost(schema).lower(), rest[0].lower())
            self.used.setdefault(key, set()).add(schema)
        return True

    def _replace_innermost(self, names: Sequence[Token]) -> None:
        """Replace ``b`` of ``b.t.column`` where the text reads ``a.b.t``."""
        if len(names) < 2:
            return
        first, second = (str(token.text).lower() for token in names[:2])
        found = self.used.get((first, second), set())
        if len(found) == 1 and first not in {schema.lower() for schema in self.nested.schemas}:
            self.edits.append((names[0].start, names[0].end + 1, quote(next(iter(found)))))

    def _replace_text(self, function: Token, bracket: Token, argument: Token) -> None:
        called = str(function.text).lower()
        if argument.token_type is not TokenType.STRING or bracket.text != "(":
            return
        if called == "query":  # its argument is a statement
            text = literal(self.nested.flattened(argument.text))
            self.edits.append((argument.start, argument.end + 1, text))
            return
        if called not in _BY_NAME or not _DOTTED.fullmatch(argument.text):
            return
        parts = [
            part[1:-1].replace('""', '"') if part[0] == '"' else part
            for part in _PART.findall(argument.text)
        ]
        schema, length = self.nested.path(parts[:-1])
        if length == len(parts) - 1:
            named = literal(f"{quote(schema)}.{quote(parts[-1])}")
            self.edits.append((argument.start, argument.end + 1, named))
