"""Mounting and unmounting, and what is said when it cannot be done."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from pagelake import Denied, InvalidRequest, Unavailable, Unsupported
from pagelake.engine.cli import cli
from pagelake.engine.database import Database
from pagelake.engine.fuse import mounting
from pagelake.engine.fuse.mounted import Mounted, MountRequest
from pagelake.engine.fuse.mounting import MountOptions

from .mounts import require_mounts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there is one, for what is refused before it is opened."""
    monkeypatch.setattr(mounting, "DEVICE", "/dev/null")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing else is looked at")
@pytest.mark.usefixtures("device")
def test_places_that_cannot_be_mounted_on(tmp_path: Path) -> None:
    store = tmp_path / "my.lake"
    (store / "inside").mkdir(parents=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for directory, told in (
        (tmp_path / "none", "does not exist"),
        (tmp_path / "full/file", "is not a directory"),
        (tmp_path / "full", "would hide file"),
        (store / "inside", "lie in one another"),
    ):
        with pytest.raises(InvalidRequest, match=told):
            mounting.require_mountable(directory, store)
    with pytest.raises(InvalidRequest, match="not a pagelake mount"):
        mounting.unmount(tmp_path / "full")


def test_a_system_without_fuse_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting, "DEVICE", str(tmp_path / "none"))
    with pytest.raises(Unsupported):
        mounting.require_mountable(tmp_path, tmp_path / "store")


def test_ordinary_users_need_the_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="fusermount3") as caught:
        mounting.mount(tmp_path, MountOptions("x"))
    assert "fuse3" in str(caught.value)
    helper = tmp_path / "fusermount3"
    helper.write_text("#!/bin/sh\necho 'option allow_other needs user_allow_other' >&2\nexit 1\n")
    helper.chmod(0o755)
    with pytest.raises(Denied, match="allow-other"):
        mounting.mount(tmp_path, MountOptions("x", allow_other=True))


def test_the_helper_mounts_as_root_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_mounts()
    if mounting.shutil.which("fusermount3") is None:
        pytest.skip("no fusermount3")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    directory = tmp_path / "with space, comma"
    directory.mkdir()
    descriptor = mounting.mount(directory, MountOptions("pagelake:a,b", read_only=True))
    try:
        assert mounting.mounted_at(directory)
    finally:
        mounting.unmount(directory)
        os.close(descriptor)
    assert not mounting.mounted_at(directory)


def test_a_mount_in_the_background(tmp_path: Path) -> None:
    require_mounts()
    store, directory = tmp_path / "my.lake", tmp_path / "mount"
    directory.mkdir()
    run = CliRunner().invoke
    done = run(cli, ["mount", str(store), str(directory), "--log", str(tmp_path / "log")])
    try:
        assert done.exit_code == 0, done.output
        assert f"pagelake unmount {directory}" in done.output
        (directory / "f").write_text("there")
        with pytest.raises(InvalidRequest, match="is a pagelake mount already"):
            mounting.require_mountable(directory, store)
        with open(directory / "f") as file:
            busy = run(cli, ["unmount", str(directory)])
            assert isinstance(busy.exception, Unavailable)
            assert "--lazy" in str(busy.exception)
            assert file.read() == "there"
    finally:
        ended = run(cli, ["unmount", str(directory)])
    assert ended.exit_code == 0, ended.output
    assert os.listdir(directory) == []
    assert (tmp_path / "log").read_text() == ""


def test_what_prevents_a_mount_in_the_background_is_told(tmp_path: Path) -> None:
    """The process that was to serve it tells its parent, which ends with the same status."""
    (tmp_path / "store.json").write_text("{}")
    (tmp_path / "mount").mkdir()
    words = ["mount", str(tmp_path), str(tmp_path / "mount")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 66
    assert "error: store.json is not a store's" in done.stderr


def test_ending_a_mount_that_is_in_use_commits_what_was_written(tmp_path: Path) -> None:
    require_mounts()
    directory = tmp_path / "mount"
    directory.mkdir()
    database = Database(tmp_path / "my.lake")
    mounted = Mounted(database, MountRequest(directory))
    try:
        file = os.open(directory / "f", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"not closed")
        assert not mounted.stop(patience_s=0.01), "it waits a while for who still uses it"
        assert not mounting.mounted_at(directory)
        with database.files.snapshot() as files:
            reader = files.read(files.get("/f"))
            assert reader.read_at(0, 100) == b"not closed"
            reader.close()
        os.close(file)
        assert mounted.wait(10)
    finally:
        mounted.stop()
        mounted.close()
        database.close()
