"""What tells results apart: the text of a statement, the values of its parameters, what it reads.

Two calls may share an answer only where nothing about them could make a difference, so whatever
is not known to be harmless keeps them apart: 1, 1.0 and TRUE are three values, and a value of
a type that is not listed here has no identity at all.
"""

from __future__ import annotations

import datetime
import re
import struct
import uuid
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING

from ...sql.provider import RelationKind

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ...sql.logical import LogicalPlan
    from ...storage.snapshot import Snapshot
    from ..kernel import Parameters

# Texts whose quoting takes more than the two usual quotes are left as they are.
_UNUSUAL = re.compile(r"""/\*|\$\w*\$|\b[A-Za-z]&?'""")
_PIECES = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?P<gap>(?:[ \t\r\n\f\v]|--[^\n]*)+)""")
_ZONES = (datetime.timezone, zoneinfo.ZoneInfo)


class NoIdentity(Exception):
    """A value cannot be told from all others that give another answer."""


def canonical_text(sql: str) -> str:
    """A statement without what lies between its tokens, as far as that means nothing.

    A line break stays one: two strings in two lines are one string to the kernel.
    """
    if _UNUSUAL.search(sql):
        return sql

    def shortened(match: re.Match[str]) -> str:
        gap = match["gap"]
        if gap is None or "-" in gap:
            return match[0]
        return "\n" if "\n" in gap else " "

    return _PIECES.sub(shortened, sql).strip(" \n")


def parameter_identity(value: object) -> Hashable:
    """What a parameter's value and type amount to.

    Raises:
        NoIdentity: The type is not one of those that are understood.
    """
    kind = type(value)
    if kind in {type(None), bool, int, str, bytes}:
        return (kind.__name__, value)
    if isinstance(value, float) and kind is float:
        return ("float", struct.pack("<d", value))  # NaN equals nothing, and -0.0 equals 0.0
    if isinstance(value, Decimal) and kind is Decimal:
        return ("Decimal", value.as_tuple())
    if isinstance(value, uuid.UUID) and kind is uuid.UUID:
        return ("UUID", value.int)
    if isinstance(value, datetime.timedelta) and kind is datetime.timedelta:
        return ("timedelta", value.days, value.seconds, value.microseconds)
    if isinstance(value, list | tuple) and kind in {list, tuple}:
        return (kind.__name__, tuple(parameter_identity(item) for item in value))
    if isinstance(value, dict) and kind is dict:
        items = ((parameter_identity(k), parameter_identity(v)) for k, v in value.items())
        return ("dict", tuple(items))
    return _moment(value)


def _moment(value: object) -> Hashable:
    """What a date or a time amounts to."""
    kind = type(value)
    if isinstance(value, datetime.date) and kind is datetime.date:
        return ("date", value.toordinal())
    if not isinstance(value, datetime.datetime | datetime.time) or kind not in {
        datetime.datetime,
        datetime.time,
    }:
        raise NoIdentity(f"a parameter is a {kind.__name__}")
    zone = value.tzinfo
    if zone is None:
        return (kind.__name__, value.isoformat())
    if type(zone) not in _ZONES:
        raise NoIdentity(f"a parameter has a time zone of type {type(zone).__name__}")
    return (kind.__name__, value.isoformat(), value.fold, str(zone), str(value.utcoffset()))


def parameters_identity(parameters: Parameters) -> Hashable:
    """What all parameters of a statement amount to.

    Raises:
        NoIdentity: One of them is of a type that is not understood.
    """
    if parameters is None:
        return ()
    if type(parameters) not in {list, tuple, dict}:
        raise NoIdentity("the parameters are no plain list, tuple or dict")
    if isinstance(parameters, dict):
        return parameter_identity(parameters)
    return tuple(parameter_identity(value) for value in parameters)


def copied(value: object) -> object:
    """Parameters that their caller cannot change any more; only containers can be changed."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    if isinstance(value, tuple):
        return tuple(copied(item) for item in value)
    return value


def state_identity(logical: LogicalPlan, snapshot: Snapshot) -> Hashable:
    """The state of everything that a plan over stored tables reads.

    A table's id and the version that changed it last tell its rows and columns: a commit that is
    about other tables leaves them. The names of a version count where a view, macro or type is
    gone through, whose meaning they are.
    """
    names = snapshot.catalog_version if logical.views else 0
    tables: list[Hashable] = []
    for leaf in logical.leaves:
        relation = leaf.relation
        assert relation.kind is RelationKind.TABLE
        if relation.version is None:
            tables.append((relation.key, snapshot.tables[relation.key].changed))
        else:
            tables.append((relation.key, "at", relation.version))
    return (names, tuple(tables))
