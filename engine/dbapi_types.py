"""Type objects and constructors of PEP 249."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class TypeObject:
    """Compares equal to the SQL type texts that it stands for."""

    def __init__(self, *prefixes: str) -> None:
        self._prefixes = prefixes

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, str) and other.upper().startswith(self._prefixes)
        )

    def __hash__(self) -> int:
        return hash(self._prefixes)

    def __repr__(self) -> str:
        return f"<types {', '.join(self._prefixes)}>"


STRING = TypeObject("VARCHAR", "JSON", "ENUM", "UUID")
BINARY = TypeObject("BLOB", "BIT")
NUMBER = TypeObject(
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "UBIGINT", "UHUGEINT", "DECIMAL", "FLOAT", "DOUBLE", "BIGNUM",
)  # fmt: skip
DATETIME = TypeObject("DATE", "TIME", "TIMESTAMP", "INTERVAL")
ROWID = TypeObject("ROWID")

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime


def DateFromTicks(ticks: float) -> datetime.date:
    """Date of seconds since the epoch, local time."""
    return datetime.date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:
    """Time of day of seconds since the epoch, local time."""
    return datetime.time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """Timestamp of seconds since the epoch, local time."""
    return datetime.datetime(*time.localtime(ticks)[:6])


def Binary(content: bytes | bytearray | memoryview | Iterable[int]) -> bytes:
    """Bytes for a BLOB."""
    return bytes(content)
