"""Generated queries on Pagelake and on stock DuckDB: the same rows, of the same types.

PAGELAKE_SEED sets the seed, PAGELAKE_QUERIES the number of queries of each variant; a failure
prints both.
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import pagelake
from pagelake.engine.leaves import table_leaf
from tests.differential.query_generator import SQL_TYPES, TABLES, VIEW, QueryGenerator, rows
from tests.slt.runner import value_text

if TYPE_CHECKING:
    from pathlib import Path

SEED = int(os.environ.get("PAGELAKE_SEED", "20260101"))
QUERIES = int(os.environ.get("PAGELAKE_QUERIES", "140"))

CHANGES = (
    "DELETE FROM item WHERE id % 7 = 3",
    "UPDATE item SET s = coalesce(s, '?') || '+', x = x * 2 WHERE k > 10",
    "DELETE FROM part WHERE item_id IN (SELECT id FROM item WHERE k = 4)",
    "UPDATE part SET d = item.d FROM item WHERE item.id = part.id AND item.id BETWEEN 5 AND 9"
    " AND (SELECT count(*) FROM item i WHERE i.id = part.id) = 1",
    "ALTER TABLE tag ADD COLUMN y INTEGER DEFAULT 7",
    "UPDATE tag SET y = NULL WHERE k IS NULL",
    "INSERT INTO tag (k, y) VALUES (1, 1), (NULL, 2)",
    "ALTER TABLE tag DROP COLUMN y",
    "DELETE FROM tag WHERE x = 'nan'",
)


def statements(random: Random, *, changed: bool) -> list[str]:
    """What fills the tables: several INSERTs each, so that they are several row groups."""
    made = []
    for table, columns in TABLES.items():
        if table == "recent":
            continue
        listed = ", ".join(f"{name} {SQL_TYPES[kind]}" for name, kind in columns.items())
        made.append(f"CREATE TABLE {table} ({listed})")
        made += [rows(random, table, random.randint(1, 15)) for _ in range(5)]
    made.append(VIEW)
    return [*made, *CHANGES] if changed else made


def bag(rows_found: list[tuple[Any, ...]]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(map(value_text, row)) for row in rows_found)


@pytest.mark.parametrize("variant", ["plain", "changed", "streamed"])
def test_generated_queries(variant: str, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if variant == "streamed":  # decoded from pages as they are read, pruned by zone map
        monkeypatch.setattr(table_leaf, "DELTA_ROWS_MAX", 0)
    random = Random(f"{SEED} {variant}")
    generator = QueryGenerator(random)
    with (
        pagelake.connect(store_path, settings={"hot_bytes_max": 0}) as ours,
        duckdb.connect() as theirs,
    ):
        for sql in statements(random, changed=variant != "plain"):
            theirs.execute(sql)
            ours.execute(sql)
        failures = []
        for number in range(QUERIES):
            sql = generator.query()
            expected = theirs.sql(sql)
            found = ours.sql(sql)
            types = [str(t) for t in expected.types]
            try:
                assert found.types == types
                assert bag(found.fetchall()) == bag(expected.fetchall())
            except (AssertionError, pagelake.Error) as error:
                failures.append(f"query {number} of seed {SEED}, {variant}:\n{sql}\n{error}")
        assert failures == [], "\n\n".join(failures[:5])


def test_the_generator_repeats_itself() -> None:
    generators = [QueryGenerator(Random(SEED)) for _ in range(2)]
    first, second = ([g.query() for _ in range(50)] for g in generators)
    assert first == second
    assert len(set(first)) > 40
