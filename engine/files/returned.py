"""RETURNING of statements about files: rows of the view, of what the statement was about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...extensions.files.relations import FILES, SCHEMA
from ...sql.tokens import quote
from ..statements.change import KEPT, Change, check_returning, collected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..result import Result

_ORDER: Final = "row_order_5f1c0e7a9b3d4c21"
"""Name of a column that no user has."""


def returned_rows(
    change: Change, handles: Sequence[int], returning: str, alias: str | None = None
) -> Result:
    """Answer RETURNING from what the transaction sees now.

    Args:
        change: The statement's surroundings.
        handles: The elements, in the order of the rows.
        returning: The select list.
        alias: What the statement calls the files, if not by their name.
    """
    check_returning(returning)
    plain = Change(change.session, change.transaction, None, change.frame)
    kept = pa.table(
        {"handle": pa.array(handles, pa.int64()), _ORDER: pa.array(range(len(handles)), pa.int64())}
    )
    source = (
        f"(SELECT f.* FROM {SCHEMA}.{FILES} AS f JOIN {KEPT} AS k ON f.handle = k.handle "
        f"ORDER BY k.{_ORDER}) AS {quote(alias or FILES)}"
    )
    return collected(plain, f"SELECT {returning} FROM {source}", kept, None)
