"""Point queries: rows of one table by their key, without the kernel.

    SELECT a, b FROM t WHERE key = ? [AND c = ?]      key IN (…)

Planning recognises a list of columns of one table under equalities that cover a key or an index
of it. Running goes from the keys' values to their places (``storage/keys``) and from there to the
values. Everything else about the statement is the ordinary path's, which gives the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot.tokenizer_core import TokenType

from ...errors import ParseError
from ...sql.column_types import column_type
from ...sql.logical import Leaf, LogicalPlan
from ...sql.provider import RelationKind
from ...sql.tokens import TokenStream, quote
from ...storage.keys.codes import integer_code, is_exact, key_codes
from ...storage.keys.key_index import FoundRows, read_rows
from .constants import NO_MATCH, Item, NotSimple, is_comparable, read_item, stored_constant
from .indexed import is_indexed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ...sql.provider import Relation
    from ...storage.effects import Column, Constraint, TableDefinition
    from ...storage.keys.key_index import KeyIndex, KeyIndexes
    from ...storage.snapshot import Snapshot, TableState

ROWS_MAX = 10_000
"""Rows that are gathered one by one; a scan is cheaper for more."""


@dataclass(frozen=True, slots=True)
class Term:
    """``column = constant`` or ``column IN (constants)``."""

    column: Column
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class PointQuery:
    """A compiled point query.

    Attributes:
        definition: The table it was compiled for.
        key: The constraint or index that its terms cover.
        selected: The columns of the result, with their names.
        lookup: A term for each column of the key, in its order.
        residual: The other terms.
        parameters: Keys of its parameters.
    """

    definition: TableDefinition
    key: Constraint
    selected: tuple[tuple[Column, str], ...]
    lookup: tuple[Term, ...]
    residual: tuple[Term, ...]
    parameters: frozenset[str]

    def find(
        self, state: TableState, indexes: KeyIndexes, parameters: Mapping[str, object]
    ) -> FoundRows | None:
        """The rows, in the order in which they are stored; None where the kernel must decide.

        Raises:
            Corrupt: A key run or a row group is damaged.
        """
        if parameters.keys() != self.parameters:
            return None
        try:
            values = [_values(term, parameters) for term in self.lookup]
            rest = [_values(term, parameters) for term in self.residual]
        except NotSimple:
            return None
        index = indexes.of(state, self.key.columns)
        if index is None:
            return None
        if len(values) == 1 and len(values[0]) == 1 and not rest:
            one = self._find_one(state, index, values[0][0])
            if one is not None:
                return one
        count = max(len(v) for v in values) if all(values) else 0
        arrays = [
            pa.array(v if len(v) == count else v * count if count else [], t.column.arrow_type)
            for v, t in zip(values, self.lookup, strict=True)
        ]
        # Counted first where values may repeat: a scan is cheaper for many rows.
        if (
            self.key not in self.definition.keys and index.expected(state, arrays) > ROWS_MAX
        ) or count > ROWS_MAX:
            return None
        found = index.find(state, arrays)
        if found.keys.size > 1:
            found = _in_order(found)
        for term, wanted in zip(self.residual, rest, strict=True):
            (there,) = read_rows(
                indexes.chunks, state, found.groups, found.positions, [term.column]
            )
            found = found.chosen(_among(there, pa.array(wanted, term.column.arrow_type)))
        return found

    def _find_one(self, state: TableState, index: KeyIndex, value: object) -> FoundRows | None:
        if type(value) is not int:
            return None
        code = integer_code(self.lookup[0].column.arrow_type, value)
        return None if code is None else index.find_code(state, code)

    def read(self, state: TableState, indexes: KeyIndexes, found: FoundRows) -> list[pa.Array]:
        """The selected columns of rows, in their stored types."""
        columns = [column for column, _ in self.selected]
        return read_rows(indexes.chunks, state, found.groups, found.positions, columns)

    @property
    def restoring(self) -> str:
        """The query that turns the stored columns of ``read`` back into the result's."""
        listed = ", ".join(
            f"{column_type(c.type, collation=c.collation).from_storage(f'c{i}')} AS {quote(name)}"
            for i, (c, name) in enumerate(self.selected)
        )
        return f"SELECT {listed} FROM rows"


def _values(term: Term, parameters: Mapping[str, object]) -> list[object]:
    """Stored values of a term, each once; NULL and values that nothing equals are left out."""
    sql_type = term.column.type
    values = [stored_constant(item, parameters, sql_type) for item in term.items]
    return [v for v in dict.fromkeys(values) if v is not None and v is not NO_MATCH]


def _in_order(found: FoundRows) -> FoundRows:
    order = np.lexsort((found.positions, found.groups))
    return FoundRows(found.keys[order], found.groups[order], found.positions[order])


def _among(there: pa.Array, wanted: pa.Array) -> npt.NDArray[np.bool_]:
    """Tell which values are among others; NULL is not."""
    if is_exact([there.type]):
        mine = key_codes([there])
        among = np.isin(mine.codes, key_codes([wanted]).codes)
        return among if mine.valid is None else among & mine.valid
    found = pc.and_(pc.is_in(there, value_set=wanted), pc.is_valid(there))
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)


Resolve = Callable[[Sequence[str]], "Relation | None"]
"""Finds what a name means."""


def compile_point_query(
    sql: str, resolve: Resolve, snapshot: Snapshot
) -> tuple[PointQuery, LogicalPlan] | None:
    """Compile a query, None where it is anything but a lookup of rows by a key.

    Args:
        sql: The statement.
        resolve: Finds the relation of a name.
        snapshot: What is read.

    Returns:
        The query, and its plan for the cases in which the kernel must run it.
    """
    stream = TokenStream(sql)
    if not stream.accept("SELECT"):
        return None
    while stream.word() != "FROM":
        if stream.at_end():
            return None
        stream.at += 1
    stream.at += 1
    try:
        relation = resolve(stream.name().parts)
        if relation is None or relation.kind is not RelationKind.TABLE:
            return None
        state = snapshot.tables.get(relation.key)
        if relation.version is not None or state is None or not state.definition.indexes:
            return None
        query = _Reader(stream, state.definition).read()
    except (ParseError, NotSimple):
        return None
    return query, LogicalPlan(sql, (Leaf(relation),))


def compile_condition(
    condition: str, alias: str, definition: TableDefinition, before: int
) -> PointQuery | None:
    """Compile a condition, None where it is anything but equalities that cover a key.

    Args:
        condition: Its text.
        alias: The name by which it may call the table.
        definition: The table.
        before: Parameters ``?`` that stand before it in its statement.

    Returns:
        A query without columns.
    """
    try:
        return _Reader(TokenStream(condition), definition, before).condition(alias)
    except (ParseError, NotSimple):
        return None


class _Reader:
    """Reads the text of a query, as far as it is a simple one."""

    def __init__(self, stream: TokenStream, definition: TableDefinition, before: int = 0) -> None:
        self._stream = stream
        self._definition = definition
        self._positional = before
        self._parameters: set[str] = set()
        self._qualifiers: set[str] = set()

    def read(self) -> PointQuery:
        """Read it, from behind the table's name on.

        Raises:
            NotSimple: It is something else.
            ParseError: The same.
        """
        stream = self._stream
        alias = self._definition.name
        if stream.accept("AS") or stream.word() != "WHERE":
            alias = stream.identifier()
        stream.expect("WHERE")
        query = self.condition(alias)
        stream.at = 1
        return replace(query, selected=self._selected())

    def condition(self, alias: str) -> PointQuery:
        """Read equalities, up to the end of the text.

        Raises:
            NotSimple: It is something else.
            ParseError: The same.
        """
        stream = self._stream
        self._qualifiers = {alias.lower()}
        terms = self._terms()
        stream.accept(";")
        if not stream.at_end():
            raise NotSimple
        key = self._key(terms)
        lookup = tuple(terms[column] for column in key.columns)
        if sum(len(term.items) > 1 for term in lookup) > 1:
            raise NotSimple
        residual = tuple(term for c, term in terms.items() if c not in key.columns)
        return PointQuery(self._definition, key, (), lookup, residual, frozenset(self._parameters))

    def _key(self, terms: Mapping[int, Term]) -> Constraint:
        """The key that the terms cover: rather a unique one, rather one of more columns."""
        by_id = {c.id: c for c in self._definition.columns}
        covered = [
            key
            for key in self._definition.indexes
            if terms.keys() >= set(key.columns) and is_indexed([by_id[c] for c in key.columns])
        ]
        if not covered:
            raise NotSimple
        unique = self._definition.keys
        return max(covered, key=lambda key: (key in unique, len(key.columns)))

    def _column(self) -> Column:
        name = self._stream.name()
        if len(name.parts) > 2 or (
            len(name.parts) == 2 and name.parts[0].lower() not in self._qualifiers
        ):
            raise NotSimple
        column = self._definition.column(name.last)
        if column is None:
            raise NotSimple
        return column

    def _selected(self) -> tuple[tuple[Column, str], ...]:
        stream = self._stream
        if stream.accept("*", "FROM"):
            columns = self._definition.columns
            if self._definition.generated or any(not _is_restorable(c) for c in columns):
                raise NotSimple
            return tuple((c, c.name) for c in columns)
        selected: list[tuple[Column, str]] = []
        while True:
            column = self._column()
            if not _is_restorable(column):
                raise NotSimple
            name = column.name
            if stream.accept("AS"):
                name = stream.identifier()
            selected.append((column, name))
            if stream.accept("FROM"):
                return tuple(selected)
            stream.expect(",")

    def _terms(self) -> dict[int, Term]:
        terms: dict[int, Term] = {}
        while True:
            column = self._column()
            if column.id in terms or column.collation or not is_comparable(column.type):
                raise NotSimple
            if self._stream.accept("="):
                items: Sequence[Item] = (self._item(),)
            else:
                self._stream.expect("IN", "(")
                items = self._listed()
            terms[column.id] = Term(column, tuple(items))
            if not self._stream.accept("AND"):
                return terms

    def _listed(self) -> Sequence[Item]:
        """The items of an IN list; numbers, of which there may be very many, in a short way."""
        stream, listed = self._stream, list[Item]()
        tokens = stream.tokens
        while True:
            at = stream.at
            if (
                at + 1 < len(tokens)
                and tokens[at].token_type is TokenType.NUMBER
                and tokens[at].text.isdecimal()
            ):
                listed.append(Item(None, int(tokens[at].text)))
                stream.at += 1
            else:
                listed.append(self._item())
            if stream.at_end():
                raise NotSimple
            kind = tokens[stream.at].token_type
            stream.at += 1
            if kind is TokenType.R_PAREN:
                return listed
            if kind is not TokenType.COMMA:
                raise NotSimple

    def _item(self) -> Item:
        item = read_item(self._stream, self._positional + 1)
        if item is None:
            raise NotSimple
        if item.parameter is not None:
            self._positional += item.parameter == str(self._positional + 1)
            self._parameters.add(item.parameter)
        return item


_PLAIN = frozenset(
    {
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "VARCHAR",
        "BLOB",
        "BOOLEAN",
        "DOUBLE",
        "DATE",
        "TIMESTAMP",
    }
)


_BY_KERNEL = frozenset(
    {
        "FLOAT",
        "UUID",
        "HUGEINT",
        "UHUGEINT",
        "TIME",
        "JSON",
        "INTERVAL",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
        "TIMESTAMP WITH TIME ZONE",
    }
)
"""Types that the kernel gives their form, over the few rows that were found."""


def _is_python(column: Column) -> bool:
    return column.type in _PLAIN or column.type.startswith("DECIMAL(")


def _is_restorable(column: Column) -> bool:
    """Tell whether values can be restored where the user's own types and macros are unknown."""
    return _is_python(column) or column.type in _BY_KERNEL


def python_rows(query: PointQuery, columns: Sequence[pa.Array]) -> list[tuple[object, ...]] | None:
    """Rows as the kernel's client would give them, None where only that knows their form."""
    if not all(_is_python(column) for column, _ in query.selected):
        return None
    try:
        return list(zip(*(column.to_pylist() for column in columns), strict=True))
    except (ValueError, OverflowError, pa.ArrowException):
        return None  # an infinite date, or one that Python does not have


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a lookup has read, for EXPLAIN ANALYZE.

    Attributes:
        rows: Rows found.
        row_groups: Row groups they lie in.
        total: Row groups of the table.
        seconds: Time it took.
    """

    rows: int
    row_groups: int
    total: int
    seconds: float


def measure(
    query: PointQuery,
    state: TableState,
    indexes: KeyIndexes,
    parameters: Mapping[str, object],
) -> Lookup | None:
    """Run a lookup for its figures; None where the kernel must run the statement."""
    begun = time.perf_counter()
    found = query.find(state, indexes, parameters)
    if found is None:
        return None
    query.read(state, indexes, found)
    seconds = time.perf_counter() - begun
    groups = int(np.unique(found.groups).size)
    return Lookup(int(found.keys.size), groups, len(state.row_groups), seconds)
