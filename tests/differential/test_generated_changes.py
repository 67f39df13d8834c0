"""Generated INSERT, UPDATE and DELETE statements, alone and in transactions, against stock DuckDB.

After each statement the table holds the same rows as DuckDB's; PAGELAKE_SEED sets the seed.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import pagelake
from pagelake.engine.leaves import table_leaf
from tests.differential.query_generator import SQL_TYPES, TABLES, VIEW, Column, QueryGenerator, rows
from tests.slt.runner import value_text

if TYPE_CHECKING:
    from pathlib import Path

SEED = int(os.environ.get("PAGELAKE_SEED", "20260101"))
STATEMENTS = int(os.environ.get("PAGELAKE_STATEMENTS", "60"))


class ChangeGenerator(QueryGenerator):
    """Makes statements that change the table ``item`` and read all of them."""

    def change(self) -> str:
        random = self._random
        columns = [Column(f"item.{name}", kind) for name, kind in TABLES["item"].items()]
        where = f" WHERE {self._predicate(columns, 1)}"
        match random.choice(["insert", "select", "update", "update", "from", "delete", "using"]):
            case "insert":
                return rows(random, "item", random.randint(1, 6))
            case "select":
                return f"INSERT INTO item SELECT id + 1, k, s, d, x, n FROM item{where}"
            case "update":
                chosen = random.sample(list(TABLES["item"].items()), random.randint(1, 2))
                assigned = [f"{name} = {self._value(columns, kind)}" for name, kind in chosen]
                return f"UPDATE item SET {', '.join(assigned)}{where}"
            case "from":  # one row for each, so that there is one right answer
                source = "(SELECT item_id, max(s) AS s FROM part GROUP BY item_id) AS p"
                return f"UPDATE item SET s = p.s FROM {source} WHERE p.item_id = item.k"
            case "using":
                condition = self._predicate(columns, 2)
                return f"DELETE FROM item USING tag WHERE tag.k = item.k AND {condition}"
        return f"DELETE FROM item{where}"


def contents(connection: Any) -> list[tuple[str, ...]]:
    found = connection.execute("SELECT * FROM item").fetchall()
    return sorted(tuple(map(value_text, row)) for row in found)


def count(connection: Any, sql: str) -> object:
    """How many rows a statement changed."""
    return connection.execute(sql).fetchall()[0][0]


@pytest.mark.parametrize("variant", ["delta", "streamed"])
def test_generated_changes(variant: str, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if variant == "streamed":
        monkeypatch.setattr(table_leaf, "DELTA_ROWS_MAX", 0)
    random = Random(f"{SEED} {variant}")
    generator = ChangeGenerator(random)
    said: list[str] = []
    with pagelake.connect(store_path) as ours, duckdb.connect() as theirs:

        def both(sql: str) -> None:
            said.append(sql)
            theirs.execute(sql)
            ours.execute(sql)

        for table in ("item", "part", "tag"):
            columns = ", ".join(f"{n} {SQL_TYPES[kind]}" for n, kind in TABLES[table].items())
            both(f"CREATE TABLE {table} ({columns})")
            both(rows(random, table, 20))
        both(VIEW)
        in_transaction = False
        for _ in range(STATEMENTS):
            if random.random() < 0.25:
                verbs = ["COMMIT", "ROLLBACK"] if in_transaction else ["BEGIN"]
                both(random.choice(verbs))
                in_transaction = not in_transaction
            sql = generator.change()
            said.append(sql)
            told = "\n".join([f"seed {SEED}, {variant}", *said])
            assert count(ours, sql) == count(theirs, sql), told
            assert contents(ours) == contents(theirs), told
        if in_transaction:
            both("COMMIT")
        expected = contents(theirs)
        assert contents(ours) == expected
    with pagelake.connect(store_path) as again:
        assert contents(again) == expected
