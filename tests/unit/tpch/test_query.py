from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
import sqlglot

from pagelake.tpch.query import queries, query
from pagelake.tpch.schema import TABLES

if TYPE_CHECKING:
    from pathlib import Path


def test_there_are_22_single_selects_over_the_eight_tables() -> None:
    names = {entry.name for entry in TABLES}
    seen: set[str] = set()
    for each in queries():
        (statement,) = sqlglot.parse(each.sql, dialect="duckdb")
        assert statement is not None
        assert statement.key == "select"
        used = {found.name for found in statement.find_all(sqlglot.exp.Table)}
        seen |= used & names
        assert used - names <= {"revenue"}
    assert len(queries()) == 22
    assert seen == names


def test_every_query_runs_on_stock_duckdb(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        for each in queries():
            answer = connection.sql(each.sql).to_arrow_table()
            assert answer.num_rows > 0, each.label


def test_answers_that_can_be_had_in_other_words(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:

        def one(sql: str) -> object:
            row = connection.execute(sql).fetchone()
            assert row is not None
            return row[0]

        q1 = connection.execute(query(1).sql).fetchall()
        shipped = one("SELECT count(*) FROM lineitem WHERE l_shipdate <= DATE '1998-09-02'")
        assert sum(row[-1] for row in q1) == shipped
        q13 = connection.execute(query(13).sql).fetchall()
        assert sum(row[1] for row in q13) == one("SELECT count(*) FROM customer")
        (top,) = connection.execute(query(15).sql).fetchall()
        best = one(
            "SELECT max(total) FROM (SELECT sum(l_extendedprice * (1 - l_discount)) AS total "
            "FROM lineitem WHERE l_shipdate >= '1996-01-01' AND l_shipdate < '1996-04-01' "
            "GROUP BY l_suppkey)"
        )
        assert top[-1] == best


def test_a_query_knows_its_title_and_refuses_other_numbers() -> None:
    assert query(15).title == "Top supplier"
    assert query(6).label == "Q6"
    assert [each.number for each in queries((6, 1))] == [6, 1]
    with pytest.raises(ValueError, match="not 23"):
        query(23)
