"""`pagelake load`: files of the usual formats into a table, with progress."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from ...errors import InvalidRequest, InvalidValue, UnknownName
from ..shell.cancellation import run_cancellable
from ..shell.commands import quoted_name
from ..shell.texts import count_text, duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa
    from rich.progress import Progress

    from ..connection import Connection, Cursor

BATCH_ROWS = 122_880
"""Rows read at a time: those of a row group."""

_SQL_READERS = {
    "csv": "read_csv",
    "tsv": "read_csv",
    "json": "read_json_auto",
    "jsonl": "read_json_auto",
    "ndjson": "read_json_auto",
}
_ARROW_ENDINGS = {"arrow", "arrows", "feather", "ipc"}
_COMPRESSED = {".gz", ".zst"}


def load_files(con: Connection, table: str, files: list[Path], *, quiet: bool) -> None:
    """Load files into a table in one transaction and say how fast it went.

    Args:
        con: A connection that may write.
        table: Name of the table, with its schema if need be; created when absent.
        files: Files to read, in order.
        quiet: Whether to leave out the progress bar and the summary.

    Raises:
        InvalidRequest: A file's ending is not known.
    """
    endings = [_ending(path) for path in files]
    name = quoted_name(table)
    started = time.perf_counter()
    with _progress(quiet=quiet) as progress:
        task = progress.add_task(f"loading {table}", total=_total_bytes(files), rows="")

        def work(poll: Callable[[], None]) -> int:
            return _load(con, name, list(zip(files, endings, strict=True)), advance, poll)

        def advance(done_bytes: float, rows: int) -> None:
            progress.update(task, completed=done_bytes, rows=f"{rows:,} rows")

        rows = run_cancellable(con, work)
    seconds = time.perf_counter() - started
    if not quiet:
        rate = rows / seconds if seconds else 0.0
        took = duration_text(seconds)
        sys.stdout.write(f"{count_text(rows, 'row')} into {table} in {took} ({rate:,.0f} rows/s)\n")


def _load(
    con: Connection,
    name: str,
    files: list[tuple[Path, str]],
    advance: Callable[[float, int], None],
    poll: Callable[[], None],
) -> int:
    rows = 0
    done_bytes = 0.0
    exists = _table_exists(con, name)
    con.execute("BEGIN")
    try:
        for path, ending in files:
            source = _Source(con, path, ending)

            def counted(source: _Source = source, before: float = done_bytes) -> Iterator[object]:
                nonlocal rows
                for batch in source.reader:
                    poll()
                    yield batch
                    rows += batch.num_rows
                    advance(before + source.fraction(batch.num_rows) * source.file_bytes, rows)

            try:
                _insert(con, name, source.reader.schema, counted(), create=not exists)
            finally:
                source.close()
            exists = True
            done_bytes += source.file_bytes
            advance(done_bytes, rows)
        con.execute("COMMIT")
    except BaseException:
        con.execute("ROLLBACK")
        raise
    return rows


def _insert(
    con: Connection, name: str, schema: pa.Schema, batches: Iterator[object], *, create: bool
) -> None:
    import pyarrow as pa

    incoming_rows = pa.RecordBatchReader.from_batches(schema, batches)
    target = f"CREATE TABLE {name} AS" if create else f"INSERT INTO {name}"
    # The statement names the local variable: anything with the Arrow stream interface can be.
    con.execute(f"{target} SELECT * FROM incoming_rows")
    incoming_rows.close()


def _table_exists(con: Connection, name: str) -> bool:
    try:
        return bool(con.sql(f"SELECT * FROM {name} LIMIT 0").columns)
    except UnknownName:
        return False


class _Source:
    """The rows of one file as a stream, and how far it has been read."""

    def __init__(self, con: Connection, path: Path, ending: str) -> None:
        self.file_bytes = path.stat().st_size
        self._rows_total: int | None = None
        self._rows_read = 0
        self._cursor: Cursor | None = None
        self.reader = self._open(con, path, ending)

    def fraction(self, rows: int) -> float:
        """Take in that rows were read; return the part of the file read so far, 0 to 1.

        Files of text do not tell how many rows they have; they count as read when they end.
        """
        self._rows_read += rows
        return min(self._rows_read / self._rows_total, 1.0) if self._rows_total else 0.0

    def close(self) -> None:
        """Give back the file and the cursor that read it."""
        self.reader.close()
        if self._cursor is not None:
            self._cursor.close()

    def _open(self, con: Connection, path: Path, ending: str) -> pa.RecordBatchReader:
        import pyarrow as pa

        try:
            return self._opened(con, path, ending)
        except pa.ArrowException as error:
            raise InvalidValue(
                f"{path} is not what its ending says, or damaged: {error}",
                hint="give the file the ending of its format",
            ) from error

    def _opened(self, con: Connection, path: Path, ending: str) -> pa.RecordBatchReader:
        import pyarrow as pa

        if ending == "parquet":
            import pyarrow.parquet as pq

            file = pq.ParquetFile(path)
            self._rows_total = file.metadata.num_rows
            return pa.RecordBatchReader.from_batches(
                file.schema_arrow, file.iter_batches(BATCH_ROWS)
            )
        if ending in _ARROW_ENDINGS:
            return self._open_arrow(path)
        quoted = str(path).replace("'", "''")
        # A cursor of its own: the connection's is busy inserting while this one reads.
        self._cursor = con.cursor()
        return self._cursor.sql(f"SELECT * FROM {_SQL_READERS[ending]}('{quoted}')").reader()

    def _open_arrow(self, path: Path) -> pa.RecordBatchReader:
        import pyarrow as pa

        source = pa.memory_map(str(path))
        try:
            file = pa.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source)
        batches = (file.get_batch(index) for index in range(file.num_record_batches))
        return pa.RecordBatchReader.from_batches(file.schema, batches)


def _ending(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    ending = suffixes[-1][1:] if suffixes else ""
    known = {"parquet", *_SQL_READERS, *_ARROW_ENDINGS}
    if ending not in known:
        raise InvalidRequest(
            f"cannot tell the format of {path.name} by its ending",
            hint=f"known endings: {', '.join(sorted(known))}",
        )
    return ending


def _progress(*, quiet: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )


def _total_bytes(files: list[Path]) -> int:
    return sum(path.stat().st_size for path in files)
