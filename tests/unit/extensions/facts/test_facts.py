"""Facts about files: types by content and name, images, Parquet, and what is damaged or no file."""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagelake.extensions.facts.facts import PARQUET, content_type, facts_of_path
from pagelake.extensions.facts.vector import facts_of_paths

if TYPE_CHECKING:
    from pathlib import Path


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_an_image_has_a_size(tmp_path: Path) -> None:
    # Its name lies: the content is what counts.
    path = tmp_path / "picture.txt"
    path.write_bytes(png(640, 480))
    facts = facts_of_path(bytes(path))
    assert (facts.content_type, facts.width, facts.height) == ("image/png", 640, 480)
    assert facts.error is None


def test_parquet_has_rows_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "table"
    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}), path, row_group_size=2)
    facts = facts_of_path(bytes(path))
    assert (facts.content_type, facts.rows, facts.row_groups) == (PARQUET, 3, 2)
    assert facts.columns == (("a", "int64"), ("b", "string"))


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 and nothing that fits PAR1")
    facts = facts_of_path(bytes(path))
    assert facts.content_type == PARQUET
    assert facts.rows is None
    assert "damaged" in (facts.error or "")


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"a,b\n1,2\n", "x.csv", "text/csv"),
        (b"hello", "README", "text/plain"),
        ("é".encode() * 5000, "x", "text/plain"),
        (b"", "x.json", "application/json"),
        (b"", "x", "inode/x-empty"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "x.svg", "image/svg+xml"),
        (b"text in disguise", "x.png", "text/plain"),
        (b"\0\1\2\3" * 50, "x.unknown", "application/octet-stream"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "x", "application/pdf"),
    ],
)
def test_types(head: bytes, name: str, expected: str) -> None:
    assert content_type(head, name) == expected


def test_only_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for name, said in (("pipe", "no file"), ("", "no file"), ("nope", "No such file")):
        assert said in (facts_of_path(bytes(tmp_path / name)).error or "")


def test_paths_are_those_of_catalogs(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    with open(name, "wb") as file:
        file.write(b"text")
    written = os.fsdecode(tmp_path) + "/caf\U0010ffe9.txt"
    found = facts_of_paths(pa.array([None, written, "/a\0b"])).to_pylist()
    assert found[0] is None
    assert found[1]["content_type"] == "text/plain"
    assert "NUL" in found[2]["error"]
