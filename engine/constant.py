"""The value of a constant expression, where a plan needs it before it is made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb

from ..errors import InvalidRequest
from ..sql.tokens import literal

if TYPE_CHECKING:
    from .session import Session

_KIND = re.compile(r"^[\w ]+ Error: ")


def constant(
    session: Session, expression: str, sql_type: str, *, meaning: str = "", read: str = "{}"
) -> object:
    """The value of a constant expression, computed by the kernel in the session's time zone.

    Args:
        session: The session.
        expression: Its text.
        sql_type: The type that it is converted to.
        meaning: What it stands for, for messages; its type by default.
        read: How the converted value is read, as SQL text with a place for it.

    Raises:
        InvalidRequest: It is NULL, or no constant of that type.
    """
    expression, meaning = expression.strip(), meaning or sql_type
    if not expression:
        raise InvalidRequest(f"a {meaning} is missing")
    cursor = session.database.kernel.cursor()
    try:
        for setting in session.kernel_settings:
            cursor.execute(setting)
        converted = read.format(f"CAST(({expression}\n) AS {sql_type})")
        rows = cursor.execute(f"SELECT {converted}").fetchall()
    except duckdb.Error as error:
        raise _not_constant(expression, sql_type, meaning, str(error)) from error
    finally:
        cursor.close()
    if len(rows) != 1 or rows[0][0] is None:
        value = "NULL" if read == "{}" else "NULL or infinite"
        raise InvalidRequest(f"{expression} is no {meaning}: its value is {value}")
    return rows[0][0]


def _not_constant(expression: str, sql_type: str, meaning: str, told: str) -> InvalidRequest:
    """The error about an expression that the kernel could not compute."""
    if "Values were not provided" in told:
        return InvalidRequest(
            f"{expression}: there is no value for the parameter",
            hint="pass a list for ? and $1, a dictionary for $name",
        )
    hint = None
    if "Referenced column" in told:
        what = "it names a column, and only constants can stand here"
        if sql_type == "VARCHAR" and '"' not in expression:
            hint = f"a text stands between quotes: {literal(expression)}"
    else:
        what = _KIND.sub("", told.splitlines()[0])
        if sql_type == "INTERVAL":
            hint = "an interval is written like this: INTERVAL 7 DAY"
    return InvalidRequest(f"{expression} is no {meaning}: {what}", hint=hint)
