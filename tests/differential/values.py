"""Kinds of values: the SQL types of each, and constants near the values that the tables hold."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from random import Random

    from tests.differential.grammar import Maker

SQL_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "int": (
        "INTEGER", "BIGINT", "TINYINT", "SMALLINT", "HUGEINT",
        "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    ),
    "huge": ("UHUGEINT", "BIGNUM"),
    "decimal": ("DECIMAL(9, 2)", "DECIMAL(4, 1)", "DECIMAL(18, 3)", "DECIMAL(38, 5)"),
    "real": ("DOUBLE", "FLOAT"),
    "text": ("VARCHAR",),
    "blob": ("BLOB",),
    "bit": ("BIT",),
    "bool": ("BOOLEAN",),
    "date": ("DATE",),
    "time": ("TIME",),
    "timetz": ("TIMETZ",),
    "timestamp": ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"),
    "timestamptz": ("TIMESTAMPTZ",),
    "interval": ("INTERVAL",),
    "uuid": ("UUID",),
    "enum": ("mood",),
    "json": ("JSON",),
    "list": ("INTEGER[]",),
    "texts": ("VARCHAR[]",),
    "array": ("INTEGER[3]",),
    "struct": ("STRUCT(a INTEGER, b VARCHAR)",),
    "structs": ("STRUCT(a INTEGER, b VARCHAR)[]",),
    "map": ("MAP(VARCHAR, INTEGER)",),
    "union": ("UNION(num INTEGER, str VARCHAR)",),
}  # fmt: skip
PLAIN: Final = ("int", "decimal", "text", "date", "timestamp", "bool", "uuid", "enum", "blob")
"""Kinds whose equal values are the same value, so that any of them may stand for its group."""
SHOWN: Final = (*PLAIN, "real", "list", "texts", "struct", "map", "json", "timestamptz", "time")
WORDS: Final = (
    "", "a", "A", "ab", "aB", "b%", "Zoë", "zoe", "x_y", "naïve", "日本", "🦆 quack", "e\u0301",
    "long enough not to be inlined anywhere", "b", "-12", "3.5", "it''s", "B", "\u00df", "ǆ",
)  # fmt: skip
MOODS: Final = ("sad", "ok", "happy", "Ærgerlig")
_RANGES: Final = {
    "TINYINT": (-128, 127), "SMALLINT": (-(2**15), 2**15 - 1), "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (-(2**63), 2**63 - 1), "HUGEINT": (-(2**127), 2**127 - 1),
    "UTINYINT": (0, 255), "USMALLINT": (0, 2**16 - 1), "UINTEGER": (0, 2**32 - 1),
    "UBIGINT": (0, 2**64 - 1), "UHUGEINT": (0, 2**128 - 1), "BIGNUM": (-(10**45), 10**45),
}  # fmt: skip
_DECIMAL_EDGES: Final = {
    "DECIMAL(9, 2)": "9999999.99", "DECIMAL(4, 1)": "999.9",
    "DECIMAL(18, 3)": "999999999999999.999", "DECIMAL(38, 5)": f"{'9' * 33}.{'9' * 5}",
}  # fmt: skip
_ODD: Final = 0.12
"""How often a floating-point number is one of the odd ones."""
_EDGE: Final = 0.03
"""How often a value is at the edge of its type's range."""
_REALS: Final = ("'nan'", "'inf'", "'-inf'", "-0.0", "0.0", "5e-324", "1e9", "-1e15")
_ZONES: Final = ("+00", "+05:30", "-08")


def stored(random: Random, kind: str, sql_type: str) -> str:
    """A constant as a table of this column type may hold it."""
    if kind in {"int", "huge"}:
        low, high = _RANGES[sql_type]
        if random.random() < _EDGE:
            return f"'{random.choice([low, high])}'::{sql_type}"
        return str(random.randint(max(low, -3), min(high, 25)))
    if kind == "decimal":
        if random.random() < _EDGE:
            return f"{random.choice(['-', ''])}{_DECIMAL_EDGES[sql_type]}"
        return f"{random.randint(-3200, 3900) / 4:.1f}" if "4" in sql_type else _decimal(random)
    return literal(random, kind)


def _decimal(random: Random) -> str:
    return f"{random.randint(-9000, 90000) / 8:.2f}"


def literal(random: Random, kind: str) -> str:
    """A constant of a kind."""
    match kind:
        case "int":
            return _signed(str(random.randint(-3, 25)))
        case "huge":
            return f"'{random.randint(0, 40)}'::UHUGEINT"
        case "decimal":
            return f"{_signed(_decimal(random))}::DECIMAL(9, 2)"
        case "real":
            plain = f"{random.randint(-80, 400) / 8}"
            odd = random.random() < _ODD
            return f"{_signed(random.choice(_REALS) if odd else plain)}::DOUBLE"
        case "text":
            return f"'{random.choice(WORDS)}'"
        case "blob":
            return random.choice([r"'\x00\xFF'::BLOB", "'abc'::BLOB", "''::BLOB", r"'\xC3'::BLOB"])
        case "bit":
            return f"'{random.randint(0, 31):05b}'::BIT"
        case "bool":
            return random.choice(["true", "false"])
        case "uuid":
            return f"'00000000-0000-4000-8000-{random.randint(0, 40):012x}'::UUID"
        case "enum":
            return f"'{random.choice(MOODS)}'::mood"
        case "json":
            word = random.choice(["a", "b", "Zoë"])
            texts = [f'{{"k": {random.randint(0, 9)}, "w": ["{word}", null]}}', "[1, 2.5]", "null"]
            return f"'{random.choice([*texts, texts[0], texts[0]])}'::JSON"
    return _nested(random, kind) or _moment(random, kind)


def _signed(number: str) -> str:
    """A number as an operand: a cast binds more tightly than a sign."""
    return f"({number})" if number.startswith("-") else number


def _moment(random: Random, kind: str) -> str:
    day = f"2020-0{random.randint(1, 4)}-{random.randint(1, 28):02}"
    time = f"{random.randint(0, 23):02}:{random.randint(0, 59):02}:{random.randint(0, 59):02}"
    if kind == "date":
        odd = ["infinity", "-infinity", "0044-03-15 (BC)", "9999-12-31"]
        return f"DATE '{random.choice(odd) if random.random() < _EDGE else day}'"
    if kind == "time":
        return f"TIME '{time}.{random.choice(['0', '25', '999999'])}'"
    if kind == "timetz":
        return f"'{time}{random.choice(_ZONES)}'::TIMETZ"
    if kind == "timestamp":
        return f"TIMESTAMP '{day} {time}'"
    if kind == "timestamptz":
        return f"TIMESTAMPTZ '{day} {time}{random.choice(_ZONES)}'"
    count, unit = random.randint(-3, 40), random.choice(["MONTH", "DAY", "HOUR", "SECOND"])
    return f"INTERVAL ({count}) {unit}"


def _nested(random: Random, kind: str) -> str:
    def number() -> str:
        return "NULL" if random.random() < 0.1 else str(random.randint(-3, 25))

    count = random.randint(0, 4)
    match kind:
        case "list":
            return f"[{', '.join(number() for _ in range(count))}]::INTEGER[]"
        case "texts":
            return f"[{', '.join(literal(random, 'text') for _ in range(count))}]::VARCHAR[]"
        case "array":
            return f"[{number()}, {number()}, 7]::INTEGER[3]"
        case "struct":
            return f"{{'a': {number()}::INTEGER, 'b': {literal(random, 'text')}}}"
        case "structs":
            made = ", ".join(_nested(random, "struct") for _ in range(count))
            return f"[{made}]::{SQL_TYPES['structs'][0]}"
        case "map":
            keys = random.sample(["a", "b", "Zoë", ""], min(count, 4))
            entries = ", ".join(f"'{key}': {number()}" for key in keys)
            return f"MAP {{{entries}}}::MAP(VARCHAR, INTEGER)"
        case "union":
            member = random.choice([f"num := {number()}", f"str := {literal(random, 'text')}"])
            return f"union_value({member})::{SQL_TYPES['union'][0]}"
    return ""


def constant(maker: Maker, kind: str) -> str:
    """A constant of a kind in a query: written out, NULL, or given as a parameter."""
    random = maker.random
    if maker.parameters is not None and random.random() < 0.5:
        given = parameter(random, kind)
        if given is not None:
            maker.parameters.append(None if random.random() < 0.05 else given)
            place = f"${len(maker.parameters)}"
            return place if kind == "text" else f"CAST({place} AS {SQL_TYPES[kind][0]})"
    if random.random() < 0.04:
        return f"NULL::{SQL_TYPES[kind][0]}"
    return literal(random, kind)


def parameter(random: Random, kind: str) -> Any:
    """A value of a kind as a client gives it; None where there is none."""
    match kind:
        case "int":
            return random.randint(-3, 25)
        case "text":
            return random.choice(WORDS)
        case "real":
            return random.choice([0.25, -1.5, float("inf"), 3.0])
        case "date":
            return datetime.date(2020, random.randint(1, 4), random.randint(1, 28))
        case "bool":
            return random.random() < 0.5
        case "list":
            return [random.randint(0, 9) for _ in range(random.randint(0, 3))]
        case "texts":
            return [random.choice(WORDS) for _ in range(random.randint(1, 3))]
        case "decimal":
            return Decimal(random.randint(-900, 9000)) / 8
        case "timestamp":
            return datetime.datetime(2020, random.randint(1, 4), 9, random.randint(0, 23), 30)
        case "timestamptz":
            hour = random.randint(0, 23)
            return datetime.datetime(2020, 3, 29, hour, tzinfo=datetime.UTC)
        case "time":
            return datetime.time(random.randint(0, 23), 30)
        case "interval":
            return datetime.timedelta(days=random.randint(-3, 40))
        case "uuid":
            return uuid.UUID(f"00000000-0000-4000-8000-{random.randint(0, 40):012x}")
        case "blob":
            return random.choice([b"abc", b"", b"\x00\xff"])
        case "struct":
            return {"a": random.randint(0, 25), "b": random.choice(WORDS)}
        case "enum":
            return random.choice(MOODS)
    return None
