"""Real processes on a store over several directories that are lost, rebuilt and lost again."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pagelake
from pagelake.storage.devices.rebuild import rebuild
from pagelake.storage.devices.scrub import scrub, status
from pagelake.storage.devices.striped_device import open_striped

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 3
DEVICES = 6
PARITY = 2
COMMITS = 8
"""Commits of a process between two events."""


class Writers:
    """Processes that commit rows when they are told to."""

    def __init__(self, roots: list[Path], stack: ExitStack) -> None:
        self.committed: dict[tuple[str, int], int] = {}
        self.unknown: set[tuple[str, int]] = set()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        for number in range(PROCESSES):
            name = f"w{number}"
            command = [sys.executable, "-m", "tests.multiprocess.device_worker", name]
            process = subprocess.Popen(
                [*command, *map(str, roots)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            self._processes[name] = process
        for process in self._processes.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def begin(self) -> None:
        """Let all of them commit at the same time."""
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.write("go\n" * COMMITS)
            process.stdin.flush()

    def note(self, answers: int) -> None:
        """Read so many answers of each."""
        for name, process in self._processes.items():
            assert process.stdout is not None
            for _ in range(answers):
                line = process.stdout.readline()
                assert line, f"{name} ended"
                word, number, rows = line.split()
                if word == "committed":
                    self.committed[name, int(number)] = int(rows)
                else:
                    self.unknown.add((name, int(number)))

    def end(self) -> None:
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(timeout=120) == 0


def take_away(root: Path) -> None:
    root.rename(root.with_suffix(".lost"))


def test_writers_go_on_while_devices_are_lost_and_rebuilt(tmp_path: Path) -> None:
    roots = [tmp_path / f"d{number}" for number in range(DEVICES)]
    with pagelake.connect(devices=roots, parity=PARITY) as connection:
        connection.execute("CREATE TABLE t (who VARCHAR, n INTEGER, filling VARCHAR)")
    with ExitStack() as stack:
        writers = Writers(roots, stack)
        writers.begin()
        writers.note(2)
        take_away(roots[0])  # all of them notice, in the middle of their commits
        writers.note(COMMITS - 2)
        writers.begin()
        writers.note(1)
        carer = open_striped(roots, None, create=True)
        stack.callback(carer.close)
        rebuild(carer, 0, tmp_path / "new")
        roots[0] = tmp_path / "new"
        writers.note(COMMITS - 1)
        assert [child.state for child in status(carer)] == ["live"] * DEVICES
        writers.begin()
        writers.note(1)
        take_away(roots[1])
        take_away(roots[2])
        writers.note(COMMITS - 1)
        writers.end()
        rebuild(carer, 1, roots[1])
        rebuild(carer, 2, roots[2])
        assert all(damage.repaired for damage in scrub(carer))
        assert list(scrub(carer)) == []
    # Whatever was written while devices were missing is protected again.
    take_away(roots[0])
    take_away(roots[4])
    with pagelake.connect(roots[3]) as connection:
        rows = connection.execute("SELECT who, n, count(*) FROM t GROUP BY ALL").fetchall()
        found = {(who, n): count for who, n, count in rows}
    assert len(writers.committed) + len(writers.unknown) == PROCESSES * COMMITS * 3
    assert len(writers.unknown) < len(writers.committed) / 4
    assert {key: found.get(key) for key in writers.committed} == writers.committed
    assert set(found) <= set(writers.committed) | writers.unknown
