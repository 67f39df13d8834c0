"""What processes tell each other while they combine is true, and so is what users are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pagelake.errors import Conflict, OutcomeUnknown, Unavailable
from pagelake.storage.commit import recent
from pagelake.storage.commit.combining import TURN, Durable
from pagelake.storage.devices.crash_states import Disk
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.devices.recording_device import RecordingDevice
from pagelake.storage.effects import CreateTable, DropTable
from pagelake.storage.environment import Environment
from pagelake.storage.failpoints import Failpoint
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, commit, definition

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.transaction import Transaction

CALM = Environment(threads=False)
OTHER = "b" * 32


class Killed(BaseException):
    """Ends a process in the middle of its commit."""


def blind(store: Store, value: int, table: str = TABLE) -> Transaction:
    transaction = store.begin_blind()
    append(transaction, [value], table)
    return transaction


def test_only_what_is_synced_is_said_to_be_durable() -> None:
    """A record that its writer has linked and died over is not, whoever has the turn next."""
    device = RecordingDevice(MemoryDevice())
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()), CreateTable(definition(OTHER, "u")))
    late = blind(store, 1)
    commit(store, DropTable(TABLE))

    def die(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.COMMIT_LINKED:
            raise Killed

    dying = Store(device, environment=Environment(reach=die, threads=False))
    with pytest.raises(Killed):
        blind(dying, 2, OTHER).commit()
    with pytest.raises(Conflict):
        late.commit()
    said = Durable.decode(device.turn(TURN).said())
    assert said is not None
    left = Disk.after(device.trace.initial, device.trace.calls).durable()
    survivor = Store(MemoryDevice(left.files), environment=CALM)
    assert said.version <= survivor.snapshot().version


def asleep(
    monkeypatch: pytest.MonkeyPatch, store: Store, while_it_sleeps: Callable[[], None]
) -> None:
    """Have a store wait for somebody else's turn, and wake when that one is long over."""
    take = store._committer._combining.take
    calls: list[None] = []

    def late_take() -> bool | None:
        calls.append(None)
        if len(calls) == 1:
            take()
            store._committer._combining.give()
            return False
        if len(calls) == 2:
            while_it_sleeps()
        return take()

    monkeypatch.setattr(store._committer._combining, "take", late_take, raising=False)


@pytest.fixture
def stores() -> tuple[Store, Store]:
    device = MemoryDevice()
    leader = Store(device, environment=CALM)
    commit(leader, CreateTable(definition()))
    return leader, Store(device, environment=CALM)


def test_who_slept_too_long_to_tell_is_not_told_of_a_conflict(
    monkeypatch: pytest.MonkeyPatch, stores: tuple[Store, Store]
) -> None:
    leader, sleeper = stores
    monkeypatch.setattr(recent, "VERSIONS_KEPT", 3)

    def lead() -> None:
        for value in range(6):
            blind(leader, value).commit()

    transaction = blind(sleeper, 100)
    asleep(monkeypatch, sleeper, lead)
    with pytest.raises(OutcomeUnknown):
        transaction.commit()
    assert leader.snapshot().tables[TABLE].rows == 7


def test_an_offer_whose_fate_cannot_be_read_is_unknown(
    monkeypatch: pytest.MonkeyPatch, stores: tuple[Store, Store]
) -> None:
    leader, sleeper = stores

    def fail() -> None:
        raise Unavailable("the log cannot be read")

    def lead() -> None:
        blind(leader, 1).commit()
        monkeypatch.setattr(sleeper.head, "look", fail)

    transaction = blind(sleeper, 100)
    asleep(monkeypatch, sleeper, lead)
    with pytest.raises(OutcomeUnknown):
        transaction.commit()
    assert leader.snapshot().tables[TABLE].rows == 2


def test_who_finds_itself_and_cannot_sync_does_not_know(
    monkeypatch: pytest.MonkeyPatch, stores: tuple[Store, Store]
) -> None:
    """Its leader died between link and sync: that the record is there is not enough."""
    leader, sleeper = stores

    def die(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.COMMIT_LINKED:
            raise Killed

    def fail(folder: str) -> None:
        raise Unavailable(f"{folder} cannot be synced")

    def lead() -> None:
        dying = Store(leader.device, environment=Environment(reach=die, threads=False))
        with pytest.raises(Killed):
            blind(dying, 1).commit()
        monkeypatch.setattr(leader.device, "sync_directory", fail)

    transaction = blind(sleeper, 100)
    asleep(monkeypatch, sleeper, lead)
    with pytest.raises(OutcomeUnknown):
        transaction.commit()
    monkeypatch.undo()
    with pytest.raises(OutcomeUnknown, match="earlier"):
        blind(sleeper, 101).commit()
    assert leader.snapshot().tables[TABLE].rows == 2


def test_who_cannot_tell_whether_its_name_was_in_time_does_not_know() -> None:
    device = MemoryDevice()
    store = Store(device, environment=CALM)
    commit(store, CreateTable(definition()))

    def fold_and_reclaim(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.COMMIT_LINKED:
            store.log.boundary.raise_to(2)

    slow = Store(device, environment=Environment(reach=fold_and_reclaim, threads=False))
    with pytest.raises(OutcomeUnknown, match="in time"):
        blind(slow, 1).commit()
    with pytest.raises(OutcomeUnknown, match="earlier"):
        blind(slow, 2).commit()
