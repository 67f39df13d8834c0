"""Names of constraints: those that users give them, and the kernel's for all others.

The kernel reads ``CONSTRAINT name`` and forgets it, so names are read from the statement's own
text and found again in what the kernel made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...sql.tokens import TokenStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ...storage.effects import Constraint, TableDefinition
    from ...storage.snapshot import Snapshot

INDEX_KINDS = {"index", "unique_index"}
"""Kinds of constraints that CREATE INDEX makes; an index has always a name of its own."""

_KINDS = {
    "PRIMARY": "primary_key",
    "UNIQUE": "unique",
    "CHECK": "check",
    "FOREIGN": "foreign_key",
    "REFERENCES": "foreign_key",
}
_SUFFIXES = {"primary_key": "pkey", "unique": "key", "check": "check", "foreign_key": "fkey"}


@dataclass(frozen=True, slots=True)
class Written:
    """A constraint as a statement has it.

    Attributes:
        kind: ``primary_key``, ``unique``, ``check`` or ``foreign_key``.
        columns: Folded names of its columns; empty for a check.
        name: The name it is given, or None.
    """

    kind: str
    columns: tuple[str, ...]
    name: str | None


def written_in_body(body: str) -> list[Written]:
    """The constraints in the parentheses of CREATE TABLE, in their order.

    Args:
        body: Text that the kernel has understood, from the parenthesis on.

    Returns:
        Nothing where none has a name.
    """
    if "CONSTRAINT" not in body.upper():
        return []
    stream, found = TokenStream(body), list[Written]()
    stream.expect("(")
    while not stream.at_end() and stream.word() != ")":
        found += _element(stream)
        stream.accept(",")
    return found


def written_in_action(action: str) -> list[Written]:
    """The constraints that an ALTER TABLE adds.

    Args:
        action: Text behind the table's name.
    """
    stream = TokenStream(action)
    if not stream.accept("ADD"):
        return []
    stream.accept("COLUMN")
    stream.accept("IF", "NOT", "EXISTS")
    return list(_element(stream))


def _element(stream: TokenStream) -> Iterator[Written]:
    """The constraints up to the next comma: those of a column, or the one that stands alone."""
    alone = _leading(stream.word()) in {"CONSTRAINT", *_KINDS}
    column = "" if alone else stream.identifier().lower()
    name = None
    while not stream.at_end() and stream.word() not in {",", ")"}:
        word = _leading(stream.word())
        if word == "CONSTRAINT":
            stream.at += 1
            name = stream.identifier()
            continue
        kind = _KINDS.get(word)
        if kind is not None:
            yield Written(kind, _columns(stream, kind, column, alone=alone), name)
            if alone:
                stream.text_until(",", ")")
                return
        if kind is not None or word in {"NOT", "NULL"}:
            name = None  # it was that one's
        stream.skip_balanced()


def _columns(stream: TokenStream, kind: str, column: str, *, alone: bool) -> tuple[str, ...]:
    if kind == "check":
        return ()
    if not alone:
        return (column,)
    stream.text_until("(")
    return tuple(name.lower() for name in stream.names_in_parentheses())


def _leading(word: str) -> str:
    """The first word of a token, such as PRIMARY KEY, that is of several."""
    return word.split(maxsplit=1)[0] if word else ""


def written_before(
    old: TableDefinition, columns: Mapping[int, str], checks: Sequence[str | None]
) -> list[Written]:
    """A table's constraints as they would be written after an ALTER, if they are still there.

    Args:
        old: The table before.
        columns: Names after it of the columns, by the ids they had before.
        checks: Texts of the checks after it.
    """
    before = [c for c in old.constraints if c.kind not in INDEX_KINDS]
    # A column that is dropped takes its checks along; one that is renamed changes their texts.
    all_kept = len(checks) == sum(c.kind == "check" for c in before)
    return [
        Written(c.kind, tuple(columns.get(i, "").lower() for i in c.columns), c.name)
        for c in before
        if c.kind != "check" or all_kept or c.expression in checks
    ]


def names_of(
    made: Iterable[tuple[str, tuple[str, ...]]], written: Sequence[Written]
) -> Iterator[str | None]:
    """The names that constraints were given.

    Args:
        made: Kinds and columns of what the kernel made; those of one kind and the same columns
            are in the order of the text.
        written: Constraints of the text.
    """
    left = list(written)
    for kind, columns in made:
        folded = tuple(column.lower() for column in columns)
        found = next((w for w in left if (w.kind, w.columns) == (kind, folded)), None)
        if found is not None:
            left.remove(found)
        yield None if found is None else found.name


def default_name(constraint: Constraint, definition: TableDefinition, snapshot: Snapshot) -> str:
    """The name that the kernel makes up for a constraint that was given none."""
    columns = {c.id: c.name.lower() for c in definition.columns}
    names = [columns[column] for column in constraint.columns]
    if constraint.kind == "check":
        known = set(columns.values()) | {c.name.lower() for c in definition.generated}
        words = (str(t.text).lower() for t in TokenStream(constraint.expression or "").tokens)
        names = [word for word in words if word in known]
    if constraint.kind == "foreign_key":
        there = definition
        if constraint.table != definition.id:
            there = snapshot.tables[str(constraint.table)].definition
        referred = {c.id: c.name.lower() for c in there.columns}
        names += [referred[column] for column in constraint.referred]
    return "_".join([definition.name, *names, _SUFFIXES[constraint.kind]])


def with_given_names(definition: TableDefinition, snapshot: Snapshot) -> TableDefinition:
    """A definition without the names that the kernel made up; older stores have them."""
    constraints = tuple(
        replace(c, name=None)
        if c.kind not in INDEX_KINDS and c.name == default_name(c, definition, snapshot)
        else c
        for c in definition.constraints
    )
    return replace(definition, constraints=constraints)


def called(constraint: Constraint) -> str:
    """A constraint's name as messages have it: quoted behind a space, or nothing."""
    named = constraint.name is not None and constraint.kind not in INDEX_KINDS
    return f' "{constraint.name}"' if named else ""
