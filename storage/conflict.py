"""Conflicts: which concurrent transactions do not commute, kept as data.

Isolation is snapshot isolation: a transaction conflicts with what was committed after its
snapshot when both touched the same thing in ways that do not commute. Blind appends always
commute. Deletes of different rows commute; whether two deletes share a row is decided by
their positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from ..errors import Conflict
from .delete_vector import overlap
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
    View,
)
from .schema_path import enclosing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .log.key_change import KeyChange
    from .page_store import PageStore


class Kind(Enum):
    """What a transaction did to one table."""

    APPEND = "append"
    KEYED_APPEND = "append to a table with a key"
    DELETE = "update or delete"
    REWRITE = "rewrite"
    SCHEMA = "schema change"
    RESTORE = "restore"
    DROP = "drop"
    READ = "read"
    INDEX = "index of its rows"
    REFERENCE = "reference to its rows"
    UNREFERENCED = "removal of rows that it may refer to"
    RELY = "reliance on rows of it"


class Verdict(Enum):
    """Whether two kinds on the same table conflict."""

    NEVER = "never"
    SAME_ROWS = "when they share a row"
    SAME_KEYS = "unless both tell their keys, and those differ"
    SAME_GROUPS = "when they touch the same row group"
    RELIED = "unless both tell their keys, and what one relies on the other one keeps"
    ALWAYS = "always"


_N, _R, _G, _A = Verdict.NEVER, Verdict.SAME_ROWS, Verdict.SAME_GROUPS, Verdict.ALWAYS
_K, _L = Verdict.SAME_KEYS, Verdict.RELIED

_BLIND = {Kind.APPEND}
_ADDITIVE = {Kind.APPEND, Kind.KEYED_APPEND, Kind.RELY}
_ROWS_ONLY = {Kind.APPEND, Kind.KEYED_APPEND, Kind.DELETE, Kind.REWRITE, Kind.INDEX, Kind.RELY}

MATRIX: Mapping[Kind, Mapping[Kind, Verdict]] = {
    # mine \ theirs    APPEND KEYED DELETE REWRITE SCHEMA RESTORE DROP READ INDEX REF UNREF RELY
    kind: dict(zip(Kind, row, strict=True))
    for kind, row in {
        Kind.APPEND: (_N, _N, _N, _N, _A, _A, _A, _N, _N, _N, _N, _N),
        # A plain append to a table with a key is an update that keeps its rows' keys.
        Kind.KEYED_APPEND: (_N, _K, _N, _N, _A, _A, _A, _N, _N, _N, _N, _N),
        Kind.DELETE: (_N, _N, _R, _G, _A, _A, _A, _N, _N, _N, _N, _L),
        Kind.REWRITE: (_N, _N, _G, _G, _A, _A, _A, _N, _N, _N, _N, _N),
        Kind.SCHEMA: (_A, _A, _A, _A, _A, _A, _A, _N, _A, _N, _N, _A),
        Kind.RESTORE: (_A, _A, _A, _A, _A, _A, _A, _N, _A, _N, _N, _A),
        Kind.DROP: (_A, _A, _A, _A, _A, _A, _A, _N, _A, _N, _N, _A),
        # These are about rows that were looked at, and no record tells them: only mine are known.
        Kind.READ: (_A, _A, _A, _N, _A, _A, _A, _N, _N, _N, _N, _N),
        Kind.INDEX: (_N, _N, _N, _N, _A, _A, _A, _N, _N, _N, _N, _N),
        Kind.REFERENCE: (_N, _N, _A, _N, _A, _A, _A, _N, _N, _N, _N, _N),
        Kind.UNREFERENCED: (_A, _A, _N, _N, _A, _A, _A, _N, _N, _N, _N, _N),
        # Records tell this one, so that whoever removes the rows later sees it.
        Kind.RELY: (_N, _N, _L, _N, _A, _A, _A, _N, _N, _N, _N, _N),
    }.items()
}
"""``MATRIX[mine][theirs]``: mine is to commit, theirs was committed after my snapshot."""


Codes = Mapping[tuple[int, ...], set[int]]
"""Codes of keys by the keys' column ids."""


@dataclass(slots=True)
class ToldKeys:
    """Keys of tables, as effects tell them; looked into only when somebody asks."""

    _told: dict[str, list[AppendedKeys] | None] = field(default_factory=dict)
    _codes: dict[str, Codes] = field(default_factory=dict)

    def note(self, table: str, keys: tuple[AppendedKeys, ...]) -> None:
        """Add keys of a table; none say that it may be any."""
        known = self._told.setdefault(table, [])
        if not keys or known is None:
            self._told[table] = None
        else:
            known.extend(keys)

    def __contains__(self, table: str) -> bool:
        return table in self._told

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def items(self) -> Iterable[tuple[str, Sequence[AppendedKeys] | None]]:
        """What was told by table; None for a table of which some are not told."""
        return self._told.items()

    def codes(self, table: str) -> Codes | None:
        """What was told of a table; None where some are not told, or nothing is known."""
        told = self._told.get(table)
        if told is None:
            return None
        codes = self._codes.get(table)
        if codes is None:
            found: dict[tuple[int, ...], set[int]] = {}
            for key in told:
                numbers = np.frombuffer(key.codes, dtype="<u8").tolist()
                found.setdefault(key.columns, set()).update(numbers)
            codes = self._codes[table] = found
        return codes


@dataclass(slots=True)
class Footprint:
    """What a transaction touched.

    Attributes:
        tables: Kinds by table id.
        deletes: New delete vectors by (table id, row group id).
        rewrites: Row groups replaced, as (table id, row group id).
        names: Folded (what, schema, name) triples that were created or dropped.
        schemas_used: Folded names of schemas in which something was created or dropped.
        keys: Keys that were appended.
        removed: Keys of the rows that were deleted.
        relied: Keys of the rows that are relied on.
    """

    tables: dict[str, set[Kind]] = field(default_factory=dict)
    deletes: dict[tuple[str, str], list[DeleteVector]] = field(default_factory=dict)
    rewrites: set[tuple[str, str]] = field(default_factory=set)
    names: set[tuple[str, str, str]] = field(default_factory=set)
    schemas_used: set[str] = field(default_factory=set)
    keys: ToldKeys = field(default_factory=ToldKeys)
    removed: ToldKeys = field(default_factory=ToldKeys)
    relied: ToldKeys = field(default_factory=ToldKeys)

    @property
    def blind(self) -> bool:
        """True for nothing but appends without a key, which commute with each other."""
        return not self.names and all(kinds <= _BLIND for kinds in self.tables.values())

    @property
    def additive(self) -> bool:
        """True for nothing but appends and reliance, to which only others' key changes matter."""
        return not self.names and all(kinds <= _ADDITIVE for kinds in self.tables.values())

    @property
    def rows_only(self) -> bool:
        """True when no name, column or view changes: every blind transaction commutes with it."""
        return not self.names and all(kinds <= _ROWS_ONLY for kinds in self.tables.values())

    @classmethod
    def of(cls, effects: Iterable[Effect], relied: Iterable[tuple[str, Kind]] = ()) -> Footprint:
        """Collect the footprint of effects, and of what was looked at in which tables."""
        footprint = cls()
        for effect in effects:
            footprint._add(effect)
        for table, kind in relied:
            footprint._touch(table, kind)
        return footprint

    @classmethod
    def of_keys(cls, changes: Iterable[KeyChange]) -> Footprint:
        """What is known of changes of rows where only their key changes are told.

        Additive footprints commute with it if and only if they do with all that was done.
        """
        footprint = cls()
        for change in changes:
            if change.appended is not None:
                footprint._touch(change.table, Kind.KEYED_APPEND)
                footprint.keys.note(change.table, change.appended)
            if change.removed is not None:
                footprint._touch(change.table, Kind.DELETE)
                footprint.removed.note(change.table, change.removed)
        return footprint

    def _touch(self, table: str, kind: Kind) -> None:
        self.tables.setdefault(table, set()).add(kind)

    def _name(self, schema: str, name: str) -> None:
        # Tables and views share one name space.
        self.names.add(("relation", schema.lower(), name.lower()))
        self.schemas_used.add(schema.lower())

    def _add(self, effect: Effect) -> None:
        match effect:
            case Append(table, _, keyed, keys):
                self._touch(table, Kind.KEYED_APPEND if keyed else Kind.APPEND)
                if keyed:
                    self.keys.note(table, keys)
            case Delete(table, vectors, keys):
                self._touch(table, Kind.DELETE)
                self.removed.note(table, keys)
                for group, vector in vectors.items():
                    self.deletes.setdefault((table, group), []).append(vector)
            case Rewrite(table, removed):
                self._touch(table, Kind.REWRITE)
                self.rewrites.update((table, group) for group in removed)
            case Rely(table, keys):
                self._touch(table, Kind.RELY)
                self.relied.note(table, keys)
            case AttachKeyRuns(table):
                self._touch(table, Kind.INDEX)
            case RestoreTable(table):
                self._touch(table, Kind.RESTORE)
            case CloneTable(definition):
                self._name(definition.schema, definition.name)
            case CreateTag(name) | DropTag(name):
                self.names.add(("tag", name.lower(), ""))
            case AlterTable(definition, only_indexes):
                self._touch(definition.id, Kind.INDEX if only_indexes else Kind.SCHEMA)
                self._name(definition.schema, definition.name)
            case DropTable(table):
                self._touch(table, Kind.DROP)
            case CreateTable(definition):
                self._name(definition.schema, definition.name)
            case View(schema, name) | DropView(schema, name):
                self._name(schema, name)
            case CatalogEntry(kind, schema, name) | DropEntry(kind, schema, name):
                # Two values of one sequence do not commute either: each is given once.
                self.names.add((kind, schema.lower(), name.lower()))
                self.schemas_used.add(schema.lower())
            case CreateSchema(name) | DropSchema(name):
                self.names.add(("schema", name.lower(), ""))
                self.schemas_used.update(schema.lower() for schema in enclosing(name))


def check(mine: Footprint, theirs: Footprint, pages: PageStore, describe: str) -> None:
    """Raise when two footprints do not commute.

    Args:
        mine: The transaction that wants to commit.
        theirs: One that was committed after its snapshot.
        pages: Where large delete vectors are read from.
        describe: What the other one is, for the message.

    Raises:
        Conflict: They do not commute.
    """
    clash = mine.names & theirs.names
    if clash:
        _, schema, name = sorted(clash)[0]
        dotted = f"{schema}.{name}" if name else schema
        raise Conflict(f'"{dotted}" was created, changed or dropped by {describe}')
    for ours, others in ((mine, theirs), (theirs, mine)):
        for what, schema, _ in others.names:
            if what == "schema" and schema in ours.schemas_used:
                raise Conflict(f'schema "{schema}" was created or dropped by {describe}')
    for table, kinds in mine.tables.items():
        for kind in kinds:
            for other in theirs.tables.get(table, ()):
                verdict = MATRIX[kind][other]
                if (
                    verdict is Verdict.ALWAYS
                    or (verdict is Verdict.SAME_ROWS and _share_rows(mine, theirs, table, pages))
                    or (verdict is Verdict.SAME_KEYS and _may_share_keys(mine, theirs, table))
                    or (verdict is Verdict.SAME_GROUPS and _share_groups(mine, theirs, table))
                    or (verdict is Verdict.RELIED and _breaks_reliance(mine, theirs, table))
                ):
                    raise Conflict(
                        f"this {kind.value} does not commute with the {other.value} by {describe}",
                        hint="run the transaction again",
                    )


def _share_groups(mine: Footprint, theirs: Footprint, table: str) -> bool:
    touched = [
        {key for key in (*f.deletes, *f.rewrites) if key[0] == table} for f in (mine, theirs)
    ]
    return not touched[0].isdisjoint(touched[1])


def _may_share_keys(mine: Footprint, theirs: Footprint, table: str) -> bool:
    """Tell whether a key may have been appended by both: equal keys have equal codes."""
    ours, others = mine.keys.codes(table), theirs.keys.codes(table)
    if ours is None or others is None or ours.keys() != others.keys():
        return True
    return any(not codes.isdisjoint(others[columns]) for columns, codes in ours.items())


def _breaks_reliance(mine: Footprint, theirs: Footprint, table: str) -> bool:
    """Tell whether one may have deleted a row that the other one relies on."""
    return any(
        table in one.relied
        and table in other.removed
        and _may_meet(one.relied.codes(table), other.removed.codes(table))
        for one, other in ((mine, theirs), (theirs, mine))
    )


def _may_meet(relied: Codes | None, removed: Codes | None) -> bool:
    if relied is None or removed is None:
        return True
    # Of a key that the delete does not tell it may have removed whichever.
    return any(not codes.isdisjoint(removed.get(key, codes)) for key, codes in relied.items())


def _share_rows(mine: Footprint, theirs: Footprint, table: str, pages: PageStore) -> bool:
    return any(
        overlap(ours.positions(pages), other.positions(pages))
        for key, vectors in mine.deletes.items()
        if key[0] == table
        for ours in vectors
        for other in theirs.deletes.get(key, ())
    )
