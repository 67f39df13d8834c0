"""Statements that must fail, each in one way whatever the plan: both engines must say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.differential.grammar import rule
from tests.differential.relations import one_table

if TYPE_CHECKING:
    from tests.differential.grammar import Maker


def _query(family: str, name: str, shown: str) -> None:
    def make(maker: Maker) -> str:
        table, alias = one_table(maker, 400, base=True)
        return shown.format(t=table.name, a=alias)

    rule(family, name)(make)


for _name, _text in {
    "unknown column": "SELECT {a}.none FROM {t} AS {a}",
    "unknown table": "SELECT * FROM {t}_none",
    "unknown function": "SELECT none_such({a}.k) FROM {t} AS {a}",
    "syntax": "SELECT FROM WHERE {t}",
    "types that do not compare": "SELECT {a}.id = [1] FROM {t} AS {a}",
    "column not grouped": "SELECT {a}.k, count(*) FROM {t} AS {a}",
    "aggregate in WHERE": "SELECT 1 FROM {t} AS {a} WHERE count(*) > 1",
    "ambiguous column": "SELECT id FROM item, part",
    "widths of a set operation": "SELECT 1 FROM {t} UNION ALL SELECT 1, 2",
    "conversion": "SELECT ('x' || max({a}.id))::INTEGER FROM item AS {a}",
    "range": "SELECT max({a}.id)::TINYINT * 100000 * 1000000 FROM fact AS {a}",
    "overflow": "SELECT (max({a}.id) + 9223372036854775807::BIGINT) FROM item AS {a}",
    "rows of a scalar subquery": "SELECT (SELECT id FROM item) FROM fact AS {a} LIMIT 1",
    "a parameter without a value": "SELECT $1 + {a}.id FROM {t} AS {a}",
    "window in WHERE": "SELECT 1 FROM {t} AS {a} WHERE row_number() OVER () = 1",
    "division by zero": "SELECT max({a}.id) // 0 FROM item AS {a}",
    "regular expression": "SELECT regexp_matches(max({a}.s), '(') FROM item AS {a}",
    "bad date": "SELECT ('2020-02-3' || max({a}.id))::DATE FROM item AS {a}",
    "duplicate alias": "SELECT * FROM {t} AS {a} JOIN {t} AS {a} ON true",
    "unknown type": "SELECT {a}.id::none_such FROM {t} AS {a}",
    "sum of text": "SELECT sum(s) FROM item AS {a}",
    "wrong number of arguments": "SELECT length(1, 2, 3) FROM {t}",
    "field of no struct": "SELECT {a}.id.none FROM {t} AS {a}",
    "limit below zero": "SELECT * FROM {t} LIMIT -1",
    "recursion without a base": "WITH RECURSIVE w AS (SELECT * FROM w) SELECT * FROM w",
    "order by a number too high": "SELECT 1 FROM {t} ORDER BY 9",
}.items():
    _query("error", _name, _text)
