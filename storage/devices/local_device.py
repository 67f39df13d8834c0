"""A device over a directory of the local file system.

Publishing uses ``link(2)`` and never ``rename(2)``: link fails when the name exists,
rename replaces silently. On Linux the staged file has no name at all (``O_TMPFILE``),
elsewhere it has an unguessable temporary one.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import threading
from typing import TYPE_CHECKING

from ...errors import NotAStore, OutcomeUnknown, StorageFull, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_STAGING = "tmp"
_FOLDERS = ("log", "log/checkpoints", "segments", "hot", _STAGING)
_OWN_NAMES = frozenset({*_FOLDERS, "store.json"})
_FOREIGN_ALLOWED = frozenset({"lost+found"})  # a new file system is a place for a store too
_MAPS_MAX = 256  # every mapping holds a descriptor, and processes often may have 1,024 of them
_datasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
_IOV_MAX = 512  # buffers one writev takes; POSIX promises 16, Linux and macOS give 1024


def _failure(error: OSError, verb: str) -> Unavailable:
    """What a failed call means to the caller, while nothing is published yet."""
    if error.errno in _NO_ROOM:
        return StorageFull(
            f"the device has no room left to {verb}; nothing of this transaction was kept",
            hint="free some space and run the statement again",
        )
    return Unavailable(f"the device failed to {verb} ({error.strerror}); nothing was kept")


def _write_all(descriptor: int, parts: list[bytes | memoryview]) -> None:
    """Write every byte of the parts, resuming after short writes."""
    views = [memoryview(part).cast("B") for part in parts if len(part)]
    first = 0
    while first < len(views):
        try:
            written = os.writev(descriptor, views[first : first + _IOV_MAX])
        except OSError as error:
            raise _failure(error, "write") from error
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]


def _sync(descriptor: int, what: str) -> None:
    try:
        _datasync(descriptor)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(
                f"the device had no room left for {what} when it was synced"
            ) from error
        # After a failed sync the kernel may have dropped the dirty pages: a second sync would
        # succeed and mean nothing, so the file is given up.
        raise OutcomeUnknown(
            f"syncing {what} failed ({error.strerror}); whether it reached the device is unknown",
            hint="reconnect: a fresh read of the store decides",
        ) from error


class _LocalAppendFile:
    __slots__ = ("_descriptor", "_name", "_poisoned", "size")

    def __init__(self, path: Path, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            raise
        except OSError as error:
            raise _failure(error, "create a segment") from error
        self._name = name
        self._poisoned = False
        self.size = 0

    def append(self, *parts: bytes | memoryview) -> int:
        if self._poisoned:
            raise OutcomeUnknown(f"{self._name} takes no appends after a failed write or sync")
        offset = self.size
        try:
            _write_all(self._descriptor, list(parts))
        except BaseException:
            # A partial append leaves the real end of the file unknown.
            self._poisoned = True
            raise
        self.size += sum(memoryview(part).nbytes for part in parts)
        return offset

    def sync(self) -> None:
        if self._poisoned:
            raise OutcomeUnknown(f"{self._name} was given up after a failed write or sync")
        try:
            _sync(self._descriptor, self._name)
        except BaseException:
            self._poisoned = True
            raise

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Folders:
    """Descriptors of a store's folders, opened once: they are synced with every commit."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()

    def descriptor(self, folder: str) -> int:
        """Descriptor of a folder, valid until ``close``."""
        with self._lock:
            known = self._open.get(folder)
            if known is None:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                known = os.open(f"{self._root}/{folder}", flags)
                self._open[folder] = known
            return known

    def close(self) -> None:
        """Release the descriptors."""
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()


class _LocalStagedFile:
    """A synced file without a name, or with a temporary one where O_TMPFILE is missing."""

    __slots__ = ("_descriptor", "_folders", "_root", "_temporary")

    def __init__(self, root: str, folders: _Folders, content: bytes) -> None:
        self._root = root
        self._folders = folders
        self._temporary: str | None = None
        flags = getattr(os, "O_TMPFILE", 0)
        try:
            if flags:
                try:
                    self._descriptor = os.open(
                        f"{root}/{_STAGING}", os.O_WRONLY | flags | os.O_CLOEXEC, 0o600
                    )
                except OSError as error:
                    if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
                        raise
                    flags = 0
            if not flags:
                self._temporary = f"{root}/{_STAGING}/{secrets.token_hex(16)}"
                self._descriptor = os.open(
                    self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
        except OSError as error:
            raise _failure(error, "stage a commit record") from error
        try:
            _write_all(self._descriptor, [content])
            # A sync that fails here loses nothing: the file has no name, nobody can see it.
            _datasync(self._descriptor)
        except OSError as error:
            self.discard()
            raise _failure(error, "stage a commit record") from error
        except BaseException:
            self.discard()
            raise

    def link(self, name: str) -> bool:
        folder, _, base = name.rpartition("/")
        try:
            if self._temporary is None:
                # Naming dst_dir_fd makes CPython call linkat; plain link(2) of a /proc path
                # would cross devices.
                os.link(
                    f"/proc/self/fd/{self._descriptor}",
                    base,
                    dst_dir_fd=self._folders.descriptor(folder),
                    follow_symlinks=True,
                )
            else:
                os.link(self._temporary, f"{self._root}/{name}")
        except FileExistsError:
            return False
        except OSError as error:
            raise _failure(error, "publish a commit") from error
        return True

    def discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)
            self._temporary = None


class LocalDevice:
    """Files under one directory, created when absent.

    Args:
        root: The directory.
        create: Create the directory and its folders when they are missing.

    Raises:
        NotAStore: The path is a file, cannot be created or entered, or lies on a file
            system whose link is not atomic.
    """

    def __init__(self, root: Path, *, create: bool) -> None:
        self._root = root
        self._prefix = str(root)
        self._folders = _Folders(self._prefix)
        self._maps: dict[str, mmap.mmap] = {}
        self._maps_lock = threading.Lock()
        try:
            if root.exists() and not root.is_dir():
                raise NotAStore(f"{root} is a file, not a directory", hint="name a directory")
            if create:
                self._make_folders()
            elif not root.is_dir():
                raise NotAStore(f"{root} does not exist", hint="open it writable to create it")
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StorageFull(f"the device has no room left for a store in {root}") from error
            raise NotAStore(f"cannot open a store in {root}: {error.strerror}") from error
        if create:
            self._probe_link()

    def _make_folders(self) -> None:
        """Create what is missing of the directory and its folders."""
        missing = [path for path in (self._root, *self._root.parents) if not path.exists()]
        self._root.mkdir(parents=True, exist_ok=True)
        found = {name for name in os.listdir(self._root) if not name.startswith(".")}
        if "store.json" not in found and (foreign := found - _OWN_NAMES - _FOREIGN_ALLOWED):
            raise NotAStore(
                f"{self._root} holds something other than a store, such as {min(foreign)}",
                hint="name an empty or a new directory",
            )
        for folder in _FOLDERS:
            (self._root / folder).mkdir(exist_ok=True)
        for path in missing:
            # A store whose own directory is lost in a power failure is lost with all commits.
            descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _probe_link(self) -> None:
        """Refuse file systems on which link would not fail on an existing name."""
        probe = f"tmp/probe-{secrets.token_hex(8)}"
        try:
            staged = self.stage(b"probe")
            try:
                atomic = staged.link(probe) and not staged.link(probe)
            finally:
                staged.discard()
                self.unlink(probe)
        except StorageFull:
            if self.exists("store.json"):
                return  # proved when the store was made; a full one must still open
            raise
        except Unavailable as error:
            raise NotAStore(
                f"{self._root} is not writable, or its file system has no hard links: "
                f"{error.message}",
                hint="open it with read_only=True, or choose a local disk",
            ) from error
        if not atomic:
            raise NotAStore(f"the file system of {self._root} has no atomic link")

    def create(self, name: str) -> _LocalAppendFile:
        return _LocalAppendFile(self._root / name, name)

    def stage(self, content: bytes) -> _LocalStagedFile:
        return _LocalStagedFile(self._prefix, self._folders, content)

    def exists(self, name: str) -> bool:
        return os.path.exists(f"{self._prefix}/{name}")

    def read(self, name: str) -> bytes:
        with open(f"{self._prefix}/{name}", "rb", buffering=0) as file:
            return file.read()

    def map(self, name: str, offset: int, length: int) -> memoryview:
        if length == 0:
            return memoryview(b"")
        mapped = self._maps.get(name)
        if mapped is None or len(mapped) < offset + length:
            mapped = self._remap(name, offset + length)
        return memoryview(mapped)[offset : offset + length].toreadonly()

    def _remap(self, name: str, needed: int) -> mmap.mmap:
        with self._maps_lock:
            with open(self._root / name, "rb") as file:
                # Checked before mapping: touching pages beyond the end would kill the process.
                if os.fstat(file.fileno()).st_size < needed:
                    raise EOFError(f"{name} is shorter than {needed} bytes")
                mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            # An older, shorter map is dropped here and freed with its last view.
            self._maps.pop(name, None)
            self._maps[name] = mapped
            if len(self._maps) > _MAPS_MAX:
                del self._maps[next(iter(self._maps))]
            return mapped

    def list(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(self._root / folder))
        except FileNotFoundError:
            return []

    def size(self, name: str) -> int:
        return os.stat(self._root / name).st_size

    def unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._root / name)
        with self._maps_lock:
            self._maps.pop(name, None)

    def sync_directory(self, folder: str) -> None:
        try:
            os.fsync(self._folders.descriptor(folder))
        except OSError as error:
            raise OutcomeUnknown(
                f"syncing the directory {folder} failed ({error.strerror})",
                hint="reconnect: a fresh read of the store decides",
            ) from error

    def local_path(self, name: str) -> Path | None:
        return self._root / name

    def adopt(self, path: Path, name: str) -> bool:
        target = self._root / name
        target.parent.mkdir(exist_ok=True)  # whoever deleted it deleted what can be made again
        try:
            os.link(path, target)
        except FileExistsError:
            return False
        return True

    def touch(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.utime(self._root / name)

    def modified_s(self, name: str) -> float:
        return os.stat(self._root / name).st_mtime

    def close(self) -> None:
        with self._maps_lock:
            self._maps.clear()
        self._folders.close()
