"""Objects of the caller that a statement names: data frames, tables, streams.

DuckDB's own replacement scan would look through Pagelake's variables, so it is off and the
caller's frames are walked here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

_FRAMES_MAX = 2
"""Frames looked at: the caller's own and the one around it (a helper, a notebook cell)."""


def find_object(name: str, frame: FrameType | None) -> object | None:
    """Find an object that can be read as a table in the caller's variables."""
    for scope in _scopes(frame):
        candidate = scope.get(name)
        if candidate is not None and is_tabular(candidate):
            return candidate
    return None


def names_in_scope(frame: FrameType | None) -> list[str]:
    """Names of the caller's objects that could be read as tables."""
    return [name for scope in _scopes(frame) for name, v in scope.items() if is_tabular(v)]


def is_tabular(value: object) -> bool:
    """Tell whether an object can be read as a table."""
    kind = type(value)
    return (
        hasattr(kind, "__arrow_c_stream__")
        or hasattr(kind, "__arrow_c_array__")
        or (kind.__module__.startswith("pyarrow") and kind.__name__ in _PYARROW_READABLE)
        or (kind.__module__.startswith("polars") and kind.__name__ == "LazyFrame")
    )


_PYARROW_READABLE = {"FileSystemDataset", "InMemoryDataset", "UnionDataset", "Scanner"}


def _scopes(frame: FrameType | None) -> Iterator[Mapping[str, object]]:
    for _ in range(_FRAMES_MAX):
        if frame is None:
            return
        yield frame.f_locals
        yield frame.f_globals
        frame = frame.f_back
