"""Every file call of some statements fails once, in every way; see ``test_failing_calls``."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine import database
from pagelake.errors import Error, OutcomeUnknown
from pagelake.storage.devices.failing_calls import FailingCalls, Fault
from pagelake.storage.devices.local_device import LocalDevice
from tests.crash.test_failing_calls import path, until_none_fails

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["path"]

FULL = os.environ.get("PAGELAKE_FULL") == "1"
NO_HOT = {"hot_bytes_max": 0}
STATEMENTS = (
    "CREATE TABLE t (a BIGINT, b UBIGINT)",
    "INSERT INTO t VALUES (1, 1), (2, 2)",
    "INSERT INTO t SELECT i, hash(i) FROM range(10, 10000) r(i)",
    "UPDATE t SET b = 0 WHERE a < 15",
    "DELETE FROM t WHERE a BETWEEN 100 AND 200",
    "CREATE TABLE u AS SELECT a FROM t WHERE a < 5",
    "DROP TABLE u",
)
NEXT = "INSERT INTO t VALUES (-1, 5)"

State = dict[str, list[tuple[object, ...]]]


def state(connection: pagelake.Connection) -> State:
    """What is in all tables, shortened to sums."""
    return {
        name: connection.execute(
            f"SELECT count(*), sum(a), sum(hash(x)) FROM {name} AS x"
        ).fetchall()
        for name in connection.table_names()
    }


@pytest.fixture(scope="module")
def expected() -> list[State]:
    """The state before each statement and after the last one."""
    with pagelake.connect(":memory:") as connection:
        states = [state(connection)]
        for statement in STATEMENTS:
            connection.execute(statement)
            states.append(state(connection))
    return states


def attempt(path: Path, failing: FailingCalls, expected: list[State]) -> None:
    done, error = 0, None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            database,
            "_device",
            lambda *_arguments, **_options: (
                str(path), "test", LocalDevice(path, create=True, calls=failing.calls)
            ),
        )  # fmt: skip
        try:
            connection = pagelake.connect(path, settings=NO_HOT)
        except Error:
            connection = None
    if connection is not None:
        try:
            for statement in STATEMENTS:
                connection.execute(statement)
                done += 1
        except Error as caught:
            error = caught
        with suppress(Error):
            connection.close()
    with pagelake.connect(path, settings=NO_HOT) as fresh:
        possible = expected[done : done + 2 if isinstance(error, OutcomeUnknown) else done + 1]
        found = state(fresh)
        assert found in possible, (error, failing.failed)
        if "t" in found:
            fresh.execute(NEXT)
            assert state(fresh)["t"][0][0] == found["t"][0][0] + 1  # type: ignore[operator]


@pytest.mark.parametrize(
    ("fault", "step"),
    # Interruptions are repeated below the store, where `test_failing_calls` tries every one.
    [(Fault.EIO, 8), (Fault.ENOSPC, 8), (Fault.EINTR, 16), (Fault.SHORT_WRITE, 3)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_statements(path: Path, fault: Fault, step: int, expected: list[State]) -> None:
    failed = until_none_fails(
        path, fault, lambda f: attempt(path, f, expected), step=1 if FULL else step
    )
    assert failed
