"""What a type AGGREGATE_STATE is of, as the kernel's plans tell it.

The kernel prints every exported state as AGGREGATE_STATE, whatever the aggregate. Its serialized
plans alone tell the rest: the aggregate's name, the types of its arguments, those that are
constants with their values, and its ORDER BY. From these come the arguments of
``to_aggregate_state``, which makes a state from the plain value that lies below it:

    string_agg(v, '-' ORDER BY v) ──► 'string_agg', ['VARCHAR', 'VARCHAR'],
                                      [NULL, CAST('-' AS VARCHAR)],
                                      [{"column": 0, "order": 'ASC NULLS LAST'}]
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import Unsupported
from .type_tree import (
    STATE,
    ArrayType,
    Field,
    ListType,
    MapType,
    ScalarType,
    StateType,
    StructType,
    TupleType,
    UnionType,
    holds_state,
    literal,
    parse_type,
    parts_of,
    with_parts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .type_tree import SqlType


def with_signatures(printed: str, serialized: Mapping[str, Any]) -> SqlType:
    """A type whose states tell what they are of.

    Args:
        printed: The type as the kernel prints it.
        serialized: The same type in a serialized plan.

    Raises:
        Unsupported: A state's signature cannot be told.
    """
    return _signed(parse_type(printed), serialized)


def states(tree: SqlType, expression: str) -> Iterator[tuple[StateType, str]]:
    """The states in a type, each with an expression that reads one.

    Args:
        tree: The type.
        expression: A value of it.
    """
    match tree:
        case StateType():
            yield tree, expression
        case ListType(element) | ArrayType(element):
            yield from states(element, f"{expression}[1]")
        case MapType(key, value):
            yield from states(key, f"map_keys({expression})[1]")
            yield from states(value, f"map_values({expression})[1]")
        case StructType() | TupleType():
            for position, part in enumerate(parts_of(tree), 1):
                yield from states(part, f"struct_extract_at({expression}, {position})")


def _inside(tree: SqlType, info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The serialized types of a type's parts."""
    match tree:
        case ListType() | ArrayType():
            return [info["child_type"]]
        case MapType():
            return [child["second"] for child in info["child_type"]["type_info"]["child_types"]]
        case StructType() | TupleType():
            return [child["second"] for child in info["child_types"]]
        case UnionType():
            return [child["second"] for child in info["child_types"] if child["first"]]
    return []


def _signed(tree: SqlType, serialized: Mapping[str, Any]) -> SqlType:
    info = serialized.get("type_info") or {}
    if tree == ScalarType(STATE):
        return _state(serialized)
    pairs = zip(parts_of(tree), _inside(tree, info), strict=True)
    return with_parts(tree, [_signed(*pair) for pair in pairs])


# --- Serialized types ----------------------------------------------------------------------------


def _read(serialized: Mapping[str, Any]) -> SqlType:
    """A serialized type as a tree; all names of fields are quoted."""
    info = serialized.get("type_info") or {}
    alias, name = info.get("alias"), serialized["id"]
    if alias == STATE:
        return _state(serialized)
    if alias:
        return parse_type(alias)
    match name:
        case "LIST":
            return ListType(_read(info["child_type"]))
        case "ARRAY":
            return ArrayType(_read(info["child_type"]), int(info["size"]))
        case "MAP":
            key, value = info["child_type"]["type_info"]["child_types"]
            return MapType(_read(key["second"]), _read(value["second"]))
        case "STRUCT":
            return StructType(_fields(info["child_types"]))
        case "TUPLE":
            return TupleType(tuple(_read(child["second"]) for child in info["child_types"]))
        case "UNION":
            return UnionType(_fields([c for c in info["child_types"] if c["first"]]))
        case "DECIMAL":
            return ScalarType(name, (int(info["width"]), int(info["scale"])))
        case "ENUM":
            return ScalarType(name, tuple(info["values"]))
        case "NULL":
            return ScalarType(name)
    return parse_type(name)


def _fields(children: list[Mapping[str, Any]]) -> tuple[Field, ...]:
    return tuple(
        Field('"' + child["first"].replace('"', '""') + '"', _read(child["second"]))
        for child in children
    )


def _state(serialized: Mapping[str, Any]) -> StateType:
    info = dict(serialized["type_info"])
    properties = {p["key"]: p["value"] for p in info["extension_info"]["properties"]}
    known = {"function_name", "parameters", "order_bys"}
    if not {"function_name", "parameters"} <= properties.keys() <= known:
        raise Unsupported("States of that aggregate cannot be stored.", construct=STATE)
    types: list[str] = []
    constants: list[str] = []
    with_values = properties["parameters"]["type"]["type_info"]["child_type"]["id"] == "STRUCT"
    for parameter in properties["parameters"]["value"]["children"]:
        if with_values:
            kind, constant = parameter["value"]["children"]
            types.append(_signature(kind["value"]))
            constants.append(
                "NULL" if constant["is_null"] else _constant(*parameter["value"]["children"])
            )
        else:
            types.append(_signature(parameter["value"]))
            constants.append("NULL")
    name = str(properties["function_name"]["value"])
    arguments = [literal(name), f"[{', '.join(types)}]"]
    order = properties.get("order_bys")
    if with_values or order:
        arguments.append(f"[{', '.join(constants)}]")
    if order:
        arguments.append(f"[{', '.join(map(_order, order['value']['children']))}]")
    below = {k: v for k, v in info.items() if k not in {"alias", "extension_info"}}
    physical = _plain({"id": serialized["id"], "type_info": below})
    return StateType(physical, ", ".join(arguments))


def _plain(serialized: Mapping[str, Any]) -> SqlType:
    tree = _read(serialized)
    if holds_state(tree):
        raise Unsupported("States of states cannot be stored.", construct=STATE)
    return tree


def _signature(serialized: Mapping[str, Any]) -> str:
    """An argument's type, as a text that the kernel reads."""
    info = serialized.get("type_info") or {}
    collation = f" COLLATE {info['collation']}" if info.get("collation") else ""
    return literal(_plain(serialized).sql + collation)


_DIRECTIONS: Final = {"ASCENDING": "ASC", "DESCENDING": "DESC"}


def _order(key: Mapping[str, Any]) -> str:
    column, order = (item["value"] for item in key["value"]["children"])
    direction, _, nulls = str(order).partition(" ")
    text = literal(f"{_DIRECTIONS[direction]} {nulls}")
    return f'{{"column": {int(column)}, "order": {text}}}'


# --- Constants -----------------------------------------------------------------------------------

_ESCAPE: Final = re.compile(rb"\\x([0-9A-F]{2})")

# Numbers by the byte that tells their type in a variant: the SQL type, and how to read the bytes.
_NUMBERS: Final = {
    3: ("TINYINT", "<b"), 4: ("SMALLINT", "<h"), 5: ("INTEGER", "<i"), 6: ("BIGINT", "<q"),
    8: ("UTINYINT", "<B"), 9: ("USMALLINT", "<H"), 10: ("UINTEGER", "<I"), 11: ("UBIGINT", "<Q"),
    13: ("FLOAT", "<f"), 14: ("DOUBLE", "<d"),
}  # fmt: skip
_NULL, _TRUE, _FALSE, _DECIMAL, _VARCHAR, _LIST = 0, 1, 2, 15, 16, 30


def _constant(kind: Mapping[str, Any], constant: Mapping[str, Any]) -> str:
    """SQL for a constant, which plans have as the parts of a variant.

    Args:
        kind: Type of the argument. A state that was made of its value has the constant in that
            type, where one that an aggregate exported may have it as it was written.
        constant: The constant.

    Raises:
        Unsupported: It is of a type that no known aggregate has a constant of.
    """
    _, children, values, packed = (part["value"] for part in constant["value"]["children"])
    text = str(packed).encode()
    data = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text)
    places = [
        tuple(item["value"] for item in value["value"]["children"]) for value in values["children"]
    ]
    followers = [child["value"]["children"][1]["value"] for child in children["children"]]
    return _value(_Variant(places, followers, data), 0, _plain(kind["value"]))


@dataclass(frozen=True, slots=True)
class _Variant:
    """A variant's parts: type and place of each value, the values in lists, and the bytes."""

    places: list[tuple[int, ...]]
    followers: list[int]
    data: bytes


def _value(variant: _Variant, index: int, wanted: SqlType) -> str:
    data = variant.data
    kind, at = variant.places[index]
    if kind == _NULL:
        return "NULL"
    if kind in {_TRUE, _FALSE}:
        return "true" if kind == _TRUE else "false"
    if kind in _NUMBERS:
        name, form = _NUMBERS[kind]
        (number,) = struct.unpack_from(form, data, at)
        return f"CAST('{number!r}' AS {name})"
    if kind == _DECIMAL:
        width, at = _length(data, at)
        scale, at = _length(data, at)
        size = next(s for limit, s in ((4, 2), (9, 4), (18, 8), (38, 16)) if width <= limit)
        digits = int.from_bytes(data[at : at + size], "little", signed=True)
        if wanted in {ScalarType("DOUBLE"), ScalarType("FLOAT")}:
            return f"CAST('{digits / 10.0**scale!r}' AS {wanted.sql})"
        sign = "-" if digits < 0 else ""
        text = str(abs(digits)).rjust(scale + 1, "0")
        whole, part = text[: len(text) - scale], text[len(text) - scale :]
        return f"CAST('{sign}{whole}.{part}' AS DECIMAL({width},{scale}))"
    if kind == _VARCHAR:
        size, at = _length(data, at)
        return f"CAST({literal(data[at : at + size].decode())} AS VARCHAR)"
    if kind == _LIST:
        size, at = _length(data, at)
        if not size:
            return "[]"
        first, _ = _length(data, at)
        element = wanted.element if isinstance(wanted, ListType) else wanted
        found = variant.followers[first : first + size]
        items = (_value(variant, follower, element) for follower in found)
        return f"[{', '.join(items)}]"
    raise Unsupported("States with a constant of that type cannot be stored.", construct=STATE)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; returns it and the place behind it."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
