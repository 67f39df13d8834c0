"""The bytes of files for the kernel, a vector of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from ...errors import LimitExceeded
from ...storage.files.definition import FILE
from ...storage.files.file_error import FileError
from .place import stored_path, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...storage.content.content_reader import ContentReader
    from ...storage.files.files import Files
    from ...storage.snapshot import Snapshot

VECTOR_BYTES_MAX: Final = 1 << 30
"""Bytes of contents at a time: the kernel takes those of up to 2,048 rows at once."""
_READ: Final = (
    "element_type",
    "handle",
    "size",
    "used",
    "etag",
    "checksum",
    "inline",
    "extents",
)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a row says of its bytes."""

    handle: int
    size: int
    used: int
    etag: str | None
    checksum: str | None
    inline: bytes | None
    extents: bytes | None


class StoredContents:
    """Reads the bytes of many files.

    Args:
        files: The files.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def of_handles(self, snapshot: Snapshot, handles: pa.Array) -> pa.Array:
        """The contents of files; NULL for what is no file.

        Raises:
            LimitExceeded: They are too large together.
            Corrupt: They are damaged.
        """
        stored = self._files.view(snapshot).stored
        answer: list[bytes | None] = [None] * len(handles)
        found = stored.by_handle(handles.to_numpy(zero_copy_only=False))
        if not found.keys.size:
            return pa.array(answer, pa.binary())
        table = stored.read(found, _READ)
        places = found.keys[pc.equal(table.column(0), FILE).to_numpy()]
        table = table.filter(pc.equal(table.column(0), FILE))
        columns = (table.column(name).to_pylist() for name in _READ[1:])
        files = [_Stored(*row) for row in zip(*columns, strict=True)]
        _require_room([file.size for file in files])
        values = self._all_of(snapshot, files)
        for place, value in zip(places.tolist(), values, strict=True):
            answer[place] = value
        return pa.array(answer, pa.binary())

    def _all_of(self, snapshot: Snapshot, files: Sequence[_Stored]) -> Iterator[bytes]:
        """The contents of files, in order.

        Those whose extents stand in their rows are read as if they were one long content: where
        their chunks lie is then looked up for thousands of files at a time.
        """
        store = self._files.content
        near = [file for file in files if file.inline is None and file.extents is not None]
        long = _Stored(
            0,
            sum(file.size for file in near),
            sum(file.used for file in near),
            None,
            None,
            None,
            b"".join(file.extents or b"" for file in near),
        )
        reader, begin = store.read(snapshot, long), 0
        try:
            for file in files:
                if file.inline is None and file.extents is not None:
                    yield reader.read_at(begin, file.size) if file.size else b""
                    begin += file.size
                else:
                    yield _part(store.read(snapshot, file), 0, file.size)
        finally:
            reader.close()

    def of_paths(
        self, snapshot: Snapshot, paths: pa.Array, starts: pa.Array, lengths: pa.Array
    ) -> pa.Array:
        """Bytes of the files at some paths, symbolic links followed; NULL for no path.

        Args:
            snapshot: What is read.
            paths: Absolute ones, or URLs.
            starts: Where to begin in each; a negative one counts from the end.
            lengths: How many bytes; NULL for all that follow.

        Raises:
            FileError: There is no such file.
            InvalidRequest: It is no path.
            LimitExceeded: They are too large together.
        """
        view, total = self._files.view(snapshot), 0
        answer: list[bytes | None] = []
        for path, start, length in zip(
            paths.to_pylist(), starts.to_pylist(), lengths.to_pylist(), strict=True
        ):
            if path is None or start is None:
                answer.append(None)
                continue
            try:
                element = view.resolve(stored_path(path))
                reader = view.read(element)
            except FileError as error:
                raise told(error, path) from error
            begin = min(element.size, max(0, element.size + start) if start < 0 else start)
            wanted = element.size - begin
            if length is not None:
                wanted = min(wanted, max(0, length))
            total += wanted
            _require_room([wanted] if total == wanted else [wanted, total - wanted])
            answer.append(_part(reader, begin, wanted))
        return pa.array(answer, pa.binary())


def _part(reader: ContentReader, start: int, length: int) -> bytes:
    try:
        return reader.read_at(start, length) if length else b""
    finally:
        reader.close()


def _require_room(sizes: list[int]) -> None:
    """Refuse what would take more memory than a vector of values may."""
    total, largest = sum(sizes), max(sizes, default=0)
    if total <= VECTOR_BYTES_MAX:
        return
    if largest > VECTOR_BYTES_MAX:
        raise LimitExceeded(
            f"a file of {largest:,} bytes is too large for a value: the limit is "
            f"{VECTOR_BYTES_MAX:,}",
            hint="read a part of it: read_file(path, start, bytes)",
        )
    raise LimitExceeded(
        f"the contents of many files were to be read at once, {total:,} bytes; the limit is "
        f"{VECTOR_BYTES_MAX:,}",
        hint="ask for the content of fewer rows, or leave it out: SELECT * EXCLUDE (content)",
    )
