"""SQL types: values on their way to and from Python, and types that are read from a store."""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy.types as sqltypes
from sqlalchemy.dialects.postgresql import INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine.interfaces import Dialect

    _Convert = Callable[[Any], Any] | None


class Spelled(sqltypes.UserDefinedType[Any]):
    """A type that SQLAlchemy has no class for, as SQL spells it; values pass unchanged.

    Args:
        spelling: SQL type text, such as `STRUCT(a INTEGER)`.
    """

    cache_ok = True

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling

    def get_col_spec(self, **_: Any) -> str:
        """The type as SQL spells it."""
        return self.spelling

    def __repr__(self) -> str:
        return f"Spelled({self.spelling!r})"


class PagelakeNumeric(sqltypes.Numeric[Any]):
    """Decimals arrive as decimals, and doubles as floats: each is made what was asked for."""

    def bind_processor(self, dialect: Dialect) -> _Convert:
        """Values are passed as they are."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> _Convert:
        """Make decimals where the type says so, else floats."""
        if not self.asdecimal:
            return lambda value: None if value is None else float(value)
        digits = self._effective_decimal_return_scale

        def to_decimal(value: Any) -> Any:
            if isinstance(value, float):
                return decimal.Decimal(f"{value:.{digits}f}")
            return decimal.Decimal(value) if isinstance(value, int) else value

        return to_decimal


class PagelakeFloat(sqltypes.Float[Any]):
    """The same for FLOAT and DOUBLE."""

    result_processor = PagelakeNumeric.result_processor

    def bind_processor(self, dialect: Dialect) -> _Convert:
        """Values are passed as they are."""
        return None


class PagelakeInterval(INTERVAL):
    """INTERVAL; literals are written as DuckDB reads them."""

    @classmethod
    def adapt_emulated_to_native(  # type: ignore[override]
        cls, impl: Any, **kw: Any
    ) -> PagelakeInterval:
        """The type for SQLAlchemy's generic one."""
        return cls(precision=impl.second_precision)

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str] | None:
        """Write a timedelta in whole units, none of which rounds."""
        return lambda value: (
            f"INTERVAL '{value.days} days {value.seconds} seconds {value.microseconds} us'"
        )


class PagelakeJSON(sqltypes.JSON):
    """JSON; values travel as text."""


class _JSONPathText:
    """Writes indexes into JSON values as DuckDB's paths."""

    def bind_processor(self, dialect: Dialect) -> _Convert:
        return self._text

    def literal_processor(self, dialect: Dialect) -> _Convert:
        return lambda value: "'{}'".format(self._text(value).replace("'", "''"))

    @staticmethod
    def _text(value: Any) -> str:
        steps = value if isinstance(value, list | tuple) else [value]
        return "$" + "".join(map(_step, steps))


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]" if key >= 0 else f"[#{key}]"
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'."{escaped}"'


class PagelakeJSONIndex(_JSONPathText, sqltypes.JSON.JSONIndexType):  # type: ignore[misc]
    """An index or a key of a JSON value."""


class PagelakeJSONPath(_JSONPathText, sqltypes.JSON.JSONPathType):  # type: ignore[misc]
    """Several of them, from the outside in."""


COLSPECS: dict[type[Any], type[Any]] = {
    sqltypes.Numeric: PagelakeNumeric,
    sqltypes.Float: PagelakeFloat,
    sqltypes.Interval: PagelakeInterval,
    INTERVAL: PagelakeInterval,
    sqltypes.JSON: PagelakeJSON,
    sqltypes.JSON.JSONIndexType: PagelakeJSONIndex,
    sqltypes.JSON.JSONPathType: PagelakeJSONPath,
}
"""What generic types become."""

_PLAIN: dict[str, Callable[[], sqltypes.TypeEngine[Any]]] = {
    "BOOLEAN": sqltypes.BOOLEAN,
    "TINYINT": lambda: Spelled("TINYINT"),
    "SMALLINT": sqltypes.SMALLINT,
    "INTEGER": sqltypes.INTEGER,
    "BIGINT": sqltypes.BIGINT,
    "FLOAT": sqltypes.REAL,
    "DOUBLE": sqltypes.DOUBLE,
    "VARCHAR": sqltypes.VARCHAR,
    "BLOB": sqltypes.BLOB,
    "DATE": sqltypes.DATE,
    "TIME": sqltypes.TIME,
    "TIME WITH TIME ZONE": lambda: sqltypes.TIME(timezone=True),
    "TIMESTAMP": sqltypes.TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": lambda: sqltypes.TIMESTAMP(timezone=True),
    "INTERVAL": INTERVAL,
    "UUID": sqltypes.UUID,
    "JSON": PagelakeJSON,
}
_DECIMAL = re.compile(r"DECIMAL\((\d+), ?(\d+)\)")
_LIST = re.compile(r"(.+)\[\d*\]")


def type_of(text: str) -> sqltypes.TypeEngine[Any]:
    """SQLAlchemy's type for an SQL type text, as the store and DESCRIBE write it."""
    plain = _PLAIN.get(text)
    if plain is not None:
        return plain()
    if decimals := _DECIMAL.fullmatch(text):
        return sqltypes.DECIMAL(int(decimals[1]), int(decimals[2]))
    if elements := _LIST.fullmatch(text):
        inner = type_of(elements[1])
        if isinstance(inner, sqltypes.ARRAY):
            return sqltypes.ARRAY(inner.item_type, dimensions=(inner.dimensions or 1) + 1)
        return sqltypes.ARRAY(inner, dimensions=1)
    return Spelled(text)
