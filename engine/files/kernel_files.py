"""The file system that the kernel sees behind `pagelake://`; see `urls`."""

from __future__ import annotations

import errno
import io
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractFileSystem

from ...errors import Error
from ...sql.file_urls import SCHEME
from ...storage.files.file_error import FileError
from ...storage.files.path import join, normal
from ..clients.fsspec.reading import ElementReader
from ..kernel_errors import carry
from .place import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...storage.files.element import Element
    from .urls import StoredUrls

_TYPES = {"DIR": "directory", "FILE": "file"}


class KernelFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Stored files, as fsspec has them.

    Args:
        urls: What URLs mean.
    """

    protocol = "pagelake"
    root_marker = "/"
    cachable = False

    def __init__(self, urls: StoredUrls) -> None:
        super().__init__(skip_instance_cache=True)
        self._urls = urls

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return "/" + str(path).removeprefix(SCHEME).strip("/")

    def unstrip_protocol(self, name: str) -> str:
        """A path as a URL."""
        return f"{SCHEME}{self._strip_protocol(name)}"

    def info(self, path: str, **_: object) -> dict[str, object]:
        """What there is at a path; symbolic links are followed."""
        given = self._strip_protocol(path)
        view, plain, prefix = self._urls.look(given)
        is_written, content = self._urls.noted(prefix, plain)
        if is_written:
            kind, size = ("directory", 0) if content is None else ("file", content.size)
            return {"name": given, "size": size, "type": kind, "mtime": 0}
        try:
            return _told_of(given, view.resolve(plain))
        except FileError as error:
            raise OSError(error.errno, os.strerror(error.errno), given) from error
        except Error as error:
            raise carry(error) from error

    def ls(self, path: str, detail: bool = True, **_: object) -> Sequence[object]:
        """What lies in a directory."""
        given = self._strip_protocol(path)
        view, plain, prefix = self._urls.look(given)
        if self._urls.noted(prefix, plain)[0]:
            return []
        try:
            element = view.resolve(plain)
            found = view.children(element.handle) if element.is_directory else []
        except FileError as error:
            raise OSError(error.errno, os.strerror(error.errno), given) from error
        except Error as error:
            raise carry(error) from error
        told_of = [self._listed(join(given, child.name), child) for child in found]
        if not element.is_directory:
            told_of = [_told_of(given, element)]
        return told_of if detail else [str(entry["name"]) for entry in told_of]

    def _listed(self, path: str, element: Element) -> dict[str, object]:
        if not element.is_symlink:
            return _told_of(path, element)
        try:
            return self.info(path)
        except OSError:
            return _told_of(path, element)

    def modified(self, path: str) -> datetime:
        """When a file was changed last."""
        return datetime.fromtimestamp(int(str(self.info(path)["mtime"])) / 1e9, UTC)

    def glob(self, path: str, **_: object) -> list[str]:
        """The files whose paths match a pattern."""
        found = super().glob(path, detail=True)
        return sorted(name for name, told_of in found.items() if told_of["type"] == "file")

    def mkdir(self, path: str, create_parents: bool = True, **_: object) -> None:
        """Note a directory; what is written makes it."""
        _view, plain, prefix = self._urls.look(self._strip_protocol(path))
        self._urls.note(prefix, plain, None)

    def mv(self, path1: str, path2: str, **_: object) -> None:
        """Give what a statement has written its name."""
        _view, old, prefix = self._urls.look(self._strip_protocol(path1))
        self._urls.rename(prefix, old, self._urls.look(self._strip_protocol(path2))[1])

    def rm_file(self, path: str) -> None:
        """Refuse: no statement of the kernel's removes files."""
        raise OSError(errno.EOPNOTSUPP, "DELETE FROM files removes stored files", path)

    def _open(self, path: str, mode: str = "rb", **_: object) -> io.BufferedIOBase | io.RawIOBase:
        if mode == "wb":
            return _Written(self._urls, path)
        if mode != "rb":
            raise OSError(errno.EOPNOTSUPP, f"a stored file cannot be opened as {mode!r}", path)
        view, plain = self._urls.opened(path)
        try:
            element = view.resolve(plain)
            return ElementReader(self, path, view, element)
        except FileError as error:
            view.close()
            raise carry(told(error, plain)) from error
        except Error as error:
            view.close()
            raise carry(error) from error


def _told_of(path: str, element: Element) -> dict[str, object]:
    kind = _TYPES.get(element.element_type, "other")
    return {"name": path, "size": element.size, "type": kind, "mtime": element.mtime or 0}


class _Written(io.RawIOBase):
    """A file that the kernel writes; it is kept aside when it is closed.

    Args:
        urls: Where it is kept.
        path: Its path, with the prefix of its statement.
    """

    def __init__(self, urls: StoredUrls, path: str) -> None:
        super().__init__()
        self._urls = urls
        _, plain, self._prefix = urls.look(path)
        try:
            self._path = normal(plain)
        except FileError as error:
            raise carry(told(error, plain)) from error
        self._writer = urls.files.content.write()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._writer.size

    def write(self, content: Any) -> int:
        try:
            return self._writer.write(content)
        except Error as error:
            raise carry(error) from error

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        try:
            self._urls.note(self._prefix, self._path, self._writer.finish())
        except Error as error:
            self._writer.abort()
            raise carry(error) from error
