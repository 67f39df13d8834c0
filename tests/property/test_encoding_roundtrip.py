"""Any Arrow array comes back from its column chunk equal, and hostile bytes are refused."""

from __future__ import annotations

import datetime
import decimal
import string

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pagelake.errors import Corrupt
from pagelake.storage.encoding import EncodedChunk, decode, encode, encode_column

UUID = pa.uuid()


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    wide = st.integers(low, high)
    narrow = st.integers(0, 100)
    return st.one_of(wide, narrow, st.sampled_from([low, high]))


def decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    limit = 10**precision - 1

    def scaled(unscaled: int) -> decimal.Decimal:
        digits = tuple(map(int, str(abs(unscaled))))
        return decimal.Decimal((int(unscaled < 0), digits, -scale))

    return st.one_of(st.integers(-limit, limit), st.integers(-99, 99)).map(scaled)


FLAT: list[tuple[pa.DataType, st.SearchStrategy[object]]] = [
    *((pa.type_for_alias(f"int{n}"), integers(n, signed=True)) for n in (8, 16, 32, 64)),
    *((pa.type_for_alias(f"uint{n}"), integers(n, signed=False)) for n in (8, 16, 32, 64)),
    (pa.bool_(), st.booleans()),
    (pa.null(), st.none()),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates()),
    (pa.time32("s"), st.integers(0, 86_399)),
    (pa.time64("us"), st.times()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("ns", "UTC"), integers(64, signed=True)),
    (pa.duration("ms"), integers(64, signed=True)),
    (pa.decimal32(7, 2), decimals(7, 2)),
    (pa.decimal64(18, 3), decimals(18, 3)),
    (pa.decimal128(15, 2), decimals(15, 2)),
    (pa.decimal128(38, 10), decimals(38, 10)),
    (pa.decimal256(70, 5), decimals(70, 5)),
    (pa.string(), st.text()),
    (pa.large_string(), st.text()),
    (pa.string_view(), st.text()),
    (pa.binary(), st.binary()),
    (pa.large_binary(), st.binary()),
    (pa.binary_view(), st.binary()),
    (pa.string(), st.sampled_from(["", "a", "żółw", "a" * 40])),
    (pa.binary(0), st.just(b"")),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.binary(16), st.binary(min_size=16, max_size=16)),
    (
        pa.month_day_nano_interval(),
        st.tuples(*[st.integers(-(1 << 31), (1 << 31) - 1)] * 2, integers(64, signed=True)),
    ),
]

NUMBERS = st.integers(-5, 5) | st.none()
NESTED: list[tuple[pa.DataType, st.SearchStrategy[object]]] = [
    (pa.list_(pa.int32()), st.lists(NUMBERS, max_size=3)),
    (pa.large_list(pa.string()), st.lists(st.text() | st.none(), max_size=3)),
    (pa.list_view(pa.int32()), st.lists(NUMBERS, max_size=3)),
    (pa.list_(pa.float32(), 2), st.tuples(*[st.floats(width=32, allow_nan=False)] * 2)),
    (pa.list_(pa.int64(), 2), st.tuples(NUMBERS, NUMBERS)),
    (pa.list_(pa.bool_(), 3), st.tuples(*[st.booleans()] * 3)),
    (pa.list_(pa.int8(), 0), st.just([])),
    (pa.struct({"a": pa.int64(), "b": pa.string()}), st.fixed_dictionaries({"a": NUMBERS})),
    (pa.struct([]), st.just({})),
    (pa.map_(pa.string(), pa.int32()), st.lists(st.tuples(st.text(), NUMBERS), max_size=2)),
    (pa.list_(pa.struct({"x": pa.list_(pa.date32())})), st.lists(st.none(), max_size=2)),
]

TYPED = FLAT + NESTED


@st.composite
def arrays(draw: st.DrawFn) -> pa.Array:
    type, values = draw(st.sampled_from(TYPED))
    rows = draw(st.lists(values | st.none(), max_size=30))
    # Repetition makes the sample see runs, constants and small dictionaries.
    array = pa.array(rows * draw(st.sampled_from([1, 1, 7])), type=type)
    start = draw(st.integers(0, len(array)))
    return array.slice(start, draw(st.integers(0, len(array) - start)))


def encode_checked(array: pa.Array) -> EncodedChunk:
    chunk = encode(array)
    again = encode(array, hint=chunk.choice)
    assert decode(again.payload, array.type).equals(array)
    return chunk


@given(arrays())
@example(pa.array([None, "x", None, "y"])[1:3])
@example(pa.array([], pa.float64()))
def test_any_array_comes_back_equal(array: pa.Array) -> None:
    decoded = decode(encode_checked(array).payload, array.type)
    decoded.validate(full=True)
    assert decoded.type == array.type
    assert decoded.equals(array)


@given(st.lists(integers(64, signed=False), min_size=1), st.sampled_from([2, 4, 8]))
def test_floats_come_back_bit_for_bit(bits: list[int], width: int) -> None:
    """Quiet and signalling NaNs with payloads, infinities and both zeros among them."""
    words = np.array(bits, dtype="<u8").astype(f"<u{width}")
    type = {2: pa.float16(), 4: pa.float32(), 8: pa.float64()}[width]
    array = pa.Array.from_buffers(type, len(words), [None, pa.py_buffer(words)])
    decoded = decode(encode(array).payload, type)
    assert decoded.buffers()[1].to_pybytes()[: words.nbytes] == words.tobytes()


@given(st.lists(st.text() | st.none(), max_size=20), st.sampled_from([pa.int8(), pa.uint32()]))
def test_indirect_types_come_back_equal(rows: list[str | None], index: pa.DataType) -> None:
    coded = pa.array(rows, pa.string()).dictionary_encode()
    if not rows:
        return
    array = coded.cast(pa.dictionary(index, pa.string()))[1:]
    assert decode(encode_checked(array).payload, array.type).equals(array)
    runs = pa.RunEndEncodedArray.from_arrays(
        pa.array(np.arange(1, len(rows) + 1) * 2, pa.int32()), pa.array(rows, pa.string())
    )
    assert decode(encode_checked(runs).payload, runs.type).equals(runs)


@given(st.lists(st.binary(min_size=16, max_size=16) | st.none(), max_size=20))
def test_extension_types_come_back_equal(rows: list[bytes | None]) -> None:
    array = pa.ExtensionArray.from_storage(UUID, pa.array(rows, pa.binary(16)))
    assert decode(encode_checked(array).payload, UUID).equals(array)


@pytest.mark.parametrize("mode", ["sparse", "dense"])
def test_unions_come_back_equal(mode: str) -> None:
    kinds = pa.array([0, 1, 0, 1], pa.int8())
    if mode == "sparse":
        children = [pa.array([1, 2, 3, 4]), pa.array(["a", "b", "c", None])]
        array = pa.UnionArray.from_sparse(kinds, children)
    else:
        places = pa.array([0, 0, 1, 1], pa.int32())
        array = pa.UnionArray.from_dense(kinds, places, [pa.array([1, 2]), pa.array(["a", None])])
    assert decode(encode_checked(array).payload, array.type).equals(array)


@given(arrays())
def test_statistics_do_not_change_the_chunk(array: pa.Array) -> None:
    chunk, zone, sketch = encode_column(array)
    assert chunk.payload == encode(array).payload
    assert zone.row_count == len(array)
    assert zone.null_count == array.null_count
    if sketch is not None and array.null_count < len(array):
        assert sketch.estimate() >= 1


@given(arrays())
def test_faster_types_hold_the_same_values(array: pa.Array) -> None:
    fast = decode(encode(array).payload, array.type, dictionary=True)
    if isinstance(fast, pa.DictionaryArray) and not isinstance(array, pa.DictionaryArray):
        fast = fast.dictionary_decode()
    elif fast.type != array.type:
        assert pa.types.is_decimal64(fast.type)
        fast = fast.cast(array.type)
    assert fast.equals(array)


@given(arrays(), st.data())
def test_hostile_bytes_are_refused_or_yield_a_valid_array(
    array: pa.Array, data: st.DataObject
) -> None:
    payload = bytearray(encode(array).payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(
            st.integers(0, min(len(payload), 200) - 1) | st.integers(0, len(payload) - 1)
        )
        payload[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del payload[data.draw(st.integers(0, len(payload))) :]
    try:
        decoded = decode(bytes(payload), array.type)
    except Corrupt:
        return
    assert decoded.type == array.type
    decoded.validate()


@given(st.binary(max_size=300), st.sampled_from([type for type, _ in TYPED]))
def test_noise_is_refused(noise: bytes, type: pa.DataType) -> None:
    with pytest.raises(Corrupt):
        decode(noise, type)


@given(st.sampled_from(TYPED), arrays())
def test_another_type_never_crashes(typed: tuple[pa.DataType, object], array: pa.Array) -> None:
    try:
        decoded = decode(encode(array).payload, typed[0])
    except Corrupt:
        return
    decoded.validate()


def test_alphabet_is_dictionary_coded() -> None:
    array = pa.array(list(string.ascii_letters) * 100)
    assert encode_checked(array).codec.startswith("dictionary")


def test_dates_outside_python_survive() -> None:
    array = pa.array([-(1 << 31), (1 << 31) - 1], pa.int32()).view(pa.date32())
    decoded = decode(encode_checked(array).payload, pa.date32())
    assert decoded.view(pa.int32()).to_pylist() == [-(1 << 31), (1 << 31) - 1]
    assert decode(encode(pa.array([datetime.date(1, 1, 1)])).payload, pa.date32())[0].as_py()
