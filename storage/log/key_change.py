"""Key changes: what a record says of the keys of its rows before its body.

A writer that only appends learns from them whether a record concerns it, without its rows.

Byte layout: docs/format/commit-record.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

from ...errors import Corrupt
from ..effects import AppendedKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..effects import Wire

_Codes = dict[tuple[int, ...], bytes]
_APPENDED, _REMOVED = 0, 1


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What happened to the keys of a table.

    Attributes:
        table: Table id.
        appended: Keys that were appended; empty where some are not told, None where none were.
        removed: Keys of rows that were deleted, in the same way.
    """

    table: str
    appended: tuple[AppendedKeys, ...] | None
    removed: tuple[AppendedKeys, ...] | None


def gather(effects: Iterable[Wire]) -> tuple[KeyChange, ...]:
    """Find the key changes of effects in their wire form."""
    found: dict[str, tuple[_Codes, _Codes]] = {}
    untold: set[tuple[str, int]] = set()
    seen: set[tuple[str, int]] = set()
    for table, kind, keys in _changes(effects):
        known = found.setdefault(table, ({}, {}))[kind]
        (seen if keys else untold).add((table, kind))
        for columns, codes in keys:
            known[tuple(columns)] = known.get(tuple(columns), b"") + codes

    def told(table: str, kind: int) -> tuple[AppendedKeys, ...] | None:
        if (table, kind) in untold:
            return ()
        if (table, kind) not in seen:
            return None
        return tuple(AppendedKeys(columns, codes) for columns, codes in found[table][kind].items())

    return tuple(KeyChange(t, told(t, _APPENDED), told(t, _REMOVED)) for t in found)


def pack(changes: Iterable[KeyChange]) -> bytes:
    """Serialise key changes; ``unpack`` reverses it. No changes are no bytes."""

    def wire(keys: tuple[AppendedKeys, ...] | None) -> Wire | None:
        return None if keys is None else [[list(key.columns), key.codes] for key in keys]

    wires = [[change.table, wire(change.appended), wire(change.removed)] for change in changes]
    packed: bytes = msgpack.packb(wires) if wires else b""
    return packed


def _changes(effects: Iterable[Wire]) -> Iterator[tuple[str, int, Wire]]:
    for effect in effects:
        match effect:
            case ["append", table, _, keyed, *rest] if keyed:
                yield table, _APPENDED, rest[0] if rest else []
            case ["delete", table, _, *rest]:
                yield table, _REMOVED, rest[0] if rest else []


def unpack(packed: bytes, name: str) -> tuple[KeyChange, ...]:
    """Read key changes.

    Args:
        packed: What ``pack`` returned.
        name: The record's file, for the message.

    Raises:
        Corrupt: The bytes are none.
    """
    if not packed:
        return ()

    def keys(wire: Any) -> tuple[AppendedKeys, ...] | None:
        return None if wire is None else tuple(AppendedKeys(tuple(k[0]), k[1]) for k in wire)

    try:
        return tuple(
            KeyChange(table, keys(appended), keys(removed))
            for table, appended, removed, *_ in msgpack.unpackb(packed)
        )
    except (IndexError, TypeError, ValueError, msgpack.exceptions.UnpackException) as error:
        raise Corrupt(f"{name}: its key changes cannot be read: {error}", file=name) from error
