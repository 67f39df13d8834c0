"""Reports: what they answer, against the operating system, and how they refuse."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import pagelake
from pagelake import InvalidRequest, UnknownName
from pagelake.extensions.reports import REPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake import Connection

DAY = 86_400
OLD = ("a/x/deep.txt", 800)
SIZES = {"top.txt": 5, "a/one.csv": 3000, "a/x/deep.txt": 70_000, "b/two.csv": 10, "b/empty": 0}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("reports") / "it's"
    for name, size in SIZES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    then = time.time() - OLD[1] * DAY
    os.utime(root / OLD[0], (then, then))
    return root


@pytest.fixture(scope="module")
def db(tree: Path) -> Iterator[Connection]:
    with pagelake.connect() as con:
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(tree)])
        yield con


def rows(con: Connection, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    return con.sql(sql, parameters).fetchall()


def test_usage_by_extension_is_what_lies_there(db: Connection) -> None:
    told = rows(db, "SELECT extension, files, bytes FROM report_usage('proj', by => 'extension')")
    known: Counter[str] = Counter()
    for name, size in SIZES.items():
        known[name.rpartition(".")[2] if "." in name else ""] += size
    assert {name: size for name, files, size in told if files and name} == {
        name: size for name, size in known.items() if name
    }
    assert sum(files for _, files, _ in told) == len(SIZES)


def test_a_path_is_a_subtree_and_no_prefix_of_names(db: Connection, tree: Path) -> None:
    sql = "SELECT files, bytes FROM report_usage('proj', path => ?)"
    expected = [(2, 73_000 + os.lstat(tree / "a/x").st_size)]
    assert rows(db, sql, [str(tree / "a")]) == rows(db, sql, [f"{tree}/a//"]) == expected
    assert rows(db, "FROM report_usage('proj', path => ?)", [str(tree / "a/x/deep")]) == []


def test_directories_agree_with_sums_and_du(db: Connection, tree: Path) -> None:
    for given in ("", f", path => '{str(tree).replace(chr(39), chr(39) * 2)}/'"):
        told = rows(db, f"SELECT directory, bytes FROM report_directories('proj'{given})")
        expected = {
            str(tree / name): sum(
                os.lstat(os.path.join(path, entry)).st_size
                for path, directories, files in os.walk(tree / name)
                for entry in (*directories, *files)
            )
            + os.lstat(tree / name).st_size
            for name in ("a", "b")
        }
        assert dict(told) == expected


def test_growth_counts_what_was_written_lately_at_a_depth(db: Connection, tree: Path) -> None:
    told = rows(db, "SELECT directory, files, bytes FROM report_growth('proj')")
    assert {(name.removeprefix(str(tree)), files, size) for name, files, size in told} == {
        ("", 1, 5),
        ("/a", 1, 3000),
        ("/b", 2, 10),
    }
    deeper = rows(
        db,
        "SELECT directory, files FROM report_growth('proj', depth => 2, since => '9 years')",
    )
    assert (str(tree / "a/x"), 1) in deeper


def test_old_files_are_for_purge_with_their_total(db: Connection, tree: Path) -> None:
    told = rows(db, "SELECT path, size, total_files FROM report_purge('proj')")
    assert told == [(str(tree / OLD[0]), 70_000, 1)]
    assert rows(db, "FROM report_purge('proj', older_than => INTERVAL 4 YEAR)") == []
    large = "SELECT path FROM report_large_old('proj', larger_than => 69999)"
    assert rows(db, large) == [(str(tree / OLD[0]),)]
    assert rows(db, "FROM report_large_old('proj')") == []


def test_histograms_hold_every_file_once(db: Connection) -> None:
    for report in ("report_ages", "report_sizes"):
        assert rows(db, f"SELECT sum(files) FROM {report}('proj')") == [(len(SIZES),)]
    assert rows(db, "SELECT age FROM report_ages('proj')") == [("up to a day",), ("up to 5 years",)]
    (first, *_) = rows(db, "SELECT file_size, files FROM report_sizes('proj')")
    assert first == ("empty", 1)


def test_permission_changes_are_told(db: Connection, tree: Path) -> None:
    # utime set mtime back, and with it went ctime forward: that is what this finds.
    told = dict(rows(db, "SELECT path, element_type FROM report_permission_changes('proj')"))
    assert told[str(tree / OLD[0])] == "FILE"


def test_reports_join_and_nest_like_relations(db: Connection) -> None:
    joined = """
        SELECT count(*) FROM report_usage('proj', by => 'extension') u
        JOIN (SELECT * FROM report_usage('proj', by => 'extension', version => 1)) v
          USING (extension, used)
        WHERE extension IN (SELECT 'csv' FROM pagelake.report_sizes('proj'))"""
    assert rows(db, joined) == [(1,)]
    db.execute("CREATE VIEW by_owner AS FROM report_usage('proj')")
    assert rows(db, "FROM by_owner") == rows(db, "FROM report_usage('proj')")
    db.execute("DROP VIEW by_owner")


def test_a_version_is_the_catalog_as_it_was(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "one").write_bytes(b"1")
    with pagelake.connect() as con:
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(root)])
        (root / "two").write_bytes(b"22")
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(root)])
        sql = "SELECT sum(files) FROM report_usage('proj', version => ?)"
        assert [rows(con, sql, [version]) for version in (1, None)] == [[(1,)], [(2,)]]


def test_tags_are_found(db: Connection) -> None:
    assert rows(db, "FROM report_tagged('proj', tag => 'project')") == []
    assert len(rows(db, "FROM report_usage('proj', by => 'user_tags.it''s')")) == 1


def test_a_macro_of_the_users_comes_first() -> None:
    with pagelake.connect() as con:
        con.execute("CREATE MACRO report_usage(a) AS TABLE SELECT a + 1 AS mine")
        assert rows(con, "FROM report_usage(41)") == [(42,)]
        con.execute("CREATE MACRO report_sales(a) AS TABLE SELECT a AS mine")
        assert rows(con, "FROM report_sales(1)") == [(1,)]


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        ("report_usage('prj')", UnknownName, "no catalog 'prj'"),
        ("report_usage()", InvalidRequest, "needs catalog"),
        ("report_usage('proj', bye => 1)", UnknownName, 'no parameter "bye"'),
        ("report_usage('proj', by => 'name; DROP')", InvalidRequest, "cannot be told by"),
        ("report_usage('proj', 'uid', by => 'gid')", InvalidRequest, "given twice"),
        ("report_tagged('proj')", InvalidRequest, "needs tag"),
        ("report_growth('proj', depth => 0)", InvalidRequest, "depth begins at 1"),
        ("report_ages('proj', time => 'birth')", InvalidRequest, "no time 'birth'"),
        ("report_purge('proj', older_than => 'soon')", InvalidRequest, "INTERVAL"),
        ("pagelake.report_usag('proj')", UnknownName, "no relation or function"),
    ],
)
def test_refusals_say_what_is_wrong(
    db: Connection, call: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        rows(db, f"FROM {call}")


def test_every_report_runs_and_is_listed(db: Connection) -> None:
    assert {name for (name,) in rows(db, "SELECT report FROM pagelake.reports")} == set(REPORTS)
    for name, report in REPORTS.items():
        needed = "".join(f", {p.name} => '1'" for p in report.parameters if p.default is None)
        columns = db.sql(f"FROM {name}('proj'{needed}) LIMIT 1").columns
        if report.picture is not None:
            assert report.picture.size in columns
            assert report.picture.label in {"", *columns}


def test_changes_are_told_of_catalogs_and_of_stored_files(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "old").write_bytes(b"1")
    with pagelake.connect() as con:
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(root)])
        (root / "old").rename(root / "new")
        (root / "more").write_bytes(b"2")
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(root)])
        told = "SELECT path, old_path FROM report_changes('proj', 2, 2, kind => {})"
        assert rows(con, told.format("'moved'")) == [(str(root / "new"), str(root / "old"))]
        assert rows(con, told.format("'created'")) == [(str(root / "more"), None)]
        con.execute("INSERT INTO files (path, content) VALUES ('/a/x', 'x'), ('/b/y', 'y')")
        con.execute("UPDATE files SET path = '/a/z' WHERE path = '/b/y'")
        told = "SELECT change_type, path FROM report_changes('files', 3, 4, path => '/a')"
        assert rows(con, told) == [("created", "/a/x"), ("moved", "/a/z")]
        with pytest.raises(InvalidRequest, match="no kind of change"):
            rows(con, "FROM report_changes('files', 3, 4, kind => 'odd')")


def test_reports_read_stored_files_too(db: Connection) -> None:
    with pagelake.connect() as con:
        con.execute("INSERT INTO files (path, content) VALUES ('/a/b/x.csv', 'xx'), ('/c', 'y')")
        sql = "SELECT files, bytes FROM report_{}('files'{}) ORDER BY ALL"
        assert rows(con, sql.format("directories", "")) == [(1, 1), (1, 2)]
        assert rows(con, sql.format("growth", ", depth => 2, path => '/a'")) == [(1, 2)]
        assert rows(con, sql.format("usage", ", by => 'extension', path => '/a'")) == [
            (0, 0),
            (1, 2),
        ]
