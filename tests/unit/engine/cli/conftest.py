"""What tests of the command line share."""

from __future__ import annotations

import sys

import pytest

from pagelake.engine.cli import main


@pytest.fixture
def run(capfdbinary, monkeypatch):
    """Run the command line in this process; gives (status, standard output, standard error)."""
    monkeypatch.delenv("PAGELAKE_DEBUG", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return ended.value.code, out.decode(), err.decode()

    return call
