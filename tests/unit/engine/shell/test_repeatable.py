"""Which statements a plot may run again."""

from __future__ import annotations

import pytest

from pagelake.engine.shell.repl import is_repeatable


@pytest.mark.parametrize(
    "text", ["SELECT 1", "from t", "(SELECT 1)", "WITH a AS (SELECT 1) FROM a", "VALUES (1)"]
)
def test_queries(text):
    assert is_repeatable(text)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1) RETURNING a",
        "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE t",
        "EXPLAIN SELECT 1",
        "BEGIN",
    ],
)
def test_changes(text):
    assert not is_repeatable(text)
