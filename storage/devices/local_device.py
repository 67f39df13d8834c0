"""A device over a directory of the local file system.

Every call to the operating system goes through ``FileCalls``. What a failed call raises is a
typed error, save that a name which is missing or taken is ``FileNotFoundError`` or
``FileExistsError``, as the interface says.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from typing import TYPE_CHECKING

from ...errors import NotAStore, OutcomeUnknown, StorageFull, Unavailable
from .file_calls import NO_ROOM, SYSTEM_CALLS, FileCalls, read_failure, write_failure
from .local_hold import LocalHold, held
from .local_turn import LocalTurn
from .mappings import Mappings
from .unnamed_file import STAGING, Folders, UnnamedFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STORE_FILE = "store.json"
FOLDERS = (
    "commit",
    "commit/offers",
    "log",
    "log/boundary",
    "log/bundles",
    "log/checkpoints",
    "log/horizon",
    "segments",
    "hot",
    "pins",
    STAGING,
)
_OWN_NAMES = frozenset({*FOLDERS, _STORE_FILE, "devices", "device.json"})
_FOREIGN_ALLOWED = frozenset({"lost+found"})  # a new file system is a place for a store too
_MAPS_MAX = 256  # every mapping holds a descriptor, and processes often may have 1,024 of them
_IOV_MAX = 512  # buffers one writev takes; POSIX promises 16, Linux and macOS give 1024
_READ_BYTES_MAX = 1 << 30  # one read(2) gives 2 GiB at most
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own
_PUNCHED_BYTES_MIN = 16 << 10  # less is not worth a look: file systems note extents in blocks
_NO_HOLES = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.ENOLCK})
# Failures that say something of the machine at the moment, and nothing of the path.
_PASSING = frozenset(
    {errno.EIO, errno.EINTR, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


def _write_all(calls: FileCalls, descriptor: int, parts: list[bytes | memoryview]) -> None:
    """Write every byte of the parts, resuming after short writes."""
    views = [memoryview(part).cast("B") for part in parts if len(part)]
    first = 0
    while first < len(views):
        written = calls.writev(descriptor, views[first : first + _IOV_MAX])
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]


class _LocalAppendFile:
    __slots__ = ("_calls", "_descriptor", "_name", "_poisoned", "size")

    def __init__(self, calls: FileCalls, root: str, name: str, *, new: bool = True) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL) * new
        try:
            self._descriptor = calls.open(f"{root}/{name}", flags, 0o600)
            self.size = 0 if new else calls.fstat(self._descriptor).st_size
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            raise write_failure(error, "create a segment") from error
        self._calls = calls
        self._name = name
        self._poisoned = False

    def append(self, *parts: bytes | memoryview) -> int:
        if self._poisoned:
            raise OutcomeUnknown(f"{self._name} takes no appends after a failed write or sync")
        offset = self.size
        try:
            _write_all(self._calls, self._descriptor, list(parts))
        except BaseException as error:
            # A partial append leaves the real end of the file unknown.
            self._poisoned = True
            if isinstance(error, OSError):
                raise write_failure(error, "write") from error
            raise
        self.size += sum(memoryview(part).nbytes for part in parts)
        return offset

    def sync(self) -> None:
        if self._poisoned:
            raise OutcomeUnknown(f"{self._name} was given up after a failed write or sync")
        try:
            self._calls.fdatasync(self._descriptor)
        except BaseException as error:
            # After a failed sync the kernel may have dropped the dirty pages: a second sync
            # would succeed and mean nothing, so the file is given up.
            self._poisoned = True
            if not isinstance(error, OSError):
                raise
            if error.errno in NO_ROOM:
                raise StorageFull(
                    f"the device had no room left for {self._name} when it was synced"
                ) from error
            raise OutcomeUnknown(
                f"syncing {self._name} failed ({error.strerror}); whether it reached the device "
                "is unknown",
                hint="reconnect: a fresh read of the store decides",
            ) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            # What is referred to was synced before, so a failure here says nothing new.
            with contextlib.suppress(OSError):
                self._calls.close(self._descriptor)
            self._descriptor = -1


class _LocalStagedFile:
    """A synced file without a name."""

    __slots__ = ("_file",)

    def __init__(self, calls: FileCalls, root: str, folders: Folders, content: bytes) -> None:
        try:
            self._file = UnnamedFile(calls, root, folders)
            try:
                _write_all(calls, self._file.descriptor, [content])
                # A sync that fails here loses nothing: the file has no name, nobody can see it.
                calls.fdatasync(self._file.descriptor)
            except BaseException:
                self._file.discard()
                raise
        except OSError as error:
            raise write_failure(error, "stage a commit record") from error

    def link(self, name: str) -> bool:
        return self._file.link(name, "publish a commit")

    def discard(self) -> None:
        self._file.discard()


class LocalDevice:
    """Files under one directory, created when absent.

    Args:
        root: The directory.
        create: Create the directory and its folders when they are missing.
        calls: The operating system.
        extra_folders: Further folders to create.
        maps_max: Mappings to keep.

    Raises:
        NotAStore: The path is a file, cannot be created or entered, or lies on a file
            system whose link is not atomic.
        StorageFull: There is no room for it.
        Unavailable: The file system fails at the moment.
    """

    def __init__(
        self,
        root: Path,
        *,
        create: bool,
        calls: FileCalls = SYSTEM_CALLS,
        extra_folders: tuple[str, ...] = (),
        maps_max: int | None = None,
    ) -> None:
        self._root = root
        self._extra_folders = extra_folders
        self._prefix = str(root)
        self._calls = calls.repeating_interrupted()
        self._folders = Folders(self._calls, self._prefix)
        kept_max = _MAPS_MAX if maps_max is None else maps_max
        self._mappings = Mappings(self._calls, self._prefix, kept_max)
        self._has_holes = True
        self._punched: dict[str, int] = {}
        try:
            found = self._status(self._prefix)
            if found is not None and not stat.S_ISDIR(found.st_mode):
                raise NotAStore(f"{root} is a file, not a directory", hint="name a directory")
            if create:
                self._make_folders()
            elif found is None:
                hint = "name the directory of a store, or open it writable to create one"
                raise NotAStore(f"{root} does not exist", hint=hint)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StorageFull(f"the device has no room left for a store in {root}") from error
            failure = Unavailable if error.errno in _PASSING else NotAStore
            spot = f": {error.filename}" if error.filename else ""
            raise failure(f"cannot open a store in {root}: {error.strerror}{spot}") from error
        if create:
            try:
                self._probe_link()
            except BaseException:
                self.close()
                raise

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return self._calls.stat(path)
        except FileNotFoundError:
            return None

    def _make_folders(self) -> None:
        """Create what is missing of the directory and its folders."""
        missing = []
        path = self._prefix
        while self._status(path) is None:
            missing.append(path)
            path = os.path.dirname(path)
        for path in reversed(missing):
            self._make_folder(path)
        found = {name for name in self._calls.listdir(self._prefix) if not name.startswith(".")}
        if _STORE_FILE not in found and (foreign := found - _OWN_NAMES - _FOREIGN_ALLOWED):
            raise NotAStore(
                f"{self._root} holds something other than a store, such as {min(foreign)}",
                hint="name an empty or a new directory",
            )
        for folder in (*FOLDERS, *self._extra_folders):
            self._make_folder(f"{self._prefix}/{folder}")
        if _STORE_FILE not in found:
            self._sync_parents(set(missing))

    def _make_folder(self, path: str) -> None:
        try:
            self._calls.mkdir(path)
        except FileExistsError:
            if not stat.S_ISDIR(self._calls.stat(path).st_mode):
                raise

    def _sync_parents(self, made: set[str]) -> None:
        """Make the path to a new store durable: lost with it are all its commits.

        Whoever made the directories may have died before they were synced, so those that
        were found are synced too, as far as this process may and up to the file system's root.
        """
        path, system = self._prefix, self._calls.stat(self._prefix).st_dev
        while path != (parent := os.path.dirname(path)):
            try:
                if self._calls.stat(parent).st_dev != system:
                    return
                descriptor = self._calls.open(
                    parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0
                )
                try:
                    self._calls.fsync(descriptor)
                finally:
                    with contextlib.suppress(OSError):
                        self._calls.close(descriptor)
            except OSError as error:
                if path in made or error.errno in _PASSING | NO_ROOM:
                    raise
            path = parent

    def _probe_link(self) -> None:
        """Refuse file systems on which link would not fail on an existing name."""
        probe = f"{STAGING}/probe-{secrets.token_hex(8)}"
        try:
            staged = self.stage(b"probe")
            try:
                atomic = staged.link(probe) and not staged.link(probe)
            finally:
                staged.discard()
                self.unlink(probe)
        except StorageFull:
            if self.exists(_STORE_FILE):
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

    def turn(self, name: str) -> LocalTurn:
        return LocalTurn(self._calls, f"{self._prefix}/{name}")

    def hold(self, name: str, content: bytes) -> LocalHold:
        return LocalHold(self._calls, self._prefix, self._folders, name, content)

    def held(self, folder: str) -> list[bytes]:
        return held(self._calls, self._prefix, folder)

    def create(self, name: str) -> _LocalAppendFile:
        return _LocalAppendFile(self._calls, self._prefix, name)

    def extend(self, name: str) -> _LocalAppendFile:
        """Open a file for appending again, where nobody else can be appending: in a backup."""
        return _LocalAppendFile(self._calls, self._prefix, name, new=False)

    def stage(self, content: bytes) -> _LocalStagedFile:
        return _LocalStagedFile(self._calls, self._prefix, self._folders, content)

    def exists(self, name: str) -> bool:
        try:
            self._calls.stat(f"{self._prefix}/{name}")
        except FileNotFoundError:
            return False
        except OSError as error:
            # Answering False would pass for "there is no newer version".
            raise read_failure(error, name) from error
        return True

    def read(self, name: str) -> bytes:
        try:
            descriptor = self._calls.open(f"{self._prefix}/{name}", os.O_RDONLY | os.O_CLOEXEC, 0)
            try:
                wanted = self._calls.fstat(descriptor).st_size + 1
                parts = []
                while part := self._calls.read(descriptor, min(wanted, _READ_BYTES_MAX)):
                    parts.append(part)
                return parts[0] if len(parts) == 1 else b"".join(parts)
            finally:
                with contextlib.suppress(OSError):
                    self._calls.close(descriptor)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise read_failure(error, name) from error

    def map(self, name: str, offset: int, length: int) -> memoryview:
        return self._mappings.view(name, offset, length)

    def punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> int | None:
        if not self._has_holes:
            return None
        try:
            return self._punch(name, ranges)
        except (FileNotFoundError, BlockingIOError):
            return 0  # it is gone, or somebody looks at it
        except OSError as error:
            if error.errno in _NO_HOLES:
                self._has_holes = False
                return None
            if error.errno in NO_ROOM:
                return 0  # to note a hole takes room too
            raise Unavailable(f"{name} cannot give room back: {error.strerror}") from error

    def _punch(self, name: str, ranges: Sequence[tuple[int, int]]) -> int:
        unneeded = sum(length for _, length in ranges)
        # Blocks larger than a page, or compressed ones, do not tell what was done before.
        if self._punched.get(name) == unneeded:
            return 0
        descriptor = self._calls.open(f"{self._prefix}/{name}", os.O_WRONLY | os.O_CLOEXEC, 0)
        try:
            before = self._calls.fstat(descriptor)
            allocated = before.st_blocks * _BLOCK_BYTES
            if allocated <= before.st_size - unneeded + _PUNCHED_BYTES_MIN:
                return 0
            self._calls.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for offset, length in ranges:
                self._calls.punch(descriptor, offset, length)
            self._punched[name] = unneeded
            after = self._calls.fstat(descriptor)
            return max(0, allocated - after.st_blocks * _BLOCK_BYTES)
        finally:
            with contextlib.suppress(OSError):
                self._calls.close(descriptor)

    def list(self, folder: str) -> list[str]:
        try:
            return sorted(self._calls.listdir(f"{self._prefix}/{folder}"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise read_failure(error, folder) from error

    def _stat(self, name: str) -> os.stat_result:
        try:
            return self._calls.stat(f"{self._prefix}/{name}")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise read_failure(error, name) from error

    def size(self, name: str) -> int:
        return self._stat(name).st_size

    def unlink(self, name: str) -> None:
        self._mappings.forget(name)
        self._punched.pop(name, None)
        try:
            self._calls.unlink(f"{self._prefix}/{name}")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Unavailable(f"{name} cannot be removed: {error.strerror}") from error

    def sync_directory(self, folder: str) -> None:
        self._folders.sync(folder)

    def local_path(self, name: str) -> Path | None:
        return self._root / name

    def adopt(self, path: Path, name: str) -> bool:
        target = f"{self._prefix}/{name}"
        try:
            # Whoever deleted the folder deleted what can be made again.
            self._make_folder(os.path.dirname(target))
            self._calls.link(str(path), target)
        except FileExistsError:
            return False
        except OSError as error:
            raise write_failure(error, "publish a file") from error
        return True

    def touch(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._calls.utime(f"{self._prefix}/{name}")

    def modified_s(self, name: str) -> float:
        return self._stat(name).st_mtime

    def close(self) -> None:
        self._mappings.close()
        self._folders.close()
