"""What a scan puts into the store: columns, roll-ups, replacement, versions, names, errors."""

from __future__ import annotations

import errno
import json
import os
import stat
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import pagelake
from pagelake import Denied, InvalidRequest, UnknownName
from pagelake.engine.catalog_scan import scan as scan_module
from pagelake.extensions.catalog import extension_totals
from pagelake.extensions.catalog.block import Block, WalkError
from pagelake.extensions.catalog.names import text_array
from pagelake.extensions.catalog.relations import VIEW_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake import Connection


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number, folder in enumerate(("", "a", "a/deep/er", "a.b", "b", "empty")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for file in range(0 if folder == "empty" else number + 2):
            name = f"f{file}.{'txt' if file % 2 else 'bin'}"
            (root / folder / name).write_bytes(b"x" * (100 * number + file * 5000))
    (root / "b" / "link").symlink_to("../a")
    os.mkfifo(root / "b" / "pipe")
    os.link(root / "a" / "f0.bin", root / "b" / "hard")
    return root


@pytest.fixture
def db() -> Iterator[Connection]:
    with pagelake.connect() as con:
        yield con


def scan(con: Connection, root: Path, name: str = "proj", more: str = "") -> dict[str, Any]:
    result = con.sql(f"CALL catalog_scan('{root}', name => '{name}'{more})")
    return dict(zip(result.columns, result.fetchall()[0], strict=True))


def below(directory: str) -> list[os.stat_result]:
    """What the operating system says of a directory and everything below it."""
    found = [os.lstat(directory)]
    for path, directories, files in os.walk(directory):
        found += [os.lstat(os.path.join(path, name)) for name in (*directories, *files)]
    return found


def test_every_entry_is_a_row_with_what_the_system_says(db: Connection, tree: Path) -> None:
    scan(db, tree)
    rows = db.sql(
        "SELECT path, parent_path, name, size, used, uid, gid, nfs_mode_bits, nlinks, "
        "epoch_ns(mtime), epoch_ns(ctime), phandle.handle_id, handle, symlink_path "
        "FROM catalog.proj ORDER BY path"
    ).fetchall()
    expected = []
    for path in sorted([str(tree), *map(str, tree.rglob("*"))]):
        s = os.lstat(path)
        parent, name = os.path.split(path)
        target = os.readlink(path) if stat.S_ISLNK(s.st_mode) else None
        used = s.st_blocks * 512
        mode = stat.S_IMODE(s.st_mode)
        expected.append(
            (path, parent, name, s.st_size, used, s.st_uid, s.st_gid, mode, s.st_nlink,
             s.st_mtime_ns, s.st_ctime_ns, s.st_ino, f"{s.st_dev}:{s.st_ino}", target)
        )  # fmt: skip
    assert rows == expected


def test_types_and_extensions_of_elements(db: Connection, tree: Path) -> None:
    scan(db, tree)
    found = db.sql(
        "SELECT name, element_type, extension FROM catalog.proj "
        f"WHERE parent_path = '{tree}/b' ORDER BY name"
    ).fetchall()
    assert found[-3:] == [("hard", "FILE", ""), ("link", "SYMLINK", ""), ("pipe", "FIFO", "")]
    assert ("f1.txt", "FILE", "txt") in found
    kind = "SELECT element_type, extension FROM catalog.proj WHERE name = 'a.b'"
    assert db.sql(kind).fetchall() == [("DIR", "")]


def test_columns_have_the_names_and_types_of_the_reference(db: Connection, tree: Path) -> None:
    scan(db, tree)
    result = db.sql("FROM catalog.proj LIMIT 0")
    types = dict(zip(result.columns, map(str, result.types), strict=True))
    assert len(types) == 40
    assert types["phandle"] == "STRUCT(clone_id INTEGER, handle_id BIGINT)"
    assert types["user_tags"] == types["user_metadata"] == "MAP(VARCHAR, VARCHAR)"
    assert {types[name] for name in ("atime", "mtime", "ctime", "creation_time")} == {
        "TIMESTAMP_NS"
    }
    assert types["name_bytes"] == "BLOB"
    assert types["s3_locks_retention"] == 'STRUCT("mode" VARCHAR, timeout BIGINT)'
    absent = "owner_sid, tenant_id, metadata_md, name_aces_exist, s3_locks_retention, etag"
    assert set(db.sql(f"SELECT DISTINCT {absent} FROM catalog.proj").fetchall()) == {(None,) * 6}


def test_du_by_one_lookup_is_the_sum_of_all_below(db: Connection, tree: Path) -> None:
    answer = scan(db, tree)
    for path in [tree, *(p for p in tree.rglob("*") if p.is_dir() and not p.is_symlink())]:
        found = below(str(path))
        row = db.execute(
            "SELECT entries, directories, bytes, used, epoch_ns(newest_mtime) "
            "FROM catalog.proj_directories WHERE path = $1",
            [str(path)],
        ).fetchall()
        directories = sum(stat.S_ISDIR(s.st_mode) for s in found)
        size, used = sum(s.st_size for s in found), sum(s.st_blocks * 512 for s in found)
        newest = max(s.st_mtime_ns for s in found)
        assert row == [(len(found), directories, size, used, newest)], path
    assert answer["entries"] == len(below(str(tree)))
    own = "SELECT sum(own_entries), sum(own_bytes), sum(own_used) FROM catalog.proj_directories"
    assert db.sql(own).fetchall() == [(answer["entries"], answer["bytes"], answer["used"])]


def test_a_subtree_is_a_range_of_labels(db: Connection, tree: Path) -> None:
    scan(db, tree)
    for path in (tree, tree / "a", tree / "a.b", tree / "empty"):
        found = db.sql(
            "SELECT e.path FROM catalog.proj e, catalog.proj_directories d "
            f"WHERE d.path = '{path}' AND e.directory BETWEEN d.label AND d.last_label"
        ).fetchall()
        assert {row[0] for row in found} == set(map(str, path.rglob("*")))


def test_extensions_are_summed_for_large_subtrees(
    db: Connection, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extension_totals, "ENTRIES_MIN", 6)
    scan(db, tree)
    found = {
        (directory, extension): (files, size)
        for directory, extension, files, size in db.sql(
            "FROM catalog.proj_extensions ORDER BY directory"
        ).fetchall()
    }
    large = [p for p in (tree, *tree.rglob("*")) if p.is_dir() and not p.is_symlink()]
    large = [p for p in large if p == tree or len(below(str(p))) >= 6]
    assert {directory for directory, _ in found} == set(map(str, large))
    for path in large:
        texts = [p.lstat().st_size for p in path.rglob("*.txt")]
        assert found[str(path), "txt"] == (len(texts), sum(texts))


def test_a_later_scan_replaces_the_rows_and_the_older_stays_readable(
    db: Connection, tree: Path
) -> None:
    first = scan(db, tree)
    version = db.sql("SELECT max(version) FROM pagelake.snapshots").fetchall()[0][0]
    (tree / "a" / "f0.bin").unlink()
    (tree / "new").mkdir()
    (tree / "new" / "file").write_bytes(b"12345")
    second = scan(db, tree)
    assert second["entries"] == first["entries"] + 1
    path = f"WHERE path = '{tree}/a/f0.bin'"
    assert db.sql(f"FROM catalog.proj {path}").fetchall() == []
    assert len(db.sql(f"FROM catalog.proj AT (VERSION => {version}) {path}").fetchall()) == 1
    for at, answer in (("", second), (f"AT (VERSION => {version})", first)):
        count = db.sql(f"SELECT count(*), sum(size) FROM catalog.proj {at}").fetchall()
        assert count == [(answer["entries"], answer["bytes"])]
        root = f"SELECT entries FROM catalog.proj_directories {at} WHERE path = '{tree}'"
        assert db.sql(root).fetchall() == [(answer["entries"],)]
    assert db.sql("SELECT count(*) FROM catalog.proj_scans").fetchall() == [(2,)]


def test_a_scan_belongs_to_its_transaction(db: Connection, tree: Path) -> None:
    scan(db, tree)
    (tree / "later").touch()
    db.execute("BEGIN")
    scan(db, tree)
    later = "SELECT count(*) FROM catalog.proj WHERE name = 'later'"
    assert db.sql(later).fetchall() == [(1,)]
    db.execute("ROLLBACK")
    assert db.sql(later).fetchall() == [(0,)]


def test_any_name_comes_back_exactly(db: Connection, tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "names")
    names = [b"a\nb", b"caf\xe9.txt", b"\xff\xfe", b"mark\xf4\x8f\xbc\x81", b"q'\"", b"-rf *",
             b"x" * 255, "größe".encode(), b"\x01\x1b[31m"]  # fmt: skip
    os.makedirs(os.path.join(root, b"bad\xe9dir"))
    for name in names:
        with open(os.path.join(root, b"bad\xe9dir", name), "wb"):
            pass
    scan(db, tmp_path / "names", "n")
    found = db.sql("SELECT name_bytes, name FROM catalog.n WHERE element_type = 'FILE'").fetchall()
    assert sorted(row[0] for row in found) == sorted(names)
    assert len({row[1] for row in found}) == len(names)
    directory = "SELECT entries FROM catalog.n_directories WHERE path LIKE '%/bad_dir'"
    assert db.sql(directory).fetchall() == [(len(names) + 1,)]


def test_bytes_of_names_are_found_by_sql_as_by_python(db: Connection) -> None:
    random = Random(5)
    # Bytes of marks, of what may stand beside them, and whole characters.
    pieces = [bytes([byte]) for byte in (*range(0x80, 0x100), 0x48, 0xFB, 0xF4, 0x8F, 0xBE, 0xBF)]
    pieces += [chr(code).encode() for code in (0x41, 0x4F8F, 0x10FF80, 0x10FFFF, 0x10FF41, 0xFBE)]
    names = [b"".join(random.choices(pieces, k=random.randint(1, 9))) for _ in range(5000)]
    texts = text_array(names + pieces)
    expression = dict(VIEW_COLUMNS)["name_bytes"]
    given = pa.table({"name": texts})
    assert given.num_rows
    found = db.sql(f"SELECT {expression} FROM given").fetchall()
    assert [row[0] for row in found] == names + pieces


def test_what_is_excluded_is_neither_a_row_nor_counted(db: Connection, tree: Path) -> None:
    answer = scan(db, tree, more=", exclude => ['*.txt', 'a/deep'], processes => 1")
    names = {row[0] for row in db.sql("SELECT DISTINCT name FROM catalog.proj").fetchall()}
    assert "deep" not in names
    assert not [name for name in names if name.endswith(".txt")]
    assert answer["entries"] == len(
        [p for p in (tree, *tree.rglob("*")) if p.suffix != ".txt" and "deep" not in p.parts]
    )
    options = json.loads(db.sql("SELECT options FROM catalog.proj_scans").fetchall()[0][0])
    assert options["exclude"] == ["*.txt", "a/deep"]


def test_places_that_cannot_be_read_are_rows(
    db: Connection, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = scan_module.walk

    def troubled(*arguments: Any) -> Iterator[Block]:
        for block in walk(*arguments):
            if block.path.endswith(b"/b"):
                error = WalkError(block.path, "open", errno.EACCES)
                yield Block(block.path, block.own, [], block.entries[:0], errors=(error,))
            else:
                yield block

    monkeypatch.setattr(scan_module, "walk", troubled)
    answer = scan(db, tree)
    assert answer["errors"] == 1
    columns = "path, operation, errno, error"
    expected = (f"{tree}/b", "open", errno.EACCES, os.strerror(errno.EACCES))
    assert db.sql(f"SELECT {columns} FROM catalog.proj_errors").fetchall() == [expected]
    monkeypatch.undo()
    assert scan(db, tree)["errors"] == 0
    assert db.sql("FROM catalog.proj_errors").fetchall() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_root_without_permission_is_refused(db: Connection, tree: Path) -> None:
    tree.chmod(0)
    try:
        with pytest.raises(InvalidRequest, match="Permission denied"):
            scan(db, tree)
    finally:
        tree.chmod(0o755)


def test_a_root_that_is_none_is_refused_and_leaves_nothing(db: Connection, tree: Path) -> None:
    for path, told in (
        (tree / "nowhere", "No such file"),
        (tree / "f0.bin", "is a file"),
        (tree / "b" / "link", "symbolic link"),
        ("", "a directory"),
    ):
        with pytest.raises(InvalidRequest, match=told):
            scan(db, path)  # type: ignore[arg-type]
    with pytest.raises(UnknownName):
        db.sql("FROM catalog.proj")


def test_bad_arguments_are_refused(db: Connection, tree: Path) -> None:
    for more in (", exclude => ['']", ", exclude => [NULL]", ", processes => 0"):
        with pytest.raises(InvalidRequest):
            scan(db, tree, more=more)
    for name in ("", " ", "x" * 201):
        with pytest.raises(InvalidRequest):
            scan(db, tree, name)
    with pytest.raises(UnknownName, match="one_filesystem"):
        scan(db, tree, more=", one_filesystem => true")


def test_a_catalog_is_named_after_its_directory(db: Connection, tree: Path) -> None:
    assert db.sql(f"CALL pagelake.catalog_scan('{tree}/a/')").fetchall()[0][0] == "a"
    with pytest.raises(InvalidRequest, match="needs a name"):
        db.sql("CALL catalog_scan('/')")


def test_catalogs_do_not_take_each_others_names(db: Connection, tree: Path) -> None:
    scan(db, tree / "a", "x")
    with pytest.raises(pagelake.AlreadyExists, match="another catalog"):
        scan(db, tree / "b", "x_errors")
    scan(db, tree / "b", "y_scans")
    with pytest.raises(pagelake.AlreadyExists, match="another catalog"):
        scan(db, tree / "b", "Y")
    scan(db, tree / "b", 'odd "name"; --')
    assert len(db.sql('FROM catalog."odd ""name""; --"').fetchall()) == len(below(f"{tree}/b"))


def test_a_catalog_is_dropped_whole(db: Connection, tree: Path) -> None:
    scan(db, tree)
    scan(db, tree / "a", "other")
    db.execute("CALL catalog_drop('PROJ')")
    left = db.sql("SELECT table_name FROM duckdb_tables() UNION FROM (SELECT view_name FROM "
                  "duckdb_views() WHERE NOT internal)").fetchall()  # fmt: skip
    assert left
    assert not [name for (name,) in left if name.startswith("proj")]
    with pytest.raises(UnknownName) as refused:
        db.execute("CALL catalog_drop('othr')")
    assert "other" in str(refused.value)
    scan(db, tree)


def test_catalogs_are_changed_by_scans_only(db: Connection, tree: Path) -> None:
    scan(db, tree)
    for statement in (
        "DELETE FROM catalog_data.proj_entries",
        "INSERT INTO catalog.proj_errors SELECT * FROM catalog.proj_errors",
        "DROP TABLE catalog.proj_directories",
        "DROP SCHEMA catalog CASCADE",
        "DROP SCHEMA catalog_data CASCADE",
        "CREATE TABLE catalog.mine (a INTEGER)",
    ):
        with pytest.raises(Denied):
            db.execute(statement)


def test_catalogs_are_exported_and_imported(tree: Path, tmp_path: Path) -> None:
    questions = ("SELECT * FROM catalog.proj ORDER BY path", "FROM catalog.proj_extensions",
                 "FROM catalog.proj_directories ORDER BY path", "FROM v")  # fmt: skip
    with pagelake.connect() as first:
        scan(first, tree)
        first.execute("CREATE VIEW v AS SELECT count(*) FROM catalog.proj")
        first.execute(f"EXPORT DATABASE '{tmp_path}/export'")
        answers = [first.sql(question).fetchall() for question in questions]
    with pagelake.connect() as second:
        second.execute(f"IMPORT DATABASE '{tmp_path}/export'")
        assert [second.sql(question).fetchall() for question in questions] == answers
        with pytest.raises(Denied):
            second.execute("DROP TABLE catalog.proj_errors")
        (tree / "later").touch()
        assert scan(second, tree)["entries"] == len(answers[0]) + 1
        assert len(second.sql("FROM catalog.proj_scans").fetchall()) == 2


def test_a_store_opened_read_only_is_not_scanned_into(tree: Path, store_path: Path) -> None:
    with pagelake.connect(store_path) as con:
        con.execute("CREATE TABLE t (a INTEGER)")
    with pagelake.connect(store_path, read_only=True) as con, pytest.raises(Denied):
        scan(con, tree)


def test_the_store_itself_is_not_walked(tree: Path) -> None:
    with pagelake.connect(tree / "b" / "store") as con:
        scan(con, tree)
        found = con.sql("SELECT path FROM catalog.proj").fetchall()
        assert not [path for (path,) in found if "store" in path.removeprefix(str(tree))]
        one = f"SELECT entries FROM catalog.proj_directories WHERE path = '{tree}'"
        assert con.sql(one).fetchall() == [(len(found),)]
