"""Column-chunk encoding: one column of one row group to bytes and back.

Byte layout: docs/format/column-chunk.md.
"""

from .chunk import ROWS_MAX, Codec, EncodedChunk, EncodingChoice, IntegerPlan
from .codec import decode, encode
from .statistics import encode_column

__all__ = [
    "ROWS_MAX",
    "Codec",
    "EncodedChunk",
    "EncodingChoice",
    "IntegerPlan",
    "decode",
    "encode",
    "encode_column",
]
