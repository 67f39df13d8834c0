"""What `ls`, `du` and `tree` print."""

from __future__ import annotations

import stat
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from ...storage.files.definition import DIRECTORY
from ...storage.files.path import parent_of, prefix_of
from ..shell.texts import bytes_text
from .stored_tree import elements_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...storage.files.element import Element
    from ...storage.files.files_snapshot import FilesSnapshot
    from .place import Place

    Listed = tuple[str, Element]
    """What an element is called in a listing, and the element."""

_FORMATS: Final = {
    "DIR": stat.S_IFDIR,
    "SYMLINK": stat.S_IFLNK,
    "FIFO": stat.S_IFIFO,
    "SOCKET": stat.S_IFSOCK,
    "CHR": stat.S_IFCHR,
    "BLK": stat.S_IFBLK,
}


def listed_elements(
    names: FilesSnapshot, place: Place, *, recursive: bool, directory: bool
) -> Iterator[Listed]:
    """Give what `ls` lists of a path.

    Args:
        names: Where to look.
        place: The path, which exists.
        recursive: Everything below it, by whole paths; sorted by them.
        directory: A directory itself.

    Yields:
        Elements with what they are called.
    """
    element = names.get(place.path)
    if element.is_symlink and place.into:
        element = names.resolve(place.path)
    if directory or not element.is_directory:
        yield place.path, element
    elif not recursive:
        for child in names.children(element.handle):
            yield child.name, child
    else:
        below = [each for each in elements_below(names, element) if each.handle != element.handle]
        for each in sorted(below, key=lambda each: each.path.split("/")):
            yield each.path, each


def plain_lines(found: Iterable[Listed]) -> Iterator[str]:
    """Names, those of directories with a slash behind them."""
    for name, element in found:
        yield f"{name}/" if element.is_directory and name != "/" else name


def long_lines(found: Iterable[Listed], *, human: bool) -> Iterator[str]:
    """Mode, links, owner, group, size, time in UTC and name."""
    for name, element in found:
        mode = stat.filemode(_FORMATS.get(element.element_type, stat.S_IFREG) | mode_of(element))
        size = bytes_text(element.size) if human else str(element.size)
        told = datetime.fromtimestamp((element.mtime or 0) // 10**9, UTC)
        pointer = f" -> {element.symlink_path}" if element.is_symlink else ""
        tail = "/" if element.is_directory and name != "/" else pointer
        yield (
            f"{mode} {element.nlinks:>3} {_user(element.uid):<8} {_group(element.gid):<8} "
            f"{size:>12} {told:%Y-%m-%d %H:%M:%S} {name}{tail}"
        )


def mode_of(element: Element) -> int:
    """Permissions, in the bits that modes have for them."""
    return element.nfs_mode_bits & 0o7777


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def json_elements(found: Iterable[Listed]) -> Iterator[dict[str, object]]:
    """All that is known of elements, for programs; times in UTC."""
    for _, element in found:
        yield {
            "path": element.path,
            "name": element.name,
            "type": element.element_type,
            "size": element.size,
            "used": element.used,
            "mode": f"{mode_of(element):04o}",
            "uid": element.uid,
            "gid": element.gid,
            "links": element.nlinks,
            "atime": _iso(element.atime),
            "mtime": _iso(element.mtime),
            "ctime": _iso(element.ctime),
            "creation_time": _iso(element.creation_time),
            "link_target": element.symlink_path,
            "handle": element.handle,
            "version": element.version,
            "etag": element.etag,
            "checksum": element.checksum,
            "content_type": element.content_type,
            "tags": dict(element.user_tags or {}),
            "metadata": dict(element.user_metadata or {}),
        }


def _iso(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


@dataclass(slots=True)
class DirectorySum:
    """A directory and all below it.

    Attributes:
        path: Its path.
        bytes: Bytes of contents.
        used: Bytes that the store keeps for them.
        files: Elements that are no directories.
        directories: Directories, itself included.
    """

    path: str
    bytes: int = 0
    used: int = 0
    files: int = 0
    directories: int = 0

    def json(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)

    def add(self, other: DirectorySum) -> None:
        """Add what is in a directory below."""
        self.bytes += other.bytes
        self.used += other.used
        self.files += other.files
        self.directories += other.directories


def directory_sums(names: FilesSnapshot, place: Place, depth: int | None) -> Iterator[DirectorySum]:
    """Give the sums of directories, each behind those below it.

    Args:
        names: Where to look.
        place: A directory, or a file.
        depth: Levels of directories to give; all when None.
    """
    top = names.get(place.path)
    if not top.is_directory:
        yield DirectorySum(place.path, top.size, top.used, 1, 0)
        return
    if depth == 0:
        usage = names.usage(top.path)
        yield DirectorySum(top.path, usage.bytes, usage.used, usage.files, usage.directories)
        return
    sums: dict[str, DirectorySum] = {top.path: DirectorySum(top.path)}
    for batch in names.subtree(top.path, ["path", "parent_path", "element_type", "size", "used"]):
        is_directory = pc.equal(batch.column(2), DIRECTORY)
        for path in batch.column(0).filter(is_directory).to_pylist():
            sums.setdefault(path, DirectorySum(path)).directories = 1
        for row in _files_by_directory(batch.filter(pc.invert(is_directory))):
            sums[row.path].add(row)
    # Deepest first: what is below is whole when it is added.
    ordered = sorted(sums, key=lambda path: path.split("/"), reverse=True)
    for path in ordered:
        above = sums.get(parent_of(path)[0])
        if above is not None and path != top.path:
            above.add(sums[path])
    levels = prefix_of(top.path).count("/")
    for path in ordered:
        if depth is None or path == top.path or path.count("/") - levels < depth:
            yield sums[path]


def _files_by_directory(files: pa.RecordBatch) -> Iterator[DirectorySum]:
    grouped = pa.Table.from_batches([files]).group_by("parent_path")
    totals = grouped.aggregate([("size", "sum"), ("used", "sum"), ("path", "count")])
    columns = ("parent_path", "size_sum", "used_sum", "path_count")
    rows = zip(*(totals.column(name).to_pylist() for name in columns), strict=True)
    for path, size, used, count in rows:
        yield DirectorySum(path, size, used, count)


def sum_lines(found: Iterable[DirectorySum], *, used: bool, human: bool) -> Iterator[str]:
    """Bytes and path of each."""
    for each in found:
        count = each.used if used else each.bytes
        yield f"{bytes_text(count) if human else count}\t{each.path}"


def tree_lines(
    names: FilesSnapshot, place: Place, level: int | None, *, sizes: bool, human: bool
) -> Iterator[str]:
    """Draw a directory as a tree, with a summary at the end."""
    top = names.get(place.path)
    counts = [0, 0]
    yield place.path
    # A stack of listings: trees may be deeper than Python's.
    waiting = [(iter(_listing(names, top)), "")]
    while waiting:
        listing, indent = waiting[-1]
        found = next(listing, None)
        if found is None:
            waiting.pop()
            continue
        element, is_last = found
        counts[element.is_directory] += 1
        told = element.name
        if element.is_directory:
            told += "/"
        elif element.is_symlink:
            told += f" -> {element.symlink_path}"
        if sizes and element.is_file:
            told += f"  [{bytes_text(element.size) if human else element.size}]"
        yield f"{indent}{'└── ' if is_last else '├── '}{told}"
        if element.is_directory and (level is None or len(waiting) < level):
            deeper = indent + ("    " if is_last else "│   ")
            waiting.append((iter(_listing(names, element)), deeper))
    files, directories = counts
    yield ""
    yield (
        f"{directories:,} director{'y' if directories == 1 else 'ies'}, "
        f"{files:,} file{'' if files == 1 else 's'}"
    )


def _listing(names: FilesSnapshot, directory: Element) -> Iterator[tuple[Element, bool]]:
    """What is in a directory, each with whether it is the last."""
    children = names.children(directory.handle) if directory.is_directory else []
    for number, child in enumerate(children, 1):
        yield child, number == len(children)
