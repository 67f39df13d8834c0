"""What a path says about the stored rows of a view of files, as conditions beside the user's own.

    path = '/a/b/c'          parent_path = '/a/b' AND name = 'c'; or directory = 73 AND name = 'c'
    path LIKE '/a/b/%'       directory BETWEEN 73 AND 94

The conditions follow from the user's, which stays: they only let the kernel leave rows out that it
need not look at. Labels of directories are looked up by key (``storage/keys``) in the snapshot that
the statement reads; a directory that is not there adds nothing, or what its nearest one above does.
A statement for columns of the row at one path is a look-up by that row's label and name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...extensions.catalog.relations import VIEW_COLUMNS, entries_sql
from ...sql.tokens import literal, quote
from ..statements.fast_insert import parameters_by_key
from .directory_labels import WILD, DirectoryLabels
from .hot_tier import native_name
from .top_threshold import with_threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ...sql.logical import LogicalPlan, PathRange, PathTerm
    from ...storage.snapshot import Snapshot, TableState
    from ..kernel import Parameters
    from ..session import Session
    from .route import Route

_NAMED: Final = frozenset({"parent_path", "name", "directory"})
"""Columns that conditions are on."""
_WORD: Final = re.compile(r"\w+")
_CALLS: Final = frozenset({"starts with"})
_WHERE: Final = "WHERE"


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A statement with the conditions that follow from its own.

    Attributes:
        sql: The text for the kernel.
        conditions: What was added, for each place.
        is_bound: True where the values of all parameters are in the text.
    """

    sql: str
    conditions: tuple[str, ...] = ()
    is_bound: bool = False


def narrow(
    session: Session,
    logical: LogicalPlan,
    sql: str,
    parameters: Parameters,
    snapshot: Snapshot,
    route: Route | None = None,
) -> tuple[str, Parameters]:
    """Say beside the paths that a statement asks for which rows can have them.

    Args:
        session: The session.
        logical: The plan.
        sql: Its text.
        parameters: The statement's parameters.
        snapshot: What is read.
        route: Where the statement's names lead, to read no more columns than it names.

    Returns:
        The text for the kernel, and its parameters.
    """
    if not (logical.ranges or logical.top):
        return sql, parameters
    found = narrowed(session, logical, sql, parameters, snapshot, route)
    return found.sql, None if found.is_bound else parameters


def narrowed(
    session: Session,
    logical: LogicalPlan,
    sql: str,
    parameters: Parameters,
    snapshot: Snapshot,
    route: Route | None = None,
) -> Narrowed:
    """Do what `narrow` does, and tell what was added."""
    if any("collation" in text.lower() for text in session.kernel_settings):
        return Narrowed(sql)
    given = parameters_by_key(parameters)
    # A temporary macro may have the name of a function, or name columns.
    plain = not session.has_kernel_state
    added, spliced = list[str](), list[tuple[int, int, str]]()
    for place in logical.ranges:
        labels = DirectoryLabels.of(place, snapshot, session.database.keys, route)
        conditions = [
            condition
            for term in place.terms
            if plain or term.op not in _CALLS
            for condition in _conditions(term, given, labels)
        ]
        if not conditions:
            continue
        conditions = list(dict.fromkeys(conditions))
        added.append(" AND ".join(conditions))
        shorter = _Shorter.of(place, snapshot, route) if route is not None and plain else None
        lookup = None if shorter is None else shorter.lookup(conditions, given)
        if lookup is not None:
            changes = [(*place.name, lookup), (place.offset - len(_WHERE), len(sql), "")]
            return Narrowed(_spliced(sql, changes), tuple(added), is_bound=True)
        alias = quote(place.alias)
        text = " AND ".join(f"{alias}.{condition}" for condition in conditions)
        spliced.append((place.offset, place.offset, f" {text} AND"))
        rows = None if shorter is None else shorter.rows()
        if rows is not None:
            spliced.append((*place.name, rows))
    if logical.top is not None and route is not None and not added:
        return Narrowed(with_threshold(session, logical.top, sql, snapshot, route))
    return Narrowed(_spliced(sql, spliced), tuple(added))


def _spliced(sql: str, changes: Iterable[tuple[int, int, str]]) -> str:
    # From the end, so that the offsets before stay what they are.
    for begin, end, text in sorted(changes, reverse=True):
        sql = f"{sql[:begin]}{text}{sql[end:]}"
    return sql


@dataclass(frozen=True, slots=True)
class _Shorter:
    """A subquery in place of a catalog's view, with the columns that matter.

    The kernel binds every column of a view, of which most statements name few: for one path that
    would take longer than all else.
    """

    place: PathRange
    state: TableState
    route: Route

    @classmethod
    def of(cls, place: PathRange, snapshot: Snapshot, route: Route) -> _Shorter | None:
        """What can stand in place of a view; None where nothing can."""
        stored, relation = place.stored, place.relation
        state = snapshot.table(stored.schema, stored.table)
        if place.columns is None or state is None or relation.version is not None:
            return None
        return cls(place, state, route) if relation.sql == entries_sql(stored.table) else None

    def lookup(self, conditions: Sequence[str], given: Mapping[str, object]) -> str | None:
        """The rows of a statement of which conditions say all that its WHERE does.

        They do where they tell the label of the directory, and the name in it.
        """
        constants = [constant for term in self.place.terms for constant in term.constants]
        used = {constant.text for constant in constants if constant.kind == "parameter"}
        known = any(condition.startswith("directory = ") for condition in conditions)
        if not (self.place.lookup and known) or used != given.keys():
            return None
        columns = self._columns(self.place.lookup)
        found = self.route.narrow(self.state.definition.id, _stored(columns))
        if found is None or not found[1]:
            return None
        native = {c.name: native_name(c) for c in self.state.definition.columns}
        named = [condition.split(" ", 1) for condition in conditions]
        where = " AND ".join(f"leaf.{native[column]} {rest}" for column, rest in named)
        return self._subquery(columns, f"{found[0]} WHERE {where}")

    def rows(self) -> str | None:
        """All rows; None where only the view can give them."""
        assert self.place.columns is not None
        columns = self._columns(self.place.columns | _NAMED)
        found = self.route.narrow(self.state.definition.id, _stored(columns))
        return None if found is None else self._subquery(columns, found[0])

    def _columns(self, named: frozenset[str]) -> list[tuple[str, str]]:
        return [(name, sql) for name, sql in VIEW_COLUMNS if name in named]

    def _subquery(self, columns: Sequence[tuple[str, str]], rows: str) -> str:
        listed = ", ".join(f"{sql} AS {quote(name)}" for name, sql in columns)
        alias = "" if self.place.named_anew else f" AS {quote(self.place.alias)}"
        return f"(SELECT {listed} FROM ({rows}) AS rows){alias}"


def _stored(columns: Sequence[tuple[str, str]]) -> frozenset[str]:
    """Words in the expressions of a view's columns: the names of stored ones are among them."""
    return frozenset(word for _, sql in columns for word in _WORD.findall(sql))


def _conditions(
    term: PathTerm, parameters: Mapping[str, object], labels: DirectoryLabels | None
) -> Iterator[str]:
    """What follows from one condition; nothing where a value is no text."""
    values = [constant.value(parameters) for constant in term.constants]
    texts = [value for value in values if isinstance(value, str) and _is_sound(value)]
    if len(texts) < len(values):
        return
    if term.op == "like" and ("%" in texts[0] or WILD in texts[0]):
        yield from _of_prefix(texts[0].partition("%")[0], labels, is_pattern=True)
    elif term.op == "starts with":
        yield from _of_prefix(texts[0], labels)
    else:
        yield from _of_values(term.column, texts, labels)


def _is_sound(text: str) -> bool:
    """Tell whether a text can stand in a statement, and a backslash in it means nothing."""
    try:
        return "\0" not in text and "\\" not in text and bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def _of_prefix(
    prefix: str, labels: DirectoryLabels | None, *, is_pattern: bool = False
) -> Iterator[str]:
    """What follows from how a path begins: it lies below the last directory named whole.

    The root's own row is the one whose path begins with ``/`` and which lies in no directory.

    Args:
        prefix: What it begins with.
        labels: The directories, where entries carry their labels.
        is_pattern: In `prefix`, ``_`` stands for any character.
    """
    directory = prefix.rpartition("/")[0]
    if not directory:
        return
    if is_pattern and WILD in directory:
        everywhere = [f"parent_path LIKE {literal(f'{directory}%')}"]
        yield from everywhere if labels is None else labels.below_like(directory)
    elif labels is not None:
        yield from labels.below(directory)
    else:
        # All that begins with '/a/' comes before '/a0'; so may others, such as '/a-b'.
        yield f"parent_path >= {literal(directory)}"
        yield f"parent_path < {literal(f'{directory}0')}"


def _of_values(column: str, texts: Sequence[str], labels: DirectoryLabels | None) -> Iterator[str]:
    """What follows from what a path is, or which of some it is."""
    if column == "path":
        # '/' is the root, whose own row has neither a parent nor a name.
        if "/" in texts:
            return
        parts = [text.rpartition("/") for text in texts if "/" in text]
        parents = [parent or "/" for parent, _, _ in parts]
        yield from _among("name", [name for _, _, name in parts])
    elif column == "search_path":
        if "/" in texts:
            return  # of what lies in the root, and of the root itself
        parents = [text[:-1] for text in texts if text.endswith("/")]
    else:
        parents = list(texts)
    found = list(labels.within(parents)) if labels is not None and parents else []
    if not any(" BETWEEN " not in condition for condition in found):
        # A label says as much as the parent's path, which takes longer to read.
        yield from _among("parent_path", parents)
    yield from found


def _among(column: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"{column} {_listed([literal(value) for value in dict.fromkeys(values)])}"


def _listed(values: Sequence[str]) -> str:
    return f"= {values[0]}" if len(values) == 1 else f"IN ({', '.join(values)})"
