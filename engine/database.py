"""A database: the one place that puts the layers together."""

from __future__ import annotations

import os
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from ..errors import Error, InvalidRequest, NotAStore
from ..extensions.registry import Registry, SystemContext, builtin_registry
from ..sql.predicate import Constant, Predicate
from ..sql.provider import ScanRequest, SystemRelation
from ..storage.devices.local_device import LocalDevice
from ..storage.devices.memory_device import MemoryDevice
from ..storage.devices.striped_device import open_member, open_striped
from ..storage.environment import Environment
from ..storage.files.files import Files
from ..storage.hot_directory import HotDirectory
from ..storage.keys.key_index import KeyIndexes
from ..storage.store import Store
from .files.functions import FileFunctions
from .files.urls import StoredUrls
from .kernel import Kernel, kernel_version
from .leaves.cold_columns import ColdColumns
from .leaves.delta import Deltas
from .leaves.hot_tier import HotTier
from .leaves.leaf_source import LeafSource
from .leaves.router import Router
from .leaves.routing import Routing
from .maintenance import Maintenance
from .native.introspection import introspect
from .plan_cache import PlanCache
from .query_log import QueryLog
from .result_cache.cache import ResultCache
from .rivals import Rivals
from .session import Session
from .settings import SETTINGS, Settings, remove_temp_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from ..storage.devices.device import Device
    from ..storage.snapshot import Snapshot
    from .leaves.leaf_source import Comparison

MEMORY = ":memory:"
_CLOSE_PATIENCE_S = 10.0
"""How long closing waits for cancelled statements to notice."""


class Database:
    """An open store with everything that answers SQL over it.

    Args:
        path: A directory, or ``:memory:``; left out when there are devices.
        devices: Directories to spread the store over.
        parity: How many of them may be lost; None for what the store was created with.
        read_only: Create and change nothing.
        settings: Settings by name.
        environment: Clock and randomness.
        registry: What extensions add.

    Raises:
        NotAStore: The path cannot be a store.
        FormatTooNew: A later version of Pagelake wrote it.
        Corrupt: The log is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = MEMORY,
        *,
        devices: Sequence[str | os.PathLike[str]] = (),
        parity: int | None = None,
        read_only: bool = False,
        settings: Mapping[str, object] | None = None,
        environment: Environment | None = None,
        registry: Registry | None = None,
    ) -> None:
        self.process = os.getpid()
        self.closed = False
        self.read_only = read_only
        self.settings = Settings(settings)
        self.environment = environment or Environment()
        self.path, self.name, device = _device(
            path, devices=devices, parity=parity, read_only=read_only
        )
        try:
            self.store = Store(device, environment=self.environment, read_only=read_only)
        except BaseException:
            device.close()
            raise
        try:
            self._assemble(device, registry)
        except BaseException:
            self.store.close()
            raise

    def _assemble(self, device: Device, registry: Registry | None) -> None:
        """Build what stands on the store."""
        self.kernel = Kernel(self.settings, self.environment)
        directory = HotDirectory(
            device,
            kernel=kernel_version(),
            bytes_max=self.settings.integer("hot_bytes_max"),
            read_only=self.read_only,
        )
        self.hot = HotTier(self.kernel, self.store, self.settings, self.environment, directory)
        self.deltas = Deltas(self.kernel, self.store)
        self.rivals = Rivals(self.store)
        self.attached: set[str] = set()
        self.forgives = False
        self.keys = KeyIndexes(self.store)
        self.files = Files(self.store, self.keys)
        self.urls = StoredUrls(self.kernel, self.files)
        self.log = QueryLog()
        self.plans = PlanCache(self.settings.integer("plan_cache_entries"))
        self.results = ResultCache(self.settings.integer("result_cache_bytes"))
        self._factories = (registry or builtin_registry()).seal()
        self.system: dict[str, SystemRelation] = self._system_at(self.store.snapshot())
        self.router = Router(
            Routing(
                self.kernel,
                self.store,
                self.hot,
                self.deltas,
                self.system,
                self._system_source,
                lambda route: introspect(route, self.name),
                FileFunctions(self.kernel, self.files),
                ColdColumns(self.kernel, self.store.pages),
            )
        )
        self.maintenance = Maintenance(self)
        self.files.on_commit = self.maintenance.wake
        self.abandoned: deque[Callable[[], None]] = deque()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        if not self.read_only:
            # Hot segments may have been deleted since, or be those of another kernel version.
            self.maintenance.wake()

    def session(self) -> Session:
        """A further session on the database."""
        session = Session(self)
        self._sessions.add(session)
        return session

    def release_abandoned(self) -> None:
        """Give back what results held that were collected as garbage."""
        while self.abandoned:
            with suppress(IndexError, duckdb.Error):
                self.abandoned.popleft()()

    def apply_settings(self) -> None:
        """Let changed settings take effect."""
        self.kernel.apply(self.settings)
        self.plans.entries_max = self.settings.integer("plan_cache_entries")
        self.results.resize(self.settings.integer("result_cache_bytes"))
        budget = self.settings.integer("hot_bytes_max")
        if budget != self.hot.directory.bytes_max:
            self.hot.directory.set_budget(budget)
            self.router.invalidate()

    def condemn_hot(self) -> None:
        """A hot segment proved damaged while it was read: drop them, read the truth instead."""
        self.hot.condemn()
        self.router.invalidate()
        self.maintenance.wake()

    # System relations

    def _system_at(
        self, snapshot: Snapshot, settings: Settings | None = None
    ) -> dict[str, SystemRelation]:
        context = SystemContext(
            self.store, snapshot, lambda: self._hot_rows(snapshot), self.log.rows,
            lambda: _setting_rows(settings or self.settings), self._maintenance_rows,
            self.results.rows,
        )  # fmt: skip
        return {name: make(context) for name, make in self._factories.items()}

    def _system_source(self, name: str, snapshot: Snapshot) -> _SystemSource:
        return _SystemSource(self._system_at(snapshot)[name])

    def settings_leaf(self, snapshot: Snapshot, settings: Settings) -> LeafSource:
        """``pagelake.settings`` as a session has them, instead of the database's."""
        return LeafSource(_SystemSource(self._system_at(snapshot, settings)["settings"]))

    def _hot_rows(self, snapshot: Snapshot) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        attached = self.hot.attached()
        by_table = {s.definition.id: s for s in snapshot.tables.values()}
        used = {
            segment.file.cover
            for state in snapshot.tables.values()
            for segment in self.hot.segments(state)
        }
        attached = self.hot.attached()
        for cover, file in sorted(self.hot.directory.files(rescan=True).items()):
            state = by_table.get(file.table)
            segment = attached.get(cover)
            live = None
            if state is not None and segment is not None:
                present = {g.id for g in state.row_groups}
                live = sum(n for g, n in segment.row_counts.items() if g in present) - sum(
                    v.count for g in segment.offsets for v in state.deletes.get(g, ())
                )
            rows.append(
                {
                    "table_schema": None if state is None else state.definition.schema,
                    "table_name": None if state is None else state.definition.name,
                    "file": f"hot/{file.name}",
                    "bytes": file.bytes,
                    "rows": None if segment is None else segment.rows,
                    "row_groups": None if segment is None else len(segment.offsets),
                    "live_rows": live,
                    "used": cover in used,
                    "kernel": file.kernel,
                }
            )
        return rows

    def _maintenance_rows(self) -> list[dict[str, object]]:
        return self.maintenance.log.rows()

    def close(self) -> None:
        """Cancel what runs, stop background work, release everything. Twice is allowed."""
        if self.closed:
            return
        self.closed = True
        if os.getpid() != self.process:
            return
        for session in list(self._sessions):
            session.interrupt()
        for session in list(self._sessions):
            session.guard.wait_idle(_CLOSE_PATIENCE_S)
            session.close()
        self.release_abandoned()
        for close in (
            self.files.close,
            self.maintenance.close,
            self.router.close,
            self.hot.detach_all,
            self.results.forget,
            self.kernel.close,
            self.urls.close,
            self.store.close,
        ):
            # One part that cannot be closed must not keep the others open.
            with suppress(duckdb.Error, Error, OSError):
                close()
        remove_temp_directory(self.settings)


def _setting_rows(settings: Settings) -> list[dict[str, object]]:
    return [
        {
            "name": setting.name,
            "value": str(settings.get(setting.name)),
            "default": str(setting.default()),
            "unit": setting.unit,
            "scope": "database" if setting.shared else "connection",
            "description": setting.reason,
        }
        for setting in SETTINGS.values()
    ]


class _SystemSource:
    """A system relation as a kernel leaf."""

    def __init__(self, relation: SystemRelation) -> None:
        self._relation = relation

    def schema(self) -> pa.Schema:
        """Its columns."""
        return self._relation.schema

    def rows(self) -> int:
        """About how many rows it has."""
        return max(1, self._relation.estimated_rows())

    def batches(
        self, columns: Sequence[str], comparisons: Sequence[Comparison]
    ) -> Iterator[pa.RecordBatch]:
        """Compute the rows."""
        place = tuple(
            Predicate(name, op, tuple(Constant(str(value), "string") for value in values))
            for name, op, values in comparisons
            if all(isinstance(value, str) for value in values)
        )
        request = ScanRequest(tuple(columns), (place,) if place else ())
        table = self._relation.scan(request)
        if columns:
            yield from table.to_batches()
            return
        whole = self._relation.scan(ScanRequest((self._relation.schema.names[0],), ()))
        yield from whole.to_batches()


def _device(
    path: str | os.PathLike[str],
    *,
    devices: Sequence[str | os.PathLike[str]],
    parity: int | None,
    read_only: bool,
) -> tuple[str, str, Device]:
    """The device of a path, with the path and the name that the store answers to."""
    text = os.fspath(path)
    if devices:
        if text != MEMORY:
            raise InvalidRequest("a store over devices has no path", hint="give the devices only")
        roots = [_root(os.fspath(device)) for device in devices]
        striped = open_striped(roots, parity, create=not read_only)
        return str(roots[0]), roots[0].stem or "pagelake", striped
    if parity is not None:
        raise InvalidRequest("parity needs devices", hint="name them: devices=[…]")
    if text == MEMORY:
        return MEMORY, "memory", MemoryDevice()
    root = _root(text)
    one: Device | None = open_member(root, create=not read_only)
    device = one or LocalDevice(root, create=not read_only)
    return str(root), root.stem or "pagelake", device


def _root(text: str) -> Path:
    if not text or "\0" in text:
        raise NotAStore("a store needs a path", hint="name a directory, or :memory:")
    return Path(text).expanduser().absolute()
