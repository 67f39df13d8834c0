"""Small valid storage values, for tests that care about something else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import xxhash

from pagelake.storage.effects import Append, Column, RowGroup, TableDefinition, serialize_type
from pagelake.storage.environment import Environment

if TYPE_CHECKING:
    from pagelake.storage.effects import Effect
    from pagelake.storage.store import Store
    from pagelake.storage.transaction import Transaction

TABLE = "a" * 32


def column(number: int = 1, name: str = "a", arrow: pa.DataType | None = None) -> Column:
    return Column(number, name, "BIGINT", serialize_type(arrow or pa.int64()))


def definition(table: str = TABLE, name: str = "t", schema: str = "main") -> TableDefinition:
    return TableDefinition(table, schema, name, (column(),), 2)


def inline_group(group: str, values: list[int | None]) -> RowGroup:
    batch = pa.record_batch([pa.array(values, pa.int64())], names=["1"])
    message = batch.serialize().to_pybytes()
    return RowGroup(group, len(values), inline=message, inline_columns=(1,))


def append(transaction: Transaction, values: list[int | None], table: str = TABLE) -> None:
    group = inline_group(transaction.next_row_group_id(), values)
    transaction.add("INSERT", Append(table, (group,)))


def commit(store: Store, *effects: Effect, operation: str = "TEST") -> int:
    transaction = store.begin()
    transaction.add(operation, *effects)
    return transaction.commit()


def frozen_clock(now_us: int = 1_000) -> Environment:
    """A clock that stands still, with real randomness."""
    return Environment(now_us=lambda: now_us)


def of_format(store_json: bytes, number: int) -> bytes:
    """What a version of Pagelake with another format would have written."""
    description = json.loads(store_json) | {"format": number}
    said = [description[key] for key in ("format", "store_id", "created_us")]
    description["checksum"] = xxhash.xxh3_64_hexdigest(json.dumps(said).encode())
    return json.dumps(description).encode()
