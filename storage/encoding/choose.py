"""Choosing an encoding: try the candidates on a sample, take the smallest, stay with it.

The choice travels to the next row group of the column as a hint. A hint is never trusted for
correctness, only for size: every codec can write every column it applies to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ..column_vector import ColumnVector, WordArray, is_string_like, value_offsets
from .chunk import ChunkWriter, Codec, EncodingChoice, IntegerPlan
from .dictionary import write_word_dictionary
from .integers import span_of, write_integers
from .plain import TRANSPOSED_WIDTH_MAX, plain_width_of, write_plain, write_transposed
from .strings import VALUE_BYTES_MAX, value_lengths

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE_ROWS: Final = 8192
# A dictionary pays when values repeat; beyond this share of distinct values it is a detour.
DISTINCT_RATIO_MAX: Final = 0.3
# The level that chunks are written with, so that samples are judged as they will be stored.
ZSTD_LEVEL_SAMPLE: Final = 1

# Smaller wins, but each step costs time on both sides: it must save this share to be taken.
_PENALTY_SPLIT: Final = 1.02
_PENALTY_DELTA: Final = 1.03
_PENALTY_DICTIONARY: Final = 1.05

# Codes of one byte have one plane anyway; the high byte of longer ones takes few values.
_CODE_PLAN: Final = IntegerPlan(split=True)


def choose(column: ColumnVector) -> EncodingChoice:
    """Choose the encoding of a column from a sample of its rows.

    Args:
        column: A column with at least one row that is not null.

    Returns:
        A choice that applies to this column; `bytes_per_row` is not yet filled in.
    """
    if column.words is not None:
        return _choose_words(column)
    type = column.array.type
    if is_string_like(type):
        return _choose_strings(column.array)
    width = plain_width_of(column.array)
    if width is None:
        return EncodingChoice(Codec.IPC)
    if 8 < width <= TRANSPOSED_WIDTH_MAX and not pa.types.is_fixed_size_list(type):
        sample = _sample(column.array)
        plain = _cost(lambda writer: write_plain(writer, sample, width))
        transposed = _cost(lambda writer: write_transposed(writer, sample, width))
        if transposed * _PENALTY_SPLIT < plain:
            return EncodingChoice(Codec.TRANSPOSED)
    return EncodingChoice(Codec.PLAIN)


def applies(choice: EncodingChoice, column: ColumnVector) -> bool:
    """Tell whether a hint can be used for a column (its type may have changed)."""
    type = column.array.type
    if column.words is not None:
        return choice.codec in (Codec.WORDS, Codec.DICTIONARY)
    if is_string_like(type):
        return choice.codec in (Codec.STRINGS, Codec.DICTIONARY) and _values_fit(column.array)
    width = plain_width_of(column.array)
    if width is None:
        return choice.codec is Codec.IPC
    if choice.codec is Codec.TRANSPOSED:
        return 8 < width <= TRANSPOSED_WIDTH_MAX and not pa.types.is_fixed_size_list(type)
    return choice.codec is Codec.PLAIN


def choose_plan(words: WordArray, low: int, high: int) -> IntegerPlan:
    """Choose the layout of an integer stream from a contiguous sample of it.

    Args:
        words: Unsigned words, shape (rows,), rows > 0.
        low: Smallest value of the whole stream: the sample alone would look too narrow.
        high: Largest value.
    """
    return min(_plan_costs(_sample_words(words), low, high), key=lambda entry: entry[0])[1]


def _choose_words(column: ColumnVector) -> EncodingChoice:
    words, low, high = column.words, column.low, column.high
    assert words is not None
    sample = _sample_words(words)
    cost, plan = min(_plan_costs(sample, low, high), key=lambda entry: entry[0])
    distinct = len(np.unique(sample))
    if high - low >= 1 << 8 and distinct <= DISTINCT_RATIO_MAX * len(sample) < len(words):
        coded = _PENALTY_DICTIONARY * _cost(
            lambda writer: write_word_dictionary(writer, sample, _CODE_PLAN)
        )
        if coded < cost:
            return EncodingChoice(Codec.DICTIONARY, _CODE_PLAN)
    return EncodingChoice(Codec.WORDS, plan)


def _plan_costs(sample: WordArray, low: int, high: int) -> list[tuple[float, IntegerPlan]]:
    costs: list[tuple[float, IntegerPlan]] = []
    for plan, penalty in (
        (IntegerPlan(), 1.0),
        (IntegerPlan(split=True), _PENALTY_SPLIT),
        (IntegerPlan(delta=True), _PENALTY_DELTA),
        (IntegerPlan(delta=True, split=True), _PENALTY_DELTA * _PENALTY_SPLIT),
    ):
        writer = ChunkWriter(ZSTD_LEVEL_SAMPLE)
        write_integers(writer, sample, low, high, plan)
        costs.append((writer.stored_bytes() * penalty, plan))
    return costs


def _choose_strings(array: pa.Array) -> EncodingChoice:
    if not _values_fit(array):
        return EncodingChoice(Codec.IPC)
    sample = _sample(array.drop_null() if array.null_count else array)
    if len(sample.unique()) <= max(1, DISTINCT_RATIO_MAX * len(sample)):
        return EncodingChoice(Codec.DICTIONARY, _CODE_PLAN)
    lengths = value_lengths(array)
    return EncodingChoice(Codec.STRINGS, choose_plan(lengths, *span_of(lengths)))


def _values_fit(array: pa.Array) -> bool:
    offsets = value_offsets(array)
    return int(offsets[-1]) - int(offsets[0]) <= VALUE_BYTES_MAX


def _cost(write: Callable[[ChunkWriter], None]) -> float:
    writer = ChunkWriter(ZSTD_LEVEL_SAMPLE)
    write(writer)
    return writer.stored_bytes()


def _sample_words(words: WordArray) -> WordArray:
    start = max(0, (len(words) - SAMPLE_ROWS) // 2)
    return words[start : start + SAMPLE_ROWS]


def _sample(array: pa.Array) -> pa.Array:
    return array.slice(max(0, (len(array) - SAMPLE_ROWS) // 2), SAMPLE_ROWS)
