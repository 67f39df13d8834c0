"""COPY FROM and COPY TO: Parquet, CSV and JSON by the kernel, Arrow by pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ..errors import InvalidRequest, InvalidValue, StorageFull, Unsupported
from ..sql import statement as st
from ..sql.tokens import literal, quote
from ..storage.effects import Column
from .dml import find_column, insert_query, target_table
from .query import bind_text, open_route
from .result import BATCH_ROWS, Result

if TYPE_CHECKING:
    from ..storage.transaction import Transaction
    from .kernel import Parameters
    from .session import Session

_BY_SUFFIX: Final = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
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


def copy_from(
    session: Session,
    transaction: Transaction,
    statement: st.CopyFrom,
    frame: FrameType | None,
) -> Result:
    """Run COPY table FROM file."""
    state = target_table(session, statement.target, "copy into")
    definition = state.definition
    targets: Sequence[Column] = definition.columns
    if statement.columns is not None:
        targets = [find_column(definition, name, name) for name in statement.columns]
    kind = format_of(statement.source, statement.options)
    options = [(n, v) for n, v in statement.options if n != "format"]
    if kind == "arrow":
        return _from_arrow(session, transaction, statement, targets)
    if kind not in {"parquet", "csv", "json"}:
        raise Unsupported(
            f"COPY does not read {kind}", construct=kind, hint="use parquet, csv, json or arrow"
        )
    arguments = [statement.source]
    typed = ", ".join(f"{literal(c.name)}: {literal(c.type)}" for c in targets)
    if kind == "csv":
        arguments.append(f"columns = {{{typed}}}")
        arguments += [
            f"{_CSV_NAMES.get(n, n)} = {_option_value(v)}" for n, v in options if n != "auto_detect"
        ]
        if not any(n == "header" for n, _ in options):
            arguments.append("auto_detect = true")
        source = f"SELECT * FROM read_csv({', '.join(arguments)})"
    elif kind == "json":
        arguments.append(f"columns = {{{typed}}}")
        arguments += [f"{n} = {_option_value(v)}" for n, v in options if n != "array"]
        source = f"SELECT * FROM read_json({', '.join(arguments)})"
    else:
        arguments += [f"{n} = {_option_value(v)}" for n, v in options if n != "codec"]
        source = f"SELECT * FROM read_parquet({', '.join(arguments)})"
    return insert_query(
        session, transaction, state, source, targets, None, frame, operation="COPY"
    )


def _option_value(value: str | None) -> str:
    if value is None:
        return "true"
    bare = value.strip()
    if bare[:1] in {"'", "[", "{", "("} or bare.replace(".", "").isdigit():
        return bare
    return bare if bare.lower() in {"true", "false"} else literal(bare.strip('"'))


def _from_arrow(
    session: Session,
    transaction: Transaction,
    statement: st.CopyFrom,
    targets: Sequence[Column],
) -> Result:
    state = target_table(session, statement.target, "copy into")
    path = _path(statement.source)
    with _open_arrow(path) as stream:
        holder = {"pagelake_arrow_stream": stream}
        return insert_query(
            session, transaction, state, "SELECT * FROM pagelake_arrow_stream", targets, None,
            Holder(holder).frame(), operation="COPY",
        )  # fmt: skip


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


def _validated(batches, path):  # type: ignore[no-untyped-def]
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
    kind = format_of(statement.target, statement.options)
    snapshot = session.snapshot()
    logical = bind_text(session, statement.query, snapshot)
    opened = open_route(session, statement.query, logical, frame, snapshot)
    drained = False
    try:
        cursor = opened.cursor
        with session.guard.watch(cursor):
            if kind == "arrow":
                relation = cursor.sql(statement.query) if parameters is None else cursor.sql(
                    statement.query, params=parameters
                )  # fmt: skip
                reader = relation.to_arrow_reader(BATCH_ROWS)
                rows = _write_arrow(reader, _path(statement.target))
            else:
                options = ", ".join(
                    n if v is None else f"{n} {v}" for n, v in statement.options if n != "format"
                )
                listed = f"FORMAT {quote(kind)}" + (f", {options}" if options else "")
                sql = f"COPY ({statement.query}\n) TO {statement.target} ({listed})"
                executed = cursor.execute(sql) if parameters is None else cursor.execute(
                    sql, parameters
                )  # fmt: skip
                rows = int(executed.fetchall()[0][0])
        drained = True
    finally:
        opened.close(drained=drained)
    return Result(None, count=rows)


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
