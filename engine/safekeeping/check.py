"""Checking a store, and repairing it: all of storage, then the hot segments derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Error, NotAStore
from ...storage.hot_directory import FOLDER
from ...storage.maintenance.check import check as check_storage
from ...storage.maintenance.finding import Finding, Severity, no_progress
from ...storage.maintenance.repair import Repair
from ...storage.maintenance.repair import repair as repair_storage
from ...storage.store import Store
from .hot_check import check_hot
from .opening import open_device, paths_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from ...storage.devices.device import Device
    from ...storage.maintenance.finding import Progress


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found, and what a repair did about it.

    Attributes:
        findings: Damage and information, in the order found; each has `severity`, `file`, `what`,
            `affects`, `offset`, `derived` and `bytes`.
        repairs: What was done about damage, or why nothing was; each has `file`, `done`, `what`.
        left: What a second check found after a repair; the findings where nothing was repaired.
    """

    findings: tuple[Finding, ...]
    repairs: tuple[Repair, ...]
    left: tuple[Finding, ...]

    @property
    def damaged(self) -> int:
        """How many things are damaged still; 0 is a sound store."""
        return damaged(self.left)


def check(
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    repair: bool = False,
    progress: Progress | None = None,
) -> CheckReport:
    """Verify everything in a store; see `pagelake.check`."""
    advance = progress or no_progress
    device = open_device(paths_of(store), writable=repair)
    try:
        findings = tuple(_all_findings(device, advance))
        repairs = tuple(_repair(device, findings, advance)) if repair else ()
        left = tuple(_all_findings(device, advance)) if repairs else findings
    finally:
        device.close()
    return CheckReport(findings, repairs, left)


def damaged(findings: Iterable[Finding]) -> int:
    """How many findings are damage."""
    return sum(f.severity is Severity.DAMAGE for f in findings)


def _all_findings(device: Device, progress: Progress) -> Iterator[Finding]:
    if not device.exists("store.json") and not device.list("log"):
        raise NotAStore("there is no store here", hint="name the directory of a store")
    yield from check_storage(device, progress)
    try:
        store = Store(device, read_only=True)
    except Error:
        return  # what keeps it from opening was found
    try:
        yield from check_hot(store, progress)
    finally:
        store.executor.shutdown()


def _repair(device: Device, findings: Sequence[Finding], progress: Progress) -> list[Repair]:
    hot = [f for f in findings if f.file.startswith(f"{FOLDER}/")]
    return repair_storage(device, findings=hot, progress=progress) if damaged(findings) else []
