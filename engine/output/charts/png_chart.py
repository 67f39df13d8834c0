"""Charts as PNG files, drawn by matplotlib, which the extra `plot` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ....errors import Unsupported

if TYPE_CHECKING:
    from pathlib import Path

    from .chart import Chart

INCHES = (9.0, 5.0)
DOTS_PER_INCH = 120
_LABELS_UPRIGHT_MAX = 8


def write_png(chart: Chart, path: Path) -> None:
    """Write a chart to a PNG file.

    Raises:
        Unsupported: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unsupported(
            "PNG plots need matplotlib", construct=".plot -o", hint="pip install 'pagelake[plot]'"
        ) from error
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    if chart.labels:
        places = np.arange(len(chart.labels))
        width = 0.8 / len(chart.series)
        if chart.kind == "histogram":
            width = 1.0
        for index, series in enumerate(chart.series):
            shift = (index - (len(chart.series) - 1) / 2) * width
            axes.bar(places + shift, np.nan_to_num(series.y), width, label=_plain(series.name))
        upright = len(chart.labels) <= _LABELS_UPRIGHT_MAX
        labels = [_plain(label) for label in chart.labels]
        axes.set_xticks(places, labels)
        if not upright:
            axes.tick_params(axis="x", rotation=90)
    else:
        for series in chart.series:
            micros = (series.x * 1e6).astype("datetime64[us]") if chart.is_time else None
            x = series.x if micros is None else micros
            style = "-" if chart.kind == "line" else "o"
            axes.plot(x, series.y, style, markersize=3, label=_plain(series.name))
    axes.set_title(_plain(chart.title))
    axes.set_xlabel(_plain(chart.x_name))
    if len(chart.series) > 1:
        axes.legend()
    else:
        axes.set_ylabel(_plain(chart.series[0].name))
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=DOTS_PER_INCH, format="png")


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", "\\$")
