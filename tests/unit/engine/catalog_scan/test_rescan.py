"""What a rescan sees and what it leaves alone, what it tells of changes, and watching."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

import pagelake
from pagelake import InvalidRequest, Unavailable, UnknownName
from pagelake.engine.catalog_scan import full_rescan as full_rescan_module
from pagelake.engine.catalog_scan import rescan as rescan_module
from pagelake.engine.catalog_scan import scan as scan_module
from pagelake.engine.catalog_scan import watch as watch_module
from pagelake.engine.catalog_scan.account import ScanRequest, ScanSummary
from pagelake.engine.catalog_scan.watch import Watching
from pagelake.errors import Interrupted
from pagelake.extensions.catalog.block import WalkError, WalkOptions
from pagelake.extensions.catalog.coordinator import lost_block
from pagelake.extensions.catalog.rescan import survey as survey_module
from tests.unit.engine.catalog_scan.fresh import differences
from tests.unit.extensions.catalog.trees import LocalCrew, walk_local

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pagelake import Connection


class Seen(LocalCrew):
    """Remembers the directories that were listed."""

    read_paths: list[str]

    def read(self, paths: Sequence[bytes], own: Any) -> Any:
        type(self).read_paths += [os.fsdecode(path) for path in paths]
        return super().read(paths, own)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> type[Seen]:
    """Scan in this process, and take no directory for racy."""
    monkeypatch.setattr(scan_module, "walk", walk_local)
    monkeypatch.setattr(scan_module, "Crew", Seen)
    monkeypatch.setattr(rescan_module, "racy_seconds", lambda _: -1e9)
    Seen.read_paths = []
    return Seen


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for folder in ("a/deep/er", "b", "c"):
        (root / folder).mkdir(parents=True)
        for number in range(3):
            (root / folder / f"f{number}.txt").write_bytes(b"x" * number)
    return root


@pytest.fixture
def db() -> Iterator[Connection]:
    with pagelake.connect() as con:
        yield con


def scan(con: Connection, root: Path, more: str = "", name: str = "proj") -> dict[str, Any]:
    result = con.sql(f"CALL catalog_scan('{root}', name => '{name}'{more})")
    return dict(zip(result.columns, result.fetchall()[0], strict=True))


def changed(answer: dict[str, Any]) -> tuple[int, int, int, int]:
    return tuple(answer[name] for name in ("created", "deleted", "modified", "moved"))  # type: ignore[return-value]


def test_only_directories_that_changed_are_listed(
    db: Connection, tree: Path, seen: type[Seen]
) -> None:
    assert scan(db, tree)["kind"] == "full"
    answer = scan(db, tree)
    assert (answer["kind"], changed(answer), seen.read_paths) == ("directories", (0, 0, 0, 0), [])
    (tree / "b" / "new").touch()
    assert changed(scan(db, tree)) == (1, 0, 1, 0)
    assert seen.read_paths == [f"{tree}/b"]


def test_a_moved_directory_takes_all_below_it_along_unread(
    db: Connection, tree: Path, seen: type[Seen]
) -> None:
    scan(db, tree)
    ids = "SELECT row_id FROM pagelake.table_changes('catalog_data.proj_entries', {}, {})"
    version = db.snapshot()
    before = db.sql(ids.format(1, version)).fetchall()
    (tree / "a").rename(tree / "c" / "moved")
    answer = scan(db, tree)
    assert changed(answer) == (0, 0, 2, 6)
    # Those above it, and itself: its ctime tells of the move. Nothing below it.
    assert sorted(seen.read_paths) == [str(tree), f"{tree}/c", f"{tree}/c/moved"]
    after = db.sql(ids.format(version + 1, db.snapshot())).fetchall()
    assert len(set(after)) == 8
    assert set(after) <= set(before)
    assert scan(db, tree, name="fresh")["entries"] == answer["entries"]
    assert differences(db, "proj", "fresh") == []


def test_changes_in_place_are_seen_by_a_full_scan(
    db: Connection, tree: Path, seen: type[Seen]
) -> None:
    scan(db, tree)
    (tree / "b" / "f1.txt").write_bytes(b"longer than it was")
    assert changed(scan(db, tree)) == (0, 0, 0, 0)
    answer = scan(db, tree, ", full => true")
    assert (answer["kind"], changed(answer)) == ("full", (0, 0, 1, 0))
    size = "SELECT size FROM catalog.proj WHERE path LIKE '%/b/f1.txt'"
    assert db.sql(size).fetchall() == [(18,)]
    total = f"SELECT bytes - own_bytes FROM catalog.proj_directories WHERE path = '{tree}/b'"
    assert db.sql(total).fetchall() == [(0,)]


def test_other_options_make_a_scan_a_full_one(db: Connection, tree: Path, seen: type[Seen]) -> None:
    scan(db, tree)
    answer = scan(db, tree, ", exclude => ['*0.txt']")
    assert (answer["kind"], changed(answer)) == ("full", (0, 3, 0, 0))
    assert scan(db, tree, ", exclude => ['*0.txt'], processes => 1")["kind"] == "directories"
    assert changed(scan(db, tree)) == (3, 0, 0, 0)
    other = scan(db, tree / "a")
    assert (other["kind"], other["created"], other["deleted"]) == ("full", 6, 15)


def test_a_root_that_is_another_directory_is_compared_whole(
    db: Connection, tree: Path, seen: type[Seen]
) -> None:
    scan(db, tree)
    tree.rename(tree.with_name("old"))
    shutil.copytree(tree.with_name("old"), tree)
    answer = scan(db, tree)
    assert (answer["kind"], changed(answer)) == ("full", (15, 15, 0, 0))


def test_a_tree_that_changed_everywhere_is_walked(
    db: Connection, tree: Path, seen: type[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(db, tree)
    monkeypatch.setattr(survey_module, "WALK_DIRECTORIES_MIN", 2)
    (tree / "b" / "one").touch()
    assert scan(db, tree)["kind"] == "directories"
    for folder in ("a", "a/deep", "b", "c"):
        (tree / folder / "new").touch()
    answer = scan(db, tree)
    assert (answer["kind"], answer["created"], answer["deleted"]) == ("full", 4, 0)


def test_very_many_changes_replace_the_rows(
    db: Connection, tree: Path, seen: type[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(db, tree)
    monkeypatch.setattr(full_rescan_module, "HELD_ROWS_MAX", 2)
    for number in range(3):
        (tree / "c" / f"new{number}").touch()
    answer = scan(db, tree, ", full => true")
    assert (answer["created"], answer["deleted"]) == (18, 15)
    scan(db, tree, name="fresh")
    assert differences(db, "proj", "fresh") == []


def test_an_empty_place_where_a_tree_was_mounted_is_refused(
    db: Connection, tree: Path, seen: type[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(db, tree)
    entries = db.sql("SELECT count(*) FROM catalog.proj").fetchall()
    shutil.rmtree(tree)
    tree.mkdir()
    walk = scan_module.walk

    def elsewhere(*arguments: Any) -> Iterator[Any]:
        for block in walk(*arguments):
            block.own["device"] += 1
            yield block

    monkeypatch.setattr(scan_module, "walk", elsewhere)
    with pytest.raises(Unavailable, match="is empty, and on another file system"):
        scan(db, tree)
    assert db.sql("SELECT count(*) FROM catalog.proj").fetchall() == entries
    assert scan(db, tree, ", full => true")["entries"] == 1


def test_errors_of_directories_that_were_read_again_are_told_anew(
    db: Connection, tree: Path, seen: type[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Seen.read

    def failing(self: Seen, paths: Sequence[bytes], own: Any) -> Any:
        found = read(self, paths, own)
        found.blocks = [
            lost_block(block.path, block.own, WalkError(block.path, "list", errno.EIO))
            if block.path.endswith(b"/b")
            else block
            for block in found.blocks
        ]
        return found

    scan(db, tree)
    (tree / "b" / "new").touch()
    with monkeypatch.context() as patched:
        patched.setattr(Seen, "read", failing)
        answer = scan(db, tree)
    assert (answer["errors"], answer["deleted"]) == (1, 3)
    told = "SELECT path, operation FROM catalog.proj_errors"
    assert db.sql(told).fetchall() == [(f"{tree}/b", "list")]
    # Nothing has changed about it since, and it is read again nevertheless.
    answer = scan(db, tree)
    assert (answer["errors"], answer["created"]) == (0, 4)
    assert db.sql(told).fetchall() == []


def test_changes_between_versions(db: Connection, tree: Path, seen: type[Seen]) -> None:
    scan(db, tree)
    first = db.snapshot() + 1
    (tree / "a").rename(tree / "q")
    (tree / "c" / "f0.txt").unlink()
    (tree / "short").touch()
    scan(db, tree)
    (tree / "short").unlink()
    (tree / "q" / "deep" / "er" / "f1.txt").rename(tree / "b" / "renamed")
    (tree / "b" / "new").touch()
    scan(db, tree)
    (tree / "b" / "f2.txt").write_bytes(b"other")
    scan(db, tree, ", full => true")
    call = f"catalog_changes('proj', {first}, {db.snapshot()})"
    rows = db.sql(
        f"SELECT change_type, old_path, path FROM {call} WHERE element_type = 'FILE' ORDER BY ALL"
    ).fetchall()
    assert [(c, *(p and os.path.relpath(p, tree) for p in rest)) for c, *rest in rows] == [
        ("created", None, "b/new"),
        ("deleted", "c/f0.txt", None),
        ("modified", "b/f2.txt", "b/f2.txt"),
        ("moved", "a/deep/er/f0.txt", "q/deep/er/f0.txt"),
        ("moved", "a/deep/er/f1.txt", "b/renamed"),
        ("moved", "a/deep/er/f2.txt", "q/deep/er/f2.txt"),
    ]
    sizes = f"SELECT old_size, size FROM pagelake.{call} WHERE path LIKE '%/b/f2.txt'"
    assert db.sql(sizes).fetchall() == [(2, 5)]
    assert db.sql("SELECT count(*) FROM catalog_changes('catalog.PROJ', $1, $2)",
                  [first + 1, first + 1]).fetchall() == [(6,)]  # fmt: skip


def test_rows_that_were_replaced_are_paired_by_identity(
    db: Connection, tree: Path, seen: type[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(db, tree)
    first = db.snapshot() + 1
    monkeypatch.setattr(full_rescan_module, "HELD_ROWS_MAX", 0)
    (tree / "c" / "f0.txt").rename(tree / "b" / "was-in-c")
    (tree / "b" / "new").touch()
    scan(db, tree, ", full => true")
    rows = db.sql(
        f"SELECT change_type, path FROM catalog_changes('proj', {first}, {db.snapshot()}) "
        "WHERE element_type = 'FILE' ORDER BY ALL"
    ).fetchall()
    assert rows == [("created", f"{tree}/b/new"), ("moved", f"{tree}/b/was-in-c")]


def test_bad_arguments_of_changes_are_told(db: Connection, tree: Path, seen: type[Seen]) -> None:
    scan(db, tree)
    with pytest.raises(UnknownName, match="proj"):
        db.sql("FROM catalog_changes('prj', 1, 1)")
    with pytest.raises(InvalidRequest, match="two versions"):
        db.sql("FROM catalog_changes('proj')")
    with pytest.raises(InvalidRequest, match="comes after"):
        db.sql("FROM catalog_changes('proj', 1, 0)")


def test_two_rescans_of_one_catalog_do_not_both_add_a_file(
    tree: Path, store_path: Path, seen: type[Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pagelake.connect(store_path) as one, pagelake.connect(store_path) as other:
        scan(one, tree)
        (tree / "b" / "new").touch()
        write = rescan_module.Rescan._write_entries
        once: list[int] = []

        def meanwhile(self: Any, found: Any) -> None:
            if not once:
                once.append(1)
                scan(other, tree)
            write(self, found)

        monkeypatch.setattr(rescan_module.Rescan, "_write_entries", meanwhile)
        scan(one, tree)
        assert one.sql("SELECT count(*) FROM catalog.proj WHERE name = 'new'").fetchall() == [(1,)]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="trees are watched on Linux")
@pytest.mark.parametrize("way", ["fanotify", "inotify"])
def test_a_watched_tree_is_in_the_catalog_a_moment_later(
    tree: Path, store_path: Path, seen: type[Seen], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "Crew", Seen)
    monkeypatch.setattr(watch_module, "DEBOUNCE_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "ROOT_SECONDS", 0.05)
    scanned, stopped = threading.Semaphore(0), threading.Event()
    summaries: list[ScanSummary] = []
    ended: list[BaseException] = []

    def note(summary: ScanSummary) -> None:
        summaries.append(summary)
        if len(summaries) == 1 or summary.changes:
            scanned.release()

    def poll() -> None:
        if stopped.is_set():
            raise Interrupted("cancelled")

    def watch(con: Connection) -> None:
        request = ScanRequest(os.fsencode(tree), "proj", WalkOptions())
        try:
            Watching(
                con._session,
                request,
                poll,
                note,
                ways=("fanotify", "inotify") if way == "fanotify" else ("inotify",),
            ).run()
        except pagelake.Error as error:
            ended.append(error)

    with pagelake.connect(store_path) as con, pagelake.connect(store_path) as reader:
        thread = threading.Thread(target=watch, args=(con,))
        thread.start()
        try:
            assert scanned.acquire(timeout=30)
            (tree / "b" / "f1.txt").write_bytes(b"written in place")
            assert scanned.acquire(timeout=30)
            size = "SELECT size FROM catalog.proj WHERE path LIKE '%/b/f1.txt'"
            assert reader.sql(size).fetchall() == [(16,)]
            assert summaries[-1].kind == "watch"
            seen.read_paths.clear()
            (tree / "c" / "made").mkdir()
            assert scanned.acquire(timeout=30)
            assert {f"{tree}/c", f"{tree}/c/made"} >= set(seen.read_paths)
            shutil.rmtree(tree)
            thread.join(30)
        finally:
            stopped.set()
            thread.join(30)
    assert isinstance(ended[0], Unavailable)
    assert "is gone" in str(ended[0])
