"""Labels of a catalog's directories, found by path: entries lie in the order of their labels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from ...errors import Error
from ...sql.tokens import literal
from ..keys.constants import Item
from ..keys.point_query import PointQuery, Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...sql.logical import PathRange
    from ...storage.effects import TableDefinition
    from ...storage.keys.key_index import KeyIndexes
    from ...storage.snapshot import Snapshot, TableState
    from .route import Route

_ENTRIES: Final = "_entries"
_DIRECTORIES: Final = "_directories"
_COLUMNS: Final = ("path", "label", "last_label", "depth")
_SIBLINGS: Final = frozenset({"directory", "name", "element_type"})
_SIBLINGS_MAX: Final = 1_000
"""Subdirectories that are compared with a pattern; more are not worth it."""
WILD: Final = "_"
"""Stands in a LIKE for any one character."""


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A directory: its label, the last one below it, and how deep it lies."""

    label: int
    last: int
    depth: int


@dataclass(frozen=True, slots=True)
class DirectoryLabels:
    """The directories of a catalog at a snapshot.

    Attributes:
        state: The table of directories.
        entries: The table of entries.
        keys: The store's key indexes.
        route: Where the entries can be read, to see which subdirectories there are; or None.
    """

    state: TableState
    entries: TableState
    keys: KeyIndexes
    route: Route | None

    @classmethod
    def of(
        cls, place: PathRange, snapshot: Snapshot, keys: KeyIndexes, route: Route | None
    ) -> DirectoryLabels | None:
        """The directories behind a view as a statement reads it; None of all but catalogs."""
        stored, relation = place.stored, place.relation
        if not stored.labelled or relation.version is not None:
            return None
        if not stored.table.endswith(_ENTRIES):
            return None
        entries = snapshot.table(stored.schema, stored.table)
        name = stored.table.removesuffix(_ENTRIES) + _DIRECTORIES
        state = snapshot.table(relation.schema, name)
        if state is None or entries is None or not _is_usable(state.definition):
            return None
        return cls(state, entries, keys, route)

    def within(self, parents: Sequence[str]) -> Iterator[str]:
        """Conditions on entries that lie right in one of some directories."""
        known = self._find(parents)
        if len(known) == len(set(parents)):
            labels = ", ".join(str(found.label) for found in known.values())
            yield f"directory IN ({labels})" if len(known) > 1 else f"directory = {labels}"
        elif len(parents) == 1:
            yield from self.below(parents[0])

    def below(self, directory: str) -> Iterator[str]:
        """Conditions on entries below a directory, or below the nearest one that is there."""
        known = self._find([directory])
        if directory not in known:
            above = list(_above(directory))
            known = self._find(above)
            directory = next((path for path in above if path in known), "")
        if directory in known:
            yield _range(known[directory])

    def below_like(self, pattern: str) -> Iterator[str]:
        """Conditions on entries below the directories whose paths match a pattern.

        Nearly always one matches, the one that is called so: names have ``_`` in them, and who
        writes LIKE seldom thinks of what it means there. That no other one does is seen by the
        subdirectories of those above it.

        Args:
            pattern: Of a LIKE, without ``%``.
        """
        whole = pattern[: pattern.index(WILD)].rpartition("/")[0]
        steps = [pattern, *_above(pattern), "/"]
        known = self._find(steps)
        chain = list(takewhile(known.__contains__, steps))
        # All entries lie below the root; those that match lie below what the pattern says whole.
        is_complete = chain and (known[chain[-1]].depth == 0 or len(chain[-1]) <= len(whole))
        above = [(path, known[path].label) for path in chain[1:]]
        if is_complete and self._is_alone(pattern, above):
            yield _range(known[pattern])
        else:
            yield f"parent_path LIKE {literal(f'{pattern}%')}"
            yield from self.below(whole) if whole else ()

    def _is_alone(self, pattern: str, above: Sequence[tuple[str, int]]) -> bool:
        """Tell whether no other directory matches a pattern than the one that is called so.

        Args:
            pattern: The pattern, which is a directory's path too.
            above: Paths and labels of the directories above that one.
        """
        asked, rests = [], {}
        for path, label in above:
            rests[label] = pattern[len(path.rstrip("/")) + 1 :]
            step = rests[label].partition("/")[0]
            # A wildcard may also stand for the slash behind a shorter name.
            ends = [at for at, character in enumerate(step) if character == WILD and at]
            if WILD in step:
                likes = [literal(name) for name in (step, *(step[:end] for end in ends))]
                told = " OR ".join(f"name LIKE {like}" for like in likes)
                asked.append((label, f"(directory = {label} AND ({told}))"))
        if not asked:
            return True
        narrow = None
        if self.route is not None:
            narrow = self.route.narrow(self.entries.definition.id, _SIBLINGS)
        if narrow is None or self.route is None:
            return False
        # The kernel prunes by the labels alone.
        labels = ", ".join(str(label) for label, _ in asked)
        conditions = " OR ".join(condition for _, condition in asked)
        rows = self.route.rows(
            f"SELECT directory, name FROM ({narrow[0]}) AS rows WHERE directory IN ({labels}) "
            f"AND element_type = 'DIR' AND ({conditions}) LIMIT {_SIBLINGS_MAX}"
        )
        others = any(_may_begin(name, rests[label]) for label, name in rows)
        return len(rows) < _SIBLINGS_MAX and not others

    def _find(self, paths: Iterable[str]) -> dict[str, _Labelled]:
        """Directories by their paths; those that are there."""
        definition = self.state.definition
        columns = [c for name in _COLUMNS if (c := definition.column(name)) is not None]
        key = next(k for k in definition.keys if k.columns == (columns[0].id,))
        wanted = tuple(Item(None, path) for path in dict.fromkeys(paths))
        if not wanted:
            return {}
        query = PointQuery(definition, key, (), (Term(columns[0], wanted),), (), frozenset())
        with suppress(Error):  # a damaged page costs speed here, and is told of where it is read
            found = query.find(self.state, self.keys, {})
            if found is not None:
                selected = tuple((column, column.name) for column in columns)
                rows = replace(query, selected=selected).read(self.state, self.keys, found)
                names, *numbers = (column.to_pylist() for column in rows)
                return {
                    name: _Labelled(*told)
                    for name, *told in zip(names, *numbers, strict=True)
                    if None not in told
                }
        return {}


def _is_usable(definition: TableDefinition) -> bool:
    found = [definition.column(name) for name in _COLUMNS]
    path = found[0]
    return None not in found and any(path and k.columns == (path.id,) for k in definition.keys)


def _range(found: _Labelled) -> str:
    return f"directory BETWEEN {found.label} AND {found.last}"


def _may_begin(name: str, pattern: str) -> bool:
    """Tell whether a path may match a pattern and begin with another name than that says."""
    if pattern == name or pattern.startswith(f"{name}/"):
        return False  # this is the one
    behind = pattern[len(name) : len(name) + 1]
    same = all(c in {WILD, n} for c, n in zip(pattern, name, strict=False))
    return same and len(name) <= len(pattern) and behind in {"", "/", WILD}


def _above(path: str) -> Iterator[str]:
    """The directories above a path, the nearest first, without the root of all."""
    while path := path.rpartition("/")[0]:
        yield path
