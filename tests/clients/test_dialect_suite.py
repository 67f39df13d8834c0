"""A part of SQLAlchemy's dialect suite; `python -m tests.clients.dialect_suite` runs it whole."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy")

from pagelake.engine.clients.sqlalchemy import provision
from pagelake.engine.clients.sqlalchemy.requirements import Requirements
from tests.clients.dialect_suite import run

PART = "SimpleUpdateDeleteTest or CTETest"


def test_a_part_of_the_suite_passes() -> None:
    outcome = run("pagelake", PART)
    assert not outcome.failed, outcome.printed
    assert outcome.passed > 5, outcome.printed


def test_the_suite_is_told_of_the_dialect() -> None:
    registered = provision.upsert.fns, provision.temp_table_keyword_args.fns
    assert all("pagelake" in functions for functions in registered)


def test_the_requirements_are_the_suites_own() -> None:
    asked = {name for name, value in vars(Requirements).items() if isinstance(value, property)}
    known = {name for kind in Requirements.__mro__[1:] for name in vars(kind)}
    assert asked
    assert asked <= known
