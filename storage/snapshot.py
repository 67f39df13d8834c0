"""Snapshots: the immutable state of all relations at a version.

``Snapshot.apply`` is the only way from one version to the next, used alike for records that
were read, records that were written, and the pending effects of an open transaction (an
*overlay*): a transaction reads its own writes because it reads a snapshot to which they were
applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import Conflict, Corrupt
from .effects import (
    AlterTable,
    Append,
    AppendedKeys,
    AttachKeyRuns,
    CatalogEntry,
    CloneTable,
    CreateSchema,
    CreateTable,
    CreateTag,
    Delete,
    DeleteVector,
    DropEntry,
    DropSchema,
    DropTable,
    DropTag,
    DropView,
    Effect,
    Rely,
    RestoreTable,
    Rewrite,
    RowGroup,
    TableDefinition,
    View,
)
from .keys.key_run import KeyRun
from .log.record import GENESIS_HASH, CommittedTransaction

if TYPE_CHECKING:
    from .keys.key_run import KeyRun

DEFAULT_SCHEMA = "main"
_CODE_BYTES = 8
OVERLAY_STAMP = 1 << 62
"""Stamps of pending changes begin here, beyond any version."""
_ROW_EFFECTS = (Append, Delete, Rely, Rewrite, AttachKeyRuns)
"""Effects that change no name, column or view."""


class RowGroupList(Sequence[RowGroup]):
    """An immutable sequence whose next version shares its storage.

    Thirty thousand one-row commits would copy a tuple thirty thousand times. Versions
    instead share one growing list and differ in how much of it they see; whoever appends to
    the longest version appends in place, everybody else copies.
    """

    __slots__ = ("_length", "_shared")

    def __init__(self, shared: list[RowGroup] | None = None) -> None:
        self._shared: list[RowGroup] = [] if shared is None else shared
        self._length = len(self._shared)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[RowGroup]:
        shared = self._shared
        for index in range(self._length):
            yield shared[index]

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        if isinstance(index, slice):
            return self._shared[: self._length][index]
        return self._shared[: self._length][index] if index < 0 else self._at(index)

    def _at(self, index: int) -> RowGroup:
        if index >= self._length:
            raise IndexError(index)
        return self._shared[index]

    @property
    def shared(self) -> list[RowGroup]:
        """The growing list, which may be longer than this version; not to be changed."""
        return self._shared

    def extended(self, groups: Iterable[RowGroup], *, in_place: bool) -> RowGroupList:
        """Return the sequence with row groups added at its end.

        Args:
            groups: What to add.
            in_place: Allow sharing; only the one who applies the log may say so.
        """
        if in_place and len(self._shared) == self._length:
            shared = self._shared
        else:
            shared = self._shared[: self._length]
        shared.extend(groups)
        longer = RowGroupList.__new__(RowGroupList)
        longer._shared = shared
        longer._length = len(shared)
        return longer


@dataclass(frozen=True, slots=True)
class TableState:
    """A table at a version.

    Attributes:
        definition: Name, columns, constraints.
        row_groups: Its row groups, in log order.
        deletes: Delete vectors by row group id; the vectors of one group are disjoint.
        next_row_id: Row id that the next appended row gets.
        rows: Exact number of live rows.
        changed: Version (or overlay stamp) that last changed anything here.
        committed: Version that last changed anything here, pending changes left out.
        rebased: Version of the last restore, 0 without one: only since then have deletes but grown.
        key_runs: Sorted runs of keys, in log order; each has a row group that is still there.
    """

    definition: TableDefinition
    row_groups: RowGroupList = field(default_factory=RowGroupList)
    deletes: Mapping[str, tuple[DeleteVector, ...]] = field(default_factory=dict)
    next_row_id: int = 0
    rows: int = 0
    changed: int = 0
    committed: int = 0
    rebased: int = 0
    key_runs: tuple[KeyRun, ...] = ()

    def at(self, version: int) -> TableState:
        """Return the state stamped as changed at a version, or at a pending change's stamp."""
        committed = self.committed if version >= OVERLAY_STAMP else version
        return replace(self, changed=version, committed=committed)

    @property
    def deleted_rows(self) -> int:
        """Number of rows that are stored but deleted."""
        return sum(v.count for vectors in self.deletes.values() for v in vectors)

    def after(
        self, effect: Append | Delete | Rewrite | AttachKeyRuns, *, version: int, in_place: bool
    ) -> TableState:
        """Return the state after a change of the table's rows, or of what is known of them."""
        match effect:
            case Append(_, groups, _, keys):
                return self.appended(groups, keys, version=version, in_place=in_place)
            case Delete(_, vectors):
                return self.without(vectors, version=version)
            case Rewrite(_, removed, added):
                return self.rewritten(removed, added, version=version)
            case AttachKeyRuns(_, runs):
                # Rows stay as they are, and with them the stamp of the last change.
                return self.with_key_runs(runs)

    def appended(
        self,
        groups: Sequence[RowGroup],
        keys: tuple[AppendedKeys, ...] = (),
        *,
        version: int,
        in_place: bool,
    ) -> TableState:
        """Return the state with row groups added, whose keys were told, and row ids given out."""
        numbered, next_row_id, rows = [], self.next_row_id, self.rows
        for group, told in zip(groups, _told(groups, keys), strict=True):
            numbered.append(
                RowGroup(
                    group.id,
                    group.rows,
                    group.chunks,
                    group.inline,
                    group.inline_columns,
                    next_row_id,
                    told,
                )
            )
            # Also for rows that bring their ids along: an id may be missing among them (a row
            # updated in the transaction that inserted it), and gaps cost nothing.
            next_row_id += group.rows
            rows += group.rows
        # Spelled out, here and above: replace() costs more than all the rest of a small commit.
        return TableState(
            self.definition,
            self.row_groups.extended(numbered, in_place=in_place),
            self.deletes,
            next_row_id,
            rows,
            version,
            self.committed if version >= OVERLAY_STAMP else version,
            self.rebased,
            self.key_runs,
        )

    def with_key_runs(self, runs: Iterable[KeyRun]) -> TableState:
        """Return the state with key runs added, as far as their row groups are there."""
        return replace(self, key_runs=_of_present((*self.key_runs, *runs), self.row_groups))

    def without(self, vectors: Mapping[str, DeleteVector], *, version: int) -> TableState:
        """Return the state with further positions deleted.

        Raises:
            Corrupt: A vector is for a row group that the table does not have.
        """
        deletes = dict(self.deletes)
        rows, gone = self.rows, set()
        sizes = {g.id: g.rows for g in self.row_groups if g.id in vectors}
        for group, vector in vectors.items():
            if group not in sizes:
                raise Corrupt(f"a delete names row group {group}, which the table does not have")
            deletes[group] = (*deletes.get(group, ()), vector)
            rows -= vector.count
            if sum(v.count for v in deletes[group]) == sizes[group]:
                gone.add(group)
                del deletes[group]
        groups, runs = self.row_groups, self.key_runs
        if gone:
            groups = RowGroupList([g for g in groups if g.id not in gone])
            runs = _of_present(runs, groups)
        kept = replace(self, row_groups=groups, deletes=deletes, rows=rows, key_runs=runs)
        return kept.at(version)

    def rewritten(
        self, removed: Iterable[str], added: Iterable[RowGroup], *, version: int
    ) -> TableState:
        """Return the state with row groups replaced by others of the same rows."""
        gone, new = set(removed), list(added)
        groups: list[RowGroup] = []
        missing, placed = len(gone), not gone
        for group in self.row_groups:
            if group.id not in gone:
                groups.append(group)
                continue
            missing -= 1
            if not placed:
                groups.extend(new)
                placed = True
        if missing:
            raise Corrupt(f"a rewrite names {missing} row groups that the table does not have")
        if not removed:
            groups.extend(new)
        deletes = {g: v for g, v in self.deletes.items() if g not in gone}
        rows = sum(g.rows for g in groups) - sum(v.count for vs in deletes.values() for v in vs)
        return replace(
            self,
            row_groups=RowGroupList(groups),
            deletes=deletes,
            rows=rows,
            key_runs=_of_present(self.key_runs, groups),
        ).at(version)

    def restored(self, then: TableState, *, version: int) -> TableState:
        """Return the state with the rows and columns of an earlier one.

        Row ids and column ids that were given out since are not given out again.
        """
        now = self.definition
        known = {column.id for column in then.definition.columns}
        later = tuple(c for c in (*now.columns, *now.dropped) if c.id not in known)
        definition = replace(
            then.definition,
            id=now.id,
            schema=now.schema,
            name=now.name,
            next_column_id=max(now.next_column_id, then.definition.next_column_id),
            dropped=later,
        )
        next_row_id = max(self.next_row_id, then.next_row_id)
        restored = replace(then, definition=definition, next_row_id=next_row_id, rebased=version)
        return restored.at(version)


def _told(
    groups: Sequence[RowGroup], keys: tuple[AppendedKeys, ...]
) -> Sequence[tuple[AppendedKeys, ...]]:
    """What an append tells of the keys of each of its row groups.

    A key of which a row has a NULL is left out: its codes are fewer than the rows.
    """
    if not keys:
        return ((),) * len(groups)
    total = sum(group.rows for group in groups)
    whole = tuple(key for key in keys if len(key.codes) == _CODE_BYTES * total)
    if len(groups) == 1:
        return (whole,)
    told, start = [], 0
    for group in groups:
        part = slice(_CODE_BYTES * start, _CODE_BYTES * (start + group.rows))
        told.append(tuple(AppendedKeys(key.columns, key.codes[part]) for key in whole))
        start += group.rows
    return told


def _of_present(runs: tuple[KeyRun, ...], groups: Iterable[RowGroup]) -> tuple[KeyRun, ...]:
    """The key runs of which at least one row group is there."""
    if not runs:
        return runs
    present = {group.id for group in groups}
    return tuple(run for run in runs if not present.isdisjoint(run.groups))


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """What the history keeps of a version.

    Attributes:
        version: The version.
        time_us: Commit time, microseconds since the epoch, strictly increasing.
        operation: Statement kinds, such as ``INSERT`` or ``CREATE TABLE``.
        transactions: Number of transactions in the record (group commit).
        rows_added: Rows appended.
        rows_deleted: Rows deleted.
        record_bytes: Size of the commit record.
        message: Message given by the user, or None.
        author: Who made it, as the user said, or None.
    """

    version: int
    time_us: int
    operation: str
    transactions: int
    rows_added: int
    rows_deleted: int
    record_bytes: int
    message: str | None = None
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All relations at a version.

    Attributes:
        version: The version; 0 is the empty store.
        record_hash: Hash of the record that made it, the next link of the chain.
        time_us: Commit time of the version.
        schemas: Names of the schemas.
        tables: Tables by id.
        views: Views by folded (schema, name).
        overlay: 0 for a committed snapshot; counts the pending statements otherwise.
        catalog_version: Stamp of the last change of a name, a column or a view.
        tags: Named versions, by folded name.
        entries: Sequences, macros and the like by kind, folded schema and folded name, in the order
            in which they were made.
    """

    version: int = 0
    record_hash: bytes = GENESIS_HASH
    time_us: int = 0
    schemas: tuple[str, ...] = (DEFAULT_SCHEMA,)
    tables: Mapping[str, TableState] = field(default_factory=dict)
    views: Mapping[tuple[str, str], View] = field(default_factory=dict)
    overlay: int = 0
    catalog_version: int = 0
    tags: Mapping[str, int] = field(default_factory=dict)
    entries: Mapping[tuple[str, str, str], CatalogEntry] = field(default_factory=dict)
    _names: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, compare=False)

    def has_schema(self, name: str) -> bool:
        """Tell whether a schema exists, regardless of case."""
        folded = name.lower()
        return any(schema.lower() == folded for schema in self.schemas)

    def table(self, schema: str, name: str) -> TableState | None:
        """Find a table by name, regardless of case."""
        if len(self._names) != len(self.tables):
            # In one step: other threads look names up meanwhile.
            self._names.update(
                {
                    (state.definition.schema.lower(), state.definition.name.lower()): table
                    for table, state in self.tables.items()
                }
            )
        table_id = self._names.get((schema.lower(), name.lower()))
        return None if table_id is None else self.tables[table_id]

    def view(self, schema: str, name: str) -> View | None:
        """Find a view by name, regardless of case."""
        return self.views.get((schema.lower(), name.lower()))

    def apply(
        self,
        effects: Iterable[Effect],
        *,
        version: int,
        in_place: bool = False,
        resolve: Resolve | None = None,
    ) -> Snapshot:
        """Return the snapshot after some effects, with this snapshot's version kept.

        Args:
            effects: What happened, in order.
            version: Stamp for the tables that change.
            in_place: True only while the log is applied in order (see ``RowGroupList``).
            resolve: Finds a table at an earlier version, for clones and restores.

        Raises:
            Corrupt: An effect does not fit the state.
            SnapshotGone: A version that a clone begins at can no longer be read.
        """
        effects = list(effects)
        schemas = list(self.schemas)
        tables = dict(self.tables)
        views = dict(self.views)
        for effect in effects:
            match effect:
                case CreateSchema(name):
                    schemas.append(name)
                case DropSchema(name):
                    kept = [s for s in schemas if s.lower() != name.lower()]
                    if len(kept) == len(schemas):
                        raise Corrupt(f"a commit record drops schema {name}, which does not exist")
                    schemas = kept
                case CreateTable(definition):
                    tables[definition.id] = TableState(definition).at(version)
                case AlterTable(definition):
                    state = _known(tables, definition.id)
                    tables[definition.id] = replace(state, definition=definition).at(version)
                case DropTable(table):
                    _known(tables, table)
                    del tables[table]
                case View(schema, name):
                    views[schema.lower(), name.lower()] = effect
                case DropView(schema, name):
                    views.pop((schema.lower(), name.lower()), None)
                case Append(table) | Delete(table) | Rewrite(table) | AttachKeyRuns(table):
                    state = _known(tables, table)
                    tables[table] = state.after(effect, version=version, in_place=in_place)
                case Rely(table):
                    _known(tables, table)
                case CloneTable(definition, source, at):
                    then = _resolved(resolve, source, at)
                    tables[definition.id] = replace(then, definition=definition).at(version)
                case RestoreTable(table, at):
                    then = _resolved(resolve, table, at)
                    tables[table] = _known(tables, table).restored(then, version=version)
        names_changed = any(self._changes_names(e) for e in effects)
        return replace(
            self,
            schemas=tuple(schemas),
            tables=tables,
            views=views,
            tags=_tags_after(self.tags, effects),
            entries=_entries_after(self.entries, effects),
            catalog_version=version if names_changed else self.catalog_version,
            _names={} if names_changed else self._names,
        )

    def _changes_names(self, effect: Effect) -> bool:
        """Tell whether an effect can make a statement mean something else."""
        if isinstance(effect, CatalogEntry):  # that a sequence has moved on does not
            known = self.entries.get(effect.key)
            return known is None or known.sql != effect.sql
        return not isinstance(effect, _ROW_EFFECTS)

    def require_fit(self, effects: Iterable[Effect]) -> None:
        """Check that effects can be applied here.

        Raises:
            Conflict: A table or row group that they name is gone, or was never there.
        """
        made: set[str] = set()
        for effect in effects:
            match effect:
                case CreateTable(definition):
                    made.add(definition.id)
                    continue
                case CloneTable(definition):
                    made.add(definition.id)
                    continue
                case AlterTable(definition):
                    table = definition.id
                case Append(table) | Delete(table) | Rewrite(table) | DropTable(table):
                    pass
                case RestoreTable(table) | AttachKeyRuns(table) | Rely(table):
                    pass
                case _:
                    continue
            if table not in made and table not in self.tables:
                raise Conflict("the table was dropped meanwhile", hint="run the transaction again")

    def advance(
        self,
        transactions: Iterable[CommittedTransaction],
        *,
        version: int,
        record_hash: bytes,
        time_us: int,
        resolve: Resolve | None = None,
    ) -> Snapshot:
        """Return the snapshot of the next version: this one with a record applied."""
        effects = [effect for transaction in transactions for effect in transaction.effects]
        applied = self.apply(effects, version=version, in_place=True, resolve=resolve)
        return replace(
            applied,
            version=version,
            record_hash=record_hash,
            # Strictly increasing whatever the writers' clocks say.
            time_us=max(self.time_us + 1, time_us),
        )


Resolve = Callable[[str, int], TableState]
"""Finds a table by id at an earlier version; raises SnapshotGone or Corrupt."""


def _tags_after(tags: Mapping[str, int], effects: Iterable[Effect]) -> Mapping[str, int]:
    changed = dict(tags)
    for effect in effects:
        match effect:
            case CreateTag(name, at):
                changed[name.lower()] = at
            case DropTag(name):
                changed.pop(name.lower(), None)
    return changed


def _entries_after(
    entries: Mapping[tuple[str, str, str], CatalogEntry], effects: Iterable[Effect]
) -> Mapping[tuple[str, str, str], CatalogEntry]:
    changed = dict(entries)
    for effect in effects:
        match effect:
            case CatalogEntry():
                changed[effect.key] = effect
            case DropEntry(kind, schema, name):
                changed.pop((kind, schema.lower(), name.lower()), None)
    return changed


def _resolved(resolve: Resolve | None, table: str, version: int) -> TableState:
    if resolve is None:
        raise Corrupt(f"table {table} at version {version} cannot be looked up here")
    return resolve(table, version)


def _known(tables: Mapping[str, TableState], table: str) -> TableState:
    try:
        return tables[table]
    except KeyError:
        raise Corrupt(f"a commit record names table {table}, which does not exist") from None


def commit_info(
    version: int, time_us: int, record_bytes: int, transactions: Sequence[CommittedTransaction]
) -> CommitInfo:
    """Summarise a record for the history."""
    added = deleted = 0
    for transaction in transactions:
        for effect in transaction.effects:
            if isinstance(effect, Append):
                added += sum(group.rows for group in effect.row_groups)
            elif isinstance(effect, Delete):
                deleted += sum(vector.count for vector in effect.vectors.values())
    operations = list(dict.fromkeys(t.operation for t in transactions))
    messages = [t.message for t in transactions if t.message]
    authors = dict.fromkeys(t.author for t in transactions if t.author)
    return CommitInfo(
        version,
        time_us,
        ", ".join(operations),
        len(transactions),
        added,
        deleted,
        record_bytes,
        "; ".join(messages) or None,
        ", ".join(authors) or None,
    )
