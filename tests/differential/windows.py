"""Window functions with all frames."""

from __future__ import annotations

from tests.differential.expressions import varying
from tests.differential.grammar import Maker, Scope, rule
from tests.differential.values import PLAIN

_BOUNDS = ("UNBOUNDED PRECEDING", "2 PRECEDING", "CURRENT ROW", "1 FOLLOWING",
           "UNBOUNDED FOLLOWING")  # fmt: skip
_EXCLUSIONS = ("", "", "", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES",
               " EXCLUDE NO OTHERS")  # fmt: skip


def window(
    maker: Maker, scope: Scope, *, named_allowed: bool = True, counting: bool = False
) -> tuple[str, str, str]:
    """A window function.

    Returns:
        Its text, its kind, and the WINDOW clause that it needs.
    """
    partition = ""
    if maker.chance(0.7):
        partition = f"PARTITION BY {maker.value(maker.one_of(PLAIN), scope, 2)}"
    function, kind, over = maker.pick("rank" if counting else "window", scope)
    body = f"{partition} {over}".strip()
    if named_allowed and maker.chance(0.2):
        maker.hits["named window"] += 1
        return f"{function} OVER w", kind, f" WINDOW w AS ({body})"
    return f"{function} OVER ({body})", kind, ""


def _key(maker: Maker, scope: Scope) -> str:
    direction = maker.one_of(["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
    return f"{varying(maker, maker.one_of(PLAIN), scope, 2)}{direction}"


def _total_order(maker: Maker, scope: Scope) -> str | None:
    """An ORDER BY that leaves no ties."""
    if not scope.order:
        return None
    first = f"{_key(maker, scope)}, " if maker.chance(0.5) else ""
    return f"ORDER BY {first}{', '.join(scope.order)}"


def _frame(maker: Maker, unit: str) -> str:
    first = maker.random.randrange(len(_BOUNDS) - 1)
    last = maker.random.randrange(max(first, 1), len(_BOUNDS))
    bounds = f"BETWEEN {_BOUNDS[first]} AND {_BOUNDS[last]}"
    if first <= 2 and maker.chance(0.2):
        bounds = _BOUNDS[first]
    return f" {unit} {bounds}{maker.one_of(_EXCLUSIONS)}"


@rule("rank", "rank")
@rule("window", "rank", 2)
def _rank(maker: Maker, scope: Scope) -> tuple[str, str, str]:
    function = maker.one_of(["rank()", "dense_rank()"])
    return function, "int", f"ORDER BY {_key(maker, scope)}"


@rule("window", "relative rank")
def _relative_rank(maker: Maker, scope: Scope) -> tuple[str, str, str]:
    function = maker.one_of(["percent_rank()", "cume_dist()"])
    return function, "real", f"ORDER BY {_key(maker, scope)}"


@rule("window", "row_number and ntile")
def _row_number(maker: Maker, scope: Scope) -> tuple[str, str, str] | None:
    order = _total_order(maker, scope)
    function = maker.one_of(["row_number()", "row_number()", "ntile(4)"])
    return None if order is None else (function, "int", order)


@rule("window", "lag and lead")
def _lag(maker: Maker, scope: Scope) -> tuple[str, str, str] | None:
    order = _total_order(maker, scope)
    kind = maker.one_of(PLAIN)
    name, nulls = maker.one_of(["lag", "lead"]), maker.one_of(["", "", " IGNORE NULLS"])
    offset = maker.one_of(["", ", 2", ", 3"])
    shown = f"{name}({maker.value(kind, scope, 2)}{offset}{nulls})"
    return None if order is None else (shown, kind, order)


@rule("window", "value of a frame, ROWS")
def _value(maker: Maker, scope: Scope) -> tuple[str, str, str] | None:
    order = _total_order(maker, scope)
    kind = maker.one_of([*PLAIN, "list", "struct"])
    name = maker.one_of(["first_value({})", "last_value({})", "nth_value({}, 2)"])
    shown = name.format(maker.value(kind, scope, 2))
    if maker.chance(0.2):
        shown = f"{shown[:-1]} IGNORE NULLS)"
    return None if order is None else (shown, kind, order + _frame(maker, "ROWS"))


@rule("window", "aggregate, ROWS")
def _rows(maker: Maker, scope: Scope) -> tuple[str, str, str] | None:
    order = _total_order(maker, scope)
    shown, kind = maker.pick("aggregate of a window", scope)
    return None if order is None else (shown, kind, order + _frame(maker, "ROWS"))


@rule("window", "aggregate, GROUPS")
def _groups(maker: Maker, scope: Scope) -> tuple[str, str, str]:
    shown, kind = maker.pick("aggregate of a window", scope)
    return shown, kind, f"ORDER BY {_key(maker, scope)}{_frame(maker, 'GROUPS')}"


@rule("window", "aggregate, RANGE")
def _range(maker: Maker, scope: Scope) -> tuple[str, str, str]:
    shown, kind = maker.pick("aggregate of a window", scope)
    key = f"({maker.value('int', scope, 2)})::INTEGER % 50"
    if not maker.chance(0.6):
        key = f"{maker.value('timestamp', scope, 3)}::TIMESTAMP"
    frame = _frame(maker, "RANGE")
    if key.endswith("TIMESTAMP"):
        frame = frame.replace("2 PREC", "INTERVAL 3 DAY PREC")
        frame = frame.replace("1 FOLL", "INTERVAL 1 MONTH FOLL")
    return shown, kind, f"ORDER BY {key.replace('::INTEGER %', ' %')}{frame}"


@rule("window", "aggregate, no frame")
def _default(maker: Maker, scope: Scope) -> tuple[str, str, str]:
    shown, kind = maker.pick("aggregate of a window", scope)
    return shown, kind, f"ORDER BY {_key(maker, scope)}" if maker.chance(0.6) else ""


@rule("aggregate of a window", "count")
def _count(maker: Maker, scope: Scope) -> tuple[str, str]:
    distinct = maker.one_of(["", "DISTINCT "])
    filtered = f" FILTER ({maker.predicate(scope, 2)})" if maker.chance(0.3) else ""
    return f"count({distinct}{maker.value(maker.one_of(PLAIN), scope, 2)}){filtered}", "int"


@rule("aggregate of a window", "min and max")
def _extreme(maker: Maker, scope: Scope) -> tuple[str, str]:
    kind = maker.one_of(["int", "decimal", "text", "date", "timestamp"])
    return f"{maker.one_of(['min', 'max'])}({maker.value(kind, scope, 2)})", kind


@rule("aggregate of a window", "sum and avg")
def _sum(maker: Maker, scope: Scope) -> tuple[str, str]:
    name = maker.one_of(["sum", "avg"])
    return f"{name}(({maker.value('int', scope, 2)} % 100)::INTEGER)", "real"
