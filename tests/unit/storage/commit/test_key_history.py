"""What is remembered of keys is certain where it says so: it never misses a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagelake.errors import Conflict
from pagelake.storage.commit import recent
from pagelake.storage.commit.company import Company
from pagelake.storage.commit.recent import RecentVersions
from pagelake.storage.conflict import Footprint
from pagelake.storage.effects import Append, AppendedKeys, Delete, DropTable, Rely
from pagelake.storage.log.effects_wire import to_wire
from pagelake.storage.log.key_change import gather
from tests.unit.storage.builders import TABLE
from tests.unit.storage.test_conflict import ADDITIVE, OF_ROWS, PAGES, commute, delete, told

if TYPE_CHECKING:
    from pagelake.storage.effects import Effect


@pytest.fixture(autouse=True)
def few_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "VERSIONS_KEPT", 3)
    monkeypatch.setattr(recent, "KEYS_MAX", 5)


def remembered(versions: list[tuple[list[Effect], bool]]) -> RecentVersions:
    """Versions from 1 on, each by its effects; those that were only looked at by key changes."""
    known = RecentVersions.after(0, b"")
    for version, (effects, looked_at) in enumerate(versions, 1):
        changes = gather(to_wire(effect) for effect in effects)
        what = changes if looked_at else Footprint.of(effects)
        known.note(version, b"", [str(version)], what, f"version {version}")
    return known


VERSIONS = st.lists(st.tuples(st.lists(OF_ROWS, max_size=2), st.booleans()), max_size=9)


@settings(max_examples=200)
@given(st.lists(ADDITIVE, max_size=2), VERSIONS)
def test_what_is_clear_commutes(
    mine: list[Effect], versions: list[tuple[list[Effect], bool]]
) -> None:
    ours, known = Footprint.of(mine), remembered(versions)
    for since in range(known.since, len(versions) + 1):
        if known.is_clear(ours, since):
            for version in range(since + 1, len(versions) + 1):
                assert commute(ours, known.footprint(version)[0])


@settings(max_examples=200)
@given(st.lists(OF_ROWS, min_size=1, max_size=4))
def test_company_is_as_each_pair(effects: list[Effect]) -> None:
    footprints = [Footprint.of([effect]) for effect in effects]
    company = Company(PAGES)
    for footprint in footprints[:-1]:
        company.join(footprint)
    expected = all(commute(footprints[-1], other) for other in footprints[:-1])
    try:
        company.check(footprints[-1])
    except Conflict:
        assert not expected
    else:
        assert expected


def new(*codes: int) -> Append:
    return Append(TABLE, (), True, told((1, [*codes])))


def test_other_keys_are_clear_at_one_look() -> None:
    known = remembered([([new(1)], True), ([new(2)], False), ([delete(1)], True)])
    assert known.is_clear(Footprint.of([new(3)]), 0)
    assert not known.is_clear(Footprint.of([new(2)]), 1)
    assert known.is_clear(Footprint.of([new(2)]), 2)
    assert known.is_clear(Footprint.of([new(4)]), 0)
    assert not known.is_clear(Footprint.of([Rely(TABLE, told((1, [9])))]), 2), "it may be any row"
    assert known.is_clear(Footprint.of([Rely(TABLE, told((1, [9])))]), 3)


@pytest.mark.parametrize("looked_at", [True, False])
@pytest.mark.parametrize(
    ("mine", "theirs", "clear"),
    [
        (new(1), new(2), True),
        (new(1), Append(TABLE, (), True), False),
        (Append(TABLE, (), True), new(2), False),
        (new(1), Append(TABLE, (), True, told((2, [5]))), False),
        (new(1), Append(TABLE, (), True, told((1, [5]), (2, [5]))), False),
        (new(1), Append(TABLE, ()), True),
        (new(1), Delete(TABLE, {}), True),
        (Rely(TABLE, told((1, [1]))), Delete(TABLE, {}, told((1, [2]))), True),
        (Rely(TABLE, told((1, [1]))), Delete(TABLE, {}, told((1, [2, 1]))), False),
        (Rely(TABLE, told((1, [1]))), Delete(TABLE, {}, told((2, [2]))), False),
        (Rely(TABLE, told((1, [1]))), Delete(TABLE, {}, told((2, [1]), (1, [2]))), True),
        (Rely(TABLE, told((1, [1]))), Delete(TABLE, {}), False),
        (Rely(TABLE, ()), Delete(TABLE, {}, told((1, [2]))), False),
        (Rely(TABLE, told((1, [1]))), new(1), True),
    ],
)
def test_one_version(mine: Effect, theirs: Effect, clear: bool, looked_at: bool) -> None:
    known = remembered([([theirs], looked_at)])
    assert known.is_clear(Footprint.of([mine]), 0) is clear
    assert commute(Footprint.of([mine]), known.footprint(1)[0]) is clear
    assert known.is_clear(Footprint.of([mine]), 1)


def test_more_than_changes_of_rows_is_not_clear() -> None:
    known = remembered([([new(1)], True), ([DropTable("b" * 32)], False), ([new(2)], True)])
    assert not known.is_clear(Footprint.of([new(3)]), 1)
    assert known.is_clear(Footprint.of([new(3)]), 2)


def test_of_very_many_keys_the_newest_are_certain() -> None:
    many = [new(1), new(*range(10, 16)), new(*range(20, 26)), new(30)]
    known = remembered([([append], True) for append in many])
    assert known.since == 1
    assert not known.is_clear(Footprint.of([new(10)]), 1), "it was version 2"
    assert not known.is_clear(Footprint.of([new(20)]), 2)
    assert known.is_clear(Footprint.of([new(9)]), 2)


def test_versions_that_are_decoded_late_hide_nothing() -> None:
    """Versions that were forgotten already may be noted once more, behind newer ones."""
    known = remembered([([new(version)], True) for version in range(1, 9)])
    for version in range(1, 7):
        known.note(version, b"", [str(version)], Footprint.of([new(version, 8)]), "late")
    assert not known.is_clear(Footprint.of([new(8)]), 7)
    assert not known.is_clear(Footprint.of([Append(TABLE, (), True)]), 7)


def test_keys_are_remembered_as_long_as_their_versions() -> None:
    keys = [AppendedKeys((1,), bytes([n]) * 8) for n in range(20)]
    known = remembered([([Delete(TABLE, {}, (key,))], True) for key in keys])
    assert known.since == 17
    for version in range(18, 21):
        mine = Footprint.of([Rely(TABLE, (keys[version - 1],))])
        assert not known.is_clear(mine, version - 1)
        assert known.is_clear(mine, version)
    assert len(known._keys._removed[TABLE].codes[1,]) <= 4, "and not for much longer"
