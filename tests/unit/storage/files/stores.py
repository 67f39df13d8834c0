"""Stores in memory with files in them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.environment import Environment
from pagelake.storage.files.definition import ELEMENTS
from pagelake.storage.files.files import Files
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_compaction, plan_sealing
from pagelake.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pagelake.storage.files.element import Element
    from pagelake.storage.files.namespace import NamespaceView, Operation


@contextmanager
def opened(
    device: MemoryDevice, *, threads: bool = False, read_only: bool = False
) -> Iterator[Files]:
    """Files of a store on a device, as a process of its own would have them."""
    store = Store(device, environment=Environment(threads=threads), read_only=read_only)
    files = Files(store)
    try:
        yield files
    finally:
        files.close()
        store.close()


@contextmanager
def two_processes() -> Iterator[tuple[Files, Files]]:
    """Files of one store, open twice."""
    device = MemoryDevice()
    with opened(device) as mine, opened(device) as theirs:
        yield mine, theirs


@dataclass
class During:
    """An operation during which something happens once, after it was applied."""

    operation: Operation
    meanwhile: Callable[[], object]
    happened: bool = False

    def apply(self, view: NamespaceView) -> Element | None:
        answer = self.operation.apply(view)
        if not self.happened:
            self.happened = True
            self.meanwhile()
        return answer


def paths(files: Files) -> list[str]:
    """All paths but the root's, sorted."""
    with files.snapshot() as snapshot:
        batches = snapshot.subtree("/", ["path"])
        return sorted(p for b in batches for p in b.column(0).to_pylist() if p != "/")


def content(files: Files, path: str) -> bytes:
    """The content of a file."""
    with files.snapshot() as snapshot:
        element = snapshot.get(path)
        return snapshot.read(element).read_at(0, element.size)


def sealed(files: Files) -> None:
    """Write the rows of elements anew, as maintenance does: in other places, the same rows."""
    seal = partial(plan_sealing, groups_min=1, bytes_min=0)
    for plan in (seal, partial(plan_compaction, eager=True)):
        state = files.store.snapshot().tables.get(ELEMENTS)
        steps = [] if state is None else plan(state)
        if steps:
            rewrite(files.store, ELEMENTS, steps)
