"""What the processes of a walk say to each other over pipes.

    message = kind (1 byte) | sections (u32) | bytes of each (u64 each) | the sections themselves

All numbers are little-endian. Arrays travel as they lie in memory; lists of names, paths and links
are joined by NUL, which none of them can hold. Nothing is pickled, so nothing that arrives runs.

    OPTIONS     to a worker, once: JSON
    TASK        to a worker: budget and number of paths, paths, their entries
    STAT        to a worker: number of paths, paths at or below the root
    BEAT        from a worker: it lives; the first says that it has started
    ANSWER      from a worker: the columns of an `Answer`
    STATS       from a worker: entries of the paths that have one, index and errno of the others
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from .block import ENTRY, WalkError, WalkOptions
from .walker import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from .block import EntryArray
    from .statx import Failure

OPTIONS: Final = b"O"
TASK: Final = b"T"
BEAT: Final = b"B"
ANSWER: Final = b"A"
STAT: Final = b"S"
STATS: Final = b"R"

HEADER: Final = struct.Struct("<cxxxI")
TASK_NUMBERS: Final = struct.Struct("<QQ")

Buffer = bytes | memoryview


class EndOfStream(Exception):
    """The other side closed its end of the pipe, or died."""


def send(stream: BinaryIO, kind: bytes, sections: Sequence[Buffer] = ()) -> None:
    """Write one message and flush it.

    Raises:
        OSError: The other side is gone.
    """
    stream.write(HEADER.pack(kind, len(sections)))
    stream.write(b"".join(len(section).to_bytes(8, "little") for section in sections))
    for section in sections:
        stream.write(section)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[bytes, list[bytes]]:
    """Read one message: its kind and its sections.

    Raises:
        EndOfStream: There is none any more.
    """
    kind, count = HEADER.unpack(_exactly(stream, HEADER.size))
    lengths = np.frombuffer(_exactly(stream, 8 * count), dtype="<u8").tolist()
    return kind, [_exactly(stream, length) for length in lengths]


def _exactly(stream: BinaryIO, length: int) -> bytes:
    found = stream.read(length)
    if len(found) != length:
        raise EndOfStream
    return found


def options_message(root: bytes, device: int, options: WalkOptions) -> list[Buffer]:
    """Return the section of OPTIONS."""
    said = {
        "root": os.fsdecode(root),
        "device": device,
        "one_file_system": options.one_file_system,
        "exclude": options.exclude,
        "xattrs": options.xattrs,
        "skip": sorted(options.skip),
    }
    return [json.dumps(said).encode()]  # names that are not UTF-8 as \udcNN, in ASCII


def read_options(sections: Sequence[bytes]) -> tuple[bytes, int, WalkOptions]:
    """Return root, device and options of an OPTIONS message."""
    said = json.loads(sections[0])
    options = WalkOptions(
        one_file_system=said["one_file_system"],
        exclude=tuple(said["exclude"]),
        xattrs=said["xattrs"],
        skip=frozenset((device, inode) for device, inode in said["skip"]),
    )
    return os.fsencode(said["root"]), said["device"], options


def task_message(paths: Sequence[bytes], own: EntryArray, budget: int) -> list[Buffer]:
    """Return the sections of TASK."""
    return [TASK_NUMBERS.pack(budget, len(paths)), b"\0".join(paths), own.tobytes()]


def read_task(sections: Sequence[bytes]) -> tuple[list[bytes], EntryArray, int]:
    """Return paths, entries and budget of a TASK."""
    budget, count = TASK_NUMBERS.unpack(sections[0])
    return _split(sections[1], count), np.frombuffer(sections[2], dtype=ENTRY), budget


def stat_message(paths: Sequence[bytes]) -> list[Buffer]:
    """Return the sections of STAT."""
    return [_numbers([len(paths)]), b"\0".join(paths)]


def read_stat(sections: Sequence[bytes]) -> list[bytes]:
    """Return the paths of a STAT."""
    return _split(sections[1], _read_numbers(sections[0])[0])


def stats_message(entries: EntryArray, failures: Sequence[Failure]) -> list[Buffer]:
    """Return the sections of STATS."""
    return [entries.tobytes(), _numbers([number for failure in failures for number in failure])]


def read_stats(sections: Sequence[bytes]) -> tuple[EntryArray, list[Failure]]:
    """Return entries and failures of a STATS."""
    pairs = np.frombuffer(sections[1], dtype="<i8").reshape(-1, 2).tolist()
    return np.frombuffer(sections[0], dtype=ENTRY), [(index, number) for index, number in pairs]


def answer_message(answer: Answer) -> list[Buffer]:
    """Return the sections of ANSWER."""
    keys = [key for _, key, _ in answer.xattrs]
    values = [value for _, _, value in answer.xattrs]
    return [
        _numbers([len(answer.names), len(answer.left)]),
        *(b"\0".join(answer.paths), answer.own.tobytes(), _numbers(answer.counts)),
        *(b"\0".join(answer.names), memoryview(answer.entries.tobytes())),
        _numbers([link for link, _ in answer.targets]),
        b"\0".join(target for _, target in answer.targets),
        _numbers([number for block, error in answer.errors for number in (block, error.errno)]),
        b"\0".join(part for _, e in answer.errors for part in (e.path, e.operation.encode())),
        _numbers([entry for entry, _, _ in answer.xattrs]),
        *(b"\0".join(keys), _numbers([len(value) for value in values]), b"".join(values)),
        *(b"\0".join(answer.left), answer.left_own.tobytes(), bytes(answer.crossing)),
    ]


def read_answer(sections: Sequence[bytes]) -> Answer:
    """Return what an ANSWER holds."""
    totals, paths, own, counts, names, entries, links, targets, *rest = sections
    error_numbers, error_texts, holders, keys, lengths, values, left, left_own, crossing = rest
    name_count, left_count = _read_numbers(totals)
    block_counts = _read_numbers(counts)
    link_indexes = _read_numbers(links)
    return Answer(
        paths=_split(paths, len(block_counts)),
        own=np.frombuffer(own, dtype=ENTRY),
        counts=block_counts,
        names=_split(names, name_count),
        entries=np.frombuffer(entries, dtype=ENTRY),
        targets=list(zip(link_indexes, _split(targets, len(link_indexes)), strict=True)),
        errors=_read_errors(error_numbers, error_texts),
        xattrs=_read_xattrs(holders, keys, lengths, values),
        left=_split(left, left_count),
        left_own=np.frombuffer(left_own, dtype=ENTRY),
        crossing=[bool(flag) for flag in crossing],
    )


def _read_errors(numbers: bytes, texts: bytes) -> list[tuple[int, WalkError]]:
    pairs = np.frombuffer(numbers, dtype="<i8").reshape(-1, 2).tolist()
    parts = _split(texts, 2 * len(pairs))
    return [
        (block, WalkError(path, operation.decode(), number))
        for (block, number), path, operation in zip(pairs, parts[::2], parts[1::2], strict=True)
    ]


def _read_xattrs(
    holders: bytes, keys: bytes, lengths: bytes, values: bytes
) -> list[tuple[int, bytes, bytes]]:
    entries = _read_numbers(holders)
    found, start = [], 0
    columns = zip(entries, _split(keys, len(entries)), _read_numbers(lengths), strict=True)
    for entry, key, length in columns:
        found.append((entry, key, values[start : start + length]))
        start += length
    return found


def _numbers(numbers: Sequence[int]) -> bytes:
    return np.array(numbers, dtype="<i8").tobytes()


def _read_numbers(section: bytes) -> list[int]:
    numbers: list[int] = np.frombuffer(section, dtype="<i8").tolist()
    return numbers


def _split(joined: bytes, count: int) -> list[bytes]:
    """Undo a join by NUL; only the count tells no item from one that is empty."""
    parts = joined.split(b"\0") if count else []
    assert len(parts) == count
    return parts
