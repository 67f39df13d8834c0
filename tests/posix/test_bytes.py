"""Bytes: written anywhere, cut, mapped, read back; open files without a name."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import random
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bench.mount import measure

if TYPE_CHECKING:
    from pathlib import Path

KEEP_SIZE, PUNCH_HOLE = 1, 2


@pytest.mark.parametrize("seed", range(3))
def test_random_writes_give_what_a_plain_file_gives(place: Path, tmp_path: Path, seed: int) -> None:
    """Sizes around every border: inline, held in memory, streamed, edited."""
    chance = random.Random(seed)
    paths = place / "f", tmp_path / "f"
    flags = os.O_RDWR | os.O_CREAT
    files = [os.open(path, flags) for path in paths]
    reach = chance.choice([20_000, 100_000, 5_000_000])
    for step in range(120):
        offset = chance.randrange(reach)
        content = chance.randbytes(chance.choice([1, 100, 4096, 70_000]))
        kind = chance.choice("wwwwrtefco")
        answers = []
        for number, path in enumerate(paths):
            file = files[number]
            if kind == "w":
                answers.append(os.pwrite(file, content, offset))
            elif kind == "r":
                answers.append(os.pread(file, len(content), offset))
            elif kind == "e":  # at the end
                answers.append(os.pwrite(file, content, os.fstat(file).st_size))
            elif kind == "t" and step % 3:
                os.ftruncate(file, offset)
            elif kind == "f":
                os.fsync(file)
            elif kind == "c":
                os.close(file)
                files[number] = os.open(path, flags)
            elif kind == "o" and not step % 4:
                os.close(file)
                files[number] = os.open(path, flags | os.O_TRUNC)
            answers.append(os.fstat(files[number]).st_size)
        assert answers[: len(answers) // 2] == answers[len(answers) // 2 :], (seed, step, kind)
    for file in files:
        os.close(file)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_stream_that_is_patched_and_read_before_it_is_closed(place: Path) -> None:
    block = random.Random(7).randbytes(1 << 20)
    with open(place / "f", "w+b") as file:
        for _ in range(6):
            file.write(block)
        file.seek(0)
        file.write(b"header")
        file.seek(0)
        assert file.read(1 << 20) == b"header" + block[6:]
        file.seek(0, os.SEEK_END)
        file.write(b"tail")
    expected = b"header" + (block * 6)[6:] + b"tail"
    assert (place / "f").read_bytes() == expected


def test_append_overwrite_truncate(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"one")
    with open(path, "ab") as file:
        file.write(b" two")
    with open(path, "r+b") as file:
        file.write(b"ONE")
    assert path.read_bytes() == b"ONE two"
    os.truncate(path, 5)
    assert path.read_bytes() == b"ONE t"
    os.truncate(path, 100_000)
    assert path.read_bytes() == b"ONE t".ljust(100_000, b"\0")
    path.write_bytes(b"short")
    assert path.read_bytes() == b"short"
    with pytest.raises(OSError) as caught:
        os.truncate(path, 1 << 60)
    assert caught.value.errno == errno.EFBIG


def test_an_open_file_lives_on_without_a_name(place: Path) -> None:
    path = place / "f"
    path.write_bytes(b"before")
    with open(path, "r+b") as file:
        os.unlink(path)
        assert os.fstat(file.fileno()).st_nlink == 0
        assert file.read() == b"before"
        file.write(b"x" * 200_000)
        file.flush()
        os.fsync(file.fileno())
        assert os.fstat(file.fileno()).st_size == 200_006
        path.write_bytes(b"another")
        file.seek(0)
        assert file.read(8) == b"beforexx"
    assert path.read_bytes() == b"another"


def test_mappings(place: Path) -> None:
    path = place / "f"
    path.write_bytes(bytes(300_000))
    with open(path, "r+b") as file:
        mapping = mmap.mmap(file.fileno(), 300_000)
    # The descriptor is closed: what the mapping changes is committed when that goes.
    mapping[200_000:200_005] = b"there"
    mapping.flush()
    mapping.close()
    assert path.read_bytes()[199_999:200_006] == b"\0there\0"
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        assert view[200_000:200_005] == b"there"


def test_room_is_made_and_holes_are_punched(place: Path) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with open(place / "f", "w+b") as file:
        file.write(b"x" * 10_000)
        file.flush()
        os.posix_fallocate(file.fileno(), 0, 20_000)
        assert os.fstat(file.fileno()).st_size == 20_000
        hole = [ctypes.c_longlong(4_000), ctypes.c_longlong(2_000)]
        assert libc.fallocate(file.fileno(), KEEP_SIZE | PUNCH_HOLE, *hole) == 0
        assert libc.fallocate(file.fileno(), KEEP_SIZE, *hole) == 0
        assert libc.fallocate(file.fileno(), 8, *hole) == -1
        assert ctypes.get_errno() == errno.EOPNOTSUPP
    content = (place / "f").read_bytes()
    assert content == b"x" * 4_000 + bytes(2_000) + b"x" * 4_000 + bytes(10_000)


def test_locks_hold_between_processes(place: Path) -> None:
    path = place / "f"
    path.touch()
    program = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "for lock in (fcntl.lockf, fcntl.flock):\n"
        "    try: lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
        "    except BlockingIOError: print('taken')\n"
    )
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["taken", "free"]


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_sqlite_works(place: Path, journal: str) -> None:
    with sqlite3.connect(place / "db") as db:
        assert db.execute(f"PRAGMA journal_mode = {journal}").fetchone() == (journal,)
        db.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y TEXT)")
        for start in range(0, 300, 100):
            db.executemany(
                "INSERT INTO t VALUES (?, ?)", [(x, "y" * x) for x in range(start, start + 100)]
            )
            db.commit()
        db.execute("DELETE FROM t WHERE x % 3 = 0")
        db.commit()
    db.close()
    with sqlite3.connect(place / "db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*), sum(length(y)) FROM t").fetchone() == (200, 30_000)
    db.close()


def test_what_is_measured_of_a_mount(place: Path) -> None:
    found = measure(place, files=4, megabytes=1, pause_s=0)
    assert len(found) == 9
    assert min(found.values()) > 0
    assert (place / "large").stat().st_size == 1 << 20
