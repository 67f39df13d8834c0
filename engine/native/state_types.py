"""The types of aggregates' states, which the kernel prints without saying what they are of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb

from ...errors import Unsupported
from ...sql.aggregate_states import states, with_signatures
from ...sql.column_types import is_finished, typed_null
from ...sql.tokens import literal, quote
from ...sql.type_tree import STATE, parse_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernel import Cursor, Parameters

_ANSWER = "temp.main.answer_5f1c0e7a9b3d4c21"


def told_types(
    cursor: Cursor, source: str, types: Sequence[str], parameters: Parameters = None
) -> list[str]:
    """The types of a query's columns, those of states with what they are of.

    Args:
        cursor: A kernel cursor on which the query can run.
        source: The query.
        types: The columns' types, as the kernel prints them.
        parameters: The query's parameters.

    Raises:
        Unsupported: A state cannot be made again from the value below it.
    """
    if not any(STATE in text for text in types):
        return list(types)
    made = f"CREATE TEMP TABLE {_ANSWER} AS SELECT * FROM ({source}\n) LIMIT 0"
    cursor.execute(made) if parameters is None else cursor.execute(made, parameters)
    try:
        return told_columns(cursor, _ANSWER, types)
    finally:
        cursor.execute(f"DROP TABLE {_ANSWER}")


def told_columns(cursor: Cursor, table: str, types: Sequence[str]) -> list[str]:
    """As ``told_types``, for the columns of a native table.

    Args:
        cursor: A kernel cursor.
        table: The table's qualified name.
        types: The columns' types, as the kernel prints them.
    """
    if not any(STATE in text for text in types):
        return list(types)
    asked = f"SELECT json_serialize_plan({literal(f'SELECT * FROM {table}')})"
    plan = json.loads(cursor.execute(asked).fetchall()[0][0])["plans"][0]
    told = []
    for text, bound in zip(types, plan["expressions"], strict=True):
        if STATE not in text:
            told.append(text)
            continue
        tree = with_signatures(text, bound["return_type"])
        for state, value in states(tree, quote(bound["alias"])):
            null = typed_null(state.sql)
            probes = [f"combine({value}, {null})"]  # refused unless both are of the same
            if is_finished(state):
                probes.append(f"to_aggregate_state(finalize({null}), {state.arguments})")
            try:
                cursor.sql(f"SELECT {', '.join(probes)} FROM {table}")
            except duckdb.Error as error:
                raise Unsupported(
                    f"that state of an aggregate cannot be stored: {error}",
                    construct=STATE,
                    hint="store what finalize() gives, or the state as VARCHAR",
                ) from error
        told.append(tree.sql if parse_type(text) != tree else text)
    return told
