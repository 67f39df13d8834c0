"""A store: opening, committing, losing races, and what it does about damage."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import xxhash

from pagelake.errors import (
    Closed,
    Conflict,
    Corrupt,
    Denied,
    FormatTooNew,
    NotAStore,
    OutcomeUnknown,
    StorageFull,
)
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import CreateSchema, CreateTable, DropTable
from pagelake.storage.environment import Environment
from pagelake.storage.log.commit_log import record_name
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, append, commit, definition, frozen_clock
from tests.unit.storage.devices import CountingDevice, FullDevice

if TYPE_CHECKING:
    from pathlib import Path

    from pagelake.storage.devices.device import Device


@pytest.fixture
def device() -> MemoryDevice:
    return MemoryDevice()


@pytest.fixture
def store(device: MemoryDevice) -> Store:
    made = Store(device)
    commit(made, CreateTable(definition()))
    return made


def rows(store: Store) -> int:
    return store.snapshot().tables[TABLE].rows


def overwrite(device: Device, name: str, content: bytes) -> None:
    device.unlink(name)
    device.stage(content).link(name)


# Opening


def test_whoever_opens_it_finds_the_same_store(store: Store, device: MemoryDevice) -> None:
    assert Store(device).id == store.id
    assert Store(device).snapshot().record_hash == store.snapshot().record_hash


def test_creating_is_a_race_with_one_winner(store_path: Path) -> None:
    gate = threading.Barrier(4)

    def create() -> bytes:
        device = LocalDevice(store_path, create=True)
        gate.wait()
        store = Store(device)
        commit(store, CreateSchema(f"s{threading.get_ident()}"))
        store.close()
        return store.id

    with ThreadPoolExecutor(4) as pool:
        ids = {future.result() for future in [pool.submit(create) for _ in range(4)]}
    assert len(ids) == 1
    final = Store(LocalDevice(store_path, create=True))
    assert final.snapshot().version == 4
    assert len(final.snapshot().schemas) == 1 + 4
    final.close()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", NotAStore),
        (b"\xff\xfe", NotAStore),
        (b"[1, 2]", NotAStore),
        (b'"text"', NotAStore),
        (b'{"format": 1}', NotAStore),
        (b'{"format": 1, "store_id": "zz"}', NotAStore),
        (b'{"format": 1, "store_id": "00ff"}', NotAStore),
        (b'{"format": [], "store_id": "00"}', NotAStore),
        (b'{"format": 0, "store_id": "00000000000000000000000000000000"}', NotAStore),
        (b'{"format": 2, "something": "else"}', FormatTooNew),
    ],
)
def test_a_description_that_is_not_ours(
    device: MemoryDevice, content: bytes, error: type[Exception]
) -> None:
    device.stage(content).link("store.json")
    with pytest.raises(error):
        Store(device)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_format_is_damage_and_no_later_version(
    store: Store, device: MemoryDevice, bit: int
) -> None:
    content = bytearray(device.read("store.json"))
    content[content.index(b": 1") + 2] ^= 1 << bit
    device.unlink("store.json")
    device.stage(bytes(content)).link("store.json")
    with pytest.raises(NotAStore, match=r"store\.json is not a store's"):
        Store(device)


def test_a_log_without_its_description_is_not_taken_over(
    store: Store, device: MemoryDevice
) -> None:
    device.unlink("store.json")
    with pytest.raises(NotAStore, match="lost"):
        Store(device)
    assert not device.exists("store.json")


def test_a_read_only_store_changes_nothing(store: Store, device: MemoryDevice) -> None:
    with pytest.raises(NotAStore):
        Store(MemoryDevice(), read_only=True)
    reader = Store(device, read_only=True)
    with pytest.raises(Denied):
        commit(reader, CreateSchema("s"))
    commit(store, CreateSchema("s"))
    assert reader.snapshot().has_schema("s"), "it follows what others commit"


# Commits


def test_a_commit_is_seen_by_every_other_store(store: Store, device: MemoryDevice) -> None:
    other = Store(device)
    for number in range(1, 4):
        transaction = store.begin()
        append(transaction, [number])
        assert rows(other) == number - 1
        assert transaction.commit() == number + 1
        assert rows(other) == number
    assert [c.version for c in other.history()] == [1, 2, 3, 4]


def test_commit_times_increase_while_the_clock_goes_backwards() -> None:
    ticks = iter(range(10**6, 0, -1000))
    device = MemoryDevice()
    store = Store(device, environment=Environment(now_us=lambda: next(ticks)))
    for number in range(5):
        commit(store, CreateSchema(f"s{number}"))
    other = Store(device, environment=frozen_clock(5))
    commit(other, CreateSchema("later"))
    times = [c.time_us for c in Store(device).history()]
    assert times == sorted(set(times))
    assert times == [c.time_us for c in other.history()]


def test_blind_appends_from_one_base_all_commit(store: Store, device: MemoryDevice) -> None:
    others = [Store(device) for _ in range(3)]
    transactions = [s.begin() for s in (store, *others)]
    for number, transaction in enumerate(transactions):
        append(transaction, [number] * (number + 1))
    assert [t.commit() for t in transactions] == [2, 3, 4, 5]
    assert rows(store) == 10
    ids = [(g.first_row_id, g.rows) for g in store.snapshot().tables[TABLE].row_groups]
    assert ids == [(0, 1), (1, 2), (3, 3), (6, 4)]


def test_a_conflict_leaves_no_trace(store: Store, device: MemoryDevice) -> None:
    first, second = store.begin(), Store(device).begin()
    first.add("DROP", DropTable(TABLE))
    append(second, [1])
    second.add("CREATE", CreateSchema("s"))
    first.commit()
    with pytest.raises(Conflict):
        second.commit()
    assert store.snapshot().version == 2
    assert not store.snapshot().has_schema("s")
    with pytest.raises(Closed):
        second.add("TEST", CreateSchema("s"))
    with pytest.raises(Closed):
        second.commit()


def test_an_empty_transaction_makes_no_version(store: Store) -> None:
    assert store.begin().commit() == store.snapshot().version == 1


def test_a_lost_race_only_links_again(device: MemoryDevice) -> None:
    """The record's bytes do not depend on its version, so nothing is written or synced twice."""
    rival = Store(device)
    commit(rival, CreateTable(definition()))
    observed = CountingDevice(device)
    store = Store(observed)
    lost: list[str] = []

    def rival_commits_first(name: str) -> None:
        if len(lost) < 3:
            lost.append(name)
            transaction = rival.begin()
            append(transaction, [0])
            transaction.commit()

    transaction = store.begin()
    append(transaction, [1, 2])
    observed.calls.clear()
    observed.before_link = rival_commits_first
    assert transaction.commit() == 5
    assert lost == [record_name(2), record_name(3), record_name(4)]
    assert (observed.calls["stage"], observed.calls["link"]) == (1, 4)
    assert rows(store) == rows(rival) == rows(Store(device)) == 5


def test_a_race_lost_to_a_conflicting_commit(device: MemoryDevice) -> None:
    rival = Store(device)
    commit(rival, CreateTable(definition()))
    observed = CountingDevice(device)
    store = Store(observed)
    transaction = store.begin()
    append(transaction, [1])
    observed.before_link = lambda _: commit(rival, DropTable(TABLE)) and None
    with pytest.raises(Conflict):
        transaction.commit()
    observed.before_link = None
    assert store.snapshot().version == rival.snapshot().version == 2
    commit(store, CreateSchema("usable"))


def test_a_failed_directory_sync_poisons_the_store(device: MemoryDevice) -> None:
    observed = CountingDevice(device)
    store = Store(observed)
    observed.failing_sync = "log"
    with pytest.raises(OutcomeUnknown):
        commit(store, CreateSchema("unknown"))
    observed.failing_sync = None
    with pytest.raises(OutcomeUnknown):
        commit(store, CreateSchema("refused"))
    fresh = Store(device)
    assert fresh.snapshot().schemas == ("main", "unknown"), "a fresh read decides"
    commit(fresh, CreateSchema("usable"))


def test_what_others_committed_is_synced_before_it_is_answered_from(device: MemoryDevice) -> None:
    writer = Store(device)
    observed = CountingDevice(device)
    reader = Store(observed)
    commit(writer, CreateSchema("s"))
    observed.calls.clear()
    assert reader.snapshot().has_schema("s")
    assert observed.calls["sync log"] == 1
    reader.snapshot()
    assert observed.calls["sync log"] == 1


def test_a_record_without_room_changes_nothing(device: MemoryDevice) -> None:
    full = FullDevice(device)
    store = Store(full)
    full.room = 0
    with pytest.raises(StorageFull):
        commit(store, CreateSchema("s"))
    full.room = None
    assert store.snapshot().version == 0
    assert commit(store, CreateSchema("s")) == 1


def test_the_space_of_a_failed_transaction_is_returned(store_path: Path) -> None:
    full = FullDevice(LocalDevice(store_path, create=True))
    store = Store(full)
    commit(store, CreateTable(definition()))
    transaction = store.begin()
    append(transaction, [1])
    writer = transaction.writer(exclusive=True)
    writer.append(b"x" * 10_000, 1)  # type: ignore[arg-type]
    full.room = 0
    with pytest.raises(StorageFull):
        transaction.commit()
    assert full.list("segments") == []
    store.close()


# Damage


def damage(device: Device, version: int) -> None:
    content = bytearray(device.read(record_name(version)))
    content[-1] ^= 1
    overwrite(device, record_name(version), bytes(content))


def test_a_damaged_record_stops_a_writer_and_not_a_reader(
    store: Store, device: MemoryDevice
) -> None:
    for number in range(4):
        commit(store, CreateSchema(f"s{number}"))
    damage(device, 3)
    with pytest.raises(Corrupt, match="read_only") as caught:
        Store(device)
    assert caught.value.file == record_name(3)
    reader = Store(device, read_only=True)
    assert reader.snapshot().version == 2
    assert reader.damage is not None
    assert reader.damage.file == record_name(3)
    assert reader.snapshot().version == 2


def test_a_record_that_does_not_continue_the_chain(device: MemoryDevice) -> None:
    store = Store(device)
    commit(store, CreateSchema("a"))
    commit(store, CreateSchema("b"))
    first, second = device.read(record_name(1)), device.read(record_name(2))
    overwrite(device, record_name(1), second)
    with pytest.raises(Corrupt, match="continue") as caught:
        Store(device)
    assert caught.value.file == record_name(1)
    overwrite(device, record_name(1), first)
    Store(device)


def test_a_record_that_fits_nothing_names_its_file(store: Store, device: MemoryDevice) -> None:
    """The log's first record is replaced by another first one: the second then fits nothing."""
    commit(store, DropTable(TABLE))
    other = Store(MemoryDevice(), environment=Environment(random_bytes=lambda n: store.id[:n]))
    commit(other, CreateSchema("s"))
    overwrite(device, record_name(1), other.device.read(record_name(1)))
    with pytest.raises(Corrupt) as caught:
        Store(device)
    assert caught.value.file is not None


# Group commit


class _Gate:
    """Holds the leader of a group until everybody waits behind it."""

    def __init__(self, store: Store, device: CountingDevice, waiting: int) -> None:
        self._store = store
        self._waiting = waiting
        self.held = False
        device.before_link = self._hold
        self.full = threading.Event()

    def _hold(self, _: str) -> None:
        if not self.held:
            self.held = True
            assert self.full.wait(30)

    def watch(self) -> None:
        while len(self._store._committer._waiting) < self._waiting:
            threading.Event().wait(0.001)
        self.full.set()


def test_threads_share_a_record_and_have_outcomes_of_their_own(device: MemoryDevice) -> None:
    """One leader is held back; the rest then commit as one group, with a conflict inside it."""
    observed = CountingDevice(device)
    store = Store(observed)
    commit(store, CreateTable(definition()))
    append(first := store.begin(), [1, 2, 3])
    first.commit()
    group = store.snapshot().tables[TABLE].row_groups[0].id

    leader = store.begin()
    append(leader, [0])
    appenders = [store.begin() for _ in range(6)]
    for number, transaction in enumerate(appenders):
        append(transaction, [number])
    deleters = [store.begin() for _ in range(3)]
    for transaction in deleters:
        transaction.delete("DELETE", TABLE, {group: positions_of([1])})
    observed.calls.clear()
    gate = _Gate(store, observed, waiting=9)

    def outcome(transaction: object) -> int | Conflict:
        try:
            return transaction.commit()  # type: ignore[attr-defined, no-any-return]
        except Conflict as error:
            return error

    with ThreadPoolExecutor(10) as pool:
        leading = pool.submit(outcome, leader)
        while not observed.calls["stage"]:
            threading.Event().wait(0.001)
        followers = [pool.submit(outcome, t) for t in (*appenders, *deleters)]
        gate.watch()
        assert leading.result() == 3
        outcomes = [future.result() for future in followers]
    assert outcomes[:6] == [4] * 6
    conflicts = [o for o in outcomes[6:] if isinstance(o, Conflict)]
    assert len(conflicts) == 2
    assert all("same moment" in str(conflict) for conflict in conflicts)
    assert [o for o in outcomes[6:] if isinstance(o, int)] == [4]
    assert observed.calls["stage"] == 2, "one record for the leader, one for everybody else"
    assert store.history()[-1].transactions == 7
    assert rows(store) == rows(Store(device)) == 3 + 1 + 6 - 1


def test_many_threads_commit_much(device: MemoryDevice) -> None:
    store = Store(device)
    commit(store, CreateTable(definition()))
    threads, each = 8, 25

    def work(number: int) -> list[int]:
        versions = []
        for _ in range(each):
            transaction = store.begin()
            append(transaction, [number])
            versions.append(transaction.commit())
        return versions

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(work, range(threads)))
    assert all(versions == sorted(set(versions)) for versions in found)
    assert rows(store) == rows(Store(device)) == threads * each
    assert sum(c.transactions for c in store.history()) == threads * each + 1


def test_an_interrupted_caller_is_not_left_in_doubt(
    device: MemoryDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a commit is under way is raised once the commit is decided."""
    observed = CountingDevice(device)
    store = Store(observed)
    commit(store, CreateSchema("first"))
    gate = _Gate(store, observed, waiting=0)
    wait = threading.Event.wait
    interrupted = threading.Event()

    def interrupt_once(self: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "interrupted" and not interrupted.is_set():
            while not gate.held:
                wait(threading.Event(), 0.001)
            interrupted.set()
            raise KeyboardInterrupt
        return wait(self, timeout)

    caught: list[BaseException] = []

    def caller() -> None:
        try:
            commit(store, CreateSchema("decided"))
        except KeyboardInterrupt as error:
            caught.append(error)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupt_once)
        thread = threading.Thread(target=caller, name="interrupted")
        thread.start()
        assert wait(interrupted, 30)
        gate.full.set()
        thread.join(30)
    assert len(caught) == 1
    assert commit(store, CreateSchema("after")) == 3
    assert store.snapshot().schemas == ("main", "first", "decided", "after")


def test_the_description_names_format_and_store(store_path: Path) -> None:
    """docs/format/store.md, section 2."""
    store = Store(LocalDevice(store_path, create=True), environment=frozen_clock(77))
    description = json.loads((store_path / "store.json").read_bytes())
    checksum = xxhash.xxh3_64_hexdigest(f'[1, "{store.id.hex()}", 77]'.encode())
    assert description == {
        "format": 1, "store_id": store.id.hex(), "created_us": 77, "checksum": checksum,
    }  # fmt: skip
    folders = sorted(path.name for path in store_path.iterdir() if path.is_dir())
    assert folders == ["commit", "hot", "log", "pins", "segments", "tmp"]
    commit(store, CreateSchema("s"))
    assert (store_path / "log/00000000000000000001").is_file()
    store.close()
