"""`pagelake devices`: the care of a store that lies on several directories."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..commands.options import format_option
from .care import RATE_MB_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...storage.devices.striped_device import StripedDevice
    from .care import ScrubReport

UNWELL_STATUS = 1
"""Exit status when a device is not live, or when damage is left."""

_store = click.argument("store", nargs=-1, required=True)
_quiet = click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")


@click.group()
def devices() -> None:
    """Create, look after and rebuild a store over several devices.

    A device is a directory, best on a disk of its own. Of n devices with parity k any k may be
    lost. STORE is any one directory of the store, or all of them where they have moved.

    \b
    Examples:
      pagelake devices create /disk1/lake /disk2/lake /disk3/lake --parity 1
      pagelake devices status /disk1/lake
      pagelake devices scrub /disk1/lake
      pagelake devices rebuild /disk1/lake --device 2 --into /disk9/lake
    """  # noqa: D301


@devices.command()
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--parity", "-k", type=click.IntRange(min=1), default=1, show_default=True,
              help="How many of the devices may be lost.")  # fmt: skip
def create(directories: tuple[Path, ...], parity: int) -> None:
    """Create a store over DIRECTORIES, of which any --parity may be lost.

    The directories are made, or must be empty. Neither their number nor the parity can be
    changed later. With more than half of the devices as parity (two devices, say), a start with
    only as many of them as the parity has to be confirmed by `accept-loss`.

    \b
    Examples:
      pagelake devices create /disk1/lake /disk2/lake /disk3/lake
      pagelake devices create /disk{0..9}/lake --parity 2
    """  # noqa: D301
    from ... import connect
    from ...errors import AlreadyExists
    from ...storage.devices.striping.peers import identify_path

    roots = [path.expanduser().absolute() for path in directories]
    for root in roots:
        if identify_path(root) is not None:
            raise AlreadyExists(f"{root} is a device of a store already")
    with connect(devices=roots, parity=parity) as con:
        store_id = con.store_id
    data = len(roots) - parity
    sys.stdout.write(f"store {store_id}: {data} + {parity} devices, {data}/{len(roots)} of the "
                     "room is for content\n")  # fmt: skip


@devices.command()
@_store
@format_option
def status(store: tuple[str, ...], format_name: str) -> int:
    """Show the devices of STORE, and what scrubs have found on them.

    A device is live; outdated, when it is there but the others have gone on without it; or
    missing. Those that are not live are to be rebuilt. The status is 0 when all are live.

    \b
    Examples:
      pagelake devices status /disk1/lake
      pagelake devices status /disk1/lake --format json
      pagelake query /disk1/lake "FROM pagelake.devices WHERE state <> 'live'"
    """  # noqa: D301
    from ...extensions.system.devices import device_rows

    with _opened(store, writable=False, accept_loss=True) as device:
        rows = device_rows(device)
        lost = sum(row["state"] != "live" for row in rows)
        if format_name == "json":
            sys.stdout.write(json.dumps(rows, default=str, ensure_ascii=False, indent=2) + "\n")
        else:
            _print_status(device, rows, lost)
    return UNWELL_STATUS if lost else 0


def _print_status(device: StripedDevice, rows: Sequence[dict[str, object]], lost: int) -> None:
    from ..output.terminal import visible
    from ..shell.texts import bytes_text

    held = device.devices
    sys.stdout.write(
        f"{held.data} + {held.parity} devices, epoch {rows[0]['epoch']}; "
        f"{held.parity - lost} more may be lost\n\n"
    )
    head = ("device", "state", "holds", "found", "repaired", "directory")
    lines = [head]
    for row in rows:
        size = row["bytes"]
        lines.append(
            (
                f"{row['device']}{'*' if row['decides'] else ''}",
                str(row["state"]),
                bytes_text(size) if isinstance(size, int) else "",
                str(row["errors_found"]),
                str(row["errors_repaired"]),
                visible(str(row["directory"] or "unknown")),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, line[-1]]) + "\n")
    sys.stdout.write(f"\nlast scrub: {rows[0]['last_scrub'] or 'never'}\n")
    if rows[0]["scrubbed_upto"]:
        sys.stdout.write("a scrub was stopped on the way; the next one goes on there\n")


@devices.command()
@_store
@click.option("--rate", type=click.FloatRange(min=0), default=RATE_MB_DEFAULT, show_default=True,
              help="Megabytes to read a second; 0 for as fast as possible.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Begin anew where a scrub was stopped.")
@click.option("--dry-run", is_flag=True, help="Only report; repair and record nothing.")
@format_option
@_quiet
def scrub(
    store: tuple[str, ...],
    rate: float,
    restart: bool,
    dry_run: bool,
    format_name: str,
    quiet: bool,
) -> int:
    """Read everything on the devices of STORE, and repair what is rotten or missing.

    The store may be in use; at the default rate its work slows down by less than 5 %. Ctrl-C
    stops the scrub, and the next one goes on where it was. The status is 0 when no damage is
    left.

    \b
    Examples:
      pagelake devices scrub /disk1/lake
      pagelake devices scrub /disk1/lake --rate 0
      pagelake devices scrub /disk1/lake --dry-run --format json
    """  # noqa: D301
    from ...storage.environment import Environment
    from ..commands.check import progress_bar
    from .care import run_scrub

    with _opened(store, writable=not dry_run) as device:
        try:
            with progress_bar(quiet=quiet) as progress:
                report = run_scrub(
                    device,
                    Environment().now_us,
                    repair=not dry_run,
                    restart=restart,
                    mb_per_s=rate,
                    progress=progress,
                )
        except KeyboardInterrupt:
            if not dry_run:
                click.echo("stopped; the next scrub goes on from here", err=True)
            raise
    _print_report(report, as_json=format_name == "json", quiet=quiet)
    return UNWELL_STATUS if report.left else 0


def _print_report(report: ScrubReport, *, as_json: bool, quiet: bool) -> None:
    from dataclasses import asdict

    from ..output.terminal import visible
    from ..shell.texts import bytes_text, count_text, duration_text

    if as_json:
        text = {
            "files": report.files,
            "bytes": report.bytes,
            "seconds": report.seconds,
            "damage": [asdict(one) for one in report.damage],
        }
        sys.stdout.write(json.dumps(text, ensure_ascii=False, indent=2) + "\n")
        return
    for one in report.damage:
        word = "repaired" if one.repaired else "left as it is"
        sys.stdout.write(visible(f"{word}: {one.name} on device {one.index}: {one.what}") + "\n")
    if not quiet:
        sys.stdout.write(
            f"{count_text(report.files, 'file')}, {bytes_text(report.bytes)} in "
            f"{duration_text(report.seconds)}: {len(report.damage)} damaged, {report.left} left\n"
        )


@devices.command()
@_store
@click.option("--device", "-d", "index", type=click.IntRange(min=0), required=True,
              help="Number of the lost device, as `status` shows it.")  # fmt: skip
@click.option("--into", type=click.Path(path_type=Path),
              help="The directory that takes its place.  [default: where it was]")  # fmt: skip
@click.option("--rate", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="Megabytes to rebuild a second; 0 for as fast as possible.")  # fmt: skip
@_quiet
def rebuild(
    store: tuple[str, ...], index: int, into: Path | None, rate: float, quiet: bool
) -> None:
    """Put a directory in the place of a lost device of STORE, which may be in use.

    The directory must be empty or absent; or that of the lost device itself, of which only what
    has changed since is rebuilt. Interrupted, it is completed by the same command.

    \b
    Examples:
      pagelake devices rebuild /disk1/lake --device 3
      pagelake devices rebuild /disk1/lake --device 3 --into /disk9/lake
    """  # noqa: D301
    from ..commands.check import progress_bar
    from .care import run_rebuild

    target = None if into is None else into.expanduser().absolute()
    with _opened(store, writable=True) as device:
        try:
            with progress_bar(quiet=quiet) as progress:
                at = run_rebuild(device, index, target, mb_per_s=rate, progress=progress)
        except KeyboardInterrupt:
            click.echo("stopped; the same command goes on from here", err=True)
            raise
    if not quiet:
        sys.stdout.write(f"device {index} is live in {at}\n")


@devices.command("accept-loss")
@_store
def accept_loss(store: tuple[str, ...]) -> None:
    """Go on with the devices of STORE that are there, although others are missing.

    Needed when so few are left that the missing ones may have been in use without them, as the
    two halves of a mirror. Say so only if they were not: what they were told since is lost. A
    missing device that comes back counts as outdated, and is to be rebuilt.

    \b
    Examples:
      pagelake devices accept-loss /disk1/lake
    """  # noqa: D301
    with _opened(store, writable=True, accept_loss=True) as device:
        device.members.declare()
        live = len(device.members.live())
    sys.stdout.write(f"the store goes on with {live} of {device.devices.children} devices\n")


@contextmanager
def _opened(
    store: tuple[str, ...], *, writable: bool, accept_loss: bool = False
) -> Iterator[StripedDevice]:
    from ...storage.devices.local_device import LocalDevice
    from ...storage.devices.striped_device import open_member, open_striped
    from .care import require_striped

    roots = [Path(path).expanduser().absolute() for path in store]
    if len(roots) == 1:
        device = open_member(roots[0], create=writable, accept_loss=accept_loss)
        if device is None:
            one = LocalDevice(roots[0], create=False)
            one.close()
            device = require_striped(one)
    else:
        device = open_striped(roots, None, create=writable, accept_loss=accept_loss)
    try:
        yield device
    finally:
        device.close()
