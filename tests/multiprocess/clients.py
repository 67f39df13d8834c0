"""What the members of a fleet do in the isolation and append tests."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pagelake

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.multiprocess.fleet import Channel

LISTS = 4
REGISTERS = 6
ACCOUNTS = 5
BALANCE = 100
SETTINGS = {"threads": 1, "lock_timeout": "60s"}
TRANSACTIONS_MIN = 5
"""What each client does at least, however slow the machine is."""
VALUES_A_PROCESS = 1_000_000
"""Written values are unique: process × this + a running number."""

Ops = list[tuple[str, str, Any]]


def create(db: pagelake.Connection) -> None:
    """Make the tables that the clients work on."""
    db.execute("CREATE TABLE lists (k BIGINT, v BIGINT[])")
    db.execute(f"INSERT INTO lists SELECT k, [] FROM range({LISTS}) r(k)")
    db.execute("CREATE TABLE registers (k BIGINT, v BIGINT)")
    db.execute(f"INSERT INTO registers SELECT k, NULL FROM range({REGISTERS}) r(k)")
    db.execute("CREATE TABLE accounts (k BIGINT, balance BIGINT)")
    db.execute(f"INSERT INTO accounts SELECT k, {BALANCE} FROM range({ACCOUNTS}) r(k)")


class Client:
    """One process's transactions: what they did, in the form of ``histories``.

    Args:
        db: Its connection.
        process: Its number.
        seed: Decides what it does, though not when.
    """

    def __init__(self, db: pagelake.Connection, process: int, seed: int) -> None:
        self._db = db
        self._chance = random.Random(seed * 1009 + process)
        self._process = process
        self._written = 0
        self.sums: set[int] = set()

    def _next(self) -> int:
        self._written += 1
        return self._process * VALUES_A_PROCESS + self._written

    def _one(self, sql: str, *parameters: object) -> Any:
        return self._db.execute(sql, list(parameters)).fetchall()[0][0]

    def lists(self, ops: Ops) -> None:
        """Append to lists and read them."""
        for _ in range(self._chance.randint(2, 4)):
            key = self._chance.randrange(LISTS)
            if self._chance.random() < 0.4:
                value = self._next()
                # Noted before it is done: a transaction that fails half-way has written this.
                ops.append(("append", f"l{key}", value))
                self._db.execute("UPDATE lists SET v = list_append(v, ?) WHERE k = ?", [value, key])
            else:
                found = self._one("SELECT v FROM lists WHERE k = ?", key)
                ops.append(("list", f"l{key}", found))

    def registers(self, ops: Ops) -> None:
        """Read registers and write some of them."""
        for key in self._chance.sample(range(REGISTERS), self._chance.randint(1, 3)):
            ops.append(("read", f"r{key}", self._one("SELECT v FROM registers WHERE k = ?", key)))
            if self._chance.random() < 0.5:
                self._write(ops, key)

    def skew(self, ops: Ops) -> None:
        """Read a pair of registers and write one of them: what snapshot isolation lets through."""
        pair = self._chance.randrange(REGISTERS // 2) * 2
        for key in (pair, pair + 1):
            ops.append(("read", f"r{key}", self._one("SELECT v FROM registers WHERE k = ?", key)))
        self._write(ops, pair + self._chance.randrange(2))

    def _write(self, ops: Ops, key: int) -> None:
        value = self._next()
        ops.append(("write", f"r{key}", value))
        self._db.execute("UPDATE registers SET v = ? WHERE k = ?", [value, key])

    def bank(self, _: Ops) -> None:
        """Move money, or count it."""
        if self._chance.random() < 0.4:
            self.sums.add(int(self._one("SELECT sum(balance) FROM accounts")))
            return
        source, target = self._chance.sample(range(ACCOUNTS), 2)
        held = self._one("SELECT balance FROM accounts WHERE k = ?", source)
        amount = self._chance.randint(0, max(0, held))
        move = "UPDATE accounts SET balance = balance + ? WHERE k = ?"
        self._db.execute(move, [-amount, source])
        self._db.execute(move, [amount, target])

    def transaction(self, begin: str) -> tuple[str, Ops]:
        """Run one transaction; returns its outcome and operations."""
        ops: Ops = []
        work: Callable[[Ops], None] = self._chance.choice(
            [self.lists, self.lists, self.registers, self.skew, self.bank]
        )
        try:
            self._db.execute(begin)
            work(ops)
            self._db.execute("COMMIT")
        except pagelake.Conflict:
            with suppress(pagelake.InvalidRequest):
                self._db.execute("ROLLBACK")
            return "aborted", ops
        except pagelake.OutcomeUnknown:
            return "unknown", ops
        return "committed", ops


def transact(
    channel: Channel, path: str, process: int, seconds: float, seed: int, begin: str
) -> None:
    """Run transactions for some time; tells the history."""
    db = pagelake.connect(path, settings=SETTINGS)
    client = Client(db, process, seed)
    channel.send("ready")
    channel.receive()
    history = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(history) < TRANSACTIONS_MIN:
        outcome, ops = client.transaction(begin)
        history.append((outcome, ops))
        if outcome == "unknown":
            break  # its connection takes no further commits
        if process == 0 and len(history) % 20 == 0:
            db.execute("CALL pagelake.checkpoint()")
    channel.send({"history": history, "sums": sorted(client.sums)})


def append(channel: Channel, path: str, writer: int, rows: int) -> None:
    """Insert rows one by one; tells the errors, of which there should be none."""
    db = pagelake.connect(path, settings={**SETTINGS, "hot_bytes_max": 0})
    channel.send("ready")
    channel.receive()
    errors = []
    for number in range(rows):
        try:
            db.execute("INSERT INTO log VALUES (?, ?)", [writer, number])
        except pagelake.Error as error:
            errors.append(f"{type(error).__name__}: {error}")
    channel.send(errors)
