"""Combining of appends with keys and of reliance: what does not commute never shares a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pagelake.errors import Conflict
from pagelake.storage import head as heads
from pagelake.storage.commit import committer
from pagelake.storage.commit.combining import OFFERS, TURN, Offer
from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, AppendedKeys, CreateTable, Effect, Rely
from pagelake.storage.environment import Environment
from pagelake.storage.log import record as records
from pagelake.storage.log.commit_log import record_name
from pagelake.storage.log.record import CommittedTransaction, transaction_to_wire
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, commit, definition, inline_group
from tests.unit.storage.commit.test_combining import insert, offered, pool, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor

    from pagelake.storage.devices.device import Turn
    from pagelake.storage.snapshot import Snapshot

__all__ = ["pool"]
DIRECTORY = "d" * 32


def keys(*codes: int) -> tuple[AppendedKeys, ...]:
    return (AppendedKeys((1,), np.array(codes, "<u8").tobytes()),)


@pytest.fixture
def device() -> MemoryDevice:
    device = MemoryDevice()
    store = Store(device, environment=Environment(threads=False))
    commit(store, CreateTable(definition()), CreateTable(definition(DIRECTORY, "d")))
    commit(store, Append(DIRECTORY, (inline_group("directories", [1, 2]),), True, keys(1, 2)))
    return device


@pytest.fixture
def turn(device: MemoryDevice, monkeypatch: pytest.MonkeyPatch) -> Turn:
    """The turn, taken; nobody loses patience with who has it."""
    monkeypatch.setattr(committer, "STALL_S", 60.0)
    turn = device.turn(TURN)
    assert turn.take()
    return turn


def create(
    store: Store, *codes: int, base: Snapshot | None = None, within: int | None = None
) -> int:
    """Append rows of some keys, which are nowhere in a snapshot; and rely on a directory."""
    transaction = store.begin_blind(base or store.head.newest(sync=False))
    group = inline_group(transaction.next_row_group_id(), [*codes])
    transaction.add_blind("CREATE", Append(TABLE, (group,), True, keys(*codes)))
    if within is not None:
        transaction.add_blind("CREATE", Rely(DIRECTORY, keys(within)))
    return transaction.commit()


def remove(store: Store, directory: int) -> int:
    transaction = store.begin()
    positions = {"directories": positions_of([directory - 1])}
    transaction.delete("REMOVE", DIRECTORY, positions, keys(directory))
    return transaction.commit()


def rows(device: MemoryDevice) -> int:
    return Store(device).snapshot().tables[TABLE].rows


def outcomes(futures: list[Future[int]]) -> list[int | None]:
    """Versions of those who were committed, None for those who met a conflict."""
    found = []
    for future in futures:
        try:
            found.append(future.result(30))
        except Conflict:
            found.append(None)
    return found


def all_offered(
    device: MemoryDevice, pool: ThreadPoolExecutor, calls: list[Callable[[], int]]
) -> list[Future[int]]:
    """Start commits one after the other, each until it is offered."""
    futures = []
    for number, call in enumerate(calls, 1):
        futures.append(pool.submit(call))
        until(lambda number=number: offered(device) == number)  # type: ignore[misc]
    return futures


def test_creates_of_several_processes_share_a_record(
    device: MemoryDevice, pool: ThreadPoolExecutor, turn: Turn
) -> None:
    stores = [Store(device) for _ in range(4)]
    calls = [
        lambda store=store, n=n: create(store, 10 + n, within=1) for n, store in enumerate(stores)
    ]
    futures = all_offered(device, pool, calls)  # type: ignore[arg-type]
    turn.give()
    assert outcomes(futures) == [3, 3, 3, 3]
    assert rows(device) == 4


def test_of_two_who_create_the_same_one_is_told(
    device: MemoryDevice, pool: ThreadPoolExecutor, turn: Turn
) -> None:
    stores = [Store(device) for _ in range(3)]
    calls = [lambda s=store, c=code: create(s, c) for store, code in zip(stores, (7, 7, 8))]  # noqa: B905
    futures = all_offered(device, pool, calls)  # type: ignore[arg-type]
    turn.give()
    found = outcomes(futures)
    assert found[2] is not None
    assert found[:2].count(None) == 1
    assert rows(device) == 2


def test_of_two_threads_that_create_the_same_one_is_told(
    device: MemoryDevice, pool: ThreadPoolExecutor, turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both may be in one offer: nobody takes it, and their own process tells them apart."""
    monkeypatch.setattr(committer, "GATHER_S", 0.05)
    store, other = Store(device), Store(device)
    first = all_offered(device, pool, [lambda: create(store, 1), lambda: create(other, 2)])
    base = store.head.newest(sync=False)
    same = [pool.submit(create, store, 7, base=base) for _ in range(2)]
    until(lambda: len(store._committer._waiting) == 2)
    turn.give()
    assert None not in outcomes(first)
    assert outcomes(same).count(None) == 1
    assert rows(device) == 3


def test_an_offer_of_what_was_created_since_is_left_to_its_owner(
    device: MemoryDevice, pool: ThreadPoolExecutor, turn: Turn
) -> None:
    slow, quick = Store(device), Store(device)
    old = slow.snapshot()
    turn.give()
    create(quick, 7)
    assert turn.take()
    futures = all_offered(
        device, pool, [lambda: create(slow, 7, base=old), lambda: create(quick, 8)]
    )
    turn.give()
    assert outcomes(futures)[0] is None
    assert outcomes(futures)[1] is not None
    assert rows(device) == 2


def offer(device: MemoryDevice, since: int, *transactions: tuple[Effect, ...]) -> Offer:
    """Offer transactions for somebody else to commit."""
    wires = [
        transaction_to_wire(CommittedTransaction(f"{n:032x}", "CREATE", effects))
        for n, effects in enumerate(transactions)
    ]
    made = Offer(since, tuple(wires))
    device.hold(f"{OFFERS}/{since}", made.encode())
    return made


def new(*codes: int) -> Append:
    """Rows of some keys."""
    group = f"{codes[0]:032x}"
    return Append(TABLE, (inline_group(group, [*codes]),), True, keys(*codes))


def within(directory: int) -> Rely:
    return Rely(DIRECTORY, keys(directory))


@pytest.mark.parametrize(
    ("since", "transactions", "taken"),
    [
        (2, [(new(9),)], True),
        # 7 was created in version 3, directory 2 removed in version 4.
        (2, [(new(7),)], False),
        (3, [(new(7),)], True),
        (2, [(new(9), within(1))], True),
        (2, [(new(9), within(2))], False),
        (4, [(new(9), within(2))], True),
        # The leader itself creates 5.
        (4, [(new(5),)], False),
        (4, [(new(8),), (new(9),)], True),
        (4, [(new(8),), (new(9, 8),)], False),
        (2, [(new(9),), (new(7),)], False),
    ],
)
def test_a_leader_takes_what_commutes(
    device: MemoryDevice, since: int, transactions: list[tuple[Effect, ...]], taken: bool
) -> None:
    leader, other = Store(device), Store(device)
    assert create(other, 7) == 3
    assert remove(other, 2) == 4
    made = offer(device, since, *transactions)
    assert create(leader, 5) == 5
    expected = {*made.ids} if taken else set()
    content = device.read(record_name(5))
    found = records.decode(content, store_id=leader.id, name="log/5").transactions
    assert {t.id for t in found} & {*made.ids} == expected
    assert len(found) == 1 + len(expected)


@pytest.mark.parametrize(
    ("transactions", "together"),
    [
        ([(new(8),), (new(9), within(1))], True),
        ([(new(8), within(1)), (new(9, 8),)], False),
    ],
)
def test_offers_in_one_record_commute(
    device: MemoryDevice, transactions: list[tuple[Effect, ...]], together: bool
) -> None:
    leader = Store(device)
    for number, effects in enumerate(transactions):
        wire = transaction_to_wire(CommittedTransaction(f"{number:032x}", "CREATE", effects))
        device.hold(f"{OFFERS}/{number}", Offer(2, (wire,)).encode())
    assert create(leader, 5) == 3
    content = device.read(record_name(3))
    found = records.decode(content, store_id=leader.id, name="log/3").transactions
    assert len(found) == (3 if together else 2)


@pytest.mark.parametrize("directory", [1, 2])
def test_a_directory_that_was_removed_since_is_missed(
    device: MemoryDevice,
    pool: ThreadPoolExecutor,
    turn: Turn,
    directory: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(committer, "ORDERLY_S", 0.0)
    creator, other = Store(device), Store(device)
    futures = all_offered(device, pool, [lambda: create(creator, 7, within=1)])
    remove(other, directory)  # it does not wait for the turn
    turn.give()
    assert outcomes(futures) == [None if directory == 1 else 4]


def test_who_removes_a_directory_sees_who_was_created_in_it(
    device: MemoryDevice, pool: ThreadPoolExecutor, turn: Turn
) -> None:
    creator, other, remover = Store(device), Store(device), Store(device)
    removing = remover.begin()
    removing.delete("REMOVE", DIRECTORY, {"directories": positions_of([0])}, keys(1))
    futures = all_offered(
        device, pool, [lambda: create(creator, 7, within=1), lambda: create(other, 8, within=2)]
    )
    turn.give()
    assert outcomes(futures) == [3, 3]
    with pytest.raises(Conflict):
        removing.commit()


def test_a_conflict_found_without_rows_is_the_one_that_rows_would_show(
    device: MemoryDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who creates for long on one old snapshot meets what matters, and decodes nothing."""
    decoded: list[str] = []
    decode = heads.decode
    monkeypatch.setattr(
        heads, "decode", lambda c, **about: decoded.append(about["name"]) or decode(c, **about)
    )
    creator, other = Store(device), Store(device)
    base = creator.snapshot()
    decoded.clear()
    for code in range(100, 120):
        assert create(other, code, base=base) == 2 * code - 197
        assert create(creator, 1000 + code, base=base, within=2) == 2 * code - 196
    with pytest.raises(Conflict, match="version 7"):
        create(creator, 102, base=base)
    assert decoded == []
    assert creator.head.snapshot is base
    remove(other, 1)
    decoded.clear()
    create(creator, 1, base=base, within=2)
    with pytest.raises(Conflict, match="delete"):
        create(creator, 2, base=base, within=1)
    assert decoded == []
    assert create(creator, 3, within=2) == 45
    assert rows(device) == 42


def test_records_of_an_earlier_version_are_decoded_for_their_keys(
    device: MemoryDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = records.frame

    def older(body: bytes, **about: object) -> bytes:
        return frame(body, **(about | {"keys": None}))  # type: ignore[arg-type]

    creator, other = Store(device), Store(device)
    base = creator.snapshot()
    with monkeypatch.context() as patch:
        patch.setattr(records, "frame", older)
        create(other, 7)
    assert creator.head.snapshot is base
    with pytest.raises(Conflict):
        create(creator, 7, base=base)
    assert create(creator, 8, base=base) == 4
    insert(creator, 9)
    assert rows(device) == 3
