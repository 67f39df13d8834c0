"""The programme that measures creates of files runs, in small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import create_files

if TYPE_CHECKING:
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


def test_rows_are_visible_to_another_process() -> None:
    assert create_files.visible(10) == 0
