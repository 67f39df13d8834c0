"""Stored files for the kernel's own readers and writers: ``read_parquet('pagelake:///a.parquet')``.

The kernel asks a file system for what a URL names. It reads what is committed newest when a
statement is planned; a statement that must see something else, pending changes or the past, has a
prefix in its URLs that says so. What COPY TO writes is committed when the statement is over.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from ...errors import Unsupported
from ...sql.file_urls import SCHEME

if TYPE_CHECKING:
    from ...storage.content.content import Content
    from ...storage.files.files import Files
    from ...storage.files.files_snapshot import FilesSnapshot
    from ...storage.snapshot import Snapshot
    from ..kernel import Kernel

PREFIXES_MAX: Final = 256
"""Snapshots that URLs can still mean: those of statements that ran lately."""
_MARK: Final = ".snapshot-5f1c0e7a-"


class StoredUrls:
    """What URLs of stored files mean in one kernel.

    Args:
        kernel: Where they are opened.
        files: What they name.
    """

    def __init__(self, kernel: Kernel, files: Files) -> None:
        self.files = files
        self._kernel = kernel
        self._known = False
        self._newest: FilesSnapshot | None = None
        self._prefixes: OrderedDict[str, Snapshot] = OrderedDict()
        self._written: dict[str, dict[str, Content | None]] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Let URLs mean what is committed now.

        Raises:
            Unsupported: A package is missing.
        """
        self._make_known()
        newest = self.files.snapshot()
        with self._lock:
            before, self._newest = self._newest, newest
        if before is not None:
            before.close()

    def enter(self, snapshot: Snapshot) -> str:
        """A prefix for URLs that are to mean files of a snapshot, which somebody else keeps.

        Raises:
            Unsupported: A package is missing.
        """
        self._make_known()
        with self._lock:
            prefix = f"{_MARK}{self.files.store.environment.random_bytes(8).hex()}"
            self._prefixes[prefix] = snapshot
            while len(self._prefixes) > PREFIXES_MAX:
                self._prefixes.popitem(last=False)
        return prefix

    def _make_known(self) -> None:
        if self._known:
            return
        try:
            from .kernel_files import KernelFiles
        except ImportError as error:
            raise Unsupported(
                f"reading {SCHEME} needs the package fsspec",
                construct=SCHEME,
                hint="pip install 'pagelake[fsspec]', or read_file(path) for the bytes",
            ) from error
        with self._lock:
            if not self._known:
                self._kernel.register_files(KernelFiles(self))
                self._known = True

    # What the file system asks

    def look(self, path: str) -> tuple[FilesSnapshot, str, str]:
        """The files that a path is about, the path itself, and the prefix that it had."""
        prefix, _, rest = path.lstrip("/").partition("/")
        with self._lock:
            snapshot = self._prefixes.get(prefix)
            newest = self._newest
        if snapshot is not None:
            return self.files.view(snapshot), f"/{rest}", prefix
        assert newest is not None, "nothing is opened before a statement begins"
        return newest, path, ""

    def opened(self, path: str) -> tuple[FilesSnapshot, str]:
        """The same for a file that stays open, whatever the next statement does."""
        view, plain, prefix = self.look(path)
        return (view if prefix else self.files.at(view.version)), plain

    # Writing

    def note(self, prefix: str, path: str, content: Content | None) -> None:
        """Note a file that a statement has written, or a directory (None) that it has made."""
        with self._lock:
            self._written.setdefault(prefix, {})[path] = content

    def noted(self, prefix: str, path: str) -> tuple[bool, Content | None]:
        """Whether a statement has written a file or made a directory, and the file's content."""
        with self._lock:
            written = self._written.get(prefix, {})
            return path in written, written.get(path)

    def rename(self, prefix: str, old: str, new: str) -> None:
        """Give a file that a statement has written another name."""
        with self._lock:
            written = self._written.setdefault(prefix, {})
            written[new] = written.pop(old)

    def take(self, prefix: str) -> dict[str, Content]:
        """The contents that a statement has written, by path; they are the caller's now."""
        with self._lock:
            written = self._written.pop(prefix, {})
        return {path: content for path, content in written.items() if content is not None}

    def close(self) -> None:
        """Let go of the newest files."""
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is not None:
            newest.close()
