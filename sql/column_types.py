"""How a column of any SQL type travels through Arrow pages and comes back unchanged.

The relational kernel speaks Arrow, but not every SQL type has an Arrow type of its own: exported
with default settings a UUID comes back as VARCHAR, a BIT as other bits, a TIMETZ without its zone.
So a column of type T is stored as a type S that Arrow carries without loss:

    T column ──to_storage(expr)──► S column ══ Arrow pages ══► S column ──from_storage(expr)──► T

Most types are their own storage type and need no expression, which keeps scans free and lets
filters and statistics reach the stored column. The others differ leaf by leaf:

    HUGEINT                          decimal128(38, 0) holding all 128 bits; a CAST on the way back
    UHUGEINT                         HUGEINT, shifted by 2^127 so that the order stays
    UUID                             BLOB, the 16 bytes in their order
    ENUM, JSON, BIT, BIGNUM,
    INTERVAL, TIME WITH TIME ZONE    VARCHAR
    GEOMETRY                         BLOB, well-known binary
    "NULL", the type of a bare NULL  BOOLEAN: the kernel's arrays of Arrow's null are malformed
    TUPLE                            STRUCT(element1, element2, ...)
    UNION                            STRUCT(tag UTINYINT, m1, m2, ...), null only where the value is
    VARIANT                          STRUCT("type", "text", parquet): see `_variant_to_storage`
    AGGREGATE_STATE                  the storage type of the value below it

A nested type whose leaves all convert by CAST converts by one CAST; only UHUGEINT, UNION, VARIANT
and AGGREGATE_STATE below it make the conversion walk the value with list_transform and struct_pack.
INTERVAL is not left to Arrow's own interval, which counts nanoseconds in 64 bits and silently
wraps beyond 292 years.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

import pyarrow as pa

from ..errors import Unsupported
from .type_tree import (
    STATE,
    ArrayType,
    Field,
    ListType,
    MapType,
    ScalarType,
    SqlType,
    StateType,
    StructType,
    TupleType,
    UnionType,
    excerpt,
    holds_state,
    literal,
    parse_type,
    parts_of,
    printed,
)


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's SQL type, with the way in which its values are stored.

    Attributes:
        sql: The type, as the kernel prints it.
        storage_sql: The type S of the stored column, as SQL. Arrow has no 128-bit integer, so where
            S holds HUGEINT, the kernel reads the stored column as DECIMAL(38,0), with all 128 bits.
        arrow: The Arrow type that the kernel's export of S has under default settings and the time
            zone UTC. A connection in another zone labels its timestamps with that zone; the stored
            instants are the same, so cast the batch to `arrow`, which copies no values.
        collation: The column's collation (`nocase`, `de`, `nocase.noaccent`), or None.
        ordered: Whether stored values sort as the SQL values do, by plain comparison of integers,
            floats, bytes or UTF-8, so that their least and greatest bound the column.
    """

    sql: str
    storage_sql: str
    arrow: pa.DataType
    collation: str | None
    ordered: bool

    @property
    def identity(self) -> bool:
        """Whether the column is stored as it is, both expressions being the column itself."""
        return (
            self.collation is None
            and self.sql == self.storage_sql
            and _way(parse_type(self.sql), back=True) is _Way.IDENTITY
        )

    def to_storage(self, expression: str) -> str:
        """Write the expression of type `storage_sql` that stores a value.

        Args:
            expression: SQL for the value: a column reference, or something as cheap and as
                deterministic, since the answer may name it more than once.
        """
        return _convert(parse_type(self.sql), expression, 0, back=False)

    def from_storage(self, expression: str) -> str:
        """Write the expression of type `sql`, in this collation, that restores a stored value.

        Args:
            expression: SQL for the stored value, a column reference as for `to_storage`.
        """
        restored = _convert(parse_type(self.sql), expression, 0, back=True)
        return restored if self.collation is None else f"({restored} COLLATE {self.collation})"


@lru_cache(maxsize=4096)
def column_type(sql: str, *, collation: str | None = None) -> ColumnType:
    """Decide how a column is stored.

    Args:
        sql: The column's type, as DESCRIBE prints it.
        collation: The collation of a VARCHAR column, as in its definition.

    Raises:
        Unsupported: No column can be stored with this type or collation.
    """
    tree = parse_type(sql)
    storage = _storage(tree)
    if collation is not None:
        if tree != ScalarType("VARCHAR"):
            raise Unsupported(f"Only VARCHAR columns have a collation, not {excerpt(tree.sql)}.")
        if not re.fullmatch(r"\w+(\.\w+)*", collation):
            raise Unsupported(f"{excerpt(collation)} is not a collation.")
    return ColumnType(
        sql=tree.sql,
        storage_sql=storage.sql,
        arrow=_arrow(storage),
        collation=collation,
        ordered=collation is None and isinstance(tree, ScalarType) and tree.name in _ORDERED,
    )


def converted(expression: str, sql: str) -> str:
    """An expression converted to a column's type, as CAST does it.

    Args:
        expression: SQL for the value.
        sql: The type, as `ColumnType.sql` has it; the kernel has no name for an aggregate's state.
    """
    tree = parse_type(sql) if f"{STATE}(" in sql else None
    if tree is None or not holds_state(tree):
        return f"CAST({expression} AS {sql})"
    if isinstance(tree, StateType) and not is_finished(tree):
        return f"to_aggregate_state({_cast(expression, tree.physical)}, {tree.arguments})"
    return f"cast_to_type({expression}, {typed_null(sql)})"


def typed_null(sql: str) -> str:
    """NULL as a value of a column's type.

    Args:
        sql: The type, as `ColumnType.sql` has it.
    """
    if f"{STATE}(" not in sql or not holds_state(tree := parse_type(sql)):
        return f"CAST(NULL AS {sql})"
    return f"CASE WHEN false THEN {_example(tree)} END"


def _example(tree: SqlType) -> str:
    """Some value of a type, for types that the kernel has no name for."""
    if not holds_state(tree):
        return f"CAST(NULL AS {tree.sql})"
    match tree:
        case StateType(below, arguments):
            return f"to_aggregate_state(CAST(NULL AS {below.sql}), {arguments})"
        case ListType(element):
            return f"[{_example(element)}]"
        case MapType(key, value):
            entry = f'struct_pack("key" := {_example(key)}, "value" := {_example(value)})'
            return f"map_from_entries([{entry}][:0])"
        case StructType() | TupleType():
            return _pack(tree, [_example(part) for part in parts_of(tree)])
    raise AssertionError(tree)


def is_finished(tree: StateType) -> bool:
    """Tell whether ``finalize`` gives the value that lies below a state."""
    return isinstance(tree.physical, ScalarType) and tree.physical.name in _FINISHED


class _Way(IntEnum):
    """How much it takes to convert a type; a nested type takes what its worst part takes."""

    IDENTITY = 0
    CAST = 1
    EXPRESSION = 2


_ARROW: Final[dict[str, pa.DataType]] = {
    "BIGINT": pa.int64(), "BLOB": pa.binary(), "BOOLEAN": pa.bool_(), "DATE": pa.date32(),
    "DOUBLE": pa.float64(), "FLOAT": pa.float32(), "HUGEINT": pa.decimal128(38, 0),
    "INTEGER": pa.int32(), "SMALLINT": pa.int16(), "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"), "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
    "TIMESTAMPTZ_NS": pa.timestamp("ns", "UTC"), "TIMESTAMP_MS": pa.timestamp("ms"),
    "TIMESTAMP_NS": pa.timestamp("ns"), "TIMESTAMP_S": pa.timestamp("s"),
    "TIME_NS": pa.time64("ns"), "TINYINT": pa.int8(), "UBIGINT": pa.uint64(),
    "UINTEGER": pa.uint32(), "USMALLINT": pa.uint16(), "UTINYINT": pa.uint8(),
    "VARCHAR": pa.string(),
}  # fmt: skip

_BLOB: Final = ScalarType("BLOB")
_VARCHAR: Final = ScalarType("VARCHAR")
_UTINYINT: Final = ScalarType("UTINYINT")

# Scalar types with a storage type that differs and a lossless CAST both ways.
_CAST: Final = {
    "BIGNUM": _VARCHAR, "BIT": _VARCHAR, "ENUM": _VARCHAR, "GEOMETRY": _BLOB,
    "INTERVAL": _VARCHAR, "JSON": _VARCHAR, "NULL": ScalarType("BOOLEAN"),
    "TIME WITH TIME ZONE": _VARCHAR, "UUID": _BLOB,
}  # fmt: skip

# Scalar types to which no CAST leads from a state above them: only the least and the greatest
# value have such states, and these finish as themselves.
_FINISHED: Final = frozenset({
    "BIGNUM", "BIT", "BLOB", "DATE", "INTERVAL", "TIME", "TIME WITH TIME ZONE", "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP_S",
    "TIME_NS", "UUID",
})  # fmt: skip

_ORDERED: Final = frozenset(_ARROW) | {"DECIMAL", "JSON", "UHUGEINT", "UUID"}

_PARQUET_VARIANT: Final = StructType((Field("metadata", _BLOB), Field('"value"', _BLOB)))
_STORED_VARIANT: Final = StructType((
    Field('"type"', _VARCHAR), Field('"text"', _VARCHAR), Field("parquet", _PARQUET_VARIANT),
))  # fmt: skip


@lru_cache(maxsize=4096)
def _storage(tree: SqlType) -> SqlType:
    """Replace every part that Arrow does not carry by its storage type."""
    match tree:
        case ListType(element):
            return ListType(_storage(element))
        case StructType(fields):
            return StructType(tuple(Field(f.identifier, _storage(f.type)) for f in fields))
        case TupleType(items):
            return StructType(
                tuple(Field(f"element{i}", _storage(item)) for i, item in enumerate(items, 1))
            )
        case MapType(key, value):
            return MapType(_storage(key), _storage(value))
        case StateType(physical):
            return _storage(physical)
        case UnionType() | ArrayType() if any(map(holds_state, parts_of(tree))):
            pass  # the kernel makes these by naming their type, and a state's has no name
        case ArrayType(element, length):
            return ArrayType(_storage(element), length)
        case UnionType(members) if members:
            stored = (Field(f"m{i}", _storage(m.type)) for i, m in enumerate(members, 1))
            return StructType((Field("tag", _UTINYINT), *stored))
        case ScalarType(name) if name in _CAST:
            return _CAST[name]
        case ScalarType("UHUGEINT"):
            return ScalarType("HUGEINT")
        case ScalarType("VARIANT"):
            return _STORED_VARIANT
        case ScalarType(name) if name in _ARROW or name == "DECIMAL":
            return tree
    raise Unsupported(
        f"Columns of type {excerpt(printed(tree.sql))} cannot be stored.",
        hint="Cast the value to a type that tables can have.",
    )


def _arrow(storage: SqlType) -> pa.DataType:
    """Name the Arrow type as which the kernel exports a storage type; inner names are its own."""
    match storage:
        case ListType(element):
            return pa.list_(pa.field("l", _arrow(element)))
        case ArrayType(element, length):
            return pa.list_(pa.field("", _arrow(element)), length)
        case StructType(fields):
            return pa.struct([pa.field(field.name, _arrow(field.type)) for field in fields])
        case MapType(key, value):
            return pa.map_(_arrow(key), _arrow(value))
        case ScalarType("DECIMAL", (int(precision), int(scale))) if precision <= 38:
            return pa.decimal128(precision, scale)
        case ScalarType(name) if name in _ARROW:
            return _ARROW[name]
    raise Unsupported(f"Columns of type {excerpt(storage.sql)} cannot be stored.")


# --- Expressions ---------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _way(tree: SqlType, *, back: bool) -> _Way:
    match tree:
        case ScalarType("VARIANT" | "UHUGEINT"):
            return _Way.EXPRESSION
        case ScalarType("HUGEINT"):
            return _Way.CAST if back else _Way.IDENTITY
        case ScalarType(name):
            return _Way.CAST if name in _CAST else _Way.IDENTITY
        case UnionType() | StateType():
            return _Way.EXPRESSION
        case TupleType(items):
            return max((_Way.CAST, *(_way(item, back=back) for item in items)))
        case StructType(fields):
            return max((_Way.IDENTITY, *(_way(field.type, back=back) for field in fields)))
        case MapType(key, value):
            return max(_way(key, back=back), _way(value, back=back))
        case ListType(element) | ArrayType(element):
            return _way(element, back=back)


def _convert(tree: SqlType, value: str, depth: int, *, back: bool) -> str:
    """Convert an expression to its storage type, or back from it.

    Args:
        tree: The SQL type.
        value: The expression to convert.
        depth: How many lambdas surround the expression; it makes their parameters' names differ.
        back: Whether the value is a stored one.
    """
    way = _way(tree, back=back)
    if way is _Way.IDENTITY:
        return value
    target = tree if back else _storage(tree)
    if way is _Way.CAST:
        return _cast(value, target)
    match tree:
        case ScalarType("UHUGEINT"):
            return _uhugeint_from_storage(value) if back else _uhugeint_to_storage(value)
        case ScalarType("VARIANT"):
            return _variant_from_storage(value) if back else _variant_to_storage(value)
        case StateType(physical, arguments):
            if not back:
                return _convert(physical, _below(tree, value), depth, back=False)
            return f"to_aggregate_state({_convert(physical, value, depth, back=True)}, {arguments})"
        case UnionType(members):
            write = _union_from_storage if back else _union_to_storage
            return write(tree, members, value, depth)
        case ListType(element) | ArrayType(element):
            item = f"pl{depth}"
            converted = _convert(element, item, depth + 1, back=back)
            return _cast(f"list_transform({value}, lambda {item}: {converted})", target)
        case MapType(key, item_type):
            entry = f"pl{depth}"
            pair = (_part(entry, 1), _part(entry, 2))
            new_key = _convert(key, pair[0], depth + 1, back=back)
            new_value = _convert(item_type, pair[1], depth + 1, back=back)
            packed = f'struct_pack("key" := {new_key}, "value" := {new_value})'
            entries = f"list_transform(map_entries({value}), lambda {entry}: {packed})"
            return _cast(f"map_from_entries({entries})", target)
        case StructType(fields):
            types = tuple(field.type for field in fields)
        case TupleType(items):
            types = items
        case ScalarType():
            raise AssertionError(tree)
    parts = [
        _convert(part, _part(value, position), depth, back=back)
        for position, part in enumerate(types, 1)
    ]
    return f"CASE WHEN {value} IS NOT NULL THEN {_cast(_pack(target, parts), target)} END"


def _below(tree: StateType, value: str) -> str:
    """Take the value that lies below a state."""
    if is_finished(tree):
        return f"finalize({value})"
    if isinstance(tree.physical, ListType):
        # A CAST to the list alone is left out by the kernel, and a state has no list functions.
        return _part(f"CAST(row({value}) AS STRUCT(s {tree.physical.sql}))", 1)
    return _cast(value, tree.physical)


def _cast(value: str, tree: SqlType) -> str:
    if holds_state(tree):
        return value  # made of parts that have their types already
    return f"CAST({value} AS {tree.sql})"


def _part(value: str, position: int) -> str:
    """Take a field by position (from 1), which struct and tuple share and no name can upset."""
    return f"struct_extract_at({value}, {position})"


def _pack(tree: SqlType, parts: list[str]) -> str:
    if isinstance(tree, StructType):
        names = (field.identifier for field in tree.fields)
        return f"struct_pack({', '.join(map('{} := {}'.format, names, parts))})"
    return f"row({', '.join(parts)})"


def _union_to_storage(tree: UnionType, members: tuple[Field, ...], value: str, depth: int) -> str:
    """Spread a union over a struct, because Arrow's union cannot tell a null from a null member."""
    storage = _storage(tree)
    tag = f"CAST(enum_code(union_tag({value})) AS UTINYINT)"
    parts = [
        _convert(m.type, f"union_extract({value}, {literal(m.name)})", depth, back=False)
        for m in members
    ]
    packed = _cast(_pack(storage, [tag, *parts]), storage)
    return f"CASE WHEN union_tag({value}) IS NOT NULL THEN {packed} END"


def _union_from_storage(tree: UnionType, members: tuple[Field, ...], value: str, depth: int) -> str:
    branches = []
    for position, member in enumerate(members):
        part = _convert(member.type, _part(value, position + 2), depth, back=True)
        union = _cast(f"union_value({member.identifier} := {part})", tree)
        branches.append(f"WHEN {position} THEN {union}")
    return f"CASE {_part(value, 1)} {' '.join(branches)} END"


_HALF: Final = 2**127


def _uhugeint_to_storage(value: str) -> str:
    return (
        f"CASE WHEN {value} < {_HALF}::UHUGEINT THEN CAST({value} AS HUGEINT) + (-{_HALF})::HUGEINT"
        f" ELSE CAST({value} - {_HALF}::UHUGEINT AS HUGEINT) END"
    )


def _uhugeint_from_storage(value: str) -> str:
    whole = f"CAST({value} AS HUGEINT)"  # It arrives as DECIMAL(38,0).
    return (
        f"CASE WHEN {whole} < 0 THEN CAST({whole} - (-{_HALF})::HUGEINT AS UHUGEINT)"
        f" ELSE CAST({whole} AS UHUGEINT) + {_HALF}::UHUGEINT END"
    )


# What VARIANT calls the scalars that the Parquet encoding of a variant lacks or changes, with the
# SQL type of each.
_VARIANT_TEXTS: Final = {
    "BIGNUM": "BIGNUM", "BITSTRING": "BIT", "INT128": "HUGEINT", "INTERVAL": "INTERVAL",
    "TIMESTAMP_MILIS": "TIMESTAMP_MS", "TIMESTAMP_SEC": "TIMESTAMP_S",
    "TIME_MICROS_TZ": "TIME WITH TIME ZONE", "TIME_NANOS": "TIME_NS", "UINT128": "UHUGEINT",
    "UINT16": "USMALLINT", "UINT32": "UINTEGER", "UINT64": "UBIGINT", "UINT8": "UTINYINT",
}  # fmt: skip

# Two more, whose plain text is not exact: it rounds coordinates, and it writes an instant in the
# connection's zone without the seconds of that zone's offset in the 19th century.
_VARIANT_WRITERS: Final = {
    "GEOMETRY": "hex(CAST(CAST({} AS GEOMETRY) AS BLOB))",
    "TIMESTAMP_NANOS_TZ": "CAST(timezone('UTC', CAST({} AS TIMESTAMPTZ_NS)) AS VARCHAR)",
}
_VARIANT_READERS: Final = {
    "GEOMETRY": "CAST(unhex({}) AS GEOMETRY)",
    "TIMESTAMP_NANOS_TZ": "timezone('UTC', CAST({} AS TIMESTAMP_NS))",
}


def _variant_to_storage(value: str) -> str:
    """Store a variant in the Parquet encoding where that is exact, else as type and text.

    The Parquet encoding has no unsigned, 128-bit, zoned-time or interval scalars, and SQL cannot
    reach the values inside an object by names that it does not know. So within objects and arrays
    an unsigned integer keeps its value but becomes the next wider signed type, and what the
    encoding lacks is refused by the kernel; a decimal keeps value and scale, not its precision.
    """
    kind = f"variant_typeof({value})"
    exact = f"{kind} NOT IN ({', '.join(map(literal, (*_VARIANT_TEXTS, *_VARIANT_WRITERS)))})"
    parquet = _cast(f"variant_to_parquet_variant({value})", _PARQUET_VARIANT)
    texts = " ".join(
        f"WHEN {literal(name)} THEN {text.format(value)}" for name, text in _VARIANT_WRITERS.items()
    )
    packed = (
        f'struct_pack("type" := CASE WHEN {exact} THEN NULL ELSE {kind} END,'
        f' "text" := CASE WHEN {exact} THEN NULL'
        f" ELSE CASE {kind} {texts} ELSE CAST({value} AS VARCHAR) END END,"
        f" parquet := CASE WHEN {exact} THEN {parquet} END)"
    )
    return f"CASE WHEN {value} IS NOT NULL THEN {_cast(packed, _STORED_VARIANT)} END"


def _variant_from_storage(value: str) -> str:
    kind, text, parquet = (_part(value, position) for position in (1, 2, 3))
    scalars = {name: f"CAST({text} AS {sql})" for name, sql in _VARIANT_TEXTS.items()}
    scalars |= {name: reader.format(text) for name, reader in _VARIANT_READERS.items()}
    branches = " ".join(
        f"WHEN {literal(name)} THEN CAST({scalar} AS VARIANT)" for name, scalar in scalars.items()
    )
    encoded = f"{_part(parquet, 1)} || {_part(parquet, 2)}"
    return (
        f"CASE WHEN {value} IS NULL THEN NULL"
        f" WHEN {kind} IS NULL THEN variant_bytes_to_variant({encoded})"
        f" ELSE CASE {kind} {branches} END END"
    )
