"""The column `content`: which bytes are read, how many at once, and what goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.files import stored_content
from pagelake.engine.files.late_content import with_late_content
from pagelake.engine.files.stored_content import StoredContents

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute(
            "INSERT INTO files (path, content) SELECT '/d/' || i, repeat('x', 20000 + i::INTEGER) "
            "FROM range(40) t(i)"
        )
        # Rows in several places, so that the kernel has no table of its own to read them from.
        connection.execute("INSERT INTO files (path, content) VALUES ('/d/late', 'late')")
        yield connection


@pytest.fixture
def own() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        yield connection


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many contents were read, call by call."""
    counts: list[int] = []
    of_handles = StoredContents.of_handles

    def counted(self, snapshot, handles):  # type: ignore[no-untyped-def]
        counts.append(len(handles))
        return of_handles(self, snapshot, handles)

    monkeypatch.setattr(StoredContents, "of_handles", counted)
    return counts


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*), max(size) FROM files", 0),
        ("SELECT path FROM files ORDER BY size DESC LIMIT 5", 0),
        ("SELECT * EXCLUDE (content) FROM files", 0),
        ("SELECT content FROM files WHERE path = '/d/7'", 1),
        ("SELECT path, content FROM files ORDER BY size DESC LIMIT 5", 5),
        ("SELECT *, octet_length(content) FROM files AS f ORDER BY f.size, path LIMIT 3", 3),
        (
            "SELECT content FROM pagelake.files WHERE (size > 9) ORDER BY size LIMIT 2 OFFSET 1",
            2,
        ),
        ("SELECT content FROM files AT (VERSION => 1) WHERE size > 0 ORDER BY size LIMIT 4", 4),
        (
            "SELECT g.content FROM files f JOIN files g USING (handle) WHERE f.path = '/d/3'",
            1,
        ),
    ],
)
def test_content_is_read_where_it_is_named(
    db: pagelake.Connection, read: list[int], sql: str, expected: int
) -> None:
    db.sql(sql).fetchall()
    assert sum(read) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(content) FROM files ORDER BY 1 LIMIT 3",
        "SELECT octet_length(content) AS size FROM files ORDER BY size LIMIT 3",
        "SELECT path, content FROM files WHERE content IS NOT NULL ORDER BY size, path LIMIT 3",
        "SELECT path, content FROM files ORDER BY octet_length(content), path LIMIT 3",
        "SELECT DISTINCT content FROM files ORDER BY content LIMIT 3",
        "SELECT a.content FROM files a, files b WHERE a.path = b.path ORDER BY a.path LIMIT 2",
        "SELECT content, row_number() OVER (ORDER BY path) FROM files ORDER BY path LIMIT 2",
        "SELECT (SELECT max(path) FROM files), content FROM files ORDER BY path LIMIT 2",
        "SELECT content FROM files ORDER BY 1 LIMIT 2",
        "SELECT path AS size, content FROM files ORDER BY size LIMIT 2",
        "SELECT content FROM files WHERE size > 0 GROUP BY ALL ORDER BY content LIMIT 2",
        "SELECT content FROM files UNION SELECT content FROM files ORDER BY content LIMIT 2",
    ],
)
def test_what_cannot_be_put_off_is_left_as_it_is(db: pagelake.Connection, sql: str) -> None:
    assert with_late_content(sql, db._session.catalog()) == sql
    plain = f"SELECT * FROM ({sql}) AS answer"
    assert db.sql(sql).fetchall() == db.sql(plain).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT path, content FROM files ORDER BY size DESC, path LIMIT 7",
        "SELECT f.* FROM files f WHERE f.size > 20003 ORDER BY f.name DESC LIMIT 3 OFFSET 2",
        "SELECT upper(name), octet_length(content) + size AS n FROM files ORDER BY path LIMIT 4;",
    ],
)
def test_content_that_is_put_off_is_the_same(db: pagelake.Connection, sql: str) -> None:
    assert with_late_content(sql, db._session.catalog()) != sql
    # A CTE is a form that is not put off.
    plain = sql.replace("FROM files", "FROM every", 1).rstrip(";")
    assert db.sql(sql).fetchall() == db.sql(f"WITH every AS (FROM files) {plain}").fetchall()


def test_too_much_at_once_is_refused_and_tells_the_way_out(
    own: pagelake.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_content, "VECTOR_BYTES_MAX", 100_000)
    own.execute(
        "INSERT INTO files (path, content) SELECT '/d/' || i, repeat('x', 20000 + i::INTEGER) "
        "FROM range(6) t(i)"
    )
    with pytest.raises(pagelake.LimitExceeded, match=r"many files[\s\S]*EXCLUDE \(content\)"):
        own.sql("SELECT * FROM files").fetchall()
    some = own.sql("SELECT content FROM files WHERE size BETWEEN 20000 AND 20003").fetchall()
    assert [len(content) for (content,) in some] == [20000, 20001, 20002, 20003]
    own.execute("INSERT INTO files (path, content) VALUES ('/large', repeat('y', 100001))")
    with pytest.raises(pagelake.LimitExceeded, match=r"100,001 bytes[\s\S]*read_file\(path"):
        own.sql("SELECT content FROM files WHERE path = '/large'").fetchall()
    with pytest.raises(pagelake.LimitExceeded, match="100,001"):
        own.sql("SELECT read_file('/large')").fetchall()
    assert own.sql("SELECT read_file('/large', 99999, 5)").fetchall() == [(b"yy",)]


def test_damage_comes_as_what_it_is(
    db: pagelake.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise pagelake.Corrupt("the page is not what was written", file="segments/1")

    monkeypatch.setattr(StoredContents, "of_handles", damaged)
    with pytest.raises(pagelake.Corrupt, match="not what was written"):
        db.sql("SELECT content FROM files WHERE path = '/d/7'").fetchall()
    assert db.sql("SELECT count(*) FROM files").fetchall() == [(43,)]


def test_bytes_come_back_exactly(own: pagelake.Connection) -> None:
    exact = bytes(range(256)) * 1000
    own.execute("INSERT INTO files (path, content) VALUES (?, ?)", ["/exact", exact])
    assert own.sql("SELECT content FROM files WHERE path = '/exact'").fetchone() == (exact,)
    assert own.sql("SELECT read_file('/exact', 255, 3)").fetchone() == (b"\xff\x00\x01",)
    texts = ["back\\slash \\x41", "quote's", "", "ünï"]
    for number, text in enumerate(texts):
        own.execute("INSERT INTO files (path, content) VALUES (?, ?)", [f"/t{number}", text])
    found = own.sql("SELECT content FROM files WHERE path ~ '/t[0-9]' ORDER BY path").fetchall()
    assert [content.decode() for (content,) in found] == texts
