"""Parameters where a plan needs a value: in AT clauses, RESTORE, CALL and table_changes.

What a statement reads depends on the version that such an expression means, so its parameters
become literals of the text before it is planned; the kernel gets those that are left.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from ...errors import InvalidRequest
from ...sql.parameters import markers
from ...sql.references import VersionedName, references
from ...sql.tokens import literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...sql.parameters import Marker
    from ..kernel import Parameters

_WHOLE = re.compile(r"\s*(CALL|RESTORE)\b", re.IGNORECASE)
"""Statements that the kernel never sees."""


def bind_versions(sql: str, parameters: Parameters) -> tuple[str, Parameters]:
    """Put the values of parameters that choose versions into a statement's text.

    Args:
        sql: The statement.
        parameters: Its parameters.

    Returns:
        The text, and the parameters that are left in it.

    Raises:
        InvalidRequest: A value is missing, or cannot stand in such a place.
    """
    regions = _regions(sql) if parameters else []
    if not regions:
        return sql, parameters
    found = markers(sql)
    inside = [m for m in found if any(start <= m.start < end for start, end in regions)]
    if not inside:
        return sql, parameters
    given = _given(parameters)
    for marker in reversed(inside):
        if marker.key not in given:
            raise InvalidRequest(
                f"there is no value for {sql[marker.start : marker.end]}",
                hint="pass a list for ? and $1, a dictionary for $name",
            )
        sql = sql[: marker.start] + _literal(given[marker.key]) + sql[marker.end :]
    return sql, _left(given, inside, [m for m in found if m not in inside])


@lru_cache(maxsize=256)
def _regions(sql: str) -> list[tuple[int, int]]:
    """Where the parameters of a statement are wanted before it is planned, by offsets."""
    if _WHOLE.match(sql):
        return [(0, len(sql))]
    found = references(sql)
    return [(r.start if isinstance(r, VersionedName) else r.bracket, r.end) for r in found]


def _given(parameters: Parameters) -> dict[str, object]:
    if isinstance(parameters, Mapping):
        return {str(name): value for name, value in parameters.items()}
    return {str(number): value for number, value in enumerate(parameters or (), start=1)}


def _left(
    given: dict[str, object], inside: Sequence[Marker], others: Sequence[Marker]
) -> Parameters:
    """The parameters of the other markers, and those that no marker asks for."""
    used, wanted = {m.key for m in inside}, {m.key for m in others}
    left = {key: value for key, value in given.items() if key in wanted or key not in used}
    if any(marker.positional for marker in (*inside, *others)):
        return list(left.values()) or None
    return left or None


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | Decimal() | float():
            return str(value)
        case str():
            return literal(value)
        case datetime():
            kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
            return f"{kind} {literal(value.isoformat(sep=' '))}"
        case date():
            return f"DATE {literal(value.isoformat())}"
        case timedelta():
            return f"INTERVAL {literal(f'{value // timedelta(microseconds=1)} microseconds')}"
    try:
        return str(operator.index(value))  # type: ignore[arg-type]
    except TypeError:
        raise InvalidRequest(
            f"a {type(value).__name__} cannot be the value of a parameter here",
            hint="pass a number, a text, a time or a timedelta",
        ) from None
