"""The relations that a catalog consists of: definitions of its tables, and the texts of its views.

A catalog `proj` is made of

    catalog.proj                  view   an entry a row, under the names of the reference platform
    catalog.proj_directories      table  a directory a row, with the roll-up of all below it
    catalog.proj_extensions       view   files and bytes below a directory, by extension
    catalog.proj_errors           table  places that could not be read
    catalog.proj_scans            view   the scans that made it
    catalog_data.proj_…           tables what the views stand on

The directories are a table and no view: one path is then one look-up in the table's key, and a
look-up does not reach through a view.

Entries are stored in the order of their directory's label, then of their names, so that what is
below a directory is a range. Paths of entries are not stored: they would be half of all bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from ...errors import InvalidRequest
from ...sql.tokens import literal, quote
from .columns import STORED, USED_SQL

PUBLIC_SCHEMA: Final = "catalog"
HIDDEN_SCHEMA: Final = "catalog_data"

NAME_BYTES_MAX: Final = 200
"""Bytes of a catalog's name: it is part of others' names."""

_TYPES: Final = {
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint32(): "UINTEGER",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.timestamp("ns"): "TIMESTAMP_NS",
    pa.dictionary(pa.int32(), pa.string()): "VARCHAR",
    pa.map_(pa.string(), pa.string()): "MAP(VARCHAR, VARCHAR)",
}

ENTRY_COLUMNS: Final = tuple((field.name, _TYPES[field.type]) for field in STORED)
"""Stored columns of the entries, by name, with their SQL types."""

ENTRY_COLD: Final = (
    *("nlinks", "group_owner_name", "inode", "device", "atime", "ctime", "creation_time"),
    *("symlink_path", "major_device", "minor_device", "user_tags"),
)
"""Columns that few questions are about: with them the hot copy would be twice the truth."""

_PREFIX: Final = "CASE parent_path WHEN '/' THEN '' ELSE parent_path END || '/'"

# Undoes `names.text_of` on hexadecimal digits: bytes 80 to BF stand behind F48FBE, C0 to FF behind
# F48FBF, 40 lower. No other place can look so, even one that begins with half a byte: it would hold
# the byte FB, which UTF-8 has not. Binding a regular expression or a lambda would take longer than
# many a query that does not even name this column.
_NAME_BYTES: Final = (
    "unhex(replace(replace(replace(replace(replace(replace(hex(encode(name)), "
    "'F48FBF', 'g'), 'F48FBE', ''), 'g8', 'C'), 'g9', 'D'), 'gA', 'E'), 'gB', 'F'))"
)

VIEW_COLUMNS: Final = (
    ("path", f"{_PREFIX} || name"),
    ("parent_path", "parent_path"),
    ("name", "name"),
    ("extension", "extension"),
    ("element_type", "element_type"),
    ("size", "size"),
    ("used", USED_SQL),
    ("uid", "uid"),
    ("owner_name", "owner_name"),
    ("owner_sid", "NULL::VARCHAR"),
    ("login_name", "owner_name"),
    ("gid", "gid"),
    ("group_owner_name", "group_owner_name"),
    ("group_owner_sid", "NULL::VARCHAR"),
    ("nfs_mode_bits", "nfs_mode_bits"),
    ("nlinks", "nlinks"),
    ("atime", "atime"),
    ("mtime", "mtime"),
    ("ctime", "ctime"),
    ("creation_time", "creation_time"),
    ("symlink_path", "symlink_path"),
    ("major_device", "major_device"),
    ("minor_device", "minor_device"),
    ("phandle", "{'clone_id': NULL::INTEGER, 'handle_id': inode}"),
    ("handle", "device || ':' || inode"),
    ("tenant_id", "NULL::INTEGER"),
    ("search_path", _PREFIX),
    ("user_tags", "user_tags"),
    ("user_tags_count", "coalesce(cardinality(user_tags), 0)::INTEGER"),
    ("user_metadata", "NULL::MAP(VARCHAR, VARCHAR)"),
    ("metadata_md", "NULL::VARCHAR"),
    ("name_aces_exist", "NULL::BOOLEAN"),
    ("s3_locks_retention", 'NULL::STRUCT("mode" VARCHAR, "timeout" BIGINT)'),
    ("s3_locks_legal_hold", "NULL::BOOLEAN"),
    ("content_type", "NULL::VARCHAR"),
    ("etag", "NULL::VARCHAR"),
    ("checksum", "NULL::VARCHAR"),
    ("version", "NULL::BIGINT"),
    ("name_bytes", _NAME_BYTES),
    ("directory", "directory"),
)
"""Columns of the view of entries; NULL is what a file system does not have."""

DIRECTORY_COLUMNS: Final = (
    ("path", "VARCHAR"),
    # The whole subtree, the directory itself included, as du counts.
    ("entries", "BIGINT"),
    ("directories", "BIGINT"),
    ("bytes", "BIGINT"),
    ("used", "BIGINT"),
    ("newest_mtime", "TIMESTAMP_NS"),
    # The directory itself and what lies in it, without its subdirectories.
    ("own_entries", "BIGINT"),
    ("own_bytes", "BIGINT"),
    ("own_used", "BIGINT"),
    ("own_newest_mtime", "TIMESTAMP_NS"),
    # Entries below it have labels of directories from `label` to `last_label`.
    ("depth", "INTEGER"),
    ("label", "BIGINT"),
    ("last_label", "BIGINT"),
)

DIRECTORY_COLD: Final = ("directories", "used", "own_used", "own_newest_mtime")

EXTENSION_COLUMNS: Final = (
    ("label", "BIGINT"),
    ("extension", "VARCHAR"),
    ("files", "BIGINT"),
    ("bytes", "BIGINT"),
)

ERROR_COLUMNS: Final = (
    ("path", "VARCHAR"),
    ("operation", "VARCHAR"),
    ("errno", "INTEGER"),
    ("error", "VARCHAR"),
    ("scan_time", "TIMESTAMPTZ"),
)

SCAN_COLUMNS: Final = (
    ("begun", "TIMESTAMPTZ"),
    ("ended", "TIMESTAMPTZ"),
    ("root", "VARCHAR"),
    ("entries", "BIGINT"),
    ("directories", "BIGINT"),
    ("bytes", "BIGINT"),
    ("errors", "BIGINT"),
    ("host", "VARCHAR"),
    ("options", "JSON"),
    ("kind", "VARCHAR"),  # how much was looked at: full, directories or watch
    # What it changed: all are new in a first scan.
    ("created", "BIGINT"),
    ("deleted", "BIGINT"),
    ("modified", "BIGINT"),
    ("moved", "BIGINT"),
)


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table of a catalog.

    Attributes:
        schema: Its schema.
        name: Its name.
        columns: Names and SQL types.
        key: The primary key's column, if it has one.
        cluster_by: Columns that its rows are sorted by.
        cold: Columns that hot copies leave out.
        hot_codecs: Codecs of some columns in hot copies; the kernel chooses those of others.
    """

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]
    key: str | None = None
    cluster_by: tuple[str, ...] = ()
    cold: tuple[str, ...] = ()
    hot_codecs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CatalogView:
    """A view of a catalog, in the public schema."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Relations:
    """All relations of one catalog.

    Args:
        name: The catalog's name, as the user spelled it.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.name.strip() or "\0" in self.name:
            raise InvalidRequest(f"{literal(self.name)} is no name for a catalog")
        if len(self.name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
            raise InvalidRequest(
                f"the name of a catalog has at most {NAME_BYTES_MAX} bytes", hint="shorten it"
            )

    @property
    def entries(self) -> CatalogTable:
        """An entry a row, in the order of directories."""
        name = f"{self.name}_entries"
        return CatalogTable(
            HIDDEN_SCHEMA,
            name,
            ENTRY_COLUMNS,
            cluster_by=("directory", "name"),
            cold=ENTRY_COLD,
            # Names are searched: it takes twice as long to decompress them as to look into them.
            hot_codecs=(("name", "uncompressed"),),
        )

    @property
    def directories(self) -> CatalogTable:
        """A directory a row, with its roll-up."""
        name = f"{self.name}_directories"
        return CatalogTable(
            PUBLIC_SCHEMA,
            name,
            DIRECTORY_COLUMNS,
            key="path",
            cold=DIRECTORY_COLD,
            hot_codecs=(("path", "zstd"),),  # they are long, and looked up by key
        )

    @property
    def extensions(self) -> CatalogTable:
        """Files and bytes by directory and extension."""
        name = f"{self.name}_extensions"
        return CatalogTable(HIDDEN_SCHEMA, name, EXTENSION_COLUMNS, cluster_by=("label",))

    @property
    def errors(self) -> CatalogTable:
        """Places that could not be read."""
        return CatalogTable(PUBLIC_SCHEMA, f"{self.name}_errors", ERROR_COLUMNS)

    @property
    def scans(self) -> CatalogTable:
        """A scan a row."""
        return CatalogTable(HIDDEN_SCHEMA, f"{self.name}_scans", SCAN_COLUMNS)

    @property
    def tables(self) -> tuple[CatalogTable, ...]:
        """The tables."""
        return self.entries, self.directories, self.extensions, self.errors, self.scans

    @property
    def views(self) -> tuple[CatalogView, ...]:
        """The views, which name the tables with their schemas."""
        scans = _named(self.scans)
        by_extension = (
            "SELECT d.path AS directory, e.extension, e.files, e.bytes "
            f"FROM {_named(self.extensions)} e JOIN {_named(self.directories)} d USING (label)"
        )
        return (
            CatalogView(self.name, entries_sql(self.entries.name)),
            CatalogView(f"{self.name}_extensions", by_extension),
            CatalogView(f"{self.name}_scans", f"SELECT * FROM {scans}"),
        )


def entries_sql(table: str) -> str:
    """Return the text of the view of entries.

    Args:
        table: Name of the table that it stands on.
    """
    listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in VIEW_COLUMNS)
    return f"SELECT {listed} FROM {quote(HIDDEN_SCHEMA)}.{quote(table)}"


def _named(table: CatalogTable) -> str:
    return f"{quote(table.schema)}.{quote(table.name)}"
