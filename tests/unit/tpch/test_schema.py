from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq

from pagelake.tpch.generate import parquet_file
from pagelake.tpch.schema import FOREIGN_KEYS, TABLES, table

if TYPE_CHECKING:
    from pathlib import Path


def test_generated_files_fit_the_schema_exactly(parquet: Path) -> None:
    with duckdb.connect() as connection:
        for entry in TABLES:
            connection.execute(entry.create_sql())
            described = connection.execute(
                f"DESCRIBE FROM '{parquet_file(parquet, entry.name)}'"
            ).fetchall()
            assert [(row[0], row[1]) for row in described] == [
                (column.name, column.type_name) for column in entry.columns
            ]


def test_rows_keep_the_primary_keys_not_null_and_row_counts(parquet: Path) -> None:
    with duckdb.connect() as connection:
        for entry in TABLES:
            connection.execute(entry.create_sql())
            # A duplicate key or a NULL would be refused here.
            connection.execute(f"COPY {entry.name} FROM '{parquet_file(parquet, entry.name)}'")
            rows = pq.read_metadata(parquet_file(parquet, entry.name)).num_rows
            expected = entry.rows_per_scale * (0.01 if entry.scales else 1)
            assert abs(rows - expected) <= 0.01 * expected


def test_rows_keep_every_foreign_key(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        for key in FOREIGN_KEYS:
            pairs = zip(key.columns, key.target_columns, strict=True)
            joined = " AND ".join(f"a.{mine} = b.{theirs}" for mine, theirs in pairs)
            orphans = connection.execute(
                f"SELECT count(*) FROM {key.table} a ANTI JOIN {key.target} b ON {joined}"
            ).fetchone()
            assert orphans == (0,)


def test_a_referenced_table_comes_before_the_one_that_refers_to_it() -> None:
    order = [entry.name for entry in TABLES]
    assert all(order.index(key.target) < order.index(key.table) for key in FOREIGN_KEYS)
    assert all(key.target_columns == table(key.target).primary_key for key in FOREIGN_KEYS)


def test_create_table_declares_keys_but_no_references() -> None:
    text = table("lineitem").create_sql()
    assert "PRIMARY KEY (l_orderkey, l_linenumber)" in text
    assert "REFERENCES" not in text
    assert text.count("NOT NULL") == 16
