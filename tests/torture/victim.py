"""A process that writes to a store while something is done to it, and who remembers its words.

The victim performs the transactions that ``tests.crash.storm`` plans for a seed, and says of each
when it begins, that it is done, or how it failed. A ``Witness`` keeps every content that the store
may have after that: a transaction that failed with ``OutcomeUnknown``, or was under way when the
process died, may have happened; one that failed otherwise must not have.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pagelake
from pagelake.engine import database
from pagelake.errors import Error
from pagelake.storage.devices.file_calls import SYSTEM_CALLS
from pagelake.storage.devices.local_device import LocalDevice
from pagelake.storage.maintenance.check import check
from pagelake.storage.maintenance.finding import Severity
from tests.crash.storm import Model, apply, content, perform, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.devices.file_calls import FileCalls
    from tests.multiprocess.fleet import Channel, Member

SETTINGS = {"threads": 1, "lock_timeout": "5s", "hot_bytes_max": 0}
WRITER = 0
UNKNOWN_MAX = 4
"""A process that does not know what became of so many commits has said enough."""
FAILED_MAX = 8
_UPKEEP = (
    "CALL pagelake.checkpoint()",
    "CALL pagelake.seal('kept')",
    "CALL pagelake.checkpoint()",
    "CALL pagelake.reclaim(keep => INTERVAL 0 SECOND)",
)
"""What a store does besides; it never changes the content."""
_OPENINGS_MAX = 3


def write(channel: Channel, path: str, seed: int, first: int, count: int) -> None:
    """Open a store once told to, perform transactions of the plan, and close it."""
    channel.send("ready")
    channel.receive()
    work(channel, path, seed, first, count)
    channel.send(["ended"])


def write_carelessly(channel: Channel, path: str, seed: int, first: int, count: int) -> None:
    """As ``write``, by a process that says that it syncs and does not."""
    use_calls(replace(SYSTEM_CALLS, fsync=lambda _: None, fdatasync=lambda _: None))
    write(channel, path, seed, first, count)


def work(channel: Channel, path: str, seed: int, first: int, count: int) -> None:
    """Open a store, perform transactions of the plan, and close it."""
    db = None
    for _ in range(_OPENINGS_MAX):
        db = _tell(channel, "open", lambda: pagelake.connect(path, settings=SETTINGS))
        if db is not None:
            break
    if db is None:
        return
    unknown = failed = 0
    for run in range(first, first + count):
        channel.send(["begin", run])
        try:
            perform(db, WRITER, plan(seed, WRITER, run))
            channel.send(["done", run])
        except Exception as error:
            _confess(channel, run, error)
            unknown += isinstance(error, pagelake.OutcomeUnknown)
            failed += 1
            with suppress(Error):
                db.execute("ROLLBACK")
        if unknown >= UNKNOWN_MAX or failed >= FAILED_MAX:
            break
        upkeep = _UPKEEP[run % len(_UPKEEP)]
        _tell(channel, upkeep, lambda upkeep=upkeep: db.execute(upkeep))
    _tell(channel, "close", db.close)


def _tell(channel: Channel, what: str, call: Callable[[], Any]) -> Any:
    """What a call gives; None, and a word about it, when it fails."""
    try:
        return call()
    except Exception as error:
        _confess(channel, what, error)
        return None


def _confess(channel: Channel, what: int | str, error: Exception) -> None:
    if isinstance(error, Error):
        channel.send(["failed", what, type(error).__name__, str(error)])
    else:
        channel.send(["untyped", what, type(error).__name__, traceback.format_exc()])


@dataclass(slots=True)
class Witness:
    """What a victim said, and what the store may therefore hold.

    Args:
        seed: The seed of its plan.

    Attributes:
        possible: Contents that the store may have.
        next_run: The transaction after the last one begun.
        acknowledged: Transactions that were done.
        errors: Typed errors, as (what failed, class, text).
        untyped: Errors of other kinds, likewise with their traceback.
        ended: Whether it came to its end by itself.
    """

    seed: int
    possible: list[Model] = field(default_factory=lambda: [{}])
    next_run: int = 0
    acknowledged: int = 0
    errors: list[tuple[int | str, str, str]] = field(default_factory=list)
    untyped: list[tuple[int | str, str, str]] = field(default_factory=list)
    ended: bool = False
    _in_flight: int | None = None

    def hear(self, said: list[Any]) -> None:
        """Take note of one thing that the victim said."""
        match said:
            case ["begin", int(run)]:
                self._in_flight, self.next_run = run, run + 1
            case ["done", int(run)]:
                self.acknowledged += 1
                self.possible = _distinct([self._after(model, run) for model in self.possible])
                self._in_flight = None
            case ["failed", what, kind, text]:
                self.errors.append((what, kind, text))
                self._settle(what, unknown=kind == "OutcomeUnknown")
            case ["untyped", what, kind, text]:
                self.untyped.append((what, kind, text))
                self._settle(what, unknown=True)
            case ["ended"]:
                self.ended = True
            case _:
                raise AssertionError(f"the victim said {said}")

    def died(self) -> None:
        """The victim is gone: what was in flight may have happened."""
        self._settle(self._in_flight, unknown=True)

    def _settle(self, what: int | str | None, *, unknown: bool) -> None:
        if self._in_flight is None or what != self._in_flight:
            return
        if unknown:
            happened = [self._after(model, self._in_flight) for model in self.possible]
            self.possible = _distinct([*self.possible, *happened])
        self._in_flight = None

    def _after(self, model: Model, run: int) -> Model:
        return apply(model, plan(self.seed, WRITER, run))

    def judge(self, path: Path, *, writable: bool = True) -> list[str]:
        """Hold a store against what was said, with a process of its own; what is wrong with it.

        Args:
            path: The store.
            writable: Also see whether it takes a commit.
        """
        try:
            with pagelake.connect(path, settings=SETTINGS) as db:
                found, wrong = content(db, WRITER)
                if writable:
                    db.execute("INSERT INTO ledger VALUES (-1, 0, 0)")
        except Error as error:
            return [f"{type(error).__name__}: {error}"]
        if found not in self.possible:
            nearest = min(self.possible, key=lambda model: len(_differing(model, found)))
            wrong.append(f"not what was promised: {_differing(nearest, found)}")
        self.possible = [found]
        return wrong + damage(path)


def _distinct(models: list[Model]) -> list[Model]:
    found: list[Model] = []
    for model in models:
        if model not in found:
            found.append(model)
    return found


def _differing(expected: Model, found: Model) -> dict[int, tuple[object, object]]:
    runs = sorted(expected.keys() | found.keys())
    return {
        run: (expected.get(run), found.get(run))
        for run in runs
        if expected.get(run) != found.get(run)
    }


def damage(path: Path) -> list[str]:
    """What ``pagelake check`` calls damage."""
    device = LocalDevice(path, create=False)
    try:
        return [f"check: {f}" for f in check(device) if f.severity is Severity.DAMAGE]
    finally:
        device.close()


def listen(member: Member, witness: Witness) -> None:
    """Hear a victim out, until it has ended."""
    for said in member.rest():
        witness.hear(said)
    witness.died()


def use_calls(calls: FileCalls) -> None:
    """Let the databases of this process make other file calls."""

    def device(path: str, **_: object) -> tuple[str, str, LocalDevice]:
        return path, "victim", LocalDevice(Path(path), create=True, calls=calls)

    database._device = device  # type: ignore[assignment]
