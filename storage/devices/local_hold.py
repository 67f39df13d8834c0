"""Holds on the local file system: small files locked by whoever made them.

The kernel drops a lock with the last descriptor of its owner, so a hold ends with its process
however that ends, and a stopped process keeps it. Locks belong to open files, not to
processes, so that two databases of one process see each other's holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from typing import TYPE_CHECKING

from ...errors import Unavailable
from .device import HOLD_BYTES_MAX
from .file_calls import read_failure, write_failure
from .unnamed_file import UnnamedFile

if TYPE_CHECKING:
    from .file_calls import FileCalls
    from .unnamed_file import Folders

# checksum, length, content, zeros: of one size always, so that an update is one write
_CHECKSUM_BYTES = 4
_RECORD_BYTES = _CHECKSUM_BYTES + 1 + HOLD_BYTES_MAX
_READS_MAX = 100


def _encode(content: bytes) -> bytes:
    if len(content) > HOLD_BYTES_MAX:
        raise ValueError(f"a hold takes {HOLD_BYTES_MAX} bytes, not {len(content)}")
    body = bytes([len(content)]) + content.ljust(HOLD_BYTES_MAX, b"\0")
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body


def _decode(record: bytes) -> bytes | None:
    """Content of a hold's file, None when its bytes are not those of one write."""
    checksum, body = record[:_CHECKSUM_BYTES], record[_CHECKSUM_BYTES:]
    if len(record) != _RECORD_BYTES or zlib.crc32(body) != int.from_bytes(checksum, "little"):
        return None
    return body[1 : 1 + body[0]]


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
        record = _encode(content)
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
        record = _encode(content)
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
                content = _decode(calls.pread(descriptor, _RECORD_BYTES + 1, 0))
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
