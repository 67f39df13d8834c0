"""Building key runs: the codes of a statement's rows, sorted once.

Rows that come in the order of their keys cost one comparison each. For others the code and the
row's number are packed into one word, where they fit, because sorting plain words is several
times faster than sorting indices by words; where a code is too wide for that, as a hash always
is, its mixed upper bits take its place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..page import PageKind
from .codes import Codes, KeyCodes, key_codes, mix, signature
from .key_run import DENSE, HASHED, ORDERED, PACKED, RUN_ROWS_MAX, KeyRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    import numpy.typing as npt
    import pyarrow as pa

    from ..effects import RowGroup
    from ..page_store import SegmentWriter

_FLYING_MAX = 4
"""Batches whose codes are computed at once: their columns are held meanwhile."""
_CODE_BITS = 64
_FEW_ROWS = 4096
"""Rows whose codes are computed sooner than another thread is woken."""


@dataclass(slots=True)
class RunBuilder:
    """Takes up the keys of rows in the order in which they are stored.

    Attributes:
        columns: Column ids of the key.
        types: Stored types of the columns.
        executor: Where codes are computed.
        rows: Rows so far, those without a key included.
    """

    columns: tuple[int, ...]
    types: Sequence[pa.DataType]
    executor: Executor | None = None
    rows: int = 0
    _flying: deque[Future[KeyCodes]] = field(default_factory=deque)
    _done: list[KeyCodes] = field(default_factory=list)

    def observe(self, columns: Sequence[pa.Array]) -> None:
        """Note the keys of some rows: the key's columns, in its order."""
        self.rows += len(columns[0])
        if self.executor is None or len(columns[0]) <= _FEW_ROWS:
            self._settle()
            self._done.append(key_codes(columns))
            return
        self._flying.append(self.executor.submit(key_codes, columns))
        while len(self._flying) > _FLYING_MAX:
            self._done.append(self._flying.popleft().result())

    def _settle(self) -> None:
        while self._flying:
            self._done.append(self._flying.popleft().result())

    def codes(self) -> KeyCodes:
        """The codes of all rows."""
        self._settle()
        if len(self._done) > 1:
            self._done = [_joined(self._done)]
        return self._done[0]

    def runs(self, groups: Sequence[RowGroup]) -> list[BuiltRun]:
        """Sort the codes into runs over the row groups that the rows became."""
        found = self.codes()
        built, first, start = [], 0, 0
        while first < len(groups):
            last, rows = first, 0
            while last < len(groups) and (not rows or rows + groups[last].rows <= RUN_ROWS_MAX):
                rows += groups[last].rows
                last += 1
            part = slice(start, start + rows)
            valid = None if found.valid is None else found.valid[part]
            codes = KeyCodes(found.codes[part], valid, found.exact)
            built.append(_sorted_run(self, codes, groups[first:last]))
            first, start = last, start + rows
        return built


@dataclass(slots=True)
class BuiltRun:
    """A run that lies in memory.

    Attributes:
        run: The run.
        words: Its entries; empty for a dense run.
    """

    run: KeyRun
    words: Codes

    def write(self, writer: SegmentWriter) -> KeyRun:
        """Write the entries to a page, where there are any."""
        if self.words.size:
            content = np.ascontiguousarray(self.words, dtype="<u8").data.cast("B")
            self.run.page = writer.append(content, PageKind.KEY_RUN)
            # From now on they are read, and verified, where they lie.
            self.run._words = None
        return self.run

    def repeated(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Pairs of row numbers with the same entry; proof of equal keys in an exact run only."""
        run, none = self.run, np.empty(0, dtype=np.int64)
        if run.form == DENSE or self.words.size < 2:
            return none, none
        if run.form == ORDERED:
            at = np.flatnonzero(self.words[1:] == self.words[:-1])
            return at, at + 1
        shift, below = np.uint64(run.bits), np.uint64((1 << run.bits) - 1)
        upper = self.words >> shift
        at = np.flatnonzero(upper[1:] == upper[:-1])
        rows = (self.words & below).astype(np.int64)
        return rows[at], rows[at + 1]


def _joined(parts: Sequence[KeyCodes]) -> KeyCodes:
    valid = None
    if any(part.valid is not None for part in parts):
        valid = np.concatenate([
            np.ones(part.codes.size, dtype=bool) if part.valid is None else part.valid
            for part in parts
        ])  # fmt: skip
    return KeyCodes(np.concatenate([part.codes for part in parts]), valid, parts[0].exact)


def _sorted_run(builder: RunBuilder, found: KeyCodes, groups: Sequence[RowGroup]) -> BuiltRun:
    codes, valid = found.codes, found.valid
    names, counts = tuple(g.id for g in groups), tuple(g.rows for g in groups)
    numbers = None if valid is None or valid.all() else np.flatnonzero(valid).astype(np.uint64)
    if numbers is not None:
        codes = codes[valid]
    bits = max(1, (max(sum(counts), 1) - 1).bit_length())

    def made(form: str, low: int, high: int, words: Codes) -> BuiltRun:
        types = signature(builder.types)
        run = KeyRun(builder.columns, types, names, counts, form, low, high, bits, int(codes.size))
        run._words = words
        return BuiltRun(run, words)

    none = np.empty(0, dtype=np.uint64)
    if not codes.size:
        return made(DENSE, 1, 0, none)
    low, high = int(codes.min()), int(codes.max())
    if found.exact and numbers is None and bool((codes[1:] >= codes[:-1]).all()):
        dense = high - low == codes.size - 1 and bool((codes[1:] > codes[:-1]).all())
        return made(DENSE if dense else ORDERED, low, high, none if dense else codes)
    if numbers is None:
        numbers = np.arange(codes.size, dtype=np.uint64)
    if found.exact and (high - low).bit_length() + bits <= _CODE_BITS:
        words = (codes - np.uint64(low)) << np.uint64(bits)
        form = PACKED
    else:
        words = mix(codes) & ~np.uint64((1 << bits) - 1)
        form = HASHED
    words |= numbers
    words.sort()
    return made(form, low, high, words)
