"""`pagelake ls`, `du`, `tree` and `tag`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from ...errors import InvalidRequest
from .cli_copy import opened_stores, report_failures
from .place import require_store
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...storage.files.files_snapshot import FilesSnapshot
    from .place import Place
    from .stores import Stores

_json = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
_human = click.option(
    "--human", "-H", is_flag=True, help="Sizes with units, such as 1.5 MiB, instead of bytes."
)


@click.command()
@click.argument("paths", metavar="STORE:/PATH…", nargs=-1, required=True)
@click.option("--long", "-l", "long_", is_flag=True, help="Mode, links, owner, size and time too.")
@click.option("--recursive", "-r", "-R", is_flag=True, help="Everything below, by whole paths.")
@click.option("--directory", "-d", is_flag=True, help="A directory itself, not what is in it.")
@_human
@_json
def ls(
    paths: tuple[str, ...],
    long_: bool,
    recursive: bool,
    directory: bool,
    human: bool,
    as_json: bool,
) -> None:
    """List files of a store, in the order of their names' bytes.

    Names of directories end in /. Patterns are expanded: quote them. On a terminal control
    characters in names are spelled out; pipes get the exact bytes. --json gives an array of
    objects with all that is known of an element.

    \b
    Examples:
      pagelake ls demo.lake:/
      pagelake ls -l -H 'demo.lake:/raw/*.csv'
      pagelake ls -r --json demo.lake: | jq '.[] | select(.size > 1000000) | .path'
    """  # noqa: D301
    from .listing import json_elements, listed_elements, long_lines, plain_lines

    places = [require_store(each) for each in paths]
    watch = Watch()
    with opened_stores() as stores:
        found = (
            pair
            for names, place in _each(stores, places, watch)
            for pair in listed_elements(names, place, recursive=recursive, directory=directory)
        )
        if as_json:
            _write_json(json_elements(found))
        elif long_:
            _write_lines(long_lines(found, human=human))
        else:
            _write_lines(plain_lines(found))
    report_failures(watch)


@click.command()
@click.argument("paths", metavar="STORE:/PATH…", nargs=-1, required=True)
@click.option("--summarize", "-s", is_flag=True, help="Only the sum of each path that is named.")
@click.option(
    "--depth", "-d", type=click.IntRange(min=0), metavar="N", help="Levels of directories to show."
)
@click.option(
    "--used", is_flag=True, help="Bytes that the store keeps, instead of contents' sizes."
)
@_human
@_json
def du(
    paths: tuple[str, ...],
    summarize: bool,
    depth: int | None,
    used: bool,
    human: bool,
    as_json: bool,
) -> None:
    """Sum up the bytes below directories of a store, each directory with all below it.

    --used counts what contents take in the store, compressed; parts that several files share
    count for each of them.

    \b
    Examples:
      pagelake du -s -H demo.lake:/
      pagelake du -d 1 demo.lake:/projects
      pagelake du --json demo.lake:/ | jq .
    """  # noqa: D301
    from .listing import directory_sums, sum_lines

    places = [require_store(each) for each in paths]
    watch = Watch()
    with opened_stores() as stores:
        found = (
            row
            for names, place in _each(stores, places, watch)
            for row in directory_sums(names, place, 0 if summarize else depth)
        )
        if as_json:
            _write_json(row.json() for row in found)
        else:
            _write_lines(sum_lines(found, used=used, human=human))
    report_failures(watch)


@click.command()
@click.argument("paths", metavar="STORE:/PATH…", nargs=-1, required=True)
@click.option(
    "--level", "-L", type=click.IntRange(min=1), metavar="N", help="Levels of directories to show."
)
@click.option("--size", "-s", is_flag=True, help="Sizes of files too.")
@_human
def tree(paths: tuple[str, ...], level: int | None, size: bool, human: bool) -> None:
    """Draw directories of a store as a tree.

    \b
    Examples:
      pagelake tree demo.lake:/
      pagelake tree -L 2 -s -H demo.lake:/projects
    """  # noqa: D301
    from .listing import tree_lines

    places = [require_store(each) for each in paths]
    watch = Watch()
    with opened_stores() as stores:
        for names, place in _each(stores, places, watch):
            _write_lines(tree_lines(names, place, level, sizes=size, human=human))
    report_failures(watch)


@click.command()
@click.argument("path", metavar="STORE:/PATH")
@click.argument("tags", metavar="[KEY=VALUE]…", nargs=-1)
@click.option(
    "--delete", "-d", "deleted", multiple=True, metavar="KEY", help="Remove a tag; repeatable."
)
@click.option("--recursive", "-r", "-R", is_flag=True, help="Everything below a directory too.")
@_json
def tag(
    path: str, tags: tuple[str, ...], deleted: tuple[str, ...], recursive: bool, as_json: bool
) -> None:
    """Show the tags of a file or directory, or set them: the column user_tags.

    Tags that are not named stay. All changes are one transaction.

    \b
    Examples:
      pagelake tag demo.lake:/docs/a.pdf
      pagelake tag demo.lake:/docs/a.pdf owner=ops state=final
      pagelake tag -r demo.lake:/photos --delete draft
    """  # noqa: D301
    from .tagging import shown_tags, tag_elements

    place = require_store(path)
    changes = dict(_tag(each) for each in tags)
    if as_json and (changes or deleted):
        raise click.UsageError("--json shows tags: it goes with no changes.")
    watch = Watch()
    with opened_stores(*([place] if changes or deleted else [])) as stores:
        if changes or deleted:
            tag_elements(stores, place, changes, deleted, watch, recursive=recursive)
        else:
            for names, each in _each(stores, [place], watch):
                found = shown_tags(names, each, recursive=recursive)
                if as_json:
                    _write_json({"path": path, "tags": tags} for path, tags in found)
                else:
                    several = recursive or each.path != place.path
                    _write_lines(_tag_lines(found, several=several))
    report_failures(watch)


def _tag(written: str) -> tuple[str, str]:
    key, equals, value = written.partition("=")
    if not key or not equals:
        raise InvalidRequest(f"not KEY=VALUE: {written}", hint="--delete KEY removes a tag")
    return key, value


def _tag_lines(found: Iterable[tuple[str, dict[str, str]]], *, several: bool) -> Iterator[str]:
    for path, tags in found:
        for key, value in sorted(tags.items()):
            yield f"{path}\t{key}={value}" if several else f"{key}={value}"


def _each(
    stores: Stores, places: Iterable[Place], watch: Watch
) -> Iterator[tuple[FilesSnapshot, Place]]:
    """Give what the places stand for, each with the names to look at; note what is not there."""
    from ...storage.files.file_error import FileError
    from .stores import expanded

    for place in places:
        with stores.files(place).snapshot() as names:
            try:
                for each in expanded(names, place):
                    yield names, each
            except FileError as error:
                watch.fail(error.errno, place.written, os.strerror(error.errno))


def _write_lines(lines: Iterable[str]) -> None:
    """Print lines of names: spelled out for a terminal, else as the bytes they are."""
    from ...storage.files.name import bytes_of
    from ..output.terminal import visible

    if sys.stdout.isatty():
        for line in lines:
            sys.stdout.write("\t".join(map(visible, line.split("\t"))) + "\n")
        return
    sys.stdout.flush()
    stream = sys.stdout.buffer
    for line in lines:
        stream.write(bytes_of(line) + b"\n")
    stream.flush()


def _write_json(rows: Iterable[object]) -> None:
    """Print an array of objects, one a line."""
    between = "[\n"
    for row in rows:
        sys.stdout.write(between + json.dumps(row, ensure_ascii=False))
        between = ",\n"
    sys.stdout.write("[]\n" if between == "[\n" else "\n]\n")
