"""Snapshots: applying effects gives the next state and leaves the former one alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagelake.errors import Corrupt
from pagelake.storage.delete_vector import positions_of
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
from pagelake.storage.log.record import CommittedTransaction
from pagelake.storage.snapshot import RowGroupList, Snapshot, TableState, commit_info
from tests.unit.storage.builders import TABLE, definition, inline_group


def advance(snapshot: Snapshot, *effects: Effect, time_us: int = 0) -> Snapshot:
    transaction = CommittedTransaction("x", "TEST", effects)
    version = snapshot.version + 1
    return snapshot.advance(
        [transaction], version=version, record_hash=bytes([version]) * 32, time_us=time_us
    )


def group(name: str, rows: int = 3) -> Append:
    return Append(TABLE, (inline_group(name, list(range(rows))),))


def delete(name: str, *positions: int) -> Delete:
    return Delete(TABLE, {name: DeleteVector.of(positions_of(list(positions)))})


def state(snapshot: Snapshot) -> TableState:
    return snapshot.tables[TABLE]


@pytest.fixture
def base() -> Snapshot:
    return advance(Snapshot(), CreateTable(definition()))


def test_appends_share_storage_and_never_show_in_older_snapshots(base: Snapshot) -> None:
    chain = [base]
    for number in range(5):
        chain.append(advance(chain[-1], group(f"g{number}")))
    for length, snapshot in enumerate(chain):
        groups = state(snapshot).row_groups
        assert [g.id for g in groups] == [f"g{n}" for n in range(length)]
        assert [g.first_row_id for g in groups] == [3 * n for n in range(length)]
        assert state(snapshot).rows == 3 * length
    assert state(chain[-1]).row_groups._shared is state(chain[2]).row_groups._shared


def test_two_futures_of_one_snapshot_do_not_mix(base: Snapshot) -> None:
    common = advance(base, group("g"))
    left, right = advance(common, group("left")), advance(common, group("right"))
    assert [g.id for g in state(left).row_groups] == ["g", "left"]
    assert [g.id for g in state(right).row_groups] == ["g", "right"]
    assert [g.id for g in state(common).row_groups] == ["g"]


def test_an_overlay_does_not_leak(base: Snapshot) -> None:
    common = advance(base, group("g"))
    overlay = common.apply([group("pending"), delete("g", 0)], version=1 << 62)
    committed = advance(common, group("other"))
    assert [g.id for g in state(overlay).row_groups] == ["g", "pending"]
    assert [g.id for g in state(committed).row_groups] == ["g", "other"]
    assert state(committed).rows == 6
    assert (state(overlay).rows, state(overlay).deleted_rows) == (5, 1)
    assert overlay.version == common.version


def test_deletes_add_up_and_an_empty_row_group_goes(base: Snapshot) -> None:
    snapshot = advance(advance(base, group("g")), delete("g", 0))
    assert (state(snapshot).rows, state(snapshot).deleted_rows) == (2, 1)
    snapshot = advance(snapshot, delete("g", 2))
    assert [v.count for v in state(snapshot).deletes["g"]] == [1, 1]
    emptied = advance(snapshot, delete("g", 1))
    assert (state(emptied).rows, len(state(emptied).row_groups), state(emptied).deletes) == (
        0, 0, {},
    )  # fmt: skip
    assert state(emptied).next_row_id == 3, "row ids are never given out again"
    assert len(state(snapshot).row_groups) == 1


def test_a_rewrite_keeps_the_rows(base: Snapshot) -> None:
    snapshot = advance(base, group("a"), group("b"), delete("a", 1), delete("b", 0))
    merged = replace(inline_group("m", [0, 2]), inline_columns=(1,), first_row_id=7)
    after = advance(snapshot, Rewrite(TABLE, ("a",), (merged,)))
    assert [g.id for g in state(after).row_groups] == ["m", "b"]
    assert state(after).rows == state(snapshot).rows == 4
    assert list(state(after).deletes) == ["b"]
    assert state(after).row_groups[0].first_row_id == 7, "they bring their row ids along"
    assert state(after).next_row_id == state(snapshot).next_row_id


@pytest.mark.parametrize(
    "effect",
    [
        Append("absent", ()),
        Delete("absent", {}),
        DropTable("absent"),
        Rewrite("absent", (), ()),
        AlterTable(definition("absent")),
        delete("absent", 1),
        DropSchema("absent"),
    ],
    ids=lambda effect: type(effect).__name__,
)
def test_an_effect_that_fits_nothing_is_corrupt(base: Snapshot, effect: Effect) -> None:
    with pytest.raises(Corrupt):
        base.apply([effect], version=9)


def test_names_follow_the_catalog(base: Snapshot) -> None:
    table = base.table("MAIN", "T")
    assert table is not None
    renamed = advance(base, AlterTable(definition(name="u")))
    assert renamed.table("main", "t") is None
    assert renamed.table("main", "u") is not None
    assert base.table("main", "t") is table
    dropped = advance(renamed, DropTable(TABLE))
    assert dropped.table("main", "u") is None
    assert dropped.catalog_version == dropped.version
    appended = advance(base, group("g"))
    assert appended.catalog_version == base.version, "rows do not change names"


def test_schemas_and_views() -> None:
    snapshot = advance(Snapshot(), CreateSchema("S"), View("S", "V", "SELECT 1"))
    assert snapshot.has_schema("s")
    view = snapshot.view("s", "v")
    assert view is not None
    assert view.sql == "SELECT 1"
    replaced = advance(snapshot, View("S", "v", "SELECT 2"))
    assert [v.sql for v in replaced.views.values()] == ["SELECT 2"]
    empty = advance(replaced, DropView("s", "V"), DropSchema("s"))
    assert (empty.views, empty.schemas) == ({}, ("main",))


def test_commit_times_strictly_increase_whatever_the_clock_says(base: Snapshot) -> None:
    times = [base.time_us]
    snapshot = base
    for clock in (100, 50, 50, 200, -7):
        snapshot = advance(snapshot, time_us=clock)
        times.append(snapshot.time_us)
    assert times == sorted(set(times))
    assert times[1:5] == [100, 101, 102, 200]


def test_commit_info_sums_up() -> None:
    transactions = [
        CommittedTransaction("a", "INSERT", (group("g", 2), group("h", 3)), "one"),
        CommittedTransaction("b", "DELETE", (delete("g", 1),)),
        CommittedTransaction("c", "INSERT", (), "two"),
    ]
    info = commit_info(7, 9, 100, transactions)
    assert (info.operation, info.transactions, info.message) == ("INSERT, DELETE", 3, "one; two")
    assert (info.rows_added, info.rows_deleted, info.record_bytes) == (5, 1, 100)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12))
def test_row_group_lists_are_immutable(steps: list[tuple[int, bool]]) -> None:
    """However versions branch, each keeps seeing what it saw."""
    versions: list[tuple[RowGroupList, list[str]]] = [(RowGroupList(), [])]
    for number, (parent, in_place) in enumerate(steps):
        groups, names = versions[parent % len(versions)]
        added = [inline_group(f"{number}", [1])]
        versions.append((groups.extended(added, in_place=in_place), [*names, f"{number}"]))
    for groups, names in versions:
        assert [g.id for g in groups] == names
        assert [g.id for g in groups[:]] == names
        assert [groups[i].id for i in range(len(names))] == names
        if names:
            assert groups[-1].id == names[-1]
        with pytest.raises(IndexError):
            groups[len(names)]
