"""What the kernel tells of a tree, by fanotify and by inotify."""

from __future__ import annotations

import os
import select
import struct
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import LimitExceeded, Unsupported
from pagelake.extensions.catalog.rescan.network import racy_seconds
from pagelake.extensions.catalog.watching import watcher as watcher_module
from pagelake.extensions.catalog.watching.watcher import Area, Events, Watcher, open_watcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")

if sys.platform == "linux":
    from pagelake.extensions.catalog.watching import fanotify, inotify


@pytest.fixture(params=["fanotify", "inotify"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Watcher]]:
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "store").mkdir()
    area = Area(os.fsencode(root), (os.fsencode(root / "store"),))
    if request.param == "fanotify":
        try:
            made: Watcher = fanotify.FanotifyWatcher(area)
        except fanotify.NotPermitted as error:
            pytest.skip(f"fanotify: {error}")
    else:
        made = inotify.InotifyWatcher(area)
    with closing(made) as watcher:
        yield root, watcher


def events(root: Path, watcher: Watcher) -> set[str]:
    """Return what is dirty, relative to the root."""
    select.select([watcher], [], [], 5)
    found = watcher.read()
    assert not found.lost
    return {os.path.relpath(os.fsdecode(path), root) for path in found.dirty}


def test_changes_are_told_by_their_directories(watched: tuple[Path, Watcher]) -> None:
    root, watcher = watched
    (root / "a" / "f").touch()
    assert events(root, watcher) == {"a"}
    (root / "a" / "f").write_text("more")
    assert events(root, watcher) == {"a"}
    (root / "a" / "f").rename(root / "a" / "b" / "f")
    assert events(root, watcher) == {"a", "a/b"}
    (root / "a" / "b" / "f").chmod(0o600)
    assert events(root, watcher) == {"a/b"}
    (root / "a" / "b" / "f").unlink()
    assert events(root, watcher) == {"a/b"}
    root.chmod(0o700)
    assert events(root, watcher) == {"."}


def test_directories_that_come_or_move_are_watched(watched: tuple[Path, Watcher]) -> None:
    root, watcher = watched
    (root / "n" / "m").mkdir(parents=True)
    assert {"."} <= events(root, watcher) <= {".", "n", "n/m"}
    (root / "n" / "m" / "f").touch()
    assert events(root, watcher) == {"n/m"}
    (root / "n").rename(root / "a" / "o")
    assert {".", "a"} <= events(root, watcher) <= {".", "a", "a/o", "a/o/m"}
    (root / "a" / "o" / "m" / "g").touch()
    assert events(root, watcher) == {"a/o/m"}


def test_reading_and_the_store_are_no_events(watched: tuple[Path, Watcher]) -> None:
    root, watcher = watched
    (root / "store" / "page").write_text("ours")
    (root / "a").stat()
    os.listdir(root / "a")
    assert watcher.read() == Events(set())
    (root / "a" / "last").touch()
    assert events(root, watcher) == {"a"}


def test_names_of_any_bytes_are_told(watched: tuple[Path, Watcher]) -> None:
    root, watcher = watched
    odd = os.fsencode(root) + b"/caf\xe9\nx"
    os.mkdir(odd)
    watcher.read()
    with open(odd + b"/f", "wb"):
        pass
    select.select([watcher], [], [], 5)
    assert odd in watcher.read().dirty


def test_what_the_kernel_drops_is_noticed(watched: tuple[Path, Watcher]) -> None:
    _, watcher = watched
    if isinstance(watcher, inotify.InotifyWatcher):
        found = Events()
        watcher._take(-1, inotify.Q_OVERFLOW, b"", found)
        assert found.lost
    else:
        overflow = fanotify.EVENT.pack(fanotify.EVENT.size, 3, 0, 24, fanotify.Q_OVERFLOW, -1, 0)
        assert fanotify.parse(overflow, {})


def test_events_are_parsed_to_handles_and_names() -> None:
    handle = fanotify.HANDLE.pack(4, 1) + b"\x01\x02\x03\x04"
    body = struct.pack("<ii", 7, 8) + handle + b"name\0\0\0"
    info = fanotify.INFO.pack(fanotify.DIRECTORY_AND_NAME, 0, 4 + len(body)) + body
    event = fanotify.EVENT.pack(fanotify.EVENT.size + len(info), 3, 0, 24, 0x100, -1, 1) + info
    named: dict[bytes, set[bytes]] = {}
    assert not fanotify.parse(event * 2, named)
    assert named == {handle: {b"name"}}


def test_too_many_directories_are_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "EVENTS", 0)
    monkeypatch.setattr(inotify.ctypes, "get_errno", lambda: 28)
    monkeypatch.setattr(inotify, "FLAGS", 0)
    with pytest.raises(LimitExceeded, match="more directories than may be watched"):
        open_watcher(Area(os.fsencode(tmp_path)), ("inotify",))


def test_systems_without_a_way_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module.sys, "platform", "darwin")
    with pytest.raises(Unsupported, match="cannot be watched"):
        open_watcher(Area(os.fsencode(tmp_path)))


MOUNTS = b"""\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:40 / /mnt/far\\040away rw - nfs4 server:/x rw
3 1 0:41 / /mnt/far\\040away/near rw - tmpfs none rw
4 1 0:42 / /fuse rw - fuse.sshfs x rw
"""


@pytest.mark.parametrize(
    ("root", "seconds"),
    [
        (b"/home", 2.0),
        (b"/mnt", 120.0),
        (b"/mnt/far away/sub", 120.0),
        (b"/mnt/far away/near", 2.0),
        (b"/mnt/far", 2.0),
        (b"/fuse/x", 120.0),
        (b"/", 120.0),
    ],
)
def test_network_file_systems_have_coarse_clocks(
    root: bytes, seconds: float, tmp_path: Path
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(MOUNTS)
    assert racy_seconds(root, mounts) == seconds
    assert racy_seconds(root, tmp_path / "none") == 2.0
