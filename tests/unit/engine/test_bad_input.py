"""Bad input from the world: each a clear error, nothing lost, everything else usable."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import pagelake
from pagelake.engine.connection import Connection
from pagelake.engine.database import Database
from pagelake.storage.devices.local_device import LocalDevice
from tests.unit.storage.builders import of_format
from tests.unit.storage.devices import FullDevice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_HOT = {"hot_bytes_max": 0}
BULK = "SELECT i AS a, hash(i) AS b FROM range({}) r(i)"
"""Rows whose second column does not compress: every row group makes pages of some size."""


@pytest.fixture
def db(store_path: Path) -> Iterator[pagelake.Connection]:
    with pagelake.connect(store_path) as opened:
        yield opened


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x40
    path.write_bytes(content)


# The path


def test_a_path_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a store")
    for path in (file, file / "below"):
        for read_only in (False, True):
            with pytest.raises(pagelake.NotAStore):
                pagelake.connect(path, read_only=read_only)
    assert file.read_text() == "not a store"


def test_a_directory_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for read_only in (False, True):
        with pytest.raises(pagelake.NotAStore):
            pagelake.connect(tmp_path, read_only=read_only)
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_directory_that_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    for path in (tmp_path / "locked", tmp_path / "locked/below"):
        with pytest.raises(pagelake.NotAStore):
            pagelake.connect(path)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5_000])
def test_a_path_that_cannot_be(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pagelake.NotAStore):
        pagelake.connect(path)


def test_a_store_of_a_newer_format(db: pagelake.Connection, store_path: Path) -> None:
    db.close()
    written = (store_path / "store.json").read_bytes()
    (store_path / "store.json").write_bytes(of_format(written, 99))
    for read_only in (False, True):
        with pytest.raises(pagelake.FormatTooNew, match="99"):
            pagelake.connect(store_path, read_only=read_only)


def test_a_read_only_store_takes_no_writes(db: pagelake.Connection, store_path: Path) -> None:
    db.execute("CREATE TABLE t (a INTEGER)")
    before = sorted(store_path.rglob("*"))
    with pagelake.connect(store_path, read_only=True) as reader:
        for sql in (
            "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "DROP TABLE t",
            "CREATE TABLE u (a INTEGER)", "CALL pagelake.checkpoint()",
        ):  # fmt: skip
            with pytest.raises(pagelake.Denied):
                reader.execute(sql)
        assert reader.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    assert sorted(store_path.rglob("*")) == before


# Damage


@pytest.fixture
def two_tables(store_path: Path) -> Path:
    """A store whose tables lie in segments of their own, without a hot tier."""
    for name in ("t", "u"):
        with pagelake.connect(store_path, settings=NO_HOT) as db:
            db.execute(f"CREATE TABLE {name} AS {BULK.format(130_000)}")
    return store_path


def segment_of(db: pagelake.Connection, table: str) -> str:
    found = db.execute(
        "SELECT DISTINCT segment FROM pagelake.pages WHERE table_name = ?", [table]
    ).fetchall()
    assert len(found) == 1
    return str(found[0][0])


@pytest.mark.parametrize("streamed", [False, True], ids=["copied to memory", "streamed"])
def test_a_damaged_page_spoils_its_table_only(
    two_tables: Path, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if streamed:
        monkeypatch.setattr("pagelake.engine.leaves.table_leaf.DELTA_ROWS_MAX", 0)
    with pagelake.connect(two_tables, settings=NO_HOT) as db:
        name = segment_of(db, "t")
        page = db.execute(
            "SELECT max(\"offset\") FROM pagelake.pages WHERE table_name = 't'"
        ).fetchall()[0][0]
    flip(two_tables / name, page + 200)
    with pagelake.connect(two_tables, settings=NO_HOT) as db:
        with pytest.raises(pagelake.Corrupt) as caught:
            db.execute("SELECT sum(a), max(b) FROM t").fetchall()
        assert (caught.value.file, caught.value.offset) == (name, page)
        assert db.execute("SELECT count(*), count(b) FROM u").fetchall() == [(130_000, 130_000)]
        db.execute("CREATE TABLE v AS SELECT 1 AS a")
        assert db.execute("SELECT a FROM v").fetchall() == [(1,)]


def test_fresh_rows_are_right_after_they_could_not_be_read(store_path: Path) -> None:
    """A copy in memory that was left half done is not counted on."""
    with pagelake.connect(store_path, settings=NO_HOT) as db:
        db.execute(f"CREATE TABLE t AS {BULK.format(300_000)}")
        total = 300_000 * 299_999 // 2
        assert db.execute(CHECK).fetchall() == [(300_000, total)]
        db.execute(f"INSERT INTO t {BULK.format(130_000)}")
        db.execute("INSERT INTO t SELECT 1, hash(i) FROM range(10000) r(i)")
        total += 130_000 * 129_999 // 2 + 10_000
        name, page = db.execute(
            'SELECT segment, "offset" FROM pagelake.pages WHERE row_group_id = '
            "(SELECT row_group_id FROM pagelake.row_groups WHERE rows = 10000) "
            "AND column_name = 'b'"
        ).fetchall()[0]
        flip(store_path / name, page + 200)
        with pytest.raises(pagelake.Corrupt):
            db.execute(CHECK).fetchall()
        flip(store_path / name, page + 200)
        assert db.execute(CHECK).fetchall() == [(440_000, total)]


def test_a_missing_segment_names_itself(two_tables: Path) -> None:
    with pagelake.connect(two_tables, settings=NO_HOT) as db:
        name = segment_of(db, "t")
    (two_tables / name).unlink()
    with pagelake.connect(two_tables, settings=NO_HOT) as db:
        with pytest.raises(pagelake.Corrupt, match="missing") as caught:
            db.execute("SELECT sum(a) FROM t").fetchall()
        assert caught.value.file == name
        assert db.execute("SELECT count(b) FROM u").fetchall() == [(130_000,)]


def test_a_damaged_record(db: pagelake.Connection, store_path: Path) -> None:
    db.execute("CREATE TABLE t (a INTEGER)")
    for number in range(3):
        db.execute("INSERT INTO t VALUES (?)", [number])
    db.close()
    name = "log/00000000000000000003"
    flip(store_path / name, -1)
    with pytest.raises(pagelake.Corrupt, match="read_only=True") as caught:
        pagelake.connect(store_path)
    assert caught.value.file == name
    with pagelake.connect(store_path, read_only=True) as reader:
        assert reader.execute("SELECT a FROM t").fetchall() == [(0,)]
        with pytest.raises(pagelake.Denied):
            reader.execute("INSERT INTO t VALUES (9)")


def test_a_damaged_checkpoint_costs_nothing(db: pagelake.Connection, store_path: Path) -> None:
    db.execute("CREATE TABLE t AS SELECT 1 AS a")
    db.execute("CALL pagelake.checkpoint()")
    db.close()
    (checkpoint,) = (store_path / "log/checkpoints").iterdir()
    flip(checkpoint, -1)
    with pagelake.connect(store_path) as again:
        assert again.execute("SELECT a FROM t").fetchall() == [(1,)]
        again.execute("INSERT INTO t VALUES (2)")


def hot_file(path: Path) -> Path:
    (file,) = (path / "hot").glob("*.duckdb")
    return file


EXPECTED = [(200_000, 200_000 * 199_999 // 2)]
CHECK = "SELECT count(*), sum(a)::BIGINT FROM t"


@pytest.fixture
def hot_store(store_path: Path) -> Path:
    with pagelake.connect(store_path) as db:
        db.execute(f"CREATE TABLE t AS {BULK.format(200_000)}")
    hot_file(store_path)
    return store_path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.4, 0.6, 0.8, 0.999])
def test_a_damaged_hot_segment_costs_no_answer(hot_store: Path, share: float) -> None:
    """Whatever is wrong with a derived file, the truth is read instead."""
    file = hot_file(hot_store)
    content = bytearray(file.read_bytes())
    at = min(int(len(content) * share), len(content) - 64)
    content[at : at + 64] = bytes(b ^ 0xFF for b in content[at : at + 64])
    file.write_bytes(content)
    with pagelake.connect(hot_store) as db:
        assert db.execute(CHECK).fetchall() == EXPECTED
        assert (
            db.execute("SELECT a, b FROM t WHERE a = 150000").fetchall()
            == db.execute("SELECT 150000::BIGINT, hash(150000::BIGINT)").fetchall()
        )
        assert len(db.execute("SELECT b FROM t").fetchall()) == 200_000
        db.execute("DELETE FROM t WHERE a = 5")
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(199_999,)]


@pytest.mark.parametrize("content", [b"", b"junk" * 5_000], ids=["empty", "junk"])
def test_a_file_that_is_no_hot_segment(hot_store: Path, content: bytes) -> None:
    hot_file(hot_store).write_bytes(content)
    with pagelake.connect(hot_store) as db:
        assert db.execute(CHECK).fetchall() == EXPECTED


def test_the_hot_folder_is_deleted(hot_store: Path) -> None:
    with pagelake.connect(hot_store) as db:
        assert db.execute(CHECK).fetchall() == EXPECTED
        shutil.rmtree(hot_store / "hot")
        assert db.execute(CHECK).fetchall() == EXPECTED
    with pagelake.connect(hot_store) as db:
        assert db.execute(CHECK).fetchall() == EXPECTED
    shutil.rmtree(hot_store / "hot")
    with pagelake.connect(hot_store, read_only=True) as db:
        assert db.execute(CHECK).fetchall() == EXPECTED


# No room


class Full:
    """A connection to a store on a device that can be full."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device = FullDevice(LocalDevice(path, create=True))
        with monkeypatch.context() as patch:
            patch.setattr(
                "pagelake.engine.database._device",
                lambda *_args, **_kwargs: (str(path), "test", self.device),
            )
            self.db = Connection(Database(path, settings=NO_HOT))

    def segments(self) -> list[str]:
        return self.device.list("segments")


@pytest.mark.parametrize("statement", ["CREATE TABLE u AS {}", "INSERT INTO t {}"])
def test_a_device_that_is_full_at_any_moment(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """The transaction fails whole, the space comes back, and the next one finds the store whole."""
    full = Full(store_path, monkeypatch)
    with full.db as db:
        db.execute("CREATE TABLE t (a BIGINT, b UBIGINT)")
        sql = statement.format(BULK.format(250_000))
        calls = 0
        while True:
            full.device.room, full.device.refused = calls, 0
            try:
                db.execute(sql)
            except pagelake.StorageFull:
                full.device.room = None
                assert db.table_names() == ["t"]
                assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
                assert full.segments() == []
                calls += 1
                continue
            break
        assert full.device.refused == 0
        assert calls >= 8, "a segment, two columns of three row groups, and the record"
        full.device.room = None
        table = "u" if "u" in db.table_names() else "t"
        assert db.execute(f"SELECT count(*) FROM {table}").fetchall() == [(250_000,)]
        assert len(full.segments()) == 1
    with pagelake.connect(store_path) as again:
        assert again.execute(f"SELECT count(*) FROM {table}").fetchall() == [(250_000,)]


def test_a_full_device_aborts_an_explicit_transaction(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Full(store_path, monkeypatch)
    with full.db as db:
        db.execute("CREATE TABLE t (a BIGINT, b UBIGINT)")
        db.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (1, 1)")
        full.device.room = 2
        with pytest.raises(pagelake.StorageFull):
            db.execute(f"INSERT INTO t {BULK.format(130_000)}")
        with pytest.raises(pagelake.TransactionAborted):
            db.execute("SELECT 1")
        db.execute("ROLLBACK")
        db.execute("BEGIN")
        full.device.room = None
        db.execute("INSERT INTO t VALUES (2, 2)")
        full.device.room = 0
        with pytest.raises(pagelake.StorageFull):
            db.execute("COMMIT")
        full.device.room = None
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
        db.execute("INSERT INTO t VALUES (3, 3)")
        assert db.execute("SELECT a FROM t").fetchall() == [(3,)]
        assert full.segments() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system takes privileges")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_small_disk(small_disk: Path) -> None:
    path = small_disk / "test.lake"
    with pagelake.connect(path, settings=NO_HOT) as db:
        db.execute("CREATE TABLE t (a BIGINT, b UBIGINT)")
        free = shutil.disk_usage(small_disk).free
        for _ in range(2):
            with pytest.raises(pagelake.StorageFull):
                db.execute(f"INSERT INTO t {BULK.format(600_000)}")
        assert shutil.disk_usage(small_disk).free == free
        db.execute("INSERT INTO t VALUES (1, 1)")
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pagelake.connect(path, settings=NO_HOT) as db:
        with pytest.raises(pagelake.StorageFull):
            db.execute("INSERT INTO t VALUES (2, 2)")
        assert db.execute("SELECT a FROM t").fetchall() == [(1,)]
        ballast.unlink()
        db.execute("INSERT INTO t VALUES (3, 3)")
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(2,)]


def test_a_limit_on_the_size_of_files(store_path: Path) -> None:
    """The operating system's own refusal: a file may not grow any further."""
    with pagelake.connect(store_path, settings=NO_HOT) as db:
        db.execute("CREATE TABLE t (a BIGINT, b UBIGINT)")
        db.execute("INSERT INTO t VALUES (1, 1)")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            with pytest.raises(pagelake.StorageFull):
                db.execute(f"INSERT INTO t {BULK.format(250_000)}")
            db.execute("INSERT INTO t VALUES (2, 2)")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert os.listdir(store_path / "segments") == []
        db.execute(f"INSERT INTO t {BULK.format(250_000)}")
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(250_002,)]


# Rows


def test_a_malformed_csv_names_the_line(db: pagelake.Connection, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n" + "".join(f"{i},x\n" for i in range(20)) + "seven,x\n")
    db.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
    with pytest.raises(pagelake.DataError, match=r"(?i)line:? 22"):
        db.execute(f"COPY t FROM '{file}' (HEADER)")
    file.write_text("a,b\n1,x\n2,y,z\n")
    with pytest.raises(pagelake.DataError, match=r"(?i)line:? 3"):
        db.execute(f"COPY t FROM '{file}' (HEADER)")
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "absent.arrow", "absent.json"])
def test_copy_from_a_file_that_is_not_there(db: pagelake.Connection, name: str) -> None:
    db.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(pagelake.Error, match="absent"):
        db.execute(f"COPY t FROM '/nowhere/{name}'")


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "json"])
def test_copy_from_junk(db: pagelake.Connection, tmp_path: Path, suffix: str) -> None:
    db.execute("CREATE TABLE t (a INTEGER)")
    file = tmp_path / f"junk.{suffix}"
    file.write_bytes(b"this is not what its name says" * 10)
    with pytest.raises(pagelake.Error):
        db.execute(f"COPY t FROM '{file}'")
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


def test_append_of_the_wrong_type_names_the_column(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (a INTEGER, b DATE)")
    good = {"a": pa.array([1])}
    with pytest.raises(pagelake.TypeMismatch, match='"b"') as caught:
        db.append("t", pa.table({**good, "b": pa.array(["no date"])}))
    assert caught.value.column == "b"
    with pytest.raises(pagelake.InvalidRequest, match="surplus"):
        db.append("t", pa.table({**good, "surplus": pa.array([1])}))
    with pytest.raises(pagelake.InvalidRequest):
        db.append("t", [1, 2])
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(0,)]


# The connection


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_connection_does_not_cross_a_fork(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t AS SELECT 1 AS a")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            db.execute("SELECT 1")
        except pagelake.ForkedConnection:
            os.write(writing, b"refused")
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"refused"
    assert db.execute("SELECT a FROM t").fetchall() == [(1,)], "the parent's still works"


def test_a_closed_connection_says_so(db: pagelake.Connection) -> None:
    cursor = db.cursor()
    db.close()
    db.close()
    for use in (
        lambda: db.execute("SELECT 1"),
        lambda: db.sql("SELECT 1"),
        lambda: db.executemany("SELECT ?", [[1]]),
        lambda: db.append("t", pa.table({"a": [1]})),
        lambda: cursor.execute("SELECT 1"),
        db.cursor,
    ):
        with pytest.raises(pagelake.Closed):
            use()


# Shapes and names

NAMES = [
    'a "quoted" name',
    "it's",
    "line\nbreak",
    "żółw 🐢",
    "semi;colon -- comment /*",
    "x" * 10_000,
    "SELECT",
    "../../etc/passwd",
    " ",
    "a.b.c",
    "%s {} $1 ?",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:20]))
def test_hostile_names(store_path: Path, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    with pagelake.connect(store_path) as db:
        db.execute(f"CREATE SCHEMA {quoted}")
        table = f"{quoted}.{quoted}"
        db.execute(f"CREATE TABLE {table} ({quoted} INTEGER)")
        db.execute(f"INSERT INTO {table} VALUES (1), (2)")
        db.execute(f"INSERT INTO {table} ({quoted}) VALUES (?)", [3])
        db.execute(f"UPDATE {table} SET {quoted} = {quoted} + 10 WHERE {quoted} = 2")
        db.execute(f"DELETE FROM {table} WHERE {quoted} = 1")
        db.execute(f"CREATE VIEW {quoted}.v AS SELECT * FROM {table}")
    with pagelake.connect(store_path) as db:
        expected = [(3,), (12,)]
        assert db.execute(f"SELECT {quoted} FROM {table} ORDER BY ALL").fetchall() == expected
        assert db.execute(f"SELECT * FROM {quoted}.v ORDER BY ALL").fetchall() == expected
        assert db.table_names(name) == sorted([name, "v"])
        db.execute(f"DROP VIEW {quoted}.v")
        db.execute(f"DROP TABLE {table}")
        db.execute(f"DROP SCHEMA {quoted}")


def test_five_hundred_columns(store_path: Path) -> None:
    names = [f"c{number}" for number in range(500)]
    columns = ", ".join(f"{name} INTEGER" for name in names)
    with pagelake.connect(store_path) as db:
        db.execute(f"CREATE TABLE wide ({columns})")
        db.execute(f"INSERT INTO wide VALUES ({', '.join(map(str, range(500)))})")
        values = ", ".join(f"i + {number}" for number in range(500))
        db.execute(f"INSERT INTO wide SELECT {values} FROM range(1, 1000) r(i)")
        db.execute("UPDATE wide SET c499 = -1 WHERE c0 = 500")
    with pagelake.connect(store_path) as db:
        row = db.execute("SELECT * FROM wide WHERE c0 = 7").fetchall()
        assert row == [tuple(range(7, 507))]
        assert db.execute("SELECT count(*), sum(c499) FROM wide").fetchall() == [
            (1000, sum(range(499, 1499)) - 1 - 999)
        ]


@pytest.mark.parametrize("rows", [0, 3, 130_000])
def test_tables_of_nothing_survive(store_path: Path, rows: int) -> None:
    """No rows at all, and rows of NULLs alone, in every kind of column."""
    types = ["INTEGER", "VARCHAR", "DECIMAL(38,9)", "DOUBLE", "INTEGER[]", "STRUCT(a DATE)", "UUID"]
    columns = ", ".join(f"c{n} {type_}" for n, type_ in enumerate(types))
    with pagelake.connect(store_path) as db:
        db.execute(f"CREATE TABLE t ({columns})")
        db.execute(f"INSERT INTO t SELECT {', '.join(['NULL'] * 7)} FROM range({rows})")
        db.execute("CREATE TABLE copied AS SELECT * FROM t")
    with pagelake.connect(store_path) as db:
        for table in ("t", "copied"):
            counts = ", ".join(f"count(c{n})" for n in range(7))
            found = db.execute(f"SELECT count(*), {counts} FROM {table}").fetchall()
            assert found == [(rows, *[0] * 7)]
            described = db.execute(f"SELECT * FROM {table} LIMIT 0").description
            assert [str(c[0]) for c in described] == [f"c{n}" for n in range(7)]
