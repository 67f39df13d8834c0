"""What an open transaction reads stays, whatever others reclaim meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pagelake

if TYPE_CHECKING:
    from pathlib import Path


def test_every_statement_of_a_transaction_reads_what_the_first_one_read(store_path: Path) -> None:
    with pagelake.connect(store_path) as reader, pagelake.connect(store_path) as other:
        reader.execute("CREATE TABLE t AS SELECT range AS i FROM range(10_000)")
        reader.execute("BEGIN")
        before = reader.sql("SELECT count(*), sum(i) FROM t").fetchall()
        other.execute("DELETE FROM t WHERE i % 2 = 0")
        other.execute("CALL pagelake.compact('t')")
        other.execute("CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)")
        assert reader.sql("SELECT count(*), sum(i) FROM t").fetchall() == before
        reader.execute("COMMIT")
        assert reader.sql("SELECT count(*) FROM t").fetchone() == (5_000,)
