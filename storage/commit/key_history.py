"""What happened to the keys of tables lately: whether appends commute with it at one look.

Who appends on an old snapshot would have to be checked against every version since. Most of these
did something to other keys, which one look per key shows. What is not certain here is left to
``conflict.check``, version by version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..conflict import Footprint, ToldKeys
    from ..effects import AppendedKeys
    from ..log.key_change import KeyChange


@dataclass(slots=True)
class _Keys:
    """What happened to the keys of one table, of one kind.

    Attributes:
        last: The last version in which anything did; 0 for none.
        untold: The last one that does not tell the keys.
        together: For keys (their column ids) that were told together, the last version.
        codes: For each key and code the last version.
    """

    last: int = 0
    untold: int = 0
    together: dict[frozenset[tuple[int, ...]], int] = field(default_factory=dict)
    codes: dict[tuple[int, ...], dict[int, int]] = field(default_factory=dict)

    def note(self, version: int, keys: Sequence[AppendedKeys] | None) -> int:
        """Note keys, None for any; returns how many codes they have."""
        self.last = version
        if keys is None:
            self.untold = version
            return 0
        noted = 0
        for key in keys:
            codes = np.frombuffer(key.codes, dtype="<u8").tolist()
            self.codes.setdefault(key.columns, {}).update(dict.fromkeys(codes, version))
            noted += len(codes)
        self.together[frozenset(key.columns for key in keys)] = version
        return noted

    def apart(self, keys: ToldKeys, table: str, since: int, *, same: bool) -> bool:
        """Tell whether nothing of the kind has happened to some keys after a version, for certain.

        Args:
            keys: The keys.
            table: The table.
            since: The version.
            same: What does not tell the very same keys of the table may have happened to them;
                otherwise what does not tell one of these.
        """
        if self.last <= since:
            return True
        told = keys.codes(table)
        if told is None or self.untold > since:
            return False
        for together, version in self.together.items():
            if version > since and not (
                together == told.keys() if same else together >= told.keys()
            ):
                return False
        for columns, codes in told.items():
            known = self.codes.get(columns)
            if known and any(known.get(code, 0) > since for code in codes):
                return False
        return True


@dataclass(slots=True)
class KeyHistory:
    """What happened to keys, and where more happened than that.

    Attributes:
        size: How many codes are remembered.
    """

    size: int = 0
    _appended: dict[str, _Keys] = field(default_factory=dict)
    _removed: dict[str, _Keys] = field(default_factory=dict)
    _other: int = 0

    def note(self, version: int, footprint: Footprint) -> None:
        """Note what a version did, or anything else that is numbered in order."""
        if not footprint.rows_only:
            self._other = version
        for table, keys in footprint.keys.items():
            self._note(self._appended, version, table, keys)
        for table, keys in footprint.removed.items():
            self._note(self._removed, version, table, keys)

    def note_changes(self, version: int, changes: Iterable[KeyChange]) -> None:
        """Note what the record of a version tells that changes rows only."""
        for change in changes:
            if change.appended is not None:
                self._note(self._appended, version, change.table, change.appended or None)
            if change.removed is not None:
                self._note(self._removed, version, change.table, change.removed or None)

    def _note(
        self,
        of_tables: dict[str, _Keys],
        version: int,
        table: str,
        keys: Sequence[AppendedKeys] | None,
    ) -> None:
        known = of_tables.get(table)
        if known is None:
            known = of_tables[table] = _Keys()
        self.size += known.note(version, keys)

    def is_clear(self, mine: Footprint, since: int) -> bool:
        """Tell whether something additive commutes with all that was noted after a version.

        Returns:
            True where that is certain; otherwise ``conflict.check`` must tell.
        """
        if self._other > since:
            return False
        for table in mine.keys:
            appended = self._appended.get(table)
            if appended is not None and not appended.apart(mine.keys, table, since, same=True):
                return False
        for table in mine.relied:
            removed = self._removed.get(table)
            if removed is not None and not removed.apart(mine.relied, table, since, same=False):
                return False
        return True
