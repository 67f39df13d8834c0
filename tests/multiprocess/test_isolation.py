"""Histories of many real processes, held against the isolation level they asked for.

``PAGELAKE_ISOLATION_PROCESSES`` and ``PAGELAKE_ISOLATION_SECONDS`` make the runs longer,
``PAGELAKE_SEED`` repeats what they do, though not when.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import pagelake
from tests.multiprocess import clients
from tests.multiprocess.fleet import Fleet
from tests.multiprocess.histories import Mode, Op, Transaction, anomalies, forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROCESSES = int(os.environ.get("PAGELAKE_ISOLATION_PROCESSES", "16"))
SECONDS = float(os.environ.get("PAGELAKE_ISOLATION_SECONDS", "2.5"))
WRITERS = int(os.environ.get("PAGELAKE_WRITERS", "64"))
ROWS_A_WRITER = int(os.environ.get("PAGELAKE_ROWS_A_WRITER", "20"))
BEGIN: dict[Mode, str] = {
    "snapshot": "BEGIN",
    "serializable": "BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE",
}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet() as fleet:
        yield fleet


def everything(path: Path) -> Transaction:
    """The last transaction of a history: it reads all keys when everybody has ended."""
    with pagelake.connect(path) as db:
        lists = db.execute("SELECT k, v FROM lists").fetchall()
        registers = db.execute("SELECT k, v FROM registers").fetchall()
    ops = [Op("list", f"l{k}", tuple(v)) for k, v in lists]
    ops += [Op("read", f"r{k}", v) for k, v in registers]
    return Transaction(-1, tuple(ops), final=True)


@pytest.mark.parametrize("mode", ["snapshot", "serializable"])
def test_no_history_shows_what_its_level_forbids(
    fleet: Fleet, store_path: Path, mode: Mode
) -> None:
    seed = int(os.environ.get("PAGELAKE_SEED", str(random.randrange(1 << 32))))
    print(f"PAGELAKE_SEED={seed}")
    with pagelake.connect(store_path) as db:
        clients.create(db)
    members = [
        fleet.start(
            "multiprocess.clients:transact", str(store_path), number, SECONDS, seed, BEGIN[mode]
        )
        for number in range(PROCESSES)
    ]
    fleet.together(members)
    history: list[Transaction] = []
    sums: set[int] = set()
    for number, member in enumerate(members):
        answer = member.receive()
        sums.update(answer["sums"])
        history += [
            Transaction(number, tuple(Op(*op) for op in ops), outcome)
            for outcome, ops in answer["history"]
        ]
    outcomes = Counter(transaction.outcome for transaction in history)
    history.append(everything(store_path))
    print(outcomes, Counter(anomaly.name for anomaly in anomalies(history)))
    assert forbidden(history, mode) == []
    assert forbidden(history, mode, sessions=True) == [], "a process goes back in time"
    total = clients.ACCOUNTS * clients.BALANCE
    assert sums <= {total}
    with pagelake.connect(store_path) as db:
        assert db.execute("SELECT sum(balance) FROM accounts").fetchall() == [(total,)]
    assert outcomes["committed"] >= clients.TRANSACTIONS_MIN
    assert outcomes["aborted"] > 0, "they never met: the run shows nothing"
    assert outcomes["unknown"] == 0


@pytest.mark.parametrize("mode", ["snapshot", "serializable"])
def test_write_skew(store_path: Path, mode: Mode) -> None:
    """Two doctors on call; each leaves because the other one is there."""
    with pagelake.connect(store_path) as one, pagelake.connect(store_path) as other:
        one.execute("CREATE TABLE doctors AS SELECT i AS id, true AS on_call FROM range(2) r(i)")
        for number, db in enumerate((one, other)):
            db.execute(BEGIN[mode])
            counted = db.execute("SELECT count(*) FROM doctors WHERE on_call").fetchall()
            assert counted == [(2,)]
            db.execute("UPDATE doctors SET on_call = false WHERE id = ?", [number])
        one.execute("COMMIT")
        if mode == "snapshot":
            other.execute("COMMIT")
        else:
            with pytest.raises(pagelake.Conflict) as caught:
                other.execute("COMMIT")
            assert caught.value.retryable
        left = other.execute("SELECT count(*) FROM doctors WHERE on_call").fetchall()
    assert left == [(0 if mode == "snapshot" else 1,)]


def test_a_phantom_stops_a_serializable_transaction(store_path: Path) -> None:
    """What was not there when it was looked for must not be there at the commit either."""
    with pagelake.connect(store_path) as one, pagelake.connect(store_path) as other:
        one.execute("CREATE TABLE bookings (room BIGINT, guest VARCHAR)")
        for db, guest in ((one, "a"), (other, "b")):
            db.execute(BEGIN["serializable"])
            assert db.execute("SELECT * FROM bookings WHERE room = 7").fetchall() == []
            db.execute("INSERT INTO bookings VALUES (7, ?)", [guest])
        one.execute("COMMIT")
        with pytest.raises(pagelake.Conflict):
            other.execute("COMMIT")
        assert other.execute("SELECT guest FROM bookings").fetchall() == [("a",)]


def test_readers_are_never_refused_at_serializable(store_path: Path) -> None:
    """A transaction that only reads stands at its snapshot, whatever was committed since."""
    with pagelake.connect(store_path) as reader, pagelake.connect(store_path) as writer:
        writer.execute("CREATE TABLE t AS SELECT 1 AS a")
        reader.execute(BEGIN["serializable"])
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]
        writer.execute("UPDATE t SET a = 2")
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]
        reader.execute("COMMIT")
        assert reader.execute("SELECT a FROM t").fetchall() == [(2,)]


def test_blind_appends_of_sixty_four_processes(fleet: Fleet, store_path: Path) -> None:
    """All commit, nobody sees a conflict, and the versions have no gap."""
    with pagelake.connect(store_path) as db:
        db.execute("CREATE TABLE log (writer BIGINT, n BIGINT)")
    members = [
        fleet.start("multiprocess.clients:append", str(store_path), number, ROWS_A_WRITER)
        for number in range(WRITERS)
    ]
    fleet.together(members)
    errors = [error for member in members for error in member.receive()]
    assert errors == []
    rows = WRITERS * ROWS_A_WRITER
    with pagelake.connect(store_path) as db:
        found = db.execute(
            "SELECT count(*), count(DISTINCT (writer, n)), sum(n) FROM log"
        ).fetchall()
        assert found == [(rows, rows, WRITERS * ROWS_A_WRITER * (ROWS_A_WRITER - 1) // 2)]
        history = db.execute(
            "SELECT version, operation, transactions FROM pagelake.snapshots ORDER BY version"
        ).fetchall()
    assert [version for version, _, _ in history] == list(range(1, len(history) + 1))
    # Maintenance may have sealed some of them meanwhile, in versions of its own.
    assert sum(n for _, operation, n in history if operation == "INSERT") == rows
