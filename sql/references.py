"""References of Pagelake's own: versions of relations, and functions that stand for relations.

Found in the tokens and replaced in the text by names that a catalog resolves, so that the kernel
still sees the user's own SQL::

    FROM t AT (VERSION => 12) AS x           →  FROM "pagelake at 12 main"."t"  AS x
    FROM t x AT (TAG => 'july')              →  FROM "pagelake at 9 main"."t" x
    FROM pagelake.table_changes('t', 3, 5)   →  FROM "pagelake changes 3 5 main.t"."table_changes"
    FROM pagelake.snapshots()                →  FROM pagelake.snapshots
    FROM report_usage('proj')                →  FROM (SELECT …)
    FROM read_csv((SELECT path FROM …))      →  FROM read_csv(['/a.csv', …])
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import Token, TokenType

from .tokens import Name, TokenStream, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = frozenset({"VERSION", "TIMESTAMP", "TAG"})
"""What AT can name a version by."""
_POSSIBLE = re.compile(
    r"\bAT\s*\(|\bpagelake\s*\.\s*\w+\s*\(|\b(report_\w+|(table|catalog)_changes)\s*\("
    r"|\b(read|parquet|sniff)_\w+\s*\(\s*\(\s*(SELECT|FROM|WITH)\b",
    re.IGNORECASE,
)
_BARE = re.compile(r"report_\w+|(table|catalog)_changes", re.IGNORECASE)
"""Functions that are known without their schema, where nothing of the user's has such a name."""
_AT_SCHEMA = re.compile(r"pagelake at (\d+) (.+)", re.IGNORECASE | re.DOTALL)
_CHANGES_SCHEMA = re.compile(r"pagelake changes (\d+) (\d+) ([\w.]+)", re.IGNORECASE)
FILE_READERS = frozenset({
    "read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema", "parquet_file_metadata",
    "parquet_kv_metadata", "read_csv", "read_csv_auto", "sniff_csv", "read_json", "read_json_auto",
    "read_json_objects", "read_json_objects_auto", "read_ndjson", "read_ndjson_auto",
    "read_ndjson_objects", "read_text", "read_blob",
})  # fmt: skip
"""Functions of the kernel that stand for the content of files."""
_BEFORE_RELATIONS = {"FROM", "JOIN", ",", "LATERAL", "SUMMARIZE"}
"""What a relation may come behind; behind INTO or TABLE brackets hold columns."""
_WORDS = {TokenType.VAR, TokenType.IDENTIFIER}


@dataclass(frozen=True, slots=True)
class At:
    """``AT (unit => expression)``.

    Attributes:
        unit: One of ``UNITS``.
        expression: Text of the expression behind the arrow.
    """

    unit: str
    expression: str


@dataclass(frozen=True, slots=True)
class VersionedName:
    """A relation read at a version.

    Attributes:
        name: The relation's name.
        at: The version, as it was written.
        start: Offset of the AT clause.
        end: Offset behind it.
    """

    name: Name
    at: At
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """``pagelake.function(arguments)`` in the place of a relation.

    Attributes:
        function: Folded name, without the schema.
        arguments: Texts of the arguments.
        start: Offset of the name.
        bracket: Offset of the opening bracket.
        end: Offset behind the closing one.
        bare: Whether it was named without its schema.
    """

    function: str
    arguments: tuple[str, ...]
    start: int
    bracket: int
    end: int
    bare: bool = False


@dataclass(frozen=True, slots=True)
class FileSelection:
    """``reader((SELECT path …))``: files that a query chooses.

    Attributes:
        query: Text of the query.
        start: Offset of the bracket around it.
        end: Offset behind that.
    """

    query: str
    start: int
    end: int

    @property
    def bracket(self) -> int:
        """Offset of the bracket around it."""
        return self.start


Reference = VersionedName | FunctionCall | FileSelection


def references(sql: str) -> list[Reference]:
    """Find the references of Pagelake's own in a text, in its order."""
    if not _POSSIBLE.search(sql):
        return []
    tokens = tokenize(sql)
    found: list[Reference] = []
    done = 0
    for index in range(1, len(tokens)):
        if tokens[index].text != "(" or tokens[index].token_type is TokenType.IDENTIFIER:
            continue
        if tokens[index].start < done:
            continue  # inside a query that is run by itself
        selection = _selection(sql, tokens, index)
        reference = selection or _versioned(sql, tokens, index) or _call(sql, tokens, index)
        if reference is not None:
            found.append(reference)
        if selection is not None:
            done = selection.end
    return found


def without_versions(sql: str) -> str:
    """A text without its AT clauses, for a parser that does not know all of them."""
    for reference in reversed(references(sql)):
        if isinstance(reference, VersionedName):
            sql = sql[: reference.start] + sql[reference.end :]
    return sql


def at_clause(stream: TokenStream) -> At | None:
    """Read an AT clause where one comes next."""
    if not stream.accept("AT"):
        return None
    stream.expect("(")
    unit = stream.word()
    if unit not in UNITS:
        raise stream.error(f"expected {', '.join(sorted(UNITS))}")
    stream.at += 1
    stream.expect("=>")
    expression = stream.text_until(")")
    stream.expect(")")
    return At(unit, expression)


def _versioned(sql: str, tokens: Sequence[Token], bracket: int) -> VersionedName | None:
    if tokens[bracket - 1].text.upper() != "AT" or bracket < 2 or bracket + 3 >= len(tokens):
        return None
    if tokens[bracket + 1].text.upper() not in UNITS or tokens[bracket + 2].text != "=>":
        return None
    stream = TokenStream(sql)
    stream.at = bracket - 1
    at = at_clause(stream)
    assert at is not None
    name = _name_before(tokens, bracket - 2)
    return VersionedName(name, at, tokens[bracket - 1].start, stream.behind)


def _name_before(tokens: Sequence[Token], last: int) -> Name:
    """The name that ends at a token, an alias behind it skipped."""
    before = tokens[last - 1] if last else None
    if before is not None and before.token_type is TokenType.ALIAS:
        last -= 2
    elif (
        before is not None
        and before.token_type in _WORDS
        and tokens[last].token_type is not TokenType.R_PAREN  # a subquery ends with a name too
    ):
        last -= 1
    first = last
    while first >= 2 and tokens[first - 1].token_type is TokenType.DOT:
        first -= 2
    parts = tuple(str(token.text) for token in tokens[first : last + 1 : 2])
    return Name(parts, tokens[first].start, tokens[last].end + 1)


def _call(sql: str, tokens: Sequence[Token], bracket: int) -> FunctionCall | None:
    function = str(tokens[bracket - 1].text)
    bare = bracket < 2 or tokens[bracket - 2].token_type is not TokenType.DOT
    first = bracket - 1 if bare else bracket - 3
    if first < 1 or tokens[first - 1].text.upper() not in _BEFORE_RELATIONS:
        return None
    if not _BARE.fullmatch(function) if bare else tokens[first].text.lower() != "pagelake":
        return None
    stream = TokenStream(sql)
    stream.at = bracket
    texts = arguments(stream)
    start, opened = tokens[first].start, tokens[bracket].start
    return FunctionCall(function.lower(), texts, start, opened, stream.behind, bare)


def _selection(sql: str, tokens: Sequence[Token], bracket: int) -> FileSelection | None:
    if tokens[bracket - 1].text.lower() not in FILE_READERS or bracket + 2 >= len(tokens):
        return None
    if tokens[bracket + 1].text != "(":
        return None
    if tokens[bracket + 2].text.upper() not in {"SELECT", "FROM", "WITH"}:
        return None
    stream = TokenStream(sql)
    stream.at = bracket + 1
    stream.skip_balanced()
    start = tokens[bracket + 1].start
    return FileSelection(sql[start + 1 : stream.behind - 1], start, stream.behind)


def arguments(stream: TokenStream) -> tuple[str, ...]:
    """Read ``(a, b, …)``; returns the texts of the arguments."""
    stream.expect("(")
    texts: list[str] = []
    while stream.word() != ")" and not stream.at_end():
        texts.append(stream.text_until(",", ")"))
        if not stream.accept(","):
            break
    stream.expect(")")
    return tuple(texts)


def at_schema(version: int, schema: str) -> str:
    """The schema under which the relations of a version are found."""
    return f"pagelake at {version} {schema}"


def read_at_schema(schema: str) -> tuple[int, str] | None:
    """Version and schema behind a name that ``at_schema`` made."""
    match = _AT_SCHEMA.fullmatch(schema)
    return None if match is None else (int(match[1]), match[2])


def changes_schema(first: int, last: int, table: str) -> str:
    """The schema under which the changes of a table are found.

    Args:
        first: First version whose changes count.
        last: Last version whose changes count.
        table: The table's id.
    """
    return f"pagelake changes {first} {last} {table}"


def read_changes_schema(schema: str) -> tuple[int, int, str] | None:
    """What is behind a name that ``changes_schema`` made."""
    match = _CHANGES_SCHEMA.fullmatch(schema)
    return None if match is None else (int(match[1]), int(match[2]), match[3])
