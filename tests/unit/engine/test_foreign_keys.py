"""Foreign keys: what they refuse, what they cost, and what holds between concurrent users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

import pagelake
from pagelake.engine.statements.foreign_keys import ForeignKeys
from pagelake.errors import Conflict, ConstraintViolation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARENTS = 2_000
TYPED = (
    ("INTEGER", "range::INTEGER"),
    ("VARCHAR", "'k' || range"),
    ("DOUBLE", "CASE range WHEN 0 THEN 'nan'::DOUBLE ELSE range / 8 END"),
    ("DECIMAL(12, 3)", "range / 8"),
    ("TIMESTAMPTZ", "to_timestamp(range)"),
    ("UUID", "md5(range::VARCHAR)::UUID"),
    ("BLOB", "('k' || range)::BLOB"),
    ("HUGEINT", "range * 10000000000000000000"),
    ("VARCHAR COLLATE NOCASE", "'K' || range"),
)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[pagelake.Connection, pagelake.Connection]]:
    """Two databases over one directory, as two processes have it."""
    first, second = (pagelake.connect(tmp_path / "lake") for _ in range(2))
    first.execute("CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR)")
    first.execute("CREATE TABLE c (n INTEGER, p INTEGER REFERENCES p (id))")
    first.execute("INSERT INTO p SELECT range, 'p' FROM range(10)")
    yield first, second
    second.close()
    first.close()


@pytest.mark.parametrize(("type_", "value"), TYPED)
def test_every_type_of_key(type_: str, value: str) -> None:
    """DuckDB says the same of each statement."""
    with duckdb.connect() as stock, pagelake.connect() as ours:
        stock.execute("SET TimeZone = 'UTC'")
        ours.execute("SET TimeZone = 'UTC'")
        statements = [
            f"CREATE TABLE p (a {type_}, b INTEGER, PRIMARY KEY (a, b))",
            f"CREATE TABLE c (x {type_}, y INTEGER, z INTEGER, FOREIGN KEY (x, y) REFERENCES p)",
            f"INSERT INTO p SELECT {value}, range % 3 FROM range({PARENTS})",
            f"INSERT INTO c SELECT {value}, range % 3, 0 FROM range(0, {PARENTS}, 4)",
            f"INSERT INTO c SELECT {value}, range % 3 + 1, 0 FROM range(7, 9)",
            "INSERT INTO c SELECT lower(a::VARCHAR), b, 0 FROM p WHERE b = 1 LIMIT 1",
            f"INSERT INTO c SELECT {value}, NULL, 0 FROM range({PARENTS}, {PARENTS + 5})",
            f"INSERT INTO c SELECT {value}, 0, 0 FROM range({PARENTS}, {PARENTS + 1})",
            "UPDATE c SET z = z + 1",
            f"DELETE FROM p WHERE a = (SELECT {value} FROM range(8, 9))",
            f"DELETE FROM p WHERE a = (SELECT {value} FROM range(9, 10))",
            "UPDATE c SET y = 77 WHERE y = 1",
            "DELETE FROM p",
            "DELETE FROM c",
            "TRUNCATE p",
            "SELECT count(*) FROM p",
        ]
        for sql in statements:
            answers = []
            for connection in (stock, ours):
                try:
                    connection.execute(sql)
                    answers.append("")
                except (duckdb.ConstraintException, ConstraintViolation) as error:
                    text = str(error).splitlines()[0].removeprefix("Constraint Error: ")
                    answers.append(text.partition(". If this is")[0])
            assert answers[0] == answers[1], sql
        assert ours.execute("SELECT count(*) FROM p").fetchall() == [(0,)]


def test_rows_referred_to_are_looked_up_by_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_arguments: object, **_options: object) -> None:
        raise AssertionError("the table was read")

    monkeypatch.setattr(ForeignKeys, "_search", search)
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE c (p INTEGER REFERENCES p (id))")
        connection.execute("CREATE INDEX by_parent ON c (p)")
        connection.execute("INSERT INTO p FROM range(1000)")
        connection.execute("INSERT INTO c SELECT range * 2 FROM range(400)")
        with pytest.raises(ConstraintViolation, match='key "id: 1000" does not exist'):
            connection.execute("INSERT INTO c SELECT range FROM range(990, 1010)")
        with pytest.raises(ConstraintViolation, match='key "p: 10" is still referenced'):
            connection.execute("DELETE FROM p WHERE id BETWEEN 9 AND 11")
        connection.execute("DELETE FROM p WHERE id IN (9, 11, 801)")
        assert connection.execute("SELECT count(*) FROM p").fetchall() == [(997,)]


def test_a_transaction_sees_its_own_rows() -> None:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE c (p INTEGER REFERENCES p (id))")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO p VALUES (1), (2)")
        connection.execute("INSERT INTO c VALUES (1), (2)")
        connection.execute("DELETE FROM c WHERE p = 2")
        connection.execute("DELETE FROM p WHERE id = 2")
        connection.execute("COMMIT")
        assert connection.execute("FROM p").fetchall() == connection.execute("FROM c").fetchall()


def test_a_row_is_not_removed_while_somebody_comes_to_refer_to_it(
    two: tuple[pagelake.Connection, pagelake.Connection],
) -> None:
    first, second = two
    for refer, remove in ((first, second), (second, first)):
        for refers_first in (True, False):
            refer.execute("BEGIN")
            remove.execute("BEGIN")
            refer.execute("INSERT INTO c VALUES (1, 5)")
            remove.execute("DELETE FROM p WHERE id = 5")
            winner, loser = (refer, remove) if refers_first else (remove, refer)
            winner.execute("COMMIT")
            with pytest.raises(Conflict):
                loser.execute("COMMIT")
            refer.execute("DELETE FROM c")
            refer.execute("INSERT OR IGNORE INTO p VALUES (5, 'again')")


def test_what_has_nothing_to_do_with_each_other_commutes(
    two: tuple[pagelake.Connection, pagelake.Connection],
) -> None:
    first, second = two
    for connection, row in ((first, 1), (second, 2)):
        connection.execute("BEGIN")
        connection.execute("INSERT INTO c VALUES (?, ?)", [row, row])
        connection.execute("INSERT INTO p VALUES (?, 'new')", [row + 100])
    first.execute("COMMIT")
    second.execute("COMMIT")
    assert first.execute("SELECT count(*) FROM c").fetchall() == [(2,)]
    # Rows that refer may go while the rows that they do not refer to go.
    first.execute("BEGIN")
    first.execute("DELETE FROM c WHERE p = 1")
    second.execute("DELETE FROM p WHERE id = 9")
    first.execute("COMMIT")
    assert second.execute("SELECT (SELECT count(*) FROM p), count(*) FROM c").fetchall() == [
        (11, 1)
    ]


def test_executemany_and_upserts_are_checked() -> None:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO p VALUES (1), (2)")
        connection.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))")
        with pytest.raises(ConstraintViolation):
            connection.executemany("INSERT INTO c VALUES (?, ?)", [(1, 1), (2, 3)])
        connection.executemany("INSERT INTO c VALUES (?, ?)", [(1, 1), (2, 2)])
        upsert = "INSERT INTO c VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET p = excluded.p"
        with pytest.raises(ConstraintViolation, match="id: 9"):
            connection.execute(upsert, [9])
        connection.execute(upsert, [2])
        with pytest.raises(ConstraintViolation, match="p: 2"):
            connection.execute("MERGE INTO p USING (SELECT 2 AS id) AS s USING (id) "
                               "WHEN MATCHED THEN DELETE")  # fmt: skip
        connection.execute("MERGE INTO p USING (SELECT 1 AS id) AS s USING (id) "
                           "WHEN MATCHED THEN UPDATE SET id = 5")  # fmt: skip
        assert connection.execute("FROM p ORDER BY 1").fetchall() == [(2,), (5,)]
