"""`pagelake backup`: a copy of a store that is itself a store."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("store", nargs=-1, required=True)
@click.argument("destination")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def backup(store: tuple[str, ...], destination: str, quiet: bool) -> None:
    """Copy STORE, which may be in use, into the directory DESTINATION.

    The copy is a store of the same identity at the version that STORE has now, older versions
    included. Run again, only what is new is copied; interrupted, it is completed by the next
    run. To restore, open the copy, or copy it to where the store was. Do not write to it: a
    copy with commits of its own takes no further backups.

    \b
    Examples:
      pagelake backup demo.lake /backup/demo.lake
      pagelake query /backup/demo.lake "SELECT count(*) FROM t" --read-only
      pagelake backup /disk1/lake /disk2/lake /disk3/lake /backup/lake
    """  # noqa: D301
    from ..errors import InvalidRequest
    from ..storage.devices.local_device import LocalDevice
    from ..storage.maintenance.backup import backup as copy_store
    from ..storage.store import Store
    from .cli_check import open_device, progress_bar
    from .cli_info import bytes_text
    from .shell.presenter import duration_text

    target = Path(destination).expanduser().absolute()
    if any(target.resolve() == Path(path).expanduser().resolve() for path in store):
        raise InvalidRequest("a store cannot be backed up into itself")
    device = open_device(store, writable=True)
    if not device.exists("store.json"):
        device.close()
        from ..errors import NotAStore

        raise NotAStore("there is no store here")
    source = Store(device)
    try:
        copy = LocalDevice(target, create=True)
        try:
            with progress_bar(quiet=quiet) as progress:
                done = copy_store(source, copy, progress)
        finally:
            copy.close()
    finally:
        source.close()
    if not quiet:
        copied, took = bytes_text(done.bytes_copied), duration_text(done.seconds)
        sys.stdout.write(f"version {done.version}: {copied} copied in {took}\n")
