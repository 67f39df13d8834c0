"""Which directories of a tree are still what they were, which moved, which are new.

    stat of all known ──▶ changed ones are listed ──▶ what is not confirmed is gone
                                   │ subdirectories nobody knows
                                   ▼
               by identity: a directory that is gone from elsewhere, or new

A directory that neither it nor its listing has changed is not read: what lies in it is as it was. A
directory that moved takes those below it along, which are only looked at, in their new places.

Compared is by inequality of identity, mtime and ctime, never by order. A rename changes a
directory's own ctime, and the mtime of those it leaves and comes to; `utime` cannot hide a change,
because it moves ctime. What can hide one is a clock of coarse ticks, if a directory was listed and
changed again within a tick: *racy* directories, whose ctime lay close to that moment, are listed in
any case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..block import ENTRY, TYPE_MASK, child_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ..block import Block, EntryArray
    from .crew import Found, Looker
    from .known import Known

DIRECTORY: Final = 0o040000

WALK_DIRECTORIES_MIN: Final = 1_000
"""Directories to be listed up to which it does not matter whether they are most of all."""

Identity = tuple[int, int, int]


class WalkNeeded(Exception):
    """The tree must be walked whole; the argument says why."""


@dataclass(slots=True, eq=False)
class Placed:
    """A directory in a place where the last scan had none, or another one.

    Args:
        path: Where it is.
        own: Its entry.
        known: Which of the known directories it is; -1 for one that is new.
        block: What lies in it; None where that is as it was, or not for us to enter.
        listed: False where another file system begins.
    """

    path: bytes
    own: np.void
    known: int = -1
    block: Block | None = None
    listed: bool = True


@dataclass(slots=True, eq=False)
class Survey:
    """What has become of the known directories, and what else is there.

    Args:
        kept: Which of the known ones are where they were.
        own: New entries of those kept, where they are not as they were.
        blocks: What lies in those kept that were listed.
        placed: All others that there are.
    """

    kept: NDArray[np.bool_]
    own: dict[int, np.void] = field(default_factory=dict)
    blocks: dict[int, Block] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)

    @property
    def moved(self) -> dict[int, Placed]:
        """Known directories that are elsewhere."""
        return {placed.known: placed for placed in self.placed if placed.known >= 0}


class Surveyor:
    """Makes one survey.

    Args:
        known: The last scan's directories.
        looker: Looks at the tree.
        suspect: Known directories to list even where nothing shows.
    """

    def __init__(self, known: Known, looker: Looker, suspect: NDArray[np.bool_]) -> None:
        self._known = known
        self._looker = looker
        self._suspect = suspect
        self._parent = known.parent
        self._by_parent = np.argsort(self._parent, kind="stable")
        self._first_child = np.searchsorted(self._parent[self._by_parent], np.arange(len(known)))
        self._survey = Survey(np.zeros(len(known), dtype=np.bool_))
        self._new: list[Placed] = []
        self._pool: dict[Identity, list[int]] = {}

    def run(
        self,
        only: NDArray[np.bool_] | None = None,
        stats: tuple[EntryArray, NDArray[np.int32]] | None = None,
    ) -> Survey:
        """Look at the tree.

        Args:
            only: Directories of which somebody knows that they may have changed: only these are
                looked at. All by default.
            stats: What was seen of all directories already, if they are.

        Raises:
            WalkNeeded: The root is another directory, most have changed, or a mount has come that
                is to be entered.
        """
        known, count = self._known, len(self._known)
        at = np.arange(count) if only is None else self._with_parents(np.flatnonzero(only))
        if stats is None:
            stats = self._looker.stat([known.paths[i] for i in at.tolist()])
        entries, errnos = stats
        there = (errnos == 0) & known.is_same(entries, at)
        if at.size and at[0] == 0 and not there[0]:
            raise WalkNeeded("the root is another directory than before")
        unchanged = there & known.is_unchanged(entries, at)
        wanted = self._suspect.copy()
        if only is not None:
            wanted &= only
        wanted[at[there & ~unchanged]] = True
        odd = at[~there | (~known.listed[at] & ~unchanged)]
        wanted[self._parent[odd[odd > 0]]] = True
        wanted &= known.listed
        if only is None and wanted.sum() > max(WALK_DIRECTORIES_MIN, count // 2):
            raise WalkNeeded("most directories have changed")
        same = np.ones(count, dtype=np.bool_)
        same[at[~there]] = False
        places = np.full(count, -1, dtype=np.int64)
        places[at[there]] = np.flatnonzero(there)
        self._read_known(wanted, same, entries, places)
        self._follow()
        return self._survey

    def _with_parents(self, at: Any) -> Any:
        """Add the directories above: by their being there, paths mean what they say."""
        found = [np.zeros(1, dtype=np.int64)]
        while at.size:
            found.append(at)
            at = np.unique(self._parent[at])
            at = at[at >= 0]
        return np.unique(np.concatenate(found))

    # Directories in their places

    def _read_known(
        self, wanted: NDArray[np.bool_], same: NDArray[np.bool_], entries: EntryArray, places: Any
    ) -> None:
        """List those that changed, and find out which known directories are where they were."""
        known, survey = self._known, self._survey
        confirmed = same
        for at in np.flatnonzero(wanted & same & (places >= 0)).tolist():
            if not self._is_as_seen(at, entries[places[at]]):
                survey.own[at] = entries[places[at]]
        while (pending := np.flatnonzero(wanted & self._reached(confirmed))).size:
            own = [self._own(at, entries, places) for at in pending.tolist()]
            paths = [known.paths[at] for at in pending.tolist()]
            found = self._looker.read(paths, np.array(own, dtype=ENTRY))
            wanted[self._take_known(pending.tolist(), found, confirmed)] = True
            wanted[list(survey.blocks)] = False
        survey.kept = self._reached(confirmed)
        for at in [at for at in survey.blocks if not survey.kept[at]]:
            del survey.blocks[at]
        survey.own = {at: own for at, own in survey.own.items() if survey.kept[at]}

    def _own(self, at: int, entries: EntryArray, places: Any) -> np.void:
        entry = self._survey.own.get(at)
        if entry is not None:
            return entry
        seen: np.void = entries[places[at]] if places[at] >= 0 else self._as_known(at)
        return seen

    def _as_known(self, at: int) -> np.void:
        """Return the entry of a directory as far as a reader asks for it: by its identity."""
        entry = np.zeros(1, dtype=ENTRY)
        entry["mode"] = DIRECTORY
        for name in ("device", "inode"):
            entry[name] = np.int64(self._known.identity[name][at]).astype(np.uint64)
        for name in ("birth", "mtime", "ctime"):
            entry[name] = self._known.identity[name][at]
        single: np.void = entry[0]
        return single

    def _is_as_seen(self, at: int, entry: np.void) -> bool:
        identity = self._known.identity
        return int(identity["mtime"][at]) == int(entry["mtime"]) and int(
            identity["ctime"][at]
        ) == int(entry["ctime"])

    def _identity(self, at: int) -> Identity:
        identity = self._known.identity
        device, inode = (int(identity[name][at]) & (2**64 - 1) for name in ("device", "inode"))
        return device, inode, int(identity["birth"][at])

    def _reached(self, confirmed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which are confirmed, with all directories above them."""
        reached = confirmed.copy()
        for level in range(1, int(self._known.depth.max()) + 1):
            here = np.flatnonzero(self._known.depth == level)
            reached[here] &= reached[self._parent[here]]
        return reached

    def children(self, at: int) -> list[int]:
        """Return the known directories that lay in a known directory."""
        start = int(self._first_child[at])
        end = start
        while end < len(self._by_parent) and self._parent[self._by_parent[end]] == at:
            end += 1
        found: list[int] = self._by_parent[start:end].tolist()
        return found

    def _take_known(
        self, pending: Sequence[int], found: Found, confirmed: NDArray[np.bool_]
    ) -> list[int]:
        """Take in listings of known directories; returns children that changed meanwhile."""
        survey, known = self._survey, self._known
        late = []
        below = _by_directory(found)
        for at, block in zip(pending, found.blocks, strict=True):
            survey.blocks[at] = block
            there = {known.paths[child]: child for child in self.children(at)}
            confirmed[list(there.values())] = False
            entered = below.get(block.path, ())
            for number in entered:
                path, own = found.entered[number], found.own[number]
                child = there.get(path)
                if child is None or _identity_of(own) != self._identity(child):
                    self._add(Placed(path, own), crossing=found.crossing[number])
                elif known.listed[child]:
                    confirmed[child] = True
                    survey.own[child] = own
                    if self._suspect[child] or not self._is_as_seen(child, own):
                        late.append(child)
                else:  # it was not entered, and now is to be
                    raise WalkNeeded("a directory was not entered before")
            names = {found.entered[number] for number in entered}
            for path, own in _directories(block):
                if path not in names:
                    self._take_unlisted(there.get(path), path, own, confirmed)
        return late

    def _take_unlisted(
        self, child: int | None, path: bytes, own: np.void, confirmed: NDArray[np.bool_]
    ) -> None:
        if child is not None and not self._known.listed[child]:
            confirmed[child] = True
            self._survey.own[child] = own
        else:
            self._new.append(Placed(path, own, listed=False))

    def _add(self, placed: Placed, *, crossing: bool) -> None:
        if crossing:
            # Which mounts lie above decides whether it goes round for ever.
            raise WalkNeeded("a mount has come that is to be entered")
        self._new.append(placed)

    def read_more(self, at: Sequence[int]) -> None:
        """List known directories too that nothing was seen of, when the survey is made.

        Raises:
            WalkNeeded: One of them changed this moment.
        """
        known, survey = self._known, self._survey
        moved = survey.moved
        paths = [moved[i].path if i in moved else known.paths[i] for i in at]
        entries, errnos = self._looker.stat(paths)
        places = np.array(at, dtype=np.int64)
        same = known.is_same(entries, places) & known.is_unchanged(entries, places)
        if not ((errnos == 0) & same).all():
            raise WalkNeeded("the tree changes while it is looked at")
        for i, block in zip(at, self._looker.read(paths, entries).blocks, strict=True):
            if i in moved:
                moved[i].block = block
            else:
                survey.blocks[i] = block

    # Directories elsewhere

    def _follow(self) -> None:
        """Find out what the directories are that are not known where they are, and read them."""
        survey, known = self._survey, self._known
        wave, self._new = self._new, []
        if wave:
            for at in np.flatnonzero(~survey.kept & known.listed).tolist():
                self._pool.setdefault(self._identity(at), []).append(at)
        while wave:
            carried: list[Placed] = []
            to_read: list[Placed] = []
            for placed in wave:
                survey.placed.append(placed)
                if not placed.listed:
                    continue
                if placed.known < 0:
                    placed.known = self._taken(_identity_of(placed.own))
                (carried if self._is_carried(placed) else to_read).append(placed)
            wave = self._carry(carried, to_read)
            wave += self._read_placed(to_read)

    def _taken(self, identity: Identity) -> int:
        """Take a directory that is gone elsewhere by its identity; -1: there is none."""
        found = self._pool.get(identity)
        return found.pop() if found else -1

    def _is_carried(self, placed: Placed) -> bool:
        at = placed.known
        return at >= 0 and not self._suspect[at] and self._is_as_seen(at, placed.own)

    def _carry(self, carried: list[Placed], to_read: list[Placed]) -> list[Placed]:
        """Look at the directories below those whose listings are as they were.

        Where one of them is not as it was, the listing of its parent tells more.
        """
        known = self._known
        of: list[tuple[Placed, list[int]]] = [
            (placed, self.children(placed.known)) for placed in carried
        ]
        paths = [
            child_path(placed.path, _name(known.paths[child]))
            for placed, children in of
            for child in children
        ]
        entries, errnos = self._looker.stat(paths) if paths else (np.empty(0, ENTRY), np.empty(0))
        wave: list[Placed] = []
        start = 0
        for placed, children in of:
            here = slice(start, start + len(children))
            start = here.stop
            at = np.array(children, dtype=np.int64)
            same = (errnos[here] == 0) & known.is_same(entries[here], at) & known.listed[at]
            same &= known.is_unchanged(entries[here], at)
            found = []
            if same.all():
                found = [
                    Placed(path, own, child)
                    for path, own, child in zip(paths[here], entries[here], children, strict=True)
                    if self._claim(child)
                ]
            if len(found) == len(children):
                wave += found
            else:
                for claimed in found:
                    self._pool.setdefault(self._identity(claimed.known), []).append(claimed.known)
                to_read.append(placed)
        return wave

    def _claim(self, at: int) -> bool:
        """Take one certain directory, if it is not taken yet."""
        found = self._pool.get(self._identity(at), [])
        if at in found:
            found.remove(at)
            return True
        return False

    def _read_placed(self, to_read: list[Placed]) -> list[Placed]:
        if not to_read:
            return []
        own = np.array([placed.own for placed in to_read], dtype=ENTRY)
        found = self._looker.read([placed.path for placed in to_read], own)
        below = _by_directory(found)
        for placed, block in zip(to_read, found.blocks, strict=True):
            placed.block = block
            self._add_below(block, found, below.get(block.path, ()))
        wave, self._new = self._new, []
        return wave

    def _add_below(self, block: Block, found: Found, entered: Iterable[int]) -> None:
        names = set()
        for number in entered:
            names.add(found.entered[number])
            crossing = found.crossing[number]
            self._add(Placed(found.entered[number], found.own[number]), crossing=crossing)
        self._new += [
            Placed(path, own, listed=False)
            for path, own in _directories(block)
            if path not in names
        ]


def _by_directory(found: Found) -> dict[bytes, list[int]]:
    """Return which of the entered directories lie in which."""
    below: dict[bytes, list[int]] = {}
    for number, path in enumerate(found.entered):
        below.setdefault(path.rpartition(b"/")[0] or b"/", []).append(number)
    return below


def _directories(block: Block) -> list[tuple[bytes, np.void]]:
    at = np.flatnonzero((block.entries["mode"] & TYPE_MASK) == DIRECTORY).tolist()
    return [(child_path(block.path, block.names[i]), block.entries[i]) for i in at]


def _identity_of(entry: np.void) -> Identity:
    return int(entry["device"]), int(entry["inode"]), int(entry["birth"])


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
