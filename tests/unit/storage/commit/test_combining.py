"""Combining: transactions of many processes in one record, each exactly once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Conflict, OutcomeUnknown, StorageFull, Unavailable
from pagelake.storage.commit import committer
from pagelake.storage.commit.combining import OFFERS, TURN, Offer, may_offer
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.local_hold import LocalHold
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import RecordingDevice, SyncDirectory
from pagelake.storage.effects import (
    AlterTable,
    Append,
    AppendedKeys,
    ColumnChunk,
    CreateTable,
    Delete,
    DeleteVector,
    DropTable,
    Effect,
    Rely,
    RowGroup,
)
from pagelake.storage.environment import Environment
from pagelake.storage.failpoints import Failpoint
from pagelake.storage.log.record import CommittedTransaction, transaction_to_wire
from pagelake.storage.page import PageRef
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, commit, definition, inline_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from pagelake.storage.devices.device import Device, Hold, Turn


class Killed(BaseException):
    """Ends a process in the middle of its commit."""


@pytest.fixture(params=["memory", "local"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Device:
    if request.param == "memory":
        return MemoryDevice()
    return LocalDevice(tmp_path / "store", create=True)


@pytest.fixture
def store(device: Device) -> Iterator[Store]:
    with_table = Store(device)
    commit(with_table, CreateTable(definition()))
    yield with_table
    with_table.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def turn(device: Device, monkeypatch: pytest.MonkeyPatch) -> Turn:
    """The turn, for a test to take; nobody loses patience with who has it."""
    monkeypatch.setattr(committer, "STALL_S", 60.0)
    turn = device.turn(TURN)
    assert turn is not None
    return turn


def insert(store: Store, value: int) -> int:
    store.head.names()  # as a statement does when it looks its table up
    transaction = store.begin_blind()
    append_blind = Append(TABLE, (inline_group(transaction.next_row_group_id(), [value]),))
    transaction.add_blind("INSERT", append_blind)
    return transaction.commit()


def until(condition: Callable[[], object]) -> None:
    patience = threading.Event()
    for _ in range(5_000):
        if condition():
            return
        patience.wait(0.002)
    raise AssertionError("it never came to that")


def offered(device: Device) -> int:
    return sum(bool(content) for content in device.held(OFFERS))


def rows(device: Device) -> int:
    return Store(device).snapshot().tables[TABLE].rows


def waiting_for_the_turn(
    device: Device, pool: ThreadPoolExecutor, stores: list[Store]
) -> list[Future[int]]:
    """Commits of several stores, all offered while somebody else has the turn."""
    futures = [pool.submit(insert, each, n) for n, each in enumerate(stores)]
    until(lambda: offered(device) == len(stores))
    return futures


def test_those_who_wait_share_one_record(
    store: Store, device: Device, pool: ThreadPoolExecutor, turn: Turn
) -> None:
    others = [Store(device), Store(device), Store(device)]
    before = store.snapshot().version
    assert turn.take()
    futures = waiting_for_the_turn(device, pool, others)
    assert Store(device).snapshot().version == before, "nobody goes on without the turn"
    turn.give()
    assert {future.result(30) for future in futures} == {before + 1}
    info = list(store.history())[-1]
    assert (info.version, info.transactions, info.rows_added) == (before + 1, 3, 3)
    assert [each.snapshot().tables[TABLE].rows for each in others] == [3, 3, 3]
    assert offered(device) == 0


def test_a_turn_that_stands_still_is_passed_over(
    store: Store,
    device: Device,
    pool: ThreadPoolExecutor,
    turn: Turn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(committer, "STALL_S", 0.05)
    assert turn.take()
    assert insert(store, 1) == 2
    # Found once to stand still, nobody waits for it again until something happens.
    monkeypatch.setattr(committer, "STALL_S", 60.0)
    assert insert(store, 2) == 3
    turn.give()
    assert pool.submit(insert, store, 3).result(30) == 4


def test_a_leader_that_wakes_late_commits_nothing_twice(
    device: Device, pool: ThreadPoolExecutor, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has another one's offer in hand, which that one has committed by itself meanwhile."""
    asleep, awake = threading.Event(), threading.Event()
    stop_at: set[Failpoint] = set()

    def reach(point: Failpoint) -> None:
        if point in stop_at:
            stop_at.clear()
            asleep.set()
            assert awake.wait(30)

    sleeper, other = Store(device, environment=Environment(reach=reach)), Store(device)
    commit(sleeper, CreateTable(definition()))
    assert turn.take()
    theirs = waiting_for_the_turn(device, pool, [other])
    stop_at.add(Failpoint.COMMIT_STAGED)
    # The sleeper leads: it is the one that gets the turn, with the offer of the other.
    monkeypatch.setattr(other._committer._combining, "take", lambda: False)
    turn.give()
    mine = pool.submit(insert, sleeper, 10)
    assert asleep.wait(30)
    monkeypatch.setattr(committer, "STALL_S", 0.05)
    turn.say(b"\0" * 40)  # a sign of life, so that patience is measured anew
    assert theirs[0].result(30) == 2, "the other one goes on by itself"
    assert [insert(Store(device), 20 + n) for n in range(3)] == [3, 4, 5]
    awake.set()
    assert mine.result(30) == 6
    assert rows(device) == 5
    ids = Counter(t for v in range(2, 7) for t in sleeper.head.recent._ids[v])
    assert len(ids) == 5


@pytest.mark.parametrize("point", [Failpoint.COMMIT_STAGED, Failpoint.COMMIT_LINKED])
def test_the_death_of_a_leader_is_no_news_to_those_who_wait(
    device: Device,
    pool: ThreadPoolExecutor,
    point: Failpoint,
    turn: Turn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dying: set[Failpoint] = set()

    def reach(reached: Failpoint) -> None:
        if reached in dying:
            raise Killed

    recorder = RecordingDevice(inner=device)  # type: ignore[arg-type]
    leader, other = Store(device, environment=Environment(reach=reach)), Store(recorder)
    commit(leader, CreateTable(definition()))
    assert turn.take()
    take = other._committer._combining.take
    monkeypatch.setattr(other._committer._combining, "take", lambda: False)
    theirs = waiting_for_the_turn(device, pool, [other])
    turn.give()
    dying.add(point)
    with pytest.raises(Killed):
        insert(leader, 10)
    marks = len(recorder.trace.calls)
    monkeypatch.setattr(other._committer._combining, "take", take)
    assert theirs[0].result(30) == 2
    both = point is Failpoint.COMMIT_LINKED
    assert rows(device) == (2 if both else 1)
    # What the dead one linked was perhaps not durable: it is, before it is acknowledged.
    assert SyncDirectory("log") in recorder.trace.calls[marks:]


@pytest.mark.parametrize("alive", [True, False])
def test_what_the_dead_offered_is_not_committed(
    store: Store, device: Device, *, alive: bool
) -> None:
    other = Store(device)
    transaction = other.begin_blind()
    transaction.add_blind("INSERT", Append(TABLE, (inline_group("g", [1]),)))
    offer = Offer(store.head.tail, (transaction_to_wire(transaction.committed()),))
    hold = device.hold(f"{OFFERS}/another", offer.encode())
    if not alive:
        die(hold)
    assert insert(store, 2) == 2
    assert rows(device) == (2 if alive else 1)


def die(hold: Hold) -> None:
    """End a holder without a word, as the death of its process does."""
    if isinstance(hold, LocalHold):
        os.close(hold._file.descriptor)
        hold._file.descriptor = -1
    else:
        hold.release()


def test_an_offer_that_does_not_fit_any_more_is_left_to_its_owner(
    store: Store, device: Device, pool: ThreadPoolExecutor, turn: Turn
) -> None:
    other = Store(device)
    assert turn.take()
    futures = waiting_for_the_turn(device, pool, [other])
    commit(store, DropTable(TABLE))  # it waits a moment for the turn, then races
    commit(store, CreateTable(definition("b" * 32)))
    turn.give()
    with pytest.raises(Conflict):
        futures[0].result(30)


def test_names_that_changed_since_they_were_read_are_a_conflict(
    store: Store, device: Device
) -> None:
    other = Store(device)
    transaction = store.begin_blind()
    transaction.add_blind("INSERT", Append(TABLE, (inline_group("g", [1]),)))
    commit(other, AlterTable(definition(name="u")))
    with pytest.raises(Conflict):
        transaction.commit()
    assert insert(store, 2) == 3, "what it has learned by that is right"


def test_a_failure_that_leaves_no_doubt_is_called_by_its_name(
    store: Store,
    device: Device,
    pool: ThreadPoolExecutor,
    turn: Turn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever gets the turn knows that nobody has its offer in hand."""
    other = Store(device)
    assert turn.take()
    futures = waiting_for_the_turn(device, pool, [other])

    def full(content: bytes) -> None:
        raise StorageFull("no room")

    monkeypatch.setattr(device, "stage", full)
    turn.give()
    with pytest.raises(StorageFull):
        futures[0].result(30)


def test_a_failure_that_leaves_a_doubt_says_so(
    store: Store,
    device: Device,
    pool: ThreadPoolExecutor,
    turn: Turn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Store(device)
    assert turn.take()
    futures = waiting_for_the_turn(device, pool, [other])

    def broken() -> None:
        raise Unavailable("the device fails")

    monkeypatch.setattr(other.head, "look", broken)
    turn.say(b"\0" * 40)
    with pytest.raises(OutcomeUnknown):
        futures[0].result(30)
    assert offered(device) == 0


CHUNK = ColumnChunk(PageRef(1, 0, 10, 0), "plain", None, None)
INLINE = inline_group("g", [1])
PAGED = RowGroup("h", 1, {1: CHUNK})
TOLD = (AppendedKeys((1,), bytes(8)),)


@pytest.mark.parametrize(
    ("effects", "may"),
    [
        ([Append(TABLE, (INLINE,))], True),
        ([Append(TABLE, (INLINE,), True)], False),
        ([Append(TABLE, (INLINE,), True, TOLD)], True),
        ([Append(TABLE, (INLINE, PAGED), True, TOLD)], False),
        ([Append(TABLE, (INLINE, PAGED))], False),
        ([Rely(TABLE, TOLD), Append(TABLE, (INLINE,), True, TOLD)], True),
        ([Rely(TABLE, ())], True),
        ([Append(TABLE, (INLINE,)), DropTable(TABLE)], False),
        ([Delete(TABLE, {"g": DeleteVector(1, b"", None)}, TOLD)], False),
    ],
)
def test_only_rows_without_pages_that_tell_their_keys_are_offered(
    effects: list[Effect], may: bool
) -> None:
    """Nobody takes an offer that nobody should have made."""
    assert may_offer(effects) is may
    offer = Offer(1, (transaction_to_wire(CommittedTransaction("1" * 32, "T", tuple(effects))),))
    assert (Offer.decode(offer.encode()) is not None) is may


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\x92\x01\x91\x91\x01", b"\xc1", b"\x93\x00\x00\x00", b"\x91\x01"]
)
def test_offers_that_make_no_sense_are_passed_over(content: bytes) -> None:
    assert Offer.decode(content) is None


def test_what_a_serializable_transaction_has_read_keeps_it_from_being_offered(
    store: Store, device: Device, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "ORDERLY_S", 0.0)
    assert turn.take()
    transaction = store.begin()
    transaction.make_serializable()
    transaction.note_read(TABLE)
    append(transaction, [1])
    assert transaction.commit() == 2, "it goes on by itself at once"
    assert offered(device) == 0
