"""Constants of point queries: from literals and parameters to stored values.

Only conversions that are beyond doubt are made here; whatever else a statement compares with a
key is the kernel's to convert.
"""

from __future__ import annotations

import datetime
import math
import re
import uuid
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from ...sql.predicate import storage_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...sql.tokens import TokenStream

_RANGES: Final = {
    "TINYINT": (-(1 << 7), (1 << 7) - 1),
    "SMALLINT": (-(1 << 15), (1 << 15) - 1),
    "INTEGER": (-(1 << 31), (1 << 31) - 1),
    "BIGINT": (-(1 << 63), (1 << 63) - 1),
    "UTINYINT": (0, (1 << 8) - 1),
    "USMALLINT": (0, (1 << 16) - 1),
    "UINTEGER": (0, (1 << 32) - 1),
    "UBIGINT": (0, (1 << 64) - 1),
}
_INTEGER = re.compile(r"\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_DOUBLE_INTEGER_MAX: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class Item:
    """One constant of a statement.

    Attributes:
        parameter: Its key, for a parameter.
        value: The literal's value otherwise.
    """

    parameter: str | None
    value: object = None


class NotSimple(Exception):
    """The kernel must decide."""


class _NoMatch:
    """A value that no stored value of the column equals."""


NO_MATCH: Final = _NoMatch()


def is_comparable(sql_type: str) -> bool:
    """Tell whether constants can be compared with a column of a type here."""
    return (
        sql_type in _RANGES
        or sql_type in {"VARCHAR", "BLOB", "BOOLEAN", "DATE", "TIMESTAMP", "DOUBLE", "UUID"}
        or _DECIMAL.fullmatch(sql_type) is not None
    )


def read_item(stream: TokenStream, next_positional: int) -> Item | None:
    """Read a literal or a parameter; None where something else stands."""
    if stream.at_end():
        return None
    token = stream.tokens[stream.at]
    kind, text = token.token_type.name, token.text
    stream.at += 1
    if kind == "PLACEHOLDER":
        return Item(str(next_positional))
    if kind == "STRING":
        return Item(None, text)
    if kind == "NUMBER" and _INTEGER.fullmatch(text):
        return Item(None, int(text))
    if kind in {"TRUE", "FALSE", "NULL"}:
        return Item(None, {"NULL": None, "TRUE": True, "FALSE": False}[kind])
    if stream.at_end():
        return None
    following = stream.tokens[stream.at].text
    if kind == "PARAMETER":
        stream.at += 1
        return Item(following)
    if kind == "DASH" and _INTEGER.fullmatch(following):
        stream.at += 1
        return Item(None, -int(following))
    return None


def stored_constant(item: Item, parameters: Mapping[str, object], sql_type: str) -> object:
    """The stored value that equals a constant.

    Returns:
        A Python value for the column's Arrow type, None for NULL, or ``NO_MATCH``.

    Raises:
        NotSimple: It takes a conversion that the kernel must make.
    """
    value = item.value if item.parameter is None else parameters[item.parameter]
    if value is None:
        return None
    if bounds := _RANGES.get(sql_type):
        if type(value) is not int:
            raise NotSimple
        return value if bounds[0] <= value <= bounds[1] else NO_MATCH
    if sql_type == "VARCHAR" and type(value) is str:
        return value
    if sql_type == "BLOB" and type(value) is bytes:
        return value
    if sql_type == "BOOLEAN" and type(value) is bool:
        return value
    if sql_type == "UUID" and type(value) is uuid.UUID:
        return value.bytes
    if sql_type == "DOUBLE":
        return _double(value)
    if sql_type == "DATE":
        return _date(value, literal=item.parameter is None)
    if sql_type == "TIMESTAMP" and type(value) is datetime.datetime and value.tzinfo is None:
        return value
    if decimal := _DECIMAL.fullmatch(sql_type):
        return _decimal(value, sql_type, int(decimal[1]))
    raise NotSimple


def _double(value: object) -> object:
    if type(value) is int and abs(value) <= _DOUBLE_INTEGER_MAX:
        return float(value)
    if type(value) is float and not math.isnan(value):
        return value
    raise NotSimple


def _date(value: object, *, literal: bool) -> object:
    if type(value) is datetime.date:
        return value
    if literal and type(value) is str and _DATE.fullmatch(value):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise NotSimple from None
    raise NotSimple


def _decimal(value: object, sql_type: str, digits: int) -> object:
    if type(value) not in {int, Decimal}:
        raise NotSimple
    try:
        unscaled = storage_value(value, sql_type)
    except (InvalidOperation, ValueError, OverflowError):
        raise NotSimple from None
    if not isinstance(unscaled, int) or abs(unscaled) >= 10**digits:
        raise NotSimple
    return Decimal(value)  # type: ignore[arg-type]
