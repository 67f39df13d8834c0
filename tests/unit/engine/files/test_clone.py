"""CREATE DIRECTORY … CLONE: rows of its own, shared bytes, names that several elements share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.storage.content.extent import NEAR_MAX
from pagelake.storage.files.operations import Create, MakeDirectory, MakeLink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        yield connection


def test_further_names_stay_within_the_clone(db: pagelake.Connection) -> None:
    files = db._session.database.files
    db.execute("INSERT INTO files (path, content) VALUES ('/a/x', 'in'), ('/out', 'outer')")
    db.execute("UPDATE files SET user_tags = MAP {'k': name} WHERE element_type = 'FILE'")
    files.run(
        MakeLink("/a/x", "/a/x2"), MakeLink("/a/x", "/beside"), MakeLink("/out", "/a/o"),
        MakeLink("/a/x", "/a/x3"),
    )  # fmt: skip
    db.execute("CREATE DIRECTORY '/b' CLONE '/a'")
    with files.snapshot() as view:
        cloned = {name: view.get(f"/b/{name}") for name in ("x", "x2", "x3", "o")}
        assert len({element.handle for element in cloned.values()}) == 2
        assert [element.nlinks for element in cloned.values()] == [3, 3, 3, 1]
        assert [view.get(f"/a/{name}").nlinks for name in ("x", "o")] == [4, 2]
        assert cloned["x"].handle != view.get("/a/x").handle
        assert cloned["o"].size == 5
    db.execute("UPDATE files SET content = 'changed' WHERE path = '/b/x'")
    found = db.sql("SELECT read_file('/b/x2'), read_file('/a/x2'), read_file('/b/o')").fetchone()
    assert found == (b"changed", b"in", b"outer")


def test_bytes_are_shared_and_outlive_the_source(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        clone_a_large_file(db)
    assert pagelake.check(store_path).findings == ()


def clone_a_large_file(db: pagelake.Connection) -> None:
    files = db._session.database.files
    pieces = [bytes([n]) * 3000 + str(n).encode() * 9000 for n in range(200)]
    with files.content.write() as writer:
        for number, piece in enumerate(pieces):
            writer.write(piece)
            if number % 2:
                writer.hole(70_000)
        content = writer.finish()
    files.run(Create("/a/large", content, parents=True))
    row = db.sql("SELECT extents IS NULL FROM file_data.elements WHERE name = 'large'").fetchone()
    assert row == (content.extents is None,)
    assert content.far_extents is not None, f"more than {NEAR_MAX} extents"
    digest = "SELECT md5(content) FROM files WHERE name = 'large' AND parent_path = ?"
    before = db.sql(digest, ["/a"]).fetchone()
    db.execute("CREATE DIRECTORY '/b' CLONE '/a'")
    db.execute("DELETE FROM files WHERE path IN ('/a', '/a/large')")
    assert db.sql(digest, ["/b"]).fetchone() == before


def test_buckets_and_times_of_a_clone(db: pagelake.Connection) -> None:
    files = db._session.database.files
    files.run(MakeDirectory("/a"), MakeDirectory("/a/bucket", bucket=True))
    db.execute("INSERT INTO files (path) VALUES ('/a/bucket/k'), ('/a/plain')")
    files.run(MakeDirectory("/other", bucket=True))
    db.execute("CREATE DIRECTORY '/b' CLONE '/a'")
    db.execute("CREATE DIRECTORY '/other/c' CLONE '/a'")
    rows = db.sql(
        "SELECT c.path, b.path FROM files c LEFT JOIN files b ON b.handle = c.bucket_id "
        "WHERE c.name IN ('k', 'plain') ORDER BY c.path"
    ).fetchall()
    assert rows == [
        ("/a/bucket/k", "/a/bucket"),
        ("/a/plain", None),
        ("/b/bucket/k", "/b/bucket"),
        ("/b/plain", None),
        ("/other/c/bucket/k", "/other/c/bucket"),
        ("/other/c/plain", "/other"),
    ]
    times = (
        "SELECT count(*) FROM files a JOIN files b ON b.path = '/b' || substr(a.path, 3) "
        "WHERE starts_with(a.path, '/a/') AND a.mtime = b.mtime AND a.ctime < b.ctime "
        "AND b.creation_time > a.creation_time AND a.nlinks = b.nlinks"
    )
    assert db.sql(times).fetchone() == (3,)


def test_a_clone_within_itself_and_of_the_root(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO files (path, content) VALUES ('/a/b/f', 'x')")
    db.execute("CREATE DIRECTORY '/a/inner' CLONE '/a'")
    db.execute("CREATE DIRECTORY '/all' CLONE '/'")
    found = db.sql("SELECT path FROM files WHERE element_type = 'FILE' ORDER BY path").fetchall()
    expected = ["/a/b/f", "/a/inner/b/f", "/all/a/b/f", "/all/a/inner/b/f"]
    assert [path for (path,) in found] == expected
    kinds = "SELECT count(*) FROM files WHERE element_type = 'DIR' AND parent_handle = 1"
    assert db.sql(kinds).fetchone() == (2,)
    db.execute("BEGIN")
    db.execute("CREATE DIRECTORY '/pending' CLONE '/all'")
    assert db.sql("SELECT read_file('/all/a/b/f')").fetchone() == (b"x",)
    assert db.sql("SELECT content FROM files WHERE path = '/pending/a/b/f'").fetchone() == (b"x",)
    db.execute("ROLLBACK")
    assert db.sql("SELECT count(*) FROM files WHERE path = '/pending'").fetchone() == (0,)
