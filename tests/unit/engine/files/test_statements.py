"""Files changed by statements: many rows, several connections, what goes wrong on the way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.storage.content.content_store import ContentStore
from pagelake.storage.files.file_error import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def db(request: pytest.FixtureRequest) -> Iterator[pagelake.Connection]:
    """A store on disk where the test opens it twice, in memory otherwise."""
    where = "store_path" in request.fixturenames and request.getfixturevalue("store_path")
    with pagelake.connect(where or ":memory:") as connection:
        yield connection


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[bool | None]:
    """How the contents ended that were let go of."""
    told: list[bool | None] = []
    release = ContentStore.release

    def noted(self, content, *, committed):  # type: ignore[no-untyped-def]
        told.append(committed)
        release(self, content, committed=committed)

    monkeypatch.setattr(ContentStore, "release", noted)
    return told


def count(db: pagelake.Connection, where: str = "true") -> int:
    found = db.sql(f"SELECT count(*) FROM files WHERE {where}").fetchone()
    assert found is not None
    return int(found[0])


def test_many_rows_are_one_transaction(db: pagelake.Connection) -> None:
    db.execute("CREATE TABLE t (a INTEGER)")
    rows = [(f"/d{n % 7}/f{n}", b"x" * 5 * n) for n in range(300)]
    db.executemany("INSERT INTO files (path, content) VALUES (?, ?)", rows)
    assert count(db, "element_type = 'FILE'") == 300
    assert db.sql("SELECT sum(octet_length(content)) = sum(size) FROM files").fetchone() == (True,)
    assert db.sql("SELECT max(version) FROM pagelake.snapshots").fetchone() == (2,)
    groups = "SELECT count(*) FROM pagelake.row_groups WHERE table_name = 'chunks'"
    assert db.sql(groups).fetchone() == (1,)  # however many contents there are
    with pytest.raises(FileError, match="'/d0/f7' already"):
        db.executemany(
            "INSERT INTO files (path, content) VALUES (?, ?)", [("/new", b""), ("/d0/f7", b"")]
        )
    assert count(db, "path = '/new'") == 0


def test_ten_thousand_rows_of_one_statement(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO files (path) SELECT '/n/' || i FROM range(10000) t(i)")
    assert count(db) == 10002
    assert count(db, "path = '/n/9999'") == 1


def test_contents_are_let_go_of_with_their_transaction(
    db: pagelake.Connection, released: list[bool | None]
) -> None:
    large = b"x" * 100_000
    insert = "INSERT INTO files (path, content) VALUES (?, ?)"
    db.execute(insert, ["/kept", large])
    assert released == [True]
    with pytest.raises(FileError):
        db.execute(insert, ["/kept", large])
    assert released == [True, False]
    db.execute("BEGIN")
    db.execute(insert, ["/gone", large])
    db.execute("UPDATE files SET content = repeat('y', 90000) WHERE path = '/kept'")
    assert len(released) == 2
    db.execute("ROLLBACK")
    assert released == [True, False, False, False]
    assert db.sql("SELECT path, content FROM files WHERE size > 0").fetchall() == [("/kept", large)]


def test_the_same_name_is_given_once(db: pagelake.Connection) -> None:
    """Each of several writers of one name succeeds or is told that there is something already."""
    db.execute("INSERT INTO files (path) VALUES ('/race/')")
    outcomes: list[str] = []

    def write(number: int) -> None:
        with db.cursor() as cursor:
            for name in range(5):
                try:
                    row = [f"/race/{name}", f"by {number}"]
                    cursor.execute("INSERT INTO files (path, content) VALUES (?, ?)", row)
                    outcomes.append("made")
                except FileError as error:
                    assert "already" in str(error)
                    outcomes.append("there")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made"] * 5 + ["there"] * 15
    assert count(db, "parent_path = '/race'") == 5


def test_a_row_is_seen_by_others_once_the_statement_is_over(
    store_path: Path, db: pagelake.Connection
) -> None:
    with pagelake.connect(store_path) as other:
        for number in range(10):
            row = [f"/seen/{number}", b"now"]
            db.execute("INSERT INTO files (path, content) VALUES (?, ?)", row)
            found = other.sql("SELECT content FROM files WHERE path = ?", row[:1]).fetchall()
            assert found == [(b"now",)]


def test_open_transactions_conflict_over_a_file(store_path: Path, db: pagelake.Connection) -> None:
    db.execute("INSERT INTO files (path, content) VALUES ('/f', 'first')")
    with pagelake.connect(store_path) as other:
        db.execute("BEGIN")
        db.execute("UPDATE files SET content = 'mine' WHERE path = '/f'")
        other.execute("UPDATE files SET content = 'theirs' WHERE path = '/f'")
        with pytest.raises(pagelake.Conflict):
            db.execute("COMMIT")
        assert db.sql("SELECT content FROM files WHERE path = '/f'").fetchone() == (b"theirs",)
        db.execute("BEGIN")
        db.execute("INSERT INTO files (path) VALUES ('/both')")
        other.execute("INSERT INTO files (path) VALUES ('/both')")
        with pytest.raises(pagelake.Conflict):
            db.execute("COMMIT")
        assert count(db, "path = '/both'") == 1


def test_a_directory_does_not_go_below_a_new_file(
    store_path: Path, db: pagelake.Connection
) -> None:
    db.execute("INSERT INTO files (path) VALUES ('/d/old')")
    with pagelake.connect(store_path) as other:
        db.execute("BEGIN")
        db.execute("DELETE FROM files WHERE path IN ('/d', '/d/old')")
        other.execute("INSERT INTO files (path) VALUES ('/d/new')")
        with pytest.raises(pagelake.Conflict):
            db.execute("COMMIT")
    assert count(db, "starts_with(path, '/d')") == 3


def test_what_may_not_be_changed(store_path: Path, db: pagelake.Connection) -> None:
    db.execute("INSERT INTO files (path, content) VALUES ('/f', 'x')")
    insert = "INSERT INTO files (path) VALUES ('/g')"
    with pagelake.connect(store_path, read_only=True) as reader:
        assert reader.sql("SELECT read_file('/f')").fetchone() == (b"x",)
        with pytest.raises(pagelake.Denied, match="read-only"):
            reader.execute(insert)
        with pytest.raises(pagelake.Denied, match="read-only"):
            reader.execute("COPY (SELECT 1) TO 'pagelake:///g.csv'")
    with (
        pagelake.connect(store_path, at=1) as past,
        pytest.raises(pagelake.Denied, match="reads version 1"),
    ):
        past.execute(insert)
    db.execute("BEGIN TRANSACTION READ ONLY")
    with pytest.raises(pagelake.Denied, match="READ ONLY"):
        db.execute(insert)
    db.execute("ROLLBACK")


def test_a_statement_that_fails_half_way_leaves_nothing(db: pagelake.Connection) -> None:
    with pytest.raises(pagelake.Error, match="half-way"):
        db.execute(
            "INSERT INTO files (path, content) SELECT '/x/' || i, "
            "CASE WHEN i = 4500 THEN error('half-way') ELSE 'c' END FROM range(5000) t(i)"
        )
    assert count(db) == 0  # not even the tables were made
    db.execute("INSERT INTO files (path) VALUES ('/a/1'), ('/a/2'), ('/b')")
    with pytest.raises(FileError, match="'/b' already"):
        db.execute("UPDATE files SET path = if(name = '1', '/new', '/b') WHERE parent_path = '/a'")
    assert count(db, "path = '/new'") == 0


def test_explain_tells_how_rows_are_found(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO files (path) VALUES ('/a/1'), ('/a/2')")
    for sql in ("UPDATE files SET uid = 7 WHERE path = '/a/1'", "DELETE FROM files WHERE size = 0"):
        told = db.sql(f"EXPLAIN {sql}").fetchall()
        assert "file_data.elements" in told[0][1], told[0][1]
    db.execute("EXPLAIN ANALYZE UPDATE files SET uid = 7 WHERE path = '/a/1'")
    assert count(db, "uid = 7") == 1
    told = db.sql("EXPLAIN INSERT INTO files (path) SELECT path || 'x' FROM files").fetchall()
    assert "file_data.elements" in told[0][1]


def test_objects_are_the_files_in_buckets(db: pagelake.Connection) -> None:
    from pagelake.storage.files.operations import Create, MakeDirectory

    files = db._session.database.files
    files.run(MakeDirectory("/bucket", bucket=True), Create("/bucket/a/key", parents=True))
    db.execute("INSERT INTO files (path, content) VALUES ('/bucket/b', 'x'), ('/outside', 'y')")
    found = db.sql("SELECT path, content FROM objects ORDER BY path").fetchall()
    assert found == [("/bucket/a/key", b""), ("/bucket/b", b"x")]
    late = db.sql("SELECT path, content FROM objects ORDER BY size DESC LIMIT 1").fetchall()
    assert late == [("/bucket/b", b"x")]
