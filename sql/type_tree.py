"""SQL types as trees, and the parser of their text.

The kernel names types by text: DESCRIBE prints `STRUCT(a INTEGER, b VARCHAR[])[3]`. Here that text
becomes a tree of frozen values, and each node prints itself as the kernel would:

    ArrayType ─ StructType ┬ Field a ─ ScalarType INTEGER
       3                   └ Field b ─ ListType ─ ScalarType VARCHAR
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from ..errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NESTING_MAX: Final = 64  # Bounds recursion here and in the kernel's own type code.
STATE: Final = "AGGREGATE_STATE"
"""What the kernel prints for the exported state of any aggregate."""


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A type without inner types: INTEGER, DECIMAL(15,2), ENUM('a', 'b'), GEOMETRY('OGC:CRS84').

    Attributes:
        name: The kernel's canonical name, upper case; the type of a bare NULL is `NULL`.
        parameters: Precision and scale, the values of an ENUM, or a coordinate system.
    """

    name: str
    parameters: tuple[int | str, ...] = ()

    @property
    def sql(self) -> str:
        """The type as the kernel prints it."""
        if self.name == "NULL":
            return '"NULL"'
        if not self.parameters:
            return self.name
        separator = "," if self.name == "DECIMAL" else ", "
        texts = (literal(p) if isinstance(p, str) else str(p) for p in self.parameters)
        return f"{self.name}({separator.join(texts)})"


@dataclass(frozen=True, slots=True)
class ListType:
    """A list of any length: T[]."""

    element: SqlType

    @property
    def sql(self) -> str:
        """The type as the kernel prints it."""
        return f"{self.element.sql}[]"


@dataclass(frozen=True, slots=True)
class ArrayType:
    """A list of one fixed length: T[n]."""

    element: SqlType
    length: int

    @property
    def sql(self) -> str:
        """The type as the kernel prints it."""
        return f"{self.element.sql}[{self.length}]"


@dataclass(frozen=True, slots=True)
class Field:
    """A named part of a STRUCT or UNION.

    Attributes:
        identifier: The name as written in SQL, with its double quotes where it has them. Which
            names need quotes is the kernel's affair (its keywords), so they are kept, not made.
        type: The type of the part.
    """

    identifier: str
    type: SqlType

    @property
    def name(self) -> str:
        """The name itself, without SQL quotes."""
        if self.identifier.startswith('"'):
            return self.identifier[1:-1].replace('""', '"')
        return self.identifier

    @property
    def sql(self) -> str:
        """The field as the kernel prints it inside its type."""
        return f"{self.identifier} {self.type.sql}"


@dataclass(frozen=True, slots=True)
class StructType:
    """Named fields: STRUCT(a INTEGER, "b c" VARCHAR). Without fields it prints as STRUCT."""

    fields: tuple[Field, ...]

    @property
    def sql(self) -> str:
        """The type as the kernel prints it."""
        return f"STRUCT{_arguments(self.fields)}"


@dataclass(frozen=True, slots=True)
class TupleType:
    """Unnamed fields, the type of row(1, 'a'): TUPLE(INTEGER, VARCHAR)."""

    items: tuple[SqlType, ...]

    @property
    def sql(self) -> str:
        """The type as the kernel prints it."""
        return f"TUPLE{_arguments(self.items)}"


@dataclass(frozen=True, slots=True)
class MapType:
    """Keys with values: MAP(VARCHAR, INTEGER)."""

    key: SqlType
    value: SqlType

    @property
    def sql(self) -> str:
        """The type as the kernel prints it."""
        return f"MAP({self.key.sql}, {self.value.sql})"


@dataclass(frozen=True, slots=True)
class UnionType:
    """One of several tagged members: UNION(num INTEGER, str VARCHAR)."""

    members: tuple[Field, ...]

    @property
    def sql(self) -> str:
        """The type as the kernel prints it."""
        return f"UNION{_arguments(self.members)}"


@dataclass(frozen=True, slots=True)
class StateType:
    """The state that an aggregate exports: avg(x) EXPORT_STATE.

    The kernel prints it as AGGREGATE_STATE, whatever it is of; here its text tells the rest.

    Attributes:
        physical: The type of the value that lies below it.
        arguments: The arguments, behind that value, of the call of ``to_aggregate_state`` that
            makes it a state again.
    """

    physical: SqlType
    arguments: str

    @property
    def sql(self) -> str:
        """The type as Pagelake writes it: AGGREGATE_STATE(type, 'arguments')."""
        return f"{STATE}({self.physical.sql}, {literal(self.arguments)})"


SqlType = (
    ScalarType | ListType | ArrayType | StructType | TupleType | MapType | UnionType | StateType
)


def parts_of(tree: SqlType) -> tuple[SqlType, ...]:
    """The types of which a type is made; a state has none, being one value to SQL."""
    match tree:
        case ListType(element) | ArrayType(element):
            return (element,)
        case MapType(key, value):
            return (key, value)
        case StructType(fields) | UnionType(fields):
            return tuple(field.type for field in fields)
        case TupleType(items):
            return items
    return ()


def with_parts(tree: SqlType, parts: Sequence[SqlType]) -> SqlType:
    """A type with other parts, as many as ``parts_of`` gives."""
    match tree:
        case ListType():
            return ListType(parts[0])
        case ArrayType(_, length):
            return ArrayType(parts[0], length)
        case MapType():
            return MapType(*parts)
        case StructType(fields) | UnionType(fields):
            pairs = zip(fields, parts, strict=True)
            return type(tree)(tuple(Field(field.identifier, part) for field, part in pairs))
        case TupleType():
            return TupleType(tuple(parts))
    return tree


def holds_state(tree: SqlType) -> bool:
    """Tell whether a type is an aggregate's state or has one inside."""
    return isinstance(tree, StateType) or any(map(holds_state, parts_of(tree)))


def printed(sql: str) -> str:
    """The text of a type as the kernel prints it: what a state is of is left out."""
    return _without_states(sql, lambda _: ScalarType(STATE))


def physical(sql: str) -> str:
    """The text of a type with, for each state, the type of the value below it."""
    return _without_states(sql, lambda state: state.physical)


def _without_states(sql: str, become: Callable[[StateType], SqlType]) -> str:
    if f"{STATE}(" not in sql:
        return sql

    def walk(tree: SqlType) -> SqlType:
        if isinstance(tree, StateType):
            return become(tree)
        return with_parts(tree, [walk(part) for part in parts_of(tree)])

    return walk(parse_type(sql)).sql


def _arguments(parts: tuple[SqlType | Field, ...]) -> str:
    return f"({', '.join(part.sql for part in parts)})" if parts else ""


def literal(text: str) -> str:
    """Quote a text as SQL."""
    return "'" + text.replace("'", "''") + "'"


_Part = TypeVar("_Part")

# --- Reading type text ---------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"]|"")+")|(?P<string>'(?:[^']|'')*')|(?P<number>\d+)
        |(?P<word>[^\W\d][\w$]*)|(?P<mark>[()\[\],]))""",
    re.VERBOSE | re.DOTALL,
)

# The names that people write for the names that the kernel prints.
_ALIASES: Final = {
    "BINARY": "BLOB", "BITSTRING": "BIT", "BOOL": "BOOLEAN", "BPCHAR": "VARCHAR", "BYTEA": "BLOB",
    "CHAR": "VARCHAR", "DATETIME": "TIMESTAMP", "DEC": "DECIMAL", "FLOAT4": "FLOAT",
    "FLOAT8": "DOUBLE", "GUID": "UUID", "INT": "INTEGER", "INT1": "TINYINT", "INT128": "HUGEINT",
    "INT16": "SMALLINT", "INT2": "SMALLINT", "INT32": "INTEGER", "INT4": "INTEGER",
    "INT64": "BIGINT", "INT8": "BIGINT", "INTEGRAL": "INTEGER", "LOGICAL": "BOOLEAN",
    "LONG": "BIGINT", "NUMERIC": "DECIMAL", "NVARCHAR": "VARCHAR", "OID": "BIGINT",
    "REAL": "FLOAT", "ROW": "STRUCT", "SHORT": "SMALLINT", "SIGNED": "INTEGER",
    "STRING": "VARCHAR", "TEXT": "VARCHAR", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP_US": "TIMESTAMP", "TIMETZ": "TIME WITH TIME ZONE", "UINT128": "UHUGEINT",
    "UINT16": "USMALLINT", "UINT32": "UINTEGER", "UINT64": "UBIGINT", "UINT8": "UTINYINT",
    "VARBINARY": "BLOB", "VARINT": "BIGNUM",
}  # fmt: skip


@lru_cache(maxsize=4096)
def parse_type(sql: str) -> SqlType:
    """Parse the text of a SQL type.

    Args:
        sql: A type as DESCRIBE prints it; the kernel's aliases (INT, TEXT, ...) are understood.

    Returns:
        The type's tree, whose `sql` is the canonical text.

    Raises:
        Unsupported: The text is not a type, or it nests deeper than `NESTING_MAX`.
    """
    return _Parser(sql).parse()


class _Parser:
    """A recursive-descent parser over the tokens of one type text."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens: list[tuple[str, str]] = []
        self._next = 0
        position, end = 0, len(sql.rstrip())
        while position < end:
            match = _TOKEN.match(sql, position)
            if match is None or match.lastgroup is None:
                raise self._refusal()
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def parse(self) -> SqlType:
        tree = self._type(0)
        if self._next != len(self._tokens):
            raise self._refusal()
        return tree

    def _type(self, depth: int) -> SqlType:
        if depth > NESTING_MAX:
            raise Unsupported(
                f"The type {excerpt(self._sql)} nests deeper than {NESTING_MAX} levels."
            )
        kind, text = self._take("word", "quoted")
        name = text.upper() if kind == "word" else text[1:-1].replace('""', '"')
        tree = self._named(_ALIASES.get(name, name), depth)
        while self._accept("["):
            depth += 1
            if depth > NESTING_MAX:
                raise self._refusal()
            if self._accept("]"):
                tree = ListType(tree)
            else:
                tree = ArrayType(tree, int(self._take("number")[1]))
                self._expect("]")
        return tree

    def _named(self, name: str, depth: int) -> SqlType:
        if name in {"STRUCT", "UNION"}:
            fields = self._sequence(lambda: self._field(depth + 1))
            return StructType(fields) if name == "STRUCT" else UnionType(fields)
        if name == "TUPLE":
            return TupleType(self._sequence(lambda: self._type(depth + 1)))
        if name == "MAP":
            inner = self._sequence(lambda: self._type(depth + 1))
            if len(inner) != 2:
                raise self._refusal()
            return MapType(*inner)
        if name == STATE and self._accept("("):
            physical = self._type(depth + 1)
            self._expect(",")
            arguments = _unquoted(self._take("string")[1])
            self._expect(")")
            return StateType(physical, arguments)
        if name == "ENUM":
            return ScalarType(name, self._sequence(lambda: _unquoted(self._take("string")[1])))
        if name in {"TIME", "TIMESTAMP"} and (self._accept("WITH") or self._accept("WITHOUT")):
            zoned = self._tokens[self._next - 1][1].upper() == "WITH"
            self._expect("TIME")
            self._expect("ZONE")
            return ScalarType(f"{name} WITH TIME ZONE" if zoned else name)
        if name == "DOUBLE":
            self._accept("PRECISION")
        return self._scalar(name, self._sequence(self._parameter))

    def _scalar(self, name: str, parameters: tuple[int | str, ...]) -> ScalarType:
        if name == "DECIMAL":
            match parameters:
                case ():
                    parameters = (18, 3)
                case (int(precision),):
                    parameters = (precision, 0)
                case (int(), int()):
                    pass
                case _:
                    raise self._refusal()
        elif name in {"VARCHAR", "BLOB", "BIT"}:
            parameters = ()  # VARCHAR(10): the kernel accepts a length and ignores it.
        elif parameters and name != "GEOMETRY":
            raise self._refusal()
        return ScalarType(name, parameters)

    def _parameter(self) -> int | str:
        kind, text = self._take("number", "string")
        return int(text) if kind == "number" else _unquoted(text)

    def _field(self, depth: int) -> Field:
        _, identifier = self._take("word", "quoted")
        return Field(identifier, self._type(depth))

    def _sequence(self, item: Callable[[], _Part]) -> tuple[_Part, ...]:
        if not self._accept("("):
            return ()
        if self._accept(")"):
            return ()
        items = [item()]
        while self._accept(","):
            items.append(item())
        self._expect(")")
        return tuple(items)

    def _take(self, *kinds: str) -> tuple[str, str]:
        if self._next == len(self._tokens) or self._tokens[self._next][0] not in kinds:
            raise self._refusal()
        self._next += 1
        return self._tokens[self._next - 1]

    def _accept(self, text: str) -> bool:
        if self._next < len(self._tokens):
            kind, found = self._tokens[self._next]
            if kind in {"word", "mark"} and found.upper() == text:
                self._next += 1
                return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._refusal()

    def _refusal(self) -> Unsupported:
        return Unsupported(f"{excerpt(self._sql)} is not a type that Pagelake knows.")


def _unquoted(literal: str) -> str:
    return literal[1:-1].replace("''", "'")


def excerpt(sql: str) -> str:
    """Shorten a type's text, such as that of an ENUM with many values, for a message."""
    return sql if len(sql) <= 200 else sql[:197] + "..."
