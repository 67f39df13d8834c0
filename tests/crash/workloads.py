"""Workloads of the crash tests: what is done to a store while its trace is recorded.

Each is a function of a ``Run``, whose seed decides sizes, values and victims. To add one, write
it and name it in ``WORKLOADS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pagelake.storage.hot_directory import HotDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake.storage.store import Store
    from tests.crash.oracle import Run


def inline_appends(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").commit()
    for _ in range(4):
        run.begin(store).append("t", run.random.randint(1, 5)).commit()


def paged_appends(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").commit()
    for _ in range(3):
        work = run.begin(store)
        for _ in range(run.random.randint(1, 2)):
            work.append("t", run.random.randint(20, 700), pages=True)
        work.commit()


def create_with_rows(run: Run) -> None:
    store = run.open()
    work = run.begin(store).create("t", "k", "v").append("t", 3)
    work.append("t", run.random.randint(20, 200), pages=True).commit()
    run.begin(store).create("u", "k").append("u", 2).commit()


def deletes(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 9).append("t", 60, pages=True).commit()
    run.begin(store).delete("t", run.pick("t", 3)).commit()
    run.begin(store).delete("t", run.pick("t", 20), pages=True).commit()
    run.begin(store).append("t", 2).delete("t", run.pick("t", 5)).commit()
    run.begin(store).delete("t", run.pick("t", 1_000)).commit()


def updates(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 5).append("t", 40, pages=True).commit()
    run.begin(store).update("t", run.pick("t", 2)).commit()
    run.begin(store).update("t", run.pick("t", 30), pages=True).commit()
    row, *others = run.pick("t", 4)
    run.begin(store).delete("t", [row]).update("t", others).commit()
    run.begin(store).update("t", run.pick("t", 6), pages=True).append("t", 1).commit()


def several_tables(run: Run) -> None:
    store = run.open()
    run.begin(store).create("a", "k").create("b", "k", "v").commit()
    run.begin(store).append("a", 4).append("b", 4).commit()
    run.begin(store).append("a", 50, pages=True).append("b", 90, pages=True).commit()
    work = run.begin(store).delete("a", run.pick("a", 10)).update("b", run.pick("b", 3))
    work.append("a", 1).commit()
    run.begin(store).create("c", "v").append("c", 3).drop("a").commit()


def schema_changes(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 3).append("t", 30, pages=True).commit()
    run.begin(store).add_column("t", "k2").commit()
    run.begin(store).append("t", 2).append("t", 30, pages=True).commit()
    run.begin(store).drop_column("t", "v").update("t", run.pick("t", 4)).commit()
    run.begin(store).rename("t", "s").commit()
    run.begin(store).append("s", 2).create("t", "v").append("t", 2).commit()


def drops(run: Run) -> None:
    store = run.open()
    for name in ("a", "b"):
        run.begin(store).create(name, "k", "v").append(name, 40, pages=True).commit()
    run.begin(store).drop("a").commit()
    run.begin(store).create("a", "v").append("a", 30, pages=True).commit()
    run.begin(store).drop("b").drop("a").commit()


def checkpoints(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 4).commit()
    for round_ in range(4):
        run.begin(store).append("t", 30, pages=round_ % 2 == 1).commit()
        run.begin(store).delete("t", run.pick("t", 3)).commit()
        assert store.checkpoint() == run.version
    run.begin(store).append("t", 2).commit()


def two_stores(run: Run) -> None:
    """Two processes that take turns, with transactions that overlap."""
    one, two = run.open(), run.open()
    run.begin(one).create("t", "k", "v").append("t", 6).commit()
    for _ in range(2):
        mine = run.begin(one).append("t", 30, pages=True)
        theirs = run.begin(two).append("t", 50, pages=True)
        theirs.append("t", 2).commit()
        mine.commit()  # loses the race for its version, and takes the next
        first, second = run.pick("t", 1), run.pick("t", 2)
        mine = run.begin(two).update("t", first)
        theirs = run.begin(one).delete("t", [row for row in second if row not in first])
        if second != first:
            theirs.commit()
        mine.commit()
    two.checkpoint()
    run.begin(one).append("t", 1).commit()


def restarts(run: Run) -> None:
    """A store that is closed and opened again between its commits."""
    store = run.open()
    run.begin(store).create("t", "k", "v").commit()
    for round_ in range(3):
        run.close()
        store = run.open()
        run.begin(store).append("t", 25, pages=True).commit()
        run.begin(store).delete("t", run.pick("t", 2)).commit()
        if round_ == 1:
            store.checkpoint()


def rollbacks(run: Run) -> None:
    """Transactions that leave pages behind, and segments that are taken away."""
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 20, pages=True).commit()
    for _ in range(2):
        run.begin(store).append("t", 30, pages=True).transaction.rollback()
        run.begin(store).append("t", 3).append("t", 40, pages=True).commit()


def compactions(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 40, pages=True).commit()
    for _ in range(3):
        run.begin(store).append("t", run.random.randint(1, 4)).commit()
    run.begin(store).delete("t", run.pick("t", 6)).commit()
    run.compact(store, "t")
    run.begin(store).update("t", run.pick("t", 5)).append("t", 30, pages=True).commit()
    run.compact(store, "t")
    run.begin(store).append("t", 1).commit()


def folds(run: Run) -> None:
    """Records that move to bundles while another store goes on."""
    store, other = run.open(), run.open()
    run.begin(store).create("t", "k", "v").append("t", 2).commit()
    for round_ in range(3):
        run.begin(other).append("t", 2).commit()
        run.begin(store).append("t", 10, pages=True).commit()
        (store if round_ % 2 else other).checkpoint()
        (other if round_ % 2 else store).fold()
    run.begin(other).append("t", 1).commit()


def reclaims(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 40, pages=True).commit()
    run.begin(store).append("t", 30, pages=True).tag("first", run.version).commit()
    run.begin(store).delete("t", run.pick("t", 30)).commit()
    run.compact(store, "t")
    run.close()
    store = run.open()
    store.reclaim(0)
    run.begin(store).append("t", 20, pages=True).commit()
    store.checkpoint()
    store.fold()
    run.begin(store).drop("t").commit()
    store.reclaim(0)
    run.begin(store).create("t", "k").append("t", 2).commit()


def punches(run: Run) -> None:
    """Segments that stay for some of their pages, while others write to them."""
    store, other = run.open(), run.open()
    run.begin(store).create("t", "k").commit()
    run.begin(store).append("t", 40, pages=True).commit()
    run.begin(other).append("t", 9, pages=True).delete("t", run.pick("t", 8), pages=True).commit()
    run.compact(store, "t")
    mine, theirs = run.begin(store).append("t", 9, pages=True), run.begin(other)
    theirs.append("t", 9, pages=True)
    other.reclaim(0)
    theirs.transaction.rollback()
    mine.delete("t", run.pick("t", 3), pages=True).commit()
    store.reclaim(0)


def clones(run: Run) -> None:
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 30, pages=True).commit()
    early = run.version
    run.begin(store).update("t", run.pick("t", 9)).append("t", 2).commit()
    run.begin(store).clone("t", early, "c").tag("early", early).commit()
    run.begin(store).append("c", 3).delete("t", run.pick("t", 3)).commit()
    run.begin(store).restore("t", early).commit()
    store.reclaim(0)
    run.begin(store).delete("c", run.pick("c", 9), pages=True).append("t", 2).commit()


def hot_segments(run: Run) -> None:
    """Derived files, which may be there, half there or gone without changing an answer."""
    store = run.open()
    run.begin(store).create("t", "k", "v").append("t", 30, pages=True).commit()
    hot = HotDirectory(run.device, kernel="k", bytes_max=1_000, read_only=False)
    for cover in ("aa", "bb"):
        staged = hot.staging_name(run.random.randbytes(8))
        run.device.create(staged).append(run.random.randbytes(600 + run.random.randrange(300)))
        assert hot.publish(staged, "t", cover) is not None
        hot.discard(staged)
        run.begin(store).append("t", 2).commit()


def mixed(run: Run) -> None:
    """Whatever the seed says, over two stores."""
    stores = [run.open(), run.open()]
    for _ in range(7):
        anything(run, run.random.choice(stores))


def anything(run: Run, store: Store) -> None:
    """One transaction of any kind."""
    content = run.expected[run.version]
    work = run.begin(store)
    if not content or run.random.random() < 0.1:
        work.create(f"t{run.version}", "k", "v").append(f"t{run.version}", 3).commit()
        return
    table = run.random.choice(sorted(content))
    pages = run.random.random() < 0.5
    match run.random.choice(("append", "append", "delete", "update", "column", "drop", "rest")):
        case "append":
            work.append(table, run.random.randint(1, 60), pages=pages).commit()
        case "delete" if content[table].rows:
            work.delete(table, run.pick(table, 5), pages=pages).commit()
        case "update" if content[table].rows:
            work.update(table, run.pick(table, 5), pages=pages).commit()
        case "column":
            work.add_column(table, f"v{run.version}").append(table, 1, pages=pages).commit()
        case "drop" if len(content) > 1:
            work.drop(table).commit()
        case _:
            work.transaction.rollback()
            maintain(run, store, table)


def maintain(run: Run, store: Store, table: str) -> None:
    """Upkeep of any kind."""
    match run.random.choice(("checkpoint", "compact", "fold", "reclaim")):
        case "checkpoint":
            store.checkpoint()
        case "compact":
            run.compact(store, table)
        case "fold":
            store.checkpoint()
            store.fold()
        case "reclaim":
            store.reclaim(0)


def after_recovery(run: Run) -> None:
    """What a process does that finds a store as another left it."""
    store = run.open()
    anything(run, store)
    if run.random.random() < 0.4 and run.expected[run.version]:
        maintain(run, store, min(run.expected[run.version]))
    anything(run, store)


WORKLOADS: tuple[Callable[[Run], None], ...] = (
    inline_appends,
    paged_appends,
    create_with_rows,
    deletes,
    updates,
    several_tables,
    schema_changes,
    drops,
    checkpoints,
    two_stores,
    restarts,
    rollbacks,
    compactions,
    folds,
    reclaims,
    punches,
    clones,
    hot_segments,
    mixed,
)
