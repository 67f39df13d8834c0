"""Encode a column and describe it for the manifest in one go, sharing the work between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..column_vector import analyse
from ..sketch import Sketch
from ..zone_map import ZoneMap
from .codec import encode_vector

if TYPE_CHECKING:
    import pyarrow as pa

    from .chunk import EncodedChunk, EncodingChoice


def encode_column(
    array: pa.Array, hint: EncodingChoice | None = None
) -> tuple[EncodedChunk, ZoneMap, Sketch | None]:
    """Encode one column of one row group and compute its statistics.

    Args:
        array: Any Arrow array of at most `ROWS_MAX` rows.
        hint: `choice` of an earlier chunk of the column.

    Returns:
        The chunk, its zone map and its distinct-count sketch (None for types without one).

    Raises:
        ValueError: The array has more than `ROWS_MAX` rows.
    """
    column = analyse(array)
    chunk, distinct = encode_vector(column, hint)
    zone = ZoneMap.of_column(column, distinct)
    return chunk, zone, Sketch.of_column(column, distinct)
