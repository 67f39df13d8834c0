"""Classifying COPY: from or to a file, by Pagelake or by the kernel itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .classify_native import copy_database
from .statement import CopyFrom, CopyTo, Native

if TYPE_CHECKING:
    from .statement import Statement
    from .tokens import TokenStream

_KERNEL_FORMATS = frozenset({"geojson", "geojsonl"})
"""Formats for which no query gives what the kernel's COPY reads."""


def read_copy(stream: TokenStream) -> Statement:
    """Read COPY; the stream stands behind the word."""
    if stream.accept("FROM", "DATABASE"):
        return copy_database(stream)
    if stream.word() == "(":
        start = stream.offset + 1
        stream.skip_balanced()
        query = stream.sql[start : stream.behind - 1]
        name, columns = None, None
    else:
        start = stream.offset
        name = stream.name()
        columns = stream.names_in_parentheses() if stream.word() == "(" else None
        listed = ", ".join(f'"{c}"' for c in columns) if columns else "*"
        query = f"SELECT {listed} FROM {stream.sql[name.start : name.end]}"
    if stream.accept("TO"):
        return CopyTo(query, _file(stream), _options(stream), stream.sql)
    stream.expect("FROM")
    if name is None:
        raise stream.error("COPY … FROM needs a table")
    source, options = _file(stream), _options(stream)
    if _is_for_kernel(source, dict(options)):
        return Native("COPY", (name,), stream.sql, only_adds=True)
    return CopyFrom(name, columns, source, options)


def _is_for_kernel(source: str, options: dict[str, str | None]) -> bool:
    """Tell whether only the kernel's own COPY reads a file, or says what is wrong with options."""
    if any(options.get(name, "") is None for name in ("dateformat", "timestampformat")):
        return True
    suffix = Path(source.strip("'")).suffix.lower()
    told = options.get("format") or suffix.removeprefix(".")
    return told.strip("'\"").lower() in _KERNEL_FORMATS


def _file(stream: TokenStream) -> str:
    """The text of a file name, or of a list of them."""
    start = stream.offset
    is_parameter = stream.word() == "$"
    stream.skip_balanced()
    stream.at += is_parameter
    return stream.sql[start : stream.behind]


def _options(stream: TokenStream) -> tuple[tuple[str, str | None], ...]:
    """COPY options: ``(NAME value, …)`` or ``NAME value …``."""
    stream.accept("WITH")
    parenthesised = stream.accept("(")
    options: list[tuple[str, str | None]] = []
    while not stream.at_end() and stream.word() not in {")", ";"}:
        option = stream.identifier().lower()
        start = stream.offset
        while not stream.at_end() and stream.word() not in {",", ")", ";"}:
            stream.skip_balanced()
            if not parenthesised:
                break
        value = stream.sql[start : stream.behind] if stream.behind > start else None
        options.append((option, value))
        stream.accept(",")
    return tuple(options)
