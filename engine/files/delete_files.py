"""DELETE FROM files: names go, and with the last name of a file its bytes.

A directory goes only if all that lies below it is to go as well. That is so if of each directory
to go all children are: they are counted through the index of parents, for all directories at once.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...sql.tokens import literal
from ...storage.files.definition import DIRECTORY, LINK, ROOT_HANDLE
from ...storage.files.file_error import FileError
from ...storage.files.removal import RemoveTree, Unlink
from ..result import Result
from .found_rows import OWN, found_query, found_rows
from .insert_files import require_files
from .place import shown, told
from .returned import returned_rows

if TYPE_CHECKING:
    from ...sql import statement as st
    from ..statements.change import Change


def delete(change: Change, statement: st.Delete, target: str) -> Result:
    """Run DELETE FROM files, or TRUNCATE.

    Raises:
        FileError: A directory is not empty.
        Unsupported: It is DELETE FROM objects.
    """
    require_files(target, "DELETE FROM")
    batches = list(found_rows(change, found_query(statement, ())))
    nothing = pa.table({name: [] for name in OWN})
    found = pa.Table.from_batches(batches) if batches else nothing
    answer: Result | None = None
    if found.num_rows:
        _require_whole(change, found)
        found = found.filter(pc.not_equal(found["handle"], ROOT_HANDLE))
    if statement.returning is not None:
        handles = found["handle"].to_pylist()
        answer = returned_rows(change, handles, statement.returning, statement.alias)
    if found.num_rows:
        try:
            change.session.database.files.apply(change.transaction, *_operations(found))
        except FileError as error:
            raise told(error) from error
    return answer or Result(None, count=found.num_rows)


def _directories(found: pa.Table) -> pa.Table:
    return found.filter(pc.equal(found["element_type"], DIRECTORY))


def _require_whole(change: Change, found: pa.Table) -> None:
    """Refuse to remove a directory of which something would be left.

    Raises:
        FileError: There is one.
    """
    directories = _directories(found)
    handles = directories["handle"].to_numpy()
    if not handles.size:
        return
    stored = change.session.database.files.view(change.transaction.snapshot).stored
    children = stored.children(handles)
    there = np.zeros(handles.size, dtype=np.int64)
    if children.keys.size:
        kinds = stored.read(children, ["element_type"]).column(0)
        # Further names of an element are no rows that could be found; they go with the directory.
        is_element = pc.not_equal(kinds, LINK).to_numpy()
        there = np.bincount(children.keys[is_element], minlength=handles.size)
    order = np.argsort(handles)
    parents = found["parent_handle"].to_numpy()
    at = np.minimum(np.searchsorted(handles, parents, sorter=order), handles.size - 1)
    inside = handles[order[at]] == parents
    going = np.bincount(order[at[inside]], minlength=handles.size)
    left = np.flatnonzero(there != going)
    if left.size:
        path = min(directories["path"].take(pa.array(left)).to_pylist())
        error = FileError(errno.ENOTEMPTY, path)
        below = literal(shown(path if path == "/" else f"{path}/"))
        told(error).hint = (
            f"delete what lies below it as well: … WHERE path = {literal(shown(path))} "
            f"OR starts_with(path, {below})"
        )
        raise error


def _operations(found: pa.Table) -> list[Unlink | RemoveTree]:
    """What removes the rows: a directory takes along what lies below it."""
    handles = _directories(found)["handle"]
    top = found.filter(pc.invert(pc.is_in(found["parent_handle"], value_set=handles)))
    columns = (top[name].to_pylist() for name in ("parent_handle", "name", "element_type"))
    return [
        RemoveTree((parent, name)) if kind == DIRECTORY else Unlink((parent, name))
        for parent, name, kind in zip(*columns, strict=True)
    ]
