"""SET, RESET, PRAGMA and USE.

A setting is Pagelake's own, or the kernel's for this session, or one of DuckDB's that are about
files of its own: those are accepted, because scripts say them, and change nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

from ...errors import InvalidRequest, UnknownName, Unsupported
from ...sql.names import close_matches
from ...sql.tokens import TokenStream
from ..result import Result
from ..settings import SETTINGS

if TYPE_CHECKING:
    from ...sql import statement as st
    from ..session import Session

_ALIASES = {"max_memory": "memory_limit", "worker_threads": "threads"}
_INERT = frozenset(
    {
        "storage_compatibility_version", "preserve_insertion_order", "checkpoint_threshold",
        "wal_autocheckpoint", "force_compression", "default_block_size", "debug_checkpoint_abort",
        "immediate_transaction_mode", "auto_checkpoint_skip_wal_threshold", "enable_object_cache",
        "debug_skip_checkpoint_on_commit", "vacuum_rebuild_indexes",
        "disabled_compression_methods", "index_scan_percentage",
        "index_scan_max_count", "enable_progress_bar", "progress_bar_time",
        "enable_progress_bar_print", "arrow_large_buffer_size", "arrow_output_list_view",
        "produce_arrow_string_view", "arrow_lossless_conversion", "arrow_output_version",
        "write_buffer_row_group_count", "variant_minimum_shredding_size",
        "experimental_metadata_reuse", "max_vacuum_tasks", "checkpoint_on_detach",
        "enable_external_file_cache", "custom_profiling_settings",
    }
)  # fmt: skip
"""Settings about DuckDB's own files, or that the engine itself relies on: accepted, unused."""
_REFUSED = frozenset(
    {
        "access_mode", "allow_community_extensions", "allow_unsigned_extensions",
        "allowed_directories", "allowed_paths", "autoinstall_known_extensions",
        "autoload_known_extensions", "disabled_filesystems", "enable_external_access",
        "extension_directory", "home_directory", "lock_configuration",
        "python_enable_replacements", "python_scan_all_frames", "secret_directory",
        "allow_persistent_secrets",
    }
)  # fmt: skip
"""Settings of the whole kernel that one session must not change for all."""
_DEPENDENCIES = {"enable_view_dependencies", "enable_macro_dependencies"}
_SILENT_PRAGMAS = ("verify", "debug", "enable_", "disable_", "force_checkpoint", "checkpoint")
_TOLD_PRAGMAS = {"enable_optimizer", "disable_optimizer", "disable_profiling"}


def set_option(session: Session, statement: st.SetOption) -> Result:
    """Run SET or RESET."""
    name = _ALIASES.get(statement.name, statement.name)
    if name in SETTINGS:
        _set_own(session, name, statement.value)
        return Result(None)
    if name in {"search_path", "schema"}:
        _set_path(session, statement.value or "main")
        return Result(None)
    if name in _REFUSED:
        raise Unsupported(f"the setting {name} cannot be changed", construct=f"SET {name}")
    if name == "default_transaction_invalidation_policy":
        session.database.forgives = "DO_NOT_INVALIDATE" in (statement.value or "").upper()
        return Result(None)
    if name in _DEPENDENCIES:  # of the whole kernel, if DuckDB were asked: not of others' sessions
        set_to = f"RESET SESSION {name}"
        if statement.value is not None:
            set_to = f"SET SESSION {name} = {statement.value}"
        session.set_in_kernel(name, set_to, True)
        return Result(None)
    if name.startswith("debug_") and "external" not in name:
        return Result(None)  # for those who develop the kernel
    if name in _INERT:
        return Result(None)
    session.set_in_kernel(name, *kernel_setting(session, statement))
    return Result(None)


def _unknown(session: Session, name: str) -> InvalidRequest:
    known = session.database.kernel.execute("SELECT name FROM duckdb_settings()")
    near = close_matches(name, [*SETTINGS, *(row[0] for row in known)])
    hint = f'did you mean "{near[0]}"?' if near else "SELECT * FROM pagelake.settings"
    return InvalidRequest(f'there is no setting "{name}"', hint=hint)


def _set_own(session: Session, name: str, value: str | None) -> None:
    database = session.database
    target = database.settings if SETTINGS[name].shared else session.settings
    if value is None:
        target.reset(name)
    else:
        value = value.strip()
        if value[:1] in {"'", '"'} and value[-1:] == value[:1]:
            value = value[1:-1].replace(value[-1:] * 2, value[-1:])
        target.set(name, value)
    if target is database.settings:
        database.apply_settings()


def _set_path(session: Session, value: str) -> None:
    """SET search_path: the first schema is the current one; ``main`` is always looked in."""
    value = value.strip()
    text = value[1:-1].replace("''", "'") if value.startswith("'") else value
    stream = TokenStream(text or "main")
    first = stream.name().parts
    was = session.schema
    try:
        while stream.accept(","):
            use(session, stream.name().parts)  # it must be there
        use(session, first)
    except UnknownName:
        session.schema = was
        raise


def use(session: Session, given: tuple[str, ...]) -> Result:
    """Make a schema the current one.

    Raises:
        UnknownName: There is no such schema.
    """
    parts = list(given)
    snapshot = session.snapshot()
    if parts[0].lower() == session.database.name.lower() and (
        len(parts) > 1 or not snapshot.has_schema(parts[0])
    ):
        parts = parts[1:] or ["main"]
    found = next((s for s in snapshot.schemas if s.lower() == parts[-1].lower()), None)
    if found is None or len(parts) > 1:
        dotted = ".".join(given)
        raise UnknownName(
            f'there is no schema "{dotted}"',
            name=dotted,
            suggestions=close_matches(parts[-1], snapshot.schemas),
        )
    session.schema = found
    return Result(None)


def pragma(session: Session, statement: st.Pragma) -> Result:
    """Run a PRAGMA that is neither a query nor a setting, or CHECKPOINT, VACUUM and ANALYZE."""
    if statement.name in {"checkpoint", "force", "force_checkpoint"}:
        return Result(None)
    if statement.name in {"vacuum", "analyze"}:
        _require_relations(session, statement.sql)
        return Result(None)
    cursor = session.database.kernel.cursor()
    try:
        for sql in session.kernel_settings:
            cursor.execute(sql)
        cursor.execute(statement.sql)  # the kernel knows what there is
    finally:
        cursor.close()
    if statement.name in _TOLD_PRAGMAS or not statement.name.startswith(_SILENT_PRAGMAS):
        session.tell_kernel(statement.sql)
    return Result(None)


def _require_relations(session: Session, sql: str) -> None:
    """Let the kernel refuse a VACUUM or ANALYZE of what is not there, on a copy of the catalog."""
    from ..native.catalog_copy import catalog_copy
    from ..native.objects import without_store

    snapshot = session.snapshot()
    plain = without_store(sql, session.database.name, snapshot)
    words = frozenset(str(t.text).lower() for t in TokenStream(plain).tokens)
    with catalog_copy(session, snapshot, session.schema, words) as copy:
        copy.cursor.execute(plain)


def kernel_setting(session: Session, statement: st.SetOption) -> tuple[str, bool]:
    """The statement that changes one of the kernel's settings, and whether it is a session's own.

    Raises:
        duckdb.Error: There is no such setting, or no such value.
    """
    name, value = statement.name, statement.value
    cursor = session.database.kernel.cursor()
    try:
        for sql in session.kernel_settings:  # one setting may hang on another
            cursor.execute(sql)
        try:
            cursor.execute(f"RESET {name}" if value is None else statement.sql)
        except duckdb.CatalogException as error:
            if "unrecognized configuration parameter" in str(error):
                raise _unknown(session, name) from error
            raise
        # Which settings are the whole database's unless SESSION is said, the kernel knows.
        scope = cursor.execute(
            "SELECT scope FROM duckdb_settings() WHERE lower(name) = ?", [name]
        ).fetchall()
        text = f"RESET SESSION {name}" if value is None else f"SET SESSION {name} = {value}"
        is_local = value is None or scope != [("GLOBAL",)]
        if is_local and not scope:  # of some it does not tell
            with suppress(duckdb.CatalogException):
                cursor.execute(text)
                return text, True
            is_local = False
    finally:
        cursor.close()
    return text, is_local
