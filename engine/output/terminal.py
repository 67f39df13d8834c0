"""What protects a terminal from the values it shows, and measures them.

A value may come from anywhere, so a terminal never receives its control characters: an escape
sequence in a file name could retitle the window or hide rows. Text that overrides the writing
direction is escaped too, because it makes a row read as another one.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import BinaryIO

# C0, DEL, C1, line and paragraph separators, direction overrides and isolates, byte order mark,
# and lone surrogates, which no UTF-8 terminal can be sent.
_CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROL}]")
_UNSAFE_IN_LINES = re.compile(f"(?![\t\n])[{_CONTROL}]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
ELLIPSIS = "…"


def visible(text: str) -> str:
    r"""Return the text with control characters spelled out, such as `\n` and `\x1b`."""
    if text.isprintable() and text.isascii():
        return text
    return _UNSAFE.sub(_escape, text)


def cell_width(text: str) -> int:
    """Return how many terminal cells the text takes (wide characters take two)."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width = wcswidth(text)
    return width if width >= 0 else len(text)


def clip(text: str, cells: int) -> str:
    """Cut the text to at most `cells` terminal cells, ending in `…` where it was cut."""
    if cell_width(text) <= cells:
        return text
    if text.isascii():
        return text[: max(cells - 1, 0)] + ELLIPSIS
    from wcwidth import wcwidth

    used = 0
    for position, character in enumerate(text):
        used += max(wcwidth(character), 0)
        if used > cells - 1:
            return text[:position] + ELLIPSIS
    return text + ELLIPSIS


class TerminalGuard(io.RawIOBase):
    """A byte stream that spells out control characters on their way to a terminal.

    Line breaks and tabs pass. It is put under formats that carry values unchanged (CSV), and
    only where the output is a terminal: files and pipes get the exact bytes.
    """

    def __init__(self, terminal: BinaryIO) -> None:
        super().__init__()
        self._terminal = terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        """Return True: the guard is write-only."""
        return True

    def write(self, chunk: object) -> int:
        """Write UTF-8 bytes, escaped; returns the number of bytes taken."""
        raw = bytes(chunk)  # type: ignore[call-overload]
        text = self._decoder.decode(raw)
        self._terminal.write(_UNSAFE_IN_LINES.sub(_escape, text).encode("utf-8", "replace"))
        return len(raw)

    def flush(self) -> None:
        """Flush the terminal."""
        self._terminal.flush()


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    named = _NAMED.get(character)
    if named is not None:
        return named
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
