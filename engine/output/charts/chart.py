"""What a chart shows: numbers out of the columns of a result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ....errors import InvalidRequest
from ..terminal import visible
from ..value_text import display_text, is_numeric, plain_array

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("bar", "line", "histogram", "scatter")
BINS_DEFAULT = 20
BARS_MAX = 200
"""More bars than this are no picture any more."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one column.

    Attributes:
        name: The column, safe to print.
        x: Where they lie; NaN where that is NULL.
        y: The numbers; NaN for NULL.
    """

    name: str
    x: Numbers
    y: Numbers


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready to be drawn.

    Attributes:
        kind: One of `KINDS`.
        title: What stands above it; may be empty.
        x_name: Name of the horizontal axis.
        series: What is shown.
        labels: Names of the bars, safe to print; of `bar` and `histogram` only.
        is_time: Whether x are seconds since 1970.
    """

    kind: str
    title: str
    x_name: str
    series: tuple[Series, ...]
    labels: tuple[str, ...] = ()
    is_time: bool = False


def make_chart(
    table: pa.Table,
    kind: str = "",
    *,
    x: str = "",
    ys: Sequence[str] = (),
    bins: int = BINS_DEFAULT,
    title: str = "",
) -> Chart:
    """Make a chart of a result.

    Args:
        table: The rows.
        kind: One of `KINDS`; empty to let the columns decide.
        x: Column of the horizontal axis or the labels; empty for the first.
        ys: Columns that are drawn; empty for all numbers but x.
        bins: Bars of a histogram.
        title: What stands above it.

    Raises:
        InvalidRequest: The columns do not make such a chart.
    """
    for name in (*filter(None, [x]), *ys):
        if name not in table.column_names:
            raise InvalidRequest(
                f"the result has no column {name}", hint=f"it has {', '.join(table.column_names)}"
            )
    if not table.num_rows:
        raise InvalidRequest("there are no rows to plot")
    kind = kind or _kind_of(table, x)
    if kind == "histogram":
        return _histogram(table, ys[0] if ys else x, bins, title)
    x = x or table.column_names[0]
    numbers = [name for name in ys or _number_columns(table) if name != x]
    if not numbers and not ys and kind in {"line", "bar"} and is_numeric(table.column(x).type):
        # One column of numbers: they are drawn in their order.
        rows = np.arange(1, table.num_rows + 1, dtype=np.float64)
        series = Series(visible(x), rows, _numbers(table, x))
        labels = tuple(str(int(row)) for row in rows) if kind == "bar" else ()
        return _checked(Chart(kind, title, "row", (series,), labels))
    if not numbers:
        raise InvalidRequest(
            f"{kind} needs a column of numbers", hint="-y COLUMN names what is drawn"
        )
    is_time = pa.types.is_temporal(table.column(x).type)
    if kind == "bar":
        labels = tuple(visible(t or "NULL") for t in _texts(table, x))
        places = np.arange(table.num_rows, dtype=np.float64)
    else:
        labels, places = (), _numbers(table, x)
    drawn = tuple(Series(visible(name), places, _numbers(table, name)) for name in numbers)
    return _checked(Chart(kind, title, visible(x), drawn, labels, is_time))


def number_text(value: float) -> str:
    """Return a number for an axis: short, and no less than four digits."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    if value and abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.5g}"


def time_text(seconds: float, span: float) -> str:
    """Return a time for an axis that covers a span of seconds."""
    moment = datetime.fromtimestamp(seconds, UTC)
    if span > 3 * 86400:
        return moment.strftime("%Y-%m-%d")
    return moment.strftime("%m-%d %H:%M" if span > 3600 else "%H:%M:%S")


def _kind_of(table: pa.Table, x: str) -> str:
    first = table.column(x or table.column_names[0]).type
    if not is_numeric(first) and not pa.types.is_temporal(first):
        return "bar"
    return "line" if table.num_columns > 1 else "histogram"


def _histogram(table: pa.Table, column: str, bins: int, title: str) -> Chart:
    column = column or next(iter(_number_columns(table)), "")
    if not column:
        raise InvalidRequest("histogram needs a column of numbers")
    values = _numbers(table, column)
    values = values[np.isfinite(values)]
    if not values.size:
        raise InvalidRequest(f"{column} holds no numbers")
    counts, edges = np.histogram(values, bins=bins)
    is_time = bool(pa.types.is_temporal(table.column(column).type))
    span = float(edges[-1] - edges[0])
    marks = [time_text(e, span) if is_time else number_text(e) for e in edges]
    labels = tuple(f"{low} – {high}" for low, high in pairwise(marks))
    series = Series("rows", np.asarray(edges[:-1]), counts.astype(np.float64))
    return _checked(Chart("histogram", title, visible(column), (series,), labels, is_time))


def _checked(chart: Chart) -> Chart:
    if len(chart.labels) > BARS_MAX:
        raise InvalidRequest(
            f"{len(chart.labels):,} bars are too many", hint=f"LIMIT {BARS_MAX}, or .plot line"
        )
    if not any(np.isfinite(series.y).any() for series in chart.series):
        raise InvalidRequest("there are no numbers to plot")
    return chart


def _number_columns(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if is_numeric(field.type)]


def _numbers(table: pa.Table, name: str) -> Numbers:
    array = plain_array(table.column(name))
    kind = array.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        micros = array.cast(pa.timestamp("us", getattr(kind, "tz", None))).cast(pa.int64())
        floats = pc.divide(micros.cast(pa.float64()), 1e6)
    elif is_numeric(kind) or pa.types.is_boolean(kind):
        floats = array.cast(pa.float64())
    else:
        raise InvalidRequest(f"{name} holds no numbers")
    return np.asarray(floats.to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(table: pa.Table, name: str) -> list[str | None]:
    texts: list[str | None] = display_text(table.column(name)).to_pylist()
    return texts
