import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagelake.extensions.catalog import protocol, statx, walker
from pagelake.extensions.catalog.block import Block, WalkError, WalkOptions
from pagelake.extensions.catalog.coordinator import root_of
from pagelake.extensions.catalog.walker import Answer, Walker
from tests.unit.extensions.catalog.trees import ODD_NAMES, Tree, make, same, walk_here

names = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.binary(min_size=1, max_size=12)
    .map(lambda name: name.translate(None, b"\0/"))
    .filter(lambda name: name not in (b"", b".", b"..")),
)
leaves = st.one_of(st.binary(max_size=9), st.sampled_from(["nowhere", "..", "/", "/etc/passwd"]))
trees: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(names, leaves, max_size=6),
    lambda below: st.dictionaries(names, st.one_of(leaves, below), max_size=5),
    max_leaves=12,
)


@pytest.fixture(params=["statx", "os.stat"])
def portable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "os.stat")


@settings(max_examples=60, deadline=None)
@given(trees, st.booleans(), st.sampled_from([0, 1, 5, 1000]))
def test_any_tree_is_found_as_a_plain_recursion_finds_it(
    tree: Tree, portable: bool, budget: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = make(os.fsencode(folder) + b"/root", tree)
        same(walk_here(root, WalkOptions(), budget, portable=portable), root)


def read(root: bytes, paths: list[bytes], options: WalkOptions | None = None) -> Answer:
    """Read directories by one task, with the entries that they have now."""
    options = options or WalkOptions()
    own = np.array([root_of(path, WalkOptions())[1] for path in paths])
    return Walker(root, int(own["device"][0]), options).task(paths, own, 0)


def only(answer: Answer) -> Block:
    (block,) = answer.blocks()
    return block


def test_an_answer_crosses_a_pipe_unchanged(tmp_path: Path) -> None:
    root = make(bytes(tmp_path) + b"/r", {name: {b"x": b""} for name in ODD_NAMES} | {b"l": "t"})
    answer = read(root, [root])
    answer.errors = [(0, WalkError(b"/x\xff", "stat", 2)), (0, WalkError(b"/", "open", 13))]
    answer.xattrs = [(0, b"k", b""), (0, b"k\xff", b"a\0b"), (3, b"q", b"v")]
    answer.crossing[1] = True
    sections = [bytes(section) for section in protocol.answer_message(answer)]
    back = protocol.read_answer(sections)
    for field in answer.__dataclass_fields__:
        assert np.array_equal(getattr(back, field), getattr(answer, field)), field
    empty = protocol.read_answer([bytes(s) for s in protocol.answer_message(Answer())])
    assert empty.paths == empty.names == empty.left == empty.targets == []


def test_options_cross_a_pipe_unchanged() -> None:
    options = WalkOptions(
        one_file_system=False,
        exclude=("*.é", "\udcff"),
        xattrs=True,
        skip=frozenset({(2**63, 2**64 - 1)}),
    )
    sections = [bytes(part) for part in protocol.options_message(b"/caf\xe9", 7, options)]
    assert protocol.read_options(sections) == (b"/caf\xe9", 7, options)


def test_special_files_are_entries_and_are_not_opened(tmp_path: Path, portable: bool) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"f": b""})
    os.mkfifo(root + b"/pipe")
    os.link(root + b"/f", root + b"/hard")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fsdecode(root) + "/s")
        same(walk_here(root, WalkOptions(), portable=portable), root)


def test_links_are_never_followed(tmp_path: Path) -> None:
    make(bytes(tmp_path) + b"/outside", {b"secret": b""})
    root = make(
        bytes(tmp_path) + b"/r",
        {b"out": str(tmp_path / "outside"), b"loop": ".", b"d": {b"up": "../..", b"x": b""}},
    )
    same(walk_here(root, WalkOptions()), root)


def test_a_directory_that_was_swapped_is_an_error(tmp_path: Path) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"d": {b"x": b""}, b"e": {}})
    own = np.array([root_of(root + b"/d", WalkOptions())[1]])
    os.rename(root + b"/d", root + b"/away")
    reader = Walker(root, int(own["device"][0]), WalkOptions())
    gone = only(reader.task([root + b"/d"], own))
    assert gone.errors == (WalkError(root + b"/d", "open", errno.ENOENT),)
    os.rename(root + b"/e", root + b"/d")
    other = only(reader.task([root + b"/d"], own))
    assert other.errors == (WalkError(root + b"/d", "open", errno.ESTALE),)
    os.rmdir(root + b"/d")
    os.symlink(b"away", root + b"/d")
    (link,) = only(reader.task([root + b"/d"], own)).errors
    assert link.errno in (errno.ELOOP, errno.ENOTDIR)
    assert not only(reader.task([root + b"/d"], own)).names


def test_what_cannot_be_opened_or_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"a": {b"x": b""}, b"b": {b"y": b""}, b"c": {b"z": b""}})

    def fail(call: Callable[..., object], number: int, when: int) -> Callable[..., object]:
        calls = iter(range(100))

        def sometimes(*args: object, **options: object) -> object:
            if next(calls) == when:
                raise OSError(number, os.strerror(number))
            return call(*args, **options)

        return sometimes

    options = WalkOptions()
    start, own = root_of(root, options)
    reader = Walker(start, int(own["device"]), options)
    monkeypatch.setattr(walker.os, "open", fail(os.open, errno.EACCES, 1))
    monkeypatch.setattr(walker.os, "listdir", fail(os.listdir, errno.EIO, 2))
    blocks = list(reader.task([start], np.array([own])).blocks())
    monkeypatch.undo()
    assert [block.names for block in blocks] == [[b"a", b"b", b"c"], [], [b"y"], []]
    assert [block.errors for block in blocks] == [
        (),
        (WalkError(root + b"/a", "open", errno.EACCES),),
        (),
        (WalkError(root + b"/c", "list", errno.EIO),),
    ]


def test_names_that_vanish_or_come_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portable: bool
) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"a": b"1", b"c": {b"x": b""}, b"l": "t"})
    real = os.listdir
    extra = {1: ["b", "a", "0", "zz"]}

    def changing(where: int) -> list[str]:
        return [*real(where), *extra.pop(len(extra), [])]

    monkeypatch.setattr(walker.os, "listdir", changing)
    first, second = walk_here(root, WalkOptions(), portable=portable)
    assert first.names == [b"a", b"c", b"l"]
    assert first.entries["size"].tolist()[0] == 1
    assert first.targets == {2: b"t"}
    assert set(first.errors) == {
        WalkError(root + b"/" + name, "stat", errno.ENOENT) for name in (b"0", b"b", b"zz")
    }
    assert second.path == root + b"/c"
    assert second.names == [b"x"]


def test_paths_longer_than_the_system_takes(tmp_path: Path) -> None:
    root = bytes(tmp_path) + b"/deep"
    os.mkdir(root)
    descriptor = os.open(root, os.O_RDONLY)
    paths = [root]
    for _ in range(30):
        name = b"d" * 200
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        paths.append(paths[-1] + b"/" + name)
    os.symlink("target", "link", dir_fd=descriptor)
    os.close(descriptor)
    try:
        blocks = walk_here(root, WalkOptions(), budget=0)
        assert [block.path for block in blocks] == paths
        assert [block.errors for block in blocks] == [()] * 31
        assert (blocks[-1].names, blocks[-1].targets) == ([b"link"], {0: b"target"})
    finally:
        shutil.rmtree(root)


def test_globs_leave_out_names_and_all_below_them(tmp_path: Path) -> None:
    root = make(
        bytes(tmp_path) + b"/r",
        {b"a": {b"x.o": b"", b"y": b"", b"keep": {b"x.o": {b"z": b""}}}, b"b": {b"keep": {}}},
    )
    found = {
        block.path[len(root) :]: block.names
        for block in walk_here(root, WalkOptions(exclude=("*.o", "b/keep")))
    }
    assert found == {b"": [b"a", b"b"], b"/a": [b"keep", b"y"], b"/a/keep": [], b"/b": []}


def test_the_store_is_left_out_by_identity(tmp_path: Path, portable: bool) -> None:
    root = make(
        bytes(tmp_path) + b"/r",
        {b"a": {b"q": "t"}, b"store": {b"x": b""}, b"t": "link", b"z": {b"store": {b"y": b""}}},
    )
    store = os.lstat(root + b"/store")
    options = WalkOptions(skip=frozenset({(store.st_dev, store.st_ino), (1, 2)}))
    blocks = walk_here(root, options, budget=1000, portable=portable)
    os.rename(root + b"/store", bytes(tmp_path) + b"/elsewhere")
    assert [block.path[len(root) :] for block in blocks] == [b"", b"/a", b"/z", b"/z/store"]
    assert [block.names for block in blocks[:2]] == [[b"a", b"t", b"z"], [b"q"]]
    assert [block.targets for block in blocks[:2]] == [{1: b"link"}, {0: b"t"}]
    assert blocks[0].entries["inode"].tolist() == [
        os.lstat(root + b"/" + name).st_ino for name in blocks[0].names
    ]


def test_another_file_system_is_an_entry_and_is_entered_only_when_asked(tmp_path: Path) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"d": {b"x": b""}})
    own = np.array([root_of(root, WalkOptions())[1]])
    device = int(own["device"][0])
    stay = Walker(root, device + 1, WalkOptions()).task([root], own)
    assert (stay.names, stay.left) == ([b"d"], [])
    go = Walker(root, device + 1, WalkOptions(one_file_system=False)).task([root], own)
    assert go.names == [b"d", b"x"]


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes here")
def test_user_attributes(tmp_path: Path) -> None:
    root = make(bytes(tmp_path) + b"/r", {b"a": b"", b"d": {b"x\xff": b""}, b"l": "a", b"z": b""})
    try:
        os.setxattr(root + b"/d/x\xff", b"user.k\xe9", b"v\0\xff")
        os.setxattr(root + b"/d/x\xff", b"user.empty", b"")
        os.setxattr(root + b"/d", b"user.owner", b"me")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    blocks = walk_here(root, WalkOptions(xattrs=True))
    assert [block.errors for block in blocks] == [(), ()]
    assert blocks[0].xattrs == {1: {b"owner": b"me"}}
    assert blocks[1].xattrs == {0: {b"k\xe9": b"v\0\xff", b"empty": b""}}
    assert walk_here(root, WalkOptions())[1].xattrs == {}


def test_a_directory_larger_than_the_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portable: bool
) -> None:
    monkeypatch.setattr(statx, "SLOTS", 7)
    monkeypatch.setattr(walker, "SLICE_ENTRIES", 10)
    files: Tree = {b"f%d" % i: bytes(i) for i in range(40)}
    root = make(bytes(tmp_path) + b"/r", {**files, b"d": {**files, b"d": {}}, b"e": {b"x": b""}})
    beats = []
    stats = statx.stat_buffer(portable=portable, beat=lambda: beats.append(1))
    assert type(walker.stat_buffer(portable=portable)) is type(stats)
    same(walk_here(root, WalkOptions(), budget=1000, portable=portable), root)
    descriptor = os.open(root, os.O_RDONLY)
    try:
        wanted = sorted(os.listdir(os.fsencode(root)))
        failures = stats.fill(descriptor, [b"no", *wanted[:20], b"none", *wanted[20:]])
    finally:
        os.close(descriptor)
    assert failures == [(0, errno.ENOENT), (21, errno.ENOENT)]
    entries, mounts = stats.take()
    assert entries["inode"].tolist() == [os.lstat(root + b"/" + n).st_ino for n in wanted]
    assert not mounts.any()
    assert len(beats) >= 5


def test_times_out_of_range_are_cut() -> None:
    seconds = np.array([2**62, -(2**62), 0, 9_223_372_035], dtype=np.int64)
    rest = np.array([5, 5, 5, 999_999_999], dtype=np.uint32)
    found = statx._nanoseconds(seconds, rest).tolist()
    assert found == [
        *(9_223_372_035_000_000_005, -9_223_372_035_999_999_995, 5),
        9_223_372_035_999_999_999,
    ]
    pairs = zip(seconds.tolist(), rest.tolist(), strict=True)
    assert [statx._cut(s * 10**9 + r) for s, r in pairs] == found


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="no device files here")
def test_numbers_of_devices(portable: bool) -> None:
    stats = statx.stat_buffer(portable=portable)
    descriptor = os.open("/dev", os.O_RDONLY)
    try:
        stats.fill(descriptor, [b"null", b"zero", b"."])
    finally:
        os.close(descriptor)
    null, zero, here = [os.lstat(path) for path in ("/dev/null", "/dev/zero", "/dev")]
    entries, _ = stats.take()
    assert entries["rdev"].tolist() == [null.st_rdev, zero.st_rdev, here.st_rdev]
    assert entries["device"].tolist() == [null.st_dev, zero.st_dev, here.st_dev]
