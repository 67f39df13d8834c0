"""Routes: how the names in a user's SQL lead to the leaves of one snapshot.

A route is an empty database in the kernel's memory with the user's schemas in it and, for each
relation that some statement has named, a view over that relation's leaf. The kernel then runs
the user's own text unchanged, CTE shadowing and all, and two statements at two snapshots do
not meet.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from ...extensions.files.relations import HIDDEN_SCHEMA as FILE_SCHEMA
from ...sql.column_types import typed_null
from ...sql.provider import Relation, RelationKind
from ...sql.tokens import literal, quote
from ...storage.snapshot import DEFAULT_SCHEMA
from .hot_tier import native_name, native_select
from .leaf_source import LeafSource
from .routing import BuiltLeaf
from .row_order import SORTED_ROWS_MAX, row_places, with_generated
from .table_changes import TableChanges, changes_select
from .table_leaf import (
    Part,
    StreamedGroups,
    delta_part,
    guarded,
    hot_part,
    select_columns,
    split_cold,
    stream_part,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.effects import Column, RowGroup
    from ...storage.snapshot import Snapshot, TableState
    from ..kernel import Cursor
    from .delta import Delta
    from .router import Router
    from .routing import Routing

CursorKind = tuple[str, tuple[str, ...]]
"""What tells cursors of a route apart: their current schema, and the statements that give them
the settings of a session."""
CURSORS_KEPT = 32
"""Idle kernel cursors kept per route."""


@dataclass(slots=True)
class Route:
    """The names of one snapshot in the kernel.

    Attributes:
        routing: What it is made of.
        snapshot: The snapshot.
        private: Id of the open transaction whose pending rows it shows, or empty.
        database: Its name in the kernel.
        router: Where it finds the routes of earlier versions.
        is_past: True for the route of an earlier version; its rows stay out of the deltas that
            statements about the present share.
        users: Statements, transactions and later routes that hold it.
    """

    routing: Routing
    snapshot: Snapshot
    private: str
    database: str
    router: Router
    is_past: bool = False
    users: int = 0
    _past: dict[int, Route] = field(default_factory=dict)
    _leaves: dict[str, BuiltLeaf] = field(default_factory=dict)
    _built: set[tuple[str, str]] = field(default_factory=set)
    _schemas: set[str] = field(default_factory=set)
    _sources: dict[str, LeafSource] = field(default_factory=dict)
    _deltas: list[Delta] = field(default_factory=list)
    _cold: list[int] = field(default_factory=list)
    _narrow: dict[tuple[str, frozenset[str]], tuple[str, bool] | None] = field(default_factory=dict)
    _idle: dict[CursorKind, list[tuple[Cursor, set[str]]]] = field(default_factory=dict)
    _located: dict[str, str] = field(default_factory=dict)
    _maker: Cursor | None = None
    _made: set[str] = field(default_factory=set)
    _catalogs: list[str] = field(default_factory=list)
    _number: int | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def ensure(self, relations: Sequence[Relation]) -> None:
        """Create the views that a plan needs, in the order given.

        Raises:
            Corrupt: A page that must be read for it is damaged.
            SnapshotGone: An earlier version can no longer be read.
        """
        if all(relation.identity in self._built for relation in relations):
            return
        with self._lock:
            for version in sorted({r.version for r in relations if r.version is not None}):
                if not self._is_version(version):
                    self._ensure_past(version, relations)
            for relation in relations:
                if relation.identity not in self._built:
                    self._create(relation)
                    self._built.add(relation.identity)

    def at(self, relation: Relation) -> Route:
        """The route that a relation's leaf lies in: this one, or that of an earlier version."""
        version = relation.version
        if version is None or relation.kind is RelationKind.CHANGES or self._is_version(version):
            return self
        return self._past[version]

    def _is_version(self, version: int) -> bool:
        return version == self.snapshot.version and not self.snapshot.overlay

    def _ensure_past(self, version: int, relations: Sequence[Relation]) -> None:
        """Create the views of an earlier version where that version's route has them."""
        there = [
            replace(r, version=None)
            if r.version == version and r.kind is not RelationKind.CHANGES
            else r
            for r in relations
            # Views of that version may themselves read versions before it.
            if r.version is not None and r.version <= version
        ]
        if all(r.kind is RelationKind.CHANGES for r in there):
            return
        if version not in self._past:
            self._past[version] = self.router.hold_past(version)
        self._past[version].ensure(there)

    def leaf(self, table: str) -> BuiltLeaf:
        """The leaf of a table whose view was created."""
        with self._lock:
            return self._leaves.get(table) or self._build_leaf(self.snapshot.tables[table])

    def source(self, relation: Relation) -> LeafSource | None:
        """The streamed source of a relation, where it has one."""
        home = self.at(relation)
        return home._sources.get(home.source_name(relation))

    def source_name(self, relation: Relation) -> str:
        """The kernel's name of a relation's streamed source."""
        match relation.kind:
            case RelationKind.SYSTEM:
                return f"system_{relation.key}_{self.database}"
            case RelationKind.CHANGES:
                since, version = relation.since, relation.version
                return f"changes_{relation.key}_{since}_{version}_{self.database}"
        return f"stream_{relation.key}_{self.database}"

    def leaves(self) -> list[BuiltLeaf]:
        """The leaves built so far."""
        return list(self._leaves.values())  # without the lock: building one may take long

    def located(self, table: str) -> tuple[str, str, str]:
        """A view of a table that also tells where each row lies.

        Returns:
            Qualified view name, and the names of its columns for part number and position.
        """
        with self._lock:
            part_column, position_column = self._place_columns()
            if table not in self._located:
                leaf = self.leaf(table)
                name = f"{self._schema('located')}.{self.routing.kernel.name('located')}"
                rows = with_generated(
                    leaf.state.definition, self._located_rows(leaf), part_column, position_column
                )
                self._make(f"CREATE VIEW {name} AS {rows}")
                self._located[table] = name
            return self._located[table], part_column, position_column

    def _place_columns(self) -> tuple[str, str]:
        return f"part_{self.database}", f"position_{self.database}"

    def _located_rows(self, leaf: BuiltLeaf) -> str:
        """A query for part, position and the stored columns, in the order of row ids if known."""
        part_column, position_column = self._place_columns()
        branches = [
            self._branch(
                leaf.state, part, number, f"{number} AS {part_column}, "
                f"{part.position} AS {position_column}, "
            )
            for number, part in enumerate(leaf.parts)
        ]  # fmt: skip
        if not branches:
            return (
                f"SELECT 0 AS {part_column}, 0::BIGINT AS {position_column}, * FROM "
                f"({self._empty(leaf.state)})"
            )
        rows = " UNION ALL ".join(branches)
        if not self._is_shuffled(leaf):
            return rows
        listed = ", ".join(f"rows.{quote(c.name)}" for c in leaf.state.definition.columns)
        return (
            f"SELECT {part_column}, {position_column}, {listed} FROM ({rows}) AS rows "
            f"JOIN {self._order(leaf)} AS placed ON rows.{part_column} = placed.part "
            f"AND rows.{position_column} = placed.position ORDER BY placed.id"
        )

    def _is_shuffled(self, leaf: BuiltLeaf) -> bool:
        """Tell whether updates have moved rows of a table that is small enough to be sorted."""
        if leaf.state.definition.schema == FILE_SCHEMA:
            return False  # nobody sees the order of rows behind the views of files
        return leaf.state.rows <= SORTED_ROWS_MAX and any(
            group.explicit_row_ids for part in leaf.parts for group in part.groups
        )

    def _order(self, leaf: BuiltLeaf) -> str:
        """A native table of the row ids of a leaf's rows, by part and position."""
        state = leaf.state
        name = f"{self._schema('ordered')}.{quote(state.definition.id)}"
        places = row_places(self.routing.store, state, leaf.parts, self.private)
        cursor = self.routing.kernel.cursor()
        try:
            cursor.register("places", places)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM places")
        finally:
            cursor.close()
        return name

    # Cursors

    def cursor(self, kind: CursorKind) -> tuple[Cursor, set[str]]:
        """A kernel cursor on which the route's names resolve, and what is registered on it."""
        schema, settings = kind
        with self._lock:
            idle = self._idle.get(kind)
            taken = idle.pop() if idle else None
        if taken is None:
            taken = (self.routing.kernel.cursor(), set[str]())
            self.aim(taken[0], schema)
            for sql in settings:
                taken[0].execute(sql)
        self.register(*taken)
        return taken

    def aim(self, cursor: Cursor, schema: str) -> None:
        """Make the route's names resolve on a cursor."""
        qualified = self._schema(schema)
        cursor.execute(f"SET search_path = {literal(qualified)}")

    def register(self, cursor: Cursor, registered: set[str]) -> None:
        """Register the route's streamed leaves on a cursor."""
        if not self._sources.keys() <= registered:
            for name, source in list(self._sources.items()):
                if name not in registered:
                    cursor.register(name, source)
                    registered.add(name)
        for past in list(self._past.values()):
            past.register(cursor, registered)

    def give_back(self, cursor: Cursor, registered: set[str], kind: CursorKind) -> None:
        """Return a cursor that has no open result."""
        with self._lock:
            idle = self._idle.setdefault(kind, [])
            if len(idle) < CURSORS_KEPT:
                idle.append((cursor, registered))
                return
        cursor.close()

    def close(self) -> None:
        """Drop the route from the kernel."""
        with self._lock:
            for idle in self._idle.values():
                for cursor, _ in idle:
                    cursor.close()
            self._idle.clear()
            if self._maker is not None:
                self._maker.close()
            if self._number is not None:
                self.routing.files.leave(self._number)
            for delta in self._deltas:
                self.routing.deltas.release(delta)
            self._deltas.clear()
            self.routing.cold.withdraw(self._cold)
            self._cold.clear()
            if self.is_past:
                self.routing.deltas.forget(self.database)
            for database in (self.database, *self._catalogs):
                with suppress(duckdb.Error):
                    self.routing.kernel.detach(database)
            for past in self._past.values():
                self.router.release(past)
            self._past.clear()

    # Building

    def _make(self, sql: str) -> None:
        if self._maker is None:
            self._maker = self.routing.kernel.cursor()
            # Whoever made a view or macro may have been allowed the old lambdas.
            self._maker.execute("SET SESSION lambda_syntax = 'ENABLE_SINGLE_ARROW'")
        self.register(self._maker, self._made)
        self._maker.execute(sql)

    def _schema(self, schema: str) -> str:
        """The qualified name of a schema in the route, created when new."""
        qualified = f"{self.database}.{quote(schema)}"
        if schema.lower() == "main":
            return f"{self.database}.main"
        with self._lock:
            if schema.lower() not in self._schemas:
                self.routing.kernel.execute(f"CREATE SCHEMA IF NOT EXISTS {qualified}")
                self._schemas.add(schema.lower())
        return qualified

    def _create(self, relation: Relation) -> None:
        if relation.kind is RelationKind.ENTRY:
            self._create_entry(relation)
            return
        if relation.kind is RelationKind.INTROSPECTION:
            self._catalogs.append(self.routing.introspect(self))
            return
        target = f"{self._schema(relation.routed_schema)}.{quote(relation.name)}"
        if relation.kind is RelationKind.CHANGES:
            self._create_changes(relation, target)
        elif relation.version is not None:
            home, plain = self.at(relation), replace(relation, version=None)
            home.ensure([plain])
            source = f"{home._schema(plain.schema)}.{quote(plain.name)}"
            self._make(f"CREATE VIEW {target} AS SELECT * FROM {source}")
        elif relation.kind is RelationKind.TABLE:
            leaf = self._build_leaf(self.snapshot.tables[relation.key])
            self._make(f"CREATE VIEW {target} AS {self._union(leaf)}")
        elif relation.kind is RelationKind.SYSTEM:
            name = self.source_name(relation)
            scannable = self.routing.system_source(relation.name, self.snapshot)
            self._sources[name] = LeafSource(scannable)
            self._make(f"CREATE VIEW {target} AS SELECT * FROM temp.main.{quote(name)}")
        elif relation.kind is RelationKind.VIEW:
            self._create_view(relation, target)

    def _create_entry(self, relation: Relation) -> None:
        """Make a macro or a type, with the names around it that its text may use."""
        schema = self._schema(relation.schema)
        self._make(f"SET search_path = {literal(schema)}")
        self._make(self._about_files(relation.sql))

    def _create_view(self, relation: Relation, target: str) -> None:
        view = self.snapshot.view(relation.schema, relation.name)
        if view is None:  # one that is always there
            self._make(f"SET search_path = {literal(self._schema(DEFAULT_SCHEMA))}")
            self._make(f"CREATE VIEW {target} AS {self._about_files(relation.sql)}")
            return
        columns = f"({', '.join(map(quote, view.columns))})" if view.columns else ""
        create = "CREATE SECURE VIEW" if view.secure else "CREATE VIEW"
        search = self._schema(view.search_schema)
        self._make(f"SET search_path = {literal(search)}")
        if view.search_schema.lower() != DEFAULT_SCHEMA:
            self._lend_default(view.search_schema)
        if view.search_schema.lower() == view.schema.lower():
            self._make(f"{create} {target}{columns} AS {relation.sql}")
            return
        # The kernel looks names up in a view's own schema first, and then where the statement
        # that reads the view would: at another schema, or at another version.
        body = f"{search}.{self.routing.kernel.name('view')}"
        self._make(f"{create} {body}{columns} AS {relation.sql}")
        self._make(f"CREATE VIEW {target} AS SELECT * FROM {body}")

    def _about_files(self, sql: str) -> str:
        """A text in which the functions about files read what the route does."""
        if self._number is None:
            self._number = self.routing.files.enter(self.snapshot)
        return self.routing.files.bound(sql, self._number)

    def _lend_default(self, schema: str) -> None:
        """Let a schema's views find what only the default schema has, whoever reads them."""
        for built_in, name in list(self._built):
            taken = self.snapshot.table(schema, name) or self.snapshot.view(schema, name)
            if built_in == DEFAULT_SCHEMA and not taken:
                lent = f"{self._schema(schema)}.{quote(name)}"
                source = f"{self.database}.main.{quote(name)}"
                self._make(f"CREATE VIEW IF NOT EXISTS {lent} AS SELECT * FROM {source}")

    def _create_changes(self, relation: Relation, target: str) -> None:
        assert relation.version is not None
        name = self.source_name(relation)
        changes = TableChanges(self.routing.store, relation.key, relation.since, relation.version)
        self._sources[name] = LeafSource(changes)
        listed = changes_select(changes.state)
        self._make(f"CREATE VIEW {target} AS SELECT {listed} FROM temp.main.{quote(name)}")

    def _build_leaf(self, state: TableState) -> BuiltLeaf:
        table = state.definition.id
        built = self._leaves.get(table)
        if built is not None:
            return built
        segments = self.routing.hot.segments(state)
        for_delta, to_stream = split_cold(state, segments)
        parts = [hot_part(state, self.routing.store, segment) for segment in segments]
        if to_stream:
            name = f"stream_{table}_{self.database}"
            groups = tuple(to_stream)
            self._sources[name] = LeafSource(StreamedGroups(self.routing.store, state, groups))
            parts.append(stream_part(state, groups, f"temp.main.{quote(name)}"))
        committed, pending = for_delta, for_delta[:0]
        if self.private:
            committed = [g for g in for_delta if not self._is_pending(g)]
            pending = [g for g in for_delta if self._is_pending(g)]
        shared = self.database if self.is_past else ""
        for groups_held, private in ((committed, shared), (pending, self.private)):
            if not groups_held:
                continue
            held = self.routing.deltas.hold(state.definition, groups_held, private=private)
            for delta, chosen in held:
                self._deltas.append(delta)
                parts.append(delta_part(state, self.routing.store, chosen, delta))
        # In the order of the log, as far as parts do not interleave: users expect LIMIT without
        # ORDER BY to give what came first.
        if len(parts) > 1:
            order = {group.id: index for index, group in enumerate(state.row_groups)}
            parts.sort(key=lambda part: min(order[group.id] for group in part.groups))
        built = BuiltLeaf(state, tuple(parts))
        self._leaves[table] = built
        return built

    def _is_pending(self, group: RowGroup) -> bool:
        """Row group ids begin with the id of the transaction that made them."""
        return group.id.startswith(self.private)

    def _union(self, leaf: BuiltLeaf) -> str:
        if self._is_shuffled(leaf):
            # Bare names would clash with parameters of a table macro that reads the table.
            listed = ", ".join(f"rows.{quote(c.name)}" for c in leaf.state.definition.columns)
            rows = f"SELECT {listed} FROM ({self._located_rows(leaf)}) AS rows"
            return with_generated(leaf.state.definition, rows)
        branches = [
            self._branch(leaf.state, part, number, "") for number, part in enumerate(leaf.parts)
        ]
        rows = " UNION ALL ".join(branches) if branches else self._empty(leaf.state)
        return with_generated(leaf.state.definition, rows)

    def narrow(self, table: str, columns: frozenset[str]) -> tuple[str, bool] | None:
        """A query for some columns of a table, for which the kernel plans less than for its view.

        Args:
            table: The table's id.
            columns: Names of columns.

        Returns:
            The query, and whether it reads one native part without a condition, whose columns are
            then those of ``leaf`` under their `native_name`; None where the view must order or
            compute something.
        """
        with self._lock:
            key = (table, columns)
            if key not in self._narrow:
                leaf = self.leaf(table)
                definition = leaf.state.definition
                chosen = [c for c in definition.columns if c.name in columns]
                branches = [
                    self._branch(leaf.state, part, number, "", chosen)
                    for number, part in enumerate(leaf.parts)
                ]
                bare = len(leaf.parts) == 1 and leaf.parts[0].kind != "stream"
                bare = bare and " WHERE " not in branches[0]
                plain = chosen and branches and not definition.generated
                plain = plain and not self._is_shuffled(leaf)
                self._narrow[key] = (" UNION ALL ".join(branches), bare) if plain else None
            return self._narrow[key]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query of Pagelake's own over what the route reads."""
        kind = (DEFAULT_SCHEMA, ())
        cursor, registered = self.cursor(kind)
        try:
            return cursor.execute(sql).fetchall()
        finally:
            self.give_back(cursor, registered, kind)

    def _branch(
        self,
        state: TableState,
        part: Part,
        number: int,
        extra: str,
        chosen: Sequence[Column] | None = None,
    ) -> str:
        listed = state.definition.columns if chosen is None else chosen
        columns = select_columns(listed, part)
        if part.kind == "hot":
            columns = self._with_other_columns(state, part, listed)
        where = guarded(part, _anchor(state, part))
        if part.deleted.size:
            name = self._deleted(state, part, number)
            where += f"{' AND' if where else ' WHERE'} {part.position} NOT IN "
            where += f"(SELECT position FROM {name})"
        return f"SELECT {extra}{columns} FROM {part.source} AS leaf{where}"

    def _with_other_columns(self, state: TableState, part: Part, columns: Sequence[Column]) -> str:
        """Select list of a hot part: columns added after it was built have their initial value."""
        listed = []
        for column in columns:
            if part.columns is None or column.id in part.columns:
                listed.append(f"leaf.c{column.id} AS {quote(column.name)}")
            elif column.id in part.cold:
                number, function = self.routing.cold.offer(
                    state.definition, column, part.groups, part.offsets
                )
                self._cold.append(number)
                # A condition on nothing but a row's number, in the scan, lets the kernel fail where
                # it reads the rows of a LIMIT late: so the value depends on a column as well.
                arguments = f"{number}, leaf.{part.position}, leaf.{_anchor(state, part)} IS NULL"
                listed.append(f"{function}({arguments}) AS {quote(column.name)}")
            else:
                listed.append(f"{self._initial(state, column)} AS {quote(column.name)}")
        return ", ".join(listed)

    def _initial(self, state: TableState, column: Column) -> str:
        """SQL for the value of rows that are older than their column."""
        if column.initial is None:
            return typed_null(column.type)
        name = f"{self._schema('initial')}.{quote(f'{state.definition.id}_{column.id}')}"
        stored = pa.ipc.open_stream(pa.py_buffer(column.initial)).read_all()
        cursor = self.routing.kernel.cursor()
        try:
            cursor.register("s", stored.rename_columns([str(column.id)]))
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {name} AS SELECT {native_select([column])} FROM s"
            )
        finally:
            cursor.close()
        return f"(SELECT {native_name(column)} FROM {name})"

    def _deleted(self, state: TableState, part: Part, number: int) -> str:
        name = f"{self._schema('deleted')}.{quote(f'{state.definition.id}_{number}')}"
        cursor = self.routing.kernel.cursor()
        try:
            positions = pa.table({"position": pa.array(part.deleted.astype(np.int64))})
            cursor.register("positions", positions)
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT * FROM positions")
        finally:
            cursor.close()
        return name

    def empty_name(self, table: str) -> str:
        """The kernel's name of a native table without rows that stands for an empty one."""
        return f"{self._schema('empty')}.{quote(table)}"

    def _empty(self, state: TableState) -> str:
        """A query for no rows: of a table, so that it is planned as DuckDB plans empty tables."""
        nulls = ", ".join(
            f"{typed_null(c.type)}{f' COLLATE {c.collation}' if c.collation else ''} "
            f"AS {quote(c.name)}"
            for c in state.definition.columns
        )
        name = self.empty_name(state.definition.id)
        self._make(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT {nulls} WHERE false")
        return f"SELECT * FROM {name}"


def _anchor(state: TableState, part: Part) -> str:
    """A column of a native part: one of numbers if there is one, which costs least to look at."""
    held = [c for c in state.definition.columns if part.columns is None or c.id in part.columns]
    return native_name(next((c for c in held if c.type in {"BIGINT", "INTEGER"}), held[0]))
