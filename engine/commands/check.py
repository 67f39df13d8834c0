"""`pagelake check`: is everything in a store as it was written, and can it be repaired?"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .options import format_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..safekeeping.check import CheckReport

DAMAGED_STATUS = 1
"""Exit status when something is damaged and was not repaired."""


@click.command()
@click.argument("store", nargs=-1, required=True)
@click.option("--repair", is_flag=True, help="Make good what can be made good.")
@format_option
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def check(store: tuple[str, ...], repair: bool, format_name: str, quiet: bool) -> int:
    """Verify every checksum, reference, count and bound in STORE.

    Any one directory of a store that has several devices names it. The store may be in use. The
    status is 0 when nothing is damaged (any more) and 1 when something is.

    --repair writes damaged checkpoints anew, drops damaged hot segments, which are built again
    when they are needed, and rebuilds from parity what other devices still have. What nothing
    else in the store tells is left as it is and named, to be restored from a backup.

    \b
    Examples:
      pagelake check demo.lake
      pagelake check demo.lake --repair
      pagelake check /disk1/lake --format json
    """  # noqa: D301
    from ..safekeeping.check import check as check_store

    with progress_bar(quiet=quiet) as progress:
        report = check_store(store, repair=repair, progress=progress)
    if format_name == "json":
        _print_json(report)
    else:
        _print_findings(report)
        _print_repairs(report)
        _print_verdict(report)
    return DAMAGED_STATUS if report.damaged else 0


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


def _print_json(report: CheckReport) -> None:
    found = [{**asdict(f), "severity": f.severity.value} for f in report.findings]
    text = {"findings": found, "repairs": [asdict(r) for r in report.repairs]}
    sys.stdout.write(json.dumps(text, ensure_ascii=False, indent=2) + "\n")


def _print_findings(report: CheckReport) -> None:
    from ..output.terminal import visible
    from ..shell.texts import bytes_text

    for finding in report.findings:
        place = finding.file if finding.offset is None else f"{finding.file}, at {finding.offset}"
        lines = [f"{finding.severity.value}: {place}", f"  {finding.what}"]
        if finding.affects:
            lines.append(f"  affects {', '.join(finding.affects)}")
        if finding.derived:
            lines.append("  derived: it can be made again")
        if finding.bytes:
            lines.append(f"  reclaiming would free {bytes_text(finding.bytes)}")
        sys.stdout.write("\n".join(visible(line) for line in lines) + "\n")


def _print_repairs(report: CheckReport) -> None:
    from ..output.terminal import visible

    for repair in report.repairs:
        word = "repaired" if repair.done else "left as it is"
        sys.stdout.write(visible(f"{word}: {repair.file}: {repair.what}") + "\n")


def _print_verdict(report: CheckReport) -> None:
    from ..safekeeping.check import damaged

    found = damaged(report.findings)
    text = f"{found} damaged" if found else "no damage"
    if report.repairs:
        text += f", {report.damaged} after the repair"
    unused = sum(f.bytes for f in report.left)
    if unused:
        from ..shell.texts import bytes_text

        text += f"; {bytes_text(unused)} unused"
    sys.stdout.write(text + "\n")
