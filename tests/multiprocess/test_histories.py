"""The checker of histories is only worth something if it catches bugs: here they are, seeded."""

from __future__ import annotations

import random

import pytest

from tests.multiprocess.histories import (
    Op,
    Outcome,
    Transaction,
    anomalies,
    components,
    forbidden,
    shortest_cycle,
)


def t(text: str, outcome: Outcome = "committed", process: int = -1) -> Transaction:
    """A transaction from text: ``x+1`` append, ``x:1,2`` read of a list, ``x=1`` write, ``x?1``."""
    ops: list[Op] = []
    for word in text.split():
        key, mark, value = word[0], word[1], word[2:]
        match mark:
            case "+":
                ops.append(Op("append", key, int(value)))
            case ":":
                ops.append(Op("list", key, tuple(int(v) for v in value.split(",") if v)))
            case "=":
                ops.append(Op("write", key, int(value)))
            case _:
                ops.append(Op("read", key, int(value) if value else None))
    return Transaction(process, tuple(ops), outcome)


def final(text: str) -> Transaction:
    return Transaction(-1, t(text).ops, final=True)


def names(*transactions: Transaction, sessions: bool = False) -> set[str]:
    return {anomaly.name for anomaly in anomalies(transactions, sessions=sessions)}


BUGS: dict[str, tuple[str, list[Transaction]]] = {
    "dirty write of two lists": ("G0", [t("x+1 y+1"), t("x+2 y+2"), t("x:1,2"), t("y:2,1")]),
    "dirty write of three": (
        "G0",
        [t("x+1 z+1"), t("x+2 y+2"), t("y+3 z+3"), t("x:1,2 y:2,3 z:3,1")],
    ),
    "aborted append read": ("G1a", [t("x+1", "aborted"), t("x:1")]),
    "aborted append under a committed one": (
        "G1a",
        [t("x+1", "aborted"), t("x+2"), t("x:1,2")],
    ),
    "aborted register read": ("G1a", [t("x=1", "aborted"), t("x?1")]),
    "half a transaction's appends": ("G1b, G-single", [t("x+1 x+2"), t("x:1"), t("x:1,2")]),
    "a register's intermediate value": ("G1b", [t("x=1 x=2"), t("x?1")]),
    "mutual reads of lists": ("G1c", [t("x+1 y:2"), t("y+2 x:1")]),
    "mutual reads of registers": ("G1c", [t("x=1 y?2"), t("y=2 x?1")]),
    "read skew of lists": ("G-single", [t("x+1 y+1"), t("x:1 y:")]),
    "read skew of registers": (
        "G-single",
        [t("x=1 y=1"), t("x?1 y?1 x=2 y=2"), t("x?1 y?2")],
    ),
    "read skew through a third": ("G-single", [t("x+1"), t("x:1 y+2"), t("y:2 x:")]),
    "lost update of a list": ("lost update", [t("x: x+1"), t("x: x+2"), t("x:1,2")]),
    "lost update of a register": (
        "lost update",
        [t("x=1"), t("x?1 x=2"), t("x?1 x=3"), t("x?3")],
    ),
    "lost update from nothing": ("lost update", [t("x? x=1"), t("x? x=2")]),
    "lost update of three": (
        "lost update",
        [t("x=1"), t("x?1 x=2"), t("x?1 x=3"), t("x?1 x=4")],
    ),
    "long fork of lists": ("long fork", [t("x+1"), t("y+2"), t("x:1 y:"), t("x: y:2")]),
    "long fork of registers": (
        "long fork",
        [t("x? x=1"), t("y? y=2"), t("x?1 y?"), t("x? y?2")],
    ),
    "long fork of four": (
        "long fork",
        [t("x+1"), t("y+2"), t("z+3"), t("x:1 y:"), t("y:2 z:"), t("z:3 x:")],
    ),
    "write skew of lists": ("G2-item", [t("x: y+1"), t("y: x+2"), t("x:2 y:1")]),
    "write skew of registers": ("G2-item", [t("x? y? y=1"), t("x? y? x=2")]),
    "write skew of three": ("G2-item", [t("x: y? y=1"), t("y? z? z=1"), t("z? x+1")]),
    "own append missing": ("internal", [t("x+1 x:")]),
    "own append in the wrong place": ("internal", [t("x+1"), t("x+2 x:2,1")]),
    "own write not seen": ("internal", [t("x=1"), t("x=2 x?1")]),
    "a read that changes": ("internal", [t("x+1"), t("x: x:1")]),
    "forked list": ("order", [t("x+1"), t("x+2"), t("x:1"), t("x:2")]),
    "append applied twice": ("order", [t("x+1"), t("x:1,1")]),
    "garbage": ("unwritten", [t("x+1"), t("x:1,7")]),
    "acknowledged append gone": ("lost write", [t("x+1"), t("x+2"), final("x:2")]),
    "unknown transaction seen in part": ("G-single", [t("x+1 y+1", "unknown"), t("x:1 y:")]),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_caught_by_its_name(bug: str) -> None:
    name, history = BUGS[bug]
    expected = set(name.split(", "))
    assert names(*history) == expected
    for order in range(5):
        shuffled = list(history)
        random.Random(order).shuffle(shuffled)
        assert names(*shuffled) == expected, "the order in which clients report proves nothing"
    assert [a.name for a in forbidden(history, "serializable")] != []
    assert (forbidden(history, "snapshot") == []) == (name == "G2-item")


def test_sessions_go_backwards_only_where_it_is_asked() -> None:
    """A process that misses its own commit: legal for the store as a whole, not for the process."""
    history = [t("x+1", process=1), t("x:", process=1), t("x:1")]
    assert names(*history) == set()
    assert names(*history, sessions=True) == {"G-single"}


CLEAN = {
    "serial lists": [t("x: x+1"), t("x:1 x+2"), t("x:1,2"), final("x:1,2")],
    "serial registers": [t("x? x=1"), t("x?1 x=2 x?2"), t("x?2")],
    "blind appends": [t("x+1"), t("x+2"), t("x+3"), final("x:2,1,3")],
    "an aborted one that nobody saw": [t("x+1", "aborted"), t("x:")],
    "an unknown one that nobody saw": [t("x+1", "unknown"), final("x:")],
    "an unknown one that counts": [t("x+1", "unknown"), t("x:1 x+2"), final("x:1,2")],
    "old snapshots": [t("x+1 y+1"), t("x: y:"), t("x:1 y:1")],
    "nothing": [],
}


@pytest.mark.parametrize("history", CLEAN)
def test_a_clean_history_is_accepted(history: str) -> None:
    assert names(*CLEAN[history], sessions=True) == set()


def simulated(seed: int, *, isolated: bool) -> list[Transaction]:
    """Transactions of six processes on a store kept in memory, interleaved at random.

    Isolated: snapshots and first-committer-wins, as a correct engine does it; otherwise every
    transaction writes back what it read, whatever has happened since.
    """
    chance = random.Random(seed)
    lists: dict[str, tuple[int, ...]] = dict.fromkeys("abc", ())
    running: dict[int, tuple[dict[str, tuple[int, ...]], list[Op], dict[str, tuple[int, ...]]]] = {}
    history: list[Transaction] = []
    value = 0
    for _ in range(900):
        process = chance.randrange(6)
        if process not in running:
            running[process] = (dict(lists), [], {})
            continue
        base, ops, pending = running[process]
        key = chance.choice("abc")
        if len(ops) < 3:
            mine = pending.get(key, base[key])
            ops.append(Op("list", key, mine))
            if chance.random() < 0.7:
                value += 1
                ops.append(Op("append", key, value))
                pending[key] = (*mine, value)
            continue
        clash = any(lists[k] != base[k] for k in pending)
        if not (isolated and clash):
            lists.update(pending)
        outcome: Outcome = "aborted" if isolated and clash else "committed"
        history.append(Transaction(process, tuple(ops), outcome))
        del running[process]
    read = tuple(Op("list", key, content) for key, content in lists.items())
    return [*history, Transaction(9, read, final=True)]


@pytest.mark.parametrize("seed", range(8))
def test_simulated_stores(seed: int) -> None:
    good = simulated(seed, isolated=True)
    assert sum(x.outcome == "committed" for x in good) > 30
    assert forbidden(good, "snapshot", sessions=True) == []
    assert {"order", "lost write", "lost update"} & names(*simulated(seed, isolated=False))


def test_components_of_a_large_graph() -> None:
    """Ten thousand nodes in rings of ten: no recursion limit, and every ring is found."""
    rings = 1000
    graph = {
        10 * r + i: {10 * r + (i + 1) % 10, 10 * (r + 1)} for r in range(rings) for i in range(10)
    }
    found = components(graph)
    assert sorted(map(len, found)) == [10] * rings
    assert shortest_cycle({1: {2}, 2: {3}, 3: {1, 2}, 4: {1}}) in ([1, 2, 3, 1], [2, 3, 2])
    assert shortest_cycle({1: {2}, 2: {3}}) is None
