"""Checkpoints: a snapshot written out whole, so that opening replays a short tail only.

A checkpoint is derived from the log and may be lost; a damaged one is passed over for the
one before it, or for the log from its beginning (docs/format/checkpoint.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack

from ...errors import Corrupt
from ..effects import CatalogEntry, View, Wire
from ..snapshot import CommitInfo, RowGroupList, Snapshot, TableState
from .effects_wire import (
    definition_from_wire,
    definition_to_wire,
    key_run_from_wire,
    key_run_to_wire,
    row_group_from_wire,
    row_group_to_wire,
    to_wire,
    vector_from_wire,
    vector_to_wire,
)
from .record import frame, unframe, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..devices.device import Device

FOLDER = "log/checkpoints"
_MAGIC = b"PLCK"


def checkpoint_name(version: int) -> str:
    """Name of a version's checkpoint."""
    return f"{FOLDER}/{version:020d}"


def info_to_wire(info: CommitInfo) -> Wire:
    """Flatten what the history tells of a version."""
    return [
        info.version,
        info.time_us,
        info.operation,
        info.transactions,
        info.rows_added,
        info.rows_deleted,
        info.record_bytes,
        info.message,
        info.author,
    ]


def info_from_wire(wire: Wire) -> CommitInfo:
    """Rebuild what the history tells of a version."""
    return CommitInfo(*wire[:9])


def encode(snapshot: Snapshot, history: Sequence[CommitInfo], *, store_id: bytes) -> bytes:
    """Serialise a snapshot and the history up to it; ``decode`` reverses it."""
    tables = [
        [
            definition_to_wire(state.definition),
            [row_group_to_wire(group) for group in state.row_groups],
            [[g, [vector_to_wire(v) for v in vs]] for g, vs in state.deletes.items()],
            state.next_row_id,
            state.rows,
            state.changed,
            state.rebased,
            [key_run_to_wire(run) for run in state.key_runs],
        ]
        for state in snapshot.tables.values()
    ]
    views = [to_wire(view)[1:] for view in snapshot.views.values()]
    commits = [info_to_wire(info) for info in history]
    body: bytes = msgpack.packb(
        [
            list(snapshot.schemas),
            tables,
            views,
            # Packed apart: opening need not read it.
            msgpack.packb(commits),
            snapshot.catalog_version,
            dict(snapshot.tags),
            [to_wire(entry)[1:] for entry in snapshot.entries.values()],
        ]
    )
    base = (snapshot.version, snapshot.record_hash)
    return frame(body, magic=_MAGIC, store_id=store_id, base=base, time_us=snapshot.time_us)


def unpack_history(packed: bytes) -> list[CommitInfo]:
    """Read the history that ``decode`` left packed.

    Raises:
        Corrupt: It is not a history.
    """
    try:
        return [info_from_wire(commit) for commit in unpack(packed, "the history")]
    except (IndexError, TypeError, ValueError) as error:
        raise Corrupt(f"the history in a checkpoint cannot be read: {error}") from error


def decode(content: bytes, *, store_id: bytes, name: str) -> tuple[Snapshot, bytes]:
    """Read a checkpoint; the history in it stays packed, see ``unpack_history``.

    Raises:
        Corrupt: The bytes are damaged or belong elsewhere.
        FormatTooNew: A later version of Pagelake wrote them.
    """
    body, version, record_hash, time_us = unframe(
        content, magic=_MAGIC, store_id=store_id, name=name
    )
    wire = unpack(body, name)
    try:
        schemas, tables, views, commits = wire[:4]
        catalog_version = int(str(wire[4]))
        tags = {str(name): int(version) for name, version in wire[5].items()}
        entries = [CatalogEntry(*entry[:5]) for entry in (wire[6] if len(wire) > 6 else ())]
        states = {}
        for table in tables:
            definition = definition_from_wire(table[0])
            groups = RowGroupList([row_group_from_wire(g) for g in table[1]])
            deletes = {g: tuple(vector_from_wire(v) for v in vectors) for g, vectors in table[2]}
            # A checkpoint holds committed states only: both stamps are the same.
            next_row_id, rows, changed, rebased = table[3:7]
            runs = tuple(key_run_from_wire(run) for run in (table[7] if len(table) > 7 else ()))
            states[definition.id] = TableState(
                definition, groups, deletes, next_row_id, rows, changed, changed, rebased, runs
            )
        stored = [View(v[0], v[1], v[2], tuple(v[3]), v[4], bool(v[5:] and v[5])) for v in views]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise Corrupt(f"{name} cannot be read: {error}", file=name, offset=0) from error
    snapshot = Snapshot(
        version=version,
        record_hash=record_hash,
        time_us=time_us,
        schemas=tuple(str(schema) for schema in schemas),
        tables=states,
        views={(v.schema.lower(), v.name.lower()): v for v in stored},
        catalog_version=catalog_version,
        tags=tags,
        entries={entry.key: entry for entry in entries},
    )
    return snapshot, bytes(commits)


def versions(device: Device) -> list[int]:
    """Versions that there are checkpoints of, in order."""
    return sorted(int(name) for name in device.list(FOLDER) if name.isdigit())
