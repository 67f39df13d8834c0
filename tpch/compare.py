"""Race engines over the 22 queries, and reduce the samples to medians and ratios.

The two engines of interest take turns query by query, and each round runs in the reverse order of
the one before (A B, B A, …), so that drift of the machine and the state one side leaves behind
fall on both alike. Peers follow in passes of their own. The first two passes warm every side and
are not counted; the first gives the answers compared.

A ratio is the median over rounds of one side's time divided by the base's in the same round: pairs
measured milliseconds apart survive a machine whose speed wanders by minutes.
"""

from __future__ import annotations

import gc
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from .answers import difference
from .sides import was_cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from .generate import Progress
    from .query import Query
    from .sides import Side

__all__ = ["WARM_UP_PASSES", "Race", "geometric_mean", "race"]

WARM_UP_PASSES = 2


@dataclass(frozen=True, slots=True)
class Race:
    """Samples and answers of one race.

    Attributes:
        queries: What was run, in order.
        sides: Names of the engines; the first is the subject, the second the base.
        samples_ms: Per side and query number, one wall time in milliseconds per counted round;
            a query that failed on a side is absent there.
        failures: Per side and query number, the error in one line.
        differences: Per side (all but the base) and query number, how its answer differs from
            the base's; equal answers are absent.
        rows: Per query number, the rows of the base's answer.
    """

    queries: tuple[Query, ...]
    sides: tuple[str, ...]
    samples_ms: Mapping[str, Mapping[int, tuple[float, ...]]]
    failures: Mapping[str, Mapping[int, str]]
    differences: Mapping[str, Mapping[int, str]]
    rows: Mapping[int, int]

    @property
    def subject(self) -> str:
        """The side whose ratios are of interest."""
        return self.sides[0]

    @property
    def base(self) -> str:
        """The side the others are divided by."""
        return self.sides[1]

    def median_ms(self, side: str, number: int) -> float | None:
        """Return one query's median time on a side, or None where it failed."""
        samples = self.samples_ms[side].get(number)
        return median(samples) if samples else None

    def total_ms(self, side: str) -> float:
        """Return the sum of a side's medians over the queries that ran on it."""
        return sum(median(samples) for samples in self.samples_ms[side].values())

    def ratio(self, side: str, number: int) -> float | None:
        """Return the median paired ratio of a side to the base, or None where either failed."""
        mine = self.samples_ms[side].get(number)
        theirs = self.samples_ms[self.base].get(number)
        if not mine or not theirs:
            return None
        return median(a / b for a, b in zip(mine, theirs, strict=True))

    def ratios(self, side: str) -> dict[int, float]:
        """Return a side's ratio for every query that ran on it and on the base."""
        found = {query.number: self.ratio(side, query.number) for query in self.queries}
        return {number: ratio for number, ratio in found.items() if ratio is not None}

    def geometric_mean(self, side: str) -> float:
        """Return the geometric mean of a side's ratios; NaN if it has none."""
        return geometric_mean(list(self.ratios(side).values()))

    def worst(self, side: str) -> tuple[int, float] | None:
        """Return the query with a side's largest ratio, and that ratio."""
        ratios = self.ratios(side)
        return max(ratios.items(), key=lambda item: item[1]) if ratios else None

    def equal_answers(self, side: str) -> int:
        """Return how many queries a side answered as the base did."""
        wrong = set(self.differences.get(side, {})) | set(self.failures.get(side, {}))
        return len([query for query in self.queries if query.number not in wrong])


def geometric_mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean of positive ratios; NaN of none."""
    if not ratios:
        return math.nan
    return math.exp(math.fsum(math.log(ratio) for ratio in ratios) / len(ratios))


def race(
    sides: Sequence[Side],
    queries: Sequence[Query],
    rounds: int,
    progress: Progress | None = None,
) -> Race:
    """Run every query on every side, interleaved, and compare the answers.

    Args:
        sides: Already set up; the first is the subject, the second the base.
        queries: What to run.
        rounds: Counted passes after the two that warm; an even number balances the order.
        progress: Called once per query and pass.

    Raises:
        ValueError: If there are fewer than two sides or no round.
    """
    if len(sides) < 2 or rounds < 1:
        raise ValueError("a race needs at least two sides and one round")
    samples: dict[str, dict[int, list[float]]] = {side.name: {} for side in sides}
    failures: dict[str, dict[int, str]] = {side.name: {} for side in sides}
    answers: dict[str, dict[int, pa.Table]] = {side.name: {} for side in sides}
    passes = WARM_UP_PASSES + rounds
    done, total = 0, passes * len(queries) * (1 if len(sides) == 2 else 2)
    for turn in range(passes):
        # The peers run after the pair, not between: what an engine leaves in the caches would
        # otherwise always fall on the same one of the two.
        for group in filter(None, (sides[:2], sides[2:])):
            order = group if turn % 2 == 0 else group[::-1]
            for query in queries:
                if progress is not None:
                    progress(query.label, done, total)
                done += 1
                for side in order:
                    _take_turn(side, query, turn, samples, failures, answers)
    if progress is not None:
        progress("done", total, total)
    base = sides[1].name
    return Race(
        queries=tuple(queries),
        sides=tuple(side.name for side in sides),
        samples_ms={
            name: {number: tuple(times) for number, times in by_query.items()}
            for name, by_query in samples.items()
        },
        failures=failures,
        differences=_differences(queries, answers, base, sides[0].name),
        rows={number: answer.num_rows for number, answer in answers[base].items()},
    )


def _take_turn(
    side: Side,
    query: Query,
    turn: int,
    samples: dict[str, dict[int, list[float]]],
    failures: dict[str, dict[int, str]],
    answers: dict[str, dict[int, pa.Table]],
) -> None:
    """Run one query on one side once and note what came of it; a failure is not tried again."""
    if query.number in failures[side.name]:
        return
    try:
        elapsed_ms, answer = _timed(side, query)
    except Exception as error:
        if was_cancelled(error):
            raise KeyboardInterrupt from error
        failures[side.name][query.number] = _one_line(error)
        samples[side.name].pop(query.number, None)
        return
    if turn == 0:
        answers[side.name][query.number] = answer
    if turn >= WARM_UP_PASSES:
        samples[side.name].setdefault(query.number, []).append(elapsed_ms)


def _timed(side: Side, query: Query) -> tuple[float, pa.Table]:
    with _no_collection():
        started = time.perf_counter()
        answer = side.run(query.sql)
        return (time.perf_counter() - started) * 1e3, answer


@contextmanager
def _no_collection() -> Iterator[None]:
    # A cycle collection would land on whichever side happens to allocate next.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _differences(
    queries: Sequence[Query],
    answers: Mapping[str, Mapping[int, pa.Table]],
    base: str,
    subject: str,
) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for name, by_query in answers.items():
        if name == base:
            continue
        found[name] = {}
        for query in queries:
            if query.number not in by_query or query.number not in answers[base]:
                continue
            # Only the subject shares DuckDB's dialect, and so its names for expressions.
            problem = difference(
                query, answers[base][query.number], by_query[query.number], names=name == subject
            )
            if problem is not None:
                found[name][query.number] = problem
    return found


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
