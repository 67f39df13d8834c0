"""Aggregates whose answer does not depend on the order of the rows, or that say an order."""

from __future__ import annotations

from tests.differential.expressions import varying
from tests.differential.grammar import Maker, Scope, rule
from tests.differential.values import PLAIN

Aggregate = tuple[str, str]
"""Text and kind."""


def _filter(maker: Maker, scope: Scope) -> str:
    if not maker.chance(0.15):
        return ""
    return f" FILTER (WHERE {maker.predicate(scope, 2)})"


@rule("aggregate", "count(*)", 2)
def _count_all(maker: Maker, scope: Scope) -> Aggregate:
    return f"count(*){_filter(maker, scope)}", "int"


@rule("aggregate", "count", 2)
def _count(maker: Maker, scope: Scope) -> Aggregate:
    distinct = maker.one_of(["", "DISTINCT "])
    shown = maker.value(maker.one_of(PLAIN), scope, 1)
    return f"count({distinct}{shown}){_filter(maker, scope)}", "int"


@rule("aggregate", "min and max", 3)
def _extreme(maker: Maker, scope: Scope) -> Aggregate:
    kind = maker.one_of([k for k in PLAIN if k not in {"bool", "uuid"}])
    name = maker.one_of(["min", "max"])
    return f"{name}({maker.value(kind, scope, 1)}){_filter(maker, scope)}", kind


@rule("aggregate", "sum", 3)
def _sum(maker: Maker, scope: Scope) -> Aggregate:
    kind = maker.one_of(["int", "decimal"])
    sql_type = "BIGINT" if kind == "int" else "DECIMAL(12, 3)"
    distinct = maker.one_of(["", "", "DISTINCT "])
    shown = f"sum({distinct}({maker.value(kind, scope, 1)} % 1000)::{sql_type})"
    return f"{shown}{_filter(maker, scope)}", "decimal" if kind == "decimal" else "int"


@rule("aggregate", "sum and avg of doubles", 1)
def _sum_real(maker: Maker, scope: Scope) -> Aggregate:
    name = maker.one_of(["sum", "avg", "fsum"])
    return f"{name}({maker.value('real', scope, 2)})", "none"


@rule("aggregate", "avg")
def _avg(maker: Maker, scope: Scope) -> Aggregate:
    return f"avg(({maker.value('int', scope, 1)} % 100)::INTEGER)", "none"


@rule("aggregate", "statistics")
def _statistics(maker: Maker, scope: Scope) -> Aggregate:
    name = maker.one_of(["stddev", "var_pop", "median", "mode", "mad", "skewness", "kurtosis"])
    shown = f"(({maker.value('int', scope, 2)}) % 20)::INTEGER"
    return ("count(*)", "int") if name == "mode" else (f"{name}({shown})", "none")


@rule("aggregate", "quantiles")
def _quantiles(maker: Maker, scope: Scope) -> Aggregate:
    shown = f"({maker.value('int', scope, 2)} % 100)::INTEGER"
    form = maker.one_of(
        [
            "quantile_cont({}, 0.3)",
            "quantile_disc({}, [0.1, 0.9])",
            "percentile_cont(0.5) WITHIN GROUP (ORDER BY {})",
            "quantile_cont({}, 0.75)",
        ]
    )
    return form.format(shown), "none"


@rule("aggregate", "ordered list")
def _list(maker: Maker, scope: Scope) -> Aggregate:
    shown = varying(maker, maker.one_of(["int", "text", "date"]), scope, 2)
    name = maker.one_of(["list", "array_agg"])
    order = maker.one_of(["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
    return f"{name}({shown} ORDER BY {shown}{order}){_filter(maker, scope)}", "none"


@rule("aggregate", "ordered string_agg")
def _string_agg(maker: Maker, scope: Scope) -> Aggregate:
    shown = varying(maker, "text", scope, 2)
    distinct = maker.one_of(["", "DISTINCT "])
    return f"left(string_agg({distinct}{shown}, '/' ORDER BY {shown}), 40)", "text"


@rule("aggregate", "bool_and and bool_or")
def _bool(maker: Maker, scope: Scope) -> Aggregate:
    return f"{maker.one_of(['bool_and', 'bool_or'])}({maker.predicate(scope, 2)})", "bool"


@rule("aggregate", "bit_and, bit_or and bit_xor")
def _bits(maker: Maker, scope: Scope) -> Aggregate:
    name = maker.one_of(["bit_and", "bit_or", "bit_xor"])
    return f"{name}(({maker.value('int', scope, 2)} % 64)::INTEGER)", "int"


@rule("aggregate", "arg_min and arg_max")
def _arg_max(maker: Maker, scope: Scope) -> Aggregate | None:
    """By something that differs in every row, or that is the answer itself."""
    name = maker.one_of(["arg_min", "arg_max"])
    if len(scope.order) == 1:
        kind = maker.one_of(PLAIN)
        return f"{name}({maker.value(kind, scope, 2)}, {scope.order[0]})", kind
    kind = maker.one_of(["int", "text", "date"])
    shown = maker.value(kind, scope, 2)
    return f"{name}({shown}, {shown})", kind


@rule("aggregate", "first of an order")
def _first(maker: Maker, scope: Scope) -> Aggregate | None:
    if not scope.order:
        return None
    kind, name = maker.one_of(PLAIN), maker.one_of(["first", "last"])
    return f"{name}({maker.value(kind, scope, 2)} ORDER BY {', '.join(scope.order)})", kind


@rule("aggregate", "histogram")
def _histogram(maker: Maker, scope: Scope) -> Aggregate:
    return f"histogram(({maker.value('int', scope, 2)} % 10)::INTEGER)", "none"


@rule("aggregate", "max of several")
def _several(maker: Maker, scope: Scope) -> Aggregate:
    return f"{maker.one_of(['max', 'min'])}({maker.value('int', scope, 2)}, 3)", "none"


@rule("aggregate", "product and count_if")
def _count_if(maker: Maker, scope: Scope) -> Aggregate:
    return f"count_if({maker.predicate(scope, 2)})", "int"
