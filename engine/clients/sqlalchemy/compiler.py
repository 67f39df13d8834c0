"""Statements and types in DuckDB's dialect, told as differences from PostgreSQL's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects.postgresql.base import (
    RESERVED_WORDS,
    PGCompiler,
    PGTypeCompiler,
)
from sqlalchemy.sql import cast, compiler

if TYPE_CHECKING:
    from sqlalchemy import Insert

_FURTHER_RESERVED = {
    "anti", "asof", "at", "by_name", "columns", "describe", "glob", "lambda", "map", "pivot",
    "pivot_longer", "pivot_wider", "positional", "qualify", "semi", "show", "struct", "summarize",
    "try_cast", "unpack", "unpivot",
}  # fmt: skip


class PagelakeCompiler(PGCompiler):
    """Queries and changes of rows."""

    def visit_insert(
        self, insert_stmt: Insert, visited_bindparam: Any = None, visiting_cte: Any = None,
        **kw: Any,
    ) -> str:  # fmt: skip
        """INSERT; a key that nobody gave a value is the greatest one so far and one more."""
        column = insert_stmt.table._autoincrement_column  # type: ignore[attr-defined]
        if column is None or self._is_given(insert_stmt, column):
            return super().visit_insert(insert_stmt, visited_bindparam, visiting_cte, **kw)
        table = insert_stmt.table.alias()
        greatest = func.coalesce(func.max(table.c[column.key]), 0)
        insert_stmt = insert_stmt.values({column: select(greatest + 1).scalar_subquery()})
        text = super().visit_insert(insert_stmt, visited_bindparam, visiting_cte, **kw)
        # One statement with many rows would give them all the same key.
        self._insertmanyvalues = None
        return text

    def _is_given(self, insert: Insert, column: Any) -> bool:
        if column.server_default is not None or column.default is not None:
            return True
        if insert.select is not None or insert._multi_values:
            return True
        values = insert._values or {}
        return column.key in (self.column_keys or ()) or column in values or column.key in values

    def for_update_clause(self, select: Any, **kw: Any) -> str:
        """Nothing: a transaction reads a snapshot, and conflicts surface at its commit."""
        return ""

    def visit_bitwise_xor_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Exclusive or, which is a function."""
        return f"xor({self.process(binary.left, **kw)}, {self.process(binary.right, **kw)})"

    def visit_regexp_match_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        """Whether a regular expression matches anywhere; DuckDB's `~` matches the whole text."""
        arguments = [self.process(binary.left, **kw), self.process(binary.right, **kw)]
        flags = binary.modifiers["flags"]
        if flags is not None:
            arguments.append(self.render_literal_value(flags, sqltypes.STRINGTYPE))
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
    """Definitions: SQL's own forms are DuckDB's."""


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
