"""The names that completion knows: what is in the store, and what the engine has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import Error
from ...storage.schema_path import dotted, shown

if TYPE_CHECKING:
    from ..connection import Cursor
    from .repl import Shell

SYSTEM_SCHEMA = "pagelake"
_INFORMATION_SCHEMA = ("columns", "schemata", "tables")
_ALIAS = r"(?<![\w.])((?:\w+|\"[^\"]+\")(?:\.(?:\w+|\"[^\"]+\"))?)\s+(?:as\s+)?{}(?![\w.])"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation that a statement can name.

    Attributes:
        schema: Its schema.
        name: Its name.
        kind: `table`, `view`, `system` or `temporary`.
        columns: Its columns; None where only the kernel can tell.
    """

    schema: str
    name: str
    kind: str
    columns: tuple[str, ...] | None


@dataclass(slots=True)
class Names:
    """Names as the shell's statements see them, looked up again when they may have changed.

    Args:
        shell: The shell.
    """

    shell: Shell
    _state: tuple[object, ...] = ()
    _relations: list[Relation] = field(default_factory=list)
    _schemas: list[str] = field(default_factory=list)
    _columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _functions: tuple[list[str], list[str]] | None = None

    def relations(self) -> list[Relation]:
        """All relations."""
        self._refresh()
        return self._relations

    def schemas(self) -> list[str]:
        """All schemas, the system's included."""
        self._refresh()
        return self._schemas

    def current_schema(self) -> str:
        """The schema that names without one mean."""
        return self.shell.con._session.schema

    def functions(self) -> tuple[list[str], list[str]]:
        """Functions that give a value, and functions that give a table."""
        if self._functions is None:
            rows = self.shell.con.sql(
                "SELECT DISTINCT function_name, function_type FROM duckdb_functions() "
                "WHERE function_name SIMILAR TO '[a-z_][a-z0-9_]*' ORDER BY ALL"
            ).fetchall()
            tables = {name for name, kind in rows if kind.startswith("table")}
            scalars = {name for name, kind in rows if not kind.startswith(("table", "pragma"))}
            self._functions = sorted(scalars), sorted(tables)
        return self._functions

    def settings(self) -> list[str]:
        """Settings of the engine."""
        from ..settings import KERNEL_SETTINGS, SETTINGS

        return sorted({*SETTINGS, *KERNEL_SETTINGS})

    def tags(self) -> list[str]:
        """Tags of versions."""
        rows = self.shell.store.sql("SELECT DISTINCT tag FROM pagelake.tags").fetchall()
        return sorted(str(row[0]) for row in rows)

    def find(self, qualifier: str, text: str) -> Relation | None:
        """The relation that stands before a dot: by its name, or by an alias in the statement."""
        found = self._named(qualifier)
        if found is not None:
            return found
        pattern = _ALIAS.format(re.escape(qualifier))
        named = (self._named(match[1]) for match in re.finditer(pattern, text, re.IGNORECASE))
        return next((relation for relation in named if relation is not None), None)

    def columns(self, relation: Relation) -> tuple[str, ...]:
        """The columns of a relation."""
        if relation.columns is not None:
            return relation.columns
        known = f"{relation.schema}.{relation.name}"
        if known not in self._columns:
            from ...sql.tokens import quote

            name = quote(relation.name)
            if relation.kind != "temporary":
                name = f"{shown(quote(relation.schema))}.{name}"
            try:
                shape = self.shell.con.sql(f"SELECT * FROM {name} LIMIT 0")
                self._columns[known] = tuple(shape.columns)
                shape.close()
            except Error:
                return ()  # a view over what is no longer there
        return self._columns[known]

    def mentioned(self, text: str) -> list[Relation]:
        """Relations that a statement names."""
        words = {word.lower() for word in re.findall(r"\w+", text)}
        return [relation for relation in self.relations() if relation.name.lower() in words]

    def _named(self, name: str) -> Relation | None:
        schema, _, last = name.replace('"', "").lower().rpartition(".")
        wanted = schema or self.current_schema().lower()
        for relation in self.relations():
            if relation.name.lower() == last and (
                dotted(relation.schema).lower() == wanted
                or (not schema and relation.kind == "temporary")
            ):
                return relation
        return None

    def _refresh(self) -> None:
        session = self.shell.con._session
        snapshot = session.snapshot()
        state = (snapshot.version, snapshot.overlay, tuple(session.temporary))
        if state == self._state:
            return
        tables = [s.definition for s in snapshot.tables.values()]
        self._relations = sorted(
            [
                *(Relation(d.schema, d.name, "table", tuple(c.name for c in d.columns))
                  for d in tables),
                *(Relation(v.schema, v.name, "view", None) for v in snapshot.views.values()),
                *(Relation("temp", name, "temporary", None) for name in session.temporary),
                *self._built_in(self.shell.con),
            ],
            key=lambda relation: relation.name.lower(),
        )  # fmt: skip
        self._schemas = sorted(
            {*map(dotted, snapshot.schemas), SYSTEM_SCHEMA, "information_schema"}
        )
        self._columns.clear()
        self._state = state

    @staticmethod
    def _built_in(con: Cursor) -> list[Relation]:
        system = con._session.database.system
        return [
            *(Relation(SYSTEM_SCHEMA, name, "system", tuple(relation.schema.names))
              for name, relation in system.items()),
            *(Relation("information_schema", name, "system", None)
              for name in _INFORMATION_SCHEMA),
        ]  # fmt: skip
