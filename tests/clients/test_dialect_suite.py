"""A part of SQLAlchemy's dialect suite; `python -m tests.clients.dialect_suite` runs it whole."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy")

from pagelake.engine.clients.sqlalchemy import provision
from tests.clients.dialect_suite import run

PART = (
    "InsertBehaviorTest or LastrowidTest or SimpleUpdateDeleteTest or FetchLimitOffsetTest or "
    "BinaryTest or RowFetchTest or LikeFunctionsTest or QuotedNameArgumentTest"
)


def test_a_part_of_the_suite_passes() -> None:
    outcome = run("pagelake", PART)
    assert outcome.failed == (), outcome.printed
    assert outcome.passed > 40, outcome.printed


def test_the_suite_is_told_of_the_dialect() -> None:
    registered = provision.upsert.fns, provision.temp_table_keyword_args.fns
    assert all("pagelake" in functions for functions in registered)
