"""INSERT of literals and parameters, without the kernel.

Building the Arrow row directly costs a tenth of what the kernel takes to plan the statement.
Only values whose conversion is beyond doubt come this way; everything else, and everything
that would be an error, goes the long way, so that there is one set of conversion rules.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from ...errors import ConstraintViolation
from ...sql.tokens import TokenStream
from ..keys.indexed import is_indexed

if TYPE_CHECKING:
    from ...sql.statement import Insert
    from ...storage.effects import TableDefinition

_PLAIN: dict[str, frozenset[type]] = {
    **dict.fromkeys(
        (
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
        ),
        frozenset({int}),
    ),
    "DOUBLE": frozenset({float, int}),
    "VARCHAR": frozenset({str}),
    "BLOB": frozenset({bytes}),
    "BOOLEAN": frozenset({bool}),
    "DATE": frozenset({datetime.date}),
    "TIMESTAMP": frozenset({datetime.datetime}),
}
_DECIMAL = re.compile(r"DECIMAL\(\d+,\s*\d+\)")
_INTEGER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Item:
    """One value of the row: a parameter by key, or a literal."""

    parameter: str | None
    literal: object = None


@dataclass(frozen=True, slots=True)
class FastInsert:
    """A compiled one-row INSERT.

    Attributes:
        definition: The table it was compiled for.
        items: One item a column, in table order.
        allowed: Python types that each column takes without conversion.
        schema: The stored columns.
    """

    definition: TableDefinition
    items: tuple[_Item, ...]
    allowed: tuple[frozenset[type], ...]
    schema: pa.Schema

    @property
    def blind(self) -> bool:
        """True when no row of any table need be read: there is no key to compare with."""
        refers = any(c.kind == "foreign_key" for c in self.definition.constraints)
        return not self.definition.indexes and not refers

    def batch(self, rows: Sequence[Mapping[str, object]]) -> pa.RecordBatch | None:
        """The rows as a stored batch, None where the long way must decide.

        Args:
            rows: For each row its parameters by key.

        Raises:
            ConstraintViolation: NULL for a column that refuses it.
        """
        named = {item.parameter for item in self.items if item.parameter is not None}
        if any(row.keys() != named for row in rows):
            return None
        arrays = []
        for item, allowed, column, field in zip(
            self.items, self.allowed, self.definition.columns, self.schema, strict=True
        ):
            if item.parameter is None:
                values: list[object] = [item.literal] * len(rows)
            else:
                values = [row[item.parameter] for row in rows]
            for value in values:
                if value is None:
                    if not column.nullable:
                        raise ConstraintViolation(
                            f"NOT NULL constraint failed: {self.definition.name}.{column.name}",
                            hint="give the column a value, or a default",
                        )
                elif type(value) not in allowed or (
                    type(value) is datetime.datetime and value.tzinfo is not None
                ):
                    return None
            try:
                arrays.append(pa.array(values, field.type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
                return None
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def compile_insert(
    statement: Insert, definition: TableDefinition, schema: pa.Schema
) -> FastInsert | None:
    """Compile an INSERT of one row of literals and parameters, None where it is not one."""
    if statement.returning or statement.ctes or statement.by_name or statement.source is None:
        return None
    if not _keys_only(definition):
        return None
    items = _items(statement.source)
    if items is None:
        return None
    names = statement.columns or tuple(c.name for c in definition.columns)
    if len(names) != len(items):
        return None
    by_name = dict(zip((n.lower() for n in names), items, strict=True))
    if len(by_name) != len(items):
        return None
    chosen, allowed = [], []
    for column in definition.columns:
        item = by_name.pop(column.name.lower(), None)
        if item is None:
            if column.default is not None:
                return None
            item = _Item(None, None)
        types = _PLAIN.get(column.type)
        if _DECIMAL.fullmatch(column.type):
            types = frozenset({int, decimal.Decimal})
        if types is None or column.collation is not None:
            return None
        chosen.append(item)
        allowed.append(types)
    if by_name:
        return None
    return FastInsert(definition, tuple(chosen), tuple(allowed), schema)


def _keys_only(definition: TableDefinition) -> bool:
    """Tell whether a table has no constraints but keys whose values the store compares."""
    by_id = {c.id: c for c in definition.columns}
    return all(
        constraint in definition.indexes and is_indexed([by_id[c] for c in constraint.columns])
        for constraint in definition.constraints
    )


def _items(source: str) -> list[_Item] | None:
    """The values of ``VALUES (…)`` with one row of literals and parameters."""
    stream = TokenStream(source)
    if not stream.accept("VALUES") or not stream.accept("("):
        return None
    items: list[_Item] = []
    positional = 0
    while True:
        item = _item(stream, positional + 1)
        if item is None:
            return None
        positional += item.parameter == str(positional + 1)
        items.append(item)
        if stream.accept(","):
            continue
        return items if stream.accept(")") and stream.at_end() else None


def _item(stream: TokenStream, next_positional: int) -> _Item | None:
    if stream.at_end():
        return None
    token = stream.tokens[stream.at]
    kind, text = token.token_type.name, token.text
    stream.at += 1
    if kind == "PLACEHOLDER":
        return _Item(str(next_positional))
    if kind == "PARAMETER":
        if stream.at_end():
            return None
        key = stream.tokens[stream.at].text
        stream.at += 1
        return _Item(key)
    if kind == "STRING":
        return _Item(None, text)
    if kind == "NUMBER" and _INTEGER.fullmatch(text):
        return _Item(None, int(text))
    if kind == "DASH" and not stream.at_end() and _INTEGER.fullmatch(stream.tokens[stream.at].text):
        stream.at += 1
        return _Item(None, -int(stream.tokens[stream.at - 1].text))
    word = text.upper()
    if kind in {"NULL", "TRUE", "FALSE"}:
        return _Item(None, {"NULL": None, "TRUE": True, "FALSE": False}[word])
    return None


def parameters_by_key(parameters: object) -> Mapping[str, object]:
    """Parameters as the user gave them, by name or 1-based number."""
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return {str(key): value for key, value in parameters.items()}
    if isinstance(parameters, Sequence):
        return {str(i): value for i, value in enumerate(parameters, 1)}
    return {}
