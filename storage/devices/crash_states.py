"""What a power failure can leave of a trace: every legal state of the disk, one by one.

The model, after ALICE and BOB (what file systems promise, not what one of them happens to do):

- the failure comes after any call, or in the middle of it;
- what was appended and not synced is lost, kept, kept in any subset, torn at a sector or at any
  byte, or zero where the size grew before the blocks were written;
- of what was punched, any sector is zero or as it was, until the file is synced;
- a name that was made or removed is there or not, independently of the content and of every
  other name, until its folder was synced.

What was synced stays. A disk that lies about syncs is another model.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import xxhash

from .recording_device import (
    Adopt,
    Append,
    Call,
    Create,
    Link,
    Mark,
    Punch,
    Stage,
    Sync,
    SyncDirectory,
    Unlink,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from random import Random

SECTOR_BYTES = 512
"""What a disk writes whole."""
SUBSETS_OF_MAX = 4
"""Unsynced appends of one file up to which every subset is tried; beyond, random ones."""
NAME_CHOICES_MAX = 32
"""Combinations of unsynced names up to which all are tried; beyond, each name by itself."""

Choice = dict[str, int | None]


@dataclass(frozen=True, slots=True)
class CrashState:
    """The files that a power failure left.

    Attributes:
        files: Content by name.
        digest: Hash of names and content: equal states have equal digests.
        description: How it came about, for people.
    """

    files: Mapping[str, bytes]
    digest: bytes
    description: str


@dataclass(slots=True)
class _File:
    """An inode: what is durable of it, and what was appended and punched since."""

    durable: bytes = b""
    pending: list[bytes] = field(default_factory=list)
    punched: list[tuple[int, int]] = field(default_factory=list)
    digest: bytes = b""

    @property
    def appended(self) -> bytes:
        """Content with everything that was appended and nothing that was punched."""
        return b"".join((self.durable, *self.pending))

    @property
    def whole(self) -> bytes:
        return zeroed(self.appended, self.punched)

    @property
    def pending_bytes(self) -> int:
        return sum(map(len, self.pending))

    def sync(self) -> None:
        self.durable, self.pending, self.punched, self.digest = self.whole, [], [], b""

    def durable_digest(self) -> bytes:
        self.digest = self.digest or xxhash.xxh3_128_digest(self.durable)
        return self.digest


class Disk:
    """A disk under a trace: what is durable, and what may or may not be.

    Args:
        initial: Files that are there from the beginning, all durable.
    """

    def __init__(self, initial: Mapping[str, bytes]) -> None:
        self._files: dict[int, _File] = {}
        # Per folder and name: the file it led to when the folder was last synced, and every one
        # since. None is no file.
        self._folders: dict[str, dict[str, list[int | None]]] = {}
        for number, (name, content) in enumerate(initial.items()):
            self._files[-1 - number] = _File(content)
            self._history(name)[:] = [-1 - number]

    @classmethod
    def after(cls, initial: Mapping[str, bytes], calls: Iterable[Call]) -> Disk:
        """The disk after some calls."""
        disk = cls(initial)
        for call in calls:
            disk.apply(call)
        return disk

    def _history(self, name: str) -> list[int | None]:
        folder = self._folders.setdefault(name.rpartition("/")[0], {})
        return folder.setdefault(name, [None])

    def apply(self, call: Call) -> None:
        """Let a call happen."""
        match call:
            case Create(file, name):
                self._files[file] = _File()
                self._history(name).append(file)
            case Append(file, content):
                self._files[file].pending.append(content)
            case Sync(file):
                self._files[file].sync()
            case Stage(file, content):
                self._files[file] = _File(content)
            case Link(file, name):
                self._history(name).append(file)
            case Adopt(file, name, content):
                self._files[file] = _File(b"", [content])
                self._history(name).append(file)
            case Unlink(name):
                self._history(name).append(None)
            case Punch(name, ranges):
                seen = self._history(name)[-1]
                if seen is not None:
                    self._files[seen].punched.extend(ranges)
            case SyncDirectory(folder):
                kept = {n: h[-1:] for n, h in self._folders.get(folder, {}).items()}
                self._folders[folder] = {n: h for n, h in kept.items() if h != [None]}
            case Mark():
                pass

    def visible(self) -> dict[str, bytes]:
        """The files that processes see as long as the power stays on."""
        return self._files_of({n: h[-1] for n, h in self._names()})

    def durable(self) -> CrashState:
        """The state in which all is lost that can be."""
        return self._state({n: h[0] for n, h in self._names()}, {}, "all that can be lost is lost")

    def states(self, random: Random, *, samples: int) -> Iterator[CrashState]:
        """States that a power failure now can leave; some may be equal.

        Args:
            random: Decides where there are too many to try all.
            samples: Random states to add to the systematic ones, where anything is undecided.
        """
        yield self.durable()
        open_names = {n: list(dict.fromkeys(h)) for n, h in self._names() if len(h) > 1}
        reachable = {f for _, h in self._names() for f in h}
        unsettled = {f: i for f, i in self._files.items() if f in reachable}
        open_files = {f: i for f, i in unsettled.items() if i.pending or i.punched}
        if not open_names and not open_files:
            return
        durable: Choice = {n: h[0] for n, h in self._names()}
        visible: Choice = {n: h[-1] for n, h in self._names()}
        fills = _FILLS_PUNCHED if any(i.punched for i in open_files.values()) else _FILLS
        for names in self._name_choices(durable, visible, open_names):
            for fill, content in fills.items():
                contents = {f: content(file) for f, file in open_files.items()}
                yield self._state(names, contents, f"names {_difference(names, visible)}, {fill}")
        whole = {f: file.whole for f, file in open_files.items()}
        for number, file in open_files.items():
            for torn, bytes_left in (*_torn(file, random), *_torn_punches(file, random)):
                yield self._state(visible, {**whole, number: bytes_left}, torn)
        for _ in range(samples):
            names = durable | {n: random.choice(h) for n, h in open_names.items()}
            contents = {f: _scattered(file, random) for f, file in open_files.items()}
            yield self._state(names, contents, f"names {_difference(names, visible)}, scattered")

    @staticmethod
    def _name_choices(
        durable: Choice, visible: Choice, open_names: Mapping[str, list[int | None]]
    ) -> Iterator[Choice]:
        if prod(len(choices) for choices in open_names.values()) <= NAME_CHOICES_MAX:
            for chosen in itertools.product(*open_names.values()):
                yield durable | dict(zip(open_names, chosen, strict=True))
            return
        yield durable
        yield visible
        for name, choices in open_names.items():
            for choice in choices:
                yield durable | {name: choice}
                yield visible | {name: choice}

    def _names(self) -> Iterator[tuple[str, list[int | None]]]:
        for folder in self._folders.values():
            yield from folder.items()

    def _files_of(self, names: Choice) -> dict[str, bytes]:
        return {n: self._files[f].whole for n, f in names.items() if f is not None}

    def _state(self, names: Choice, contents: Mapping[int, bytes], how: str) -> CrashState:
        files: dict[str, bytes] = {}
        digest = xxhash.xxh3_128()
        for name in sorted(names):
            number = names[name]
            if number is None:
                continue
            content = contents.get(number)
            digest.update(name.encode() + b"\0")
            if content is None:
                content = self._files[number].durable
                digest.update(self._files[number].durable_digest())
            else:
                digest.update(xxhash.xxh3_128_digest(content))
            files[name] = content
        return CrashState(files, digest.digest(), how)


_FILLS: dict[str, Callable[[_File], bytes]] = {
    "unsynced bytes lost": lambda file: file.durable,
    "unsynced bytes kept": lambda file: file.whole,
    "unsynced bytes zero": lambda file: file.durable + bytes(file.pending_bytes),
}
_FILLS_PUNCHED = _FILLS | {
    "unsynced bytes kept, punches undone": lambda file: file.appended,
    "unsynced bytes lost, punches done": lambda file: zeroed(file.durable, file.punched),
}


def zeroed(content: bytes, ranges: Iterable[tuple[int, int]]) -> bytes:
    """Content with zeros in some ranges, as far as it reaches."""
    changed = bytearray(content)
    for offset, length in ranges:
        end = min(offset + length, len(changed))
        changed[offset:end] = bytes(max(0, end - offset))
    return bytes(changed)


def _difference(names: Choice, visible: Choice) -> str:
    lost = sorted(n for n, file in names.items() if file != visible[n])
    return f"not as seen: {', '.join(lost)}" if lost else "as seen"


def _torn(file: _File, random: Random) -> Iterator[tuple[str, bytes]]:
    """Contents in which the last append is torn, or only some of the appends are there.

    Tears of an earlier append are those of the cut before.
    """
    if not file.pending:
        return
    if len(file.pending) <= SUBSETS_OF_MAX:
        subsets = list(itertools.product((False, True), repeat=len(file.pending)))
    else:
        subsets = [tuple(random.random() < 0.5 for _ in file.pending) for _ in range(8)]
    for subset in subsets:
        parts = [p if kept else bytes(len(p)) for p, kept in zip(file.pending, subset, strict=True)]
        yield f"of the unsynced appends, {subset} kept", b"".join((file.durable, *parts))
        while parts and not subset[len(parts) - 1]:
            parts.pop()
        yield f"of the unsynced appends, {subset} kept, cut", b"".join((file.durable, *parts))
    before, last = b"".join((file.durable, *file.pending[:-1])), file.pending[-1]
    tears = [*range(-len(before) % SECTOR_BYTES, len(last), SECTOR_BYTES)]
    tears += [random.randrange(len(last)) for _ in range(2) if last]
    for at in tears:
        yield f"the last append ends at byte {at}", before + last[:at]
        yield f"the last append is zero from byte {at}", before + last[:at].ljust(len(last), b"\0")
        # The blocks of one write reach the disk in any order.
        yield f"the last append is zero up to byte {at}", before + bytes(at) + last[at:]


def _torn_punches(file: _File, random: Random) -> Iterator[tuple[str, bytes]]:
    """Contents in which only some of the punches are there, or the last one ends early."""
    if not file.punched:
        return
    content = file.appended
    for _ in range(4):
        done = [punch for punch in file.punched if random.random() < 0.5]
        yield f"of the punches, {done} done", zeroed(content, done)
    *before, (offset, length) = file.punched
    for _ in range(4):
        start = offset + SECTOR_BYTES * random.randrange(length // SECTOR_BYTES)
        done = [*before, (start, random.randrange(offset + length - start + 1))]
        yield f"of the punches, {done} done", zeroed(content, done)


def _scattered(file: _File, random: Random) -> bytes:
    """Content of which any sector is there or zero, up to any size that the file had."""
    fate = random.random()
    if fate < 0.1:
        return file.durable
    if fate < 0.3:
        return file.whole
    whole = bytearray(file.whole)
    start = len(file.durable)
    for offset, length in file.punched:
        for sector in range(offset, min(offset + length, start), SECTOR_BYTES):
            if random.random() < 0.5:
                undone = slice(sector, min(sector + SECTOR_BYTES, offset + length, start))
                whole[undone] = file.durable[undone]
    lost = random.random()
    for sector in range(start - start % SECTOR_BYTES, len(whole), SECTOR_BYTES):
        if random.random() < lost:
            begin, end = max(sector, start), min(sector + SECTOR_BYTES, len(whole))
            whole[begin:end] = bytes(end - begin)
    if random.random() < 0.5:
        del whole[random.randint(start, len(whole)) :]
    return bytes(whole)
