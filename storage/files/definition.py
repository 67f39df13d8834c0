"""The hidden tables that names are kept in.

    elements   a row for each file, directory, symbolic link or special file, and one more for each
               further hard link (element_type LINK, target = the element's handle)
    touches    moments at which something was taken out of a directory

A name is (parent_handle, name); the whole path of the parent stands beside it, so that one lookup
less is needed and a subtree is a range. An element keeps its handle for life.

Directory times: what is added to a directory or taken out of it must not write the directory's own
row, or all who create files there would wait for each other. The moment of adding is the new row's
`linked_time`, that of taking out a row of `touches`. Such a moment counts for the directory's mtime
and ctime where it is later than the ctime in its row; whoever replaces the row folds them in.

Only rows of directories are relied on (`effects.Rely`), by handle: deletes of very many rows tell
the handles of the directories among them and nothing of the others.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from ..effects import Column, Constraint, TableDefinition, serialize_type

SCHEMA: Final = "file_data"
ROOT_HANDLE: Final = 1
ELEMENTS: Final = f"{SCHEMA}.elements"
TOUCHES: Final = f"{SCHEMA}.touches"
"""Ids of the tables; their names are what follows the dot."""

FILE: Final = "FILE"
DIRECTORY: Final = "DIR"
SYMLINK: Final = "SYMLINK"
FIFO: Final = "FIFO"
SOCKET: Final = "SOCKET"
CHARACTER_DEVICE: Final = "CHR"
BLOCK_DEVICE: Final = "BLK"
LINK: Final = "LINK"
"""A further name of an element; only rows are of this type, elements never."""
SPECIAL: Final = frozenset({FIFO, SOCKET, CHARACTER_DEVICE, BLOCK_DEVICE})

_TAGS: Final = pa.map_(pa.string(), pa.string())
_TIME: Final = pa.timestamp("ns")
_SQL_TYPES: Final = {
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint32(): "UINTEGER",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    _TIME: "TIMESTAMP_NS",
    _TAGS: "MAP(VARCHAR, VARCHAR)",
}

_REQUIRED: Final = (
    ("handle", pa.int64()),
    ("parent_handle", pa.int64()),
    ("parent_path", pa.string()),
    ("name", pa.string()),
    ("extension", pa.string()),
    ("element_type", pa.string()),
    ("size", pa.int64()),
    ("used", pa.int64()),
    ("uid", pa.uint32()),
    ("gid", pa.uint32()),
    ("nfs_mode_bits", pa.int32()),
    ("nlinks", pa.uint32()),
)
_FURTHER: Final = (
    ("major_device", pa.uint32()),
    ("minor_device", pa.uint32()),
    ("atime", _TIME),
    ("mtime", _TIME),
    ("ctime", _TIME),
    ("creation_time", _TIME),
    ("linked_time", _TIME),
    ("symlink_path", pa.string()),
    ("content_type", pa.string()),
    ("etag", pa.string()),
    ("checksum", pa.string()),
    ("version", pa.string()),
    ("user_tags", _TAGS),
    ("user_metadata", _TAGS),
    ("tenant_id", pa.int32()),
    ("bucket_id", pa.int64()),
    ("target", pa.int64()),
    # The parent's handle for directories, NULL for others: finds directories among many files.
    ("subdirectory_of", pa.int64()),
    ("inline", pa.binary()),
    ("extents", pa.binary()),
)


def _columns(
    required: tuple[tuple[str, pa.DataType], ...], further: tuple[tuple[str, pa.DataType], ...] = ()
) -> tuple[Column, ...]:
    return tuple(
        Column(
            number,
            name,
            _SQL_TYPES[arrow],
            serialize_type(arrow),
            nullable=number > len(required),
        )
        for number, (name, arrow) in enumerate((*required, *further), 1)
    )


ELEMENT_COLUMNS: Final = _columns(_REQUIRED, _FURTHER)
_IDS: Final = {column.name: column.id for column in ELEMENT_COLUMNS}
HANDLE_KEY: Final = (_IDS["handle"],)
NAME_KEY: Final = (_IDS["parent_handle"], _IDS["name"])
PARENT_KEY: Final = (_IDS["parent_handle"],)
SUBDIRECTORY_KEY: Final = (_IDS["subdirectory_of"],)
TARGET_KEY: Final = (_IDS["target"],)
"""Column ids of the keys and indexes of elements."""

TOUCH_COLUMNS: Final = _columns((("handle", pa.int64()), ("time", _TIME)))
TOUCHED_KEY: Final = (1,)


def column_id(name: str) -> int:
    """The id of a column of elements."""
    return _IDS[name]


ELEMENTS_TABLE: Final = TableDefinition(
    ELEMENTS,
    SCHEMA,
    "elements",
    ELEMENT_COLUMNS,
    len(ELEMENT_COLUMNS) + 1,
    (
        Constraint("primary_key", HANDLE_KEY),
        Constraint("unique", NAME_KEY),
        Constraint("index", PARENT_KEY, name="elements_by_parent"),
        Constraint("index", SUBDIRECTORY_KEY, name="elements_by_subdirectory"),
        Constraint("index", TARGET_KEY, name="elements_by_target"),
    ),
    cluster_by=(_IDS["parent_path"], _IDS["name"]),
)
TOUCHES_TABLE: Final = TableDefinition(
    TOUCHES,
    SCHEMA,
    "touches",
    TOUCH_COLUMNS,
    len(TOUCH_COLUMNS) + 1,
    (Constraint("index", TOUCHED_KEY, name="touches_by_handle"),),
)
