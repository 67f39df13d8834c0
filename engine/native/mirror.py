"""Mirrors: native copies of tables with their rows, on which the kernel runs a statement itself.

Upserts, MERGE, foreign keys, sequences and data-modifying CTEs mean what they mean in DuckDB
because DuckDB does them: the tables that a statement may change are copied, with every
constraint, the user's own text runs on the copies, and the rows that differ afterwards are
what is written. The cost is that of reading the tables once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ...errors import Unsupported
from ...sql.provider import RelationKind
from ...sql.tokens import TokenStream, literal, quote
from ...storage.effects import Append
from ..catalog import table_relation
from ..keys.keyed_rows import PART, POSITION
from ..leaves.row_order import LAST, row_places
from ..leaves.table_leaf import row_ids
from ..query import bind_text, open_route
from ..result import BATCH_ROWS, Result
from ..statements.bulk_write import BulkWrite
from ..statements.change import (
    Change,
    restored,
    storage_select,
    storing,
    target_table,
    verify_keys,
)
from ..statements.foreign_keys import ForeignKeys
from ..statements.key_check import KeyCheck
from ..statements.modify import Located
from .catalog_copy import CatalogCopy, catalog_copy, moved_on, standing
from .decision import uses_sequence
from .reach import find_reach
from .row_gaps import BEFORE, PLACE, fill_by_id, require_few_gaps

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from types import FrameType

    import numpy.typing as npt

    from ...sql import statement as st
    from ...sql.logical import LogicalPlan
    from ...storage.effects import Column, RowGroup, TableDefinition
    from ...storage.snapshot import TableState
    from ..kernel import Parameters
    from ..query import OpenRoute
    from ..session import Session
    from .reach import Reach

_NEXT_VALUE = "CAST(regexp_extract(sql, 'START (-?[0-9]+) (NO )?CYCLE;?$', 1) AS HUGEINT)"
_SET_BACK = f"""coalesce(
    CASE
        WHEN cycle AND last_value::HUGEINT + increment_by > max_value THEN min_value
        WHEN cycle AND last_value::HUGEINT + increment_by < min_value THEN max_value
        ELSE last_value::HUGEINT + increment_by
    END <> {_NEXT_VALUE},
    true
)"""
"""Tells a sequence whose next value does not follow its last one: setval(…, false) was called."""


def run_native(change: Change, statement: st.Native) -> Result:
    """Run a statement on native copies of the tables that it may change."""
    answer = native_answer(change, statement)
    names, types = answer.names, answer.types
    if (names, types) == (["Count"], ["BIGINT"]) and not _asks_rows(statement.sql):
        return Result(None, count=int(answer.rows.column(0)[0].as_py()))
    return restored(change.session, answer.rows, names, types)


def _asks_rows(sql: str) -> bool:
    """Tell whether a change has a RETURNING; a name may have the word in it."""
    stream = TokenStream(sql)
    return any(stream.word(ahead) == "RETURNING" for ahead in range(len(stream.tokens)))


def run_reading(
    session: Session, statement: st.Native, parameters: Parameters, frame: FrameType | None
) -> Result:
    """Run a statement on native copies that changes nothing, where changes are refused, too."""
    session.require_present("rowid")
    return session.transactions.look(
        lambda transaction: run_native(Change(session, transaction, parameters, frame), statement)
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement on native copies gave.

    Attributes:
        names: Names of its columns.
        types: Their types, as SQL.
        rows: Its rows in the form in which columns are stored.
    """

    names: list[str]
    types: list[str]
    rows: pa.Table


def native_answer(change: Change, statement: st.Native) -> Answer:
    """Run a statement on native copies, write what it changes, and keep its answer."""
    session, snapshot = change.session, change.transaction.snapshot
    targets: dict[str, TableState] = {}
    for name in statement.targets:
        state = target_table(session, name, statement.verb.lower())
        targets[state.definition.id] = state
    logical = bind_text(session, statement.sql, snapshot)
    copied, views = set(targets), set[str]()
    if statement.all_tables:
        now = [relation for relation in logical.relations if relation.version is None]
        copied |= {r.key for r in now if r.kind is RelationKind.TABLE}
        views = {r.name.lower() for r in now if r.kind is RelationKind.VIEW}
    logical = _without_copied(logical, views)
    opened = open_route(session, logical, change.frame, snapshot)
    drained = False
    try:
        with catalog_copy(
            session, snapshot, session.schema, views, tables=copied, foreign_keys=False
        ) as copy:
            mirror = Mirror(change, copy, opened, targets)
            mirror.by_row_id = statement.all_tables
            mirror.narrow(statement)
            mirror.fill(logical, only_adds=statement.only_adds)
            answer = mirror.run(statement.sql)
            mirror.take_over(statement.verb)
        drained = True
    finally:
        opened.close(drained=drained)
    return answer


def _without_copied(logical: LogicalPlan, views: Collection[str]) -> LogicalPlan:
    """A plan without what is in the copy alone, because the route lacks what it needs.

    That is views, which may ask for row ids, and macros that take values of sequences.
    """
    kept = (
        made
        for made in logical.views
        if made.version is not None
        or not (
            made.name.lower() in views
            if made.kind is RelationKind.VIEW
            else made.kind is RelationKind.ENTRY and uses_sequence(made.sql)
        )
    )
    return replace(logical, views=tuple(kept))


def alter_rows(
    change: Change, state: TableState, action: str, becomes: TableDefinition
) -> tuple[RowGroup, ...]:
    """Write the rows of a table as an ALTER TABLE leaves them.

    Args:
        change: The statement's surroundings.
        state: The table as it is.
        action: What follows ALTER TABLE and its name.
        becomes: The table as it will be.

    Returns:
        All rows in row groups to replace those that are there; they keep their row ids.
    """
    session, snapshot = change.session, change.transaction.snapshot
    definition = state.definition
    logical = bind_text(session, f"SELECT * FROM {quote(definition.schema)}."
                        f"{quote(definition.name)}", snapshot)  # fmt: skip
    opened = open_route(session, logical, None, snapshot)
    drained = False
    try:
        with catalog_copy(session, snapshot, definition.schema, tables=[definition.id]) as copy:
            mirror = Mirror(change, copy, opened, {definition.id: state})
            mirror.fill(logical)
            copy.cursor.execute(f"ALTER TABLE {copy.table(state)} {action}")
            groups = mirror.rewritten(state, becomes)
            mirror.advance_sequences()
        drained = True
    finally:
        opened.close(drained=drained)
    return groups


class Mirror:
    """One statement's native copies.

    Args:
        change: The statement's surroundings.
        copy: The catalog's copy, with the tables that are to be filled.
        opened: The route on which everything else is found.
        targets: The tables that may change, by id.

    Attributes:
        by_row_id: Let the kernel's ``rowid`` be the rows' own ids.
    """

    def __init__(
        self, change: Change, copy: CatalogCopy, opened: OpenRoute, targets: dict[str, TableState]
    ) -> None:
        self._change, self._copy, self._opened, self._targets = change, copy, opened, targets
        self._parts: dict[str, Located] = {}
        self._registered: set[str] = set()
        self._only_adds = False
        self._reach: Reach | None = None
        self.by_row_id = False
        copy.cursor.execute(f"CREATE SCHEMA {copy.database}.{BEFORE}")

    # Filling

    def narrow(self, statement: st.Native) -> None:
        """Copy no more rows of the table than those that the statement can meet."""
        for state in self._targets.values():
            self._reach = find_reach(self._change, statement, state, self._copy, self._opened)

    def fill(self, logical: LogicalPlan, *, only_adds: bool = False) -> None:
        """Copy rows, and make everything else visible that the statement reads.

        Args:
            logical: What the statement reads.
            only_adds: The rows of the targets do not matter to it.
        """
        self._only_adds = only_adds
        cursor = self._copy.cursor
        route = self._opened.route
        for state in self._copy.tables:
            definition = state.definition
            if only_adds and definition.id in self._targets:
                continue
            if definition.id in self._targets and definition.column("rowid") is not None:
                raise Unsupported(
                    f'"{definition.name}" has a column "rowid", by which rows cannot be told apart',
                    construct="that statement on a table with a column rowid",
                    hint="give the column another name",
                )
            if self._reach is not None:
                self._fill_reach(state, self._reach)
                continue
            route.ensure([table_relation(state)])
            view, part, position = route.located(definition.id)
            route.register(cursor, self._registered)
            listed = ", ".join(quote(c.name) for c in definition.columns)
            before = self._before(state)
            places = f"{part} AS {PART}, {position} AS {POSITION}"
            rows = f"SELECT {places}, {listed} FROM {view}"
            if self.by_row_id:
                rows = self._in_order_of_ids(state, rows)
            cursor.execute(f"CREATE TABLE {before} AS {rows}")
            fill_by_id(cursor, self._copy.table(state), before, listed, definition)
            self._parts[definition.id] = Located(route.leaf(definition.id).parts)
        filled = {s.definition.id for s in self._copy.tables}
        route.register(cursor, self._registered)  # the views are bound here
        for relation in logical.relations:
            is_table = relation.kind is RelationKind.TABLE
            if is_table and relation.version is None and relation.key in filled:
                continue
            if relation.kind in {RelationKind.TABLE, RelationKind.VIEW, RelationKind.SYSTEM}:
                schema, name = quote(relation.routed_schema), quote(relation.name)
                cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {self._copy.database}.{schema}")
                source = f"{route.database}.{schema}.{name}"
                cursor.execute(
                    f"CREATE VIEW IF NOT EXISTS {self._copy.database}.{schema}.{name} "
                    f"AS SELECT * FROM {source}"
                )

    def _fill_reach(self, state: TableState, reach: Reach) -> None:
        definition, before = state.definition, self._before(state)
        reach.fill(self._change, self._copy, before)
        listed = ", ".join(quote(c.name) for c in definition.columns)
        fill_by_id(self._copy.cursor, self._copy.table(state), before, listed, definition)
        self._parts[definition.id] = Located(reach.places.parts())

    def _in_order_of_ids(self, state: TableState, rows: str) -> str:
        """A query for rows in the order of their row ids, so that the kernel counts them the same.

        Where rows were deleted there are rows without a place, to be counted and then deleted.

        Raises:
            Unsupported: Too many rows were deleted.
        """
        cursor, transaction = self._copy.cursor, self._change.transaction
        store = self._change.session.database.store
        parts = self._opened.route.leaf(state.definition.id).parts
        if not parts:
            return rows
        cursor.register("places", row_places(store, state, parts, transaction.id))
        placed = (
            f"({rows}) AS rows JOIN places ON {PART} = places.part AND {POSITION} = places.position"
        )
        known = f"SELECT count(*), max(places.id) FROM {placed} WHERE places.id < {LAST}"
        count, last = cursor.execute(known).fetchall()[0]
        if not count or last == count - 1:
            return f"SELECT rows.* FROM {placed} ORDER BY places.id"
        require_few_gaps(state.definition, count, last)
        return (
            f"SELECT known.* EXCLUDE ({PLACE}) FROM "
            f"(SELECT rows.*, places.id AS {PLACE} FROM {placed}) "
            f"AS known FULL JOIN range({last + 1}) AS counted(id) ON known.{PLACE} = counted.id "
            f"ORDER BY coalesce(known.{PLACE}, counted.id)"
        )

    def _before(self, state: TableState) -> str:
        return f"{self._copy.database}.{BEFORE}.{quote(state.definition.id)}"

    # Running

    def run(self, sql: str) -> Answer:
        """Run the statement; its answer is complete when this returns."""
        change, route, parameters = self._change, self._opened.route, self._change.parameters
        if self._reach is not None:
            sql, parameters = self._reach.sql, self._reach.parameters
        cursor, schema = self._opened.cursor, change.session.schema
        path = [self._copy.path(schema), self._copy.path("main")]
        path += [f"{route.database}.{quote(schema)}", f"{route.database}.main"]
        cursor.execute(f"SET search_path = {literal(','.join(dict.fromkeys(path)))}")
        try:
            with change.session.guard.watch(cursor):
                answer = (
                    cursor.sql(sql) if parameters is None else cursor.sql(sql, params=parameters)
                )
                names, types = list(answer.columns), [str(t) for t in answer.types]
                return Answer(names, types, answer.project(storing(types)).to_arrow_table())
        finally:
            route.aim(cursor, schema)

    # Taking over

    def take_over(self, verb: str) -> None:
        """Write what differs."""
        for state in self._targets.values():
            if self._only_adds:
                self._append(verb, state)
            else:
                self._write(verb, state)
        self.advance_sequences()

    def _append(self, verb: str, state: TableState) -> None:
        """Write the rows of a target that began empty; keys are looked up in the table itself."""
        definition, change = state.definition, self._change
        store, hot = change.session.database.store, change.session.database.hot
        keys = KeyCheck(state)
        watched = keys if keys.needed else None
        write = BulkWrite(store, change.transaction, definition, hot, (), watched)
        stored = storage_select(definition, checks=False)
        named = f"{self._copy.table(state)} AS {quote(definition.name)}"
        rows = self._batches(f"SELECT {stored} FROM {named} ORDER BY rowid")
        groups = write.run(ForeignKeys(change, state).watch(rows))
        if groups:
            append = Append(definition.id, groups, keys.unique, keys.appended())
            change.transaction.add(verb, append)
        verify_keys(change, definition, keys)

    def _write(self, verb: str, state: TableState) -> None:
        definition, change = state.definition, self._change
        now, before = self._copy.table(state), self._before(state)
        distinct = _differ(definition.columns)
        located = self._parts[definition.id]
        gone_from = (
            f"SELECT {PART}, {POSITION} FROM {before} AS before LEFT JOIN {now} AS now "
            f"ON now.rowid = before.rowid"
        )
        gone = f"{gone_from} WHERE now.rowid IS NULL OR {distinct}"
        for batch in self._batches(gone):
            located.note(_integers(batch, 0), _integers(batch, 1))
        references = ForeignKeys(change, state)
        if references.referred:
            keyless = Located(located.parts)
            referred = _differ(c for c in definition.columns if c.id in references.referred)
            for batch in self._batches(f"{gone_from} WHERE now.rowid IS NULL OR {referred}"):
                keyless.note(_integers(batch, 0), _integers(batch, 1))
            references.removed(keyless.positions())
        stored = f"{storage_select(definition, checks=False)}"
        changed = (
            f"SELECT {PART}, {POSITION}, {stored} FROM "
            f"(SELECT {PART}, {POSITION}, now.* FROM {now} AS now "
            f"JOIN {before} AS before ON now.rowid = before.rowid WHERE {distinct} "
            f"ORDER BY now.rowid) AS {quote(definition.name)}"
        )
        added = (
            f"SELECT {stored} FROM (SELECT now.* FROM {now} AS now ANTI JOIN {before} AS before "
            f"ON now.rowid = before.rowid ORDER BY now.rowid) AS {quote(definition.name)}"
        )
        store, transaction = change.session.database.store, change.transaction
        hot = change.session.database.hot
        keys = KeyCheck(state)
        watched = keys if keys.needed else None
        versions = BulkWrite(store, transaction, definition, None, (), watched, row_ids=True)
        groups = versions.run(references.watch(self._versions(changed, definition, located)))
        rows = BulkWrite(store, transaction, definition, hot, (), watched)
        groups += rows.run(references.watch(self._batches(added)))
        transaction.delete(verb, definition.id, located.positions())
        if groups:
            append = Append(definition.id, groups, keys.unique, keys.appended())
            transaction.add(verb, append)
        verify_keys(change, definition, keys)

    def rewritten(self, state: TableState, becomes: TableDefinition) -> tuple[RowGroup, ...]:
        """Write all rows anew under another definition."""
        change = self._change
        now = f"{self._copy.path(becomes.schema)}.{quote(becomes.name)}"
        sql = (
            f"SELECT {PART}, {POSITION}, {storage_select(becomes, checks=False)} FROM "
            f"(SELECT {PART}, {POSITION}, now.* FROM {now} AS now "
            f"JOIN {self._before(state)} AS before "
            f"ON now.rowid = before.rowid ORDER BY now.rowid) AS {quote(becomes.name)}"
        )
        store, transaction = change.session.database.store, change.transaction
        write = BulkWrite(store, transaction, becomes, None, row_ids=True)
        located = self._parts[becomes.id]
        return write.run(self._versions(sql, becomes, located))

    def _versions(
        self, sql: str, definition: TableDefinition, located: Located
    ) -> Iterator[pa.RecordBatch]:
        change = self._change
        names = [*(str(c.id) for c in definition.columns), "row id"]
        for batch in self._batches(sql):
            part, position = _integers(batch, 0), _integers(batch, 1)
            store = change.session.database.store
            ids = row_ids(located.parts, part, position, store, definition, change.transaction.id)
            yield pa.RecordBatch.from_arrays([*batch.columns[2:], ids], names=names)

    def _batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        yield from self._copy.cursor.sql(sql).to_arrow_reader(BATCH_ROWS)

    def advance_sequences(self) -> None:
        """Note how far sequences have come."""
        known = {e.key: e for e in self._copy.snapshot.entries.values() if e.kind == "sequence"}
        if not known:
            return
        rows = self._copy.cursor.execute(
            f"SELECT schema_name, sequence_name, last_value, {_NEXT_VALUE}, {_SET_BACK} "
            f"FROM duckdb_sequences() WHERE database_name = {literal(self._copy.database)}"
        ).fetchall()
        for schema, name, value, next_value, set_back in rows:
            entry = known["sequence", schema.lower(), name.lower()]
            moved = standing(entry, value, next_value) if set_back else moved_on(entry, value)
            if moved != entry:
                self._change.transaction.add("NEXTVAL", moved)


def _differ(columns: Iterable[Column]) -> str:
    """SQL that tells whether a row has changed in some columns, to the last byte."""
    return " OR ".join(
        f"now.{quote(c.name)} IS DISTINCT FROM before.{quote(c.name)}"
        if c.collation is None
        else f"encode(now.{quote(c.name)}) IS DISTINCT FROM encode(before.{quote(c.name)})"
        for c in columns
    )


def _integers(batch: pa.RecordBatch, index: int) -> npt.NDArray[np.int64]:
    array = batch.column(index).cast(pa.int64())
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.int64)
