"""A process that commits one row for every line it reads, and says what became of it.

``python -m tests.multiprocess.device_worker NAME DIRECTORY…``
"""

from __future__ import annotations

import sys

import pagelake
from pagelake.errors import Error, OutcomeUnknown

TRIES_MAX = 50
WIDE_EVERY = 4
WIDE_ROWS = 9_000
"""Rows of the inserts that have pages: they go through a segment."""


def main() -> None:
    name, *roots = sys.argv[1:]
    connection = pagelake.connect(devices=roots)
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        rows = WIDE_ROWS if number % WIDE_EVERY == WIDE_EVERY - 1 else 1
        for _ in range(TRIES_MAX):
            try:
                connection.execute(
                    "INSERT INTO t SELECT ?, ?, md5((range * 7919)::VARCHAR) FROM range(?)",
                    [name, number, rows],
                )
            except OutcomeUnknown:
                print(f"unknown {number} {rows}", flush=True)
                connection.close()
                connection = pagelake.connect(devices=roots)
                break
            except Error as error:
                refusal = error
                if not error.retryable:
                    raise
            else:
                print(f"committed {number} {rows}", flush=True)
                break
        else:
            raise refusal
    connection.close()


if __name__ == "__main__":
    main()
