"""`cp`, `mv` and `rm`: what goes where, by which of the ways between stores and directories."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import InvalidRequest
from ...storage.files.definition import FILE
from ...storage.files.file_error import FileError
from ...storage.files.operations import MakeDirectory
from ...storage.files.path import join, parent_of, prefix_of
from ...storage.files.removal import RemoveDirectory, RemoveTree, Unlink
from ...storage.files.renaming import Rename
from .entry import Entry
from .local_tree import BLOCK_BYTES, local_tree
from .stored_tree import stored_tree
from .stores import expanded
from .to_local import ToLocal
from .to_store import ToStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...storage.files.namespace import Operation
    from .place import Place
    from .stores import Stores
    from .watch import Watch


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How to copy.

    Attributes:
        recursive: Copy directories with what is in them, and links as links.
        preserve: Keep times, owners and all permissions.
        clobber: Replace what is there.
    """

    recursive: bool = False
    preserve: bool = False
    clobber: bool = True


def copy(
    stores: Stores, sources: Sequence[Place], target: Place, options: CopyOptions, watch: Watch
) -> None:
    """Copy files, links and directories.

    Args:
        stores: The stores that take part.
        sources: What to copy; patterns are expanded.
        target: A directory to copy into, or what the copy of one source is called.
        options: How.
        watch: Is told what is done, and what cannot be; the rest goes on.

    Raises:
        InvalidRequest: Several things cannot be copied to one name, or a directory not into itself.
        FileError: A store refuses.
    """
    with ExitStack() as opened:
        found = _expanded(stores, sources, opened, watch)
        into = _is_directory(stores, target) or target.into
        if len(found) > 1 and not into:
            raise InvalidRequest(
                f"not a directory: {target.written}",
                hint="end it with / to have it made",
            )
        for source in found:
            wanted = target.below(source.name) if into and source.name else target
            try:
                _copy_one(stores, source, wanted, options, watch)
            except FileError as error:
                watch.fail(error.errno, source.written, os.strerror(error.errno))
            except BrokenPipeError:
                raise
            except OSError as error:
                about = error.filename if isinstance(error.filename, str) else source.written
                watch.fail_by(error, about)


def _expanded(
    stores: Stores, sources: Sequence[Place], opened: ExitStack, watch: Watch
) -> list[Place]:
    found: list[Place] = []
    for source in sources:
        if source.store is None:
            found.append(source)
            continue
        names = opened.enter_context(stores.files(source).snapshot())
        try:
            found += expanded(names, source)
        except FileError as error:
            watch.fail(error.errno, source.written, os.strerror(error.errno))
    return found


def _is_directory(stores: Stores, place: Place) -> bool:
    if place.store is None:
        return not place.is_stream and os.path.isdir(place.local)
    with stores.files(place).snapshot() as names:
        try:
            return names.resolve(place.path).is_directory
        except FileError:
            return False


def _copy_one(
    stores: Stores, source: Place, target: Place, options: CopyOptions, watch: Watch
) -> None:
    with ExitStack() as opened:
        entries = _entries(stores, source, target, options, watch, opened)
        if target.store is not None:
            same = stores.same(source, target)
            writer = ToStore(
                stores.files(target),
                watch,
                preserve=options.preserve,
                clobber=options.clobber,
                same=same,
            )
            writer.copy(entries, _followed(stores, target))
        elif target.is_stream:
            print_pieces(next(entries), watch)
        else:
            ToLocal(watch, preserve=options.preserve, clobber=options.clobber).copy(
                entries, target.local
            )


def _entries(
    stores: Stores,
    source: Place,
    target: Place,
    options: CopyOptions,
    watch: Watch,
    opened: ExitStack,
) -> Iterator[Entry]:
    """What is copied, once it is known that it can be."""
    if source.store is not None:
        names = opened.enter_context(stores.files(source).snapshot())
        top = names.get(source.path) if options.recursive else names.resolve(source.path)
        _refuse(stores, source, target, top.path, directory=top.is_directory, options=options)
        return stored_tree(names, source, recursive=options.recursive)
    if source.is_stream:
        return iter([standard_input()])
    _refuse(
        stores,
        source,
        target,
        os.fsdecode(os.path.realpath(source.local)),
        directory=os.path.isdir(source.local),
        options=options,
    )
    skip = frozenset() if target.store is None else frozenset({stores.directory(target)})
    return local_tree(source.local, watch, recursive=options.recursive, skip=skip)


def _refuse(
    stores: Stores,
    source: Place,
    target: Place,
    real: str,
    *,
    directory: bool,
    options: CopyOptions,
) -> None:
    """Refuse what would never end, or what was hardly meant.

    Raises:
        InvalidRequest: It is a directory without --recursive, or copied into itself.
        FileError: It is its own copy.
    """
    if directory and not options.recursive:
        raise FileError(errno.EISDIR, source.written)
    if source.store is None and target.store is None:
        raise InvalidRequest(
            f"neither is in a store: {source.written}, {target.written}",
            hint="a path in a store is written STORE:/path",
        )
    if stores.same(source, target):
        there = _followed(stores, target)
        if there == real or (directory and there.startswith(prefix_of(real))):
            raise InvalidRequest(f"{source.written} cannot be copied into itself")


def _followed(stores: Stores, place: Place, *, last: bool = True) -> str:
    """Path of a place in its store, links to directories on the way followed.

    Args:
        stores: The stores that take part.
        place: The place.
        last: Whether a link by its very name is followed, if it leads to a directory.
    """
    parent, name = parent_of(place.path)
    if not name:
        return place.path
    with stores.files(place).snapshot() as names:
        with suppress(FileError):
            found = names.resolve(place.path)
            if last and found.is_directory:
                return found.path
        with suppress(FileError):
            return join(names.resolve(parent).path, name)
    return place.path


def standard_input() -> Entry:
    """Standard input as a file to copy."""

    def pieces() -> Iterator[memoryview]:
        # What stands in for standard input, in notebooks and tests, may be of text.
        stream = getattr(sys.stdin, "buffer", sys.stdin)
        while block := stream.read(BLOCK_BYTES):
            yield memoryview(block.encode() if isinstance(block, str) else block)

    # Its size is not known: it is written as a large file is.
    return Entry((), FILE, sys.maxsize, 0o644, 0, 0, 0, 0, "", 0, 0, pieces, "-")


def print_pieces(entry: Entry, watch: Watch) -> None:
    """Write the content of a file to standard output.

    Args:
        entry: The file.
        watch: Is told of the bytes.

    Raises:
        FileError: It has none.
    """
    if entry.element_type != FILE:
        raise FileError(errno.EISDIR if entry.is_directory else errno.EINVAL, entry.told)
    stream = sys.stdout.buffer
    for piece in entry.pieces():
        stream.write(piece)
        watch.count_bytes(len(piece))
    stream.flush()


def remove(
    stores: Stores, places: Sequence[Place], watch: Watch, *, recursive: bool, force: bool
) -> None:
    """Remove elements of stores: all of a store's in one transaction.

    Args:
        stores: The stores that take part.
        places: What to remove; patterns are expanded.
        watch: Is told what cannot be removed; the rest is.
        recursive: Remove directories with what is in them.
        force: Do not mind what is not there.

    Raises:
        FileError: A store refuses; nothing of that store was removed.
    """
    groups: dict[bytes, tuple[Place, dict[str, Operation]]] = {}
    for place in places:
        _, operations = groups.setdefault(stores.directory(place), (place, {}))
        with stores.files(place).snapshot() as names:
            try:
                found = expanded(names, place)
                for each in found:
                    element = names.get(each.path)
                    if each.path == "/":
                        why = "is the root; name what is in it, such as 'STORE:/*'"
                        watch.fail(errno.EBUSY, each.written, why)
                    elif not element.is_directory:
                        operations[each.path] = Unlink(each.path)
                    elif recursive:
                        operations[each.path] = RemoveTree(each.path)
                    else:
                        why = "is a directory; --recursive removes it with all in it"
                        watch.fail(errno.EISDIR, each.written, why)
            except FileError as error:
                if not (force and error.errno == errno.ENOENT):
                    watch.fail(error.errno, place.written, os.strerror(error.errno))
    for place, operations in groups.values():
        trees = [path for path, each in operations.items() if isinstance(each, RemoveTree)]
        kept = [
            each
            for path, each in operations.items()
            if not any(path.startswith(prefix_of(tree)) for tree in trees)
        ]
        if kept:
            stores.files(place).run(*kept)
            watch.files += len(kept)


def move(
    stores: Stores, sources: Sequence[Place], target: Place, watch: Watch, *, clobber: bool
) -> None:
    """Move: a rename within a store; else a copy, and what was copied whole is removed.

    Args:
        stores: The stores that take part.
        sources: What to move; patterns are expanded.
        target: A directory to move into, or the new path of one source.
        watch: Is told what is done, and what cannot be; the rest goes on.
        clobber: Replace what is there.

    Raises:
        InvalidRequest: Several things cannot be moved to one name.
        FileError: A store refuses.
    """
    options = CopyOptions(recursive=True, preserve=True, clobber=clobber)
    renamed: list[Operation] = []
    with ExitStack() as opened:
        found = _expanded(stores, sources, opened, watch)
        into = _is_directory(stores, target) or target.into
        if len(found) > 1 and not into:
            raise InvalidRequest(
                f"not a directory: {target.written}", hint="end it with / to have it made"
            )
        for source in found:
            wanted = target.below(source.name) if into else target
            if not stores.same(source, wanted):
                _move_across(stores, source, wanted, options, watch)
                continue
            path = _followed(stores, wanted, last=False)
            with stores.files(target).snapshot() as names:
                if not clobber and names.find(path) is not None:
                    continue
            parent = parent_of(path)[0] or "/"
            renamed += [
                MakeDirectory(parent, parents=True, exist_ok=True),
                Rename(source.path, path),
            ]
            watch.files += 1
    if renamed:
        stores.files(target).run(*renamed)


def _move_across(
    stores: Stores, source: Place, target: Place, options: CopyOptions, watch: Watch
) -> None:
    """Copy, and remove what was copied: all of it, and nothing that came meanwhile."""
    before = len(watch.failures)
    watch.noted = []
    copy(stores, [source], replace(target, into=False), options, watch)
    copied, watch.noted = watch.noted, None
    if len(watch.failures) > before:
        return
    if source.store is not None:
        _remove_elements(stores, source, copied)
        return
    for entry in reversed(copied):
        try:
            if entry.is_directory:
                os.rmdir(os.fsencode(entry.told))
            else:
                os.unlink(os.fsencode(entry.told))
        except OSError as error:
            watch.fail_by(error, entry.told)


def _remove_elements(stores: Stores, source: Place, copied: Sequence[Entry]) -> None:
    """Remove elements in one transaction."""
    operations: list[Operation] = []
    for entry in reversed(copied):
        path = source.path
        for name in entry.names:
            path = join(path, name)
        operations.append(RemoveDirectory(path) if entry.is_directory else Unlink(path))
    if operations:
        stores.files(source).run(*operations)
