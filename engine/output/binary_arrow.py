"""Arrow IPC: the streaming format into pipes and `.arrows` files, the file format otherwise."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa

from .format import OutputOptions, OutputSummary, ResultStream


def write(result: ResultStream, stream: BinaryIO, options: OutputOptions) -> OutputSummary:
    """Write the result as Arrow IPC; see `Writer`."""
    reader = result.reader()
    rows = 0
    # The file format ends in a footer of offsets, which a reader can only use where it can seek.
    as_file = stream.seekable() and not str(getattr(stream, "name", "")).endswith(".arrows")
    open_writer = pa.ipc.new_file if as_file else pa.ipc.new_stream
    sink = pa.PythonFile(stream, mode="w") if as_file else CountingSink(stream).opened()
    with open_writer(sink, reader.schema) as writer:
        for batch in options.batches(reader):
            writer.write_batch(batch)
            rows += batch.num_rows
    return OutputSummary(rows, rows, len(reader.schema), len(reader.schema))


class CountingSink:
    """A write-only file object for Arrow over a stream that cannot tell its position."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0

    def opened(self) -> pa.PythonFile:
        """Return the sink as an Arrow file."""
        return pa.PythonFile(self, mode="w")

    def write(self, chunk: bytes) -> int:
        """Write bytes; returns how many."""
        self._stream.write(chunk)
        self._position += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        """Return the bytes written so far."""
        return self._position

    def flush(self) -> None:
        """Flush the stream below."""
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: the stream below belongs to the caller."""
