"""Two processes at the same names at the same moment: whoever is second does it again."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.files.definition import ELEMENTS
from pagelake.storage.files.file_error import FileError
from pagelake.storage.files.operations import (
    Create,
    MakeDirectory,
    MakeLink,
    SetAttributes,
    Write,
)
from pagelake.storage.files.removal import RemoveDirectory, RemoveTree, Unlink
from pagelake.storage.files.renaming import Rename
from tests.unit.storage.files.stores import During, content, opened, paths, sealed, two_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pagelake.storage.files.files import Files


@pytest.fixture
def both() -> Iterator[tuple[Files, Files]]:
    with two_processes() as both:
        both[0].run(MakeDirectory("/d"), MakeDirectory("/a"), MakeDirectory("/b"))
        yield both


def refused(number: int, files: Files, *operations: object) -> None:
    with pytest.raises(FileError) as caught:
        files.run(*operations)  # type: ignore[arg-type]
    assert caught.value.errno == number


def test_two_first_users() -> None:
    with two_processes() as (mine, theirs):
        mine.run(During(Create("/mine"), lambda: theirs.run(Create("/theirs"))))
        assert paths(mine) == paths(theirs) == ["/mine", "/theirs"]


def test_the_same_path(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    new = Create("/d/x", theirs.content.inline(b"theirs"))
    refused(errno.EEXIST, mine, During(Create("/d/x"), lambda: theirs.run(new)))
    other = Create("/d/y", mine.content.inline(b"mine"), exclusive=False)
    mine.run(During(other, lambda: theirs.run(Create("/d/y"))))
    assert content(theirs, "/d/x") == b"theirs"
    assert content(theirs, "/d/y") == b"mine"
    assert paths(mine) == ["/a", "/b", "/d", "/d/x", "/d/y"]


def test_the_same_path_on_a_snapshot_of_yesterday(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    mine.run(Create("/d/first"))
    theirs.run(Create("/d/x"), MakeDirectory("/d/new"))
    refused(errno.EEXIST, mine, Create("/d/x"))
    theirs.run(Unlink("/d/x"))
    mine.run(Create("/d/x"))
    theirs.run(MakeDirectory("/d/newer"))
    mine.run(Create("/d/newer/y"))
    assert mine.run(MakeDirectory("/d/newer", exist_ok=True))[0] is not None
    theirs.run(RemoveTree("/d/newer"))
    refused(errno.ENOENT, mine, Create("/d/newer/y"))


def test_removing_a_directory_and_creating_in_it(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    refused(errno.ENOENT, mine, During(Create("/d/x"), lambda: theirs.run(RemoveDirectory("/d"))))
    assert paths(mine) == ["/a", "/b"]
    refused(
        errno.ENOTEMPTY, mine, During(RemoveDirectory("/a"), lambda: theirs.run(Create("/a/x")))
    )
    mine.run(During(RemoveTree("/a"), lambda: theirs.run(Create("/a/y"))))
    assert paths(theirs) == ["/b"]


def test_two_renames_that_would_make_a_cycle(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    made = mine.run(MakeDirectory("/b/c"), MakeDirectory("/a/d"))
    assert made[0] is not None
    refused(
        errno.EINVAL,
        mine,
        During(Rename("/a", (made[0].handle, "a")), lambda: theirs.run(Rename("/b", "/a/d/b"))),
    )
    assert paths(mine) == ["/a", "/a/d", "/a/d/b", "/a/d/b/c", "/d"]


def test_renaming_a_directory_and_creating_in_it(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    with mine.snapshot() as snapshot:
        directory = snapshot.get("/d").handle
    refused(errno.ENOENT, mine, During(Create("/d/x"), lambda: theirs.run(Rename("/d", "/e"))))
    mine.run(During(Create((directory, "y")), lambda: theirs.run(Rename("/e", "/b/e"))))
    mine.run(During(Rename("/b/e", "/f"), lambda: theirs.run(Create((directory, "z")))))
    assert paths(theirs) == ["/a", "/b", "/f", "/f/y", "/f/z"]


def test_renaming_a_tree_and_changing_what_is_in_it(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    mine.run(MakeDirectory("/d/e"), Create("/d/e/x"), Create("/d/e/y"), Create("/d/e/z"))
    mine.run(
        During(
            Rename("/d", "/moved"),
            lambda: theirs.run(
                SetAttributes("/d/e/x", {"nfs_mode_bits": 0o600}),
                Unlink("/d/e/y"),
                Rename("/d/e/z", "/z"),
            ),
        )
    )
    assert paths(mine) == ["/a", "/b", "/moved", "/moved/e", "/moved/e/x", "/z"]
    with mine.snapshot() as snapshot:
        assert snapshot.get("/moved/e/x").nfs_mode_bits == 0o600


def test_two_writers_of_one_file(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    mine.run(Create("/d/x"))
    written = Write("/d/x", theirs.content.inline(b"theirs"))
    mine.run(During(Write("/d/x", mine.content.inline(b"mine")), lambda: theirs.run(written)))
    assert content(theirs, "/d/x") == b"mine"
    refused(
        errno.ENOENT,
        mine,
        During(Write("/d/x", mine.content.inline(b"")), lambda: theirs.run(Unlink("/d/x"))),
    )


def test_links_and_removal_of_what_they_name(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    mine.run(Create("/d/x"))
    mine.run(During(MakeLink("/d/x", "/a/l"), lambda: theirs.run(MakeLink("/d/x", "/b/l"))))
    with mine.snapshot() as snapshot:
        assert snapshot.get("/d/x").nlinks == 3
    mine.run(During(Unlink("/d/x"), lambda: theirs.run(Unlink("/a/l"))))
    with mine.snapshot() as snapshot:
        assert snapshot.get("/b/l").nlinks == 1
    refused(
        errno.ENOENT,
        mine,
        During(MakeLink("/b/l", "/a/l"), lambda: theirs.run(Unlink("/b/l"))),
    )


def test_renaming_over_a_name_that_comes_up(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    mine.run(Create("/d/x", mine.content.inline(b"x")))
    mine.run(During(Rename("/d/x", "/d/y"), lambda: theirs.run(Create("/d/y"))))
    assert content(mine, "/d/y") == b"x"
    refused(
        errno.EEXIST,
        mine,
        During(Rename("/d/y", "/d/z", no_replace=True), lambda: theirs.run(Create("/d/z"))),
    )
    mine.run(Unlink("/d/z"), Unlink("/d/y"))
    assert paths(theirs) == ["/a", "/b", "/d"]


def test_maintenance_that_moves_the_rows(both: tuple[Files, Files]) -> None:
    mine, theirs = both
    mine.run(MakeDirectory("/d/e"), *(Create(f"/d/e/{n}") for n in range(30)))
    changes = (Rename("/d", "/f"), Unlink("/f/e/3"), SetAttributes("/f/e/4", {"uid": 4}))
    for change in changes:
        mine.run(During(change, lambda: sealed(theirs)))
        theirs.run(Create(f"/{type(change).__name__}"))
    groups = mine.store.snapshot().tables[ELEMENTS].row_groups
    assert any(group.inline is None for group in groups)
    mine.run(Create("/f/e/3"), RemoveTree("/a"))
    with theirs.snapshot() as snapshot:
        assert snapshot.usage("/f").files == 30
        assert snapshot.get("/f/e/4").uid == 4
        names = [e.name for e in snapshot.children(snapshot.get("/f/e").handle)]
        assert names == sorted(map(str, range(30)))


def test_an_operation_that_is_refused_leaves_the_others(both: tuple[Files, Files]) -> None:
    mine, _ = both
    refused(errno.ENOENT, mine, Create("/d/x"), MakeDirectory("/d/y"), Unlink("/d/z"))
    assert paths(mine) == ["/a", "/b", "/d"]


def test_handles_of_one_block() -> None:
    device = MemoryDevice()
    with opened(device) as mine, opened(device) as theirs:
        mine.run(Create("/a"))
        # The same block of handles as another process, which nobody can rule out.
        theirs._handles._numbers = iter(range(9, 1 << 20))
        mine._handles._numbers = iter(range(9, 1 << 20))
        mine.run(*(Create(f"/m{n}") for n in range(5)))
        theirs.run(*(Create(f"/t{n}") for n in range(5)))
        mine.run(During(Create("/m"), lambda: theirs.run(Create("/t"))))
        with mine.snapshot() as snapshot:
            handles = [e.handle for e in snapshot.children(1)]
        assert len(set(handles)) == len(handles) == 13
