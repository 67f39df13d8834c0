"""What a look at a file's first bytes, or at its footer, tells about it.

No more than a few kilobytes of a file are read, whatever its size. A file that cannot be read, or
is not what it says to be, has facts too: the error.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...errors import Unsupported

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

HEAD_BYTES: Final = 8192
"""Bytes of a file that its type is told from."""
OCTETS: Final = "application/octet-stream"
PARQUET: Final = "application/vnd.apache.parquet"
_TEXT: Final = "text/plain"

FACTS: Final = pa.struct(
    [
        ("content_type", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("rows", pa.int64()),
        ("row_groups", pa.int64()),
        ("columns", pa.list_(pa.struct([("name", pa.string()), ("type", pa.string())]))),
        ("error", pa.string()),
    ]
)
"""Type of the facts: NULL is what a file of its kind does not have."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about one file.

    Attributes:
        content_type: Media type; None where the file cannot be read.
        width: Of an image, in pixels.
        height: Of an image, in pixels.
        rows: Of a Parquet file.
        row_groups: Of a Parquet file.
        columns: Names and types of a Parquet file's columns.
        error: Why a fact is missing.
    """

    content_type: str | None = None
    width: int | None = None
    height: int | None = None
    rows: int | None = None
    row_groups: int | None = None
    columns: tuple[tuple[str, str], ...] | None = None
    error: str | None = None

    def row(self) -> dict[str, object]:
        """The facts as a value of `FACTS`."""
        columns = self.columns and [{"name": name, "type": kind} for name, kind in self.columns]
        return {
            "content_type": self.content_type,
            "width": self.width,
            "height": self.height,
            "rows": self.rows,
            "row_groups": self.row_groups,
            "columns": columns,
            "error": self.error,
        }


def facts_of_path(path: bytes) -> Facts:
    """Look at a file.

    Args:
        path: Its path; symbolic links are followed. Nothing but files is opened: a pipe would
            block, and a device may act.

    Raises:
        Unsupported: The packages that know the formats are not installed.
    """
    require_formats()
    try:
        # Before it is opened the type must be known, and afterwards it may be another's.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return Facts(error="it is no file")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Facts(error="it is no file")
            return facts_of(file, os.path.basename(path).decode(errors="replace"))
    except OSError as error:
        return Facts(error=error.strerror or str(error))


def facts_of(file: io.BufferedIOBase, name: str) -> Facts:
    """Look at an open file.

    Args:
        file: Open for reading, at its beginning; can be sought in.
        name: Its name, whose ending helps where the content does not tell.
    """
    head = file.read(HEAD_BYTES)
    kind = content_type(head, name)
    facts = Facts(content_type=kind)
    if kind == PARQUET:
        return _attempted(facts, lambda: _of_parquet(facts, file))
    if kind.startswith("image/"):
        return _attempted(facts, lambda: _of_image(facts, file))
    return facts


def _attempted(facts: Facts, look: Callable[[], Facts]) -> Facts:
    """Facts with what a closer look tells, or why it does not: the bytes may be anybody's."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - parsers raise whatever a hostile file makes them
        return replace(facts, error=f"{type(error).__name__}: it is damaged")


def content_type(head: bytes, name: str) -> str:
    """The media type of a file.

    Args:
        head: Its first bytes, `HEAD_BYTES` where there are as many.
        name: Its name.
    """
    import puremagic

    if head.startswith(b"PAR1"):
        return PARQUET
    named, encoding = mimetypes.guess_type(name, strict=False)
    named = None if encoding else named
    if not head:
        return named or "inode/x-empty"
    if _is_text(head):
        # What a text is about only its name tells.
        return named if named and not named.startswith(("image/", "audio/", "video/")) else (
            "image/svg+xml" if b"<svg" in head[:1024] else _TEXT
        )  # fmt: skip
    try:
        told = puremagic.from_string(head, mime=True, filename=name)
    except (puremagic.PureError, ValueError):
        told = ""
    return str(told or named or OCTETS)


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        # A character may be cut at the end.
        head[: HEAD_BYTES - 4].decode()
    except UnicodeDecodeError as error:
        return error.end == len(head) and error.reason == "unexpected end of data"
    return True


def _of_parquet(facts: Facts, file: io.BufferedIOBase) -> Facts:
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    schema = metadata.schema.to_arrow_schema()
    columns = tuple((field.name, str(field.type)) for field in schema)
    return replace(
        facts, rows=metadata.num_rows, row_groups=metadata.num_row_groups, columns=columns
    )


def _of_image(facts: Facts, file: io.BufferedIOBase) -> Facts:
    import imagesize

    file.seek(0)
    width, height = imagesize.get(file)
    known = width >= 0 and height >= 0
    return replace(facts, width=int(width), height=int(height)) if known else facts


def require_formats() -> None:
    """Check that the packages are there.

    Raises:
        Unsupported: They are not.
    """
    try:
        import imagesize  # noqa: F401
        import puremagic  # noqa: F401
    except ImportError as error:
        raise Unsupported(
            "facts about files need two packages more",
            construct="file_facts",
            hint="pip install 'pagelake[facts]'",
        ) from error
