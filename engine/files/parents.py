"""Making the directories that a path needs, as an operation beside those of the store."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...storage.files.file_error import FileError
from ...storage.files.operations import MakeDirectory
from ...storage.files.path import parent_of

if TYPE_CHECKING:
    from ...storage.files.namespace import NamespaceView


@dataclass(frozen=True, slots=True)
class MakeParents:
    """Make what is missing of the directories above a path.

    Attributes:
        path: The path, in the form that rows have.
    """

    path: str

    def apply(self, view: NamespaceView) -> None:
        """Do it in a view.

        Raises:
            FileError: ENOTDIR where a part of the path is something else.
        """
        parent = parent_of(self.path)[0]
        try:
            MakeDirectory(parent, parents=True, exist_ok=True).apply(view)
        except FileError as error:
            if error.errno != errno.EEXIST:
                raise
            raise FileError(errno.ENOTDIR, self.path) from error
