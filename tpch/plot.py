"""The plot of a report: times of every engine, and the subject's ratio to the base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .extras import import_extra

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["draw"]

# Okabe and Ito's palette, which stays apart for colour-blind readers.
_COLOURS = ("#D55E00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_BETTER, _WORSE, _RULE, _TEXT = "#009E73", "#D55E00", "#D9D9D9", "#333333"


def draw(content: dict[str, Any], path: Path) -> None:
    """Draw a report document as a PNG file.

    Left: one row per query, one mark per engine, on a logarithmic axis of milliseconds. Right:
    how many times the base's time the subject took, one bar from the line of equal speed.
    """
    import_extra("matplotlib", "tpch").use("Agg")
    from matplotlib import pyplot

    style: dict[Any, Any] = {
        "font.size": 10,
        "axes.edgecolor": _RULE,
        "axes.labelcolor": _TEXT,
        "xtick.color": _TEXT,
        "ytick.color": _TEXT,
        "text.color": _TEXT,
    }
    queries = content["queries"]
    with pyplot.rc_context(style):
        height = 2.6 + 0.36 * max(len(queries), 6)
        figure, (times, ratios) = pyplot.subplots(
            1, 2, figsize=(13, height), sharey=True, width_ratios=(1.7, 1), layout="constrained"
        )
        _draw_times(times, content)
        _draw_ratios(ratios, content)
        rows = range(len(queries))
        labels = [f"{query['title']}  Q{query['number']}" for query in queries]
        times.set_yticks(rows, labels)
        times.set_ylim(len(queries) - 0.4, -0.6)
        for axis in (times, ratios):
            axis.tick_params(length=0)
            axis.spines[["top", "right", "left"]].set_visible(False)
        title = f"TPC-H at scale factor {content['scale_factor']:g}, warm, median of each query"
        # As the legend's title it is laid out with it; a figure title would lie on top of it.
        _draw_legend(figure, (times, ratios), title)
        caption = "\n".join(content["machine"]["lines"])
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color="#666666")
        figure.savefig(path, dpi=150)
        pyplot.close(figure)


def _draw_times(axis: Any, content: dict[str, Any]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    names = [side["name"] for side in content["sides"]]
    for row, query in enumerate(content["queries"]):
        known = [cell["median_ms"] for cell in query["sides"].values() if cell["median_ms"]]
        if known:
            axis.plot([min(known), max(known)], [row, row], color=_RULE, lw=2.5, zorder=1)
    # The subject is drawn last, so that its mark is never hidden.
    for place in reversed(range(len(names))):
        points = [
            (query["sides"][names[place]]["median_ms"], row)
            for row, query in enumerate(content["queries"])
            if query["sides"][names[place]]["median_ms"]
        ]
        side = content["sides"][place]
        failed = f", {side['failed']} failed" if side["failed"] else ""
        axis.scatter(
            [point[0] for point in points],
            [point[1] for point in points],
            s=46,
            color=_COLOURS[place % len(_COLOURS)],
            marker=_MARKERS[place % len(_MARKERS)],
            edgecolor="white",
            linewidth=0.7,
            label=f"{names[place]} (sum {side['total_ms']:,.0f} ms{failed})",
            zorder=3,
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel("milliseconds (logarithmic, smaller is better)")
    axis.grid(axis="x", color="#EFEFEF", zorder=0)


def _draw_legend(figure: Any, axes: Sequence[Any], title: str) -> None:
    # Marks were drawn subject last; the legend names it first.
    (marks, names), (lines, words) = (axis.get_legend_handles_labels() for axis in axes)
    handles, labels = [*marks[::-1], *lines], [*names[::-1], *words]
    columns = min(3, len(handles))
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        handletextpad=0.4,
        title=title,
        alignment="left",
        title_fontproperties={"size": 14, "weight": "bold"},
    )
    legend.get_title().set_color(_TEXT)


def _draw_ratios(axis: Any, content: dict[str, Any]) -> None:
    subject, base = content["subject"], content["base"]
    for row, query in enumerate(content["queries"]):
        value = query["sides"][subject]["ratio"]
        if value is None:
            axis.text(1, row, " failed", va="center", color=_WORSE, fontweight="bold")
            continue
        colour = _BETTER if value <= 1 else _WORSE
        axis.barh(row, value - 1, left=1, height=0.55, color=colour, alpha=0.85, zorder=2)
        gap, side = (5, "left") if value > 1 else (-5, "right")
        axis.annotate(
            f"{value:.2f}×",
            (value, row),
            xytext=(gap, 0),
            textcoords="offset points",
            va="center",
            ha=side,
            fontsize=8.5,
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6},
        )
    axis.axvline(1, color="#888888", lw=1, zorder=3)
    mean = next(side["geometric_mean"] for side in content["sides"] if side["name"] == subject)
    if mean is not None:
        label = f"geometric mean of ratios {mean:.2f}×"
        axis.axvline(mean, color=_TEXT, lw=1, ls=(0, (4, 3)), zorder=3, label=label)
    axis.margins(x=0.22)
    axis.xaxis.set_major_formatter("{x:g}×")
    axis.set_xlabel(f"{subject} time ÷ {base} time")
    axis.grid(axis="x", color="#EFEFEF", zorder=0)
