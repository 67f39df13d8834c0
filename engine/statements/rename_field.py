"""ALTER TABLE … RENAME COLUMN column.field: the same values under another field name.

A cast between structs matches fields by name and would lose the renamed one; fields keep their
order, so values are taken over by position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sql.tokens import literal, quote
from ...sql.type_tree import ArrayType, ListType, MapType, StructType

if TYPE_CHECKING:
    from ...sql.type_tree import SqlType


def taken_over(expression: str, was: SqlType, becomes: SqlType, depth: int = 0) -> str:
    """SQL that gives a value's fields the names of another type.

    Args:
        expression: The value.
        was: Its type.
        becomes: A type that differs in names of fields only.
        depth: How many lists the value lies in.
    """
    if was == becomes:
        return expression
    item = f"item_{depth}"
    match was, becomes:
        case StructType(old), StructType(new):
            fields = [
                f"{quote(b.name)} := "
                + taken_over(_field(expression, a.name), a.type, b.type, depth)
                for a, b in zip(old, new, strict=True)
            ]
            packed = f"struct_pack({', '.join(fields)})"
            return f"CASE WHEN {expression} IS NOT NULL THEN {packed} END"
        case (ListType(a), ListType(b)) | (ArrayType(a), ArrayType(b)):
            inner = taken_over(item, a, b, depth + 1)
            return f"list_transform({expression}, lambda {item}: {inner})"
        case MapType(), MapType():
            key = taken_over(f"{item}.key", was.key, becomes.key, depth + 1)
            value = taken_over(f"{item}.value", was.value, becomes.value, depth + 1)
            entry = f"struct_pack(k := {key}, v := {value})"
            entries = f"list_transform(map_entries({expression}), lambda {item}: {entry})"
            return f"CASE WHEN {expression} IS NOT NULL THEN map_from_entries({entries}) END"
    return expression


def _field(expression: str, name: str) -> str:
    return f"struct_extract({expression}, {literal(name)})"
