import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagelake.extensions.catalog.block import ENTRY, Block, EntryArray, order_key
from pagelake.extensions.catalog.frontier import Frontier


def own(count: int) -> EntryArray:
    return np.zeros(count, dtype=ENTRY)


def block(path: bytes, entries: int = 0) -> Block:
    return Block(path, own(1)[0], [b"%d" % i for i in range(entries)], own(entries))


def tree(rng: random.Random, directories: int) -> dict[bytes, list[bytes]]:
    """Return a random tree: the children of each directory."""
    children: dict[bytes, list[bytes]] = {b"/r": []}
    for _ in range(directories):
        parent = rng.choice(list(children))
        path = parent + b"/" + rng.choice([b"a", b"a.b", b"b", b"\xff", b"\x01", b"zz"])
        if path not in children:
            children[path] = []
            children[parent].append(path)
    return children


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_blocks_leave_in_order_whatever_workers_do(seed: int, workers: int) -> None:
    rng = random.Random(seed)
    children = tree(rng, 60)
    frontier = Frontier()
    frontier.put([b"/r"], own(1))
    busy: dict[int, list[bytes]] = {}
    left: list[bytes] = []
    while not frontier.done:
        worker = rng.randrange(workers)
        if worker not in busy:
            task = frontier.take(worker, rng.randint(1, 3))
            if task is not None:
                assert task.paths == sorted(task.paths, key=order_key)
                busy[worker] = task.paths
        elif rng.random() < 0.7:
            # It descends at random into some of what it finds, and leaves the rest.
            todo, read, rest = busy.pop(worker), [], []
            if rng.random() < 0.2:
                frontier.put(todo, own(len(todo)), alone=True)
            else:
                while todo:
                    path = todo.pop()
                    read.append(path)
                    for child in children[path]:
                        (todo if rng.random() < 0.5 else rest).append(child)
                rest.sort(key=order_key)
                frontier.put(rest, own(len(rest)))
            frontier.finish(worker, [block(path, 1) for path in read])
        left += [b.path for b in frontier.leave(rng.randint(0, 5))]
    assert left == sorted(children, key=order_key)
    assert frontier.held == frontier.waiting == frontier.running == 0


def test_what_is_read_alone_comes_one_by_one_until_it_is_trusted() -> None:
    frontier = Frontier()
    frontier.put([b"/a", b"/b", b"/c"], own(3), alone=True)
    frontier.put([b"/d", b"/e"], own(2))
    task = frontier.take(0, 10)
    assert task is not None and task.alone and task.paths == [b"/a"]
    frontier.trust()
    task = frontier.take(1, 10)
    assert task is not None and not task.alone
    assert task.paths == [b"/b", b"/c", b"/d", b"/e"]


def test_a_task_is_not_too_long_for_a_pipe() -> None:
    frontier = Frontier()
    frontier.put([b"/" + b"%d" % i * 1000 for i in range(4)], own(4))
    task = frontier.take(0, 10, path_bytes=2500)
    assert task is not None and len(task.paths) == 2
    frontier.put([b"/x" * 9999], own(1))  # one comes in any case
    task = frontier.take(1, 1, path_bytes=10)
    assert task is not None and len(task.paths) == 1


def test_about_as_many_entries_leave_as_were_asked_for() -> None:
    frontier = Frontier()
    frontier.put([b"/"], own(1))
    assert frontier.take(0, 1) is not None
    frontier.finish(0, [block(b"/", 5), block(b"/a", 5), block(b"/b", 5)])
    assert frontier.ready and frontier.held == 15 + 3 * 4
    assert [b.path for b in frontier.leave(6)] == [b"/", b"/a"]
    assert frontier.held == 5 + 4
    assert [b.path for b in frontier.leave(0)] == [b"/b"]
    assert frontier.done


@pytest.mark.parametrize("count", [1, 7])
def test_entries_stay_with_their_paths(count: int) -> None:
    entries = own(3)
    entries["inode"] = [1, 2, 3]
    frontier = Frontier()
    frontier.put([b"/a", b"/b", b"/c"], entries)
    found = []
    for worker in range(3):
        if (task := frontier.take(worker, count)) is not None:
            found += list(zip(task.paths, task.own["inode"].tolist(), strict=True))
    assert found == [(b"/a", 1), (b"/b", 2), (b"/c", 3)]
