"""Leaves that stream: how rows of ours enter the kernel without being copied into it first.

A leaf source tells the kernel its schema and its row count when a query is planned, so that
joins are ordered by true sizes, and hands out only the columns and rows that a scan asks
for. It stands on the client's scan protocol (``duckdb._sources``, pinned with the client's
version and held by ``tests/unit/engine/test_leaf_source.py``).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from duckdb._sources import nodes
from duckdb._sources.arrow import ArrowScanSource

from ...errors import Error
from ..kernel_errors import carry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Comparison = tuple[str, str, tuple[Any, ...]]
"""``(column, operator, values)`` with Python values of the column's type."""

_COMPUTE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Scannable(Protocol):
    """What a leaf source reads from."""

    def schema(self) -> pa.Schema:
        """The columns that a scan can ask for."""
        ...

    def rows(self) -> int:
        """How many rows a scan without predicates gives."""
        ...

    def batches(
        self, columns: Sequence[str], comparisons: Sequence[Comparison]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the columns asked for, in order; rows that fail a comparison may be left out."""
        ...


@dataclass(slots=True)
class LeafSource(ArrowScanSource):
    """A leaf for the kernel to scan, any number of times.

    Attributes:
        obj: What is read.
    """

    obj: Scannable
    _columns: pa.Schema = field(init=False)

    one_shot = False
    schema_is_stable = True

    def __post_init__(self) -> None:
        self._columns = self.obj.schema()

    def __arrow_c_schema__(self) -> object:
        return self._columns.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.stream(None, ())[0]

    def rows(self) -> int:
        """The row count that the kernel plans with."""
        try:
            return self.obj.rows()
        except Error as error:
            raise carry(error) from error

    def accepts(self, predicate: nodes.Node) -> bool:
        """Take over what Arrow compares exactly as the kernel does: not floats, not collations."""
        try:
            return self._expression(predicate) is not None
        except RecursionError:
            return False

    def stream(
        self, columns: Sequence[int] | None, filters: Sequence[nodes.Node]
    ) -> tuple[object, bool]:
        """Open a stream of the columns, with the filters applied."""
        every = range(len(self._columns.names)) if columns is None else columns
        names = [self._columns.names[index] for index in every]
        expressions = [self._expression(predicate) for predicate in filters]
        condition = _conjunction(expressions)
        comparisons = [c for predicate in filters for c in _comparisons(predicate)]
        filtered = _columns_of(filters)
        read = list(dict.fromkeys([*names, *filtered]))
        schema = pa.schema([self._columns.field(name) for name in names])
        batches = _filtered(self.obj.batches(read, comparisons), condition, schema)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        return reader.__arrow_c_stream__(), True

    def _expression(self, node: nodes.Node) -> pc.Expression | None:
        """The node as an Arrow expression, None where Arrow would decide differently."""
        match node:
            case nodes.Binary() if node.op in {"AND", "OR"}:
                left, right = self._expression(node.left), self._expression(node.right)
                if left is None or right is None:
                    return None
                return left & right if node.op == "AND" else left | right
            case nodes.Binary() if node.op in _COMPUTE:
                column = self._field(node.left)
                if column is None or not isinstance(node.right, nodes.Lit):
                    return None
                literal = self._literal(node.right, column)
                return None if literal is None else _COMPUTE[node.op](pc.field(column), literal)
            case nodes.In():
                column = self._field(node.operand)
                if column is None:
                    return None
                literals = [self._literal(item, column) for item in node.values]
                known = [literal.as_py() for literal in literals if literal is not None]
                if len(known) < len(literals):
                    return None
                return pc.field(column).isin(pa.array(known, self._columns.field(column).type))
            case nodes.Postfix():
                column = self._field(node.operand)
                if column is None:
                    return None
                null = pc.field(column).is_null()
                return null if node.op == "IS NULL" else ~null
        return None

    def _field(self, node: nodes.Node) -> str | None:
        if not isinstance(node, nodes.Col) or len(node.parts) != 1:
            return None
        column = str(node.parts[0])
        return column if _exact(self._columns.field(column).type) else None

    def _literal(self, node: nodes.Node, column: str) -> pa.Scalar | None:
        if not isinstance(node, nodes.Lit) or node.value is None:
            return None
        try:
            return pa.scalar(node.value, self._columns.field(column).type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            return None


def _exact(type_: pa.DataType) -> bool:
    """Types whose comparison is the same in Arrow and in the kernel."""
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_date32(type_)
        or pa.types.is_string(type_)
        or pa.types.is_boolean(type_)
        or (pa.types.is_timestamp(type_) and type_.tz is None)
    )


def _conjunction(expressions: Iterable[pc.Expression | None]) -> pc.Expression | None:
    known = [e for e in expressions if e is not None]
    return reduce(operator.and_, known) if known else None


def _filtered(
    batches: Iterable[pa.RecordBatch], condition: pc.Expression | None, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for batch in _carrying(batches):
        kept = batch if condition is None else batch.filter(condition)
        if kept.num_rows:
            columns = [kept.column(name) for name in schema.names]
            yield pa.RecordBatch.from_arrays(columns, schema=schema) if columns else _only_rows(
                kept.num_rows
            )  # fmt: skip


def _carrying(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except Error as error:
        raise carry(error) from error


def _only_rows(rows: int) -> pa.RecordBatch:
    """A batch that has a length and no columns."""
    return pa.RecordBatch.from_struct_array(
        pa.StructArray.from_buffers(pa.struct([]), rows, [None])
    )


def _comparisons(node: nodes.Node) -> Iterator[Comparison]:
    """Comparisons that every row of the result meets: those not below an OR."""
    match node:
        case nodes.Binary() if node.op == "AND":
            yield from _comparisons(node.left)
            yield from _comparisons(node.right)
        case nodes.Binary() if node.op in _COMPUTE and isinstance(node.right, nodes.Lit):
            yield _name(node.left), node.op, (node.right.value,)
        case nodes.In():
            values = tuple(item.value for item in node.values if isinstance(item, nodes.Lit))
            yield _name(node.operand), "in", values
        case nodes.Postfix():
            yield _name(node.operand), node.op.lower(), ()


def _name(node: nodes.Node) -> str:
    """The column that an accepted predicate is about."""
    assert isinstance(node, nodes.Col)
    return str(node.parts[0])


def _columns_of(filters: Iterable[nodes.Node]) -> Iterator[str]:
    for node in filters:
        if isinstance(node, nodes.Col):
            yield str(node.parts[0])
        else:
            yield from _columns_of(node._children())
