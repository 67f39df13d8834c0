"""Facts about many files at once, as the function `file_facts` of SQL gives them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pyarrow as pa

from ..catalog.names import bytes_of
from .facts import FACTS, Facts, facts_of_path, require_formats

THREADS: Final = 8
"""Files looked at side by side: a look waits for the disk more than it computes."""
FACTS_SQL: Final = (
    "STRUCT(content_type VARCHAR, width BIGINT, height BIGINT, rows BIGINT, row_groups BIGINT, "
    'columns STRUCT("name" VARCHAR, "type" VARCHAR)[], error VARCHAR)'
)
"""The SQL type of the facts."""


def facts_of_paths(paths: pa.Array) -> pa.Array:
    """Look at files.

    Args:
        paths: Strings, as catalogs write them; NULL gives NULL.

    Returns:
        Structs of `FACTS`, in the order of the paths.

    Raises:
        Unsupported: The packages that know the formats are not installed.
    """
    require_formats()
    named = paths.to_pylist()
    with ThreadPoolExecutor(min(THREADS, max(1, len(named)))) as pool:
        rows = list(pool.map(_row, named))
    return pa.array(rows, FACTS)


def _row(path: str | None) -> dict[str, object] | None:
    if path is None:
        return None
    name = bytes_of(path)
    return (Facts(error="its name holds a NUL") if b"\0" in name else facts_of_path(name)).row()
