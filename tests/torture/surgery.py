"""Files that are not what they should be: ``python -m tests.torture.surgery --count 100000``.

Parts of a store are replaced by sound bytes that belong elsewhere: older, another store's, another
file's, another place's, or missing, too many, zero. Every checksum may be right, and the answer
must be right all the same, or an error with a type. On copies in memory, without the SQL kernel,
as in ``tests.crash.flips``.

Not tried, because nothing inside a store can tell: the newest records gone without a trace, and
the whole store put back to an earlier state, both of which the store has been in; and a horizon
that is raised, which forgets the past as reclaim does.

A sound record of the store's own in the place of another is counted apart (``misplaced``): a
record does not hold its version, so that only what was built on it can tell.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import RecordingDevice
from pagelake.storage.page import PAGE_ALIGNMENT
from tests.crash.flips import Outcome, kind_of, read_store
from tests.crash.oracle import Reader, Run

if TYPE_CHECKING:
    from collections.abc import Callable

Files = dict[str, bytes]
SECTOR_BYTES = 512
_HEADER_BYTES = 200
"""More than the header of anything."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A store, what it was before, and another one that has lived likewise.

    Attributes:
        files: The files by name.
        earlier: The files at earlier moments, oldest first.
        foreign: The files of another store.
    """

    files: Files
    earlier: tuple[Files, ...]
    foreign: Files


def _life(seed: int) -> list[Files]:
    """The files of a store at several moments of its life, the last one at its end."""
    memory = MemoryDevice()
    run = Run(f"surgery {seed}")
    run.device = RecordingDevice(memory)
    moments: list[Files] = []

    def remember() -> None:
        moments.append({name: memory.read(name) for name in memory._files})

    one, two = run.open(), run.open()
    run.begin(one).create("t", "k", "v").append("t", 5).commit()
    run.begin(one).append("t", 40, pages=True).commit()
    remember()
    run.begin(two).update("t", run.pick("t", 6), pages=True).commit()
    one.checkpoint()
    run.begin(one).delete("t", run.pick("t", 8), pages=True).commit()
    remember()
    one.checkpoint()
    assert one.fold() > 0
    run.begin(two).create("u", "k", "k2").append("u", 3).commit()
    one.checkpoint()
    remember()
    run.begin(one).append("u", 20, pages=True).delete("t", run.pick("t", 2)).commit()
    assert one.fold() > 0
    remember()
    # Transactions that did not know of each other: their records may stand in either order.
    mine = run.begin(one).append("t", 30, pages=True)
    run.begin(two).append("u", 4).commit()
    mine.commit()
    run.begin(two).append("t", 2).commit()
    run.begin(one).append("u", 30, pages=True).commit()
    run.close()
    remember()
    return moments


def patient(seed: int) -> Patient:
    """A store to operate on."""
    *earlier, files = _life(seed)
    return Patient(files, tuple(earlier), _life(seed + 1_000_003)[-1])


# Operations: from a patient to its changed files and a word on what was done.

Operation = tuple[Files, str]


def _any_file(patient: Patient, chance: random.Random) -> str:
    """A file that has content, evenly over the kinds."""
    kinds: dict[str, list[str]] = {}
    for name in sorted(patient.files):
        if patient.files[name]:
            kinds.setdefault(kind_of(name), []).append(name)
    return chance.choice(kinds[chance.choice(sorted(kinds))])


def _same_kind(files: Files, name: str) -> list[str]:
    """Files of the same kind as a name that have content."""
    return sorted(n for n, c in files.items() if c and kind_of(n) == kind_of(name))


def _cut_points(content: bytes, chance: random.Random) -> int:
    """Somewhere in a file, often where something begins."""
    unit = chance.choice((1, SECTOR_BYTES, PAGE_ALIGNMENT))
    return min(len(content), unit * chance.randrange(len(content) // unit + 1))


def _block(content: bytes, chance: random.Random) -> slice:
    """A page, a sector or a few bytes of a file."""
    unit = chance.choice((PAGE_ALIGNMENT, PAGE_ALIGNMENT, SECTOR_BYTES, 16))
    first = unit * chance.randrange((len(content) - 1) // unit + 1)
    blocks = chance.randint(1, 3)
    return slice(first, min(len(content), first + blocks * unit))


def truncated(patient: Patient, chance: random.Random) -> Operation:
    """A file that ends too early."""
    name = _any_file(patient, chance)
    length = _cut_points(patient.files[name][:-1], chance)
    return {name: patient.files[name][:length]}, f"{name} cut to {length} bytes"


def extended(patient: Patient, chance: random.Random) -> Operation:
    """A file that goes on after its end."""
    name = _any_file(patient, chance)
    content = patient.files[name]
    more = chance.choice((bytes(chance.randint(1, 9000)), content, content[:_HEADER_BYTES]))
    return {name: content + more}, f"{name} with {len(more)} bytes more"


def zeroed(patient: Patient, chance: random.Random) -> Operation:
    """A block, or everything, is zeros."""
    name = _any_file(patient, chance)
    content = bytearray(patient.files[name])
    at = slice(0, len(content)) if chance.random() < 0.2 else _block(content, chance)
    content[at] = bytes(at.stop - at.start)
    return {name: bytes(content)}, f"{name} zero from {at.start} to {at.stop}"


def stale_file(patient: Patient, chance: random.Random) -> Operation:
    """A file as it was before; those that did not change are replaced by others of their kind."""
    then = chance.choice(patient.earlier)
    changed = sorted(n for n in then if n in patient.files and then[n] != patient.files[n] != b"")
    if not changed:
        return swapped_files(patient, chance)
    name = chance.choice(changed)
    return {name: then[name]}, f"{name} as it was"


def resurrected(patient: Patient, chance: random.Random) -> Operation:
    """A file that was removed is there again, or an old one under the name of a newer one."""
    then = chance.choice(patient.earlier)
    gone = sorted(n for n in then if n not in patient.files)
    if gone and chance.random() < 0.5:
        name = chance.choice(gone)
        return {name: then[name]}, f"{name} is there again"
    name = _any_file(patient, chance)
    old = _same_kind(then, name)
    if not old:
        return swapped_files(patient, chance)
    other = chance.choice(old)
    return {name: then[other]}, f"{name} replaced by an old {other}"


def swapped_files(patient: Patient, chance: random.Random) -> Operation:
    """Two files of a kind under each other's names."""
    name = _any_file(patient, chance)
    others = [n for n in _same_kind(patient.files, name) if n != name]
    if not others:
        return truncated(patient, chance)
    other = chance.choice(others)
    return {name: patient.files[other], other: patient.files[name]}, f"{name} and {other} swapped"


def duplicated_file(patient: Patient, chance: random.Random) -> Operation:
    """A file's content under another name of its kind, taken or new."""
    name = _any_file(patient, chance)
    same = _same_kind(patient.files, name)
    numbers = [int(n.rpartition("/")[2]) for n in same if n.rpartition("/")[2].isdigit()]
    target = chance.choice(same)
    if numbers and chance.random() < 0.6:
        target = f"{kind_of(name)}/{max(numbers) + chance.randint(1, 3):020d}"
    return {target: patient.files[name]}, f"{name} copied to {target}"


def foreign_file(patient: Patient, chance: random.Random) -> Operation:
    """A file of another store."""
    name = _any_file(patient, chance)
    other = chance.choice(_same_kind(patient.foreign, name))
    return {name: patient.foreign[other]}, f"{name} replaced by another store's {other}"


def misdirected_block(patient: Patient, chance: random.Random) -> Operation:
    """A block holds what was written to another place, of the same file or another."""
    name = _any_file(patient, chance)
    return _put_block(patient, chance, name, patient.files, chance.choice(
        _same_kind(patient.files, name)
    ), "misdirected", aligned=False)  # fmt: skip


def stale_block(patient: Patient, chance: random.Random) -> Operation:
    """A block that was not written: it holds what was there before, of the file or another."""
    name = _any_file(patient, chance)
    then = chance.choice(patient.earlier)
    old = _same_kind(then, name)
    if not old:
        return misdirected_block(patient, chance)
    source = name if name in old and chance.random() < 0.7 else chance.choice(old)
    return _put_block(patient, chance, name, then, source, "stale", aligned=True)


def foreign_block(patient: Patient, chance: random.Random) -> Operation:
    """A block of another store, from the same place."""
    name = _any_file(patient, chance)
    source = chance.choice(_same_kind(patient.foreign, name))
    return _put_block(patient, chance, name, patient.foreign, source, "foreign", aligned=True)


def _put_block(
    patient: Patient, chance: random.Random, name: str, files: Files, source: str, what: str,
    *, aligned: bool,
) -> Operation:  # fmt: skip
    content = bytearray(patient.files[name])
    at = _block(content, chance)
    origin = at if aligned else _block(files[source], chance)
    found = files[source][origin][: at.stop - at.start].ljust(at.stop - at.start, b"\0")
    content[at] = found
    return {name: bytes(content)}, f"{name} from {at.start}: {what}, {source} from {origin.start}"


def swapped_blocks(patient: Patient, chance: random.Random) -> Operation:
    """Two blocks of a file, or of two, in each other's place."""
    name = _any_file(patient, chance)
    other = chance.choice(_same_kind(patient.files, name))
    changed = {n: bytearray(patient.files[n]) for n in (name, other)}
    one, two = _block(changed[name], chance), _block(changed[other], chance)
    length = min(one.stop - one.start, two.stop - two.start)
    here, there = slice(one.start, one.start + length), slice(two.start, two.start + length)
    first, second = bytes(changed[name][here]), bytes(changed[other][there])
    changed[name][here], changed[other][there] = second, first
    where = f"{name} from {here.start} and {other} from {there.start}"
    return {n: bytes(c) for n, c in changed.items()}, f"{where} swapped"


def boundaries(patient: Patient, chance: random.Random) -> Operation:
    """A boundary that somebody else raised, lower or higher than it is."""
    name = f"log/boundary/{chance.randrange(12):020d}"
    return {name: b""}, f"{name} is there"


OPERATIONS: tuple[Callable[[Patient, random.Random], Operation], ...] = (
    truncated, extended, zeroed, stale_file, resurrected, swapped_files, duplicated_file,
    foreign_file, misdirected_block, stale_block, foreign_block, swapped_blocks, boundaries,
)  # fmt: skip


@dataclass(slots=True)
class Operations:
    """What operations have led to.

    Attributes:
        outcome: All but those with a misplaced record.
        misplaced: Those that put a sound record in the place of another.
        void: Operations that changed nothing.
    """

    outcome: Outcome = field(default_factory=Outcome)
    misplaced: Outcome = field(default_factory=Outcome)
    void: int = 0


def misplaces_record(subject: Patient, changed: Files) -> bool:
    """Tell whether a loose record is one of the store's own, of another version or name."""
    records = {
        content
        for files in (*subject.earlier, subject.files)
        for name, content in files.items()
        if kind_of(name) == "log"
    }
    return any(
        kind_of(name) == "log" and content in records and content != subject.files.get(name)
        for name, content in changed.items()
    )


def operate(count: int, seed: int) -> Operations:
    """Operate on a store that many times.

    Args:
        count: How many operations, evenly over the kinds.
        seed: Decides the store and the operations.
    """
    chance, reader, done = random.Random(seed), Reader(), Operations()
    subject = patient(seed)
    expected = read_store(subject.files, reader)
    for number in range(count):
        operation = OPERATIONS[number % len(OPERATIONS)]
        changed, what = operation(subject, chance)
        kind = operation.__name__
        files = subject.files | changed
        if files == subject.files:
            done.void += 1
            continue
        outcome = done.misplaced if misplaces_record(subject, changed) else done.outcome
        outcome.kinds[kind] += 1
        outcome.observe(f"{kind}: {what}", lambda files=files: read_store(files, reader), expected)
    return done


def main() -> None:
    """Operate, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.surgery")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    begun = time.monotonic()
    done = operate(arguments.count, arguments.seed)
    for what, outcome in (("all", done.outcome), ("misplaced records", done.misplaced)):
        print(
            f"{what}: {outcome.count} operations, {outcome.right} right, {outcome.errors.total()} "
            f"typed errors {dict(outcome.errors)}, {len(outcome.silent)} silent; by kind "
            f"{dict(sorted(outcome.kinds.items()))}"
        )
        print(*outcome.silent[:20], sep="\n")
    print(f"{time.monotonic() - begun:.0f} s; {done.void} more changed nothing")
    sys.exit(bool(done.outcome.silent))


if __name__ == "__main__":
    main()
