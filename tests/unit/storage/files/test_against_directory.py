"""The same operations in a store and in a real directory: outcome, errno and tree are the same."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.files.combiner import Slot
from tests.unit.storage.files.stores import opened, sealed, two_processes
from tests.unit.storage.files.trees import Steps, outcome, real_tree, stored_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake.storage.files.files import Files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the numbers are Linux's")
STEPS = 120


@pytest.fixture
def files() -> Iterator[Files]:
    with opened(MemoryDevice()) as files:
        yield files


def compare(files: Files, root: Path, done: list[str]) -> None:
    with files.snapshot() as snapshot:
        assert stored_tree(snapshot) == real_tree(root), done


@pytest.mark.parametrize("seed", [1, 2])
def test_by_two_processes_in_turn(tmp_path: Path, seed: int) -> None:
    with two_processes() as both:
        steps, done = Steps(seed, tmp_path, both[0]), []
        for number in range(STEPS):
            step = steps.step()
            expected = outcome(step.real)
            done.append(f"{step.told}: {expected}")
            files = steps.random.choice(both)
            assert outcome(partial(files.run, step.operation)) == expected, done
            if number % 10 == 9:
                compare(files, tmp_path, done)
            if number % 25 == 24:
                sealed(files)


@pytest.mark.parametrize("seed", [3, 4])
def test_many_callers_in_one_commit(files: Files, tmp_path: Path, seed: int) -> None:
    steps, done = Steps(seed, tmp_path, files), []
    while len(done) < STEPS:
        slots, expected = [], []
        for _ in range(steps.random.randrange(1, 20)):
            step = steps.step()
            expected.append(outcome(step.real))
            done.append(f"{step.told}: {expected[-1]}")
            slots.append(Slot([step.operation]))
        files.combiner.serve(slots)
        assert [outcome(slot.result) for slot in slots] == expected, done
        compare(files, tmp_path, done)


def test_statements_of_one_transaction(files: Files, tmp_path: Path) -> None:
    steps, done = Steps(5, tmp_path, files), []
    while len(done) < STEPS:
        transaction = files.store.begin()
        for _ in range(steps.random.randrange(1, 12)):
            step = steps.step()
            expected = outcome(step.real)
            done.append(f"{step.told}: {expected}")
            assert outcome(partial(files.apply, transaction, step.operation)) == expected, done
        assert stored_tree(files.view(transaction.snapshot)) == real_tree(tmp_path), done
        transaction.commit()
        compare(files, tmp_path, done)
