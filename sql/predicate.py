"""Simple predicates on one column: what zone maps and system relations can make use of."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EPOCH = datetime.date(1970, 1, 1)
_EPOCH_TIME = datetime.datetime(1970, 1, 1)
_INTEGER = re.compile(r"[+-]?\d+")
_INTEGERS: Final = frozenset({
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
})  # fmt: skip
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_TIMESTAMP_UNITS: Final = {
    "TIMESTAMP": 1, "TIMESTAMP_S": 1_000_000, "TIMESTAMP_MS": 1_000,
}  # fmt: skip

StorageValue = int | float | str | bytes | bool


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant in a predicate: a literal's text, or a parameter still to be bound.

    Attributes:
        text: The literal's text, or the parameter's name or 1-based number.
        kind: ``string``, ``number``, ``boolean`` or ``parameter``.
    """

    text: str
    kind: str

    def value(self, parameters: Mapping[str, object]) -> object:
        """The Python value; None where it is not known (which matches everything)."""
        if self.kind == "parameter":
            return parameters.get(self.text)
        if self.kind == "number":
            try:
                return int(self.text) if _INTEGER.fullmatch(self.text) else Decimal(self.text)
            except (ValueError, InvalidOperation):
                return None
        return self.text.lower() == "true" if self.kind == "boolean" else self.text


@dataclass(frozen=True, slots=True)
class Predicate:
    """``column op constant``.

    Attributes:
        column: Column name as the relation has it.
        op: A comparison, ``in``, ``is null`` or ``is not null``.
        constants: One constant for a comparison, any number for ``in``, none for null tests.
    """

    column: str
    op: str
    constants: tuple[Constant, ...] = ()

    def __str__(self) -> str:
        forms = {"parameter": "${}", "string": "'{}'"}
        shown = [forms.get(c.kind, "{}").format(c.text) for c in self.constants]
        if self.op == "in":
            return f"{self.column} IN ({', '.join(shown)})"
        return " ".join([self.column, self.op.upper(), *shown])

    def values(
        self, parameters: Mapping[str, object], sql_type: str
    ) -> Sequence[StorageValue] | None:
        """The constants as stored values of a column type, None where one is not comparable.

        A constant that cannot be converted exactly is not comparable: pruning by it could lose
        rows, not pruning never does.
        """
        values = [storage_value(c.value(parameters), sql_type) for c in self.constants]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None


def storage_value(value: object, sql_type: str) -> StorageValue | None:
    """Convert a Python value to the stored form of a SQL type, None when that is not exact.

    Integers stay integers, decimals become unscaled integers, dates days and timestamps units
    since the epoch.
    """
    if value is None:
        return None
    if sql_type in _INTEGERS:
        return _integer(value)
    if decimal := _DECIMAL.fullmatch(sql_type):
        return _unscaled(value, int(decimal[2]))
    if sql_type == "DOUBLE":
        return float(value) if isinstance(value, int | float | Decimal) else None
    if sql_type == "VARCHAR":
        return value if isinstance(value, str) else None
    if sql_type == "BLOB":
        return value if isinstance(value, bytes) else None
    if sql_type == "BOOLEAN":
        return value if isinstance(value, bool) else None
    if sql_type == "DATE":
        return _days(value)
    if sql_type in _TIMESTAMP_UNITS:
        return _timestamp(value, _TIMESTAMP_UNITS[sql_type])
    return None


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    return None


def _unscaled(value: object, scale: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    unscaled = Decimal(value).scaleb(scale)
    return int(unscaled) if unscaled == unscaled.to_integral_value() else None


def _days(value: object) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.date.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return (value - _EPOCH).days
    return None


def _timestamp(value: object, unit_us: int) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime) or value.tzinfo is not None:
        return None
    since = value - _EPOCH_TIME
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return micros // unit_us if micros % unit_us == 0 else None
