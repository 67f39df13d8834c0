"""Holds on the local file system: small files locked by whoever made them.

The kernel drops a lock with the last descriptor of its owner, so a hold ends with its process
however that ends, and a stopped process keeps it. Locks belong to open files, not to
processes, so that two databases of one process see each other's holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from typing import TYPE_CHECKING

from ...errors import Unavailable
from .device import HOLD_BYTES_MAX
from .file_calls import read_failure, write_failure
from .unnamed_file import UnnamedFile

if TYPE_CHECKING:
    from .file_calls import FileCalls
    from .unnamed_file import Folders

# checksum of all that follows, length, content; what a longer one left behind it means nothing
_CHECKSUM = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_CONTENT_AT = _CHECKSUM.size + _LENGTH.size
_READS_MAX = 100


def encode(content: bytes) -> bytes:
    """What is written at the beginning of the file, in one write."""
    if len(content) > HOLD_BYTES_MAX:
        raise ValueError(f"a hold takes {HOLD_BYTES_MAX} bytes, not {len(content)}")
    body = _LENGTH.pack(len(content)) + content
    return _CHECKSUM.pack(zlib.crc32(body)) + body


def decode(record: bytes) -> bytes | None:
    """Content of a file, None when its bytes are not those of one write."""
    if len(record) < _CONTENT_AT:
        return None
    end = _CONTENT_AT + _LENGTH.unpack_from(record, _CHECKSUM.size)[0]
    if len(record) < end:
        return None
    body = record[_CHECKSUM.size : end]
    return body[_LENGTH.size :] if zlib.crc32(body) == _CHECKSUM.unpack_from(record)[0] else None


class LocalHold:
    """A locked file with a name.

    Args:
        calls: The operating system.
        root: Directory of the store.
        folders: Its folders.
        name: A new name below the root.
        content: What it says at first.

    Raises:
        FileExistsError: The name is taken.
        Unavailable: The device failed, or has no locks; nothing is held.
    """

    __slots__ = ("_calls", "_file", "_path")

    def __init__(
        self, calls: FileCalls, root: str, folders: Folders, name: str, content: bytes
    ) -> None:
        record = encode(content)
        self._calls = calls
        self._path = f"{root}/{name}"
        try:
            with contextlib.suppress(FileExistsError):
                calls.mkdir(os.path.dirname(self._path))
            self._file = UnnamedFile(calls, root, folders)
        except OSError as error:
            raise write_failure(error, "hold a version") from error
        try:
            # Locked before it has its name: nobody ever finds it there unlocked.
            calls.flock(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(record)
            if not self._file.link(name, "hold a version"):
                raise FileExistsError(name)
            self._file.drop_temporary()
        except FileExistsError:
            self._file.discard()
            raise
        except OSError as error:
            self._file.discard()
            raise write_failure(error, "hold a version") from error
        except BaseException:
            # Should it have its name all the same, the next look at the folder removes it.
            self._file.discard()
            raise

    def _write(self, record: bytes) -> None:
        written = 0
        while written < len(record):
            written += self._calls.pwrite(self._file.descriptor, record[written:], written)

    def update(self, content: bytes) -> None:
        """Say something else instead, in one write."""
        record = encode(content)
        try:
            self._write(record)
        except OSError as error:
            raise write_failure(error, "move a hold") from error

    def release(self) -> None:
        """Take it back. Calling twice is allowed."""
        if self._file.descriptor >= 0:
            # Whoever looks next removes what cannot be removed here.
            with contextlib.suppress(OSError):
                self._calls.unlink(self._path)
            self._file.discard()


def held(calls: FileCalls, root: str, folder: str) -> list[bytes]:
    """Contents of the holds in a folder whose owners live; removes those of the dead.

    Raises:
        Unavailable: A hold cannot be examined, so that its owner must be taken for alive.
    """
    try:
        names = sorted(calls.listdir(f"{root}/{folder}"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise read_failure(error, folder) from error
    contents = []
    for name in names:
        try:
            content = _examine(calls, f"{root}/{folder}/{name}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise read_failure(error, f"{folder}/{name}") from error
        if content is not None:
            contents.append(content)
    return contents


def _examine(calls: FileCalls, path: str) -> bytes | None:
    """Content of one hold; None, and the file removed, when its owner is gone."""
    descriptor = calls.open(path, os.O_RDONLY | os.O_CLOEXEC, 0)
    try:
        try:
            calls.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            for _ in range(_READS_MAX):
                # A read may meet the middle of an update.
                content = decode(calls.pread(descriptor, _CONTENT_AT + HOLD_BYTES_MAX, 0))
                if content is not None:
                    return content
            raise Unavailable(f"{path} is held, but for what cannot be read") from None
        with contextlib.suppress(OSError):
            # The name may have passed to another file since it was opened. It cannot from here
            # on: only who has the lock removes it.
            if os.path.samestat(calls.stat(path), calls.fstat(descriptor)):
                calls.unlink(path)
        return None
    finally:
        with contextlib.suppress(OSError):
            calls.close(descriptor)
