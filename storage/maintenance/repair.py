"""Repair a store: make again what is derived, restore from parity what is not, leave the rest.

A repair never makes a store worse. It removes a file only when the rest of the store tells what
stood in it, and never touches a commit record, a bundle or a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import Error
from ..devices.scrub import scrub
from ..devices.striped_device import StripedDevice
from ..log import checkpoint as checkpoints
from ..store import Store
from .check import check
from .finding import Severity, no_progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..devices.device import Device
    from ..environment import Environment
    from .finding import Finding, Progress


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of a finding.

    Attributes:
        file: The file.
        done: True when nothing is wrong with it any more.
        what: What was done, or why nothing was.
    """

    file: str
    done: bool
    what: str


def repair(
    device: Device,
    *,
    environment: Environment | None = None,
    findings: Iterable[Finding] | None = None,
    progress: Progress = no_progress,
) -> list[Repair]:
    """Repair what can be repaired.

    Args:
        device: The store's device, writable.
        environment: Clock and randomness.
        findings: What else was found damaged and is derived, such as hot segments.
        progress: Told how the checks go.

    Returns:
        What was done, and what cannot be.
    """
    done: list[Repair] = []
    if isinstance(device, StripedDevice):
        for rot in scrub(device, progress=progress):
            what = "rebuilt from the other devices" if rot.repaired else "cannot be rebuilt"
            done.append(Repair(rot.name, rot.repaired, f"device {rot.index}: {rot.what}; {what}"))
    found = [f for f in check(device, progress) if f.severity is Severity.DAMAGE]
    found += [f for f in findings or () if f.severity is Severity.DAMAGE]
    stale = [f.file for f in found if f.derived and f.file.startswith(f"{checkpoints.FOLDER}/")]
    for file in stale:
        device.unlink(file)
        done.append(Repair(file, True, "removed: the log tells the same"))
    if stale:
        device.sync_directory(checkpoints.FOLDER)
        done.append(_fresh_checkpoint(device, environment))
    for finding in found:
        if finding.file in stale:
            continue
        if finding.derived:
            device.unlink(finding.file)
            done.append(Repair(finding.file, True, "removed: it is built again when needed"))
        else:
            done.append(Repair(finding.file, False, _refusal(finding)))
    return done


def _fresh_checkpoint(device: Device, environment: Environment | None) -> Repair:
    """Write the newest state out again. The store itself is not closed: the device is not ours."""
    try:
        store = Store(device, environment=environment)
        name = checkpoints.checkpoint_name(store.snapshot().version)
        store.checkpoint()
    except Error as error:
        return Repair(checkpoints.FOLDER, False, f"no new one was written: {error.message}")
    return Repair(name, True, "written anew")


def _refusal(finding: Finding) -> str:
    affected = f" ({', '.join(finding.affects)})" if finding.affects else ""
    return (
        f"cannot be repaired{affected}: nothing else in the store holds what stood there; "
        "restore the file from a backup"
    )
