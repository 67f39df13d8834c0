"""Text of Arrow values: the one place that decides how a value is spelled.

Scalars are cast by Arrow, a column at a time. Nested values (lists, structs, maps) are spelled
as JSON, whose text is put together from the texts of their leaves, so that a decimal inside a
list keeps its digits. Per-row Python is left only where Arrow has no cast: binary, intervals,
BIT and unions.

Spelling, in every text format:
    DECIMAL     exact digits, never rounded through a float
    DOUBLE      shortest text that reads back equal; JSON has "NaN", "Infinity", "-Infinity"
    BLOB        lower-case hexadecimal
    DATE, TIME  ISO 8601; TIMESTAMP with a space, in JSON with "T"
    INTERVAL    1 year 2 months 3 days 04:05:06.5
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NONFINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_INFINITE_TIMES = {
    "<value out of range: 9223372036854775807>": "infinity",
    "<value out of range: -9223372036854775807>": "-infinity",
    "<value out of range: 2147483647>": "infinity",
    "<value out of range: -2147483647>": "-infinity",
}


def plain_array(array: pa.Array) -> pa.Array:
    """Return the array without dictionary, extension or view layers over its values."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_dictionary(kind):
        return plain_array(array.dictionary_decode())
    if pa.types.is_run_end_encoded(kind):
        return plain_array(pc.run_end_decode(array))
    if isinstance(kind, pa.UuidType):
        storage = array.storage.to_pylist()
        return pa.array([None if raw is None else _uuid_text(raw) for raw in storage], pa.string())
    if isinstance(kind, pa.Bool8Type):
        return array.storage.cast(pa.bool_())
    if isinstance(kind, pa.BaseExtensionType):
        return plain_array(array.storage)
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(kind):
        return array.cast(pa.large_binary())
    return array


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of an Arrow type are strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_numeric(kind: pa.DataType) -> bool:
    """Return whether values of an Arrow type are numbers (right-aligned in tables)."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def display_text(array: pa.Array, sql_type: str = "") -> pa.Array:
    """Spell every value of a column for tables, markdown and CSV.

    Args:
        array: Values of any Arrow type.
        sql_type: SQL type text of the column, which tells BIT from BLOB.

    Returns:
        A string array of the same length; NULL stays NULL.
    """
    array = plain_array(array)
    if _is_nested(array.type):
        valid = array.is_valid().to_pylist()
        texts = json_text(array)
        return pa.array(
            [text if ok else None for text, ok in zip(texts, valid, strict=True)],
            pa.large_string(),
        )
    return _scalar_text(array, sql_type)


def json_text(array: pa.Array, sql_type: str = "") -> list[str]:
    """Spell every value of a column as a JSON text; NULL is `null`.

    Args:
        array: Values of any Arrow type.
        sql_type: SQL type text of the column; values of JSON columns are embedded as they are.
    """
    array = plain_array(array)
    kind = array.type
    if pa.types.is_map(kind):
        return _json_maps(array)
    if pa.types.is_struct(kind):
        return _json_structs(array)
    if pa.types.is_fixed_size_list(kind):
        array = array.cast(pa.list_(kind.value_type))
        kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _json_lists(array)
    if _is_nested(kind):
        return [_json_of(value) for value in array.to_pylist()]
    texts = _scalar_text(array, sql_type)
    if pa.types.is_timestamp(kind):
        texts = pc.replace_substring(texts, " ", "T", max_replacements=1)
    values = texts.to_pylist()
    if pa.types.is_floating(kind):
        return ["null" if text is None else _json_float(text) for text in values]
    if is_numeric(kind) or pa.types.is_boolean(kind):
        return ["null" if text is None else text for text in values]
    if sql_type.upper() == "JSON":
        return ["null" if text is None else _embedded_json(text) for text in values]
    return ["null" if text is None else encode_basestring(text) for text in values]


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def _scalar_text(array: pa.Array, sql_type: str) -> pa.Array:
    kind = array.type
    if is_text(kind):
        return array
    if pa.types.is_floating(kind):
        text = array.cast(pa.string())
        return pc.replace_substring_regex(text, r"^(-?\d+)$", r"\1.0")
    if pa.types.is_decimal(kind):
        return _decimal_text(array)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        return _temporal_text(array)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        spell = _bit_text if sql_type.upper() == "BIT" else bytes.hex
        return _by_value(array, spell)
    if pa.types.is_fixed_size_binary(kind):
        return _by_value(array, bytes.hex)
    if pa.types.is_null(kind) or is_numeric(kind) or pa.types.is_boolean(kind):
        return array.cast(pa.string())
    return _by_value(array, str)


def _by_value(array: pa.Array, spell: Any) -> pa.Array:
    texts = [None if value is None else spell(value) for value in array.to_pylist()]
    return pa.array(texts, pa.large_string())


def _decimal_text(array: pa.Array) -> pa.Array:
    text = array.cast(pa.string())
    # Arrow writes small decimals as 1E-8; people and fixed-point readers expect 0.00000001.
    if not pc.any(pc.match_substring(text, "E")).as_py():
        return text
    values = text.to_pylist()
    return pa.array([None if v is None else format(Decimal(v), "f") for v in values], pa.string())


def _temporal_text(array: pa.Array) -> pa.Array:
    if pa.types.is_interval(array.type):
        return _by_value(array, _interval_text)
    text = array.cast(pa.string())
    if pa.types.is_date(array.type):
        zone = ""
    else:
        zone = r"(Z|[+-]\d{4})?$"
        text = pc.replace_substring_regex(text, r"\.0+" + zone, r"\1")
        text = pc.replace_substring_regex(text, r"(\.\d*[1-9])0+" + zone, r"\1\2")
        text = pc.replace_substring_regex(text, r"Z$", "+00:00")
        text = pc.replace_substring_regex(text, r"( .*[+-]\d\d)(\d\d)$", r"\1:\2")
    if pc.any(pc.match_substring(text, "<")).as_py():
        values = text.to_pylist()
        text = pa.array([_INFINITE_TIMES.get(value, value) for value in values], pa.string())
    return text


def _interval_text(value: Any) -> str:
    years, months = divmod(abs(value.months), 12)
    sign = -1 if value.months < 0 else 1
    parts = [
        f"{count} {unit}{'' if abs(count) == 1 else 's'}"
        for count, unit in ((sign * years, "year"), (sign * months, "month"), (value.days, "day"))
        if count
    ]
    if value.nanoseconds or not parts:
        seconds, nanoseconds = divmod(abs(value.nanoseconds), 1_000_000_000)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
        parts.append(f"{'-' if value.nanoseconds < 0 else ''}{clock}{fraction}")
    return " ".join(parts)


def _bit_text(raw: bytes) -> str:
    # The kernel's BIT: one byte that counts the padding bits, then the bits, padding first.
    return "".join(f"{byte:08b}" for byte in raw[1:])[raw[0] :]


def _uuid_text(raw: bytes) -> str:
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _json_float(text: str) -> str:
    special = _NONFINITE.get(text)
    return text if special is None else f'"{special}"'


def _embedded_json(text: str) -> str:
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return encode_basestring(text)
    # A line break between tokens would end the record in JSON lines.
    return re.sub(r"[\r\n]+", " ", text)


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


def _json_lists(array: pa.Array) -> list[str]:
    offsets = array.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    values = json_text(array.values.slice(first, last - first))
    valid = array.is_valid().to_pylist()
    return [
        "[" + ",".join(values[offsets[row] - first : offsets[row + 1] - first]) + "]"
        if valid[row]
        else "null"
        for row in range(len(array))
    ]


def _json_maps(array: pa.Array) -> list[str]:
    offsets = array.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    keys = display_text(array.keys.slice(first, last - first)).to_pylist()
    values = json_text(array.items.slice(first, last - first))
    pairs = [
        f"{encode_basestring(str(key))}:{value}" for key, value in zip(keys, values, strict=True)
    ]
    valid = array.is_valid().to_pylist()
    return [
        "{" + ",".join(pairs[offsets[row] - first : offsets[row + 1] - first]) + "}"
        if valid[row]
        else "null"
        for row in range(len(array))
    ]


def _json_structs(array: pa.Array) -> list[str]:
    names = [encode_basestring(field.name) for field in array.type]
    fields = [json_text(array.field(index)) for index in range(len(names))]
    valid = array.is_valid().to_pylist()
    template = "{" + ",".join(f"{name.replace('%', '%%')}:%s" for name in names) + "}"
    return [
        template % tuple(field[row] for field in fields) if valid[row] else "null"
        for row in range(len(array))
    ]


def _json_of(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
