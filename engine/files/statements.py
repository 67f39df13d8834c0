"""Running statements that change files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sql import statement as st
from ..result import Result
from ..statements.fast_insert import parameters_by_key
from .delete_files import delete
from .found_rows import found_query
from .insert_files import insert, insert_batches, require_files
from .target import target_of
from .update_files import update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..plan_cache import Plan
    from ..session import Session
    from ..statements.change import Change


def run(change: Change, plan: Plan) -> Result:
    """Run INSERT, UPDATE or DELETE of files."""
    statement, target = plan.statement, plan.files
    assert target is not None
    match statement:
        case st.Insert():
            quick = insert_fast(change, plan, [change.parameters])
            return quick or insert(change, statement, target)
        case st.Update():
            return update(change, statement, target)
    assert isinstance(statement, st.Delete)
    return delete(change, statement, target)


def query_of(session: Session, statement: st.Statement) -> str | None:
    """The query by which a change of files finds its rows; None for any other statement.

    Raises:
        Unsupported: Files cannot be changed in that way.
    """
    if target_of(session, statement) is None:
        return None
    match statement:
        case st.Insert(source=source, ctes=ctes) if source is not None:
            return ctes + source
        case st.Update(assignments=assignments):
            return found_query(statement, [expression for _, expression in assignments])
        case st.Delete():
            return found_query(statement, ())
    return None


def insert_fast(change: Change, plan: Plan, rows: Sequence[object]) -> Result | None:
    """Insert files of plain values; None where the kernel must convert them."""
    fast = plan.fast_insert
    require_files(str(plan.files), "INSERT INTO")
    batch = None if fast is None else fast.batch([parameters_by_key(given) for given in rows])
    if fast is None or batch is None:
        return None
    return Result(None, count=len(insert_batches(change, [batch], fast.definition.columns)))
