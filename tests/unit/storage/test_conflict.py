"""Conflicts: one test a cell of the matrix, and the rules about names."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Conflict
from pagelake.storage.conflict import MATRIX, Footprint, Kind, Verdict, check
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import (
    AlterTable,
    Append,
    CreateSchema,
    CreateTable,
    Delete,
    DeleteVector,
    DropSchema,
    DropTable,
    DropView,
    Effect,
    Rewrite,
    View,
)
from pagelake.storage.environment import Environment
from pagelake.storage.page import PageKind
from pagelake.storage.page_store import PageStore
from tests.unit.storage.builders import TABLE, definition

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGES = PageStore(MemoryDevice(), bytes(16), Environment())


def delete(*positions: int, group: str = "g", table: str = TABLE) -> Delete:
    return Delete(table, {group: DeleteVector.of(positions_of(list(positions)))})


EFFECTS: dict[Kind, Effect] = {
    Kind.APPEND: Append(TABLE, ()),
    Kind.KEYED_APPEND: Append(TABLE, (), keyed=True),
    Kind.DELETE: delete(1, 2),
    Kind.REWRITE: Rewrite(TABLE, (), ()),
    Kind.SCHEMA: AlterTable(definition()),
    Kind.DROP: DropTable(TABLE),
}

COMMUTE = {
    (Kind.APPEND, Kind.APPEND), (Kind.APPEND, Kind.KEYED_APPEND), (Kind.APPEND, Kind.DELETE),
    (Kind.APPEND, Kind.REWRITE), (Kind.KEYED_APPEND, Kind.DELETE),
    (Kind.KEYED_APPEND, Kind.REWRITE), (Kind.DELETE, Kind.APPEND),
    (Kind.DELETE, Kind.KEYED_APPEND), (Kind.REWRITE, Kind.APPEND),
    (Kind.REWRITE, Kind.KEYED_APPEND),
}  # fmt: skip
"""What isolation allows, written out apart from the matrix that the code follows."""


def conflict(mine: Sequence[Effect], theirs: Sequence[Effect]) -> Conflict | None:
    try:
        check(Footprint.of(mine), Footprint.of(theirs), PAGES, "version 7 (TEST)")
    except Conflict as error:
        assert "version 7 (TEST)" in str(error)
        return error
    return None


@pytest.mark.parametrize(
    ("mine", "theirs"),
    list(itertools.product(Kind, Kind)),
    ids=lambda kind: kind.name.lower(),
)
def test_cell(mine: Kind, theirs: Kind) -> None:
    clash = conflict([EFFECTS[mine]], [EFFECTS[theirs]])
    assert (clash is None) == ((mine, theirs) in COMMUTE)
    if clash is not None:
        assert clash.retryable
    elsewhere = conflict([EFFECTS[mine]], [delete(1, table="b" * 32)])
    assert elsewhere is None, "different tables have nothing to do with each other"


def test_the_matrix_is_complete() -> None:
    assert set(MATRIX) == set(Kind)
    assert all(set(row) == set(Kind) for row in MATRIX.values())
    assert MATRIX[Kind.DELETE][Kind.DELETE] is Verdict.SAME_ROWS


def test_deletes_conflict_where_they_share_a_row() -> None:
    assert conflict([delete(1, 2)], [delete(2, 3)]) is not None
    assert conflict([delete(1, 2)], [delete(3, 4)]) is None
    assert conflict([delete(1)], [delete(1, group="other")]) is None
    assert conflict([delete(1), delete(5)], [delete(4), delete(5)]) is not None


def test_deletes_on_pages_are_read_to_decide() -> None:
    writer = PAGES.writer()
    vector = DeleteVector.of(positions_of([7]))
    page = writer.append(vector.payload or b"", PageKind.DELETE_VECTOR)
    on_page = Delete(TABLE, {"g": DeleteVector(1, None, page)})
    assert conflict([on_page], [delete(7)]) is not None
    assert conflict([delete(8)], [on_page]) is None


A, B = definition("1" * 32, "a"), definition("2" * 32, "A")
IN_S = definition("3" * 32, "t", "s")


@pytest.mark.parametrize(
    ("mine", "theirs", "clashes"),
    [
        (CreateTable(A), CreateTable(B), True),
        (CreateTable(A), View("main", "a", "SELECT 1"), True),
        (CreateTable(A), CreateTable(IN_S), False),
        (View("main", "v", "SELECT 1"), DropView("MAIN", "V"), True),
        (View("main", "v", "SELECT 1"), View("main", "w", "SELECT 1"), False),
        (CreateSchema("s"), CreateSchema("S"), True),
        (CreateSchema("s"), CreateSchema("r"), False),
        (DropSchema("s"), CreateTable(IN_S), True),
        (CreateTable(IN_S), DropSchema("S"), True),
        (AlterTable(IN_S), DropSchema("s"), True),
        (CreateTable(A), DropSchema("s"), False),
    ],
    ids=str,
)
def test_names(mine: Effect, theirs: Effect, clashes: bool) -> None:
    assert (conflict([mine], [theirs]) is not None) == clashes
    assert (conflict([theirs], [mine]) is not None) == clashes
