"""Statements and types in DuckDB's dialect, told as differences from PostgreSQL's."""

from __future__ import annotations

import re
import zlib
from typing import Any

from sqlalchemy import Identity
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects.postgresql.base import (
    RESERVED_WORDS,
    PGCompiler,
    PGTypeCompiler,
)
from sqlalchemy.sql import cast, compiler

from ....sql.tokens import literal

_FURTHER_RESERVED = {
    "anti", "asof", "at", "by_name", "columns", "describe", "glob", "lambda", "map", "pivot",
    "pivot_longer", "pivot_wider", "positional", "qualify", "semi", "show", "struct", "summarize",
    "try_cast", "unpack", "unpivot",
}  # fmt: skip


class PagelakeCompiler(PGCompiler):
    """Queries and changes of rows."""

    def visit_sequence(self, seq: Any, **kw: Any) -> str:  # type: ignore[override]
        """The next value of a sequence."""
        return f"nextval({literal(self.preparer.format_sequence(seq))})"

    def for_update_clause(self, select: Any, **kw: Any) -> str:
        """Nothing: a transaction reads a snapshot, and conflicts surface at its commit."""
        return ""

    def fetch_clause(self, select: Any, **kw: Any) -> str:  # type: ignore[override]
        """FETCH FIRST; of a percentage LIMIT, since only that takes one."""
        options = select._fetch_clause_options
        if select._fetch_clause is None or not options["percent"] or options["with_ties"]:
            return str(super().fetch_clause(select, **kw))  # type: ignore[no-untyped-call]
        text = f"\n LIMIT ({self.process(select._fetch_clause, **kw)}) %"
        if select._offset_clause is not None:
            text += f" OFFSET ({self.process(select._offset_clause, **kw)})"
        return text

    def visit_bitwise_xor_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Exclusive or, which is a function."""
        return f"xor({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)})"

    def visit_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Whether a regular expression matches anywhere; DuckDB's `~` matches the whole text."""
        arguments = [self.process(binary.left, **kw), self.process(binary.right, **kw)]
        flags = binary.modifiers["flags"]
        if flags is not None:
            arguments.append(literal(flags))
        return f"regexp_matches({', '.join(arguments)})"

    def visit_not_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Whether it matches nowhere."""
        return f"NOT {self.visit_regexp_match_op_binary(binary, operator, **kw)}"

    def visit_json_getitem_op_binary(
        self, binary: Any, operator: Any, _cast_applied: bool = False, **kw: Any
    ) -> str:
        """A part of a JSON value: JSON again, or text and from there what was asked for."""
        if not _cast_applied and binary.type._type_affinity is not sqltypes.JSON:
            return self.process(cast(binary, binary.type), _cast_applied=True, **kw)
        arrow = "->>" if _cast_applied else "->"
        left, right = self.process(binary.left, **kw), self.process(binary.right, **kw)
        return f"(({left}) {arrow} {right})"

    def visit_json_path_getitem_op_binary(
        self, binary: Any, operator: Any, _cast_applied: bool = False, **kw: Any
    ) -> str:
        """A part deeper inside."""
        return self.visit_json_getitem_op_binary(binary, operator, _cast_applied, **kw)


class PagelakeDDLCompiler(compiler.DDLCompiler):
    """Definitions: SQL's own forms are DuckDB's, but a key is numbered by a sequence."""

    def visit_create_table(self, create: Any, **kw: Any) -> str:
        """CREATE TABLE, and in front of it the sequence of a key that numbers itself."""
        text = str(super().visit_create_table(create, **kw))  # type: ignore[no-untyped-call]
        sequence = key_sequence(self.preparer, create.element)
        if sequence is None:
            return text
        temporary = "TEMPORARY " if "TEMPORARY" in create.element._prefixes else ""
        return f"CREATE {temporary}SEQUENCE IF NOT EXISTS {sequence};\n{text}"

    def visit_drop_table(self, drop: Any, **kw: Any) -> str:
        """DROP TABLE, and with it the sequence of its key."""
        text = str(super().visit_drop_table(drop, **kw))  # type: ignore[no-untyped-call]
        sequence = key_sequence(self.preparer, drop.element)
        return text if sequence is None else f"{text};\nDROP SEQUENCE IF EXISTS {sequence}"

    def get_column_default_string(self, column: Any) -> str | None:
        """A column's default; of a key that numbers itself the sequence's next value."""
        if column is _automatic_key(column.table):
            return f"nextval({literal(str(key_sequence(self.preparer, column.table)))})"
        return super().get_column_default_string(column)


def key_sequence(preparer: compiler.IdentifierPreparer, table: Any) -> str | None:
    """The name, quoted, of the sequence that numbers a table's key, None where none does."""
    column = _automatic_key(table)
    if column is None:
        return None
    plain = re.sub(r"\W", "_", f"{table.name}_{column.name}_seq").lower()
    if plain != f"{table.name}_{column.name}_seq":
        # Names that differ in what was replaced must not share a sequence.
        plain += f"_{zlib.crc32(f'{table.name}.{column.name}'.encode()):08x}"
    schema = preparer.schema_for_object(table) or ""
    name = preparer.quote(plain)
    return f"{preparer.quote(schema)}.{name}" if schema else name


def _automatic_key(table: Any) -> Any:
    column = getattr(table, "_autoincrement_column", None)
    if column is None or column.default is not None:
        return None
    given = column.server_default
    return column if given is None or isinstance(given, Identity) else None


class PagelakeTypeCompiler(PGTypeCompiler):
    """Type names."""

    def visit_FLOAT(self, type_: Any, **kw: Any) -> str:
        """FLOAT; 32 bits only where the precision asked for fits, as Python's have 64."""
        return "FLOAT" if type_.precision and type_.precision <= 24 else "DOUBLE"

    def visit_double(self, type_: Any, **kw: Any) -> str:
        """DOUBLE."""
        return "DOUBLE"

    def visit_DOUBLE(self, type_: Any, **kw: Any) -> str:
        """DOUBLE."""
        return "DOUBLE"

    def visit_DOUBLE_PRECISION(self, type_: Any, **kw: Any) -> str:
        """DOUBLE."""
        return "DOUBLE"

    def visit_TIMESTAMP(self, type_: Any, **kw: Any) -> str:
        """TIMESTAMP, of microseconds."""
        return "TIMESTAMP WITH TIME ZONE" if type_.timezone else "TIMESTAMP"

    def visit_TIME(self, type_: Any, **kw: Any) -> str:
        """TIME, of microseconds."""
        return "TIME WITH TIME ZONE" if type_.timezone else "TIME"

    def visit_INTERVAL(self, type_: Any, **kw: Any) -> str:
        """INTERVAL."""
        return "INTERVAL"

    def visit_JSONB(self, type_: Any, **kw: Any) -> str:
        """JSON; there is one kind."""
        return "JSON"

    def visit_large_binary(self, type_: Any, **kw: Any) -> str:
        """BLOB."""
        return "BLOB"

    def visit_BYTEA(self, type_: Any, **kw: Any) -> str:
        """BLOB."""
        return "BLOB"


class PagelakeIdentifierPreparer(compiler.IdentifierPreparer):
    """Names, quoted where SQL or DuckDB needs it."""

    reserved_words = RESERVED_WORDS | _FURTHER_RESERVED
