"""`pagelake backup`: a copy of a store that is itself a store."""

from __future__ import annotations

import sys

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
      pagelake backup /disk1/lake /backup/lake
    """  # noqa: D301
    from ..safekeeping.backup import backup as copy_store
    from ..shell.texts import bytes_text, duration_text
    from .check import progress_bar

    with progress_bar(quiet=quiet) as progress:
        done = copy_store(store, destination, progress=progress)
    if not quiet:
        copied, took = bytes_text(done.bytes_copied), duration_text(done.seconds)
        sys.stdout.write(f"version {done.version}: {copied} copied in {took}\n")
