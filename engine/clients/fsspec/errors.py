"""Errors of a store as the OSErrors that programs which use files expect."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ....errors import Error, NotAStore
from ....storage.files.file_error import FileError, errno_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def refusal(number: int, path: object, why: str | None = None) -> OSError:
    """Return the OSError of a number, which Python makes the subclass that belongs to it.

    Args:
        number: An errno.
        path: What it is about.
        why: A text; the system's own by default.
    """
    return OSError(number, why or os.strerror(number), path)


@contextmanager
def translated(path: object) -> Iterator[None]:
    """Raise errors of the store as OSErrors.

    Args:
        path: What is being done something to: the error's `filename`.

    Raises:
        OSError: The store refused, with the errno that POSIX has for that.
    """
    try:
        yield
    except FileError as error:
        raise refusal(error.errno, path) from error
    except NotAStore as error:
        raise refusal(errno.ENOENT, path, str(error)) from error
    except Error as error:
        raise refusal(errno_of(error), path, str(error)) from error
