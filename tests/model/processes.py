"""The steps of each process: one call of the device each, in the order of the real protocol.

What mirrors what: ``Writer`` the committer and transactions, ``Reclaimer`` fold and reclaim,
``Reader`` a pinned snapshot; ``followed`` the head. Every ``guarded`` is a guard of the protocol
that a scenario may leave out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.disk import DROPPED, DURABLE, NO_SEGMENT, UNSYNCED, Bundle, Disk, Offer, Record
from tests.model.explore import Violated
from tests.model.world import Process, State, World, live, tagged

if TYPE_CHECKING:
    from collections.abc import Iterator

Step = tuple[str, State]


def opened(disk: Disk, todo: tuple[object, ...]) -> Process:
    """A process that has just opened the store."""
    checkpoint = disk.checkpoint()
    return Process("idle", todo, checkpoint.records, checkpoint.version)


def follow(process: Process, then: str) -> Process:
    """Have a process apply what others have committed, and go on at a step."""
    return process._replace(at="follow", then=then)


def followed(world: World, state: State, number: int) -> Iterator[Step]:
    """Apply records: loose ones are read first and believed once the boundary is below them."""
    process, disk = state.processes[number], state.disk
    version = len(process.known)
    if process.at == "follow":
        loose: list[Record] = []
        while (record := disk.at(version + len(loose) + 1)) is not None:
            loose.append(record)
        process = process._replace(at="believe", loose=tuple(loose))
        yield "reads loose records", state.with_process(number, process)
        return
    boundary = disk.boundary[-1]
    if version >= boundary or not world.guarded("a loose record at the boundary is not believed"):
        known = process.known + process.loose
        process = process._replace(at=process.then, known=known, loose=())
        yield "applies loose records", state.with_process(number, process)
        return
    known = process.known
    while len(known) < boundary:
        record = disk.bundled(len(known) + 1)
        if record is None:
            break
        known = (*known, record)
    blank = process.blank
    if len(known) < boundary:
        checkpoint = disk.checkpoint()
        if checkpoint.version <= version:
            raise Violated("records are gone that no checkpoint covers")
        known, blank = checkpoint.records, checkpoint.version
    process = process._replace(at="follow", known=known, blank=blank, loose=())
    yield "applies folded records", state.with_process(number, process)


def ended(process: Process) -> Process:
    """Let go of everything, and go on with the next piece of work."""
    done = Process("idle", process.todo[1:], process.known, process.blank)
    return done if done.todo else Process("done", ())


class Writer:
    """Commits its transactions, one after the other."""

    @staticmethod
    def steps(world: World, state: State, number: int) -> Iterator[Step]:
        process = state.processes[number]
        step = getattr(Writer, process.at.replace(" ", "_"))
        yield from step(world, state, number, process)

    @staticmethod
    def idle(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        yield "begins", state.with_process(number, follow(process, "pin"))

    @staticmethod
    def pin(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        for base in {len(process.known), 1} if world.stale else {len(process.known)}:
            pinned = process._replace(at="look at horizon", base=base, pin=base)
            yield f"pins {base}", state.with_process(number, pinned)

    @staticmethod
    def look_at_horizon(
        world: World, state: State, number: int, process: Process
    ) -> Iterator[Step]:
        mine = world.transactions[_first(process)]
        if process.base < state.disk.horizon[-1]:
            process = follow(process._replace(pin=-1), "pin")
        elif mine.names:
            process = process._replace(at="name")
        else:
            process = process._replace(at="hold" if mine.appends else "ready")
        yield "looks at the horizon", state.with_process(number, process)

    @staticmethod
    def name(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        version = world.transactions[_first(process)].names
        if world.guarded("a version that is named is pinned"):
            process = process._replace(pin=min(process.pin, version))
        process = process._replace(at="look at named")
        yield f"pins {version}", state.with_process(number, process)

    @staticmethod
    def look_at_named(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        version = world.transactions[_first(process)].names
        gone = version < state.disk.horizon[-1] and version not in tagged(world, process.known)
        if gone or version > process.base:
            yield "is refused", refused(state, number)
        else:
            yield f"finds {version} kept", state.with_process(number, process._replace(at="ready"))

    @staticmethod
    def hold(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        holds = (_first(process),) if world.guarded("a segment is held before it exists") else ()
        process = process._replace(at="append", holds=holds)
        yield "holds its segment", state.with_process(number, process)

    @staticmethod
    def append(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        durable = world.guarded("pages are synced before the record")
        disk = state.disk.with_segments(DURABLE if durable else UNSYNCED, _first(process))
        yield "appends and syncs", state.with_process(number, process._replace(at="ready"), disk)

    @staticmethod
    def ready(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        if world.refuses(_first(process), process.known[: process.base]):
            yield "is refused by what is there", refused(state, number)
            return
        if not world.combine or world.transactions[_first(process)].alone:
            pending = ((_first(process), process.base),)
            process = follow(process._replace(pending=pending), "link")
            yield "is about to commit", state.with_process(number, process)
            return
        offer = Offer(_first(process), process.base, number)
        disk = state.disk._replace(offers=(*state.disk.offers, offer))
        process = process._replace(at="choose", offered=True)
        yield "offers its transaction", state.with_process(number, process, disk)

    # Combining

    @staticmethod
    def choose(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        """Wait for somebody else, lead, or lose patience."""
        yield "waits", state.with_process(number, follow(process, "look for itself"))
        others = [o for o in state.disk.offers if o.owner != number or not _distinct(world)]
        taken = [(_first(process), process.base), *((o.transaction, o.base) for o in others)]
        leader = process._replace(at="hold others", pending=tuple(taken), staged=None)
        yield f"leads {[t for t, _ in taken]}", state.with_process(number, leader)
        if world.withdraw:
            after = _without_offer(state, number)
            if world.guarded("who takes an offer back does not know the outcome"):
                yield "gives up", after.with_process(number, ended(process))
            else:
                yield "takes its offer back", refused(after, number)

    @staticmethod
    def hold_others(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        if world.guarded("a leader holds what it commits"):
            appended = [t for t, _ in process.pending if world.transactions[t].appends]
            process = process._replace(holds=tuple(sorted(set(appended))))
        process = process._replace(at="look at owners")
        yield "holds the segments of all", state.with_process(number, process)

    @staticmethod
    def look_at_owners(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        alive = {o.transaction for o in state.disk.offers if _offering(state, o)}
        if world.guarded("a leader sees that owners live once it holds what they wrote"):
            mine = _first(process)
            kept = tuple(p for p in process.pending if p[0] in alive or p[0] == mine)
            process = process._replace(pending=kept)
        yield "sees who lives", state.with_process(number, follow(process, "link"))

    @staticmethod
    def look_for_itself(
        world: World, state: State, number: int, process: Process
    ) -> Iterator[Step]:
        verdict = _verdict(world, process, _first(process), process.base)
        yield f"finds itself {verdict}", _answered(world, state, number, process, verdict)

    # The record

    @staticmethod
    def link(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        """Check everybody against what was committed meanwhile, and take the next name."""
        mine = _first(process)
        pending: list[tuple[int, int]] = []
        for transaction, base in process.pending:
            verdict = _checked(world, process, transaction, base)
            if transaction == mine and verdict != "open":
                answered = _answered(world, state, number, process, verdict)
                yield f"finds itself {verdict}", answered
                return
            if verdict != "open":
                continue
            together = world.guarded("what is in one record commutes")
            if together and any(world.conflict(transaction, other) for other, _ in pending):
                if transaction == mine or world.guarded("only the committed refuse"):
                    continue
                for offer in state.disk.offers:
                    if offer.transaction == transaction:
                        yield "refuses another", refused(state, offer.owner)
                return
            pending.append((transaction, base))
        version = len(process.known) + 1
        if version > world.versions:
            return
        staged = process.staged
        if staged is None or staged.transactions != tuple(t for t, _ in pending):
            staged = Record(number, len(process.known), tuple(t for t, _ in pending))
        process = process._replace(staged=staged, pending=tuple(pending))
        if state.disk.at(version) is not None and world.guarded("a name is taken once"):
            lost = state.with_process(number, follow(process, "link"))
            yield f"finds {version} taken", lost
            return
        disk = state.disk.named(version, staged)
        after = state.with_process(number, process._replace(at="look at boundary"), disk)
        yield f"links {version} {list(staged.transactions)}", after

    @staticmethod
    def look_at_boundary(
        world: World, state: State, number: int, process: Process
    ) -> Iterator[Step]:
        """Tell whether the name that was free had only been freed."""
        version, staged = len(process.known) + 1, process.staged
        assert staged is not None
        folded = version <= state.disk.boundary[-1]
        bundled = state.disk.bundled(version)
        if folded and world.guarded("the boundary is looked at after the link"):
            if bundled is None:
                after = _without_offer(state, number).with_process(number, ended(process))
                yield "cannot tell", after
                return
            if bundled != staged or not world.guarded("a folded record may be one's own"):
                disk = state.disk.named(version, None)
                process = follow(process._replace(staged=None), "link")
                yield f"finds {version} folded", state.with_process(number, process, disk)
                return
        process = process._replace(at="sync", known=(*process.known, staged))
        yield "finds its name good", state.with_process(number, process)

    @staticmethod
    def sync(world: World, state: State, number: int, process: Process) -> Iterator[Step]:
        """Make the names durable, and answer."""
        mine, disk = _first(process), state.disk
        led = process.staged is not None and process.staged == process.known[-1]
        guard = "the log is synced before the answer" if led else "who finds itself syncs as well"
        if world.guarded(guard):
            disk = disk.log_synced()
        versions = [v for v, r in enumerate(process.known, 1) if mine in r.transactions]
        acknowledged = state.acknowledged | {(mine, v) for v in versions}
        after = _without_offer(state._replace(disk=disk, acknowledged=acknowledged), number)
        yield f"acknowledges {mine}", after.with_process(number, ended(process))


def _first(process: Process) -> int:
    transaction = process.todo[0]
    assert isinstance(transaction, int)
    return transaction


def _distinct(world: World) -> bool:
    return world.guarded("a record holds a transaction once")


def _offering(state: State, offer: Offer) -> bool:
    owner = state.processes[offer.owner]
    return owner.offered and owner.todo[:1] == (offer.transaction,)


def _without_offer(state: State, number: int) -> State:
    disk = state.disk
    mine = tuple(o for o in disk.offers if o.owner == number)
    if not mine:
        return state
    kept = tuple(o for o in disk.offers if o.owner != number)
    disk = disk._replace(offers=kept, withdrawn=(*disk.withdrawn, *mine))
    return state._replace(disk=disk)


def refused(state: State, number: int) -> State:
    """Tell a writer's user that its transaction did not happen."""
    state = _without_offer(state, number)
    process = state.processes[number]
    state = state._replace(refused=state.refused | {_first(process)})
    return state.with_process(number, ended(process))


def _verdict(world: World, process: Process, transaction: int, base: int) -> str:
    """What a process knows of a transaction: committed, conflicting, unknown, or still open."""
    since = process.known[base:]
    # What a checkpoint covers was never looked at record by record.
    seen = process.known[max(base, process.blank) :]
    # Nobody else commits what was never offered, so it need not be looked for.
    looked_for = world.combine and world.guarded("a transaction is looked for in the log")
    if looked_for and any(transaction in record.transactions for record in seen):
        return "committed"
    if process.blank > base and world.guarded("what was not looked at is unknown"):
        return "unknown"
    if any(world.conflict(transaction, t) for record in since for t in record.transactions):
        return "conflicting"
    return "open"


def _checked(world: World, process: Process, transaction: int, base: int) -> str:
    """What somebody who is about to link a record finds out about one that would be in it."""
    verdict = _verdict(world, process, transaction, base)
    who = "a commit" if transaction == _first(process) else "an offer"
    guards = [f"{who} is checked against what came since"]
    if process.staged is not None:
        guards.append("all are checked anew after a lost race")
    return verdict if verdict != "conflicting" or all(map(world.guarded, guards)) else "open"


def _answered(world: World, state: State, number: int, process: Process, verdict: str) -> State:
    """Act upon what a writer found out about its own transaction."""
    if verdict == "committed":
        return state.with_process(number, process._replace(at="sync", staged=None))
    if verdict == "open":
        return state.with_process(number, process._replace(at="choose"))
    # What was never offered is in the log by one's own hand only: it can be refused.
    sure = verdict == "conflicting" or not world.combine
    if sure or not world.guarded("unknown is no refusal"):
        return refused(state, number)
    return _without_offer(state, number).with_process(number, ended(process))


class Reader:
    """Pins the newest snapshot and reads it."""

    @staticmethod
    def steps(world: World, state: State, number: int) -> Iterator[Step]:
        process, disk = state.processes[number], state.disk
        version = len(process.known)
        match process.at:
            case "idle":
                yield "begins to read", state.with_process(number, follow(process, "sync"))
            case "sync":
                if world.guarded("a reader syncs what it shows"):
                    disk = disk.log_synced()
                yield "syncs", state.with_process(number, process._replace(at="pin"), disk)
            case "pin":
                pin = version if world.guarded("a reader pins what it reads") else -1
                process = process._replace(at="look at horizon", pin=pin)
                yield f"pins {version}", state.with_process(number, process)
            case "look at horizon":
                kept = version >= disk.horizon[-1]
                if kept or not world.guarded("a reader looks at the horizon after it pinned"):
                    process = process._replace(at="read")
                else:
                    process = follow(process._replace(pin=-1), "sync")
                yield "looks at the horizon", state.with_process(number, process)
            case "read":
                for segment in live(world.transactions, process.known):
                    if disk.segments[segment] in {DROPPED, NO_SEGMENT}:
                        raise Violated(f"segment {segment} was freed under a reader of {version}")
                common = min(version, len(state.shown))
                if process.known[:common] != state.shown[:common]:
                    raise Violated("two readers saw different contents of a version")
                shown = max(state.shown, process.known, key=len)
                after = state.with_process(number, ended(process))
                yield f"reads {version}", after._replace(shown=shown)


class Reclaimer:
    """Folds the log, and frees what only versions before the newest one need."""

    @staticmethod
    def steps(world: World, state: State, number: int) -> Iterator[Step]:
        process = state.processes[number]
        step = getattr(Reclaimer, process.at.replace(" ", "_"))
        what, process, disk = step(world, state, process)
        yield what, state.with_process(number, process, disk)

    @staticmethod
    def idle(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        return "begins", follow(process, f"sync for {process.todo[0]}"), state.disk

    @staticmethod
    def sync_for_fold(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        return "syncs", process._replace(at="checkpoint"), state.disk.log_synced()

    @staticmethod
    def checkpoint(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        version = len(process.known)
        disk = state.disk.checkpointed(version, process.known, durable=False)
        return f"checkpoints {version}", process._replace(at="sync checkpoint"), disk

    @staticmethod
    def sync_checkpoint(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk = state.disk.checkpointed(len(process.known), process.known, durable=True)
        return "syncs its checkpoint", process._replace(at="bundle"), disk

    @staticmethod
    def bundle(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        first = state.disk.boundary[-1] + 1
        if first > len(process.known):
            return "has nothing to fold", ended(process), state.disk
        bundle = Bundle(first, process.known[first - 1 :], durable=False)
        bundles = state.disk.bundles
        if all((b.first, b.records) != (first, bundle.records) for b in bundles):
            bundles = (*bundles, bundle)
        disk = state.disk._replace(bundles=bundles)
        return f"bundles {first}-{bundle.last}", process._replace(at="sync bundles"), disk

    @staticmethod
    def sync_bundles(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk = state.disk
        if world.guarded("a bundle is durable before the boundary"):
            disk = disk._replace(bundles=tuple(b._replace(durable=True) for b in disk.bundles))
        first = "raise boundary"
        if not world.guarded("the boundary is raised before names are freed"):
            first = "free names"
        return "syncs the bundles", process._replace(at=first), disk

    @staticmethod
    def raise_boundary(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk = _raised(state.disk, "boundary", len(process.known))
        if not world.guarded("the boundary is raised before names are freed"):
            return "raises the boundary", ended(process), disk
        return "raises the boundary", process._replace(at="sync boundary"), disk

    @staticmethod
    def sync_boundary(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk = state.disk
        if world.guarded("the boundary is durable before names are freed"):
            disk = disk._replace(boundary=disk.boundary[-1:])
        return "syncs the boundary", process._replace(at="free names"), disk

    @staticmethod
    def free_names(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk, early = state.disk, not world.guarded("the boundary is raised before names are freed")
        upto = len(process.known) if early else disk.boundary[-1]
        for version in range(1, upto + 1):
            if disk.at(version) is not None:
                disk = disk.named(version, None)
        if early:
            return "frees names", process._replace(at="raise boundary"), disk
        return "frees names", ended(process), disk

    # Reclaim

    @staticmethod
    def sync_for_reclaim(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        at = "anchor"
        if not world.guarded("pins are read after the horizon was raised"):
            at = "look at pins"
        process = process._replace(at=at, base=max(len(process.known), state.disk.horizon[-1]))
        return "syncs", process, state.disk.log_synced()

    @staticmethod
    def anchor(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk, durable = state.disk, world.guarded("a checkpoint is durable before the horizon")
        for version in {process.base, *tagged(world, process.known)}:
            if version <= len(process.known):
                disk = disk.checkpointed(version, process.known, durable=durable)
        return f"anchors {process.base}", process._replace(at="raise horizon"), disk

    @staticmethod
    def raise_horizon(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk = state.disk
        if world.guarded("the horizon is raised before anything is freed"):
            disk = _raised(disk, "horizon", process.base)
        return f"raises the horizon to {process.base}", process._replace(at="sync horizon"), disk

    @staticmethod
    def sync_horizon(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk = state.disk
        if world.guarded("the horizon is durable before anything is freed"):
            disk = disk._replace(horizon=disk.horizon[-1:])
        following = "list segments" if process.found is None else "look at newest"
        return "syncs the horizon", process._replace(at=following), disk

    @staticmethod
    def list_segments(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        process = process._replace(at="look at pins", found=(_there(state.disk), frozenset(), 0))
        return "lists segments", process, state.disk

    @staticmethod
    def look_at_pins(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        early = process.found is None
        segments = _there(state.disk) if process.found is None else process.found[0]
        held = frozenset(s for p in state.processes for s in p.holds)
        pins = [p.pin for p in state.processes if p.pin >= 0]
        floor = min([process.base, *pins])
        if not world.guarded("what pins keep is not freed"):
            floor = process.base
        process = process._replace(found=(segments, held, floor))
        if early:
            return "looks at pins", process._replace(at="anchor"), state.disk
        if not world.guarded("the newest version is looked up after the pins"):
            return "looks at pins", process._replace(at="free"), state.disk
        return "looks at pins", follow(process, "look at newest"), state.disk

    @staticmethod
    def look_at_newest(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        disk = state.disk.log_synced()
        if not world.guarded("what is committed is listed before the newest is looked up"):
            assert process.found is not None
            found = (_there(disk), *process.found[1:])
            return "lists segments", process._replace(at="free", found=found), disk
        return "syncs", process._replace(at="free"), disk

    @staticmethod
    def free(world: World, state: State, process: Process) -> tuple[str, Process, Disk]:
        """Mark what is needed, and remove the rest."""
        assert process.found is not None
        disk, known = state.disk, process.known
        listed, held, floor = process.found
        floor = max(floor, 1)
        versions = set(range(floor, len(known) + 1))
        named = _named(world, known, floor)
        if world.guarded("what tags and clones need is marked"):
            versions |= named
        needed: frozenset[int] = frozenset()
        for version in versions:
            needed |= live(world.transactions, known[:version])
        if world.guarded("a version that a late record names is anchored"):
            for version in named:
                disk = disk.checkpointed(version, known, durable=True)
        kept = named if world.guarded("anchors of named versions stay") else set()
        checkpoints = [c for c in disk.checkpoints if c.version >= floor or c.version in kept]
        disk = disk._replace(
            bundles=tuple(b for b in disk.bundles if b.last >= floor),
            checkpoints=tuple(checkpoints),
        )
        gone = listed - needed - (held if world.guarded("held segments are not freed") else set())
        return f"frees {sorted(gone)}", ended(process), disk.with_segments(DROPPED, *gone)


def _there(disk: Disk) -> frozenset[int]:
    return frozenset(n for n, s in enumerate(disk.segments) if s in {UNSYNCED, DURABLE})


def _named(world: World, known: tuple[Record, ...], floor: int) -> set[int]:
    """Versions below the floor that tags, or clones above it, refer to."""
    late = [n for record in known[floor - 1 :] for n in record.transactions]
    clones = {world.transactions[n].clones for n in late} - {0}
    return {v for v in tagged(world, known) | clones if v < floor}


def _raised(disk: Disk, mark: str, version: int) -> Disk:
    history = disk.boundary if mark == "boundary" else disk.horizon
    if version <= history[-1]:
        return disk
    raised = (*history, version)
    return disk._replace(boundary=raised) if mark == "boundary" else disk._replace(horizon=raised)
