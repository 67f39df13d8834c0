"""Effects: what a transaction does to the relations of a store, as frozen values.

A commit record holds effects and nothing that depends on the version it will get: row ids
are given out when the record is applied, in the order of the log, so a lost race for a
version name changes no byte. The wire form of each effect is a list that starts with its tag
(docs/format/commit-record.md, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..errors import Corrupt
from . import delete_vector
from .page import PageKind, PageRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .delete_vector import Positions
    from .keys.key_run import KeyRun
    from .page_store import PageStore
    from .zone_map import ZoneMap

ROW_ID_COLUMN = -1
"""Column id of explicit row ids, in row groups whose rows had an earlier home."""

Wire = list[Any]


@lru_cache(maxsize=1024)
def _arrow_type(serialized: bytes) -> pa.DataType:
    return pa.ipc.read_schema(pa.py_buffer(serialized)).field(0).type


@lru_cache(maxsize=1024)
def serialize_type(arrow_type: pa.DataType) -> bytes:
    """Return an Arrow type in its IPC form, as ``Column.arrow`` holds it."""
    return bytes(pa.schema([pa.field("", arrow_type)]).serialize())


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation.

    Attributes:
        id: Number that never changes and is never reused in its table.
        name: Name as the user wrote it.
        type: SQL type text; opaque to the storage layer.
        arrow: The stored Arrow type, serialised.
        nullable: False when NULL is refused.
        default: SQL text of the default value, None where there is none.
        initial: Value (IPC form, one row) of rows written before the column existed; None
            means NULL.
        collation: Name of the collation of a text column, or None.
    """

    id: int
    name: str
    type: str
    arrow: bytes
    nullable: bool = True
    default: str | None = None
    initial: bytes | None = None
    collation: str | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """Arrow type of the stored column."""
        return _arrow_type(self.arrow)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint other than NOT NULL.

    Attributes:
        kind: ``primary_key``, ``unique``, ``check`` or ``foreign_key``; of a CREATE INDEX ``index``
            or ``unique_index``.
        columns: Column ids the constraint is on; empty for a check.
        expression: SQL text of a check, or of what an index that has no columns is on.
        name: Name given by the user, or None.
        table: Of a foreign key, the id of the table that it refers to.
        referred: Of a foreign key, the ids of the columns that it refers to.
    """

    kind: str
    columns: tuple[int, ...] = ()
    expression: str | None = None
    name: str | None = None
    table: str | None = None
    referred: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GeneratedColumn:
    """A column that is computed from the others when it is read.

    Attributes:
        name: Name as the user wrote it.
        type: SQL type text.
        expression: SQL text of its value.
        place: Number of columns, stored and generated, that stand before it.
    """

    name: str
    type: str
    expression: str
    place: int


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """Identity, name, columns and constraints of a table.

    Columns that were dropped are remembered, because rows inlined before still carry them.
    ``cluster_by`` names the columns (by id) that maintenance sorts the rows by; ``columns`` are
    those that are stored. Hot segments leave the columns ``cold`` (by id) out, and compress others
    as ``hot_codecs`` says (id and name of a codec of the kernel's); neither means anything for the
    rows.
    """

    id: str
    schema: str
    name: str
    columns: tuple[Column, ...]
    next_column_id: int
    constraints: tuple[Constraint, ...] = ()
    dropped: tuple[Column, ...] = ()
    cluster_by: tuple[int, ...] = ()
    generated: tuple[GeneratedColumn, ...] = ()
    cold: tuple[int, ...] = ()
    hot_codecs: tuple[tuple[int, str], ...] = ()

    @property
    def keys(self) -> tuple[Constraint, ...]:
        """The constraints that make column values unique."""
        unique = {"primary_key", "unique", "unique_index"}
        return tuple(c for c in self.constraints if c.kind in unique)

    @property
    def indexes(self) -> tuple[Constraint, ...]:
        """The keys, and the indexes of values that may repeat."""
        others = {"check", "foreign_key"}
        return tuple(c for c in self.constraints if c.columns and c.kind not in others)

    def column(self, name: str) -> Column | None:
        """Find a column by name, regardless of case."""
        folded = name.lower()
        return next((c for c in self.columns if c.name.lower() == folded), None)


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """One column of one row group on the device."""

    page: PageRef
    codec: str
    zone: ZoneMap | None = None
    sketch: bytes | None = None


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Up to 122,880 rows of a table.

    Attributes:
        id: Unique in the store: transaction id and ordinal.
        rows: Exact row count, deleted rows included.
        chunks: Column chunks by column id; empty when the rows are inlined.
        inline: The rows as one Arrow record-batch message, for small batches.
        inline_columns: Column ids of the inlined batch, in its order.
        first_row_id: Row id of the first row, given when the record is applied (a rewritten
            row group brings its own); a row whose value in the column ``ROW_ID_COLUMN`` is not
            NULL keeps that id instead.
        told: Codes of its rows' keys, one a row, where its append told them; this is not part of
            what is stored.
    """

    id: str
    rows: int
    chunks: Mapping[int, ColumnChunk] = field(default_factory=dict)
    inline: bytes | None = None
    inline_columns: tuple[int, ...] = ()
    first_row_id: int = 0
    told: tuple[AppendedKeys, ...] = field(default=(), compare=False, repr=False)

    @property
    def explicit_row_ids(self) -> bool:
        """True when the rows bring their row ids along."""
        return ROW_ID_COLUMN in self.chunks or ROW_ID_COLUMN in self.inline_columns

    @property
    def stored_bytes(self) -> int:
        """Bytes the row group takes on the device."""
        if self.inline is not None:
            return len(self.inline)
        return sum(chunk.page.stored_bytes for chunk in self.chunks.values())


@dataclass(slots=True)
class DeleteVector:
    """Deleted positions of one row group, read when somebody asks.

    Attributes:
        count: Number of positions.
        payload: The encoded vector when it lies in the record itself.
        page: Where it lies otherwise.
    """

    count: int
    payload: bytes | None = None
    page: PageRef | None = None
    _positions: Positions | None = None

    @classmethod
    def of(cls, positions: Positions) -> DeleteVector:
        """Make a vector that carries its own payload."""
        return cls(int(positions.size), delete_vector.encode(positions), None, positions)

    def positions(self, pages: PageStore) -> Positions:
        """The sorted positions.

        Raises:
            Corrupt: The vector's page is damaged.
        """
        if self._positions is None:
            payload: bytes | memoryview
            if self.payload is not None:
                payload = self.payload
            elif self.page is not None:
                payload = pages.get(self.page, PageKind.DELETE_VECTOR)
            else:
                raise Corrupt("a delete vector has neither payload nor page")
            self._positions = delete_vector.decode(payload)
        return self._positions


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """Create a schema."""

    name: str


@dataclass(frozen=True, slots=True)
class DropSchema:
    """Drop a schema; its relations are dropped by effects of their own."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateTable:
    """Create a table without rows."""

    definition: TableDefinition


@dataclass(frozen=True, slots=True)
class AlterTable:
    """Replace the definition of the table with the same id.

    Attributes:
        definition: The table as it is from now on.
        only_indexes: Nothing comes or goes but indexes of values that may repeat: whatever
            happens to rows meanwhile commutes with that.
    """

    definition: TableDefinition
    only_indexes: bool = False


@dataclass(frozen=True, slots=True)
class DropTable:
    """Drop a table and its rows."""

    table: str


@dataclass(frozen=True, slots=True)
class View:
    """A stored view; the effect that creates it.

    Attributes:
        schema: Its schema.
        name: Its name.
        sql: The query's text.
        columns: Names for its columns, empty for the query's own.
        search_schema: The schema in which the query's unqualified names are looked up.
        secure: Conditions of those who read it are not moved below it.
    """

    schema: str
    name: str
    sql: str
    columns: tuple[str, ...] = ()
    search_schema: str = "main"
    secure: bool = False


@dataclass(frozen=True, slots=True)
class DropView:
    """Drop a view."""

    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class AppendedKeys:
    """What an append adds to one key, a delete takes from it, or somebody relies on.

    Attributes:
        columns: Column ids of the key.
        codes: Codes of the keys (``keys.codes``), unsigned 64-bit numbers, little-endian.
    """

    columns: tuple[int, ...]
    codes: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Add row groups to a table.

    Attributes:
        table: Table id.
        row_groups: The row groups, in order.
        keyed: True when the rows were checked against a key, so that concurrent appends to the
            same table do not commute with this one, unless both tell their keys.
        keys: The keys in the order of the rows, those with a NULL left out, where they are few,
            each key of the table once; empty otherwise.
    """

    table: str
    row_groups: tuple[RowGroup, ...]
    keyed: bool = False
    keys: tuple[AppendedKeys, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete positions of row groups.

    Attributes:
        table: Table id.
        vectors: The newly deleted positions only, by row group id.
        keys: The keys of the rows, where they are few; empty says that it may be any row.
    """

    table: str
    vectors: Mapping[str, DeleteVector]
    keys: tuple[AppendedKeys, ...] = ()


@dataclass(frozen=True, slots=True)
class Rely:
    """Need rows to be there still, as they were read; changes nothing.

    Whoever deletes or replaces one of the rows meanwhile does not commute with this, whichever of
    both commits first. Where the rows lie does not matter.

    Attributes:
        table: Table id.
        keys: Keys of the rows, each of which names a row by itself; empty says all rows.
    """

    table: str
    keys: tuple[AppendedKeys, ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replace row groups by others that hold the same rows in another form.

    The rows keep their ids: the added row groups bring ``first_row_id`` along, or explicit ids.
    They take the place of the first one removed.
    """

    table: str
    removed: tuple[str, ...]
    added: tuple[RowGroup, ...]


@dataclass(frozen=True, slots=True)
class AttachKeyRuns:
    """Give a table sorted runs of the keys of row groups that it has.

    Changes no row. A run of which no row group is left when the record is applied is dropped.
    """

    table: str
    runs: tuple[KeyRun, ...]


@dataclass(frozen=True, slots=True)
class CloneTable:
    """Create a table that begins with the rows another one had at a version.

    Only the reference is recorded, so that a clone costs the same whatever its size.

    Attributes:
        definition: The new table.
        source: Table id of the one it begins as.
        version: Version of which the rows are taken.
    """

    definition: TableDefinition
    source: str
    version: int


@dataclass(frozen=True, slots=True)
class RestoreTable:
    """Give a table the rows and the columns it had at a version; it keeps its name."""

    table: str
    version: int


@dataclass(frozen=True, slots=True)
class CreateTag:
    """Name a version; it stays readable for as long as the tag exists."""

    name: str
    version: int


@dataclass(frozen=True, slots=True)
class DropTag:
    """Remove the name of a version."""

    name: str


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """Something named that only the SQL layer understands; the effect that creates or changes it.

    Attributes:
        kind: ``sequence``, ``macro``, ``table_macro``, ``type``, ``comment`` or ``owner``.
        schema: Its schema.
        name: Its name; of a comment what it is about.
        sql: The text that makes it; of an owner, what the sequence ``name`` goes with.
        value: Of a sequence, the value it gave last; None before the first.
    """

    kind: str
    schema: str
    name: str
    sql: str
    value: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it apart: kind, folded schema and folded name."""
        return (self.kind, self.schema.lower(), self.name.lower())


@dataclass(frozen=True, slots=True)
class DropEntry:
    """Drop a catalog entry."""

    kind: str
    schema: str
    name: str


Effect = (
    CreateSchema
    | DropSchema
    | CreateTable
    | AlterTable
    | DropTable
    | View
    | DropView
    | Append
    | Delete
    | Rely
    | Rewrite
    | AttachKeyRuns
    | CloneTable
    | RestoreTable
    | CreateTag
    | DropTag
    | CatalogEntry
    | DropEntry
)
