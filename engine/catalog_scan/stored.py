"""The relations of a catalog in the store: made when they are missing, filled, and dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import AlreadyExists
from ...extensions.catalog.relations import HIDDEN_SCHEMA, PUBLIC_SCHEMA, Relations
from ...storage.effects import (
    AlterTable,
    Append,
    Constraint,
    CreateSchema,
    CreateTable,
    DropTable,
    DropView,
    TableDefinition,
    View,
)
from ..statements.bulk_write import BulkWrite
from ..statements.change import Change, verify_keys
from ..statements.key_check import KeyCheck
from ..statements.modify import all_positions
from ..statements.shadow import plain_column
from .listing import unknown
from .stored_rows import StoredRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pyarrow as pa

    from ...extensions.catalog.relations import CatalogTable
    from ...storage.effects import Effect
    from ...storage.snapshot import Snapshot, TableState
    from ...storage.transaction import Savepoint
    from .stored_rows import Integers

OPERATION = "CATALOG SCAN"
"""Name of a scan in the history."""


class StoredCatalog:
    """One catalog's relations inside a transaction.

    Args:
        change: The statement's surroundings.
        relations: What the catalog consists of.
    """

    def __init__(self, change: Change, relations: Relations) -> None:
        self._change = change
        self._transaction = change.transaction
        self.relations = relations

    @property
    def exists(self) -> bool:
        """Whether it was scanned before: its entries are there."""
        return self._state(self.relations.entries) is not None

    def make(self) -> None:
        """Create what is missing, and what an earlier Pagelake made with other columns.

        Raises:
            AlreadyExists: Another catalog has a relation of the same name.
        """
        snapshot = self._transaction.snapshot
        if not self.exists:
            self._refuse_taken(snapshot)
        schemas = [
            CreateSchema(name)
            for name in (PUBLIC_SCHEMA, HIDDEN_SCHEMA)
            if not snapshot.has_schema(name)
        ]
        if schemas:
            self._transaction.add(OPERATION, *schemas)
        for table in self.relations.tables:
            self._make_table(table)
        for view in self.relations.views:
            known = self._transaction.snapshot.view(PUBLIC_SCHEMA, view.name)
            if known is None or known.sql != view.sql:
                gone: list[Effect] = [] if known is None else [DropView(known.schema, known.name)]
                created = View(PUBLIC_SCHEMA, view.name, view.sql)
                self._transaction.add(OPERATION, *gone, created)

    def fill(self, table: CatalogTable, batches: Iterable[pa.RecordBatch]) -> int:
        """Append rows.

        Args:
            table: Which table.
            batches: Its columns in their order, as they are stored.

        Returns:
            How many there were.
        """
        state = self._require(table)
        keys = KeyCheck(state)
        watched = keys if keys.needed else None
        store = self._change.session.database.store
        # The hot copy is built afterwards, in the background: here it would hold up the scan.
        write = BulkWrite(store, self._transaction, state.definition, None, keys=watched)
        groups = write.run(batches)
        if groups:
            append = Append(state.definition.id, groups, keys.unique, keys.appended())
            self._transaction.add(OPERATION, append)
        verify_keys(self._change, state.definition, keys)
        return write.rows

    def clear(self, table: CatalogTable) -> None:
        """Delete all rows."""
        state = self._require(table)
        positions = all_positions(self._change, state)
        self._transaction.delete(OPERATION, state.definition.id, positions)

    def count(self, table: CatalogTable) -> int:
        """Return how many rows a table has."""
        return self._require(table).rows

    def rows(self, table: CatalogTable) -> StoredRows:
        """Return a table's rows as they are now."""
        store = self._change.session.database.store
        return StoredRows(store, self._require(table), self._transaction.id)

    def replace(
        self,
        table: CatalogTable,
        dropped: Callable[[], Integers],
        written: Iterable[pa.RecordBatch],
    ) -> None:
        """Delete rows and append others.

        Args:
            table: Which table.
            dropped: Gives the places of the rows to delete, as `rows` tells them; asked for when
                all is written.
            written: The table's columns and `row id`: that of a row deleted here, which it then
                replaces, or NULL.
        """
        state, rows = self._require(table), self.rows(table)
        definition = state.definition
        keys = KeyCheck(state)
        watched = keys if keys.needed else None
        store = self._change.session.database.store
        write = BulkWrite(store, self._transaction, definition, None, keys=watched, row_ids=True)
        groups = write.run(written)
        self._transaction.delete(OPERATION, definition.id, rows.positions(dropped()))
        if groups:
            append = Append(definition.id, groups, keys.unique, keys.appended())
            self._transaction.add(OPERATION, append)
        verify_keys(self._change, definition, keys)

    def savepoint(self) -> Savepoint:
        """Remember what has been done in the transaction."""
        return self._transaction.savepoint()

    def rollback_to(self, savepoint: Savepoint) -> None:
        """Forget what was done since."""
        self._transaction.rollback_to(savepoint)

    def rely_on_all(self) -> None:
        """Let the commit fail where another scan changes the catalog meanwhile."""
        for table in self.relations.tables:
            self._transaction.rely_on(self._require(table).definition.id)

    def drop(self) -> None:
        """Drop everything.

        Raises:
            UnknownName: There is no such catalog.
        """
        if not self.exists:
            raise unknown(self._transaction.snapshot, self.relations.name)
        effects: list[Effect] = [
            DropView(PUBLIC_SCHEMA, view.name)
            for view in self.relations.views
            if self._transaction.snapshot.view(PUBLIC_SCHEMA, view.name) is not None
        ]
        effects += [
            DropTable(state.definition.id)
            for table in self.relations.tables
            if (state := self._state(table)) is not None
        ]
        self._transaction.add("CATALOG DROP", *effects)

    def _state(self, table: CatalogTable) -> TableState | None:
        return self._transaction.snapshot.table(table.schema, table.name)

    def _require(self, table: CatalogTable) -> TableState:
        state = self._state(table)
        assert state is not None, table.name
        return state

    def _refuse_taken(self, snapshot: Snapshot) -> None:
        places = [(table.schema, table.name) for table in self.relations.tables]
        places += [(PUBLIC_SCHEMA, view.name) for view in self.relations.views]
        for schema, name in places:
            if snapshot.table(schema, name) is not None or snapshot.view(schema, name) is not None:
                raise AlreadyExists(
                    f'"{schema}.{name}" exists already, and belongs to another catalog',
                    hint="choose another name for this one",
                )

    def _make_table(self, table: CatalogTable) -> None:
        state = self._state(table)
        made = _definition(table, self._change.session.database.environment.random_bytes(8).hex())
        if state is not None:
            known = state.definition
            if known.columns == made.columns:
                hot = made.cold, made.hot_codecs
                if (known.cold, known.hot_codecs) != hot:
                    made = replace(known, cold=hot[0], hot_codecs=hot[1])
                    self._transaction.add(OPERATION, AlterTable(made))
                return
            self._transaction.add(OPERATION, DropTable(known.id))
        self._transaction.add(OPERATION, CreateTable(made))


def _definition(table: CatalogTable, table_id: str) -> TableDefinition:
    columns = tuple(
        replace(plain_column(number, name, sql_type), nullable=name != table.key)
        for number, (name, sql_type) in enumerate(table.columns, start=1)
    )
    numbers = {column.name: column.id for column in columns}
    constraints = () if table.key is None else (Constraint("primary_key", (numbers[table.key],)),)
    return TableDefinition(
        table_id,
        table.schema,
        table.name,
        columns,
        len(columns) + 1,
        constraints,
        cluster_by=tuple(numbers[name] for name in table.cluster_by),
        cold=tuple(numbers[name] for name in table.cold),
        hot_codecs=tuple((numbers[name], codec) for name, codec in table.hot_codecs),
    )
