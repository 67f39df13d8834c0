"""The bars: what Pagelake must reach, each with the measurement that proves it.

All ratios are Pagelake divided by DuckDB with the same threads. The bars are set for scale factor
1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .figures import Figure, Measurement
from .generate import Progress
from .measure_queries import answers, fresh, hot_off, overhead, warm
from .measure_store import bytes_of_truth, import_time, inserts, load, memory
from .workload import Workload

__all__ = ["BARS", "MEASUREMENTS", "Bar", "Verdict", "judge"]

Measure = Callable[[Workload, int, Progress], Measurement]

MEASUREMENTS: Mapping[str, tuple[str, Measure]] = {
    "warm": ("Warm queries", warm),
    "answers": ("Answers", answers),
    "hot-off": ("Queries without the hot tier", hot_off),
    "fresh": ("Fresh processes", fresh),
    "overhead": ("Overhead per statement", overhead),
    "load": ("Load", load),
    "bytes": ("Bytes of truth", bytes_of_truth),
    "inserts": ("Durable inserts", inserts),
    "import": ("Import time", import_time),
    "memory": ("Peak memory", memory),
}
"""Every measurement by the name used on the command line: its title and its function."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One limit on one figure.

    Attributes:
        measurement: Key in `MEASUREMENTS`.
        figure: Name of the figure it bounds.
        limit: In the figure's unit.
        at_least: True when more is better; then the limit is a floor, otherwise a ceiling.
    """

    measurement: str
    figure: str
    limit: float
    at_least: bool = False

    def is_met(self, figure: Figure) -> bool:
        """Whether a figure reaches the bar; a figure that is not a number never does."""
        if math.isnan(figure.value):
            return False
        return figure.value >= self.limit if self.at_least else figure.value <= self.limit

    def text(self, unit: str) -> str:
        """Return the bar in words, such as ``≤ 1.10×``."""
        limit = Figure(self.figure, "", self.limit, unit).text()
        return f"{'≥' if self.at_least else '≤'} {limit}"


BARS: tuple[Bar, ...] = (
    Bar("answers", "answers_hot", 22, at_least=True),
    Bar("answers", "answers_pages", 22, at_least=True),
    Bar("answers", "answers_small_hot", 22, at_least=True),
    Bar("answers", "answers_small_pages", 22, at_least=True),
    Bar("warm", "warm_geometric_mean", 1.10),
    Bar("warm", "warm_worst", 1.50),
    Bar("fresh", "fresh_process", 1.60),
    Bar("load", "load_ratio", 2.50),
    Bar("bytes", "bytes_ratio", 1.15),
    Bar("overhead", "overhead_cached", 0.3),
    Bar("overhead", "overhead_first", 5.0),
    Bar("inserts", "inserts_one", 700, at_least=True),
    Bar("inserts", "inserts_threads", 2_500, at_least=True),
    Bar("import", "import_ms", 150),
    Bar("memory", "memory_ctas", 1_536),
    Bar("memory", "memory_copy", 1_536),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar beside the figure measured for it."""

    bar: Bar
    figure: Figure

    @property
    def met(self) -> bool:
        """Whether the figure reaches the bar."""
        return self.bar.is_met(self.figure)


def judge(measurement: str, outcome: Measurement) -> tuple[Verdict, ...]:
    """Put the figures of one measurement beside the bars they answer to."""
    by_name = {figure.name: figure for figure in outcome.figures}
    return tuple(
        Verdict(bar, by_name[bar.figure]) for bar in BARS if bar.measurement == measurement
    )
