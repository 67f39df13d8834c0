"""UPDATE files SET path: as if all happened at once, whatever the order of the rows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.files.rename import Renaming, rename_all
from pagelake.storage.files.renaming import Rename

if TYPE_CHECKING:
    from pathlib import Path

TREE = ["/a", "/a/b", "/a/b/f", "/a/g", "/c", "/c/h", "/k"]


def renaming(handle: int, path: str, new_path: str | None) -> Renaming:
    kind = "FILE" if path[-1] in "fghk" else "DIR"
    parent = path.rpartition("/")[0] or "/"
    return Renaming(handle, TREE.index(parent) if parent in TREE else 1, path, kind, new_path)


def test_what_follows_from_a_directory_is_one_rename() -> None:
    below = [path for path in TREE if path.startswith("/a")]
    given = [renaming(n, path, f"/z{path[2:]}") for n, path in enumerate(below, 10)]
    random.Random(1).shuffle(given)
    operations = rename_all(given, "t")
    assert operations == [Rename((1, "a"), "/z", no_replace=True)]


def test_nothing_is_done_where_nothing_changes() -> None:
    assert rename_all([renaming(9, "/a/g", "/a//g")], "t") == []


REST = "/c /c/h /k"


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ({"/a": "/c", "/c": "/a"}, "/c /c/b /c/b/f /c/g /a /a/h /k"),
        ({"/a": "/c/a", "/c": "/d"}, "/c /c/a /c/a/b /c/a/b/f /c/a/g /d /d/h /k"),
        ({"/a": "/z", "/a/b": "/y"}, f"/z /z/g /y /y/f {REST}"),
        ({"/a": "/z", "/a/b": "/z/b", "/a/b/f": "/z/b/f"}, f"/z /z/b /z/b/f /z/g {REST}"),
        ({"/a": "/z", "/a/b/f": "/z/b/f2"}, f"/z /z/b /z/b/f2 /z/g {REST}"),
        ({"/k": "/c/h", "/c/h": "/k"}, " ".join(TREE)),
        ({"/k": "/n/w/k"}, "/a /a/b /a/b/f /a/g /c /c/h /n /n/w /n/w/k"),
        ({"/c": "/k/c", "/k": "/j"}, "/a /a/b /a/b/f /a/g /k /k/c /k/c/h /j"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_names_change_places(moves: dict[str, str], expected: str) -> None:
    with pagelake.connect() as db:
        rows = [(path, "FILE" if path[-1] in "fghk" else "DIR") for path in TREE]
        db.executemany("INSERT INTO files (path, element_type) VALUES (?, ?)", rows)
        before = dict(db.sql("SELECT path, handle FROM files").fetchall())
        cases = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in moves.items())
        listed = ", ".join(f"'{old}'" for old in moves)
        db.execute(f"UPDATE files SET path = CASE path {cases} END WHERE path IN ({listed})")
        after = dict(db.sql("SELECT path, handle FROM files").fetchall())
        assert after.keys() == {"/", *expected.split()}
        for old, new in moves.items():
            assert after[new] == before[old]


def test_a_directory_of_many_files_moves_in_one_transaction(store_path: Path) -> None:
    with pagelake.connect(store_path) as db:
        db.execute(
            "INSERT INTO files (path) SELECT '/many/d' || (i // 100) || '/f' || i "
            "FROM range(500) t(i)"
        )
        handles = "SELECT md5(string_agg(handle::VARCHAR, ',' ORDER BY handle)) FROM files"
        before = db.sql(handles).fetchone()
        version = db.sql("SELECT max(version) FROM pagelake.snapshots").fetchone()
        db.execute("UPDATE files SET path = '/moved' WHERE path = '/many'")
        assert db.sql(handles).fetchone() == before
        moved = db.sql("SELECT count(*) FROM files WHERE starts_with(path, '/moved/')").fetchone()
        assert moved == (505,)
        assert version is not None
        latest = db.sql("SELECT max(version) FROM pagelake.snapshots").fetchone()
        assert latest == (version[0] + 1,)
        with pagelake.connect(store_path) as other:
            found = other.sql("SELECT path FROM files WHERE path = '/moved/d4/f477'").fetchall()
            assert found == [("/moved/d4/f477",)]


def test_a_path_for_two_is_refused() -> None:
    with pytest.raises(pagelake.InvalidRequest, match="cannot both become '/z'"):
        rename_all([renaming(8, "/a/g", "/z"), renaming(9, "/k", "/z")], "t")
    with pytest.raises(pagelake.InvalidRequest, match="ends with a slash"):
        rename_all([renaming(9, "/k", "/z/")], "t")
