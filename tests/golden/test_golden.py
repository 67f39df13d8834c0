"""Stores that earlier versions wrote are read for ever; those of later versions are refused."""

from __future__ import annotations

import json
import struct
import zipfile
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import xxhash

import pagelake
from pagelake.engine.database import Database
from pagelake.errors import FormatTooNew
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.encoding.chunk import Codec
from pagelake.storage.maintenance.check import verify_store
from pagelake.storage.page import HEADER_BYTES, PageKind, PageRef, build_header, verify
from pagelake.storage.store import Store
from tests.golden.write_store import ANSWERS, FOLDER, NAME, QUERIES, SETTINGS, answer

if TYPE_CHECKING:
    from pathlib import Path

    from pagelake.engine.session import Session

STORES = sorted(path.stem for path in FOLDER.glob("*.zip"))
KINDS = ("store.json", "log/0", "log/checkpoints/0", "log/bundles/0", "segments/")
"""Beginnings of the names of files that say which format they have."""
FRAME_BYTES = struct.calcsize("<4sHH16sQ32sqQQQ")
SILENT = {"words", "validity", "decimal64"}
"""Codecs that are not told of."""


@dataclass(frozen=True, slots=True)
class Golden:
    """A golden store on disk, with what it must answer."""

    path: Path
    answers: dict[str, list[list[str | None]]]


@pytest.fixture(params=STORES)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    with zipfile.ZipFile(FOLDER / f"{request.param}.zip") as archive:
        archive.extractall(tmp_path)
        answers = json.loads(archive.read(ANSWERS))
    # Folders that hold nothing are in no archive.
    for folder in ("segments", "log/bundles", "log/checkpoints"):
        (tmp_path / "store" / folder).mkdir(parents=True, exist_ok=True)
    return Golden(tmp_path / "store", answers)


def check_answers(golden: Golden, session: Session) -> None:
    for name, expected in golden.answers.items():
        if name in QUERIES:
            assert answer(session, QUERIES[name]) == expected, name


def test_the_present_format_has_a_golden_store() -> None:
    assert NAME in STORES


def test_everything_is_read_as_it_was(golden: Golden) -> None:
    with closing(Database(golden.path, read_only=True, settings=SETTINGS)) as database:
        check_answers(golden, database.session())


def test_it_can_be_written_to_kept_up_and_read_again(golden: Golden) -> None:
    with pagelake.connect(golden.path) as db:
        before = db.sql("SELECT count(*) FROM events").fetchall()[0][0]
        db.execute("CREATE TABLE after_upgrade AS SELECT * FROM every_codec")
        db.execute("INSERT INTO events VALUES (100, 'later')")
        db.execute("UPDATE changed SET n = n + 0 WHERE n % 3 = 0")
        assert db.sql("SELECT count(*) FROM events").fetchall() == [(before + 1,)]
        same = "SELECT count(*) FROM (FROM every_codec EXCEPT ALL FROM after_upgrade)"
        assert db.sql(same).fetchall() == [(0,)]
    with closing(Store(LocalDevice(golden.path, create=False))) as store:
        store.checkpoint()
        store.fold()
        assert verify_store(store) == []


def test_nothing_is_found_wrong_with_it(golden: Golden) -> None:
    with closing(Store(LocalDevice(golden.path, create=False), read_only=True)) as store:
        assert verify_store(store) == []


def test_the_newest_one_has_every_kind_of_file_and_every_codec() -> None:
    with zipfile.ZipFile(FOLDER / f"{NAME}.zip") as archive:
        names = [name.removeprefix("store/") for name in archive.namelist()]
        answers = json.loads(archive.read(ANSWERS))
    for kind in (*KINDS, "log/boundary/0", "log/horizon/0"):
        assert any(name.startswith(kind) for name in names), kind
    codecs = {row[0] for row in answers["codecs"]}
    assert codecs >= {codec.name.lower() for codec in Codec} - SILENT
    assert len(answers["kinds of pages"]) == 3


# Refused


def newer(kind: str, content: bytes) -> bytes:
    """A file as a later version might have written it: only the number tells."""
    if kind == "store.json":
        description = json.loads(content)
        description["format"] += 98
        del description["checksum"]
        return json.dumps(description).encode()
    before = 8 if kind == "log/bundles/0" else 0
    size = struct.unpack("<Q", content[:8])[0] if before else len(content)
    framed = bytearray(content[before : before + size])
    framed[4:6] = struct.pack("<H", 99)
    framed[FRAME_BYTES - 8 : FRAME_BYTES] = bytes(8)
    digest = xxhash.xxh3_64_intdigest(bytes(framed))
    framed[FRAME_BYTES - 8 : FRAME_BYTES] = struct.pack("<Q", digest)
    return content[:before] + bytes(framed) + content[before + size :]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "segments/"])
def test_a_file_of_a_later_format_is_refused(golden: Golden, kind: str) -> None:
    folder, _, beginning = kind.rpartition("/")
    found = sorted(p for p in (golden.path / folder).iterdir() if p.name.startswith(beginning))
    newest = found[-1]
    newest.write_bytes(newer(kind, newest.read_bytes()))
    before = {p: p.stat().st_mtime_ns for p in golden.path.rglob("*") if p.is_file()}
    with (
        pytest.raises(FormatTooNew, match="99"),
        closing(Store(LocalDevice(golden.path, create=False))) as store,
    ):
        store.history()
    files = {p: p.stat().st_mtime_ns for p in golden.path.rglob("*") if p.is_file()}
    assert {p: t for p, t in files.items() if p in before} == before


def test_a_page_of_a_later_format_is_refused() -> None:
    payload, store_id = b"something else", bytes(16)
    header, checksum = build_header(store_id, 7, 0, PageKind.COLUMN_CHUNK, payload)
    later = bytearray(header)
    later[4:6] = struct.pack("<H", 99)
    at = header.index(checksum.to_bytes(8, "little"))
    later[at : at + 8] = bytes(8)
    checksum = xxhash.xxh3_64_intdigest(bytes(later) + payload)
    later[at : at + 8] = checksum.to_bytes(8, "little")
    ref = PageRef(7, 0, len(payload), checksum)
    assert len(later) == HEADER_BYTES
    with pytest.raises(FormatTooNew, match="99"):
        verify(memoryview(bytes(later) + payload), ref, store_id)
    later[-1] ^= 1
    with pytest.raises(pagelake.Corrupt):
        verify(memoryview(bytes(later) + payload), ref, store_id)
