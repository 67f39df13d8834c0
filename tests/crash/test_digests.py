"""Versions stay what they were: a short run of ``python -m tests.crash.digests``."""

from __future__ import annotations

import pytest

from tests.crash.digests import Digests
from tests.crash.oracle import Reader, Run


def test_every_version_stays_what_it_was_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.crash.digests.READ_EVERY", 100)
    monkeypatch.setattr("tests.crash.digests.KEEP_US", 5_000)
    digests = Digests(Run("digests test"))
    digests.go(250)
    assert digests.read > 100
    assert digests.gone > 0
    assert digests.tags


def test_a_row_that_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Reader._table

    def forgetful(reader, store, state):
        content = honest(reader, store, state)
        if len(content.rows) > 20:
            content.rows.popitem()
        return content

    monkeypatch.setattr(Reader, "_table", forgetful)
    with pytest.raises(AssertionError, match="another"):
        Digests(Run("digests test")).go(60)
