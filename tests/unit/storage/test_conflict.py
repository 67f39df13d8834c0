"""Conflicts: one test a cell of the matrix, and the rules about names."""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagelake.errors import Conflict
from pagelake.storage.conflict import MATRIX, Footprint, Kind, Verdict, check
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import (
    AlterTable,
    Append,
    AppendedKeys,
    AttachKeyRuns,
    CreateSchema,
    CreateTable,
    Delete,
    DeleteVector,
    DropSchema,
    DropTable,
    DropView,
    Effect,
    Rely,
    RestoreTable,
    Rewrite,
    View,
)
from pagelake.storage.environment import Environment
from pagelake.storage.keys.key_run import KeyRun
from pagelake.storage.log.effects_wire import to_wire
from pagelake.storage.log.key_change import gather
from pagelake.storage.page import PageKind
from pagelake.storage.page_store import PageStore
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, commit, definition, inline_group

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pagelake.storage.transaction import Transaction

PAGES = PageStore(MemoryDevice(), bytes(16), Environment())


def delete(*positions: int, group: str = "g", table: str = TABLE) -> Delete:
    return Delete(table, {group: DeleteVector.of(positions_of(list(positions)))})


def told(*keys: tuple[int, list[int]]) -> tuple[AppendedKeys, ...]:
    """Codes of keys of one column each."""
    return tuple(AppendedKeys((c,), np.array(codes, "<u8").tobytes()) for c, codes in keys)


FIRST, SECOND = "first", "second"
OTHER_TABLE = "b" * 32
KEPT, OVERLAPPING, DISJOINT = [1, 2], [2, 3], [4, 5]


@pytest.fixture
def store() -> Iterator[Store]:
    """A store with two tables; the first one has two row groups of six rows."""
    with closing(Store(MemoryDevice(), environment=Environment(threads=False))) as store:
        commit(store, CreateTable(definition()), CreateTable(definition(OTHER_TABLE, "other")))
        groups = (inline_group(FIRST, [*range(6)]), inline_group(SECOND, [*range(6)]))
        commit(store, Append(TABLE, groups))
        yield store


def prepare(
    store: Store, kind: Kind, group: str = FIRST, rows: Sequence[int] = KEPT, table: str = TABLE
) -> Transaction:
    """A transaction on the newest snapshot that has done one kind of thing to a table."""
    transaction = store.begin()
    values = [*range(6)]
    new = inline_group(transaction.next_row_group_id(), values)
    match kind:
        case Kind.APPEND | Kind.KEYED_APPEND:
            keyed = kind is Kind.KEYED_APPEND
            transaction.add("INSERT", Append(table, (new,), keyed=keyed))
        case Kind.DELETE:
            transaction.delete("DELETE", table, {group: positions_of(list(rows))})
        case Kind.REWRITE:
            transaction.add("REWRITE", Rewrite(table, (group,), (new,)))
        case Kind.SCHEMA:
            name = transaction.base.tables[table].definition.name
            transaction.add("ALTER TABLE", AlterTable(definition(table, f"{name}_renamed")))
        case Kind.RESTORE:
            transaction.add("RESTORE", RestoreTable(table, transaction.base.version))
        case Kind.DROP:
            transaction.add("DROP TABLE", DropTable(table))
        case Kind.READ:
            transaction.make_serializable()
            transaction.note_read(table)
            # One that only reads has nothing to commit.
            transaction.add("INSERT", Append(OTHER_TABLE, (new,)))
        case Kind.INDEX:
            run = KeyRun((1,), "int64", (group,), (6,), "dense", 1, 6, 3, 6)
            transaction.add("CREATE INDEX", AttachKeyRuns(table, (run,)))
        case Kind.REFERENCE | Kind.UNREFERENCED:
            transaction.rely_on(table, kind)
            transaction.add("INSERT", Append(OTHER_TABLE, (new,)))
        case Kind.RELY:
            transaction.add("INSERT", Append(OTHER_TABLE, (new,)), Rely(table, told((1, [7]))))
    return transaction


def committed(mine: Transaction, theirs: Transaction) -> bool:
    """Commit theirs, then try mine; tells whether both are true."""
    version = theirs.commit()
    try:
        assert mine.commit() == version + 1
    except Conflict as conflict:
        assert conflict.retryable
        assert f"version {version}" in str(conflict), "it says with what"
        assert not mine.open
        return False
    return True


WITH_APPENDS = {Kind.APPEND, Kind.KEYED_APPEND, Kind.RELY}
LOOKED = {Kind.READ, Kind.REFERENCE, Kind.UNREFERENCED}
COMMUTE = {
    Kind.APPEND: {*WITH_APPENDS, Kind.DELETE, Kind.REWRITE, Kind.INDEX},
    # In a table with a key only an update that keeps the keys appends without telling them.
    Kind.KEYED_APPEND: {Kind.APPEND, Kind.DELETE, Kind.REWRITE, Kind.INDEX, Kind.RELY},
    # A delete follows its rows to where a rewrite has put them; this one does not tell its keys.
    Kind.DELETE: {Kind.APPEND, Kind.KEYED_APPEND, Kind.REWRITE, Kind.INDEX},
    Kind.REWRITE: {*WITH_APPENDS, Kind.INDEX},
    Kind.SCHEMA: set[Kind](),
    Kind.RESTORE: set[Kind](),
    Kind.DROP: set[Kind](),
    Kind.READ: {Kind.REWRITE, Kind.INDEX, Kind.RELY},
    # A run of row groups that are gone is dropped when it is applied.
    Kind.INDEX: {*WITH_APPENDS, Kind.DELETE, Kind.REWRITE, Kind.INDEX},
    # Whoever refers to a row minds that it stays, whoever removes one that nobody comes to refer.
    Kind.REFERENCE: {*WITH_APPENDS, Kind.REWRITE, Kind.INDEX},
    Kind.UNREFERENCED: {Kind.DELETE, Kind.REWRITE, Kind.INDEX, Kind.RELY},
    # Where rows lie does not matter, nor what comes to be beside them.
    Kind.RELY: {*WITH_APPENDS, Kind.REWRITE, Kind.INDEX},
}
"""What isolation allows on the same rows, written out apart from the matrix that the code follows.

What was looked at before somebody's commit stands before it, so what is done after a committed READ
never conflicts with it; the other way round the reader has missed something.
"""
CELLS = list(itertools.product(Kind, Kind))


@pytest.mark.parametrize(("mine", "theirs"), CELLS, ids=lambda kind: kind.name.lower())
def test_cell(store: Store, mine: Kind, theirs: Kind) -> None:
    """Both touch the same row group, and the same rows of it."""
    rows = prepare(store, mine), prepare(store, theirs, rows=OVERLAPPING)
    before = store.snapshot()
    both = committed(*rows)
    assert both == (theirs in COMMUTE[mine] | LOOKED)
    assert store.snapshot().version == before.version + 1 + both


@pytest.mark.parametrize(("mine", "theirs"), CELLS, ids=lambda kind: kind.name.lower())
def test_cell_elsewhere(store: Store, mine: Kind, theirs: Kind) -> None:
    """Different tables have nothing to do with each other."""
    groups = (inline_group("third", [*range(6)]),)
    commit(store, CreateTable(definition("c" * 32, "third")), Append("c" * 32, groups))
    other = prepare(store, theirs, "third", table="c" * 32)
    assert committed(prepare(store, mine), other)


def test_keyed_appends_that_tell_their_keys(store: Store) -> None:
    def keyed(*keys: tuple[int, list[int]]) -> Transaction:
        transaction = store.begin()
        new = inline_group(transaction.next_row_group_id(), [1])
        transaction.add("INSERT", Append(TABLE, (new,), True, told(*keys)))
        return transaction

    assert committed(keyed((1, [5, 6])), keyed((1, [7])))
    assert not committed(keyed((1, [5, 6])), keyed((1, [6])))
    assert not committed(keyed((1, [5])), keyed())
    assert not committed(keyed((1, [5])), keyed((2, [7]))), "another key"
    assert committed(keyed((1, [5]), (2, [1])), keyed((1, [6]), (2, [2])))
    assert not committed(keyed((1, [5]), (2, [1])), keyed((1, [6]), (2, [1])))


NONE = tuple[AppendedKeys, ...]()


@pytest.mark.parametrize(
    ("relied", "removed", "meet"),
    [
        (told((1, [5, 6])), told((1, [7])), False),
        (told((1, [5, 6])), told((1, [6, 8])), True),
        (told((1, [5])), NONE, True),
        (NONE, told((1, [5])), True),
        (told((1, [5])), told((2, [7])), True),
        (told((1, [5])), told((1, [6]), (2, [5])), False),
        (told((2, [5])), told((1, [5]), (2, [6])), False),
        (told((1, [5]), (2, [5])), told((1, [6]), (2, [5])), True),
        # Rows whose keys are NULL are told as well: nobody can rely on them by those keys.
        (told((1, [5])), told((1, [])), False),
    ],
)
@pytest.mark.parametrize("first", ["reliance", "delete"])
def test_who_relies_on_rows_and_who_deletes_them(
    store: Store,
    relied: tuple[AppendedKeys, ...],
    removed: tuple[AppendedKeys, ...],
    meet: bool,
    first: str,
) -> None:
    """Whoever is second loses, and only where both may mean the same row."""
    relying, deleting = store.begin(), store.begin()
    new = inline_group(relying.next_row_group_id(), [1])
    relying.add("INSERT", Append(OTHER_TABLE, (new,)), Rely(TABLE, relied))
    deleting.delete("DELETE", TABLE, {FIRST: positions_of([3])}, removed)
    mine, theirs = (deleting, relying) if first == "reliance" else (relying, deleting)
    assert committed(mine, theirs) is not meet


def test_who_relies_does_not_mind_where_the_rows_lie(store: Store) -> None:
    """A delete that followed its rows through a compaction tells the keys that it told before."""
    deleting = store.begin()
    deleting.delete("DELETE", TABLE, {FIRST: positions_of([3])}, told((1, [4])))
    relying = [store.begin(), store.begin()]
    for transaction, code in zip(relying, (4, 5), strict=True):
        transaction.add("TOUCH", Rely(TABLE, told((1, [code]))))
    rewriting = prepare(store, Kind.REWRITE)
    assert committed(deleting, rewriting)
    assert store.snapshot().tables[TABLE].rows == 11
    with pytest.raises(Conflict):
        relying[0].commit()
    assert relying[1].commit() == store.snapshot().version


def test_reliance_changes_nothing(store: Store) -> None:
    before = store.snapshot()
    relying = store.begin()
    relying.add("TOUCH", Rely(TABLE, told((1, [1]))))
    relying.commit()
    after = store.snapshot()
    assert after.version == before.version + 1
    assert after.tables[TABLE] is before.tables[TABLE]
    assert after.catalog_version == before.catalog_version


BY_PLACE = {
    # mine, theirs: (other rows of the same row group, another row group)
    (Kind.DELETE, Kind.DELETE): (True, True),
    (Kind.DELETE, Kind.REWRITE): (True, True),
    (Kind.REWRITE, Kind.DELETE): (False, True),
    (Kind.REWRITE, Kind.REWRITE): (False, True),
}


@pytest.mark.parametrize(("mine", "theirs"), BY_PLACE, ids=lambda kind: kind.name.lower())
def test_cells_decided_by_place(store: Store, mine: Kind, theirs: Kind) -> None:
    same_group, _ = BY_PLACE[mine, theirs]
    disjoint = prepare(store, mine), prepare(store, theirs, rows=DISJOINT)
    apart = prepare(store, mine), prepare(store, theirs, group=SECOND, rows=OVERLAPPING)
    assert committed(*disjoint) == same_group
    if theirs is Kind.REWRITE:
        # The first row group is not there any more: begin anew, with two others.
        groups = tuple(inline_group(f"new {name}", [*range(6)]) for name in (FIRST, SECOND))
        commit(store, Append(TABLE, groups))
        apart = (
            prepare(store, mine, f"new {FIRST}"),
            prepare(store, theirs, f"new {SECOND}", OVERLAPPING),
        )
        assert committed(*apart)


def test_deleted_rows_of_both_are_gone(store: Store) -> None:
    """Deletes that commute add up: neither undoes the other."""
    mine = prepare(store, Kind.DELETE)
    assert committed(mine, prepare(store, Kind.DELETE, rows=DISJOINT))
    state = store.snapshot().tables[TABLE]
    gone = {int(p) for v in state.deletes[FIRST] for p in v.positions(store.pages)}
    assert gone == {*KEPT, *DISJOINT}
    assert state.rows == 12 - len(gone)


def test_a_delete_in_another_group_survives_a_rewrite(store: Store) -> None:
    mine = prepare(store, Kind.REWRITE)
    assert committed(mine, prepare(store, Kind.DELETE, group=SECOND))
    state = store.snapshot().tables[TABLE]
    assert state.rows == 12 - len(KEPT)
    assert FIRST not in {group.id for group in state.row_groups}


def test_the_matrix_is_complete() -> None:
    assert set(MATRIX) == set(Kind) == set(COMMUTE)
    assert all(set(row) == set(Kind) for row in MATRIX.values())
    assert MATRIX[Kind.DELETE][Kind.DELETE] is Verdict.SAME_ROWS
    assert MATRIX[Kind.DELETE][Kind.REWRITE] is Verdict.SAME_GROUPS
    assert MATRIX[Kind.REWRITE][Kind.DELETE] is Verdict.SAME_GROUPS


def conflict(mine: Sequence[Effect], theirs: Sequence[Effect]) -> Conflict | None:
    try:
        check(Footprint.of(mine), Footprint.of(theirs), PAGES, "version 7 (TEST)")
    except Conflict as error:
        assert "version 7 (TEST)" in str(error)
        return error
    return None


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


def commute(mine: Footprint, theirs: Footprint) -> bool:
    try:
        check(mine, theirs, PAGES, "another one")
    except Conflict:
        return False
    return True


CODES = st.lists(st.integers(0, 3), max_size=2)
TOLD = st.lists(st.tuples(st.integers(1, 2), CODES), max_size=2).map(lambda keys: told(*keys))
TABLES = st.sampled_from([TABLE, OTHER_TABLE])
ADDITIVE = st.one_of(
    st.builds(Append, TABLES, st.just(()), st.booleans(), TOLD),
    st.builds(Rely, TABLES, TOLD),
)
OF_ROWS = st.one_of(
    ADDITIVE,
    st.builds(Delete, TABLES, st.just(delete(1).vectors), TOLD),
    st.builds(Rewrite, TABLES, st.just(("g",)), st.just(())),
    st.builds(AttachKeyRuns, TABLES, st.just(())),
)


@settings(max_examples=200)
@given(st.lists(ADDITIVE, max_size=3), st.lists(OF_ROWS, max_size=3))
def test_key_changes_are_all_that_matters_to_appends(
    mine: list[Effect], theirs: list[Effect]
) -> None:
    """What the head of a record tells decides as its effects would."""
    ours, whole = Footprint.of(mine), Footprint.of(theirs)
    assert ours.additive
    assert whole.rows_only
    known = Footprint.of_keys(gather(to_wire(effect) for effect in theirs))
    assert commute(ours, known) == commute(ours, whole)


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
        (CreateSchema("s\x1fr"), DropSchema("S"), True),
        (CreateSchema("s\x1fr\x1fq"), DropSchema("S"), True),
        (CreateSchema("s\x1fr"), DropSchema("r"), False),
        (CreateSchema("s\x1fr"), CreateSchema("s\x1fq"), False),
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


def test_an_index_of_values_that_may_repeat_commutes_with_rows_alone() -> None:
    indexed = AlterTable(A, only_indexes=True)
    rows = Append(A.id, (), keyed=True)
    assert conflict([indexed], [rows]) is None
    assert conflict([rows], [indexed]) is None
    assert conflict([AlterTable(A)], [rows]) is not None
    for other in (indexed, AlterTable(A), DropTable(A.id)):
        assert conflict([indexed], [other]) is not None
        assert conflict([other], [indexed]) is not None
