"""Effects survive the way into a commit record and back, and records any damage but notice it."""

from __future__ import annotations

import struct
from dataclasses import replace

import msgpack
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagelake.errors import Corrupt, FormatTooNew
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.effects import (
    AlterTable,
    Append,
    AppendedKeys,
    AttachKeyRuns,
    Column,
    ColumnChunk,
    Constraint,
    CreateSchema,
    CreateTable,
    Delete,
    DeleteVector,
    DropSchema,
    DropTable,
    DropView,
    Effect,
    Rely,
    Rewrite,
    RowGroup,
    TableDefinition,
    View,
    serialize_type,
)
from pagelake.storage.keys.key_run import KeyRun
from pagelake.storage.log import record as records
from pagelake.storage.log.effects_wire import from_wire, to_wire
from pagelake.storage.log.key_change import KeyChange, unpack
from pagelake.storage.log.record import (
    CommittedTransaction,
    decode,
    encode,
    peek,
    transaction_to_wire,
)
from pagelake.storage.page import PageRef
from pagelake.storage.zone_map import ZoneMap
from tests.unit.storage.builders import definition, inline_group

STORE = bytes(range(16))
WORDS = st.integers(0, (1 << 64) - 1)
COUNTS = st.integers(0, 1 << 40)
TEXT = st.text(max_size=8)
TYPES = st.sampled_from([pa.int64(), pa.string(), pa.decimal64(15, 2), pa.list_(pa.date32())])

columns = st.builds(
    Column,
    st.integers(1, 500),
    TEXT,
    TEXT,
    TYPES.map(serialize_type),
    st.booleans(),
    st.none() | TEXT,
    st.none() | st.binary(max_size=8),
    st.none() | TEXT,
)
column_tuples = st.lists(columns, max_size=3).map(tuple)
constraints = st.builds(
    Constraint,
    st.sampled_from(["primary_key", "unique", "check"]),
    st.lists(st.integers(1, 9), max_size=3).map(tuple),
    st.none() | TEXT,
    st.none() | TEXT,
)
definitions = st.builds(
    TableDefinition, TEXT, TEXT, TEXT, column_tuples, st.integers(1, 500),
    st.lists(constraints, max_size=2).map(tuple), column_tuples,
)  # fmt: skip
pages = st.builds(PageRef, WORDS, COUNTS, COUNTS, WORDS)
bounds = st.none() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | TEXT
zones = st.builds(ZoneMap, bounds, bounds | st.binary(max_size=4), COUNTS, COUNTS, COUNTS)
chunks = st.builds(ColumnChunk, pages, TEXT, st.none() | zones, st.none() | st.binary(max_size=8))
groups = st.builds(
    RowGroup,
    TEXT,
    COUNTS,
    st.dictionaries(st.integers(-1, 9), chunks, max_size=3),
    st.none() | st.binary(max_size=8),
    st.lists(st.integers(-1, 9), max_size=3).map(tuple),
)
group_tuples = st.lists(groups, max_size=2).map(tuple)
vectors = st.builds(DeleteVector, COUNTS, st.none() | st.binary(max_size=8), st.none() | pages)
column_ids = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
appended_keys = st.lists(
    st.builds(AppendedKeys, column_ids, st.binary(max_size=16)), max_size=2
).map(tuple)
runs = st.builds(
    KeyRun,
    column_ids,
    TEXT,
    st.lists(TEXT, max_size=2).map(tuple),
    st.lists(COUNTS, max_size=2).map(tuple),
    st.sampled_from(["dense", "ordered", "packed", "hashed"]),
    WORDS,
    WORDS,
    st.integers(1, 24),
    COUNTS,
    st.none() | pages,
)
effects: st.SearchStrategy[Effect] = st.one_of(
    st.builds(CreateSchema, TEXT),
    st.builds(DropSchema, TEXT),
    st.builds(CreateTable, definitions),
    st.builds(AlterTable, definitions, st.booleans()),
    st.builds(DropTable, TEXT),
    st.builds(View, TEXT, TEXT, TEXT, st.lists(TEXT, max_size=2).map(tuple), TEXT, st.booleans()),
    st.builds(DropView, TEXT, TEXT),
    st.builds(Append, TEXT, group_tuples, st.booleans(), appended_keys),
    st.builds(Delete, TEXT, st.dictionaries(TEXT, vectors, max_size=2), appended_keys),
    st.builds(Rely, TEXT, appended_keys),
    st.builds(Rewrite, TEXT, st.lists(TEXT, max_size=2).map(tuple), group_tuples),
    st.builds(AttachKeyRuns, TEXT, st.lists(runs, max_size=2).map(tuple)),
)


@settings(max_examples=300)
@given(effects)
def test_every_effect_comes_back(effect: Effect) -> None:
    packed = msgpack.packb(to_wire(effect))
    assert from_wire(msgpack.unpackb(packed, strict_map_key=False)) == effect


@given(effects)
def test_fields_that_a_later_version_adds_are_ignored(effect: Effect) -> None:
    assert from_wire([*to_wire(effect), "a later field", 1]) == effect


@pytest.mark.parametrize(
    "wire", [[], ["vacuum", 1], ["append"], ["append", "t", [[]], False], ["delete", "t", [[1]]],
             ["create_table", 5], "text", None, ["append", "t", [["g", 1, [[1]], None, [], 0]], 0]],
    ids=str,
)  # fmt: skip
def test_unknown_and_broken_effects_are_refused(wire: object) -> None:
    with pytest.raises(Corrupt):
        from_wire(wire)


def record(*effect: Effect, base_version: int = 6, rows_only: bool = False) -> bytes:
    transaction = CommittedTransaction("a" * 32, "INSERT", effect, "why")
    return encode(
        [transaction_to_wire(transaction)],
        store_id=STORE,
        base=(base_version, b"h" * 32),
        time_us=-5,
        rows_only=rows_only,
    )


@given(st.lists(effects, max_size=3))
def test_records_come_back(content: list[Effect]) -> None:
    stored = record(*content)
    found = decode(stored, store_id=STORE, name="log/7")
    assert found.transactions == (CommittedTransaction("a" * 32, "INSERT", tuple(content), "why"),)
    assert (found.base_version, found.base_hash, found.time_us) == (6, b"h" * 32, -5)
    assert found.hash == records.record_hash(stored)
    assert found.stored_bytes == len(stored)


@pytest.mark.parametrize("rows_only", [False, True])
@given(st.lists(effects, max_size=3))
def test_the_head_of_a_record_tells_ids_where_only_rows_change(
    rows_only: bool, content: list[Effect]
) -> None:
    stored = record(*content, rows_only=rows_only)
    head = peek(stored, store_id=STORE, name="log/7")
    assert head.ids == (("a" * 32,) if rows_only else None)
    found = decode(stored, store_id=STORE, name="log/7")
    assert found.transactions == (CommittedTransaction("a" * 32, "INSERT", tuple(content), "why"),)
    assert (head.base_version, head.base_hash, head.time_us) == (6, b"h" * 32, -5)
    assert head.hash == found.hash


def sample(rows: int) -> bytes:
    """A record whose body is stored raw (few rows) or compressed (many)."""
    return record(Append("t", (inline_group("g", [*range(rows)]),)))


@pytest.mark.parametrize("rows", [1, 300])
def test_a_flipped_bit_anywhere_is_noticed(rows: int) -> None:
    content = sample(rows)
    for position in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[position] ^= 1 << bit
            with pytest.raises(Corrupt) as caught:
                decode(bytes(damaged), store_id=STORE, name="log/7")
            assert (caught.value.file, caught.value.offset) == ("log/7", 0)


def test_a_record_cut_short_anywhere_is_noticed() -> None:
    content = sample(300)
    for length in range(len(content)):
        with pytest.raises(Corrupt):
            decode(content[:length], store_id=STORE, name="log/7")
    with pytest.raises(Corrupt):
        decode(content + b"\0", store_id=STORE, name="log/7")


def test_a_record_of_another_store_is_refused() -> None:
    with pytest.raises(Corrupt, match="another store"):
        decode(sample(1), store_id=bytes(16), name="log/7")


def test_a_record_of_a_later_format_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(records, "_WITH_KEYS", records.RECORD_FORMAT + 1)
        content = record(rows_only=True)
    with pytest.raises(FormatTooNew, match="log/7"):
        decode(content, store_id=STORE, name="log/7")


def test_the_frame_is_the_documented_one() -> None:
    """docs/format/commit-record.md, section 2."""
    content = sample(1)
    fields = struct.unpack_from("<4sHH16sQ32sqQQQ", content)
    assert fields[:7] == (b"PLRC", 1, 0, STORE, 6, b"h" * 32, -5)
    body = content[96:]
    assert fields[7:9] == (len(body), len(body))
    assert msgpack.unpackb(body)[0][:2] == ["a" * 32, "INSERT"]
    assert struct.unpack_from("<H", sample(300), 6) == (1,), "longer bodies are compressed"


def test_a_record_carries_the_oldest_format_that_can_say_it() -> None:
    def format_of(*effect: Effect, rows_only: bool = False) -> int:
        return int(struct.unpack_from("<H", record(*effect, rows_only=rows_only), 4)[0])

    inline, relied = Append("t", (inline_group("g", [1]),)), Rely("t", ())
    assert format_of(inline) == 1
    assert format_of(inline, rows_only=True) == 3
    assert format_of(inline, relied) == 3
    assert format_of(relied, rows_only=True) == 3


def test_a_record_of_an_earlier_version_tells_ids_and_no_keys() -> None:
    body = msgpack.packb([["a" * 32, "INSERT", [["drop_table", "t"]], None, None]])
    stored = records.frame(
        body, magic=b"PLRC", store_id=STORE, base=(0, bytes(32)), time_us=0, ids=["a" * 32]
    )
    assert struct.unpack_from("<HH", stored, 4) == (2, 2)
    head = peek(stored, store_id=STORE, name="log/7")
    assert (head.ids, head.keys) == (("a" * 32,), None)
    found = decode(stored, store_id=STORE, name="log/7")
    assert found.transactions[0].effects == (DropTable("t"),)


def told(codes: bytes, *columns: int) -> AppendedKeys:
    return AppendedKeys(columns, codes)


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ([Append("t", ())], ()),
        ([Append("t", (), True)], (KeyChange("t", (), None),)),
        ([Append("t", (), True, (told(b"a", 1),))], (KeyChange("t", (told(b"a", 1),), None),)),
        ([Delete("t", {})], (KeyChange("t", None, ()),)),
        (
            [Delete("t", {}, (told(b"a", 1), told(b"b", 1, 2)))],
            (KeyChange("t", None, (told(b"a", 1), told(b"b", 1, 2))),),
        ),
        (
            [Append("t", (), True, (told(b"a", 1),)), Append("t", (), True, (told(b"b", 1),))],
            (KeyChange("t", (told(b"ab", 1),), None),),
        ),
        # One that does not tell its keys is enough.
        (
            [Append("t", (), True, (told(b"a", 1),)), Append("t", (), True)],
            (KeyChange("t", (), None),),
        ),
        (
            [Delete("t", {}, (told(b"a", 1),)), Append("u", (), True), Rely("v", ())],
            (KeyChange("t", None, (told(b"a", 1),)), KeyChange("u", (), None)),
        ),
        # Rows whose keys are all NULL: that is told, and no code.
        ([Delete("t", {}, (told(b"", 1),))], (KeyChange("t", None, (told(b"", 1),)),)),
    ],
)
def test_the_head_of_a_record_tells_what_happens_to_keys(
    content: list[Effect], keys: tuple[KeyChange, ...]
) -> None:
    stored = record(*content, rows_only=True)
    assert peek(stored, store_id=STORE, name="log/7").keys == keys
    found = decode(stored, store_id=STORE, name="log/7")
    assert found.transactions[0].effects == tuple(content)


@given(st.binary(max_size=20))
def test_key_changes_that_are_none_are_refused(packed: bytes) -> None:
    try:
        unpack(packed, "log/7")
    except Corrupt as error:
        assert error.file == "log/7"


def test_a_delete_of_an_earlier_version_does_not_tell_keys() -> None:
    wire = to_wire(Delete("t", {"g": DeleteVector(1, b"", None)}, (AppendedKeys((1,), b""),)))
    assert from_wire(wire[:3]) == Delete("t", {"g": DeleteVector(1, b"", None)})


def test_a_body_that_is_no_list_is_refused() -> None:
    for body in (msgpack.packb(5), b"\xc1", b""):
        framed = records.frame(body, magic=b"PLRC", store_id=STORE, base=(0, bytes(32)), time_us=0)
        with pytest.raises(Corrupt):
            decode(framed, store_id=STORE, name="log/7")


def test_a_vector_without_content_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        DeleteVector(3).positions(None)  # type: ignore[arg-type]
    assert DeleteVector.of(positions_of([3, 1])).positions(None).tolist() == [1, 3]  # type: ignore[arg-type]


def test_columns_are_found_regardless_of_case() -> None:
    table = replace(definition(), constraints=(Constraint("unique", (1,)), Constraint("check")))
    assert table.column("A") is table.columns[0]
    assert table.column("b") is None
    assert table.keys == (table.constraints[0],)
