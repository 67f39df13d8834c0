"""Every version that was ever acknowledged stays what it was, until it expires.

``python -m tests.crash.digests [--seed N] [--operations N]``

Two stores make versions of every kind, with upkeep in between. A digest of each version's rows,
taken from what was asked for and not from the store, is kept outside; now and then, and at the end
by a process that has just opened the store, every version that policy keeps is read again.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pagelake.errors import SnapshotGone
from tests.crash.oracle import Reader, Run

if TYPE_CHECKING:
    from pagelake.storage.store import Store
    from tests.crash.oracle import Content

OPERATIONS = 10_000
READ_EVERY = 1_000
"""Operations between readings of everything."""
WHOLE_KEPT = 40
"""Versions whose contents are kept, for clones and restores; of others there is a digest."""
ROWS_MAX = 300
"""Rows from which on a table is emptied: each reading takes all versions."""
KEEP_US = 60_000
"""Age up to which versions are kept; a tick of the clock is half a millisecond on average."""


def digest_of(content: Content) -> str:
    """A digest of all tables: columns, rows and their ids."""
    lines = [
        repr((name, table.columns, sorted(table.rows.items()), table.next_row_id))
        for name, table in sorted(content.items())
    ]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Digests:
    """A run, and what its versions must be.

    Attributes:
        run: Drives the stores.
        digests: Digest of every version that was acknowledged.
        tags: Tagged versions.
        read: How many versions were read again.
        gone: How many had expired.
    """

    run: Run
    digests: dict[int, str] = field(default_factory=dict)
    tags: set[int] = field(default_factory=set)
    read: int = 0
    gone: int = 0

    def go(self, operations: int) -> None:
        """Make versions, and read them all again."""
        stores = [self.run.open(), self.run.open()]
        for number in range(1, operations + 1):
            self._operation(self.run.random.choice(stores))
            self.run.device.trace.calls.clear()  # nothing is replayed here
            if number % READ_EVERY == 0:
                self.verify(self.run.random.choice(stores))
        self.run.close()
        self.verify(self.run.open())
        self.run.close()

    def _operation(self, store: Store) -> None:
        run, random = self.run, self.run.random
        tables = run.expected[run.version]
        if not tables:
            run.begin(store).create("t", "k", "v").commit()
        name = random.choice(sorted(run.expected[run.version]))
        rows = run.expected[run.version][name].rows
        pages = random.random() < 0.3
        match random.choices(
            ("append", "delete", "update", "clone", "restore", "drop", "tag", "upkeep"),
            (40, 15, 15, 2, 2, 2, 1, 6),
        )[0]:
            case "delete" | "update" if len(rows) > ROWS_MAX:
                run.begin(store).delete(name, run.pick(name, ROWS_MAX), pages=pages).commit()
            case "delete" if rows:
                run.begin(store).delete(name, run.pick(name, 4), pages=pages).commit()
            case "update" if rows:
                run.begin(store).update(name, run.pick(name, 4), pages=pages).commit()
            case "clone" if len(tables) < 4:
                version = self._earlier(store, name)
                run.begin(store).clone(name, version, f"c{run.version}").commit()
            case "restore":
                self._restore(store, name)
            case "drop" if len(tables) > 2:
                run.begin(store).drop(name).commit()
            case "tag" if len(self.tags) < 20:
                version = run.version
                run.begin(store).tag(f"tag {version}", version).commit()
                self.tags.add(version)
            case "upkeep":
                self._upkeep(store, name)
            case _:
                run.begin(store).append(name, random.randint(1, 6), pages=pages).commit()
        self._note()

    def _note(self) -> None:
        run = self.run
        for version in range(max(self.digests, default=0) + 1, run.version + 1):
            self.digests[version] = digest_of(run.expected[version])
        for version in [v for v in run.expected if v < run.version - WHOLE_KEPT]:
            del run.expected[version]

    def _earlier(self, store: Store, table: str) -> int:
        """A version at which a table was there already, by whichever of its names."""
        run = self.run
        horizon = store.log.horizon.read()
        now = store.snapshot().table("main", table)
        assert now is not None
        versions = [v for v, content in run.expected.items() if v >= horizon and table in content]
        for version in run.random.sample(versions, len(versions)):
            then = store.snapshot_at(version).table("main", table)
            if then is not None and then.definition.id == now.definition.id:
                return version
        return run.version

    def _restore(self, store: Store, table: str) -> None:
        version = self._earlier(store, table)
        self.run.begin(store).restore(table, version).commit()

    def _upkeep(self, store: Store, table: str) -> None:
        match self.run.random.choice(("checkpoint", "compact", "fold", "reclaim")):
            case "checkpoint":
                store.checkpoint()
            case "compact":
                self.run.compact(store, table)
            case "fold":
                store.checkpoint()
                store.fold()
            case _:
                store.reclaim(KEEP_US)

    def verify(self, store: Store) -> None:
        """Read every version that policy keeps, and see that the others are gone for good."""
        horizon, reader = store.log.horizon.read(), Reader()
        for version, digest in self.digests.items():
            if version >= horizon or version in self.tags:
                found = digest_of(reader.content(store, store.snapshot_at(version)))
                assert found == digest, f"{self.run.seed}: version {version} has become another"
                self.read += 1
            else:
                with pytest.raises(SnapshotGone):
                    store.snapshot_at(version)
                self.gone += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Read every version again and again.")
    parser.add_argument("--seed", type=int, default=0, help="decides everything")
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="how many")
    options = parser.parse_args()
    began = time.perf_counter()
    digests = Digests(Run(f"digests {options.seed}"))
    digests.go(options.operations)
    print(
        f"{options.operations:,} operations, {len(digests.digests):,} versions, "
        f"{digests.read:,} readings as they were, {digests.gone:,} refused as expired, "
        f"{len(digests.tags)} tags, {time.perf_counter() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
