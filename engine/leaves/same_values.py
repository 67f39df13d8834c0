"""Whether values of any stored type are the same, position by position.

Same means: told apart by no query. NULL is the same as NULL, and NaN as NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Flags = npt.NDArray[np.bool_]


def same_values(left: pa.Array, right: pa.Array) -> Flags:
    """Compare two arrays of the same type and length.

    Returns:
        One flag a position. False where values of a type that cannot be compared may differ.
    """
    kind = left.type
    if isinstance(kind, pa.BaseExtensionType):
        return same_values(left.storage, right.storage)
    if pa.types.is_dictionary(kind):
        return same_values(left.dictionary_decode(), right.dictionary_decode())
    present, others = _present(left), _present(right)
    same: Flags = present == others
    both = np.flatnonzero(present & others)
    if both.size:
        if both.size < len(left):
            left, right = left.take(pa.array(both)), right.take(pa.array(both))
        same[both] = _same_present(left, right)
    return same


def _present(array: pa.Array) -> Flags:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=bool)


def _same_present(left: pa.Array, right: pa.Array) -> Flags:
    """Compare arrays without NULL."""
    kind = left.type
    if pa.types.is_struct(kind):
        same = np.ones(len(left), dtype=bool)
        for ours, theirs in zip(left.flatten(), right.flatten(), strict=True):
            same &= same_values(ours, theirs)
        return same
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _same_lists(left, right)
    if pa.types.is_fixed_size_list(kind):
        same = same_values(left.flatten(), right.flatten())
        return np.asarray(same.reshape(len(left), kind.list_size).all(axis=1), dtype=bool)
    if pa.types.is_floating(kind):
        # By their bits: NaN is the same as itself, and 0 is not -0.
        bits = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[kind.bit_width]
        left, right = left.view(bits), right.view(bits)
    elif pa.types.is_interval(kind):
        whole = pa.binary(kind.bit_width // 8)
        left, right = left.view(whole), right.view(whole)
    try:
        equal = pc.equal(left, right)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return np.zeros(len(left), dtype=bool)
    return np.asarray(equal.to_numpy(zero_copy_only=False), dtype=bool)


def _same_lists(left: pa.Array, right: pa.Array) -> Flags:
    lengths = _lengths(left)
    same: Flags = lengths == _lengths(right)
    alike = np.flatnonzero(same)
    ours, theirs = (_elements(array.take(pa.array(alike))) for array in (left, right))
    differ = np.cumsum(~same_values(ours, theirs))
    ends = np.cumsum(lengths[alike])
    counted = np.concatenate([[0], differ])
    same[alike] = counted[ends] == counted[ends - lengths[alike]]
    return same


def _lengths(array: pa.Array) -> npt.NDArray[np.int64]:
    offsets = np.asarray(array.offsets.to_numpy(), dtype=np.int64)
    lengths: npt.NDArray[np.int64] = np.diff(offsets)
    return lengths


def _elements(array: pa.Array) -> pa.Array:
    """All elements of lists without NULL, laid end to end."""
    if not pa.types.is_map(array.type):
        return array.flatten()
    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    pairs = [array.keys, array.items]
    if len(array.keys) != last - first:
        pairs = [part.slice(first, last - first) for part in pairs]
    return pa.StructArray.from_arrays(pairs, names=["key", "value"])
