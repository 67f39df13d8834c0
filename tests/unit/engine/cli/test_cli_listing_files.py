"""`pagelake ls`, `du`, `tree` and `tag`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from pagelake.engine.cli import main
from pagelake.engine.transfer.cli_list import ls

if TYPE_CHECKING:
    from pathlib import Path

Run = "Callable[..., tuple[int, str, str]]"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> str:
    """A store with a tree."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t/a/b").mkdir(parents=True)
    (tmp_path / "t/a/b/2.csv").write_bytes(b"2" * 2000)
    (tmp_path / "t/a/1.csv").write_bytes(b"1" * 1000)
    (tmp_path / "t/.hidden").write_bytes(b"")
    (tmp_path / "t/link").symlink_to("a/1.csv")
    (tmp_path / "t/z").mkdir()
    (tmp_path / "t/a/1.csv").chmod(0o640)
    os.utime(tmp_path / "t/a/1.csv", (86400, 86400))
    assert run("cp", "-r", "-p", "t", "my.lake:/") == (0, "", "")
    return "my.lake"


def test_ls(run: Run, lake: str) -> None:
    assert run("ls", f"{lake}:") == (0, "t/\n", "")
    assert run("ls", f"{lake}:/t")[1] == ".hidden\na/\nlink\nz/\n"
    assert run("ls", "-d", f"{lake}:/t")[1] == "/t/\n"
    assert run("ls", "-r", f"{lake}:/t")[1].split("\n") == [
        "/t/.hidden", "/t/a/", "/t/a/1.csv", "/t/a/b/", "/t/a/b/2.csv", "/t/link", "/t/z/", "",
    ]  # fmt: skip
    assert run("ls", f"{lake}:/t/*/*.csv")[1] == "/t/a/1.csv\n"
    assert run("ls", "-l", f"{lake}:/t/a")[1].splitlines()[0].split()[4:] == [
        "1000", "1970-01-02", "00:00:00", "1.csv",
    ]  # fmt: skip
    long = run("ls", "-l", "-H", f"{lake}:/t/a/1.csv", f"{lake}:/t/link")[1].splitlines()
    assert long[0].startswith("-rw-r-----   1 ")
    assert " 1.0 KiB " in long[0]
    assert long[1].startswith("lrwxrwxrwx ")
    assert long[1].endswith(" /t/link -> a/1.csv")
    status, out, told = run("ls", f"{lake}:/none", f"{lake}:/t/z", f"{lake}:/t/*.bin")
    assert (status, out) == (1, "")
    assert told.count("error: No such file or directory: ") == 2


def test_ls_as_json(run: Run, lake: str) -> None:
    found = json.loads(run("ls", "--json", f"{lake}:/t/a")[1])
    assert [(each["name"], each["type"], each["size"]) for each in found] == [
        ("1.csv", "FILE", 1000), ("b", "DIR", 0),
    ]  # fmt: skip
    assert found[0]["mtime"] == "1970-01-02T00:00:00.000000000Z"
    assert (found[0]["mode"], found[0]["path"], found[0]["tags"]) == ("0640", "/t/a/1.csv", {})
    assert json.loads(run("ls", "--json", f"{lake}:/t/z")[1]) == []
    assert len(json.loads(run("ls", "--json", "-r", f"{lake}:")[1])) == 8


def test_names_are_printed_as_bytes_or_spelled_out(
    lake: str, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkdir("odd")
    for name in (b"caf\xe9", b"\x1b[31m"):
        with open(b"odd/" + name, "wb"):
            pass
    for arguments in (["cp", "-r", "odd", f"{lake}:/"], ["ls", f"{lake}:/odd"]):
        with pytest.raises(SystemExit):
            main(arguments)
    assert capfdbinary.readouterr().out == b"\x1b[31m\ncaf\xe9\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(SystemExit):
        main(["ls", f"{lake}:/odd"])
    assert capfdbinary.readouterr().out == b"\\x1b[31m\ncaf\xf4\x8f\xbf\xa9\n"


def test_du(run: Run, lake: str) -> None:
    assert run("du", f"{lake}:/t")[1] == (
        "0\t/t/z\n2000\t/t/a/b\n3000\t/t/a\n3007\t/t\n"
    )  # fmt: skip
    assert run("du", "-s", f"{lake}:/t", f"{lake}:/t/a/1.csv")[1] == "3007\t/t\n1000\t/t/a/1.csv\n"
    assert run("du", "-d", "1", f"{lake}:")[1] == "3007\t/t\n3007\t/\n"
    assert run("du", "-s", "-H", f"{lake}:/t/a")[1] == "2.9 KiB\t/t/a\n"
    assert json.loads(run("du", "-d", "0", "--json", f"{lake}:/t")[1]) == [
        {"path": "/t", "bytes": 3007, "used": 3000, "files": 4, "directories": 4},
    ]  # fmt: skip
    used = run("du", "--used", "-s", f"{lake}:/t")[1]
    assert used == "3000\t/t\n"


def test_tree(run: Run, lake: str) -> None:
    assert run("tree", "-s", f"{lake}:/t")[1] == (
        "/t\n"
        "├── .hidden  [0]\n"
        "├── a/\n"
        "│   ├── 1.csv  [1000]\n"
        "│   └── b/\n"
        "│       └── 2.csv  [2000]\n"
        "├── link -> a/1.csv\n"
        "└── z/\n"
        "\n"
        "3 directories, 4 files\n"
    )
    assert run("tree", "-L", "1", f"{lake}:/t/a")[1] == (
        "/t/a\n├── 1.csv\n└── b/\n\n1 directory, 1 file\n"
    )


def test_tag(run: Run, lake: str) -> None:
    assert run("tag", f"{lake}:/t/a/1.csv") == (0, "", "")
    assert run("tag", f"{lake}:/t/a/1.csv", "owner=ops", "note=a=b c") == (0, "", "")
    assert run("tag", f"{lake}:/t/a/1.csv", "owner=dev", "-d", "note")[0] == 0
    assert run("tag", f"{lake}:/t/a/1.csv")[1] == "owner=dev\n"
    assert run("tag", "-r", f"{lake}:/t/a", "all=1")[0] == 0
    assert run("tag", "-r", f"{lake}:/t")[1].splitlines() == [
        "/t/a\tall=1", "/t/a/1.csv\tall=1", "/t/a/1.csv\towner=dev",
        "/t/a/b\tall=1", "/t/a/b/2.csv\tall=1",
    ]  # fmt: skip
    assert json.loads(run("tag", "--json", f"{lake}:/t/a/1.csv")[1]) == [
        {"path": "/t/a/1.csv", "tags": {"all": "1", "owner": "dev"}}
    ]
    run("tag", f"{lake}:/t/a/b", "--delete", "all")
    assert run("tag", f"{lake}:/t/a/b")[1] == ""
    status, _, told = run("tag", f"{lake}:/t/a/b", "novalue")
    assert (status, "not KEY=VALUE" in told) == (65, True)
    assert run("tag", f"{lake}:/none", "a=b")[0] == 1


def test_help_has_examples(run: Run) -> None:
    for command in ("cp", "mv", "rm", "cat", "ls", "du", "tree", "tag"):
        status, out, _ = run(command, "--help")
        assert status == 0
        assert "Examples:" in out
        assert f"pagelake {command} " in out
    assert ls.name == "ls"
