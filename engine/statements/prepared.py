"""PREPARE, EXECUTE and DEALLOCATE.

A prepared statement is its text. EXECUTE puts the texts of its values where the parameters
stand, so that they keep the types that they have in SQL, and runs it like any other statement:
a change of the catalog in between means what it means there too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot.tokenizer_core import TokenType

from ...errors import InvalidRequest, UnknownName
from ...sql import statement as st
from ...sql.classify import classify
from ...sql.names import close_matches
from ...sql.tokens import TokenStream, literal, tokenize
from ..query import make_plan
from ..result import Result
from .change import check_returning

if TYPE_CHECKING:
    from ..session import Session

_KEEPING = {"PREPARE", "EXECUTE", "CREATE"}
"""Statements whose parameters are not their own, or must outlive the session's variables."""
_IN = re.compile(r"\bIN\s*$", re.IGNORECASE)
USUAL = {type(None), list, tuple, dict}
"""Usual types of parameters, which need no closer look."""


def prepare(session: Session, statement: st.Prepare) -> Result:
    """Remember a statement.

    Raises:
        ParseError: It is not SQL.
        UnknownName: It names what does not exist.
    """
    if isinstance(classify(statement.sql), st.Prepare | st.ExecutePrepared | st.Deallocate):
        raise InvalidRequest("a prepared statement cannot prepare or execute another")
    plan = make_plan(session, statement.sql)
    returning = getattr(plan.statement, "returning", None)
    if returning is not None:
        check_returning(returning)
    if isinstance(plan.statement, st.Query):
        _bind(session, plan.sql, "pagelake_binding")
    session.prepared[statement.name] = statement.sql
    return Result(None)


def _bind(session: Session, sql: str, name: str) -> None:
    """Let the kernel bind a query, its parameters unknown, under a name that errors may tell."""
    from ..query import bind_text, open_route

    snapshot = session.snapshot()
    opened = open_route(session, bind_text(session, sql, snapshot), None, snapshot)
    try:
        opened.cursor.execute(f"PREPARE {name} AS {sql}")
        opened.cursor.execute(f"DEALLOCATE {name}")
    finally:
        opened.close(drained=True)


def text_of(session: Session, statement: st.ExecutePrepared) -> str:
    """The statement that EXECUTE runs.

    Raises:
        UnknownName: Nothing was prepared under the name.
        InvalidRequest: There are too few values, or too many, or they are not constant.
    """
    sql = session.prepared.get(statement.name)
    if sql is None:
        raise UnknownName(
            f'there is no prepared statement "{statement.name}"',
            name=statement.name,
            suggestions=close_matches(statement.name, list(session.prepared)),
        )
    _require_constants(session, (*statement.positional, *(v for _, v in statement.named)))
    named = dict(statement.named)
    return substituted(sql, statement.positional, named, _variables(session).keys())


def with_variables(session: Session, sql: str) -> str:
    """A statement with the session's variables in the places of parameters of their names.

    They stand in for values that are not given; the statement is to be run without any.
    """
    places = [place for place in parameters(sql) if not place[0].isdigit()]
    if not places or TokenStream(sql).word() in _KEEPING:
        return sql
    known = _variables(session)
    for name, start, end in reversed(places):
        if name in known:
            sql = f"{sql[:start]}getvariable({literal(known[name])}){sql[end:]}"
    return sql


def _variables(session: Session) -> dict[str, str]:
    """Names of the session's variables, by folded name."""
    if not session.has_kernel_state:
        return {}
    rows = session.primary().execute("SELECT lower(name), name FROM duckdb_variables()").fetchall()
    return dict(rows)


def _require_constants(session: Session, values: Sequence[str]) -> None:
    """Refuse values that are queries, columns or parameters."""
    if not values:
        return
    words = [t.text for v in values for t in tokenize(v) if t.token_type is not TokenType.STRING]
    if any(str(word).upper() in {"SELECT", "FROM"} for word in words):
        raise InvalidRequest("the values of EXECUTE must be constants")
    _bind(session, f"SELECT {', '.join(values)}", "pagelake_values")


def substituted(
    sql: str, positional: Sequence[str], named: Mapping[str, str], variables: Collection[str] = ()
) -> str:
    """A statement with values in the places of its parameters.

    Args:
        sql: The statement.
        positional: Texts of values by position.
        named: Texts of values by folded name.
        variables: Folded names that need no value.

    Raises:
        InvalidRequest: Values and parameters do not correspond.
    """
    places = parameters(sql)
    wanted = {name for name, _, _ in places}
    given = {str(number): text for number, text in enumerate(positional, 1)}
    if positional and named:
        raise InvalidRequest("values are given by position or by name, not both")
    if named:
        given = dict(named)
    elif not all(name.isdigit() for name in wanted) and positional:
        # Named parameters take values by position in the order in which they first come.
        ordered = dict.fromkeys(name for name, _, _ in places)
        given = dict(zip(ordered, positional, strict=False))
    spared = set() if positional else {name for name in variables if not name.isdigit()}
    lacking = wanted - given.keys() - spared
    if lacking:
        missing = ", ".join(sorted(lacking))
        raise InvalidRequest(f"Values were not provided for the following parameters: {missing}")
    if len(given) > len(wanted) or len(positional) > len(wanted):
        raise InvalidRequest(
            f"the statement has {len(wanted)} parameters, but {len(positional or named)} values "
            "are given"
        )
    for name, start, end in reversed([place for place in places if place[0] in given]):
        value = given[name]
        # Behind IN, parentheses would hold a list of values.
        is_list = value.startswith("[") and _IN.search(sql[:start]) is not None
        sql = f"{sql[:start]}{value if is_list else f'({value})'}{sql[end:]}"
    return sql


def parameters(sql: str) -> list[tuple[str, int, int]]:
    """The parameters of a statement: name or number as text, and their place."""
    tokens = tokenize(sql)
    found: list[tuple[str, int, int]] = []
    count = 0
    for index, token in enumerate(tokens):
        text = str(token.text)
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        adjacent = after is not None and after.start == token.end + 1
        if sql[token.start] == "?" and token.token_type is not TokenType.IDENTIFIER:
            count += 1
            if adjacent and after is not None and str(after.text).isdigit():
                found.append((str(after.text), token.start, after.end + 1))
            else:
                found.append((str(count), token.start, token.start + 1))
        elif text == sql[token.start] == "$" and adjacent and after is not None:
            found.append((str(after.text).lower(), token.start, after.end + 1))
        elif len(text) > 1 and text[0] == "$" and sql[token.start] == "$":
            found.append((text[1:].lower(), token.start, token.end + 1))
    return found


def deallocate(session: Session, statement: st.Deallocate) -> Result:
    """Forget one prepared statement, if there is one, or all."""
    if statement.name is None:
        session.prepared.clear()
    else:
        session.prepared.pop(statement.name, None)
    return Result(None)


def refuse_parameters(parameters: object) -> None:
    """Refuse what is neither a sequence nor a mapping; a text is not meant as its letters."""
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence | Mapping):
        raise InvalidRequest(
            f"parameters cannot be a {type(parameters).__name__}",
            hint="pass a list for ? and $1, a dictionary for $name",
        )
