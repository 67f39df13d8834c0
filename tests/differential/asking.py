"""Ways of asking one query: positional or named parameters, PREPARE and EXECUTE."""

from __future__ import annotations

import datetime
import math
import re
import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.differential.grammar import Maker

PARAMETER = re.compile(r"\$(\d+)")
Given = tuple[Any, ...] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    Attributes:
        sql: Its text.
        parameters: Values of ``$1``, ``$2`` … or of names.
        is_ordered: True where the order of the rows is part of the answer.
        prepare: The statement to be said before, if any.
    """

    sql: str
    parameters: Given = ()
    is_ordered: bool = False
    prepare: str = ""

    @property
    def names_vary(self) -> bool:
        """Whether columns without a name may be called otherwise: after a value that is put in
        the place of a parameter, or after the relation that stands for a version of a table."""
        return self.sql.startswith("EXECUTE") or "past_" in self.sql


def asked(maker: Maker, query: Query) -> Query:
    """The query, with its parameters given in one of the ways there are."""
    given = query.parameters
    if not given or isinstance(given, dict):
        return query
    way = maker.one_of(["numbers", "marks", "names", "EXECUTE", "EXECUTE"])
    maker.hits[f"parameters: {way}"] += 1
    match way:
        case "marks":
            places = [int(number) for number in PARAMETER.findall(query.sql)]
            in_order = tuple(given[place - 1] for place in places)
            return replace(query, sql=PARAMETER.sub("?", query.sql), parameters=in_order)
        case "names":
            named = {f"p{place}": value for place, value in enumerate(given, start=1)}
            return replace(query, sql=PARAMETER.sub(r"$p\1", query.sql), parameters=named)
        case "EXECUTE" if all(map(_is_written, given)):
            name = f"prepared_{maker.one_of('abcde')}"
            values = ", ".join(map(written, given))
            prepare = f"PREPARE {name} AS {query.sql}"
            return Query(f"EXECUTE {name}({values})", (), query.is_ordered, prepare)
    return query


def _is_written(value: Any) -> bool:
    return not isinstance(value, dict | bytes | uuid.UUID)


def written(value: Any) -> str:
    """A parameter's value as a constant."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case str():
            escaped = value.replace("'", "''")
            return f"'{escaped}'"
        case float():
            return str(value) if math.isfinite(value) else f"'{value}'::DOUBLE"
        case Decimal() | int():
            return str(value)
        case datetime.datetime():
            return f"{'TIMESTAMPTZ' if value.tzinfo else 'TIMESTAMP'} '{value.isoformat(' ')}'"
        case datetime.date():
            return f"DATE '{value}'"
        case datetime.time():
            return f"TIME '{value}'"
        case datetime.timedelta():
            return f"INTERVAL ({value.days}) DAY"
        case list():
            return f"[{', '.join(map(written, value))}]"
    raise AssertionError(value)
