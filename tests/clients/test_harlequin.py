"""What Harlequin expects of an adapter: the tests of its adapter template, and our own."""

from __future__ import annotations

import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("harlequin")

from harlequin.adapter import HarlequinAdapter, HarlequinConnection, HarlequinCursor
from harlequin.autocomplete.completion import HarlequinCompletion
from harlequin.catalog import Catalog, CatalogItem
from harlequin.exception import (
    HarlequinConfigError,
    HarlequinConnectionError,
    HarlequinQueryError,
)
from textual_fastdatatable.backend import create_backend

import pagelake
from pagelake.engine.clients.harlequin import PagelakeAdapter
from pagelake.engine.clients.harlequin.browse import type_label

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake.engine.clients.harlequin.adapter import PagelakeConnection


@pytest.fixture
def connection() -> Iterator[PagelakeConnection]:
    opened = PagelakeAdapter([":memory:"]).connect()
    yield opened
    opened.close()


def test_the_plug_in_is_discovered() -> None:
    found = entry_points(group="harlequin.adapter")["pagelake"]
    assert issubclass(found.load(), HarlequinAdapter)


def test_connect(connection: PagelakeConnection) -> None:
    assert isinstance(connection, HarlequinConnection)
    assert connection.init_message


def test_options_that_it_does_not_know_are_ignored() -> None:
    opened = PagelakeAdapter([], foo=1, bar="baz", memory_limit="1GB").connect()
    shown = opened.execute("SELECT value FROM pagelake.settings WHERE name = 'memory_limit'")
    assert shown is not None
    assert "1" in str(shown.fetchall().to_pylist())
    opened.close()


def test_an_option_of_a_wrong_type_is_a_configuration_error() -> None:
    with pytest.raises(HarlequinConfigError):
        PagelakeAdapter([], at=[1])  # type: ignore[arg-type]


def test_what_cannot_be_opened_is_a_connection_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no store")
    with pytest.raises(HarlequinConnectionError):
        PagelakeAdapter([str(file)]).connect()


def test_read_only_and_the_past(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with pagelake.connect(store) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
        before = db.snapshot()
        db.execute("INSERT INTO t VALUES (1)")
    reader = PagelakeAdapter([store], read_only=True).connect()
    with pytest.raises(HarlequinQueryError):
        reader.execute("INSERT INTO t VALUES (2)")
    reader.close()
    past = PagelakeAdapter([store], at=str(before)).connect()
    rows = past.execute("FROM t")
    assert rows is not None
    assert rows.fetchall() is None
    past.close()


def test_connections_are_told_apart_by_what_they_read() -> None:
    assert PagelakeAdapter([":memory:"]).connection_id == ""
    assert PagelakeAdapter(["a"]).connection_id != PagelakeAdapter(["b"]).connection_id
    assert PagelakeAdapter(["a"]).connection_id != PagelakeAdapter(["a"], at="1").connection_id


def by_label(items: list[CatalogItem]) -> dict[str, CatalogItem]:
    return {item.label: item for item in items}


def test_get_catalog(connection: PagelakeConnection) -> None:
    connection.execute("CREATE SCHEMA s")
    connection.execute("CREATE TABLE s.t (a INTEGER, b DECIMAL(10, 2)[])")
    connection.execute('CREATE TABLE "Odd one" (a INTEGER)')
    connection.execute("CREATE VIEW v AS SELECT a AS x, b AS y FROM s.t")
    connection.execute("CREATE TEMP TABLE mine (j JSON)")
    catalog = connection.get_catalog()
    assert isinstance(catalog, Catalog)
    schemas = by_label(catalog.items)
    assert list(schemas) == ["main", "s", "temp", "pagelake"]
    table = by_label(schemas["s"].children)["t"]
    assert (table.type_label, table.query_name) == ("t", '"s"."t"')
    assert [(c.label, c.type_label, c.type_name) for c in table.children] == [
        ("a", "#", "INTEGER"),
        ("b", "[#]", "DECIMAL(10,2)[]"),
    ]
    main = by_label(schemas["main"].children)
    assert main["Odd one"].query_name == '"Odd one"'
    assert (main["v"].type_label, [c.label for c in main["v"].children]) == ("v", ["x", "y"])
    assert [c.type_name for c in schemas["temp"].children[0].children] == ["JSON"]
    system = by_label(schemas["pagelake"].children)
    assert {"snapshots", "settings", "relations"} <= set(system)
    assert "version" in by_label(system["snapshots"].children)
    for schema in catalog.items:  # what is inserted into the editor must run
        for relation in schema.children:
            assert connection.execute(f"SELECT * FROM {relation.query_name} LIMIT 0")


def test_a_broken_view_does_not_hide_the_rest(connection: PagelakeConnection) -> None:
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.execute("CREATE VIEW v AS SELECT a FROM t")
    connection.execute("ALTER TABLE t RENAME TO u")
    main = by_label(by_label(connection.get_catalog().items)["main"].children)
    assert main["v"].children == []
    assert len(main["u"].children) == 1


def test_execute_ddl(connection: PagelakeConnection) -> None:
    assert connection.execute("CREATE TABLE foo (a INTEGER)") is None
    assert connection.execute("INSERT INTO foo VALUES (1)") is None


def test_execute_select(connection: PagelakeConnection) -> None:
    cursor = connection.execute("SELECT 1 AS a, 'x' AS b, 1.5::DOUBLE AS c")
    assert isinstance(cursor, HarlequinCursor)
    assert cursor.columns() == [("a", "#"), ("b", "s"), ("c", "#.#")]
    backend = create_backend(cursor.fetchall())
    assert (backend.column_count, backend.row_count) == (3, 1)


def test_execute_select_duplicate_columns(connection: PagelakeConnection) -> None:
    cursor = connection.execute("SELECT 1 AS a, 2 AS a, 3 AS a")
    assert cursor is not None
    assert len(cursor.columns()) == 3
    backend = create_backend(cursor.fetchall())
    assert (backend.column_count, backend.row_count) == (3, 1)


@pytest.mark.parametrize(("limit", "expected"), [(2, 2), (3, 3), (100, 3)])
def test_set_limit(connection: PagelakeConnection, limit: int, expected: int) -> None:
    cursor = connection.execute("SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3")
    assert cursor is not None
    limited = cursor.set_limit(limit)
    assert isinstance(limited, HarlequinCursor)
    assert create_backend(limited.fetchall()).row_count == expected


def test_a_limit_leaves_the_connection_usable(connection: PagelakeConnection) -> None:
    cursor = connection.execute("SELECT * FROM range(10_000_000)")
    assert cursor is not None
    assert cursor.set_limit(10).fetchall().num_rows == 10
    assert connection.execute("SELECT 1") is not None


def test_execute_raises_query_error(connection: PagelakeConnection) -> None:
    for wrong in ("selec;", "SELECT * FROM nowhere"):
        with pytest.raises(HarlequinQueryError):
            connection.execute(wrong)
    failing = connection.execute("SELECT CAST(a AS INTEGER) FROM (VALUES ('x')) v(a)")
    assert failing is not None
    with pytest.raises(HarlequinQueryError):
        failing.fetchall()


def test_cancel(connection: PagelakeConnection) -> None:
    cursor = connection.execute(
        "SELECT sum(a.i * b.i) FROM range(10_000_000) a(i), range(1_000_000) b(i)"
    )
    assert cursor is not None
    fetched: list[object] = []
    done = threading.Event()

    def fetch() -> None:
        fetched.append(cursor.fetchall())
        done.set()

    thread = threading.Thread(target=fetch)
    thread.start()
    while not done.wait(0.05):  # the query may not have begun at the first
        connection.cancel()
    thread.join()
    assert fetched == [None]
    assert connection.execute("SELECT 1") is not None


def test_transactions_span_statements(connection: PagelakeConnection) -> None:
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("CREATE TABLE pending (a INTEGER)")
    assert "pending" in by_label(by_label(connection.get_catalog().items)["main"].children)
    connection.execute("ROLLBACK")
    rows = connection.execute("SELECT count(*) AS n FROM t")
    assert rows is not None
    assert rows.fetchall().to_pylist() == [{"n": 0}]


def test_completions(connection: PagelakeConnection) -> None:
    found = connection.get_completions()
    assert all(isinstance(completion, HarlequinCompletion) for completion in found)
    known = {(completion.label, completion.type_label) for completion in found}
    assert {("list_transform", "fn"), ("qualify", "kw"), ("memory_limit", "set")} <= known


def test_validate_sql(connection: PagelakeConnection) -> None:
    assert connection.validate_sql("SELECT 1; SELECT 2") == "SELECT 1; SELECT 2"
    assert connection.validate_sql("SELECT 'open") == ""


@pytest.mark.parametrize(
    ("type_text", "label"),
    [("INTEGER", "#"), ("DECIMAL(10,2)", "#.#"), ("VARCHAR[]", "[s]"), ("STRUCT(a INTEGER)", "{}"),
     ("MAP(VARCHAR, INTEGER)", "{m}"), ("ENUM('a)', 'b')", "e"), ("GEOMETRY", "?")],
)  # fmt: skip
def test_type_labels(type_text: str, label: str) -> None:
    assert type_label(type_text) == label
