"""Paths on the command line: in a store, or local."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pagelake import InvalidRequest
from pagelake.engine.transfer.place import parse_place, require_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("written", "store", "path", "name", "into"),
    [
        ("demo.lake:/a/b", "demo.lake", "/a/b", "b", False),
        ("demo.lake:/a//./b/", "demo.lake", "/a/b", "b", True),
        ("/srv/demo.lake:/a:/b", "/srv/demo.lake", "/a:/b", "b", False),
        ("demo.lake:", "demo.lake", "/", "", True),
        ("./demo.lake:/", "./demo.lake", "/", "", True),
        ("demo.lake:/a/.", "demo.lake", "/a", "", False),
        ("demo.lake:/caf\udce9", "demo.lake", "/caf\U0010ffe9", "caf\U0010ffe9", False),
        ("a/b", None, "a/b", "b", False),
        ("a/", None, "a/", "a", True),
        ("a/.", None, "a/.", "", False),
        (".", None, ".", "", False),
        ("a/b:c", None, "a/b:c", "b:c", False),
        ("caf\udce9", None, "caf\udce9", "caf\U0010ffe9", False),
        ("file:///tmp/odd:/name", None, "/tmp/odd:/name", "name", False),
        ("file://odd:name", None, "odd:name", "odd:name", False),
    ],
)
def test_what_is_written_is_understood(
    written: str, store: str | None, path: str, name: str, into: bool
) -> None:
    place = parse_place(written)
    assert (place.store, place.path, place.name, place.into) == (store, path, name, into)
    if store is None:
        assert os.fsdecode(place.local) == path


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("demo.lake:raw/a", "write demo.lake:/raw/a or file://demo.lake:raw/a"),
        ("s3://bucket/a", "a path in a store is written STORE:/path"),
        ("demo.lake:/a/../b", "without '..'"),
        ("demo.lake:/" + "n" * 256, "names of at most 255 bytes"),
        ("demo.lake:/a\0", "without '..'"),
        ("", None),
        ("a\0b", None),
    ],
)
def test_what_is_in_doubt_is_refused(written: str, hint: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_place(written)
    assert hint is None or hint in str(caught.value.hint)


def test_a_store_may_be_asked_for() -> None:
    assert require_store("demo.lake:/a").path == "/a"
    with pytest.raises(InvalidRequest, match="not in a store: a"):
        require_store("a")


def test_a_terminal_is_shown_a_summary(
    tmp_path: Path, run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x" * 3000)
    assert run("cp", "-r", "d", "my.lake:/")[2] == ""  # type: ignore[operator]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    told = run("cp", "-r", "my.lake:/d", "out")[2]  # type: ignore[operator]
    assert "1 file and 1 directory, 2.9 KiB, in " in told
    assert run("cp", "-r", "-q", "my.lake:/d", "quiet")[2] == ""  # type: ignore[operator]
