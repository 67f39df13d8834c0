"""Readers that may not write: they keep what they read where they can, and never answer wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.leaves import table_leaf
from pagelake.errors import Unavailable
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = {"background_maintenance": False, "hot_bytes_max": 0}
ROWS = 400_000
READ = "SELECT i, h FROM t"


@pytest.fixture
def db(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pagelake.Connection]:
    monkeypatch.setattr(table_leaf, "DELTA_ROWS_MAX", 1000)  # row groups are read from the store
    with pagelake.connect(store_path, settings=SETTINGS) as connection:
        connection.execute(f"CREATE TABLE t AS SELECT i, hash(i) AS h FROM range({ROWS}) r(i)")
    # The next writer has a segment of its own.
    with pagelake.connect(store_path, settings=SETTINGS) as connection:
        yield connection


def reclaim_everything(db: pagelake.Connection) -> tuple[int, object]:
    """Write the table anew and free its old pages; bytes freed, and who held them back."""
    db.execute("DELETE FROM t WHERE i % 2 = 0")
    db.execute("CALL pagelake.compact('t')")
    row = db.sql("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)").fetchone()
    assert row is not None
    return row[2], row[5]


def test_a_read_only_reader_keeps_what_it_reads(db: pagelake.Connection, store_path: Path) -> None:
    with pagelake.connect(store_path, read_only=True, settings=SETTINGS) as reader:
        stream = reader.sql(READ).reader(1000)
        first = stream.read_next_batch()
        freed, held_back_by = reclaim_everything(db)
        assert (freed, held_back_by) == (0, 1)
        assert first.num_rows + stream.read_all().num_rows == ROWS
    freed, held_back_by = reclaim_everything(db)
    assert freed > 0
    assert held_back_by is None


def refuse(_self: LocalDevice, _name: str, _content: bytes) -> None:
    """Be a device that cannot be written, as far as holds go."""
    raise Unavailable("Read-only file system")


def test_without_a_pin_the_reader_is_told_what_became_of_its_version(
    db: pagelake.Connection, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pagelake.connect(store_path, read_only=True, settings=SETTINGS) as reader:
        with monkeypatch.context() as patch:
            patch.setattr(LocalDevice, "hold", refuse)
            results = [reader.sql(READ), reader.sql(READ)]
        freed, held_back_by = reclaim_everything(db)
        assert freed > 0
        assert held_back_by is None
        for read in (results[0].fetchall, lambda: results[1].reader().read_all()):
            with pytest.raises(pagelake.SnapshotGone, match="while it was read") as caught:
                read()
            assert caught.value.hint
        assert reader.sql("SELECT count(*) FROM t").fetchone() == (ROWS // 2,)


def test_damage_stays_damage_where_a_pin_keeps_the_version(
    db: pagelake.Connection, store_path: Path
) -> None:
    with pagelake.connect(store_path, read_only=True, settings=SETTINGS) as reader:
        stream = reader.sql(READ)
        for segment in (store_path / "segments").iterdir():
            segment.unlink()
        with pytest.raises(pagelake.Corrupt):
            stream.fetchall()


def test_a_store_without_pins_is_still_read(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(LocalDevice(store_path, create=True))
    monkeypatch.setattr(LocalDevice, "hold", refuse)
    with store.pin(store.snapshot().version):
        assert not store.pins.secures(store.snapshot().version)
        assert not store.was_taken_away(store.snapshot().version)
    store.close()
