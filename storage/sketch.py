"""Distinct-count sketches: HyperLogLog with 256 registers, mergeable over column chunks.

Equal values hash alike in every chunk of a column, however the chunk is encoded, so that merged
sketches count the union. The standard error is 1.04 / sqrt(256) = 6.5 %.

Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal
cardinality estimation algorithm", 2007 (registers); Ertl, "New cardinality estimation algorithms
for HyperLogLog sketches", 2017, section 4 (the estimator, without bias at small counts).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import Corrupt
from .column_vector import (
    ColumnVector,
    WordArray,
    analyse,
    fixed_width_values,
    is_string_like,
    validity_mask,
    value_offsets,
)

HashArray = npt.NDArray[np.uint64]

REGISTERS: Final = 256
# Bits of a hash behind the 8 that pick the register; a register holds at most one more.
_RANK_BITS: Final = 56
# Where values lie this close together, marking those present beats hashing every row.
_SPAN_MAX: Final = 1 << 17
# Rows whose hash ends in three zeros, an eighth of them, decide every register if there are many.
_SPARSE_MASK: Final = np.uint64(7)
_SPARSE_ROWS_MIN: Final = 1 << 14
# Odd constants of MurmurHash3's 64-bit finaliser (Appleby, public domain).
_MIX_1: Final = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2: Final = np.uint64(0xC4CEB9FE1A85EC53)
_WINDOW_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Sketch:
    """An estimate of how many distinct values there are, NULL not counted.

    Attributes:
        registers: 256 bytes, the largest rank seen in each register.
    """

    registers: bytes = bytes(REGISTERS)

    @classmethod
    def of(cls, array: pa.Array) -> Sketch | None:
        """Sketch an array.

        Args:
            array: One column of one row group.

        Returns:
            The sketch; None for nested, dictionary and run-end encoded types.
        """
        return cls.of_column(analyse(array))

    @classmethod
    def of_column(cls, column: ColumnVector, distinct: pa.Array | None = None) -> Sketch | None:
        """Sketch an analysed column.

        Args:
            column: The column.
            distinct: Its distinct values without null, where they are known already.
        """
        if column.row_count == column.null_count:
            return cls()
        hashes = _hash_column(column, distinct)
        return None if hashes is None else cls(_registers(hashes).tobytes())

    def merge(self, other: Sketch) -> Sketch:
        """Return the sketch of both chunks' values together."""
        mine = np.frombuffer(self.registers, dtype=np.uint8)
        return Sketch(np.maximum(mine, np.frombuffer(other.registers, dtype=np.uint8)).tobytes())

    def estimate(self) -> int:
        """Return the estimated number of distinct values."""
        ranks = np.frombuffer(self.registers, dtype=np.uint8)
        counts = np.bincount(ranks, minlength=_RANK_BITS + 2) / REGISTERS
        if counts[0] == 1.0:
            return 0
        z = _tau(1.0 - counts[_RANK_BITS + 1])
        for rank in range(_RANK_BITS, 0, -1):
            z = 0.5 * (z + counts[rank])
        z += _sigma(counts[0])
        return round(REGISTERS / (2.0 * math.log(2.0) * z))

    def to_bytes(self) -> bytes:
        """Return at most 256 bytes: (register, rank) pairs while those are fewer."""
        ranks = np.frombuffer(self.registers, dtype=np.uint8)
        used = np.flatnonzero(ranks)
        if 2 * len(used) >= REGISTERS:
            return self.registers
        return np.column_stack((used.astype(np.uint8), ranks[used])).tobytes()

    @classmethod
    def from_bytes(cls, packed: bytes) -> Sketch:
        """Rebuild a sketch from `to_bytes`.

        Raises:
            Corrupt: The bytes are not a sketch.
        """
        content = np.frombuffer(packed, dtype=np.uint8)
        if len(content) > REGISTERS or len(content) % 2:
            raise Corrupt(f"distinct-count sketch: {len(content)} bytes")
        if len(content) == REGISTERS:
            ranks = content
        else:
            ranks = np.zeros(REGISTERS, dtype=np.uint8)
            ranks[content[0::2]] = content[1::2]
        if int(ranks.max()) > _RANK_BITS + 1:
            raise Corrupt("distinct-count sketch: a rank out of range")
        return cls(ranks.tobytes())


def _sigma(x: float) -> float:
    # Ertl 2017, algorithm 6: the contribution of the empty registers.
    total, weight = x, 1.0
    while True:
        x *= x
        previous = total
        total += x * weight
        weight += weight
        if total == previous:
            return total


def _tau(x: float) -> float:
    # Ertl 2017, algorithm 6: the contribution of the full registers.
    if x in (0.0, 1.0):
        return 0.0
    total, weight = 1.0 - x, 1.0
    while True:
        x = math.sqrt(x)
        previous = total
        weight *= 0.5
        total -= (1.0 - x) ** 2 * weight
        if total == previous:
            return total / 3.0


def _registers(hashes: HashArray) -> npt.NDArray[np.uint8]:
    if len(hashes) >= _SPARSE_ROWS_MIN:
        registers = _registers_of(hashes[(hashes & _SPARSE_MASK) == 0])
        # A register that an eighth of the rows reached holds rank 4 or more, which no row
        # outside that eighth can raise.
        if registers.all():
            return registers
    return _registers_of(hashes)


def _registers_of(hashes: HashArray) -> npt.NDArray[np.uint8]:
    stop = np.uint64(1 << _RANK_BITS)
    tail = hashes | stop
    # The lowest set bit alone is a power of two, whose float exponent is its position.
    lowest = (tail & (~tail + np.uint64(1))).view(np.int64).astype(np.float64)
    ranks = (lowest.view(np.uint64) >> np.uint64(52)).astype(np.int64) - 1022
    registers = np.zeros(REGISTERS, dtype=np.uint8)
    picked = (hashes >> np.uint64(_RANK_BITS)).astype(np.intp)
    np.maximum.at(registers, picked, ranks.astype(np.uint8))
    return registers


def _mix(values: HashArray) -> HashArray:
    mixed = values ^ (values >> np.uint64(33))
    mixed *= _MIX_1
    mixed ^= mixed >> np.uint64(33)
    mixed *= _MIX_2
    mixed ^= mixed >> np.uint64(33)
    return mixed


def _hash_column(column: ColumnVector, distinct: pa.Array | None) -> HashArray | None:
    type = column.array.type
    if column.words is not None:
        if pa.types.is_floating(type):
            return _mix(_float_keys(column.words))
        return _mix(_integer_keys(column.words, column.low, column.high))
    if is_string_like(type):
        return _mix(_string_keys(column.array if distinct is None else distinct))
    if pa.types.is_boolean(type):
        return _mix(column.array.unique().drop_null().cast(pa.uint64()).to_numpy())
    if pa.types.is_decimal128(type):
        return _mix(_decimal_keys(column.array))
    if pa.types.is_decimal256(type):
        return _mix(_lane_keys(column.array, 32))
    if pa.types.is_fixed_size_binary(type) and type.byte_width:
        return _mix(_lane_keys(column.array, type.byte_width))
    if type.equals(pa.month_day_nano_interval()):
        return _mix(_lane_keys(column.array, 16))
    return None


def _integer_keys(words: WordArray, low: int, high: int) -> HashArray:
    # Sign extension to 64 bits is by `low`, so that a key does not depend on the word's width.
    base = np.uint64(low & ((1 << 64) - 1))
    start = words.dtype.type(low & ((1 << 8 * words.dtype.itemsize) - 1))
    offsets = words - start
    if high - low >= min(_SPAN_MAX, len(words) // 2):
        return offsets.astype(np.uint64) + base
    present = np.zeros(high - low + 1, dtype=np.bool_)
    present[offsets.astype(np.intp)] = True
    return np.flatnonzero(present).astype(np.uint64) + base


def _float_keys(words: WordArray) -> HashArray:
    values = words.view(f"<f{words.dtype.itemsize}").astype(np.float64)
    values += 0.0  # -0.0 equals 0.0
    values[np.isnan(values)] = np.nan
    return values.view(np.uint64)


def _decimal_keys(array: pa.Array) -> HashArray:
    halves = _present(array, fixed_width_values(array, 16)).view("<u8")
    lower, upper = halves[:, 0], halves[:, 1]
    extension = (lower.view(np.int64) >> 63).view(np.uint64)
    # Must agree with the integer key wherever the value fits 64 bits.
    return np.where(upper == extension, lower, lower + _mix(upper ^ _MIX_1))


def _lane_keys(array: pa.Array, width: int) -> HashArray:
    rows = _present(array, fixed_width_values(array, width).view(np.uint8).reshape(-1, width))
    lanes = (width + 7) // 8
    padded = np.zeros((len(rows), 8 * lanes), dtype=np.uint8)
    padded[:, :width] = rows
    keys = np.zeros(len(rows), dtype=np.uint64)
    for lane in padded.view("<u8").T:
        keys = _mix(keys + _MIX_2) ^ lane
    return keys


def _string_keys(array: pa.Array) -> HashArray:
    """Combine each value's length with its first, middle and last 8 bytes."""
    offsets = value_offsets(array).astype(np.int64)
    starts, lengths = _present(array, offsets[:-1]), _present(array, np.diff(offsets))
    source = array.buffers()[2]
    if source is None or source.size < _WINDOW_BYTES:
        source = pa.py_buffer((b"" if source is None else source.to_pybytes()).ljust(8, b"\0"))
    last_window = source.size - _WINDOW_BYTES
    windows: Any = np.ndarray((last_window + 1,), dtype="<u8", buffer=source, strides=(1,))
    # A window of a value shorter than 8 bytes is cut to its length.
    kept = np.clip(lengths, 1, _WINDOW_BYTES)
    cut = (8 * (_WINDOW_BYTES - kept)).astype(np.uint64)
    empty = np.flatnonzero(lengths == 0)
    keys = lengths.astype(np.uint64)
    slack = np.maximum(lengths - _WINDOW_BYTES, 0)
    for position in (starts, starts + slack // 2, starts + slack):
        # Near the end of the buffer read earlier and shift the bytes in front out.
        window = windows[np.minimum(position, last_window)]
        late = np.flatnonzero(position > last_window)
        # Eight bytes late is one past the end: an empty value, overwritten below.
        shift = 8 * np.minimum(position[late] - last_window, 7)
        window[late] >>= shift.astype(np.uint64)
        window <<= cut
        window[empty] = 0
        keys = _mix(keys) ^ window
    return keys


def _present(array: pa.Array, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values[validity_mask(array)] if array.null_count else values
