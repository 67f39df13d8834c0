"""Lists and stats directories, in waves: the part of a walk that one process does.

A task is a few directories. The walker lists them, stats all their names, finds their
subdirectories, goes on with those as the next wave, and stops at a budget; what it did not get to
is left to the coordinator. Within a wave, directories are held open in slices, so that numpy passes
(which entries are directories, which are links) cover many small directories at once.

A directory is opened without following a link in its last component, and must be the same (device,
inode) that its parent's entry was: whoever swaps a directory for a link or another one in between
gets an error, not a walk out of the tree. Nothing here raises for what is found on disk: every
place that cannot be read is a `WalkError`.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from .block import ENTRY, TYPE_MASK, Block, WalkError, child_path, joined, order_key
from .globs import Exclusion, relative
from .statx import stat_buffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .block import EntryArray, WalkOptions
    from .statx import Failure

BUDGET: Final = 20_000
"""Entries after which a task ends: about 100 ms of work, so that processes share it evenly."""

TASK_SECONDS: Final = 1.0
"""Time after which a task ends, for slow file systems."""

SLICE_DIRECTORIES: Final = 64
"""Directories held open at once; macOS allows a process 256 descriptors."""

SLICE_ENTRIES: Final = 8192
"""Entries after which a slice ends."""

STAT_PATHS: Final = 256
"""Paths looked at together: where one is gone, they are asked for again one by one."""

OPEN_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

PATH_PIECE_BYTES: Final = 1000
"""Pieces in which a path longer than the system takes is opened; below macOS' PATH_MAX of 1024."""

NO_ATTRIBUTES: Final = (errno.ENOTSUP, errno.ENODATA, errno.EPERM)


@dataclass(slots=True)
class Answer:
    """What a task found: blocks as columns, so that they cross a pipe in few pieces.

    Args:
        paths: The directories that were read, or could not be: one block each.
        own: Their own entries.
        counts: How many entries each has.
        names: The names of all, block after block.
        entries: Their metadata, in the order of `names`.
        targets: Symbolic links: index into `names`, target.
        errors: Index into `paths`, and what went wrong.
        xattrs: Index into `names`, key, value.
        left: Directories found and not read, in the order of blocks.
        left_own: Their own entries.
        crossing: Whether each of `left` is where another mount or file system begins.
    """

    paths: list[bytes] = field(default_factory=list)
    own: EntryArray = field(default_factory=lambda: np.empty(0, ENTRY))
    counts: list[int] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    entries: EntryArray = field(default_factory=lambda: np.empty(0, ENTRY))
    targets: list[tuple[int, bytes]] = field(default_factory=list)
    errors: list[tuple[int, WalkError]] = field(default_factory=list)
    xattrs: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)
    left_own: EntryArray = field(default_factory=lambda: np.empty(0, ENTRY))
    crossing: list[bool] = field(default_factory=list)

    def blocks(self) -> Iterator[Block]:
        """Yield a block for each of `paths`, in that order."""
        targets: dict[int, dict[int, bytes]] = {}
        xattrs: dict[int, dict[int, dict[bytes, bytes]]] = {}
        errors: dict[int, list[WalkError]] = {}
        starts = np.cumsum([0, *self.counts])
        if self.targets:
            where = np.searchsorted(starts, [link for link, _ in self.targets], side="right") - 1
            for block, (link, target) in zip(where.tolist(), self.targets, strict=True):
                targets.setdefault(block, {})[link - int(starts[block])] = target
        if self.xattrs:
            where = np.searchsorted(starts, [x[0] for x in self.xattrs], side="right") - 1
            for block, (entry, key, value) in zip(where.tolist(), self.xattrs, strict=True):
                of_block = xattrs.setdefault(block, {})
                of_block.setdefault(entry - int(starts[block]), {})[key] = value
        for block, error in self.errors:
            errors.setdefault(block, []).append(error)
        for block, (path, start, count) in enumerate(
            zip(self.paths, starts.tolist(), self.counts, strict=False)
        ):
            yield Block(
                path,
                self.own[block],
                self.names[start : start + count],
                self.entries[start : start + count],
                targets.get(block, {}),
                tuple(errors.get(block, ())),
                xattrs.get(block, {}),
            )


class Walker:
    """Reads directories of one tree.

    Args:
        root: The root of the walk: paths are excluded relative to it.
        device: The root's device number.
        options: What to read and what to leave out.
        beat: Called often while a task goes on: proof of life.
        portable: Use `os.stat` even where statx is there.
    """

    def __init__(
        self,
        root: bytes,
        device: int,
        options: WalkOptions,
        *,
        beat: Callable[[], None] | None = None,
        portable: bool = False,
    ) -> None:
        self._root = root
        self._device = device
        self._options = options
        self._exclusion = Exclusion(options.exclude) if options.exclude else None
        self._skip_inodes = np.array([inode for _, inode in options.skip], dtype=np.uint64)
        self._beat = beat if beat is not None else _no_beat
        self._stats = stat_buffer(portable=portable, beat=beat)

    def task(self, paths: Sequence[bytes], own: EntryArray, budget: int = BUDGET) -> Answer:
        """Read directories and what is below them, as far as the budget goes.

        Args:
            paths: Absolute paths of directories.
            own: Their entries as last seen, shape (len(paths),).
            budget: Entries after which to stop; the first slice of directories is read in any
                case. 0: read all of `paths`, and do not descend.
        """
        gathered = _Gathered()
        deadline = time.monotonic() + TASK_SECONDS
        wave, wave_own = list(paths), own
        while wave:
            if not budget and gathered.answer.paths:
                gathered.leave(wave, wave_own)
                break
            done = 0
            while done < len(wave):
                spent = gathered.count >= budget or time.monotonic() > deadline
                if budget and gathered.answer.paths and spent:
                    gathered.leave(wave[done:], wave_own[done:])
                    break
                done += self._read_slice(wave[done:], wave_own[done:], gathered)
            wave, wave_own = gathered.next_wave()
        return gathered.finish()

    def stat(self, paths: Sequence[bytes]) -> tuple[EntryArray, list[Failure]]:
        """Look at directories by their paths, without listing them.

        Args:
            paths: The root, or paths below it.

        Returns:
            Entries of those that are there, in order, and index and errno of the others. What is
            said of a path is about a directory of the tree only where that holds of all above it:
            a link in the middle is followed.
        """
        try:
            root = os.open(self._root, OPEN_FLAGS)
        except OSError as error:
            number = error.errno or errno.EIO
            return np.empty(0, ENTRY), [(index, number) for index in range(len(paths))]
        start = len(child_path(self._root, b""))
        try:
            failures: list[Failure] = []
            for first in range(0, len(paths), STAT_PATHS):
                self._beat()
                names = [path[start:] or b"." for path in paths[first : first + STAT_PATHS]]
                found = self._stats.fill(root, names)
                failures += [(first + index, number) for index, number in found]
        finally:
            os.close(root)
        return self._stats.take()[0], failures

    def _read_slice(self, paths: Sequence[bytes], own: EntryArray, gathered: _Gathered) -> int:
        """Read the first few of `paths` and return how many."""
        answer = gathered.answer
        first_block, first_name = len(answer.paths), len(answer.names)
        descriptors: list[int] = []
        starts: list[int] = []
        try:
            identities = zip(
                paths[:SLICE_DIRECTORIES],
                own["device"][:SLICE_DIRECTORIES].tolist(),
                own["inode"][:SLICE_DIRECTORIES].tolist(),
                strict=True,
            )
            for path, device, inode in identities:
                starts.append(len(answer.names) - first_name)
                answer.names += self._read_directory(path, (device, inode), descriptors, answer)
                count = len(answer.names) - first_name - starts[-1]
                answer.paths.append(path)
                answer.counts.append(count)
                if len(answer.names) - first_name >= SLICE_ENTRIES:
                    break
            entries, mounts = self._stats.take()
            piece = _Slice(first_block, first_name, np.array(starts), entries, descriptors)
            self._read_links(piece, answer)
            if self._options.xattrs:
                self._read_xattrs(piece, answer)
        finally:
            for descriptor in descriptors:
                if descriptor >= 0:
                    os.close(descriptor)
        gathered.entries.append(entries)
        gathered.own.append(own[: len(starts)])
        self._find_subdirectories(piece, own["device"][: len(starts)], mounts, gathered)
        return len(starts)

    def _read_directory(
        self, path: bytes, identity: tuple[int, int], descriptors: list[int], answer: Answer
    ) -> list[bytes]:
        """Open and list one directory and stat its names; -1 stands for one that does not open."""
        block = len(answer.paths)
        self._beat()
        operation = "open"
        descriptors.append(-1)
        try:
            descriptors[-1] = descriptor = _open_directory(path)
            found = os.fstat(descriptor)
            if (found.st_dev & (2**64 - 1), found.st_ino & (2**64 - 1)) != identity:
                answer.errors.append((block, WalkError(path, operation, errno.ESTALE)))
                return []
            operation = "list"
            listed = os.listdir(descriptor)
        except OSError as error:
            answer.errors.append((block, WalkError(path, operation, error.errno or errno.EIO)))
            return []
        if self._exclusion is not None and listed:
            listed = self._exclusion.kept(relative(self._root, path), listed)
        if not listed:
            return []
        # One conversion for all names: no name holds a NUL.
        names = os.fsencode("\0".join(listed)).split(b"\0")
        names.sort()
        if len(set(names)) < len(names):  # a directory that changes may show a name twice
            names = sorted(set(names))
        failures = self._stats.fill(descriptor, names)
        if failures:
            for index, number in failures:
                lost = WalkError(child_path(path, names[index]), "stat", number)
                answer.errors.append((block, lost))
            gone = {index for index, _ in failures}
            names = [name for index, name in enumerate(names) if index not in gone]
        return names

    def _read_links(self, piece: _Slice, answer: Answer) -> None:
        for index, block in piece.of_types(stat.S_IFLNK):
            name = answer.names[piece.first_name + index]
            try:
                target = os.readlink(name, dir_fd=piece.descriptors[block])
            except OSError as error:
                piece.fail(answer, block, name, "readlink", error)
            else:
                answer.targets.append((piece.first_name + index, target))

    def _read_xattrs(self, piece: _Slice, answer: Answer) -> None:
        """Read `user.` attributes, which only files and directories can have on Linux."""
        for index, block in piece.of_types(stat.S_IFREG, stat.S_IFDIR):
            name = answer.names[piece.first_name + index]
            # There is no such call relative to a descriptor but through its own link.
            path = b"/proc/self/fd/%d/%s" % (piece.descriptors[block], name)
            self._beat()
            try:
                for key in os.listxattr(path, follow_symlinks=False):
                    if key.startswith("user."):
                        value = os.getxattr(path, key, follow_symlinks=False)
                        entry = piece.first_name + index
                        answer.xattrs.append((entry, os.fsencode(key[5:]), value))
            except OSError as error:
                if error.errno not in NO_ATTRIBUTES:
                    piece.fail(answer, block, name, "xattr", error)

    def _find_subdirectories(
        self, piece: _Slice, devices: np.ndarray, mounts: np.ndarray, gathered: _Gathered
    ) -> None:
        answer = gathered.answer
        indexes = np.flatnonzero((piece.entries["mode"] & TYPE_MASK) == stat.S_IFDIR)
        if not len(indexes):
            return
        found = piece.entries[indexes]
        if self._skip_inodes.size and (near := np.isin(found["inode"], self._skip_inodes)).any():
            identities = zip(found["device"].tolist(), found["inode"].tolist(), strict=True)
            near &= np.array([identity in self._options.skip for identity in identities])
            gathered.dropped += (indexes[near] + piece.first_name).tolist()
            indexes, found = indexes[~near], found[~near]
        if self._options.one_file_system:
            here = found["device"] == np.uint64(self._device)
            indexes, found = indexes[here], found[here]
        blocks = piece.blocks(indexes)
        crossing = mounts[indexes] | (found["device"] != devices[blocks])
        names, paths = answer.names, answer.paths
        children = [
            child_path(paths[piece.first_block + block], names[piece.first_name + index])
            for index, block in zip(indexes.tolist(), blocks.tolist(), strict=True)
        ]
        if crossing.any():
            at = np.flatnonzero(crossing)
            gathered.leave([children[i] for i in at.tolist()], found[at], crossing=True)
            at = np.flatnonzero(~crossing)
            children, found = [children[i] for i in at.tolist()], found[at]
        gathered.next_paths += children
        gathered.next_own.append(found)


def _no_beat() -> None:
    pass


@dataclass(slots=True)
class _Slice:
    """Directories that are open together, and their entries."""

    first_block: int  # where its first directory is among the answer's paths
    first_name: int  # where its first name is among the answer's names
    starts: np.ndarray  # where each directory's entries begin, from the slice's first
    entries: EntryArray
    descriptors: list[int]

    def blocks(self, indexes: np.ndarray) -> np.ndarray:
        """Return which directory of the slice each entry belongs to."""
        # Empty directories begin where the next does, so the last one that begins here is it.
        return np.searchsorted(self.starts, indexes, side="right") - 1

    def of_types(self, *types: int) -> Iterator[tuple[int, int]]:
        """Yield index and directory of the entries of some types."""
        kinds = self.entries["mode"] & TYPE_MASK
        wanted = kinds == types[0]
        for other in types[1:]:
            wanted |= kinds == other
        indexes = np.flatnonzero(wanted)
        return zip(indexes.tolist(), self.blocks(indexes).tolist(), strict=True)

    def fail(self, answer: Answer, block: int, name: bytes, operation: str, error: OSError) -> None:
        block += self.first_block
        path = child_path(answer.paths[block], name)
        answer.errors.append((block, WalkError(path, operation, error.errno or errno.EIO)))


class _Gathered:
    """An answer under way."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.entries: list[EntryArray] = []
        self.own: list[EntryArray] = []
        self.dropped: list[int] = []
        self.next_paths: list[bytes] = []
        self.next_own: list[EntryArray] = []
        self._left_own: list[EntryArray] = []

    @property
    def count(self) -> int:
        return len(self.answer.names)

    def leave(self, paths: Sequence[bytes], own: EntryArray, *, crossing: bool = False) -> None:
        """Leave directories to the coordinator."""
        self.answer.left += paths
        self.answer.crossing += [crossing] * len(paths)
        self._left_own.append(own)

    def next_wave(self) -> tuple[list[bytes], EntryArray]:
        """Return the subdirectories that were found since the last call."""
        paths, own = self.next_paths, joined(self.next_own)
        self.next_paths, self.next_own = [], []
        return paths, own

    def finish(self) -> Answer:
        """Return the answer with its columns joined and what is left in order."""
        answer = self.answer
        answer.entries, answer.own = joined(self.entries), joined(self.own)
        if self.dropped:
            _drop_names(answer, sorted(self.dropped))
        order = sorted(range(len(answer.left)), key=lambda i: order_key(answer.left[i]))
        answer.left = [answer.left[i] for i in order]
        answer.crossing = [answer.crossing[i] for i in order]
        answer.left_own = joined(self._left_own)[order]
        return answer


def _drop_names(answer: Answer, dropped: list[int]) -> None:
    """Take entries out of an answer: the directories to skip, known by identity only."""
    starts = np.cumsum([0, *answer.counts])
    for index in dropped:
        answer.counts[int(np.searchsorted(starts, index, side="right")) - 1] -= 1
    for index in reversed(dropped):
        del answer.names[index]
    answer.entries = np.delete(answer.entries, dropped)
    gone = set(dropped)
    answer.targets = [
        (link - int(np.searchsorted(dropped, link)), target) for link, target in answer.targets
    ]
    answer.xattrs = [
        (entry - int(np.searchsorted(dropped, entry)), key, value)
        for entry, key, value in answer.xattrs
        if entry not in gone
    ]


def _open_directory(path: bytes) -> int:
    """Open a directory without following a link in its last component."""
    try:
        return os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG or len(path) <= PATH_PIECE_BYTES:
            raise
    # Longer than the system takes: piece by piece, each relative to the one before.
    descriptor = os.open(b"/", OPEN_FLAGS)
    rest = path.lstrip(b"/")
    while rest:
        end = len(rest)
        if end > PATH_PIECE_BYTES:
            end = rest.rfind(b"/", 0, PATH_PIECE_BYTES)
        piece, rest = rest[:end], rest[end + 1 :]
        parent = descriptor
        try:
            descriptor = os.open(piece, OPEN_FLAGS, dir_fd=parent)
        finally:
            os.close(parent)
    return descriptor
