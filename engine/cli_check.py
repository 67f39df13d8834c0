"""`pagelake check`: is everything in a store as it was written, and can it be repaired?"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..storage.devices.device import Device
    from ..storage.maintenance.finding import Finding, Progress
    from ..storage.maintenance.repair import Repair

DAMAGED_STATUS = 1
"""Exit status when something is damaged and was not repaired."""


@click.command()
@click.argument("store", nargs=-1, required=True)
@click.option("--repair", is_flag=True, help="Make good what can be made good.")
@click.option(
    "--format", "-f", "format_name", type=click.Choice(("table", "json")), default="table"
)
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def check(store: tuple[str, ...], repair: bool, format_name: str, quiet: bool) -> int:
    """Verify every checksum, reference, count and bound in STORE.

    Name all the directories of a store that has several devices. The store may be in use. The
    status is 0 when nothing is damaged (any more) and 1 when something is.

    --repair writes damaged checkpoints anew, drops damaged hot segments, which are built again
    when they are needed, and rebuilds from parity what other devices still have. What nothing
    else in the store tells is left as it is and named, to be restored from a backup.

    \b
    Examples:
      pagelake check demo.lake
      pagelake check demo.lake --repair
      pagelake check /disk1/lake /disk2/lake /disk3/lake --format json
    """  # noqa: D301
    device = open_device(store, writable=repair)
    try:
        with progress_bar(quiet=quiet) as progress:
            findings = list(_all_findings(device, progress))
            repairs = _repair(device, findings, progress) if repair else []
            left = list(_all_findings(device, progress)) if repairs else findings
    finally:
        device.close()
    if format_name == "json":
        _print_json(findings, repairs)
    else:
        _print_findings(findings)
        _print_repairs(repairs)
        _print_verdict(findings, left, repaired=bool(repairs))
    return DAMAGED_STATUS if _damaged(left) else 0


def open_device(paths: tuple[str, ...], *, writable: bool) -> Device:
    """The device of a store that exists.

    Raises:
        NotAStore: There is none.
    """
    from ..storage.devices.local_device import LocalDevice
    from ..storage.devices.striped_device import open_striped

    roots = [Path(path).expanduser().absolute() for path in paths]
    if len(roots) == 1:
        return LocalDevice(roots[0], create=False)
    return open_striped(roots, None, create=writable)


def _all_findings(device: Device, progress: Progress) -> Iterator[Finding]:
    from ..errors import Error, NotAStore
    from ..storage.maintenance.check import check as check_storage
    from ..storage.store import Store
    from .hot_check import check_hot

    if not device.exists("store.json") and not device.list("log"):
        raise NotAStore("there is no store here")
    yield from check_storage(device, progress)
    try:
        store = Store(device, read_only=True)
    except Error:
        return  # what keeps it from opening was found
    try:
        yield from check_hot(store, progress)
    finally:
        store.executor.shutdown()


def _repair(device: Device, findings: list[Finding], progress: Progress) -> list[Repair]:
    from ..storage.hot_directory import FOLDER
    from ..storage.maintenance.repair import repair as repair_storage

    hot = [f for f in findings if f.file.startswith(f"{FOLDER}/")]
    return repair_storage(device, findings=hot, progress=progress) if _damaged(findings) else []


def _damaged(findings: list[Finding]) -> int:
    from ..storage.maintenance.finding import Severity

    return sum(f.severity is Severity.DAMAGE for f in findings)


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, for terminals only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)

        def advance(what: str, done_bytes: int, total_bytes: int) -> None:
            progress.update(task, description=what, completed=done_bytes, total=total_bytes)

        yield advance


def _print_json(findings: list[Finding], repairs: list[Repair]) -> None:
    found = [{**asdict(f), "severity": f.severity.value} for f in findings]
    text = {"findings": found, "repairs": [asdict(r) for r in repairs]}
    sys.stdout.write(json.dumps(text, ensure_ascii=False, indent=2) + "\n")


def _print_findings(findings: list[Finding]) -> None:
    from .cli_info import bytes_text
    from .output.terminal import visible

    for finding in findings:
        place = finding.file if finding.offset is None else f"{finding.file}, at {finding.offset}"
        lines = [f"{finding.severity.value}: {place}", f"  {finding.what}"]
        if finding.affects:
            lines.append(f"  affects {', '.join(finding.affects)}")
        if finding.derived:
            lines.append("  derived: it can be made again")
        if finding.bytes:
            lines.append(f"  reclaiming would free {bytes_text(finding.bytes)}")
        sys.stdout.write("\n".join(visible(line) for line in lines) + "\n")


def _print_repairs(repairs: list[Repair]) -> None:
    from .output.terminal import visible

    for repair in repairs:
        word = "repaired" if repair.done else "left as it is"
        sys.stdout.write(visible(f"{word}: {repair.file}: {repair.what}") + "\n")


def _print_verdict(findings: list[Finding], left: list[Finding], *, repaired: bool) -> None:
    found, remain = _damaged(findings), _damaged(left)
    text = f"{found} damaged" if found else "no damage"
    if repaired:
        text += f", {remain} after the repair"
    unused = sum(f.bytes for f in left)
    if unused:
        from .cli_info import bytes_text

        text += f"; {bytes_text(unused)} unused"
    sys.stdout.write(text + "\n")
