"""Column chunks: which codec is chosen, what it costs, how it is read, what is refused."""

from __future__ import annotations

import decimal
import struct

import numpy as np
import pyarrow as pa
import pytest

from pagelake.errors import Corrupt
from pagelake.storage import encoding
from pagelake.storage.encoding import Codec, EncodingChoice, decode, encode, encode_column

ROWS = 122_880
HEADER_BYTES = 24


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(20)


def bytes_per_row(array: pa.Array) -> float:
    chunk = encode(array)
    assert decode(chunk.payload, array.type).equals(array)
    return len(chunk.payload) / len(array)


def aligned(payload: bytes) -> pa.Buffer:
    """The payload as a page in a mapped segment holds it: on a 64-byte boundary."""
    buffer = pa.allocate_buffer(len(payload))
    assert buffer.address % 64 == 0
    memoryview(buffer).cast("B")[:] = payload
    return buffer


def test_public_names() -> None:
    assert set(encoding.__all__) == {
        "ROWS_MAX", "Codec", "EncodedChunk", "EncodingChoice", "IntegerPlan", "decode", "encode",
        "encode_column",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "bytes_max", "codec"),
    [
        (np.full(ROWS, -7), 0.001, "constant"),
        (np.arange(ROWS) * 1000 + 5, 0.001, "delta+constant"),
        (np.arange(ROWS) // 4, 0.1, "delta+narrow+zstd"),
        (np.arange(ROWS) ** 2 % 251 * 1_000_000 - 9, 0.2, "narrow+zstd"),
    ],
    ids=["constant", "sequence", "sorted", "common factor"],
)
def test_regular_integers_take_next_to_nothing(
    values: np.ndarray, bytes_max: float, codec: str
) -> None:
    assert bytes_per_row(pa.array(values)) <= bytes_max
    assert encode(pa.array(values)).codec == codec


@pytest.mark.parametrize("type", [pa.int64(), pa.timestamp("us"), pa.decimal128(18, 2)])
def test_random_numbers_take_their_bits(random: np.random.Generator, type: pa.DataType) -> None:
    """18 random bits: two raw planes, and a third that compresses."""
    values = pa.array(random.integers(1 << 40, (1 << 40) + (1 << 18), ROWS))
    if pa.types.is_decimal(type):
        values = values.cast(pa.decimal128(19, 0)).cast(pa.decimal128(21, 2))
    assert bytes_per_row(values.cast(type)) == pytest.approx(2.25, abs=0.1)


def test_few_distant_values_are_dictionary_coded(random: np.random.Generator) -> None:
    values = random.integers(0, 1 << 62, 16)[random.integers(0, 16, ROWS)]
    chunk = encode(pa.array(values))
    assert chunk.codec.startswith("dictionary")
    assert len(chunk.payload) / ROWS <= 0.55


def test_floats_lose_their_exponents(random: np.random.Generator) -> None:
    assert bytes_per_row(pa.array(random.normal(1000, 1, ROWS))) < 7.3


@pytest.mark.parametrize(
    "type",
    [
        pa.int64(),
        pa.string(),
        pa.bool_(),
        pa.decimal128(38, 2),
        pa.list_(pa.float32(), 384),
        pa.null(),
    ],
    ids=str,
)
def test_nulls_alone_take_a_few_bytes(type: pa.DataType) -> None:
    array = pa.nulls(ROWS, type)
    payload = encode(array).payload
    assert len(payload) < 64
    assert decode(payload, type).equals(array)


def test_uncompressed_vectors_are_read_in_place(random: np.random.Generator) -> None:
    type = pa.list_(pa.float32(), 384)
    flat = random.normal(size=384 * 1000).astype(np.float32)
    array = pa.FixedSizeListArray.from_arrays(pa.array(flat), type=type)
    chunk = encode(array)
    assert chunk.codec == "plain"
    page = aligned(bytes(chunk.payload))
    values = decode(memoryview(page), type).values
    assert page.address < values.buffers()[1].address < page.address + page.size
    assert values.buffers()[1].address % 64 == 0
    assert values.to_numpy().tobytes() == flat.tobytes()


def test_vectors_that_hold_nulls_and_slices_come_back() -> None:
    type = pa.list_(pa.float32(), 2)
    array = pa.array([[1, 2], None, [3, 4], [5, 6]], type)
    assert decode(encode(array[1:3]).payload, type).equals(array[1:3])
    inner = pa.array([[1, None], [3, 4]], type)
    assert encode(inner).codec.startswith("ipc")
    assert decode(encode(inner).payload, type).equals(inner)
    assert encode(inner[1:]).codec == "plain"


def test_dictionary_result_is_the_narrowest_that_holds_the_codes() -> None:
    for distinct, index in (
        (2, pa.int8()),
        (128, pa.int8()),
        (129, pa.int16()),
        (2000, pa.int16()),
    ):
        array = pa.array([f"v{n % distinct}" for n in range(40_000)] + [None])
        payload = encode(array).payload
        fast = decode(payload, pa.string(), dictionary=True)
        assert fast.type == pa.dictionary(index, pa.string())
        assert fast.dictionary_decode().equals(array)
        assert decode(payload, pa.string()).type == pa.string()


def test_narrow_decimals_come_as_decimal64_in_every_chunk() -> None:
    type = pa.decimal128(15, 2)
    for array in (pa.array([decimal.Decimal("1.25"), None], type), pa.nulls(3, type)):
        payload = encode(array).payload
        assert decode(payload, type, dictionary=True).type == pa.decimal64(15, 2)
        assert decode(payload, type).equals(array)
    wide = pa.array([decimal.Decimal(1)], pa.decimal128(19, 0))
    assert decode(encode(wide).payload, wide.type, dictionary=True).equals(wide)


def test_what_lay_under_a_null_is_not_stored() -> None:
    """A mask or a deleted value must not survive in the file."""
    secret, shown = b"top-secret-value", b"shown"
    offsets = pa.py_buffer(np.array([0, 16, 21], dtype=np.int32))
    bits = pa.py_buffer(b"\x02")
    array = pa.Array.from_buffers(pa.binary(), 2, [bits, offsets, pa.py_buffer(secret + shown)])
    payload = bytes(encode(array).payload)
    assert shown in payload
    assert secret not in payload
    numbers = pa.py_buffer(np.array([0x5EC4E7, 3], dtype=np.int64))
    array = pa.Array.from_buffers(pa.int64(), 2, [bits, numbers])
    assert struct.pack("<I", 0x5EC4E7) not in bytes(encode(array).payload)


def test_choice_is_reused_while_it_pays(random: np.random.Generator) -> None:
    steps = np.cumsum(random.integers(0, 3, 20_000))
    first = encode(pa.array(steps))
    assert first.choice.plan.delta
    follow = encode(pa.array(steps + 10_000), hint=first.choice)
    assert (follow.choice.codec, follow.choice.plan) == (first.choice.codec, first.choice.plan)


def test_choice_is_made_anew_when_it_stops_paying(random: np.random.Generator) -> None:
    repeated = pa.array(["north", "south"] * 10_000)
    unique = pa.array([f"{n:016x}" for n in random.integers(0, 1 << 62, 20_000)])
    hint = encode(repeated).choice
    assert hint.codec is Codec.DICTIONARY
    fresh = encode(unique, hint=hint)
    assert fresh.choice.codec is Codec.STRINGS
    assert fresh.payload == encode(unique).payload
    assert encode(pa.nulls(5, pa.string()), hint=hint).choice == hint


@pytest.mark.parametrize("codec", list(Codec))
def test_a_hint_of_any_codec_is_harmless(codec: Codec) -> None:
    """Hints outlive schema changes, so each must work, or be ignored, for every type."""
    for array in (
        pa.array([1, 2, None]),
        pa.array(["a", None, "b"]),
        pa.array([True, None]),
        pa.array([b"0123456789abcdef", None], pa.binary(16)),
        pa.array([decimal.Decimal(10**30), None], pa.decimal128(38, 0)),
        pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
        pa.array([[1], None]),
        pa.array([], pa.int8()),
    ):
        chunk, _, _ = encode_column(array, EncodingChoice(codec, bytes_per_row=1e9))
        assert decode(chunk.payload, array.type).equals(array)


def test_row_limit() -> None:
    with pytest.raises(ValueError, match="rows"):
        encode(pa.nulls(encoding.ROWS_MAX + 1))


def test_bytes_after_the_chunk_are_ignored() -> None:
    """Pages are padded; the chunk knows its own length."""
    array = pa.array(["a", "b"])
    assert decode(bytes(encode(array).payload) + b"\0" * 100, pa.string()).equals(array)


def altered(payload: bytes, at: int, layout: str, value: int) -> bytes:
    changed = bytearray(payload)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("at", "layout", "value"),
    [
        (0, "<B", 2),
        (1, "<B", 1),
        (2, "<H", 4097),
        (2, "<H", 0),
        (4, "<I", 0xFFFFFFFF),
        (4, "<I", 5),
        (8, "<I", 1),
        (12, "<I", 0),
        (12, "<I", 255),
        (16, "<Q", 1 << 40),
        (HEADER_BYTES, "<B", 200),
        (HEADER_BYTES, "<B", Codec.VALIDITY),
    ],
)
def test_impossible_header_fields_are_refused(at: int, layout: str, value: int) -> None:
    payload = bytes(encode(pa.array(["alpha", "beta", "gamma"])).payload)
    with pytest.raises(Corrupt):
        decode(altered(payload, at, layout, value), pa.string())


def test_a_claim_of_terabytes_is_refused_before_it_is_allocated() -> None:
    payload = bytes(encode(pa.array([b"ab" * 5000])).payload)
    (tree_bytes,) = struct.unpack_from("<H", payload, 2)
    with pytest.raises(Corrupt):
        decode(altered(payload, HEADER_BYTES + tree_bytes + 8, "<Q", 1 << 50), pa.binary())


def test_codes_beyond_the_dictionary_are_refused() -> None:
    payload = bytes(encode(pa.array(["a", "b", "c", "a"] * 10)).payload)
    at = payload.index(bytes([Codec.DICTIONARY]) + struct.pack("<I", 3), HEADER_BYTES)
    codes = payload.rindex(bytes([0, 1, 2, 0]))
    assert decode(payload, pa.string())[0].as_py() == "a"
    with pytest.raises(Corrupt):
        decode(altered(payload, codes, "<B", 3), pa.string())
    with pytest.raises(Corrupt):
        decode(altered(payload, at + 1, "<I", 0), pa.string())


def test_strings_that_are_not_utf8_are_refused() -> None:
    payload = bytes(encode(pa.array(["alpha", "beta"])).payload)
    broken = altered(payload, payload.index(b"alpha"), "<B", 0xFF)
    with pytest.raises(Corrupt):
        decode(broken, pa.string())
    assert decode(broken, pa.binary())[0].as_py() == b"\xfflpha"


def test_decimals_with_too_many_digits_are_refused() -> None:
    payload = encode(pa.array([decimal.Decimal(99_999), decimal.Decimal(1)], pa.decimal128(9, 0)))
    with pytest.raises(Corrupt):
        decode(payload.payload, pa.decimal128(4, 0))


def test_another_type_is_refused() -> None:
    payload = encode(pa.array([1, 2, 300])).payload
    for type in (pa.string(), pa.bool_(), pa.decimal128(9, 2), pa.list_(pa.int64()), pa.binary(8)):
        with pytest.raises(Corrupt):
            decode(payload, type)
