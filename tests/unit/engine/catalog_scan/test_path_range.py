"""Conditions that follow from paths change no answer, and are there where they should be."""

from __future__ import annotations

from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING
from unittest import mock

import pytest

import pagelake
from pagelake.engine.leaves import top_threshold
from pagelake.engine.leaves.catalog_leaf import narrowed
from pagelake.engine.query import bind_text, open_route
from pagelake.sql.optimizer import optimize
from pagelake.sql.rules.path_range import path_range
from tests.unit.engine.catalog_scan.path_statements import (
    Statements,
    fill,
    paths_of,
    rows_of,
    tree,
    without_rule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake import Connection

off = contextmanager(without_rule)


@pytest.fixture(scope="module")
def db() -> Iterator[Connection]:
    with pagelake.connect(settings={"background_maintenance": False}) as con:
        for root, name in ((b"/", "whole"), (b"/a_b/x", "part")):
            fill(con, tree(Random(5), root, 40), name)
        con.execute("CREATE VIEW over_it AS SELECT * FROM catalog.part WHERE size < 8")
        yield con


def added(con: Connection, sql: str) -> list[str]:
    """The conditions that follow from a statement's own."""
    session = con._session
    snapshot = session.snapshot()
    plan = bind_text(session, sql, snapshot)
    opened = open_route(session, plan, None, snapshot)
    try:
        return list(narrowed(session, plan, sql, None, snapshot, opened.route).conditions)
    finally:
        opened.close(drained=True)


def same(con: Connection, sql: str, parameters: object = None) -> object:
    """The rows of a statement, which are those without the rule."""
    rows = rows_of(con, sql, parameters)
    with off():
        assert rows == rows_of(con, sql, parameters), sql
    return rows


@pytest.mark.parametrize("name", ["whole", "part"])
def test_random_statements_give_what_they_give_without_the_rule(db: Connection, name: str) -> None:
    random = Random(11)
    statements = Statements(random, paths_of(db, name))
    for _ in range(40):
        same(db, statements.statement(name))


def test_every_way_to_ask_for_a_path_is_narrowed(db: Connection) -> None:
    path, parent = db.sql(
        "SELECT path, parent_path FROM catalog.part WHERE parent_path LIKE '/a_b/x/%' AND "
        "NOT regexp_matches(path, '[''%\\\\]') ORDER BY length(path) DESC, path LIMIT 1"
    ).fetchall()[0]
    view = "SELECT path FROM catalog.part WHERE"
    label = "directory = "
    for sql, expected in (
        (f"{view} path = '{path}'", label),
        (f"{view} '{path}' = path", label),
        (f"{view} path IN ('{path}', '{parent}')", "name IN "),
        (f"{view} path LIKE '{path}'", "directory "),
        (f"{view} size > 1 AND (path LIKE '{parent}/%')", "directory BETWEEN "),
        (f"{view} starts_with(path, '{parent}/')", "directory BETWEEN "),
        (f"{view} prefix(path, '{parent}/')", "directory BETWEEN "),
        (f"{view} path ^@ '{parent}/'", "directory BETWEEN "),
        (f"{view} parent_path = '{parent}'", label),
        (f"{view} search_path = '{parent}/'", label),
        (f"{view} search_path LIKE '{parent}/%'", "directory BETWEEN "),
        (f"SELECT p.path FROM catalog.part AS p JOIN (SELECT 1) ON true WHERE p.path = '{path}'",
         label),
        (f"WITH c AS ({view} path = '{path}') SELECT * FROM c", label),
    ):  # fmt: skip
        (found, *_) = added(db, sql) or [""]
        assert found.startswith((expected, "name = ")), (sql, found)
        assert expected in found, (sql, found)
        assert same(db, sql)
    told = db.sql(f"EXPLAIN {view} path = '{path}'").fetchall()[0][1]
    assert "paths: " in told
    assert "directory = " in told


def test_whatever_a_statement_names_is_there(db: Connection) -> None:
    for columns in (
        "#2, #1", "part", "part.*", "COLUMNS('.*name')", "phandle.handle_id", "count(*), max(part)",
        "(SELECT max(b.size) FROM catalog.part b WHERE b.uid = part.uid)", "size AS s, s + used",
        "PATH, Size", "list(name ORDER BY mtime)", "catalog.part.path", "nothing", "part.nothing",
        "row_number() OVER (ORDER BY nlinks, path)", "user_tags['x'], name_bytes, directory",
    ):  # fmt: skip
        same(db, f"SELECT {columns} FROM catalog.part WHERE starts_with(path, '/a_b/x/a')")
        same(db, f"SELECT {columns} FROM catalog.part WHERE path = '/a_b/x'")


def test_files_in_the_store_are_asked_for_by_parent_and_name(db: Connection) -> None:
    with pagelake.connect() as con:
        con.execute("INSERT INTO files (path, content) VALUES ('/d/a_b', 'x'), ('/d/e/f', 'y')")
        asked = "SELECT path, size FROM pagelake.files WHERE path = '/d/a_b'"
        assert same(con, asked) == [("/d/a_b", 1)]
        assert added(con, asked) == ["name = 'a_b' AND parent_path = '/d'"]
        below = "SELECT path FROM files WHERE path LIKE '/d/%'"
        assert len(same(con, below)) == 3  # type: ignore[arg-type]
        assert added(con, below) == ["parent_path >= '/d' AND parent_path < '/d0'"]
        for path in ("/", "/d", "/d/", "d", "/x"):
            same(con, f"SELECT path FROM files WHERE path = '{path}' OR false")
            same(con, f"SELECT path FROM files WHERE path = '{path}'")
            same(con, f"SELECT path FROM files WHERE starts_with(search_path, '{path}')")


def test_what_may_be_met_by_other_rows_is_not_narrowed(db: Connection) -> None:
    view = "SELECT path FROM catalog.part"
    for where in (
        "WHERE path = '/a_b/x/a' OR size > 3",
        "WHERE NOT path = '/a_b/x/a'",
        "WHERE path <> '/a_b/x/a'",
        "WHERE path ILIKE '/A_B/x/%'",
        "WHERE path LIKE '/a!_b/x/%' ESCAPE '!'",
        "WHERE path COLLATE NOCASE = '/A_B/X/a'",
        "WHERE CASE WHEN path = '/a_b/x/a' THEN true ELSE size > 1 END",
        "WHERE path || '' = '/a_b/x/a'",
        "WHERE path = NULL",
        "WHERE path = '/'",
        "WHERE path LIKE '%a'",
        "WHERE starts_with(path, '/')",
    ):
        assert added(db, f"{view} {where}") == [], where
        same(db, f"{view} {where}")
    assert added(db, "SELECT name AS path FROM over_it WHERE path = '/a_b/x/a'") == []
    renamed = "SELECT path FROM catalog.part AS t(parent_path, path) WHERE path = '/a_b/x'"
    assert added(db, renamed) == []
    same(db, renamed)
    shadowed = "WITH part AS (SELECT 'x' AS path) SELECT * FROM part WHERE path = 'x'"
    assert rows_of(db, shadowed) == [("x",)]


def test_parameters_are_looked_up_when_they_are_known(db: Connection) -> None:
    paths = paths_of(db, "part")[:4]
    for path in paths:
        for sql, given in (
            ("SELECT path, size FROM catalog.part WHERE path = ?", [path]),
            ("SELECT size AS s, path FROM catalog.part WHERE path = $1", [path]),
            ("SELECT path FROM catalog.part WHERE path = $p", {"p": path}),
            ("SELECT ? AS x, path FROM catalog.part WHERE size >= ? AND path = ?", ["y", 0, path]),
            ("SELECT path FROM catalog.part WHERE path IN (?, ?) AND 'WHERE' <> '('", [path, "/"]),
            ("SELECT path FROM catalog.part WHERE starts_with(path, ?)", [path]),
        ):
            assert len(same(db, sql, given)) >= 1  # type: ignore[arg-type]
    one = "SELECT path, size FROM catalog.part WHERE path = ?"
    for nothing in (None, "", "a/b", "/", "/a_b/x/", "no\0such", "\ud800", 5):
        same(db, one, [nothing])
    for wrong in ([], ["/a", "/b"], {"p": "/a"}):
        same(db, one, wrong)
    db.execute(f"PREPARE found AS {one.replace('?', '$1')}")
    assert rows_of(db, f"EXECUTE found('{paths[0]}')") == same(db, one, [paths[0]])
    db.execute("DEALLOCATE found")


def test_a_wildcard_in_a_name_is_one(db: Connection) -> None:
    with pagelake.connect() as con:
        tree_of = {"": ["a_b", "aXb", "a", "c_d"], "/a_b": ["f"], "/aXb": ["g"], "/a": ["b", "h"],
                   "/a/b": ["i"], "/c_d": ["e_e", "j"], "/c_d/e_e": ["k"]}  # fmt: skip
        names = {f"/r{path}": files for path, files in tree_of.items()}
        blocks = [
            mock.Mock(path=path.encode(), names=sorted(n.encode() for n in files))
            for path, files in names.items()
        ]
        fill(con, _blocks(blocks, set(names)), "r")
        all_three = "SELECT path FROM catalog.r WHERE path LIKE '/r/a_b/%'"
        assert [path for (path,) in same(con, all_three)] == [  # type: ignore[attr-defined]
            "/r/a/b/i", "/r/aXb/g", "/r/a_b/f",
        ]  # fmt: skip
        (wide,) = added(con, all_three)
        (exact,) = added(con, "SELECT path FROM catalog.r WHERE path LIKE '/r/c_d/%'")
        (deep,) = added(con, "SELECT path FROM catalog.r WHERE path LIKE '/r/c_d/e_e/%'")
        ((low, high),) = con.sql(
            "SELECT label, last_label FROM catalog.r_directories WHERE path = '/r/c_d'"
        ).fetchall()
        assert exact == f"directory BETWEEN {low} AND {high}"
        assert wide != exact != deep
        assert same(con, "SELECT path FROM catalog.r WHERE path LIKE '/r/c_d/e_e/%'") == [
            ("/r/c_d/e_e/k",)
        ]


def _blocks(plain: list[mock.Mock], folders: set[str]) -> list[object]:
    from pagelake.extensions.catalog.block import Block, order_key
    from tests.unit.engine.catalog_scan.path_statements import _entries

    random = Random(1)
    blocks = []
    for block in sorted(plain, key=lambda b: order_key(b.path)):
        inner = {n for n in block.names if (block.path + b"/" + n).decode() in folders}
        own = _entries([b""], {b""}, random)[0]
        blocks.append(Block(block.path, own, block.names, _entries(block.names, inner, random)))
    return blocks


def test_a_directory_that_has_no_row_costs_no_row(db: Connection) -> None:
    with pagelake.connect() as con:
        fill(con, tree(Random(3), b"/srv", 30), "c")
        state = con._session.snapshot().table("catalog", "c_directories")
        assert state is not None
        deep = max(paths_of(con, "c"), key=lambda path: path.count("/"))
        gone = deep.rpartition("/")[0]
        with mock.patch("pagelake.engine.session.require_changeable"):
            con.execute("DELETE FROM catalog.c_directories WHERE path = ?", [gone])
        for sql in (
            f"SELECT path FROM catalog.c WHERE path = '{deep}'",
            f"SELECT path FROM catalog.c WHERE starts_with(path, '{gone}/')",
            f"SELECT path FROM catalog.c WHERE parent_path = '{gone}'",
        ):
            assert same(con, sql)
            assert "BETWEEN" in added(con, sql)[0]


def test_what_a_session_has_changed_is_minded(db: Connection) -> None:
    plain = (p for p in paths_of(db, "part") if p.count("/") > 3 and "'" not in p)
    path = next(p for p in plain if p.rpartition("/")[2] in {"a", "aXb"})
    asked = f"SELECT path FROM catalog.part WHERE starts_with(path, '{path}')"
    session = db.cursor()
    session.execute("CREATE TEMP MACRO starts_with(a, b) AS true")
    assert len(session.sql(asked).fetchall()) == len(paths_of(db, "part"))
    other = db.cursor()
    other.execute("SET default_collation = 'NOCASE'")
    upper = f"SELECT path FROM catalog.part WHERE path = '{path.upper()}'"
    assert (path,) in other.sql(upper).fetchall()
    other.execute("RESET default_collation")
    assert rows_of(db, upper) == []
    db.execute("CREATE MACRO prefix(a, b) AS true")
    try:
        assert len(rows_of(db, asked.replace("starts_with", "prefix"))) == len(  # type: ignore[arg-type]
            paths_of(db, "part")
        )
    finally:
        db.execute("DROP MACRO prefix")


def test_rows_of_a_transaction_and_of_the_past(db: Connection) -> None:
    with pagelake.connect() as con:
        fill(con, tree(Random(3), b"/srv", 20), "c")
        version = con.sql("SELECT max(version) FROM pagelake.snapshots").fetchall()[0][0]
        before = paths_of(con, "c")
        fill(con, tree(Random(4), b"/srv", 20), "c")
        for path in before[:8]:
            text = path.replace("'", "''")
            sql = f"SELECT path FROM catalog.c AT (VERSION => {version}) WHERE path = '{text}'"
            assert same(con, sql) == [(path,)]
            same(con, f"SELECT path FROM catalog.c WHERE path = '{text}'")


def test_the_rule_is_idempotent_and_keeps_what_is_read(db: Connection) -> None:
    session = db._session
    sql = "SELECT path FROM catalog.part WHERE path = '/a' AND size > ?"
    plan = bind_text(session, sql, session.snapshot())
    assert plan.ranges
    assert path_range(plan) == plan
    assert optimize(plan) == plan
    assert plan.sql == sql


def test_the_first_rows_are_the_same_with_a_threshold(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pagelake.connect(settings={"background_maintenance": False}) as con:
        fill(con, tree(Random(9), b"/srv", 120), "c")
        con.execute("CALL pagelake.compact()")
        with mock.patch("pagelake.engine.session.require_changeable"):
            con.execute("DELETE FROM catalog_data.c_entries WHERE inode % 3 = 1")
            con.execute("INSERT INTO catalog_data.c_entries SELECT * REPLACE (size + 3 AS size) "
                        "FROM catalog_data.c_entries WHERE inode % 5 = 2")  # fmt: skip
        asked = [
            f"SELECT {columns} FROM catalog.c AS x {where} ORDER BY {key} LIMIT {limit}"
            for columns in ("size, name AS n, path", "* EXCLUDE (user_tags)")
            for where in ("", "WHERE path LIKE '%a%' OR size < 9 -- (\n")
            for key in ("size DESC, path", "size, path", "mtime DESC, size, path", "x.size, path",
                        "size DESC NULLS FIRST, path", "path", "used DESC, path")
            for limit in ("5 OFFSET 3", "10%")
        ]  # fmt: skip
        asked += [f"SELECT path FROM catalog.c ORDER BY size, path LIMIT {n}" for n in (0, 1, 400)]
        expected = [rows_of(con, sql) for sql in asked]
        monkeypatch.setattr(top_threshold, "_ROWS_MIN", 0)
        called = mock.Mock(wraps=top_threshold._last)
        by_part = mock.Mock(wraps=top_threshold._last_of_parts)
        monkeypatch.setattr(top_threshold, "_last", called)
        monkeypatch.setattr(top_threshold, "_last_of_parts", by_part)
        for sql, rows in zip(asked, expected, strict=True):
            assert rows_of(con, sql) == rows, sql
        assert called.called
        assert by_part.called
