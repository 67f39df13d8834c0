"""One measured number, and what a measurement hands back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compare import Race

__all__ = ["Figure", "Measurement", "race_figures"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    Attributes:
        name: Stable name, such as ``load_ratio``; bars refer to it.
        title: What it is, in words.
        value: The number.
        unit: ``×`` (Pagelake over DuckDB, smaller is better unless the title says otherwise),
            ``ms``, ``s``, ``MiB``, ``/s`` or ``queries``.
        detail: The numbers behind it, in one line.
    """

    name: str
    title: str
    value: float
    unit: str
    detail: str = ""

    def text(self) -> str:
        """Return the number with its unit, at a sensible precision."""
        if math.isnan(self.value):
            return "–"
        if self.unit in {"/s", "queries"}:
            return f"{self.value:,.0f} {self.unit}".replace(" /s", "/s")
        if self.unit == "×":
            return f"{self.value:.2f}×"
        digits = 0 if abs(self.value) >= 100 else 1 if abs(self.value) >= 10 else 2
        digits = 3 if abs(self.value) < 1 else digits
        return f"{self.value:,.{digits}f} {self.unit}"

    def as_json(self) -> dict[str, object]:
        """Return the figure as JSON values; a value that is not a number becomes null."""
        content = asdict(self)
        return {**content, "value": None} if math.isnan(self.value) else content


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one measurement, and its race where it was one."""

    figures: tuple[Figure, ...]
    race: Race | None = None


def race_figures(race: Race, prefix: str, title: str) -> tuple[Figure, ...]:
    """Reduce a race to its geometric mean, its worst query and the answers that agree."""
    worst = race.worst(race.subject)
    which, ratio = (f"Q{worst[0]}", worst[1]) if worst is not None else ("", float("nan"))
    problems = {**race.differences[race.subject], **race.failures[race.subject]}
    first = next(iter(sorted(problems.items())), None)
    return (
        Figure(
            f"{prefix}_geometric_mean",
            f"{title}, geometric mean of the ratios to {race.base}",
            race.geometric_mean(race.subject),
            "×",
            f"sums {race.total_ms(race.subject):.0f} and {race.total_ms(race.base):.0f} ms",
        ),
        Figure(f"{prefix}_worst", f"{title}, worst query", ratio, "×", which),
        Figure(
            f"{prefix}_equal",
            f"{title}, answers equal to {race.base}'s",
            race.equal_answers(race.subject),
            "queries",
            f"Q{first[0]}: {first[1]}" if first else f"all {len(race.queries)}",
        ),
    )
