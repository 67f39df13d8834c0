"""Routes: names of one snapshot, kept while somebody reads, then dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.leaves.router import ROUTES_KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM range(5) r(a)")
        yield connection


def attached(db: pagelake.Connection) -> int:
    found = "SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'route_%'"
    return int(db._database.kernel.execute(found)[0][0])


def test_routes_do_not_pile_up(db: pagelake.Connection) -> None:
    for n in range(4 * ROUTES_KEPT):
        db.execute("INSERT INTO t VALUES (?)", (n,))
        db.execute("SELECT sum(a) FROM t").fetchall()
    assert attached(db) <= ROUTES_KEPT + 1


def test_a_route_in_use_is_kept_until_it_is_released(db: pagelake.Connection) -> None:
    held = db.sql("SELECT a FROM t ORDER BY a")
    held.fetchone()
    for n in range(2 * ROUTES_KEPT):
        db.execute("INSERT INTO t VALUES (?)", (n,))
        db.execute("SELECT sum(a) FROM t").fetchall()
    db._database.router.invalidate()
    assert held.fetchall() == [(1,), (2,), (3,), (4,)]
    assert attached(db) <= ROUTES_KEPT + 1


def test_errors_give_their_route_back(db: pagelake.Connection) -> None:
    for sql in ("SELECT nothing FROM t", "SELECT error('x') FROM t", "SELECT * FROM t, nowhere",
                "INSERT INTO t SELECT 'x'", "DELETE FROM t WHERE b = 1"):  # fmt: skip
        with pytest.raises(pagelake.Error):
            db.execute(sql).fetchall()
    routes = db._database.router._routes.values()
    assert not any(route.users for route in routes)


def test_transactions_leave_no_routes(db: pagelake.Connection) -> None:
    for end in ("COMMIT", "ROLLBACK"):
        db.execute("BEGIN")
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("SELECT * FROM t").fetchall()
        db.execute(end)
    assert not any(key[1] for key in db._database.router._routes)


def test_names_that_are_the_engines_own_words(db: pagelake.Connection) -> None:
    for schema in ("located", "deleted", "initial", "rows", "temp_", "position"):
        db.execute(f'CREATE SCHEMA "{schema}"')
        db.execute(f'CREATE TABLE "{schema}"."rows" (position INTEGER, part INTEGER, "s" INTEGER)')
        db.execute(f'INSERT INTO "{schema}"."rows" VALUES (1, 2, 3), (4, 5, 6)')
        db.execute(f'UPDATE "{schema}"."rows" SET part = position WHERE "s" = 3')
        db.execute(f'DELETE FROM "{schema}"."rows" WHERE position = 4')
        assert db.execute(f'SELECT * FROM "{schema}"."rows"').fetchall() == [(1, 1, 3)]


def test_views_follow_their_own_schema(db: pagelake.Connection) -> None:
    db.execute("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 100 AS a")
    db.execute("CREATE VIEW v AS SELECT sum(a) AS x FROM t")
    db.execute("USE s")
    db.execute("CREATE VIEW v AS SELECT sum(a) AS x FROM t")
    assert db.execute("SELECT x FROM main.v").fetchall() == [(10,)]
    assert db.execute("SELECT x FROM v").fetchall() == [(100,)]
    db.execute("INSERT INTO main.t VALUES (5)")
    assert db.execute("SELECT x FROM main.v").fetchall() == [(15,)]
