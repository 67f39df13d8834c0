"""Random edits of trees, and the comparison of a catalog with a fresh scan of the same tree."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from pagelake import Connection

NAMES = (
    *("a", "b", "c", "a.b", "a-b", "d.txt", "e.txt", "f.bin", "g", "h.tar.gz", "caf\udce9"),
    *("new\nline", "x" * 100, "Z", "é.txt"),
)


def differences(con: Connection, name: str, fresh: str) -> list[str]:
    """Tell of rows that only one of two catalogs has; labels and what a scan changes aside."""
    found: list[str] = []
    shown = "* EXCLUDE (directory, atime), "
    shown += "CASE WHEN element_type NOT IN ('DIR', 'SYMLINK') THEN atime END AS accessed"
    for suffix, columns in (
        ("", shown),
        ("_directories", "* EXCLUDE (label, last_label)"),
        ("_extensions", "*"),
        ("_errors", "* EXCLUDE (scan_time)"),
    ):
        ours, theirs = (f"SELECT {columns} FROM catalog.{n}{suffix}" for n in (name, fresh))
        only = []
        for sql in (f"{ours} EXCEPT ALL {theirs}", f"{theirs} EXCEPT ALL {ours}"):
            result = con.sql(sql)
            rows = result.fetchall()
            only.append({str(row[0]): dict(zip(result.columns, row, strict=True)) for row in rows})
        for key in sorted({*only[0], *only[1]}):
            one, other = (side.get(key) for side in only)
            if one and other:
                told = {c: (one[c], other[c]) for c in one if one[c] != other[c]}
                found.append(f"{suffix}: {key}: {told}")
            else:
                found.append(f"{suffix}: only in {'one' if one else 'fresh'}: {key}")
    return found


def check_labels(con: Connection, name: str) -> None:
    """Assert that labels are in the order of paths, and ranges what is below."""
    rows = con.sql(
        f"SELECT path, label, last_label, entries FROM catalog.{name}_directories ORDER BY label"
    ).fetchall()
    keys = [path.encode("utf-8", "surrogatepass").replace(b"/", b"\0") for path, *_ in rows]
    assert keys == sorted(keys)
    assert len({label for _, label, _, _ in rows}) == len(rows)
    of = {path: label for path, label, _, _ in rows}
    entries = con.sql(f"SELECT parent_path, directory FROM catalog.{name}").fetchall()
    root = min(of, key=len)
    for parent, label in entries:
        assert label == of.get(parent, 0), parent
    for path, label, last, count in rows:
        assert 1 + sum(label <= at <= last for _, at in entries) == count, (path, root)


class Editor:
    """Edits a tree at random."""

    def __init__(self, root: Path, random: Random, *, in_place: bool, links: bool) -> None:
        self._root = str(root)
        self._random = random
        self._in_place = in_place
        self._links = links

    def edit(self, times: int) -> None:
        """Do some random edits; those that make no sense do nothing."""
        edits = [
            *(self._create, self._create, self._delete, self._rename, self._rename, self._swap),
            *(self._make, self._make, self._remove, self._symlink, self._again, self._fill),
            # Names in directories that cannot be read would be links that nobody sees.
            self._link if self._links else self._chmod_directory,
        ]
        if self._in_place:
            edits += [self._write, self._chmod, self._touch]
        for _ in range(times):
            with suppress(OSError, IndexError):
                self._random.choice(edits)()

    def _directories(self) -> list[str]:
        return sorted([path for path, _, _ in os.walk(self._root)])

    def _files(self) -> list[str]:
        return sorted(
            os.path.join(path, name) for path, _, names in os.walk(self._root) for name in names
        )

    def _any(self) -> str:
        return self._random.choice(self._directories()[1:] + self._files())

    def _somewhere(self) -> str:
        return os.path.join(self._random.choice(self._directories()), self._random.choice(NAMES))

    def _create(self) -> None:
        with open(self._somewhere(), "xb") as file:
            file.write(b"x" * self._random.choice((0, 1, 5000, 100_000)))

    def _delete(self) -> None:
        os.unlink(self._random.choice(self._files()))

    def _rename(self) -> None:
        os.rename(self._any(), self._somewhere())

    def _swap(self) -> None:
        one, other = self._any(), self._any()
        os.rename(one, self._root + "/swapped")
        with suppress(OSError):
            os.rename(other, one)
        os.rename(self._root + "/swapped", other if not os.path.lexists(other) else one + "~")

    def _make(self) -> None:
        os.mkdir(self._somewhere())

    def _fill(self) -> None:
        path = self._somewhere()
        for below in ("", "/p", "/p/q", "/r"):
            os.mkdir(path + below)
            for number in range(self._random.randint(0, 6)):
                with open(f"{path}{below}/{number}.{self._random.choice('abc')}", "xb") as file:
                    file.write(b"y" * number * 1000)

    def _remove(self) -> None:
        shutil.rmtree(self._random.choice(self._directories()[1:]))

    def _link(self) -> None:
        os.link(self._random.choice(self._files()), self._somewhere(), follow_symlinks=False)

    def _symlink(self) -> None:
        os.symlink(self._random.choice(("nowhere", "..", "/etc")), self._somewhere())

    def _again(self) -> None:
        """Replace something by something new of the same name, which may get its number."""
        path = self._any()
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
            os.mkdir(path)
        else:
            os.unlink(path)
            with open(path, "xb"):
                pass

    def _chmod_directory(self) -> None:
        path = self._random.choice(self._directories()[1:])
        os.chmod(path, self._random.choice((0o755, 0o700, 0o000, 0o400, 0o100)))

    def _write(self) -> None:
        with open(self._random.choice(self._files()), "ab") as file:
            file.write(b"more")

    def _chmod(self) -> None:
        path = self._random.choice(self._files())
        if not os.path.islink(path):
            os.chmod(path, 0o640)

    def _touch(self) -> None:
        os.utime(self._any(), ns=(0, 10**18), follow_symlinks=False)
