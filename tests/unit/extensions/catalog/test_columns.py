import grp
import os
import pwd
import stat
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import pagelake
from pagelake.extensions.catalog.block import ENTRY, UNKNOWN_TIME, Block, EntryArray, WalkOptions
from pagelake.extensions.catalog.columns import STORED, USED_SQL, OwnerNames, record_batches
from pagelake.extensions.catalog.names import bytes_array, text_of
from pagelake.extensions.catalog.relations import ENTRY_COLUMNS
from tests.unit.extensions.catalog.trees import ODD_NAMES, Tree, check_entry, make, walk_here


def entries(count: int, **fields: object) -> EntryArray:
    found = np.zeros(count, dtype=ENTRY)
    found["mode"] = stat.S_IFREG | 0o644
    for name, values in fields.items():
        found[name] = values
    return found


def block(path: bytes, names: list[bytes], **fields: object) -> Block:
    own = entries(1, mode=stat.S_IFDIR | 0o755)[0]
    return Block(path, own, names, entries(len(names), **fields))


def rows(blocks: list[Block], *, size: int = 100, with_root: bool = False) -> pa.Table:
    labels = {b.path: i for i, b in enumerate(blocks)}
    batches = record_batches(
        blocks, lambda path: labels.get(path, -1), rows=size, with_root=with_root
    )
    return pa.Table.from_batches(batches, STORED)


def test_the_table_has_these_columns() -> None:
    assert [name for name, _ in ENTRY_COLUMNS] == STORED.names
    empty = STORED.empty_table()
    assert duckdb.from_arrow(empty).dtypes == [duckdb.type(kind) for _, kind in ENTRY_COLUMNS]


def test_batches_are_full_and_blocks_may_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [
        block(b"/r", [b"%03d" % i for i in range(7)], inode=range(7)),
        block(b"/r/e", []),
        block(b"/r/f", [b"x"], inode=50),
        block(b"/r/g", [b"%03d" % i for i in range(20)], inode=range(100, 120)),
    ]
    blocks[3].targets[13] = b"to"  # type: ignore[index]
    asked: list[bytes] = []

    def label(path: bytes) -> int:
        asked.append(path)
        return 10 * len(asked)

    batches = list(record_batches(blocks, label, rows=5))
    assert [batch.num_rows for batch in batches] == [5, 5, 5, 5, 5, 4]
    assert asked == [b"/", b"/r", b"/r/f", b"/r/g"]  # once each, though some are cut
    table = pa.Table.from_batches(batches)
    table.validate(full=True)
    assert table["inode"].to_pylist() == [0, *range(7), 50, *range(100, 120)]
    assert table["directory"].to_pylist() == [10, *[20] * 7, 30, *[40] * 20]
    assert table["parent_path"].to_pylist() == ["/", *["/r"] * 7, "/r/f", *["/r/g"] * 20]
    assert table["symlink_path"].to_pylist() == [*[None] * 22, "to", *[None] * 6]
    assert list(record_batches([], label)) == []


@pytest.mark.parametrize(
    ("root", "parent", "name"), [(b"/a/b", "/a", "b"), (b"/a", "/", "a"), (b"/", "", "")]
)
def test_the_root_has_a_row_of_its_own(root: bytes, parent: str, name: str) -> None:
    first = rows([block(root, [b"x"])], with_root=True).slice(0, 1).to_pylist()[0]
    assert (first["parent_path"], first["name"], first["element_type"]) == (parent, name, "DIR")
    assert first["directory"] == -1


def test_extensions_are_what_follows_the_last_dot() -> None:
    found = {
        b"a.txt": "txt",
        b"a.tar.gz": "gz",
        b".hidden": "",
        b".hidden.conf": "conf",
        b"none": "",
        b"end.": "",
        b".": "",
        b"a.0123456789abcdef": "0123456789abcdef",
        b"a.0123456789abcdefg": "",
        b"a.\xc3\xa9": "é",
        b"a.\xe9": "\U0010ffe9",
        b"..": "",
        b"...x": "x",
    }
    table = rows([block(b"/r", list(found))])
    assert dict(zip(found, table["extension"].to_pylist(), strict=True)) == found
    directory = rows([block(b"/r", [b"conf.d"], mode=stat.S_IFDIR)])
    assert directory["extension"].to_pylist() == [""]
    assert rows([block(b"/r", [b"x", b"y"])])["extension"].to_pylist() == ["", ""]


def test_used_comes_back_for_every_size() -> None:
    size = [0, 1, 4096, 4097, 10**13, 2**62 - 1, 2**62, 2**63 - 1]
    used = [0, 4096, 8192, 512, 0, 2**62, 0, 2**62]
    table = rows([block(b"/r", [b"%d" % i for i in range(8)], size=size, used=used)])
    assert table["slack"].to_pylist()[1] == 0
    found = duckdb.from_arrow(table).project(USED_SQL).fetchall()
    assert [row[0] for row in found] == used


def test_types_times_and_numbers_at_their_ends() -> None:
    kinds = [
        *(stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK),
        *(stat.S_IFCHR, stat.S_IFBLK, 0),
    ]
    top = 2**32 - 1
    special = block(
        b"/r",
        [b"%d" % i for i in range(8)],
        mode=np.array(kinds) | 0o7777,
        uid=top,
        gid=top,
        nlink=top,
        inode=2**64 - 1,
        rdev=[0, 0, 0, 0, 0, os.makedev(1, 3), os.makedev(259, 7), 0],
        mtime=-1,
        birth=[UNKNOWN_TIME, *[5] * 7],
    )
    found = rows([special])
    assert found["element_type"].to_pylist() == [
        *("FILE", "DIR", "SYMLINK", "FIFO", "SOCKET"),
        *("CHR", "BLK", "OTHER"),
    ]
    assert set(found["nfs_mode_bits"].to_pylist()) == {0o7777}
    assert set(found["inode"].to_pylist()) == {-1}
    assert set(found["uid"].to_pylist() + found["nlinks"].to_pylist()) == {top}
    assert set(found["owner_name"].to_pylist()) == {str(top)}
    assert found["major_device"].to_pylist() == [None] * 5 + [1, 259, None]
    assert found["minor_device"].to_pylist() == [None] * 5 + [3, 7, None]
    assert found["mtime"].cast(pa.int64()).to_pylist() == [-1] * 8
    assert found["creation_time"].cast(pa.int64()).to_pylist() == [None, *[5] * 7]


def test_owners_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = pwd.getpwuid

    def count(number: int) -> pwd.struct_passwd:
        asked.append(number)
        return real(number)

    monkeypatch.setattr(pwd, "getpwuid", count)
    names = OwnerNames()
    assert {names.user(0) for _ in range(3)} == {real(0).pw_name}
    assert {names.group(0)} == {grp.getgrgid(0).gr_name}
    assert {names.user(4_000_000_123) for _ in range(3)} == {"4000000123"}
    assert asked == [0, 4_000_000_123]


def test_tags() -> None:
    tagged = block(b"/r", [b"a", b"b"])
    tagged.xattrs[1] = {b"k\xff": b"v\xff", b"a": b""}  # type: ignore[index]
    assert rows([tagged])["user_tags"].to_pylist() == [
        None,
        [("a", ""), ("k\U0010ffff", "v\U0010ffff")],
    ]


def test_a_tree_on_disk_goes_into_a_store_and_comes_back(tmp_path: Path) -> None:
    odd: Tree = dict.fromkeys(ODD_NAMES, b"12345")
    root = make(bytes(tmp_path) + b"/r", {**odd, b"d\xff": {**odd, b"l": "caf\udce9"}})
    blocks = walk_here(root, WalkOptions())
    columns = ", ".join(f"{name} {kind}" for name, kind in ENTRY_COLUMNS)
    with pagelake.connect() as db:
        db.execute(f"CREATE TABLE entries ({columns})")
        batches = record_batches(blocks, len, rows=11)
        db.append("entries", pa.RecordBatchReader.from_batches(STORED, batches))
        table = db.sql("SELECT * FROM entries ORDER BY directory, name COLLATE C").arrow()
    table = pa.table(table) if not isinstance(table, pa.Table) else table
    assert table.num_rows == 1 + sum(len(b.names) for b in blocks)
    stored = {
        (parent, name): row
        for parent, name, row in zip(
            bytes_array(table["parent_path"].combine_chunks()).to_pylist(),
            bytes_array(table["name"].combine_chunks()).to_pylist(),
            table.to_pylist(),
            strict=True,
        )
    }
    for found in blocks:
        for index, name in enumerate(found.names):
            row = stored[(found.path, name)]
            status = os.lstat(found.path + b"/" + name)
            check_entry(found.entries[index], status)
            assert (row["size"], row["inode"]) == (status.st_size, status.st_ino)
            assert row["owner_name"] == pwd.getpwuid(status.st_uid).pw_name
            target = found.targets.get(index)
            assert row["symlink_path"] == (None if target is None else text_of(target))
