"""Copies between local files and the store."""

from __future__ import annotations

import errno
import os
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import isfilelike

from ....storage.files.file_error import FileError
from ....storage.files.name import bytes_of, text_of
from .errors import translated
from .writing import creation, directory

if TYPE_CHECKING:
    from fsspec.callbacks import Callback

    from ...transfer.batch import Batch
    from .filesystem import PagelakeFileSystem

SMALL_BYTES: Final = 4 << 20
"""Files up to this size are written and committed together with others."""


def write_from_local(
    fs: PagelakeFileSystem,
    source: str,
    path: str,
    callback: Callback | None,
    *,
    exclusive: bool,
    batch: Batch | None,
    **attributes: Any,
) -> None:
    """Copy one local file to the store; make a directory where it is one.

    Args:
        fs: The file system.
        source: The local path.
        path: Where to.
        callback: Told of the size, and of bytes as they are written; fsspec's.
        exclusive: Refuse where there is something of that name.
        batch: Takes small files, to be committed with others; None commits this one.
        attributes: Columns of the element; see `PagelakeFileSystem.open`.

    Raises:
        OSError: One of the two sides refused.
    """
    callback = callback or DEFAULT_CALLBACK
    if os.path.isdir(source):
        if batch is None:
            fs.makedirs(path, exist_ok=True)
        else:
            batch.add(directory(path))
        return
    with open(source, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        callback.set_size(size)
        if batch is not None and size <= SMALL_BYTES:
            whole = file.read()
            make = partial(creation, path, exclusive=exclusive, attributes=attributes)
            with translated(path):
                batch.write(whole, make)
            callback.relative_update(len(whole))
            return
        block = memoryview(bytearray(min(size, fs.blocksize) or 1))
        with fs.open(path, "xb" if exclusive else "wb", **attributes) as sink:
            while count := file.readinto(block):
                sink.write(block[:count])
                callback.relative_update(count)


def read_to_local(
    fs: PagelakeFileSystem, path: str, target: Any, callback: Callback | None, outfile: Any
) -> None:
    """Copy one file of the store to a local path or an open file; make a directory for one.

    Args:
        fs: The file system.
        path: The file's.
        target: The local path, or a file that is open.
        callback: Told of the size, and of bytes as they are written; fsspec's.
        outfile: A file that is open, instead of a path.

    Raises:
        OSError: One of the two sides refused.
    """
    callback = callback or DEFAULT_CALLBACK
    if outfile is None and isfilelike(target):
        outfile = target
    with translated(path), fs.names() as names:
        element = names.resolve(path)
        local = None if outfile is not None else local_path(path, os.fspath(target))
        if element.is_directory and local is not None:
            os.makedirs(local, exist_ok=True)
            return
        if not element.is_file:
            raise FileError(errno.EISDIR if element.is_directory else errno.ENXIO, path)
        callback.set_size(element.size)
        reader = names.read(element)
        try:
            if local is not None:
                os.makedirs(os.path.dirname(local) or b".", exist_ok=True)
                outfile = open(local, "wb", buffering=0)  # noqa: SIM115
            for start in range(0, element.size, fs.blocksize):
                for piece in reader.slices(start, min(fs.blocksize, element.size - start)):
                    _write(outfile, piece)
                    callback.relative_update(len(piece))
        finally:
            reader.close()
            if local is not None and outfile is not None:
                outfile.close()


def _write(file: Any, piece: memoryview) -> None:
    """Write all of it: an unbuffered file may take less."""
    while len(piece):
        count = file.write(piece)
        piece = piece[len(piece) if count is None else count :]


def stored_path(source: str, path: str) -> str:
    """Return a path in the store in which local names stand for their bytes; see `local_path`."""
    local, ours = source.rstrip("/").split("/"), path.rstrip("/").split("/")
    cut = len(ours) - _common(local, ours)
    return "/".join([*ours[:cut], *(text_of(os.fsencode(name)) for name in ours[cut:])])


def _common(one: list[str], other: list[str]) -> int:
    """How many names two paths have in common at their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def local_path(path: str, target: str) -> bytes:
    """Return a local path as bytes, in which names of the store have the bytes they stand for.

    fsspec makes local paths of the store's as text. What both have at their ends are names of the
    store; what comes before is the caller's.
    """
    ours, local = path.split("/"), target.rstrip("/").split("/")
    cut = len(local) - _common(ours, local)
    names = [*map(os.fsencode, local[:cut]), *map(bytes_of, local[cut:])]
    return b"/".join(names) or b"/"
