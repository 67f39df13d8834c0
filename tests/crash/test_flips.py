"""A flipped bit is noticed or does not matter; ``PAGELAKE_FULL=1`` flips ten times as many."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pagelake.storage.log.commit_log import record_name
from tests.crash import flips
from tests.crash.flips import KINDS, Outcome, flip_files, flip_hot_segments

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

    from tests.crash.oracle import Reader

FULL = os.environ.get("PAGELAKE_FULL") == "1"
SEED = 20


def test_flips_in_every_kind_of_file() -> None:
    outcome = flip_files(100_000 if FULL else 1_500, SEED)
    print(outcome, dict(outcome.errors))
    assert outcome.silent == []
    assert outcome.kinds.keys() == set(KINDS)
    assert outcome.errors["Corrupt"] > outcome.count // 3, "records, bundles and pages in use"
    assert outcome.errors["NotAStore"] > outcome.count // 10, "store.json"


def test_flips_in_hot_segments(tmp_path: Path) -> None:
    outcome = flip_hot_segments(1_000 if FULL else 30, SEED, tmp_path)
    print(outcome, dict(outcome.errors))
    assert outcome.silent == []
    assert outcome.right > 0


def test_a_flip_that_nobody_notices_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness itself: a store that believes what it reads is found out."""

    def trust(files: Mapping[str, bytes], _reader: Reader) -> object:
        return files[record_name(5)]

    monkeypatch.setattr(flips, "read_store", trust)
    outcome = flip_files(50, SEED)
    assert outcome.silent != []


def test_outcomes_are_told_apart() -> None:
    outcome = Outcome()

    def fail() -> object:
        raise ValueError("untyped")

    for read in (lambda: 1, lambda: 2, fail):
        outcome.observe("bit 3", read, 1)
    assert str(outcome) == "3 flips: 1 right, 0 typed errors, 2 silent"
    assert outcome.silent == ["bit 3: read as something else", "bit 3: ValueError: untyped"]
