"""The public-domain compliance suite of PEP 249, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake

if TYPE_CHECKING:
    from pathlib import Path

dbapi20 = pytest.importorskip("dbapi20")

# Closing twice is allowed: a `with` block around a connection that was closed inside it, and a
# pool that closes what broke, should not have to ask. The suite itself doubts this test.
REFUSED = {"test_non_idempotent_close"}


class TestCompliance(dbapi20.DatabaseAPI20Test):  # type: ignore[misc]
    driver = pagelake

    @pytest.fixture(autouse=True)
    def store(self, tmp_path: Path) -> None:
        self.connect_args = (str(tmp_path / "store"),)

    def test_nextset(self) -> None:
        """The suite leaves it to the driver: `nextset` is optional and a statement has one."""
        con = self._connect()
        try:
            assert not hasattr(con.cursor(), "nextset")
        finally:
            con.close()

    def test_setoutputsize(self) -> None:
        """The suite leaves it to the driver: sizes change nothing that is returned."""
        con = self._connect()
        try:
            cursor = con.cursor()
            cursor.setoutputsize(1)
            cursor.execute("SELECT repeat('x', 1000)")
            assert cursor.fetchone() == ("x" * 1000,)
        finally:
            con.close()

    def test_non_idempotent_close(self) -> None:
        with pytest.raises(AssertionError, match="not raised by close"):
            super().test_non_idempotent_close()


def test_all_but_what_is_refused_is_run() -> None:
    named = {name for name in dir(dbapi20.DatabaseAPI20Test) if name.startswith("test_")}
    assert len(named) == 36
    changed = {name for name in vars(TestCompliance) if name.startswith("test_")}
    assert changed == {"test_nextset", "test_setoutputsize"} | REFUSED


@pytest.mark.parametrize("statement", ["INSERT INTO t VALUES (1)", "CREATE TABLE u (a INTEGER)"])
def test_a_cursor_has_no_rows_of_a_statement_that_returns_none(statement: str) -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        cursor = db.cursor().execute(statement)
        for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall):
            with pytest.raises(pagelake.ProgrammingError, match="returns no rows"):
                fetch()


def test_a_connection_gives_counts_as_rows_as_duckdb_does() -> None:
    with pagelake.connect() as db:
        assert db.execute("CREATE TABLE t (a INTEGER)").fetchall() == []
        assert db.execute("INSERT INTO t VALUES (1), (2)").fetchall() == [(2,)]
