"""The SET list of an UPDATE: ``a = x, (b, c) = (y, z)`` as pairs of column and expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tokens import TokenStream


def assignments(stream: TokenStream, *behind: str) -> tuple[tuple[str, str], ...]:
    """Read a SET list.

    Args:
        stream: Stands behind SET.
        behind: Words that may follow the list.

    Raises:
        ParseError: It is malformed, or a list of columns does not fit its list of values.
    """
    pairs = list(_assignment(stream, behind))
    while stream.accept(","):
        pairs += _assignment(stream, behind)
    return tuple(pairs)


def _assignment(stream: TokenStream, behind: tuple[str, ...]) -> list[tuple[str, str]]:
    if stream.word() != "(":
        column = stream.name().last
        stream.expect("=")
        return [(column, stream.text_until(",", *behind))]
    columns = stream.names_in_parentheses()
    stream.expect("=")
    stream.accept("ROW")
    stream.expect("(")
    values = [stream.text_until(",", ")")]
    while stream.accept(","):
        values.append(stream.text_until(",", ")"))
    stream.expect(")")
    if len(values) != len(columns):
        raise stream.error(f"{len(columns)} columns are set to {len(values)} values")
    return list(zip(columns, values, strict=True))
