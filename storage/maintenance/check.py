"""Check a store: every checksum, reference, count and bound of all versions that are kept.

The log is read from its beginning, and every page is verified when the version comes up that
first refers to it, so that each is read once. Nothing is changed, and a store in use may be
checked: what its writers add meanwhile is left out.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import Corrupt, Error, FormatTooNew
from ..content.content_check import contradictions, handles_of_packs, told
from ..devices.scrub import scrub
from ..devices.striped_device import StripedDevice
from ..effects import (
    Append,
    AttachKeyRuns,
    CloneTable,
    Delete,
    RestoreTable,
    Rewrite,
    TableDefinition,
)
from ..environment import Environment
from ..keys.run_check import told_wrongly
from ..log import bundle as bundles
from ..log import checkpoint as checkpoints
from ..page import segment_name
from ..page_store import PageStore
from ..store import Store
from .finding import Finding, Severity, damage, information, no_progress, relation_name
from .replay import STORE_FILE, Replay, Step, read_store_id
from .row_check import RowCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..devices.device import Device
    from ..snapshot import CommitInfo, Snapshot, TableState
    from .finding import Progress

_SEGMENTS = "segments"
_SEGMENT_DIGITS = 16
_STAGING = "tmp"


def check(source: Store | Device, progress: Progress = no_progress) -> Iterator[Finding]:
    """Check a store.

    Args:
        source: A store, or the device of one that may not open.
        progress: Told what is being looked at, the bytes done and the bytes in all.

    Returns:
        What is damaged, and what lies around unused, as it is found.

    Raises:
        FormatTooNew: A later version of Pagelake wrote it.
    """
    device = source.device if isinstance(source, Store) else source
    try:
        store_id = read_store_id(device)
    except FormatTooNew:
        raise
    except (Error, OSError) as error:
        what = error.message if isinstance(error, Error) else f"{STORE_FILE} cannot be read"
        yield damage(STORE_FILE, what, "the whole store")
        return
    yield from _Check(device, store_id, progress).run()
    if isinstance(device, StripedDevice):
        # What was read above came from the devices that are well.
        for rot in scrub(device, repair=False, progress=progress):
            what = f"on device {rot.index}: {rot.what}"
            yield damage(rot.name, what, "what is left of the parity", derived=True)


def verify_store(store: Store) -> list[Finding]:
    """Check a store that is open, its state in memory included; returns the damage only."""
    checking = _Check(store.device, store.id, no_progress)
    found = [f for f in checking.run() if f.severity is Severity.DAMAGE]
    mine = store.snapshot()
    if checking.last is not None and checking.last.version == mine.version:
        if not _same(mine, checking.last):
            found.append(damage("log", "the open store has another state than its log", "all"))
    elif not found:
        what = f"the open store is at version {mine.version}, its log at {checking.reached}"
        found.append(damage("log", what, "all"))
    return found


@dataclass(slots=True)
class _Check:
    """One run."""

    device: Device
    store_id: bytes
    progress: Progress
    last: Snapshot | None = None
    reached: int = 0
    _rows: RowCheck = field(init=False)
    _replay: Replay = field(init=False)
    _segment_bytes: dict[str, int] = field(default_factory=dict)
    _infos: dict[int, CommitInfo] = field(default_factory=dict)
    _bad: list[tuple[int, Corrupt]] = field(default_factory=list)

    def run(self) -> Iterator[Finding]:
        for name in self.device.list(_SEGMENTS):
            # It may be reclaimed at this moment.
            with suppress(FileNotFoundError):
                self._segment_bytes[name] = self.device.size(f"{_SEGMENTS}/{name}")
        pages = PageStore(self.device, self.store_id, Environment())
        total = sum(self._segment_bytes.values())
        self._rows = RowCheck(pages, total, self.progress)
        self._replay = Replay(self.device, self.store_id)
        self._replay.look()
        self._try_checkpoints()
        for step in self._replay.steps():
            if isinstance(step, Finding):
                yield step
            else:
                yield from self._step(step)
        self.reached = self._replay.reached
        yield from self._bad_checkpoints()
        if self.last is not None:
            yield from self._tables(self.last, "log")
            yield from self._tagged(self.last)
            yield from self._contents(self.last, pages)
        yield from self._replay.loose_after(self.reached + 1)
        yield from self._bundles()
        yield from self._unreferenced()
        self.progress("pages", total, total)

    def _try_checkpoints(self) -> None:
        for version in checkpoints.versions(self.device):
            try:
                self._replay.checkpoint(version)
            except FileNotFoundError:
                continue
            except FormatTooNew:
                raise
            except (Error, OSError) as error:
                name = checkpoints.checkpoint_name(version)
                what = error.message if isinstance(error, Error) else f"{name} cannot be read"
                self._bad.append((version, Corrupt(what, file=name)))
            else:
                self._replay.good.append(version)

    def _bad_checkpoints(self) -> Iterator[Finding]:
        """Damaged checkpoints: derived where the log tells the newest state without them."""
        derived = self._replay.complete
        for version, error in self._bad:
            affects = () if derived else (f"versions from {version} on",)
            name = checkpoints.checkpoint_name(version)
            yield damage(name, error.message, *affects, derived=derived)

    def _step(self, step: Step) -> Iterator[Finding]:
        after, version = step.after, step.after.version
        if step.record is None or step.before is None:
            # The log begins here: nothing has looked at what this state refers to.
            for state in after.tables.values():
                yield from self._state(state, step.file, (relation_name(state),))
            if step.file != STORE_FILE:
                yield from self._tables(after, step.file)
        else:
            yield from self._effects(step, step.before)
            if step.info is not None:
                self._infos[version] = step.info
        if version in self._replay.good and step.record is not None:
            yield from self._compare(version, after)
        self.last = after

    def _effects(self, step: Step, before: Snapshot) -> Iterator[Finding]:
        """Check what a record refers to, effect by effect."""
        assert step.record is not None
        version = step.after.version
        rows: dict[str, int] = {}
        for effect in (e for t in step.record.transactions for e in t.effects):
            match effect:
                case CloneTable(TableDefinition(table)) | RestoreTable(table):
                    # Its rows may come from a version below the horizon.
                    begun = step.after.tables.get(table)
                    if begun is not None:
                        affects = (relation_name(begun), f"versions from {version} on")
                        yield from self._state(begun, step.file, affects)
                case Append(table, groups) | Rewrite(table, _, groups):
                    state = step.after.tables.get(table) or before.tables.get(table)
                    if state is None:
                        continue  # made and dropped by the same record
                    affects = (relation_name(state), f"versions from {version} on")
                    rows.update({group.id: group.rows for group in groups})
                    yield from self._rows.row_groups(state.definition, groups, affects)
                    self._rows.contents(table, groups)
                    if isinstance(effect, Append):
                        said = told_wrongly(effect, state.definition, self._rows.pages)
                        if said is not None:
                            yield damage(step.file, said, *affects)
                case AttachKeyRuns(table, runs):
                    state = step.after.tables.get(table)
                    if state is None:
                        continue
                    affects = (relation_name(state), f"versions from {version} on")
                    yield from self._rows.key_runs(state, runs, affects)
                case Delete(table, vectors):
                    state = step.after.tables.get(table) or before.tables.get(table)
                    if state is None:
                        continue
                    earlier = before.tables.get(table)
                    if earlier is not None:
                        rows.update({g.id: g.rows for g in earlier.row_groups if g.id in vectors})
                    affects = (relation_name(state), f"versions from {version} on")
                    several = {group: (vector,) for group, vector in vectors.items()}
                    yield from self._rows.delete_vectors(several, rows, step.file, affects)

    def _state(self, state: TableState, file: str, affects: tuple[str, ...]) -> Iterator[Finding]:
        """Check what a table refers to at a version, and was not looked at before."""
        yield from self._rows.row_groups(state.definition, state.row_groups, affects)
        rows = {g.id: g.rows for g in state.row_groups if g.id in state.deletes}
        yield from self._rows.delete_vectors(state.deletes, rows, file, affects)
        yield from self._rows.key_runs(state, state.key_runs, affects)
        self._rows.contents(state.definition.id, state.row_groups, state.deletes)

    def _contents(self, newest: Snapshot, pages: PageStore) -> Iterator[Finding]:
        """Whether contents hold together, and whose are damaged."""
        for what, affects in contradictions(pages, newest):
            yield damage("log", what, affects)
        damaged: dict[tuple[str, str, int | None], list[int]] = {}
        for pack, found in self._rows.damaged_packs.items():
            # A missing segment is said once, not for each pack in it.
            damaged.setdefault((found.file, found.what, found.offset), []).append(pack)
        for (file, what, offset), packs in damaged.items():
            affects = f"contents in {len(packs)} packs"
            with suppress(Error):
                handles = handles_of_packs(pages, newest, packs)
                affects = told(handles) if handles.size else "files of earlier versions"
            yield damage(file, what, affects, offset=offset)

    def _tagged(self, newest: Snapshot) -> Iterator[Finding]:
        """Tagged versions stay readable below the horizon, from checkpoints of their own."""
        for tag, version in newest.tags.items():
            if version >= self._replay.horizon:
                continue
            name = checkpoints.checkpoint_name(version)
            if version not in self._replay.good:
                yield damage(name, f"{name} is missing or damaged", f"tag {tag}")
                continue
            for state in self._replay.checkpoint(version)[0].tables.values():
                yield from self._state(state, name, (relation_name(state), f"tag {tag}"))

    def _compare(self, version: int, snapshot: Snapshot) -> Iterator[Finding]:
        """A checkpoint must tell the state that the log gives."""
        name = checkpoints.checkpoint_name(version)
        try:
            stored, history = self._replay.checkpoint(version)
        except (Error, OSError):
            return
        derived = self._replay.proven
        affects = () if derived else (f"versions from {version} on",)
        if not _same(stored, snapshot):
            what = f"{name} tells another state than the log"
            yield damage(name, what, *affects, derived=derived)
        elif any(self._infos.get(info.version, info) != info for info in history):
            yield damage(name, f"{name} tells another history than the log", derived=derived)

    def _tables(self, snapshot: Snapshot, file: str) -> Iterator[Finding]:
        for state in snapshot.tables.values():
            yield from self._rows.table(state, file, (relation_name(state),))

    def _bundles(self) -> Iterator[Finding]:
        """What bundles say of their versions must be what the records say."""
        folded = bundles.Bundles(self.device, self.store_id)
        for first, last, name in folded.ranges():
            try:
                index = folded.open(name)
            except FileNotFoundError:
                continue
            except Corrupt as error:
                if last < self._replay.horizon:
                    yield damage(name, error.message, f"history of versions {first} to {last}")
                continue  # otherwise its records were missed above
            if any(self._infos.get(info.version, info) != info for info in index.infos):
                what = f"{name} tells another history than its records"
                yield damage(name, what, f"history of versions {first} to {last}")

    def _unreferenced(self) -> Iterator[Finding]:
        """Files that nobody refers to: no damage, but room."""
        used = {segment_name(segment) for segment in self._rows.segments}
        for name, size in self._segment_bytes.items():
            file = f"{_SEGMENTS}/{name}"
            if file in used:
                continue
            proper = len(name) == _SEGMENT_DIGITS and all(c in "0123456789abcdef" for c in name)
            what = "no version refers to it" if proper else "it is no segment"
            yield information(file, what, bytes=size)
        for name in self.device.list(_STAGING):
            file = f"{_STAGING}/{name}"
            with suppress(FileNotFoundError, IsADirectoryError):
                yield information(file, "an unfinished file", bytes=self.device.size(file))


def _same(left: Snapshot, right: Snapshot) -> bool:
    """Equality by value: row group lists and delete vectors compare by what they hold."""
    none = bytes(16)
    return checkpoints.encode(left, [], store_id=none) == checkpoints.encode(
        right, [], store_id=none
    )
