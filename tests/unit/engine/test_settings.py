"""Settings: parsing, scope, and what they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.settings import SETTINGS, Settings, parse_setting

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("memory_limit", "4GB", 4 * 10**9),
        ("memory_limit", " 1.5 GiB", 3 * 2**29),
        ("memory_limit", 1000, 1000),
        ("hot_bytes_max", 0, 0),
        ("statement_timeout", "500ms", 0.5),
        ("statement_timeout", "2min", 120.0),
        ("statement_timeout", 3, 3.0),
        ("THREADS", "2", 2),
    ],
)
def test_values(name: str, given: object, value: object) -> None:
    assert parse_setting(name, given) == value


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("memory_limit", "much"),
        ("memory_limit", -1),
        ("memory_limit", "4 parsecs"),
        ("threads", 0),
        ("threads", "two"),
        ("statement_timeout", "-1s"),
        ("statement_timeout", "soon"),
    ],
)
def test_wrong_values_say_what_is_wanted(name: str, given: object) -> None:
    with pytest.raises(pagelake.InvalidRequest, match=name):
        parse_setting(name, given)


def test_values_of_a_session_lie_over_the_databases() -> None:
    database = Settings({"statement_timeout": "5s"})
    session = Settings(parent=database)
    assert session.seconds("statement_timeout") == 5
    session.set("statement_timeout", "1s")
    assert (session.seconds("statement_timeout"), database.seconds("statement_timeout")) == (1, 5)
    session.reset("statement_timeout")
    assert session.seconds("statement_timeout") == 5


def test_set_and_reset_in_sql() -> None:
    def value(cursor: pagelake.Cursor, name: str) -> object:
        found = "SELECT value FROM pagelake.settings WHERE name = ?"
        return cursor.execute(found, (name,)).fetchall()[0][0]

    with pagelake.connect(settings={"threads": 1}) as db:
        assert value(db, "threads") == "1"
        db.execute("SET threads = 2")
        assert value(db.cursor(), "threads") == "2"
        db.execute("SET memory_limit = '300MB'")
        assert value(db, "memory_limit") == "300000000"
        db.execute("RESET memory_limit")
        assert value(db, "memory_limit") == str(SETTINGS["memory_limit"].default())
        with pytest.raises(pagelake.InvalidRequest, match="memory_limit"):
            db.execute("SET memory_limits = '1GB'")
        with pytest.raises(pagelake.InvalidRequest):
            db.execute("SET threads = 'none'")
        assert value(db, "threads") == "2"


def test_settings_of_a_connection_are_shown_as_it_has_them() -> None:
    shown = "SELECT value FROM pagelake.settings WHERE name = 'lock_timeout'"
    with pagelake.connect() as db:
        other = db.cursor()
        db.execute("CREATE VIEW patience AS " + shown)
        for patience in (3, 4):
            db.execute(f"SET lock_timeout = {patience}")
            for query in (shown, "SELECT * FROM patience"):
                assert db.execute(query).fetchall() == [(f"{patience}.0",)]
                assert other.execute(query).fetchall() == [("10.0",)]
        db.execute("CREATE TEMPORARY TABLE mine (a INTEGER)")  # its own kernel cursor from now on
        for _ in range(2):
            assert db.execute(shown).fetchall() == [("4.0",)]
        db.execute("RESET lock_timeout")
        assert db.execute(shown).fetchall() == [("10.0",)]


def test_every_setting_is_described() -> None:
    with pagelake.connect() as db:
        rows = db.execute("SELECT name, unit, description, scope FROM pagelake.settings").fetchall()
        assert {row[0] for row in rows} == set(SETTINGS)
        assert all(unit and len(text) > 20 for _, unit, text, _ in rows)


def test_time_zone_belongs_to_its_cursor() -> None:
    shown = "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00'::VARCHAR"
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t AS SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00' AS z")
        other = db.cursor()
        db.execute("SET TimeZone = 'Asia/Kolkata'")
        other.execute("SET TimeZone = 'America/New_York'")
        for _ in range(2):
            assert db.execute(shown).fetchall() == [("2024-01-01 05:30:00+05:30",)]
            assert other.execute(shown).fetchall() == [("2023-12-31 19:00:00-05",)]
            assert db.execute("SELECT z::VARCHAR FROM t").fetchall() == [
                ("2024-01-01 05:30:00+05:30",)
            ]
        db.execute("SET TimeZone = 'UTC'")
        assert db.execute(shown).fetchall() == [("2024-01-01 00:00:00+00",)]
        other.execute("CREATE TEMP TABLE x AS SELECT 1 AS a")
        assert other.execute(shown).fetchall() == [("2023-12-31 19:00:00-05",)]
        with pytest.raises(pagelake.Error):
            db.execute("SET TimeZone = 'Nowhere/Land'")
        assert db.execute(shown).fetchall() == [("2024-01-01 00:00:00+00",)]


def test_order_of_nulls_is_the_database_s_unless_session_is_said() -> None:
    ordered = "SELECT * FROM (VALUES (1), (NULL)) v(a) ORDER BY a"
    with pagelake.connect() as db:
        other = db.cursor()
        db.execute("SET default_null_order = 'nulls_first'")
        assert db.execute(ordered).fetchall() == [(None,), (1,)]
        assert other.execute(ordered).fetchall() == [(None,), (1,)]
        db.execute("RESET default_null_order")
        assert other.execute(ordered).fetchall() == [(1,), (None,)]
        db.execute("SET SESSION default_order = 'desc'")
        assert db.execute(ordered).fetchall() == [(1,), (None,)]


def test_the_spill_directory_is_removed(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    with pagelake.connect(
        settings={"memory_limit": "60MB", "threads": 1, "temp_directory": spill}
    ) as db:
        query = "SELECT count(*) FROM (SELECT r, 'x' || r AS s FROM range(2000000) x(r) ORDER BY s)"
        assert db.execute(query).fetchall() == [(2_000_000,)]
    assert not spill.exists() or not list(spill.iterdir())
