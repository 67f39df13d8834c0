"""Names of files as text, and back, without loss.

A name on disk is any bytes but `/` and NUL; a VARCHAR is UTF-8. Names that are UTF-8 stay as they
are. A byte 0xNN that is not part of valid UTF-8 becomes the character U+10FFNN, of a plane kept for
private use; and so that nothing else looks like that, a name that holds a character from U+10FF00
to U+10FFFF has its four bytes written the same way. Different names stay different, and each comes
back exactly.

Many names are converted at once, joined by NUL: a batch in which every name is plain costs one pass
of a UTF-8 check.
"""

from __future__ import annotations

import codecs
import errno
import re
from typing import Final

import numpy as np
import pyarrow as pa

from .file_error import FileError

NAME_BYTES_MAX: Final = 255
"""Longest name, as file systems have it."""

# The UTF-8 forms of U+10FF00 to U+10FFFF: two fixed bytes, two that hold the number's eight bits.
MARK: Final = b"\xf4\x8f"
MARKED: Final = re.compile(rb"\xf4\x8f([\xbc-\xbf])([\x80-\xbf])")
FIRST_MARK: Final = 0x10FF00

ERROR_HANDLER: Final = "pagelake-name-bytes"


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    invalid = error.object[error.start : error.end]
    return "".join(chr(FIRST_MARK + byte) for byte in invalid), error.end


codecs.register_error(ERROR_HANDLER, _mark_invalid)


def text_of(name: bytes) -> str:
    r"""Return a name, a path, or several joined by NUL, as text.

    Example:
        >>> text_of(b"caf\xc3\xa9"), text_of(b"caf\xe9") == "caf\U0010ffe9"
        ('café', True)
    """
    if MARK in name:
        name = MARKED.sub(lambda match: b"".join(map(_mark, match[0])), name)
    return name.decode("utf-8", ERROR_HANDLER)


def bytes_of(text: str) -> bytes:
    """Return the bytes of a name or path that `text_of` gave as text.

    Text that no name gives is encoded as it stands; lone surrogates too, as `os.fsencode` does.
    """
    encoded = text.encode("utf-8", "surrogateescape")
    return MARKED.sub(_unmark, encoded) if MARK in encoded else encoded


def text_array(names: list[bytes]) -> pa.StringArray:
    """Return names or paths as text, in order; none holds a NUL.

    Raises:
        ValueError: One holds a NUL.
    """
    return strings_of(text_of_joined(b"\0".join(names)), len(names))


def bytes_array(texts: pa.StringArray) -> pa.BinaryArray:
    """Undo `text_array`; NULL stays NULL."""
    texts = texts.cast(pa.string())
    marked = texts.buffers()[2] is not None and MARK in memoryview(texts.buffers()[2]).tobytes()
    if not marked:
        return texts.cast(pa.binary())
    values = [None if text is None else bytes_of(text) for text in texts.to_pylist()]
    return pa.array(values, pa.binary())


def text_of_joined(joined: bytes) -> bytes:
    """Return names that are joined by NUL as UTF-8, joined in the same way.

    A NUL is no part of any character of several bytes, so that one pass sees what name by name
    would be seen. Text that is plain comes back as the same object.
    """
    if MARK not in joined and _is_utf8(joined):
        return joined
    return text_of(joined).encode()


def strings_of(joined: bytes, count: int) -> pa.StringArray:
    """Split UTF-8 text that is joined by NUL into an array of `count` strings.

    Raises:
        ValueError: There are more or fewer.
    """
    data = np.frombuffer(joined, dtype=np.uint8)
    ends = np.flatnonzero(data == 0)
    if count == 0:
        return pa.array([], pa.string())
    if len(ends) != count - 1:
        raise ValueError(f"{len(ends) + 1} names where {count} were told of: one holds a NUL")
    # Without the separators, each name begins where the one before it ends.
    offsets = np.empty(count + 1, dtype=np.int32)
    offsets[0] = 0
    offsets[1:count] = ends - np.arange(count - 1)
    offsets[count] = len(joined) - (count - 1)
    squeezed = joined.replace(b"\0", b"")
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(squeezed)]
    )


def _is_utf8(joined: bytes) -> bool:
    try:
        joined.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mark(byte: int) -> bytes:
    return chr(FIRST_MARK + byte).encode()


def _unmark(match: re.Match[bytes]) -> bytes:
    return bytes([(match[1][0] - 0xBC) << 6 | match[2][0] - 0x80])


def require_name(name: str) -> str:
    """Return a name as it is stored, if an element may have it.

    Args:
        name: Text that `text_of` gave, or that somebody typed; lone surrogates stand for bytes.

    Raises:
        FileError: EINVAL for what is no name, ENAMETOOLONG for one beyond 255 bytes.
    """
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise FileError(errno.EINVAL, name)
    if name.isascii():
        if len(name) > NAME_BYTES_MAX:
            raise FileError(errno.ENAMETOOLONG, name)
        return name
    exact = exact_bytes(name)
    if len(exact) > NAME_BYTES_MAX:
        raise FileError(errno.ENAMETOOLONG, name)
    # Characters that stand for bytes may stand for these too.
    if b"/" in exact or b"\0" in exact or exact in {b".", b".."}:
        raise FileError(errno.EINVAL, name)
    return text_of(exact)


def exact_bytes(text: str) -> bytes:
    """The bytes that a name or path stands for; lone surrogates stand for bytes.

    Raises:
        FileError: EINVAL for surrogates that stand for none.
    """
    try:
        return bytes_of(text)
    except UnicodeEncodeError:
        raise FileError(errno.EINVAL, text) from None


def stored_text(text: str) -> str:
    """Text as it is stored: one text for the same bytes.

    Raises:
        FileError: See `exact_bytes`.
    """
    return text if text.isascii() else text_of(exact_bytes(text))


def sort_key(name: str) -> bytes:
    """What names are ordered by: their bytes."""
    return name.encode() if name.isascii() else bytes_of(name)
