"""How long it takes from starting the shell to its prompt, and to the first answer.

    python -m tests.shell.start_time [--runs 9]

Prints the median, in seconds; the prompt must be there in 0.6.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.shell.terminal import Terminal, rows

PROMPT_SECONDS_MAX = 0.6


def measure(store: Path, state: Path) -> tuple[float, float]:
    """Return the seconds from the start to the prompt and to the answer of a first query."""
    begun = time.perf_counter()
    terminal = Terminal(store, state)
    terminal.see("pagelake>")
    to_prompt = time.perf_counter() - begun
    assert rows(terminal.run("SELECT 42 AS answer;")) == [["42"]]
    to_answer = time.perf_counter() - begun
    terminal.leave()
    return to_prompt, to_answer


def main() -> None:
    """Measure, and fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [measure(folder / "store.lake", folder) for _ in range(parser.parse_args().runs)]
    to_prompt = statistics.median(run[0] for run in runs)
    to_answer = statistics.median(run[1] for run in runs)
    print(f"prompt {to_prompt:.2f} s, first answer {to_answer:.2f} s (medians of {len(runs)})")
    if to_prompt > PROMPT_SECONDS_MAX:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
