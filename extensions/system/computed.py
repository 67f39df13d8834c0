"""The common shape of system relations: a schema, and rows computed when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from ...sql.provider import Pushdown, ScanRequest
from ...storage.schema_path import dotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ...sql.predicate import Predicate
    from ...storage.snapshot import TableState
    from ..registry import SystemContext


class Computed(ABC):
    """A relation whose rows are computed by column.

    Args:
        context: What it may look at.
    """

    name: ClassVar[str]
    schema: ClassVar[pa.Schema]
    pruned_by: ClassVar[frozenset[str]] = frozenset()
    """Columns whose comparisons with ``=`` and ``in`` save work."""

    def __init__(self, context: SystemContext) -> None:
        self._context = context

    def pushdown(self, predicates: Sequence[Predicate]) -> list[Pushdown]:
        """Equality on some columns is used to skip whole tables; the rest is the kernel's."""
        return [
            Pushdown.INEXACT
            if p.column in self.pruned_by and p.op in {"=", "in"}
            else Pushdown.UNSUPPORTED
            for p in predicates
        ]

    @abstractmethod
    def estimated_rows(self) -> int:
        """About how many rows it has."""

    @abstractmethod
    def columns(self, request: ScanRequest) -> dict[str, list[object]]:
        """The rows, column by column; columns that were not requested may be left out."""

    def scan(self, request: ScanRequest) -> pa.Table:
        """Return the rows wanted, with exactly the requested columns, in schema order."""
        wanted = self.schema.names if request.columns is None else request.columns
        computed = self.columns(request)
        rows = max((len(values) for values in computed.values()), default=0)
        arrays = [
            pa.array(computed.get(name, [None] * rows), self.schema.field(name).type)
            for name in wanted
        ]
        schema = pa.schema([self.schema.field(name) for name in wanted])
        return pa.Table.from_arrays(arrays, schema=schema)

    def _tables(self, request: ScanRequest) -> Iterable[TableState]:
        """The tables that a request can be about."""
        states = self._context.snapshot.tables.values()
        return [
            state
            for state in states
            if _wanted(state.definition.name, request, "table_name")
            and _wanted(dotted(state.definition.schema), request, "table_schema")
        ]


def _wanted(value: str, request: ScanRequest, column: str) -> bool:
    """Tell whether a value can meet what is asked of a column in some place of the statement."""
    if not request.predicates:
        return True
    for place in request.predicates:
        met = True
        for predicate in place:
            if predicate.column == column and predicate.op in {"=", "in"}:
                texts = [c.text for c in predicate.constants if c.kind == "string"]
                if len(texts) == len(predicate.constants) and value not in texts:
                    met = False
        if met:
            return True
    return False
