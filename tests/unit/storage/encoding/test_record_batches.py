"""Record-batch messages decoded together: as Arrow reads them one at a time, or not at all."""

from __future__ import annotations

import datetime
import decimal
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Corrupt
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, CreateTable, RowGroup
from pagelake.storage.encoding.record_batches import MESSAGE_BYTES_MAX, decode_alike
from pagelake.storage.row_group_run import ALIKE_MIN, read_run
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, commit, definition, inline_group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
VALUES: dict[pa.DataType, Callable[[Random], object]] = {
    pa.int8(): lambda r: r.randint(-128, 127),
    pa.int32(): lambda r: r.choice([-(1 << 31), 0, r.randrange(1 << 31)]),
    pa.uint64(): lambda r: r.getrandbits(64),
    pa.float64(): lambda r: r.choice([r.random(), float("inf"), -0.0]),
    pa.bool_(): lambda r: r.random() < 0.5,
    pa.string(): lambda r: "\N{SNOWMAN}a\0b"[: r.randrange(5)] * r.randrange(8),
    pa.binary(): lambda r: r.randbytes(r.randrange(30)),
    pa.date32(): lambda r: EPOCH.date() + datetime.timedelta(r.randint(-40_000, 40_000)),
    pa.timestamp("us", "UTC"): lambda r: EPOCH + datetime.timedelta(microseconds=r.getrandbits(50)),
    pa.decimal128(38, 0): lambda r: decimal.Decimal(r.choice([-1, 1]) * r.randrange(10**38)),
}


def messages_of(batches: Sequence[pa.RecordBatch]) -> list[bytes]:
    return [batch.serialize().to_pybytes() for batch in batches]


def rows_of(batches: Sequence[pa.RecordBatch]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([batch.num_rows for batch in batches], dtype=np.int64)


def one_row(types: Sequence[pa.DataType], *values: object) -> pa.RecordBatch:
    arrays = [pa.array([value], kind) for value, kind in zip(values, types, strict=True)]
    return pa.record_batch(arrays, names=[str(n) for n in range(len(types))])


def alike(random: Random) -> list[pa.RecordBatch]:
    """Batches of one schema, some of them slices, each with columns without nulls and with some."""
    types = random.choices(list(VALUES), k=random.randint(1, 4))
    batches = []
    for _ in range(random.randint(1, 6)):
        cut, rows = random.choice([0, 3]), random.choice([1, 1, 7, 20])
        arrays = []
        for kind in types:
            nulls = random.choice([0, 0.3, 1])
            values = [
                None if random.random() < nulls else VALUES[kind](random) for _ in range(rows + cut)
            ]
            arrays.append(pa.array(values, kind))
        names = [str(n) for n in range(len(types))]
        batches.append(pa.record_batch(arrays, names=names).slice(cut))
    return batches


@pytest.mark.parametrize("seed", range(80))
def test_the_rows_of_all_messages_in_order(seed: int) -> None:
    batches = alike(Random(seed))
    types = batches[0].schema.types
    decoded = decode_alike(messages_of(batches), rows_of(batches), types)
    assert decoded is not None
    whole = pa.Table.from_batches(batches)
    for array, column in zip(decoded, whole.columns, strict=True):
        array.validate(full=True)
        assert array.equals(column.combine_chunks())


@pytest.mark.parametrize("values", [(7, "text"), (None, "text"), (7, None), (None, None)])
def test_a_flipped_bit_is_never_read_as_arrow_would_not(values: tuple[object, ...]) -> None:
    types = [pa.int32(), pa.string()]
    batches = [one_row(types, 1, "a"), one_row(types, *values), one_row(types, None, "")]
    sound = messages_of(batches)
    schema = bytes(pa.schema([pa.field("a", types[0]), pa.field("b", types[1])]).serialize())
    refused = 0
    for byte in range(len(sound[1])):
        forged = bytearray(sound[1])
        forged[byte] ^= 1 << byte * 5 % 8
        messages = [sound[0], bytes(forged), sound[2]]
        decoded = decode_alike(messages, rows_of(batches), types)
        if decoded is None:
            refused += 1
            continue
        for array in decoded:
            array.validate()
        with pa.ipc.open_stream(schema + b"".join(messages)) as stream:
            expected = stream.read_all()
        assert decoded[0].to_pylist() == expected.column(0).to_pylist()
        # Compared as bytes: a flipped character need not be UTF-8.
        text = expected.column(1).combine_chunks().view(pa.binary())
        assert decoded[1].view(pa.binary()).to_pylist() == text.to_pylist()
    assert refused > len(sound[1]) // 2


@pytest.mark.parametrize("damage", ["short", "empty", "nothing", "rows", "foreign"])
def test_what_is_not_as_it_must_be_is_left_to_arrow(damage: str) -> None:
    types = [pa.int64(), pa.string()]
    batches = [one_row(types, n, f"row {n}") for n in range(4)]
    messages, rows = messages_of(batches), rows_of(batches)
    assert decode_alike(messages, rows, types) is not None
    match damage:
        case "short":
            messages[2] = messages[2][:-8]
        case "empty":
            messages[0] = b""
        case "nothing":
            messages[3] = b""
        case "rows":
            rows[1] = 2
        case "foreign":
            messages[1] = messages_of([one_row([pa.int64()], 1)])[0]
    assert decode_alike(messages, rows, types) is None


def test_nested_and_large_rows_are_left_to_arrow() -> None:
    nested = [one_row([pa.list_(pa.int64())], [n]) for n in range(3)]
    assert decode_alike(messages_of(nested), rows_of(nested), nested[0].schema.types) is None
    large = [one_row([pa.string()], "x" * MESSAGE_BYTES_MAX) for _ in range(3)]
    assert decode_alike(messages_of(large), rows_of(large), large[0].schema.types) is None
    assert decode_alike(messages_of(large)[:1], rows_of(large)[:1], []) is None


def appended(group: RowGroup) -> Store:
    store = Store(MemoryDevice())
    commit(store, CreateTable(definition()))
    for n in range(ALIKE_MIN):
        commit(store, Append(TABLE, (inline_group(f"{n}", [n]),)))
    commit(store, Append(TABLE, (group,)))
    commit(store, Append(TABLE, (inline_group("last", [9]),)))
    return store


@pytest.mark.parametrize(
    "inline",
    [b"", b"\xff\xff\xff\xff", b"not Arrow at all", inline_group("x", [4, 5]).inline],
    ids=["empty", "cut", "foreign", "other rows"],
)
def test_a_damaged_row_group_is_named(inline: bytes) -> None:
    store = appended(RowGroup("the bad one", 1, inline=inline, inline_columns=(1,)))
    state = store.snapshot().tables[TABLE]
    with pytest.raises(Corrupt, match="the bad one"):
        list(read_run(store, state.definition, state.row_groups[:], state.definition.columns))
    store.close()


def test_one_message_of_another_form_is_read_with_its_neighbours() -> None:
    batch = pa.record_batch([pa.array([8], pa.int64())], names=["1"])
    sink = pa.BufferOutputStream()
    compressed = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, batch.schema, options=compressed) as stream:
        stream.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
    reader.read_next_message()
    other = reader.read_next_message().serialize().to_pybytes()
    assert decode_alike([other], np.array([1]), [pa.int64()]) is None
    store = appended(RowGroup("other", 1, inline=other, inline_columns=(1,)))
    state = store.snapshot().tables[TABLE]
    tables = read_run(store, state.definition, state.row_groups[:], state.definition.columns)
    found = [value for table in tables for value in table.column(0).to_pylist()]
    assert found == [*range(ALIKE_MIN), 8, 9]
    store.close()
