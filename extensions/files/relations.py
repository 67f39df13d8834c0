"""``pagelake.files`` and ``pagelake.objects``: texts of the views over the stored elements.

    pagelake.files     an element a row: file, directory, symbolic link, …; further names of one
                       element are no rows
    pagelake.objects   the files that lie in buckets

The columns bear the reference platform's names, as those of catalogs do. Both are there before
the first file is: then they stand on no table, and are empty.

A view calls functions that the engine gives the kernel, by names that it replaces:

    CONTENT_OF(handle)               the bytes, read when the column is
    READ_OF(path, start, length)     those of the file at a path, for `read_file`
    USER_NAME(uid)                   the name of a user, GROUP_NAME(gid) that of a group
    FACTS_OF(path)                   facts about a local file, for `file_facts`
    EVENT_OF(handle, ctime)          when something last came to a directory or went, where that
                                     is later than its ctime; LINKS_OF(handle) its number of links
"""

from __future__ import annotations

from typing import Final

SCHEMA: Final = "pagelake"
HIDDEN_SCHEMA: Final = "file_data"
ELEMENTS: Final = "elements"
READS: Final = f'SELECT * FROM "{HIDDEN_SCHEMA}"."{ELEMENTS}"'
"""A text that reads what the views do, and is quick to parse."""
FILES: Final = "files"
OBJECTS: Final = "objects"
WITHOUT_CONTENT: Final = " without content"
"""Behind the name of a view: the same with a column `ROUTE` in the place of the content."""
VIEWS: Final = frozenset(
    {FILES, OBJECTS, f"{FILES}{WITHOUT_CONTENT}", f"{OBJECTS}{WITHOUT_CONTENT}"}
)
ROUTE: Final = "content route 5f1c0e7a9b3d4c21"
"""A column that no user names: what tells `LATE_CONTENT` which snapshot to read."""

CONTENT_OF: Final = "pagelake_content_of"
READ_OF: Final = "pagelake_read_of"
USER_NAME: Final = "pagelake_user_name"
GROUP_NAME: Final = "pagelake_group_name"
CONTENT_AT: Final = "pagelake_content_at"
EVENT_OF: Final = "pagelake_event_of"
LINKS_OF: Final = "pagelake_links_of"
ROUTE_OF: Final = "pagelake_route_of"
FACTS_OF: Final = "pagelake_facts_of"
FUNCTIONS: Final = (
    FACTS_OF,
    CONTENT_OF,
    CONTENT_AT,
    READ_OF,
    USER_NAME,
    GROUP_NAME,
    EVENT_OF,
    LINKS_OF,
    ROUTE_OF,
)
"""Functions in the texts of views and macros."""

LATE_CONTENT: Final = "pagelake_late_content"
"""A macro for the content of a row of a view without it."""
BYTES_OF: Final = "pagelake_bytes_of"
"""A macro for `bytes_sql`: a text is meant as it stands, without escapes."""


def bytes_sql(given: str) -> str:
    """Return SQL for the bytes of given content; the expression occurs several times in it."""
    return (
        f"CASE typeof({given}) WHEN 'VARCHAR' THEN encode({given}::VARCHAR) ELSE {given}::BLOB END"
    )


READ_FILE: Final = "read_file"
FILE_FACTS: Final = "file_facts"
MACROS: Final = {
    FILE_FACTS: f"CREATE MACRO {FILE_FACTS}(path) AS {FACTS_OF}(path::VARCHAR)",
    READ_FILE: f"CREATE MACRO {READ_FILE}(path) AS {READ_OF}(path::VARCHAR, 0, NULL), "
    f"(path, start, bytes) AS {READ_OF}(path::VARCHAR, start::BIGINT, bytes::BIGINT)",
    LATE_CONTENT: f"CREATE MACRO {LATE_CONTENT}(route, handle) AS {CONTENT_AT}(route, handle)",
    BYTES_OF: f"CREATE MACRO {BYTES_OF}(given) AS {bytes_sql('given')}",
}
"""Macros that are always there, by name: `read_file` gives the bytes of the stored file at a path,
all of them or some from `start` on; `file_facts` tells what a local file is."""

PREFIX_SQL: Final = "CASE parent_path WHEN '/' THEN '' ELSE parent_path END || '/'"
"""What stands before the name in a path; that of the root's own row is ``/`` as well."""

# See `extensions.catalog.relations`: undoes the writing of bytes that are no text.
_NAME_BYTES: Final = (
    "unhex(replace(replace(replace(replace(replace(replace(hex(encode(name)), "
    "'F48FBF', 'g'), 'F48FBE', ''), 'g8', 'C'), 'g9', 'D'), 'gA', 'E'), 'gB', 'F'))"
)


def _with_events(time: str) -> str:
    """A time of an element; what happened in a directory is no part of its row."""
    event = f"coalesce({EVENT_OF}(handle, ctime), {time})"
    return f"CASE element_type WHEN 'DIR' THEN {event} ELSE {time} END"


COLUMNS: Final = (
    ("path", "VARCHAR", f"{PREFIX_SQL} || name"),
    ("parent_path", "VARCHAR", ""),
    ("name", "VARCHAR", ""),
    ("extension", "VARCHAR", ""),
    ("element_type", "VARCHAR", ""),
    ("size", "BIGINT", ""),
    ("used", "BIGINT", ""),
    ("uid", "UINTEGER", ""),
    ("owner_name", "VARCHAR", f"{USER_NAME}(uid)"),
    ("owner_sid", "VARCHAR", "NULL::VARCHAR"),
    ("login_name", "VARCHAR", f"{USER_NAME}(uid)"),
    ("gid", "UINTEGER", ""),
    ("group_owner_name", "VARCHAR", f"{GROUP_NAME}(gid)"),
    ("group_owner_sid", "VARCHAR", "NULL::VARCHAR"),
    ("nfs_mode_bits", "INTEGER", ""),
    ("nlinks", "UINTEGER", f"CASE element_type WHEN 'DIR' THEN {LINKS_OF}(handle) ELSE nlinks END"),
    ("atime", "TIMESTAMP_NS", ""),
    ("mtime", "TIMESTAMP_NS", _with_events("mtime")),
    ("ctime", "TIMESTAMP_NS", _with_events("ctime")),
    ("creation_time", "TIMESTAMP_NS", ""),
    ("symlink_path", "VARCHAR", ""),
    ("major_device", "INTEGER", "major_device::INTEGER"),
    ("minor_device", "INTEGER", "minor_device::INTEGER"),
    (
        "phandle",
        "STRUCT(clone_id INTEGER, handle_id BIGINT)",
        "{'clone_id': NULL::INTEGER, 'handle_id': handle}",
    ),
    ("handle", "BIGINT", ""),
    ("parent_handle", "BIGINT", ""),
    ("tenant_id", "INTEGER", ""),
    ("bucket_id", "BIGINT", ""),
    ("search_path", "VARCHAR", PREFIX_SQL),
    ("user_tags", "MAP(VARCHAR, VARCHAR)", ""),
    ("user_tags_count", "INTEGER", "coalesce(cardinality(user_tags), 0)::INTEGER"),
    ("user_metadata", "MAP(VARCHAR, VARCHAR)", ""),
    ("metadata_md", "VARCHAR", "NULL::VARCHAR"),
    ("name_aces_exist", "BOOLEAN", "NULL::BOOLEAN"),
    (
        "s3_locks_retention",
        'STRUCT("mode" VARCHAR, timeout BIGINT)',
        'NULL::STRUCT("mode" VARCHAR, "timeout" BIGINT)',
    ),
    ("s3_locks_legal_hold", "BOOLEAN", "NULL::BOOLEAN"),
    ("content_type", "VARCHAR", ""),
    ("etag", "VARCHAR", ""),
    ("checksum", "VARCHAR", ""),
    ("version", "VARCHAR", ""),
    ("name_bytes", "BLOB", _NAME_BYTES),
    ("content", "BLOB", f"{CONTENT_OF}(handle)"),
)
"""Name, type and SQL expression of each column; no expression for what is stored under the name.

The columns from `path` to `name_bytes` that a catalog has too have its names and types.
"""


def view_sql(name: str, *, stored: bool) -> str:
    """Return the text of one of the views.

    Args:
        name: One of `VIEWS`.
        stored: Whether there is a table of elements yet.
    """
    plain = name.removesuffix(WITHOUT_CONTENT)
    columns = list(COLUMNS)
    if name != plain:
        columns[-1] = (ROUTE, "BIGINT", f"{ROUTE_OF}()")
    if not stored:
        listed = ", ".join(f'NULL::{sql_type} AS "{column}"' for column, sql_type, _ in columns)
        return f"SELECT {listed} WHERE false"
    listed = ", ".join(f'{sql or column} AS "{column}"' for column, _, sql in columns)
    chosen = "element_type <> 'LINK'"
    if plain == OBJECTS:
        chosen = "element_type = 'FILE' AND bucket_id IS NOT NULL"
    return f'SELECT {listed} FROM "{HIDDEN_SCHEMA}"."{ELEMENTS}" WHERE {chosen}'


_CHANGED: Final = (
    *("parent_path", "name", "extension", "element_type", "size", "used", "uid", "gid"),
    *("nfs_mode_bits", "nlinks", "atime", "mtime", "ctime", "creation_time", "symlink_path"),
    *("handle", "parent_handle", "user_tags", "user_metadata", "content_type", "etag", "checksum"),
)
"""Columns of changes that are told as they are stored."""
_LASTING: Final = (
    *("size", "uid", "gid", "nfs_mode_bits", "nlinks", "atime", "mtime", "user_tags"),
    *("user_metadata", "content_type", "etag", "checksum"),
)
"""Columns that a mere renaming leaves as they are."""


def changes_sql(changes: str | None) -> str:
    """Return a query for what was created, modified, moved and deleted.

    An element that was moved and modified in one version has a row for each.

    Args:
        changes: The changes of the table of elements; None where there is none yet.
    """
    columns = ("change_type", "version", "path", "old_path", *_CHANGED, "content_version")
    types = {name: sql_type for name, sql_type, _ in COLUMNS}
    if changes is None:
        types |= {"change_type": "VARCHAR", "old_path": "VARCHAR", "content_version": "VARCHAR"}
        types["version"] = "BIGINT"
        listed = ", ".join(f"NULL::{types[name]} AS {name}" for name in columns)
        return f"SELECT {listed} WHERE false"
    # The version of the log has the name that the content's version is stored under.
    content_version = '"version_1" AS content_version'
    lasting = (*_LASTING, "content_version")
    path = f"{PREFIX_SQL} || name AS path"
    before = (
        f"SELECT version, row_id, {path}, {content_version}, {', '.join(_LASTING)} "
        f"FROM {changes} WHERE change_type = 'update_preimage'"
    )
    after = (
        f"SELECT *, {path}, {content_version} FROM {changes} "
        "WHERE change_type <> 'update_preimage' AND element_type <> 'LINK'"
    )
    same = " AND ".join(f"now.{name} IS NOT DISTINCT FROM old.{name}" for name in lasting)
    # What happened in a directory shows in its times, when its row is next replaced.
    same = same.replace("now.mtime IS", "if(now.element_type = 'DIR', old.mtime, now.mtime) IS")
    listed = ", ".join(f"now.{name}" for name in (*_CHANGED, "content_version"))
    return (
        "SELECT kind AS change_type, version, now.path AS path, "
        f"CASE kind WHEN 'moved' THEN old.path END AS old_path, {listed} "
        f"FROM ({after}) AS now LEFT JOIN ({before}) AS old USING (version, row_id), "
        "(VALUES ('created'), ('deleted'), ('moved'), ('modified')) AS kinds(kind) "
        "WHERE CASE now.change_type WHEN 'insert' THEN kind = 'created' "
        "WHEN 'delete' THEN kind = 'deleted' WHEN 'update_postimage' THEN "
        f"kind = 'moved' AND now.path <> old.path OR kind = 'modified' AND NOT ({same}) END"
    )
