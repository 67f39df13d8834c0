"""A checker of transaction histories, after Adya's anomalies and Elle's way to infer them.

A history is what clients saw: transactions of reads and writes with an outcome, and nothing from
inside the engine. Every written value is unique for its key, so a read names its writer. From that
follow the dependencies: *ww* (overwrote), *wr* (read what the other wrote), *rw* (read what the
other overwrote), and with ``sessions`` the order of each process. Anomalies are what no
serial order explains:

================  =====================================================================
``internal``      a transaction does not see its own writes, or reads change within it
``order``         reads of a list contradict each other, or hold a value twice
``unwritten``     a value was read that nobody wrote
``lost write``    a committed append is missing from the final read
``G1a``           a read of an aborted transaction's write
``G1b``           a read of a value that its own writer replaced before it committed
``G0``            a cycle of ww
``G1c``           a cycle of ww and wr
``lost update``   two read the same version of a key, and both replaced it
``G-single``      a cycle with one rw (read skew)
``long fork``     a cycle with several rw, none beside another
``G2-item``       a cycle with two rw in a row (write skew)
================  =====================================================================

Snapshot isolation allows G2-item alone: every cycle must have two rw edges in a row (Fekete et
al. 2005, Cerone and Gotsman 2018). Transactions of unknown outcome count as committed once
somebody has read from them, and are left out otherwise: that can hide an anomaly, not invent one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Outcome = Literal["committed", "aborted", "unknown"]
Mode = Literal["snapshot", "serializable"]
Key = int | str
Graph = dict[int, set[int]]

ALLOWED: dict[Mode, frozenset[str]] = {
    "snapshot": frozenset({"G2-item"}),
    "serializable": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Op:
    """One operation.

    Attributes:
        kind: ``append`` and ``list`` (its read), or ``write`` and ``read`` of a register.
        key: What it is on; a key is a list or a register, never both.
        value: What was written or read; None for a register nobody has written.
    """

    kind: Literal["append", "list", "write", "read"]
    key: Key
    value: Any


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one transaction did, as its client saw it.

    Attributes:
        process: Who ran it, below 0 for nobody in particular; the transactions of a process are
            given in their order.
        ops: Its operations, in order.
        outcome: How it ended.
        final: True when it ran after all others had ended.
    """

    process: int
    ops: tuple[Op, ...]
    outcome: Outcome = "committed"
    final: bool = False


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that no serial order explains."""

    name: str
    explanation: str


@dataclass(slots=True)
class _Analysis:
    history: Sequence[Transaction]
    found: list[Anomaly] = field(default_factory=list)
    edges: dict[str, Graph] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    # (key, value) -> index of its writer, and whether it is the last one of that writer.
    writers: dict[tuple[Key, Any], tuple[int, bool]] = field(default_factory=dict)
    counted: set[int] = field(default_factory=set)
    # External reads: (transaction, key) -> version read; writes: key -> writers.
    lists: dict[tuple[int, Key], tuple[Any, ...]] = field(default_factory=dict)
    registers: dict[tuple[int, Key], Any] = field(default_factory=dict)
    lost_updates: set[frozenset[int]] = field(default_factory=set)

    def report(self, name: str, explanation: str) -> None:
        """Note an anomaly."""
        self.found.append(Anomaly(name, explanation))

    def edge(self, kind: str, source: int, target: int) -> None:
        """Note that one transaction must come before another."""
        if source != target and {source, target} <= self.counted:
            self.edges[kind][source].add(target)


def anomalies(history: Sequence[Transaction], *, sessions: bool = False) -> list[Anomaly]:
    """All kinds of anomalies that a history shows.

    Args:
        history: Its transactions; those of one process in the order it ran them.
        sessions: Hold each process's order against the store as well.
    """
    analysis = _Analysis(history)
    _index_writes(analysis)
    _count(analysis)
    for index in sorted(analysis.counted):
        _external_reads(analysis, index)
    _list_dependencies(analysis)
    _register_dependencies(analysis)
    if sessions:
        last: dict[int, int] = {}
        for index in sorted(analysis.counted):
            process = history[index].process
            if process < 0:
                continue
            if process in last:
                analysis.edge("so", last[process], index)
            last[process] = index
    _cycles(analysis)
    return analysis.found


def forbidden(
    history: Sequence[Transaction], mode: Mode, *, sessions: bool = False
) -> list[Anomaly]:
    """The anomalies that an isolation level does not allow."""
    return [a for a in anomalies(history, sessions=sessions) if a.name not in ALLOWED[mode]]


# From operations to dependencies


def _index_writes(analysis: _Analysis) -> None:
    for index, transaction in enumerate(analysis.history):
        writes = [op for op in transaction.ops if op.kind in {"append", "write"}]
        last = {op.key: op.value for op in writes}
        for op in writes:
            assert (op.key, op.value) not in analysis.writers, f"{op} is written twice"
            analysis.writers[op.key, op.value] = (index, last[op.key] == op.value)


def _values(op: Op) -> Sequence[Any]:
    if op.kind == "list":
        return list(op.value)
    return [op.value] if op.kind == "read" and op.value is not None else []


def _count(analysis: _Analysis) -> None:
    """Decide who committed: those who say so, and the unknown that somebody has seen."""
    seen: set[int] = set()
    for index, transaction in enumerate(analysis.history):
        if transaction.outcome != "committed":
            continue
        analysis.counted.add(index)
        for op in transaction.ops:
            for value in _values(op):
                writer = analysis.writers.get((op.key, value))
                if writer is None:
                    analysis.report("unwritten", f"transaction {index} read {op.key} = {value}")
                elif analysis.history[writer[0]].outcome == "aborted":
                    analysis.report("G1a", f"transaction {index} read {op.key} = {value}")
                else:
                    seen.add(writer[0])
    analysis.counted |= seen


def _external_reads(analysis: _Analysis, index: int) -> None:
    """Check a transaction against itself; note what it read of others."""
    state: dict[Key, Any] = {}
    own: dict[Key, list[Any]] = defaultdict(list)
    for op in analysis.history[index].ops:
        if op.kind == "append":
            own[op.key].append(op.value)
        elif op.kind == "write":
            state[op.key] = op.value
        elif op.kind == "read":
            if op.key in state and state[op.key] != op.value:
                analysis.report("internal", f"transaction {index}: {op} after {state[op.key]}")
            elif op.key not in state:
                analysis.registers[index, op.key] = state[op.key] = op.value
                _check_final(analysis, index, op.key, op.value)
        else:
            _external_list(analysis, index, op, own[op.key])


def _external_list(analysis: _Analysis, index: int, op: Op, own: list[Any]) -> None:
    read = tuple(op.value)
    if len(set(read)) < len(read):
        analysis.report("order", f"transaction {index} read a value twice: {op}")
    others = read[: len(read) - len(own)]
    before = analysis.lists.get((index, op.key))
    if list(read[len(others) :]) != own or (before is not None and before != others):
        analysis.report("internal", f"transaction {index}: {op} with own {own}, earlier {before}")
        return
    analysis.lists[index, op.key] = others
    if others:
        _check_final(analysis, index, op.key, others[-1])


def _check_final(analysis: _Analysis, index: int, key: Key, value: Any) -> None:
    writer = analysis.writers.get((key, value))
    if writer is not None and writer[0] != index and not writer[1]:
        analysis.report("G1b", f"transaction {index} read {key} = {value}, which was replaced")


def _list_dependencies(analysis: _Analysis) -> None:
    reads: dict[Key, list[tuple[int, tuple[Any, ...]]]] = defaultdict(list)
    for (index, key), value in analysis.lists.items():
        reads[key].append((index, value))
    appended: dict[Key, list[tuple[Any, int]]] = defaultdict(list)
    for index in sorted(analysis.counted):
        for op in analysis.history[index].ops:
            if op.kind == "append":
                appended[op.key].append((op.value, index))
    for key, found in reads.items():
        longest = max((value for _, value in found), key=len)
        for index, value in found:
            if value != longest[: len(value)]:
                analysis.report("order", f"transaction {index} read {key} = {value} of {longest}")
        _one_list(analysis, key, longest, found, appended[key])


def _one_list(
    analysis: _Analysis,
    key: Key,
    longest: tuple[Any, ...],
    reads: Iterable[tuple[int, tuple[Any, ...]]],
    appended: Iterable[tuple[Any, int]],
) -> None:
    def writer(at: int) -> int:
        return analysis.writers.get((key, longest[at]), (-1, True))[0]

    present = set(longest)
    for before, after in pairwise(range(len(longest))):
        analysis.edge("ww", writer(before), writer(after))
    # Appends that no read shows come after all that the reads show.
    unseen = [index for value, index in appended if value not in present]
    if longest:
        for index in unseen:
            analysis.edge("ww", writer(len(longest) - 1), index)
    by_version: dict[int, list[int]] = defaultdict(list)
    for index, value in reads:
        if analysis.history[index].final and set(unseen) - {index}:
            analysis.report("lost write", f"{key}: the final read {value} lacks some appends")
        if value:
            analysis.edge("wr", writer(len(value) - 1), index)
        if value == longest[: len(value)]:
            by_version[len(value)].append(index)
            for later in [writer(len(value))] if len(value) < len(longest) else unseen:
                analysis.edge("rw", index, later)
    writers = {index for _, index in appended}
    for readers in by_version.values():
        _lost_update(analysis, key, [index for index in readers if index in writers])


def _register_dependencies(analysis: _Analysis) -> None:
    """What replaced what is known where a transaction has read before it wrote."""
    replaced: dict[tuple[Key, Any], list[int]] = defaultdict(list)
    for (index, key), value in analysis.registers.items():
        if any(op.kind == "write" and op.key == key for op in analysis.history[index].ops):
            replaced[key, value].append(index)
    for (index, key), value in analysis.registers.items():
        writer = analysis.writers.get((key, value))
        if writer is not None:
            analysis.edge("wr", writer[0], index)
            if index in replaced[key, value]:
                analysis.edge("ww", writer[0], index)
        for later in replaced.get((key, value), ()):
            analysis.edge("rw", index, later)
    for (key, _), indexes in list(replaced.items()):
        _lost_update(analysis, key, indexes)


def _lost_update(analysis: _Analysis, key: Key, indexes: list[int]) -> None:
    committed = [index for index in indexes if index in analysis.counted]
    if len(committed) > 1:
        analysis.report("lost update", f"{key}: transactions {committed} replaced the same version")
        analysis.lost_updates.add(frozenset(committed))


# From dependencies to cycles


def _cycles(analysis: _Analysis) -> None:
    edges = analysis.edges
    direct = _union(edges["ww"], edges["wr"], edges["so"])
    whole = _union(direct, edges["rw"])
    for members in components(whole):
        written = _within(edges["ww"], members)
        informed = _within(direct, members)
        anti = _within(edges["rw"], members)
        if any(lost <= members for lost in analysis.lost_updates):
            continue  # named already, and part of a longer cycle at most
        if cycle := shortest_cycle(written):
            analysis.report("G0", f"ww cycle {cycle}")
        elif cycle := shortest_cycle(informed):
            analysis.report("G1c", f"cycle of ww and wr {cycle}")
        elif cycle := _one_anti_dependency(informed, anti):
            analysis.report("G-single", f"cycle with one rw {cycle}")
        elif cycle := shortest_cycle(_composed(informed, anti)):
            analysis.report("long fork", f"cycle without two rw in a row, through {cycle}")
        else:
            analysis.report("G2-item", f"cycle {shortest_cycle(_within(whole, members))}")


def _union(*graphs: Mapping[int, set[int]]) -> Graph:
    joined: Graph = defaultdict(set)
    for graph in graphs:
        for source, targets in graph.items():
            joined[source] |= targets
    return joined


def _within(graph: Mapping[int, set[int]], members: set[int]) -> Graph:
    return {node: graph[node] & members for node in members if graph.get(node)}


def _one_anti_dependency(direct: Graph, anti: Graph) -> list[int] | None:
    for source, targets in anti.items():
        for target in targets:
            path = _path(direct, target, source)
            if path is not None:
                return [source, *path]
    return None


def _composed(direct: Graph, anti: Graph) -> Graph:
    """Steps of one direct dependency and, after it, at most one anti-dependency."""
    return {
        source: targets.union(*(anti.get(middle, set()) for middle in targets))
        for source, targets in direct.items()
    }


def _path(graph: Graph, source: int, target: int) -> list[int] | None:
    """The shortest way from one node to another, both included."""
    came: dict[int, int] = {source: source}
    waiting = deque([source])
    while waiting:
        node = waiting.popleft()
        if node == target:
            path = [node]
            while path[-1] != source:
                path.append(came[path[-1]])
            return path[::-1]
        for following in graph.get(node, ()):
            if following not in came:
                came[following] = node
                waiting.append(following)
    return None


def shortest_cycle(graph: Graph) -> list[int] | None:
    """A shortest cycle through some node of the first component that has one."""
    for node, targets in graph.items():
        if node in targets:
            return [node, node]
    for members in components(graph):
        inside = _within(graph, members)
        start = min(members)
        paths = (_path(inside, target, start) for target in inside[start])
        return [start, *min((path for path in paths if path is not None), key=len)]
    return None


def components(graph: Mapping[int, set[int]]) -> list[set[int]]:
    """Strongly connected components of more than one node (Tarjan's algorithm, no recursion)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[set[int]] = []
    for root in list(graph):
        if root in order:
            continue
        work = [(root, iter(graph.get(root, ())))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            following = next(targets, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    at = stack.index(node)
                    members = set(stack[at:])
                    del stack[at:]
                    on_stack -= members
                    if len(members) > 1:
                        found.append(members)
            elif following not in order:
                order[following] = low[following] = len(order)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(graph.get(following, ()))))
            elif following in on_stack:
                low[node] = min(low[node], order[following])
    return found
