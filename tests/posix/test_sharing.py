"""What one process sees of another: close-to-open, whole closes, the past."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from pagelake import Unavailable
from pagelake.engine.database import Database
from pagelake.engine.fuse import mounting
from pagelake.engine.fuse.mounted import Mounted, MountRequest
from pagelake.storage.files.operations import Create, SetAttributes, Write
from pagelake.storage.files.removal import Unlink
from pagelake.storage.files.renaming import Rename

from .mounts import MountProcess, assert_soon, require_mounts
from .test_names import refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def other(store: Path) -> Iterator[Database]:
    """The store as another process has it: this one."""
    database = Database(store)
    yield database
    database.close()


def content_of(database: Database, path: str) -> bytes | None:
    with database.files.snapshot() as files:
        element = files.find(path)
        if element is None:
            return None
        reader = files.read(element)
        try:
            return reader.read_at(0, element.size)
        finally:
            reader.close()


def test_what_was_closed_is_seen_by_others_at_once(place: Path, other: Database) -> None:
    path = f"/{place.name}/f"
    with open(place / "f", "wb") as file:
        assert content_of(other, path) == b""
        file.write(b"not yet")
        file.flush()
        assert content_of(other, path) == b"", "before it is closed nothing is seen"
        os.fsync(file.fileno())
        assert content_of(other, path) == b"not yet"
        file.write(b" and more")
        file.flush()
        assert content_of(other, path) == b"not yet"
    assert content_of(other, path) == b"not yet and more"
    os.rename(place / "f", place / "g")
    assert content_of(other, path) is None


def test_what_others_have_written_is_seen_by_the_next_open(place: Path, other: Database) -> None:
    path = place / "f"
    path.write_bytes(b"mine")
    for number in range(5):
        theirs = (b"theirs %d " % number) * (1 + number * 500)
        other.files.run(Write(f"/{place.name}/f", other.files.content.inline(theirs)))
        assert path.read_bytes() == theirs
    # Without a new open the page cache is told.
    with open(path, "rb") as file:
        other.files.run(Write(f"/{place.name}/f", other.files.content.inline(b"at last")))
        assert_soon(lambda: os.pread(file.fileno(), 100, 0) == b"at last")


def test_names_and_attributes_of_others_are_seen_soon(place: Path, other: Database) -> None:
    root, files = f"/{place.name}", other.files
    assert os.listdir(place) == []
    assert not (place / "new").exists()
    files.run(Create(f"{root}/new", files.content.inline(b"here")))
    assert_soon((place / "new").exists)
    assert (place / "new").read_bytes() == b"here"
    files.run(SetAttributes(f"{root}/new", {"nfs_mode_bits": 0o600, "user_tags": {"a": "b"}}))
    assert_soon(lambda: (place / "new").stat().st_mode & 0o777 == 0o600)
    assert os.getxattr(place / "new", "user.pagelake.tag.a") == b"b"
    os.setxattr(place / "new", "user.who", b"me")
    with files.snapshot() as seen:
        element = seen.get(f"{root}/new")
        assert (element.user_tags, element.user_metadata) == ({"a": "b"}, {"who": "me"})
    inode = (place / "new").stat().st_ino
    files.run(Rename(f"{root}/new", f"{root}/moved"))
    assert_soon(lambda: os.listdir(place) == ["moved"] and not (place / "new").exists())
    assert (place / "moved").stat().st_ino == inode == element.handle
    with open(place / "moved", "rb") as file:
        files.run(Unlink(f"{root}/moved"))
        assert_soon(lambda: not (place / "moved").exists())
        assert file.read() == b"here", "who has it open keeps it"


def test_an_exclusive_create_sees_that_of_another_process(place: Path, other: Database) -> None:
    assert not (place / "lock").exists()  # the kernel remembers that there is none
    other.files.run(Create(f"/{place.name}/lock"))
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    refused(errno.EEXIST, os.open, place / "lock", flags)
    other.files.run(Create(f"/{place.name}/plain", other.files.content.inline(b"theirs")))
    with open(place / "plain", "ab") as file:
        file.write(b" mine")
    assert (place / "plain").read_bytes() == b"theirs mine"


def test_a_killed_mount_leaves_whole_closes_only(tmp_path: Path) -> None:
    require_mounts()
    store, directory = tmp_path / "my.lake", tmp_path / "mount"
    process = MountProcess(store, directory)
    try:
        (directory / "closed").write_bytes(b"x" * 100_000)
        (directory / "replaced").write_bytes(b"before")
        with open(directory / "synced", "wb") as synced, open(directory / "open", "wb") as left:
            synced.write(b"safe")
            synced.flush()
            os.fsync(synced.fileno())
            synced.write(b" and not")
            left.write(b"y" * 6_000_000)
            replaced = os.open(directory / "replaced", os.O_WRONLY | os.O_TRUNC)
            os.write(replaced, b"af")
            process.process.kill()
            process.process.wait()
            refused(errno.ENOTCONN, os.close, replaced)
            # Their buffers cannot be written any more.
            for file in (synced, left):
                refused(errno.ENOTCONN, file.close)
            # What is left of the mount is in the way, until it is removed.
            with pytest.raises(Unavailable, match="has ended") as caught:
                mounting.require_mountable(directory, store)
            assert "pagelake unmount" in str(caught.value)
    finally:
        process.end()
    database = Database(store)
    try:
        assert content_of(database, "/closed") == b"x" * 100_000
        assert content_of(database, "/synced") == b"safe"
        assert content_of(database, "/open") == b""
        assert content_of(database, "/replaced") == b"before"
    finally:
        database.close()


def test_the_past_is_mounted_read_only(place: Path, other: Database, tmp_path: Path) -> None:
    (place / "f").write_bytes(b"then")
    version = other.store.snapshot().version
    (place / "f").write_bytes(b"now")
    os.unlink(place / "f")
    past = tmp_path / "past"
    past.mkdir()
    mounted = Mounted(other, MountRequest(past, version=version))
    try:
        assert (past / place.name / "f").read_bytes() == b"then"
        refused(errno.EROFS, os.unlink, past / place.name / "f")
        refused(errno.EROFS, os.mkdir, past / "d")
        refused(errno.EROFS, os.open, past / place.name / "f", os.O_WRONLY)
    finally:
        assert mounted.stop()
        mounted.close()
