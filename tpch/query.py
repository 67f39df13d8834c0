"""The text of the 22 queries, with the specification's validation parameters.

Every text is one SELECT. Q15 is the approved variant A (a common table expression in place of a
view). Q11's fraction is the validation value 0.0001 at every scale factor, as in other tools.

Source: TPC Benchmark H, standard specification, revision 3.0.1, clause 2.4 and appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["QUERY_NUMBERS", "Query", "queries", "query"]

QUERY_NUMBERS = range(1, 23)

_FOLDER = Path(__file__).with_name("queries")


@dataclass(frozen=True, slots=True)
class Query:
    """One query: its number (1 to 22), the specification's title, and the SQL text."""

    number: int
    title: str
    sql: str

    @property
    def label(self) -> str:
        """The short name used in tables and plots, such as ``Q1``."""
        return f"Q{self.number}"


@cache
def query(number: int) -> Query:
    """Return query ``number``.

    Raises:
        ValueError: If the number is not from 1 to 22.
    """
    if number not in QUERY_NUMBERS:
        raise ValueError(f"TPC-H has queries 1 to 22, not {number}")
    text = (_FOLDER / f"q{number:02}.sql").read_text(encoding="utf-8")
    heading, sql = text.split("\n", 1)
    title = heading.partition(": ")[2].partition(" (")[0]
    return Query(number, title, sql.strip())


def queries(numbers: tuple[int, ...] = ()) -> tuple[Query, ...]:
    """Return the queries ``numbers`` in that order, or all 22 in order when none is named."""
    return tuple(query(number) for number in numbers or QUERY_NUMBERS)
