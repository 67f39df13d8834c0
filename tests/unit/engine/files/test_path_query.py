"""One file by its path without the kernel: the same as by the kernel, whatever is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.files.path_query import compile_path_query
from pagelake.engine.keys.rows_result import RowsResult
from pagelake.storage.files.operations import Create, MakeDirectory, MakeLink

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = ["/", "/a", "/a/x.txt", "/bad\U0010ffff", "/link", "/further", "/bucket/k", "/nope", "/a/"]
OTHERS = ["", "a", "/a/../a", "/a//x.txt", "/a/x.txt/below", "/n\0l", "/" + "n" * 300]


@pytest.fixture(scope="module")
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute(
            "INSERT INTO files (path, content, user_tags, content_type, symlink_path) VALUES "
            "('/a/x.txt', repeat('x', 30000), MAP {'k': 'v', 'a': 'b'}, 'text/plain', NULL), "
            "('/link', NULL, NULL, NULL, 'a/x.txt')"
        )
        connection.execute("UPDATE files SET mtime = TIMESTAMP_NS '1969-12-31 23:59:59.123456789'")
        files = connection._session.database.files
        files.run(
            MakeLink("/a/x.txt", "/further"),
            Create("/bad\U0010ffff"),
            MakeDirectory("/bucket", bucket=True),
            Create("/bucket/k"),
        )
        yield connection


@pytest.mark.parametrize("path", [*PATHS, *OTHERS])
@pytest.mark.parametrize("view", ["files", "pagelake.objects"])
def test_a_row_is_the_kernels(db: pagelake.Connection, view: str, path: str) -> None:
    quick = db.sql(f"SELECT * FROM {view} WHERE path = ?", [path])
    slow = db.sql(f"SELECT * FROM {view} WHERE path = ? AND true", [path])
    assert isinstance(quick, RowsResult)
    assert not isinstance(slow, RowsResult)
    assert (quick.columns, quick.types) == (slow.columns, slow.types)
    rows = slow.fetchall()
    assert quick.fetchall() == rows
    tables = [db.sql(f"SELECT * FROM {view} WHERE path = ?{more}", [path]).arrow()
              for more in ("", " AND true")]  # fmt: skip
    assert tables[0].schema.types == tables[1].schema.types
    assert tables[0].to_pylist() == tables[1].to_pylist()
    assert len(rows) == (path in ({"/bucket/k"} if "objects" in view else {*PATHS[:5], PATHS[6]}))


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT path AS p, f.size FROM files AS f WHERE f.path = '/a/x.txt';", None),
        ("SELECT content FROM files WHERE path = $path", {"path": "/a/x.txt"}),
        ('SELECT "path", SIZE FROM "files" WHERE "path" = $1', ["/a"]),
    ],
)
def test_forms_that_are_looked_up(db: pagelake.Connection, sql: str, parameters: object) -> None:
    found = db.sql(sql, parameters)
    assert isinstance(found, RowsResult)
    slow = db.sql(f"SELECT * FROM ({sql.rstrip(';')}) AS t", parameters)
    assert found.columns == slow.columns
    assert found.fetchall() == slow.fetchall() != []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT upper(path) FROM files WHERE path = '/a'",
        "SELECT path FROM files WHERE path = '/a' OR path = '/link'",
        "SELECT path FROM files WHERE path = '/a' LIMIT 1",
        "SELECT path FROM files, range(2) WHERE path = '/a'",
        "SELECT count(*) FROM files WHERE path = '/a'",
        "SELECT g.path FROM files AS f WHERE path = '/a'",
        "SELECT path FROM files AT (VERSION => 1) WHERE path = '/a'",
        "SELECT nothing FROM files WHERE path = '/a'",
        "SELECT path FROM files WHERE size = 3",
    ],
)
def test_others_are_the_kernels(db: pagelake.Connection, sql: str) -> None:
    assert compile_path_query(sql, db._session.catalog()) is None


def test_wrong_parameters_are_told_by_the_kernel(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.InvalidRequest):
        db.sql("SELECT path FROM files WHERE path = ?", []).fetchall()
    with pytest.raises(pagelake.InvalidRequest):
        db.sql("SELECT path FROM files WHERE path = ?", ["/a", "/b"]).fetchall()
    assert db.sql("SELECT path FROM files WHERE path = ?", [None]).fetchall() == []
    with pytest.raises(pagelake.InvalidValue):
        db.sql("SELECT path FROM files WHERE path = 7").fetchall()


def test_a_lookup_sees_what_its_transaction_did(db: pagelake.Connection) -> None:
    sql = "SELECT content FROM files WHERE path = ?"
    with db.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO files (path, content) VALUES ('/pending', 'mine')")
        assert cursor.sql(sql, ["/pending"]).fetchall() == [(b"mine",)]
        assert db.sql(sql, ["/pending"]).fetchall() == []
        cursor.execute("ROLLBACK")
        assert cursor.sql(sql, ["/pending"]).fetchall() == []


def test_a_table_of_the_users_comes_first() -> None:
    with pagelake.connect() as own:
        sql = "SELECT path FROM files WHERE path = '/'"
        assert own.sql(sql).fetchall() == []
        own.execute("INSERT INTO files (path) VALUES ('/a')")
        assert own.sql(sql).fetchall() == [("/",)]
        own.execute("CREATE TABLE files AS SELECT '/' AS path FROM range(3)")
        assert own.sql(sql).fetchall() == [("/",)] * 3
        own.execute("DROP TABLE files")
        own.execute("CREATE TEMP TABLE files AS SELECT '/' AS path FROM range(2)")
        assert own.sql(sql).fetchall() == [("/",)] * 2
