"""The whole model: all processes side by side, any of which may die, and a power that may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.disk import DURABLE, NO_SEGMENT, Disk, Record
from tests.model.processes import Reader, Reclaimer, Writer, followed, opened
from tests.model.world import Process, State, World, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.explore import Key, Model

Part = tuple[object, ...]
_RECLAIMERS_LOOK_AT = {"pin", "look at horizon", "name", "look at named", "hold", "append"}
_FOLLOWING = {"follow", "believe"}


class Protocol:
    """A scenario as something to explore.

    Args:
        world: The scenario.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        # Parts that many states share are kept once, and states are numbers of parts.
        self._parts: list[Part] = []
        self._numbers: dict[Part, int] = {}
        self._identities: dict[int, int] = {}
        self._checked: set[tuple[int, int]] = set()
        self._roles = (
            [(f"writer {n}", Writer) for n in range(len(world.writers))]
            + [(f"reclaimer {n}", Reclaimer) for n in range(len(world.reclaimers))]
            + [(f"reader {n}", Reader) for n in range(world.readers)]
        )

    def initial(self) -> State:
        """Version 1 is committed, and everybody has the store open."""
        world = self._world
        loose = ((Record(-1, 0, (0,)),), *(((None,),) * (world.versions - 1)))
        segments = (DURABLE, *((NO_SEGMENT,) * (len(world.transactions) - 1)))
        disk = Disk(loose, (0,), (0,), (), (), segments)
        work = [*world.writers, *world.reclaimers, *((("read",),) * world.readers)]
        first = loose[0][0]
        assert first is not None
        processes = tuple(opened(disk, todo)._replace(known=(first,)) for todo in work)
        return State(
            disk, processes, frozenset(), frozenset(), (first,), world.kills, world.failures
        )

    def _number(self, part: Part) -> int:
        # Most parts are the very objects that the state before was made of: those need no hash.
        known = self._identities.get(id(part))
        if known is not None:
            return known
        number = self._numbers.setdefault(part, len(self._parts))
        if number == len(self._parts):
            self._parts.append(part)
            self._identities[id(part)] = number
        return number

    def pack(self, state: State) -> Key:
        """A state as the numbers of its parts."""
        disk, processes, *promises = state
        if not state.failures and id(disk) not in self._identities:
            disk = disk.settled()
        number = self._number
        return (number(disk), number(tuple(promises)), *[number(p) for p in processes])

    def unpack(self, key: Key) -> State:
        """The state of these numbers."""
        disk, promises, *processes = (self._parts[number] for number in key)
        return State(disk, tuple(processes), *promises)  # type: ignore[arg-type]

    def check(self, state: State) -> None:
        """Open the disk as a fresh process would; see ``world.check``."""
        key = self.pack(state)[:2]
        if key not in self._checked:
            check(self._world, state)
            self._checked.add(key)

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Everything that any process can do next, or that can happen to it."""
        alone = self._alone(state)
        for number, (name, role) in enumerate(self._roles):
            process = state.processes[number]
            if process.at == "done" or self._waits(state, number):
                continue
            if alone not in {None, number}:
                continue
            step = followed if process.at in _FOLLOWING else role.steps
            for what, after in step(self._world, state, number):
                yield f"{name} {what}", after
            if state.kills and alone is None and self._leaves_traces(process):
                yield f"{name} is killed", self._killed(state, number)
        if state.failures and alone is None:
            yield from self._power_fails(state)

    def _alone(self, state: State) -> int | None:
        """A process whose next step nobody can notice: whatever else happens can happen after it.

        Once the power does not fail any more, syncs are such steps; once nobody folds or reclaims
        any more, so are looks at the marks, and what only reclaimers look at.
        """
        reclaimers = [
            p.todo for p, (_, r) in zip(state.processes, self._roles, strict=True) if r is Reclaimer
        ]
        unseen = set() if state.failures or self._world.combine else {"sync"}
        if not any(reclaimers):
            unseen |= _RECLAIMERS_LOOK_AT
        if not any("fold" in todo for todo in reclaimers):
            unseen |= {"believe"}
        for number, (_, role) in enumerate(self._roles):
            at = state.processes[number].at
            if role is Reclaimer:
                if at == "idle" or (at.startswith("sync") and not state.failures):
                    return number
            elif role is Reader:
                if at == "idle" or (at == "sync" and not state.failures):
                    return number
            elif (at == "ready" and not self._world.combine) or (
                at in unseen and (at != "sync" or not any(reclaimers))
            ):
                return number
        return None

    @staticmethod
    def _leaves_traces(process: Process) -> bool:
        """Whether killing it is not the same as its never having begun."""
        return process.at not in {"idle", "pin"} and process.then != "pin"

    def _waits(self, state: State, number: int) -> bool:
        """Writers that do the same begin in order: the other orders are mirror images."""
        if not 0 < number < len(self._world.writers):
            return False
        mine, theirs = (self._world.writers[n] for n in (number, number - 1))
        kinds = [tuple(self._world.transactions[t] for t in todo) for todo in (mine, theirs)]
        untouched = [
            state.processes[n].at == "idle" and state.processes[n].todo == self._world.writers[n]
            for n in (number, number - 1)
        ]
        return kinds[0] == kinds[1] and all(untouched)

    def _killed(self, state: State, number: int) -> State:
        process = opened(state.disk, state.processes[number].todo[1:])
        if not process.todo:
            process = process._replace(at="done", known=(), blank=0)
        return state.with_process(number, process)._replace(kills=state.kills - 1)

    def _power_fails(self, state: State) -> Iterator[tuple[str, State]]:
        for disk in state.disk.after_power_failure():
            after = state._replace(disk=disk, failures=state.failures - 1)
            for number, process in enumerate(state.processes):
                todo = process.todo if process.at == "idle" else process.todo[1:]
                heir = opened(disk, todo)
                if not todo:
                    heir = heir._replace(at="done", known=(), blank=0)
                after = after.with_process(number, heir)
            yield "the power fails", after


if TYPE_CHECKING:
    _: type[Model[State]] = Protocol
