"""COPY FROM and COPY TO: Parquet, CSV and JSON by the kernel, Arrow by pyarrow."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from ...errors import InvalidRequest, InvalidValue, StorageFull, Unsupported
from ...sql.file_urls import SCHEME
from ...sql.tokens import literal, quote
from ...sql.type_tree import physical
from ..files.copy_to import copy_to_stored
from ..query import bind_text, open_route
from ..result import BATCH_ROWS, Result
from .change import find_column, target_table
from .insert import RowSource, insert_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType

    from ...sql import statement as st
    from ...storage.effects import Column
    from ..kernel import Parameters
    from ..query import OpenRoute
    from ..session import Session
    from .change import Change

_BY_SUFFIX: Final = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".geojson": "geojson",
    ".geojsonl": "geojsonl",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_ARROW_STREAM: Final = "pagelake_arrow_stream"
_CSV_NAMES: Final = {
    "delimiter": "delim", "sep": "delim", "null": "nullstr", "null_padding": "null_padding",
}  # fmt: skip


def format_of(file: str, options: Sequence[tuple[str, str | None]]) -> str:
    """The format of a COPY: what its options say, or what the file's name says."""
    for name, value in options:
        if name == "format" and value is not None:
            return value.strip("'\"").lower()
    path = Path(file.strip("'"))
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in {".gz", ".zst"}]
    return _BY_SUFFIX.get(suffixes[-1] if suffixes else "", "csv")


def copy_from(change: Change, statement: st.CopyFrom) -> Result:
    """Run COPY table FROM file."""
    state = target_table(change.session, statement.target, "copy into")
    definition = state.definition
    targets: tuple[Column, ...] = definition.columns
    if statement.columns is not None:
        targets = tuple(find_column(definition, name) for name in statement.columns)
    kind = format_of(statement.source, statement.options)
    if kind == "arrow":
        with_stream = Holder({_ARROW_STREAM: _open_arrow(_path(statement.source))})
        change = replace(change, frame=with_stream.frame())
        rows = RowSource(f"SELECT * FROM {_ARROW_STREAM}", targets)
    else:
        rows = RowSource(_reading(statement, kind, targets), targets)
    try:
        return insert_query(change, state, rows, operation="COPY")
    except duckdb.InvalidInputException as error:
        has_header = any(name == "header" for name, _ in statement.options)
        if kind != "csv" or not has_header or "when sniffing" not in str(error):
            raise
    # A file that cannot be sniffed is read by the options given: that error names the line.
    rows = RowSource(_reading(statement, kind, targets, sniff=False), targets)
    return insert_query(change, state, rows, operation="COPY")


def _reading(
    statement: st.CopyFrom, kind: str, targets: Sequence[Column], *, sniff: bool = True
) -> str:
    """The query that reads a file in one of the kernel's formats."""
    options = [(n, v) for n, v in statement.options if n != "format"]
    arguments = [statement.source]
    typed = ", ".join(f"{literal(c.name)}: {literal(physical(c.type))}" for c in targets)
    if kind == "csv":
        arguments.append(f"columns = {{{typed}}}")
        arguments += [
            f"{_CSV_NAMES.get(n, n)} = {_names(v) if n == 'force_not_null' else _option_value(v)}"
            for n, v in options
            if n != "auto_detect"
        ]
        if not sniff:
            arguments.append("auto_detect = false")
        elif not any(n == "header" for n, _ in options):
            arguments.append("auto_detect = true")
        return f"SELECT * FROM read_csv({', '.join(arguments)})"
    if kind == "json":
        arguments.append(f"columns = {{{typed}}}")
        arguments += [f"{n} = {_option_value(v)}" for n, v in options if n != "array"]
        return f"SELECT * FROM read_json({', '.join(arguments)})"
    if kind == "parquet":
        arguments += [f"{n} = {_option_value(v)}" for n, v in options if n != "codec"]
        return f"SELECT * FROM read_parquet({', '.join(arguments)})"
    raise Unsupported(
        f"COPY does not read {kind}", construct=kind, hint="use parquet, csv, json or arrow"
    )


def _names(value: str | None) -> str:
    """A list of columns, which COPY takes as names and the reader as texts."""
    names = (value or "").strip("()[] ").split(",")
    bare = (literal(name.strip("\"' ")) for name in names)
    return f"[{', '.join(bare)}]"


def _option_value(value: str | None) -> str:
    if value is None:
        return "true"
    bare = value.strip()
    if bare[:1] in {"'", "[", "{", "("} or bare.replace(".", "").isdigit():
        return bare
    return bare if bare.lower() in {"true", "false"} else literal(bare.strip('"'))


class Holder:
    """Stands for the caller's frame where Pagelake itself names an object."""

    def __init__(self, variables: dict[str, object]) -> None:
        self.f_locals = variables
        self.f_globals: dict[str, object] = {}
        self.f_back = None

    def frame(self) -> FrameType:
        """Itself, as far as a look-up of names is concerned."""
        return self  # type: ignore[return-value]


def _open_arrow(path: Path) -> pa.RecordBatchReader:
    """Open an Arrow IPC file or stream as a validated stream."""
    try:
        source = pa.memory_map(str(path))
    except OSError as error:
        raise InvalidRequest(f"cannot open {path}: {error.strerror or error}") from error
    try:
        opened = pa.ipc.open_file(source)
        batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
        schema = opened.schema
    except pa.ArrowInvalid:
        try:
            stream = pa.ipc.open_stream(source)
        except pa.ArrowInvalid as error:
            raise InvalidValue(f"{path} is neither an Arrow file nor an Arrow stream") from error
        schema, batches = stream.schema, (batch for batch in stream)
    return pa.RecordBatchReader.from_batches(schema, _validated(batches, path))


def _validated(batches: Iterable[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    for number, batch in enumerate(batches):
        try:
            # Arrow reads files with offsets beyond their buffers without complaint.
            batch.validate(full=True)
        except pa.ArrowInvalid as error:
            raise InvalidValue(f"batch {number} of {path} is damaged: {error}") from error
        yield batch


def _path(text: str) -> Path:
    return Path(text.strip().strip("'").replace("''", "'"))


def copy_to(
    session: Session,
    statement: st.CopyTo,
    parameters: Parameters,
    frame: FrameType | None,
) -> Result:
    """Run COPY … TO file."""

    def run(statement: st.CopyTo) -> Result:
        return _copied(session, statement, parameters, frame)

    if not statement.target.startswith(f"'{SCHEME}"):
        return run(statement)
    if format_of(statement.target, statement.options) == "arrow":
        raise Unsupported(
            f"COPY writes no Arrow files to {SCHEME}",
            hint="use parquet, csv or json, or write it through fsspec",
        )
    return copy_to_stored(session, statement, run)


def _copied(
    session: Session,
    statement: st.CopyTo,
    parameters: Parameters,
    frame: FrameType | None,
) -> Result:
    kind = format_of(statement.target, statement.options)
    snapshot = session.snapshot()
    logical = bind_text(session, statement.query, snapshot)
    opened = open_route(session, logical, frame, snapshot)
    drained = False
    try:
        with session.guard.watch(opened.cursor):
            rows = _export(opened, statement, kind, parameters)
        drained = True
    finally:
        opened.close(drained=drained)
    return Result(None, count=rows)


def _export(opened: OpenRoute, statement: st.CopyTo, kind: str, parameters: Parameters) -> int:
    cursor, query = opened.cursor, statement.query
    if kind == "arrow":
        relation = cursor.sql(query) if parameters is None else cursor.sql(query, params=parameters)
        return _write_arrow(relation.to_arrow_reader(BATCH_ROWS), _path(statement.target))
    options = [n if v is None else f"{n} {v}" for n, v in statement.options if n != "format"]
    listed = ", ".join([f"FORMAT {quote(kind)}", *options])
    sql = f"COPY ({query}\n) TO {statement.target} ({listed})"
    executed = cursor.execute(sql) if parameters is None else cursor.execute(sql, parameters)
    return int(executed.fetchall()[0][0])


def _write_arrow(reader: pa.RecordBatchReader, path: Path) -> int:
    """Write a stream as an Arrow file; a file that could not be finished is removed."""
    rows = 0
    partial = path.with_name(path.name + ".partial")
    try:
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        if error.errno == 28:  # ENOSPC
            raise StorageFull(f"no room left to write {path}") from error
        raise InvalidRequest(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return rows
