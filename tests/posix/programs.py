"""Ordinary programs on a mount, against a plain directory: ``python -m tests.posix.programs``.

Programs that are not installed are left out. Nothing is touched but a temporary directory.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .mounts import ROOT, cannot_mount, mounted

if TYPE_CHECKING:
    from collections.abc import Callable

SQLITE = (
    "PRAGMA journal_mode={journal}; CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB); "
    "INSERT INTO t SELECT value, randomblob(500) FROM generate_series(1, 5000); "
    "DELETE FROM t WHERE x % 3 = 0; UPDATE t SET y = randomblob(700) WHERE x % 5 = 0; "
    "VACUUM; PRAGMA integrity_check; SELECT count(*) FROM t;"
)


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a program that must succeed; returns what it printed."""
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def told(tree: Path) -> list[str]:
    """Everything that `find` tells of a tree, but for the sizes of directories."""
    lines = run("find", ".", "-printf", "%P %y %m %U %G %n %T@ %l %s\n", cwd=tree).splitlines()
    return sorted(" ".join(w.split(" ")[:-1]) if " d " in w else w for w in lines)


def same(tree: Path, other: Path) -> None:
    """Two trees are the same, attributes included."""
    run("diff", "-r", "--no-dereference", "-x", "pipe", tree, other)
    left, right = set(told(tree)), set(told(other))
    assert left == right, (left - right, right - left)


def tar(source: Path, place: Path, plain: Path) -> None:
    """In and out again."""
    (place / "tree").mkdir()
    for tree, into in ((source, place / "tree"), (place / "tree", plain)):
        run("tar", "--format=posix", "-cf", plain.parent / "all.tar", ".", cwd=tree)
        run("tar", "xpf", plain.parent / "all.tar", cwd=into)
        same(source, into)


def cp(source: Path, place: Path, _plain: Path) -> None:
    """With all attributes."""
    run("cp", "-a", source, place / "tree")
    same(source, place / "tree")


def rsync(source: Path, place: Path, _plain: Path) -> None:
    """Twice: what has not changed is not copied again."""
    run("rsync", "-aHX", f"{source}/", place / "tree/")
    same(source, place / "tree")
    assert run("rsync", "-aHXi", "--delete", f"{source}/", place / "tree/") == ""


def dd(_source: Path, place: Path, plain: Path) -> None:
    """Random writes."""
    chance = random.Random(5)
    for directory in (place, plain):
        run("dd", "if=/dev/zero", f"of={directory / 'f'}", "bs=1M", "count=8")
    piece = plain.parent / "piece"
    for _ in range(20):
        piece.write_bytes(chance.randbytes(chance.randrange(1, 200_000)))
        seek = chance.randrange(9 << 20)
        for directory in (place, plain):
            run("dd", f"if={piece}", f"of={directory / 'f'}", "bs=64K", f"seek={seek}",
                "oflag=seek_bytes", "conv=notrunc")  # fmt: skip
    run("cmp", place / "f", plain / "f")


def sqlite3(_source: Path, place: Path, _plain: Path) -> None:
    """With both kinds of journal."""
    for journal in ("delete", "wal"):
        answer = run("sqlite3", place / f"{journal}.db", SQLITE.format(journal=journal))
        assert answer.split() == [journal, "ok", "3334"], answer


def git(_source: Path, place: Path, _plain: Path) -> None:
    """Clone, commit, collect garbage, check."""
    clone, who = place / "clone", ["-c", "user.name=n", "-c", "user.email=a@b"]
    run("git", "clone", "--quiet", "--no-hardlinks", "--depth", "2", ROOT.as_uri(), clone)
    (clone / "new").write_text("new")
    run("git", "add", "new", cwd=clone)
    run("git", *who, "commit", "--quiet", "-m", "one", cwd=clone)
    run("git", "mv", "new", "moved", cwd=clone)
    run("git", *who, "commit", "--quiet", "-m", "two", cwd=clone)
    run("git", "gc", "--quiet", cwd=clone)
    run("git", "fsck", "--full", cwd=clone)
    assert run("git", "status", "--short", cwd=clone) == ""


PROGRAMS: dict[str, Callable[[Path, Path, Path], None]] = {
    "tar": tar, "cp": cp, "rsync": rsync, "dd": dd, "sqlite3": sqlite3, "git": git,
}  # fmt: skip


def main() -> None:
    """Run every program that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", help=", ".join(PROGRAMS))
    given = parser.parse_args()
    if (why := cannot_mount()) is not None:
        raise SystemExit(f"nothing can be mounted: {why}")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        source = root / "source"
        shutil.copytree(ROOT / "docs", source / "docs")
        (source / "link").symlink_to("docs")
        os.link(source / "docs/README.md", source / "hard")
        os.mkfifo(source / "pipe")
        with mounted(root / "my.lake", root / "mount") as directory:
            for program in given.programs or PROGRAMS:
                if shutil.which(program) is None:
                    print(f"{program:8} is not installed")
                    continue
                place, plain = directory / program, root / f"plain-{program}"
                place.mkdir()
                plain.mkdir()
                begun = time.perf_counter()
                PROGRAMS[program](source, place, plain)
                print(f"{program:8} ok, {time.perf_counter() - begun:.1f} s", flush=True)
                shutil.rmtree(place)


if __name__ == "__main__":
    main()
