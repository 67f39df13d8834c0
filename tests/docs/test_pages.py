"""What the pages about checking and backing up promise of Python and of exit statuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.errors import exit_code

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
_STATUS = re.compile(r"^\| (\d+) \| (.+?) \|$", re.MULTILINE)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    with pagelake.connect("my.lake") as db:
        db.execute("CREATE TABLE fruit AS SELECT i, 'f' || i AS name FROM range(1000) r(i)")
        db.execute("INSERT INTO fruit VALUES (-1, 'fresh')")
    yield tmp_path / "my.lake"


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (
            "check.md",
            {66: pagelake.NotAStore, 74: pagelake.Corrupt, 78: pagelake.FormatTooNew},
        ),
        (
            "backup.md",
            {
                65: pagelake.InvalidRequest,
                66: pagelake.NotAStore,
                74: pagelake.Corrupt,
                75: pagelake.StorageFull,
                77: pagelake.Denied,
            },
        ),
    ],
)
def test_exit_statuses_are_those_of_the_errors(
    page: str, told: dict[int, type[pagelake.Error]]
) -> None:
    listed = {int(status) for status, _ in _STATUS.findall((DOCS / page).read_text("utf-8"))}
    assert set(told) <= listed
    for status, kind in told.items():
        assert exit_code(kind("what happened")) == status


def test_check_and_backup_answer_in_python(lake: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    done = pagelake.backup(lake, "copy", progress=lambda *step: told.append(step))
    assert isinstance(done, pagelake.Backup)
    assert done.bytes_copied > 0
    assert pagelake.backup([lake], tmp_path / "copy").bytes_copied == 0
    report = pagelake.check("copy", progress=lambda *step: told.append(step))
    assert isinstance(report, pagelake.CheckReport)
    assert (report.damaged, report.repairs) == (0, ())
    assert told
    assert all(0 <= part <= whole for _, part, whole in told)


def test_a_repair_tells_what_it_did(lake: Path) -> None:
    with pagelake.connect(lake) as db:
        db.execute("CALL pagelake.checkpoint()")
    for checkpoint in (lake / "log/checkpoints").iterdir():
        content = bytearray(checkpoint.read_bytes())
        content[-1] ^= 1
        checkpoint.unlink()
        checkpoint.write_bytes(content)
    found = pagelake.check(lake)
    assert found.damaged > 0
    assert found.left == found.findings
    repaired = pagelake.check(lake, repair=True)
    assert repaired.findings == found.findings
    assert repaired.repairs
    assert all(repair.done for repair in repaired.repairs)
    assert repaired.damaged == 0
    assert pagelake.check(lake).damaged == 0


@pytest.mark.parametrize(
    ("store", "destination", "error"),
    [
        ("my.lake", "my.lake", pagelake.InvalidRequest),
        ("my.lake", "my.lake/inside", pagelake.InvalidRequest),
        ("my.lake", ".", pagelake.InvalidRequest),
        ("my.lake/log", "copy", pagelake.NotAStore),
        ("nothing", "copy", pagelake.NotAStore),
        ("file", "copy", pagelake.NotAStore),
        ("my.lake", "file", pagelake.NotAStore),
        ("my.lake", "full", pagelake.NotAStore),
    ],
)
def test_a_backup_that_cannot_be_is_refused_and_makes_nothing(
    lake: Path, store: str, destination: str, error: type[pagelake.Error]
) -> None:
    Path("file").write_text("no store")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("no store")
    before = sorted(Path().rglob("*"))
    with pytest.raises(error) as caught:
        pagelake.backup(store, destination)
    assert caught.value.hint
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("path", ["nothing", "file", "empty"])
def test_a_check_of_no_store_is_refused(lake: Path, path: str) -> None:
    Path("file").write_text("no store")
    Path("empty").mkdir()
    with pytest.raises(pagelake.NotAStore) as caught:
        pagelake.check(path)
    assert caught.value.hint == "name the directory of a store"
    assert not Path("nothing").exists()
