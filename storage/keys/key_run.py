"""Key runs: what a snapshot knows of a sorted array of key codes.

    run of key (a) over row groups g1, g2
    page: | code of row 17 | code of row 3 | code of row 90 | ...   sorted

A run covers the row groups that one statement, or one batch of compaction, has written. Where row
groups have gone since, its entries for them are skipped; a run whose row groups are all gone is
dropped. Row groups without a run are looked through by whoever searches (``key_index.py``).

Byte layout: docs/format/key-run.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ...errors import Corrupt
from ..page import PageKind, PageRef
from .codes import Codes, mix

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..page_store import PageStore

    Integers = npt.NDArray[np.int64]

DENSE, ORDERED, PACKED, HASHED = "dense", "ordered", "packed", "hashed"
RUN_ROWS_MAX = 1 << 24
"""Rows of a run at most: its codes are held in memory, 8 bytes each, while it is built."""
_NEEDLES_MAX = 1 << 20
"""Codes searched at once when there are very many."""


@dataclass(slots=True)
class KeyRun:
    """A sorted run of the codes of one key.

    Attributes:
        columns: Column ids of the key.
        types: Signature of the columns' types; codes of another one are not comparable.
        groups: The row groups it covers, in the order in which their rows are counted.
        rows: Rows of each of them.
        form: ``dense``: row i has the code ``low`` + i; nothing is stored. ``ordered``: the codes
            of all rows, which ascend. ``packed``: the codes less ``low``, shifted left by ``bits``,
            with the row's number in the bits below. ``hashed``: the same with mixed codes of
            which only the upper bits are kept, so that finding one proves nothing.
        low: Smallest code.
        high: Greatest code.
        bits: Bits of a row number.
        entries: Rows with a key; rows whose key is NULL have none.
        page: The entries, unsigned 64-bit numbers; None for a dense run.
    """

    columns: tuple[int, ...]
    types: str
    groups: tuple[str, ...]
    rows: tuple[int, ...]
    form: str
    low: int
    high: int
    bits: int
    entries: int
    page: PageRef | None = None
    _words: Codes | None = field(default=None, compare=False, repr=False)
    _starts: Integers | None = field(default=None, compare=False, repr=False)

    @property
    def exact(self) -> bool:
        """True when an entry that is found has the code that was searched."""
        return self.form != HASHED

    @property
    def starts(self) -> Integers:
        """Row number of the first row of each row group: int64, ascending."""
        if self._starts is None:
            self._starts = np.cumsum((0, *self.rows), dtype=np.int64)[:-1]
        return self._starts

    def words(self, pages: PageStore) -> Codes:
        """The entries, in place on their mapped page.

        Raises:
            Corrupt: The page is damaged.
        """
        words = self._words  # another thread may let go of it meanwhile
        if words is None:
            if self.page is None:
                raise Corrupt("a key run has no page")
            payload = pages.get(self.page, PageKind.KEY_RUN)
            if len(payload) != 8 * self.entries:
                raise Corrupt(f"a key run has {len(payload)} bytes for {self.entries} entries")
            words = self._words = np.frombuffer(payload, dtype="<u8")
        return words

    def release(self) -> None:
        """Let go of the mapped page; the next search maps it again."""
        self._words = None

    def may_hold(self, low: int, high: int) -> bool:
        """Tell whether a code between two others may be in the run."""
        return bool(self.entries) and self.low <= high and low <= self.high

    def search(self, codes: Codes, pages: PageStore) -> tuple[Integers, Integers]:
        """Find the rows of codes.

        Args:
            codes: uint64; any order.
            pages: Where the run is read from.

        Returns:
            For each entry found the index of the code, and the row's number in the run. A hashed
            run may find rows that have another code.

        Raises:
            Corrupt: The run's page is damaged.
        """
        inside = np.flatnonzero((codes >= np.uint64(self.low)) & (codes <= np.uint64(self.high)))
        if not inside.size:
            return inside, inside
        wanted = codes[inside] if inside.size < codes.size else codes
        if self.form == DENSE:
            return inside, (wanted - np.uint64(self.low)).astype(np.int64)
        words = self.words(pages)
        if self.form == ORDERED:
            first = words.searchsorted(wanted, side="left")
            index, entry = _spread(first, words.searchsorted(wanted, side="right"))
            return inside[index], entry
        low, high = self.bounds(wanted)
        first = words.searchsorted(low, side="left")
        index, entry = _spread(first, words.searchsorted(high, side="right"))
        rows = (words[entry] & np.uint64((1 << self.bits) - 1)).astype(np.int64)
        if rows.size and int(rows.max()) >= sum(self.rows):
            raise Corrupt("a key run names a row that its row groups do not have")
        return inside[index], rows

    def count(self, codes: Codes, pages: PageStore) -> int:
        """Number of rows that ``search`` would find."""
        inside = codes[(codes >= np.uint64(self.low)) & (codes <= np.uint64(self.high))]
        if self.form == DENSE or not inside.size:
            return int(inside.size)
        words = self.words(pages)
        low, high = (inside, inside) if self.form == ORDERED else self.bounds(inside)
        first = words.searchsorted(low, side="left")
        return int((words.searchsorted(high, side="right") - first).sum())

    def rows_of(self, code: int, pages: PageStore) -> list[int]:
        """The rows of one code, for an exact run; see ``search``."""
        if not self.low <= code <= self.high:
            return []
        if self.form == DENSE:
            return [code - self.low]
        words = self.words(pages)
        shift = 0 if self.form == ORDERED else self.bits
        wanted = code if self.form == ORDERED else code - self.low
        entry = int(words.searchsorted(np.uint64(wanted << shift), side="left"))
        rows, below = [], (1 << shift) - 1
        while entry < words.size and (word := int(words[entry])) >> shift == wanted:
            rows.append(word & below if shift else entry)
            entry += 1
        return rows

    def matches(self, codes: Codes, pages: PageStore) -> npt.NDArray[np.bool_]:
        """Tell for each of very many codes whether a search might find it.

        They are searched in their order, so that the run is read from its beginning to its end.

        Raises:
            Corrupt: The run's page is damaged.
        """
        inside = (codes >= np.uint64(self.low)) & (codes <= np.uint64(self.high))
        if self.form == DENSE or not inside.any():
            return inside
        words, wanted = self.words(pages), codes[inside]
        scattered = mix(wanted) if self.form == HASHED else wanted
        needles, hits = np.sort(scattered), []
        for start in range(0, needles.size, _NEEDLES_MAX):
            piece = needles[start : start + _NEEDLES_MAX]
            low, high = piece, piece
            if self.form != ORDERED:
                low, high = self._range(piece)
            first = words.searchsorted(low, side="left")
            hits.append(piece[first < words.searchsorted(high, side="right")])
        found = np.concatenate(hits)
        if not found.size:
            return np.zeros(codes.size, dtype=bool)
        at = np.minimum(found.searchsorted(scattered), found.size - 1)
        inside[inside] = found[at] == scattered
        return inside

    def bounds(self, codes: Codes) -> tuple[Codes, Codes]:
        """Smallest and greatest entry that each code can have in a packed or hashed run."""
        return self._range(mix(codes) if self.form == HASHED else codes)

    def _range(self, codes: Codes) -> tuple[Codes, Codes]:
        """The same for codes that are mixed already where that is the run's form."""
        below = np.uint64((1 << self.bits) - 1)
        if self.form == HASHED:
            low = codes & ~below
        else:
            low = (codes - np.uint64(self.low)) << np.uint64(self.bits)
        return low, low | below

    def place(self, rows: Integers) -> tuple[Integers, Integers]:
        """Turn row numbers into ordinals of row groups and positions in them."""
        owner = self.starts.searchsorted(rows, side="right") - 1
        return owner, rows - self.starts[owner]


def _spread(first: Integers, last: Integers) -> tuple[Integers, Integers]:
    """Ranges of entries one after another: for each entry which range it is of, and the entry."""
    counts = last - first
    if counts.size == 1:
        entry = np.arange(int(first[0]), int(last[0]), dtype=np.int64)
        return np.zeros(entry.size, dtype=np.int64), entry
    index = np.repeat(np.arange(counts.size, dtype=np.int64), counts)
    ends = np.cumsum(counts)
    entry = np.arange(int(ends[-1]) if ends.size else 0, dtype=np.int64)
    return index, entry + np.repeat(first - ends + counts, counts)
