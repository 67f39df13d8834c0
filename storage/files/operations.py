"""Operations on files: each is a value that is applied to a view, any number of times.

What an operation does to others is in the view; that it can be applied again is what a commit
that meets a conflict rests on. Refusals are `FileError`s with the number that POSIX has for them,
in the order in which Linux looks.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from .definition import DIRECTORY, FILE, LINK, SPECIAL, SYMLINK
from .element import Element, extension_of
from .file_error import FileError
from .name import bytes_of, stored_text
from .path import PATH_BYTES_MAX, names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..content.content import Content
    from .namespace import NamespaceView, Place, Which

MODE_BITS: Final = 0o7777
_NO_CONTENT: Final[Mapping[str, object]] = {
    "size": 0,
    "used": 0,
    "etag": None,
    "checksum": None,
    "inline": None,
    "extents": None,
}
CHANGEABLE: Final = frozenset(
    {
        *("nfs_mode_bits", "uid", "gid", "atime", "mtime", "creation_time"),
        *("user_tags", "user_metadata", "content_type", "tenant_id", "checksum"),
    }
)
"""Columns that `SetAttributes` may change."""


def content_columns(content: Content | None) -> Mapping[str, object]:
    """What a row says of a content; None is the empty one."""
    if content is None:
        return _NO_CONTENT
    return {name: getattr(content, name) for name in _NO_CONTENT}


def require_attributes(changes: Mapping[str, object]) -> Mapping[str, object]:
    """Return changes of attributes as rows have them.

    Raises:
        FileError: EINVAL for what cannot be changed so.
    """
    if not changes.keys() <= CHANGEABLE:
        raise FileError(errno.EINVAL, ", ".join(sorted(changes.keys() - CHANGEABLE)))
    bits = changes.get("nfs_mode_bits")
    if isinstance(bits, int):
        return {**changes, "nfs_mode_bits": bits & MODE_BITS}
    return changes


def new_element(
    view: NamespaceView,
    parent: Element,
    name: str,
    element_type: str,
    columns: Mapping[str, object],
) -> Element:
    """Add an element to a directory, whose group it gets where the directory says so."""
    view.rely(parent)
    now, is_directory = view.now, element_type == DIRECTORY
    given = {
        "extension": "" if is_directory else extension_of(name),
        "atime": now,
        "mtime": now,
        "ctime": now,
        "creation_time": now,
        "linked_time": now,
        "tenant_id": parent.tenant_id,
        "bucket_id": parent.bucket_id,
        "subdirectory_of": parent.handle if is_directory else None,
        "element_type": element_type,
        **columns,
    }
    if parent.nfs_mode_bits & stat.S_ISGID:
        given["gid"] = parent.gid
        bits = given.get("nfs_mode_bits")
        if is_directory and isinstance(bits, int):
            given["nfs_mode_bits"] = bits | stat.S_ISGID
    row = Element(view.new_handle(), parent.handle, parent.path, name, **given)  # type: ignore[arg-type]
    return view.put(row)


def _free(view: NamespaceView, place: Place) -> tuple[Element, str]:
    """A name that nothing has yet.

    Raises:
        FileError: EEXIST, and as `NamespaceView.split`.
    """
    parent, name = view.split(place)
    if not name or view.row_at(parent.handle, name) is not None:
        raise FileError(errno.EEXIST, place)
    return parent, name


def _with_parents(view: NamespaceView, place: Place, uid: int, gid: int) -> tuple[Element, str]:
    """The directory of a path and the last name, with directories that were missing made.

    Raises:
        FileError: ENOTDIR, EINVAL, ENAMETOOLONG.
    """
    if not isinstance(place, str):
        return view.split(place)
    names = names_of(place)
    if not names:
        return view.walk((), place), ""
    parent = view.walk((), place)
    columns = {"nfs_mode_bits": 0o755, "uid": uid, "gid": gid}
    for name in names[:-1]:
        row = view.row_at(parent.handle, name)
        if row is None:
            row = new_element(view, parent, name, DIRECTORY, columns)
        elif not row.is_directory:
            raise FileError(errno.ENOTDIR, place)
        parent = row
    return parent, names[-1]


@dataclass(frozen=True, slots=True)
class Create:
    """Make a file.

    Attributes:
        place: Its name.
        content: What is in it; None for nothing.
        mode: Permissions.
        uid: Owner.
        gid: Group.
        exclusive: Refuse a name that exists; otherwise a file of that name gets the content, and
            keeps all else.
        attributes: Further columns, as in `SetAttributes`.
        parents: Make missing directories.
    """

    place: Place
    content: Content | None = None
    mode: int = 0o644
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    exclusive: bool = True
    attributes: Mapping[str, object] = field(default_factory=dict)
    parents: bool = False

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        attributes = require_attributes(self.attributes)
        if self.parents:
            parent, name = _with_parents(view, self.place, self.uid, self.gid)
        else:
            parent, name = view.split(self.place)
        row = view.row_at(parent.handle, name) if name else parent
        if row is not None:
            if self.exclusive:
                raise FileError(errno.EEXIST, self.place)
            element = view.seen(row)
            if element.is_symlink:
                raise FileError(errno.ELOOP, self.place)
            return rewritten(view, element, self.content, attributes, self.place)
        columns = {
            "nfs_mode_bits": self.mode & MODE_BITS,
            "uid": self.uid,
            "gid": self.gid,
            "version": view.new_version(),
            **content_columns(self.content),
            **attributes,
        }
        made = new_element(view, parent, name, FILE, columns)
        if self.content is not None:
            view.keep(made.handle, self.content)
        return made


def rewritten(
    view: NamespaceView,
    element: Element,
    content: Content | None,
    attributes: Mapping[str, object],
    about: object,
) -> Element:
    """Give a file another content.

    Raises:
        FileError: EISDIR, EINVAL for what has no content.
    """
    if element.is_directory:
        raise FileError(errno.EISDIR, about)
    if not element.is_file:
        raise FileError(errno.EINVAL, about)
    columns = {
        "mtime": view.now,
        **content_columns(content),
        "version": view.new_version(),
        "ctime": view.now,
        **attributes,
    }
    made = change(view, element, columns)
    view.keep(made.handle, content)
    return made


def change(view: NamespaceView, element: Element, columns: Mapping[str, object]) -> Element:
    """Change columns of an element, found by whichever name; returns it under that name."""
    row = view.row(element.handle)
    assert row is not None, "it was seen"
    made = view.put(replace(view.effective(row), **columns))  # type: ignore[arg-type]
    if element.link is None:
        return made
    name = view.row(element.link)
    return made if name is None else view.seen(name)


@dataclass(frozen=True, slots=True)
class Write:
    """Give a file another content.

    Attributes:
        which: The file.
        content: The content.
        mtime: When it was changed; by default now.
    """

    which: Which
    content: Content
    mtime: int | None = None

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        times = {} if self.mtime is None else {"mtime": self.mtime}
        return rewritten(view, view.find(self.which), self.content, times, self.which)


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Make a directory.

    Attributes:
        place: Its name.
        mode: Permissions.
        uid: Owner.
        gid: Group.
        parents: Make missing directories above it as well.
        exist_ok: A directory that exists will do.
        bucket: Make it a bucket: what lies below are objects.
    """

    place: Place
    mode: int = 0o755
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    parents: bool = False
    exist_ok: bool = False
    bucket: bool = False

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        if self.parents:
            parent, name = _with_parents(view, self.place, self.uid, self.gid)
        else:
            parent, name = view.split(self.place)
        row = view.row_at(parent.handle, name) if name else parent
        if row is not None:
            if self.exist_ok and row.is_directory:
                return row
            raise FileError(errno.EEXIST, self.place)
        columns = {"nfs_mode_bits": self.mode & MODE_BITS, "uid": self.uid, "gid": self.gid}
        made = new_element(view, parent, name, DIRECTORY, columns)
        return view.put(replace(made, bucket_id=made.handle)) if self.bucket else made


@dataclass(frozen=True, slots=True)
class MakeSymlink:
    """Make a symbolic link; where it points need not exist.

    Attributes:
        place: Its name.
        target: Where it points: any text of up to 4,096 bytes without NUL.
        uid: Owner.
        gid: Group.
    """

    place: Place
    target: str
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        target = stored_text(self.target)
        if not target:
            raise FileError(errno.ENOENT, self.place)
        exact = bytes_of(target)
        if b"\0" in exact:
            raise FileError(errno.EINVAL, self.place)
        size = len(exact)
        if size > PATH_BYTES_MAX:
            raise FileError(errno.ENAMETOOLONG, self.place)
        parent, name = _free(view, self.place)
        columns = {
            "symlink_path": target,
            "size": size,
            "nfs_mode_bits": 0o777,
            "uid": self.uid,
            "gid": self.gid,
        }
        return new_element(view, parent, name, SYMLINK, columns)


@dataclass(frozen=True, slots=True)
class MakeSpecial:
    """Make a named pipe, socket or device.

    Attributes:
        place: Its name.
        element_type: FIFO, SOCKET, CHR or BLK.
        mode: Permissions.
        major: Of a device.
        minor: Of a device.
        uid: Owner.
        gid: Group.
    """

    place: Place
    element_type: str
    mode: int = 0o644
    major: int = 0
    minor: int = 0
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        if self.element_type not in SPECIAL:
            raise FileError(errno.EINVAL, self.element_type)
        parent, name = _free(view, self.place)
        columns = {
            "nfs_mode_bits": self.mode & MODE_BITS,
            "uid": self.uid,
            "gid": self.gid,
            "major_device": self.major,
            "minor_device": self.minor,
        }
        return new_element(view, parent, name, self.element_type, columns)


@dataclass(frozen=True, slots=True)
class MakeLink:
    """Give an element that is no directory a further name.

    Attributes:
        which: The element; a symbolic link is not followed.
        place: The name.
    """

    which: Which
    place: Place

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        element = view.find(self.which)
        parent, name = _free(view, self.place)
        if element.is_directory:
            raise FileError(errno.EPERM, self.place)
        row = view.row(element.handle)
        assert row is not None, "it was seen"
        if row.nlinks >= LINKS_MAX:
            raise FileError(errno.EMLINK, self.place)
        view.put(replace(row, nlinks=row.nlinks + 1, ctime=view.now))
        made = new_element(view, parent, name, LINK, {"target": row.handle, "uid": row.uid})
        return view.seen(made)


LINKS_MAX: Final = 65_000
"""Names of one element, as ext4 has it."""


@dataclass(frozen=True, slots=True)
class SetAttributes:
    """Change attributes of an element; its ctime becomes now.

    Attributes:
        which: The element; a symbolic link is not followed.
        changes: New values by column: nfs_mode_bits, uid, gid, atime, mtime, creation_time,
            user_tags, user_metadata, content_type, tenant_id, checksum. Whole maps replace whole
            maps.
    """

    which: Which
    changes: Mapping[str, object]

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        changes = require_attributes(self.changes)
        return change(view, view.find(self.which), {**changes, "ctime": view.now})


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy a file, a symbolic link or a special file inside the store: no byte is copied.

    Attributes:
        source: What is copied.
        place: The name of the copy; a file of that name gets the content.
    """

    source: Which
    place: Place

    def apply(self, view: NamespaceView) -> Element:
        """Do it in a view."""
        source = view.find(self.source)
        if source.is_directory:
            raise FileError(errno.EISDIR, self.source)
        parent, name = view.split(self.place)
        row = view.row_at(parent.handle, name) if name else parent
        content = view.shared(source) if source.is_file else None
        if row is not None:
            element = view.seen(row)
            if element.handle == source.handle:
                raise FileError(errno.EINVAL, self.place)
            if element.is_file and source.is_file:
                return rewritten(view, element, content, {}, self.place)
            raise FileError(errno.EISDIR if row.is_directory else errno.EEXIST, self.place)
        columns = {
            column: getattr(source, column)
            for column in (
                *("nfs_mode_bits", "uid", "gid", "major_device", "minor_device"),
                *("symlink_path", "content_type", "user_tags", "user_metadata", "size", "checksum"),
            )
        }
        if source.is_file:
            columns |= {**content_columns(content), "version": view.new_version()}
        made = new_element(view, parent, name, source.element_type, columns)
        if source.is_file:
            view.keep(made.handle, content)
        return made
