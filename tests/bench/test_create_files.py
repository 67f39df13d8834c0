"""The programme that measures creates of files runs, in small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pagelake
from pagelake.engine.database import Database
from pagelake.storage.files.operations import Create, MakeDirectory
from tests.bench import create_files

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_it_measures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_files, "WRITERS", 2)
    monkeypatch.setattr(create_files, "CREATES_MIN", 0.0)
    monkeypatch.setattr(create_files, "RENAME_MAX_S", 60.0)
    assert create_files.by_threads(6) == 0
    assert create_files.rename(300) == 0
    printed = capsys.readouterr().out
    assert "2 threads, files" in printed
    assert "handles kept" in printed


def test_rows_are_there_for_another_database(store_path: Path) -> None:
    database = Database(store_path)
    database.files.run(MakeDirectory("/in"))
    with pagelake.connect(store_path) as con:
        for number in range(20):
            (made,) = database.files.run(Create(f"/in/f{number}"))
            assert made is not None
            values = made.parent_handle, made.name
            assert con.execute(create_files.LOOK, values).fetchone() == (1,)
    database.close()
