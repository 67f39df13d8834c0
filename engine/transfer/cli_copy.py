"""`pagelake cp`, `mv`, `rm` and `cat`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from ...errors import InvalidRequest
from .place import parse_place, require_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from .place import Place
    from .stores import Stores
    from .watch import Watch

_FAILURES_SHOWN = 20

_recursive = click.option(
    "--recursive", "-r", "-R", is_flag=True, help="Directories with all that is in them."
)
_quiet = click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
_no_clobber = click.option(
    "--no-clobber", "-n", is_flag=True, help="Leave what is at the target as it is."
)


@click.command()
@click.argument("sources", metavar="SOURCE…", nargs=-1, required=True)
@click.argument("target")
@_recursive
@click.option(
    "--preserve",
    "-p",
    is_flag=True,
    help="Keep times, owners and all permissions; otherwise the copies are new and yours.",
)
@_no_clobber
@_quiet
def cp(
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    preserve: bool,
    no_clobber: bool,
    quiet: bool,
) -> None:
    """Copy files between local directories and stores, or within a store.

    A path in a store is written STORE:/path, such as demo.lake:/raw/a.csv; anything else is local,
    and - is standard input or output. TARGET is the copy's path; is it a directory, or ends it
    in /, copies are put into it. Missing directories are made.

    Patterns in paths of stores are expanded: quote them. With --recursive, symbolic links are
    copied as links. What is at the target under the same name is replaced, but never a directory
    by something else; links there are not followed. Files are committed some hundred at a time,
    each whole or not at all. Within a store no bytes move.

    \b
    Examples:
      pagelake cp report.pdf demo.lake:/docs/
      pagelake cp -r photos demo.lake:/photos
      pagelake cp -r -p demo.lake:/photos /srv/restored
      pagelake cp 'demo.lake:/raw/*.csv' .
      pagelake cp -r demo.lake:/photos other.lake:/
      tar c src | pagelake cp - demo.lake:/src.tar
    """  # noqa: D301 - click reads \b from the docstring
    from .copying import CopyOptions, copy

    places = [parse_place(each) for each in sources]
    wanted = parse_place(target)
    options = CopyOptions(recursive=recursive, preserve=preserve, clobber=not no_clobber)
    with opened_stores(wanted) as stores:
        _run(
            stores,
            lambda watch: copy(stores, places, wanted, options, watch),
            quiet=quiet,
            total=_totals(stores, places) if recursive or len(places) == 1 else None,
        )


@click.command()
@click.argument("sources", metavar="SOURCE…", nargs=-1, required=True)
@click.argument("target")
@_no_clobber
@_quiet
def mv(sources: tuple[str, ...], target: str, no_clobber: bool, quiet: bool) -> None:
    """Move or rename files and directories.

    Within a store this is one rename, whatever is in a directory. Between a store and a local
    directory, or two stores, what is moved is copied first, with times and permissions, and then
    removed. Paths are written as for `pagelake cp`.

    \b
    Examples:
      pagelake mv demo.lake:/raw/a.csv demo.lake:/raw/b.csv
      pagelake mv 'demo.lake:/raw/2023-*' demo.lake:/archive/
      pagelake mv /srv/incoming demo.lake:/incoming
    """  # noqa: D301
    from .copying import move

    places = [parse_place(each) for each in sources]
    wanted = parse_place(target)
    with opened_stores(wanted, *places) as stores:
        _run(
            stores,
            lambda watch: move(stores, places, wanted, watch, clobber=not no_clobber),
            quiet=quiet,
        )


@click.command()
@click.argument("paths", metavar="STORE:/PATH…", nargs=-1, required=True)
@_recursive
@click.option("--force", "-f", is_flag=True, help="Do not mind what is not there.")
def rm(paths: tuple[str, ...], recursive: bool, force: bool) -> None:
    """Remove files, and with --recursive directories, from a store.

    All that is named of one store goes in one transaction. It stays readable as of older versions
    until they are reclaimed. Patterns are expanded: quote them.

    \b
    Examples:
      pagelake rm demo.lake:/docs/old.pdf
      pagelake rm -r demo.lake:/photos
      pagelake rm 'demo.lake:/raw/*.tmp'
    """  # noqa: D301
    from .copying import remove

    places = [require_store(each) for each in paths]
    with opened_stores(*places) as stores:
        _run(
            stores,
            lambda watch: remove(stores, places, watch, recursive=recursive, force=force),
            quiet=True,
        )


@click.command()
@click.argument("paths", metavar="STORE:/PATH…", nargs=-1, required=True)
def cat(paths: tuple[str, ...]) -> None:
    """Write files of a store to standard output, one after the other.

    \b
    Examples:
      pagelake cat demo.lake:/docs/readme.txt
      pagelake cat 'demo.lake:/logs/2024-*' | grep error
    """  # noqa: D301
    from ...storage.files.file_error import FileError
    from .copying import print_pieces
    from .stored_tree import stored_tree
    from .stores import expanded

    places = [require_store(each) for each in paths]

    def print_all(watch: Watch) -> None:
        for place in places:
            with stores.files(place).snapshot() as names:
                try:
                    for each in expanded(names, place):
                        print_pieces(next(stored_tree(names, each, recursive=False)), watch)
                except FileError as error:
                    watch.fail(error.errno, place.written, os.strerror(error.errno))

    with opened_stores() as stores:
        _run(stores, print_all, quiet=True)


def opened_stores(*written: Place) -> Stores:
    """The stores of a command.

    Args:
        written: The places that are changed.
    """
    from .stores import Stores

    return Stores(place for place in written if place.store is not None)


def _run(
    stores: Stores,
    work: Callable[[Watch], None],
    *,
    quiet: bool,
    total: Callable[[Watch], None] | None = None,
) -> None:
    """Run the work of a command, show how far it is, and end with status 1 if part of it failed."""
    from .display import cancellable, shown

    started = time.monotonic()
    with shown(quiet=quiet) as watch:

        def counted() -> None:
            if total is not None and watch.is_shown:
                total(watch)
            work(watch)

        cancellable(watch, stores, counted)
    if watch.is_shown:
        sys.stderr.write(_summary(watch, time.monotonic() - started))
    report_failures(watch)


def report_failures(watch: Watch) -> None:
    """Print what could not be done, if there is anything, and end with status 1 then."""
    from ..commands.errors import report

    if not watch.failures:
        return

    for failure in watch.failures[:_FAILURES_SHOWN]:
        report(failure)
    more = len(watch.failures) - _FAILURES_SHOWN
    if more > 0:
        report(InvalidRequest(f"and {more:,} more could not be done"))
    raise click.exceptions.Exit(1)


def _summary(watch: Watch, seconds: float) -> str:
    from ..shell.texts import bytes_text, count_text, duration_text

    directories = "directory" if watch.directories == 1 else "directories"
    return (
        f"{count_text(watch.files, 'file')} and {watch.directories:,} {directories}, "
        f"{bytes_text(watch.bytes)}, in {duration_text(seconds)}\n"
    )


def _totals(stores: Stores, places: list[Place]) -> Callable[[Watch], None]:
    """Return what finds out how much there is to copy, for the progress bar."""
    from .totals import count_totals

    return lambda watch: count_totals(stores, places, watch)
