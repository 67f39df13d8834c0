"""CLUSTER BY through SQL: the order that compaction gives rows, and what it saves queries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.leaves import table_leaf

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {"background_maintenance": False, "hot_bytes_max": 0}
GROUPS = 4
ROWS = GROUPS * 122_880


@pytest.fixture
def db(monkeypatch: pytest.MonkeyPatch) -> Iterator[pagelake.Connection]:
    monkeypatch.setattr(table_leaf, "DELTA_ROWS_MAX", 1000)  # row groups are read from the store
    with pagelake.connect(settings=SETTINGS) as connection:
        yield connection


def groups_read(db: pagelake.Connection, sql: str) -> tuple[int, int]:
    """Row groups that zone maps left over, and row groups in all."""
    for verb in ("EXPLAIN", "EXPLAIN ANALYZE"):
        shown = "\n".join(str(row[-1]) for row in db.sql(f"{verb} {sql}").fetchall())
        (counts,) = re.findall(r"row groups: (\d+) of (\d+)", shown)
        read, total = map(int, counts)
    return read, total


SHUFFLED = f"range({ROWS}) r(i)"
# 104,729 is prime and no divisor of the row count: a permutation.
KEY = f"(i * 104729) % {ROWS}"
ONE_KEY = "SELECT count(*), min(v) FROM t WHERE k = 70000"


def test_clustering_at_creation_prunes_after_compaction(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (k INTEGER, v VARCHAR) CLUSTER BY (k)")
    db.execute(f"INSERT INTO t SELECT {KEY}, 'v' || {KEY} FROM {SHUFFLED}")
    assert groups_read(db, ONE_KEY) == (GROUPS, GROUPS)
    answer = db.sql(ONE_KEY).fetchall()
    assert db.sql("CALL pagelake.compact('t')").fetchone() == (ROWS,)
    assert groups_read(db, ONE_KEY) == (1, GROUPS)
    assert db.sql(ONE_KEY).fetchall() == answer == [(1, "v70000")]
    assert db.sql("CALL pagelake.compact('t')").fetchone() == (0,)


def test_clustering_an_existing_table_by_two_columns(db: pagelake.Connection) -> None:
    db.execute(f"CREATE TABLE t AS SELECT {KEY} AS k, i % 7 AS d, i AS v FROM {SHUFFLED}")
    in_day = "SELECT count(*), sum(k) FROM t WHERE d = 3 AND k < 1000"
    answer = db.sql(in_day).fetchall()
    assert groups_read(db, in_day) == (GROUPS, GROUPS)
    db.execute("ALTER TABLE t CLUSTER BY (d, k)")
    db.execute("CALL pagelake.compact('t')")
    assert groups_read(db, in_day)[0] <= 2
    assert db.sql(in_day).fetchall() == answer
    db.execute("ALTER TABLE t CLUSTER BY (k)")
    db.execute("CALL pagelake.compact('t')")
    assert groups_read(db, "SELECT v FROM t WHERE k = 5") == (1, GROUPS)
    assert db.sql(in_day).fetchall() == answer


@pytest.mark.parametrize(
    ("prefix", "left_over"),
    [
        ("", 1),
        ("tenant/", 1),
        # Bounds keep 16 bytes, which are the same in all values here: nothing can be pruned.
        ("a-prefix-of-20-bytes", GROUPS),
        # Sixteen bytes end inside of a character of two.
        ("fünfzehn-bytes-", GROUPS),
    ],
)
def test_texts_are_ordered_and_found_beyond_what_bounds_keep(
    db: pagelake.Connection, prefix: str, left_over: int
) -> None:
    db.execute("CREATE TABLE t (s VARCHAR, k INTEGER) CLUSTER BY (s)")
    text = f"'{prefix}' || lpad(({KEY})::VARCHAR, 8, '0') || 'é'"
    db.execute(f"INSERT INTO t SELECT {text}, {KEY} FROM {SHUFFLED}")
    db.execute("CALL pagelake.compact('t')")
    wanted = f"SELECT k FROM t WHERE s = '{prefix}00123456é'"
    assert db.sql(wanted).fetchall() == [(123_456,)]
    assert groups_read(db, wanted) == (left_over, GROUPS)
    between = f"SELECT count(*) FROM t WHERE s BETWEEN '{prefix}00001000' AND '{prefix}00002000'"
    assert db.sql(between).fetchone() == (1000,)
    # Rows stay as they came where sorting them could not help.
    order = "SELECT bool_and(k > before) FROM (SELECT k, lag(k, 1, -1) OVER () AS before FROM t)"
    assert db.sql(order).fetchone() == (left_over == 1,)


def test_what_comes_later_is_sorted_in_and_the_schema_tells(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (k INTEGER, v VARCHAR) CLUSTER BY (k)")
    db.execute(f"INSERT INTO t SELECT {KEY} * 2, 'v' FROM {SHUFFLED}")
    db.execute("CALL pagelake.compact('t')")
    db.execute(f"INSERT INTO t SELECT {KEY} * 2 + 1, 'w' FROM {SHUFFLED}")
    one = "SELECT v FROM t WHERE k IN (140000, 140001) ORDER BY k"
    assert db.sql(one).fetchall() == [("v",), ("w",)]
    db.execute("CALL pagelake.compact('t')")
    assert groups_read(db, "SELECT v FROM t WHERE k = 140001") == (1, 2 * GROUPS)
    assert db.sql(one).fetchall() == [("v",), ("w",)]
    with pytest.raises(pagelake.UnknownName):
        db.execute("ALTER TABLE t CLUSTER BY (nothing)")
    shown = db.schema_sql("t")
    assert shown.endswith(") CLUSTER BY (k);")
    db.execute("DROP TABLE t")
    db.execute(shown)
    assert db.schema_sql("t") == shown
