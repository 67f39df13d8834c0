"""The functions about files that views and macros call in the kernel.

    CONTENT_OF(route, handle)                 →  BLOB, for the column ``content``
    CONTENT_AT(route, handle)                 →  the same, where a column says which route
    ROUTE_OF()                                →  the number of the route
    READ_OF(route, path, start, length)       →  BLOB, for ``read_file``
    EVENT_OF(route, handle, ctime)            →  TIMESTAMP_NS, for times of directories
    LINKS_OF(route, handle)                   →  UINTEGER, for ``nlinks`` of directories
    USER_NAME(uid), GROUP_NAME(gid)           →  VARCHAR

A route enters the snapshot that it reads under a number, and its views give that number along:
one function serves every snapshot. The functions bear unguessable names in the kernel, and are
made known to it when a statement first needs one.
"""

from __future__ import annotations

import re
import threading
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import Error
from ...extensions.catalog.columns import OwnerNames
from ...extensions.facts.vector import FACTS_SQL, facts_of_paths
from ...extensions.files.relations import (
    CONTENT_AT,
    CONTENT_OF,
    EVENT_OF,
    FACTS_OF,
    FUNCTIONS,
    GROUP_NAME,
    LINKS_OF,
    READ_OF,
    ROUTE_OF,
    USER_NAME,
)
from ..kernel_errors import carry
from .stored_content import StoredContents

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...storage.files.files import Files
    from ...storage.snapshot import Snapshot
    from ..kernel import Kernel

_OURS: Final = re.compile(rf"\b({'|'.join(FUNCTIONS)})\(")
_OF_SNAPSHOT: Final = frozenset({CONTENT_OF, READ_OF, EVENT_OF, LINKS_OF})
_SIGNATURES: Final = {
    CONTENT_OF: (["BIGINT", "BIGINT"], "BLOB"),
    READ_OF: (["BIGINT", "VARCHAR", "BIGINT", "BIGINT"], "BLOB"),
    EVENT_OF: (["BIGINT", "BIGINT", "TIMESTAMP_NS"], "TIMESTAMP_NS"),
    LINKS_OF: (["BIGINT", "BIGINT"], "UINTEGER"),
    FACTS_OF: (["VARCHAR"], FACTS_SQL),
    USER_NAME: (["UINTEGER"], "VARCHAR"),
    GROUP_NAME: (["UINTEGER"], "VARCHAR"),
}


class FileFunctions:
    """The functions in one kernel.

    Args:
        kernel: Where they are known.
        files: What they read.
    """

    def __init__(self, kernel: Kernel, files: Files) -> None:
        self._kernel = kernel
        self._files = files
        self._contents = StoredContents(files)
        self._owners = OwnerNames()
        self._snapshots: dict[int, Snapshot] = {}
        self._numbers = count(1)
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def enter(self, snapshot: Snapshot) -> int:
        """Let a number mean a snapshot, which its owner keeps readable until ``leave``."""
        with self._lock:
            number = next(self._numbers)
            self._snapshots[number] = snapshot
        return number

    def leave(self, number: int) -> None:
        """Forget a number."""
        with self._lock:
            self._snapshots.pop(number, None)

    def bound(self, sql: str, number: int) -> str:
        """The text of a view or macro as the kernel understands it.

        Args:
            sql: The text, in which the functions stand under their own names.
            number: What the snapshot that it reads was entered under.
        """

        def named(found: re.Match[str]) -> str:
            function = found[1]
            if function == ROUTE_OF:
                return f"({number}::BIGINT"
            if function == CONTENT_AT:
                return f"{self._named(CONTENT_OF)}("
            first = f"{number}, " if function in _OF_SNAPSHOT else ""
            return f"{self._named(function)}({first}"

        return _OURS.sub(named, sql)

    def _named(self, function: str) -> str:
        with self._lock:
            if function not in self._names:
                arguments, answer = _SIGNATURES[function]
                implementation = self._implementation(function, len(arguments))
                name = self._kernel.scalar_function("file", implementation, arguments, answer)
                self._names[function] = name
            return self._names[function]

    def _implementation(self, function: str, arguments: int) -> Callable[..., pa.Array]:
        implementations: dict[str, Callable[..., pa.Array]] = {
            CONTENT_OF: self._content_of,
            READ_OF: self._read_of,
            EVENT_OF: self._event_of,
            LINKS_OF: self._links_of,
            FACTS_OF: facts_of_paths,
            USER_NAME: lambda numbers: _names(numbers, self._owners.user),
            GROUP_NAME: lambda numbers: _names(numbers, self._owners.group),
        }
        run = implementations[function]

        def carrying(given: tuple[pa.ChunkedArray, ...]) -> pa.Array:
            try:
                return run(*(array.combine_chunks() for array in given))
            except Error as error:
                raise carry(error) from error

        # The kernel counts the parameters of a function by its signature.
        if arguments == 1:
            return lambda a: carrying((a,))
        if arguments == 2:
            return lambda a, b: carrying((a, b))
        if arguments == 3:
            return lambda a, b, c: carrying((a, b, c))
        return lambda a, b, c, d: carrying((a, b, c, d))

    def _content_of(self, numbers: pa.Array, handles: pa.Array) -> pa.Array:
        return self._contents.of_handles(self._snapshot(numbers), handles)

    def _read_of(
        self, numbers: pa.Array, paths: pa.Array, starts: pa.Array, lengths: pa.Array
    ) -> pa.Array:
        snapshot = self._snapshot(numbers)
        return self._contents.of_paths(snapshot, paths, starts, lengths)

    def _event_of(self, numbers: pa.Array, handles: pa.Array, ctimes: pa.Array) -> pa.Array:
        stored = self._files.view(self._snapshot(numbers)).stored
        events = stored.event_times(handles.to_numpy(zero_copy_only=False))
        later = events > ctimes.cast(pa.int64()).fill_null(0).to_numpy()
        return pa.array(events, mask=~later).cast(pa.timestamp("ns"))

    def _links_of(self, numbers: pa.Array, handles: pa.Array) -> pa.Array:
        stored = self._files.view(self._snapshot(numbers)).stored
        found = stored.subdirectories(handles.to_numpy(zero_copy_only=False))
        counts = np.bincount(found.keys, minlength=len(handles)) + 2
        return pa.array(counts, pa.uint32())

    def _snapshot(self, numbers: pa.Array) -> Snapshot:
        with self._lock:
            return self._snapshots[numbers[0].as_py()]


def _names(numbers: pa.Array, name: Callable[[int], str]) -> pa.Array:
    """The names of users or groups; each that occurs is looked up once."""
    encoded = pc.dictionary_encode(numbers)
    known = [None if n is None else name(n) for n in encoded.dictionary.to_pylist()]
    return pa.array(known, pa.string()).take(encoded.indices)
