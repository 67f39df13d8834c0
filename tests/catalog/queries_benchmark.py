"""Every question that catalogs have to answer fast, each beside a named peer and with its bar.

    python -m tests.catalog.queries_benchmark [--entries N] [--tree DIR] [--rounds N] [--work DIR]

Part one: a synthetic catalog of N entries and a stock DuckDB table of the same rows are asked in
turn, with the same answers. Of questions about one path each round takes another one. Part two: a
real tree, where `find` and `du` are asked with warm metadata. Medians are told, and in brackets
the CPU time, which other programs on the machine disturb less than the time on the clock. Bars for
times are meant for 10 million entries, and ratios against `find` for 500,000 and more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import pagelake
from pagelake.engine.catalog_scan.account import ScanRequest
from pagelake.engine.catalog_scan.scan import scan
from pagelake.extensions.catalog.block import WalkOptions
from tests.catalog.benchmark import Report, fill, output_of, peer_of, weigh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import duckdb

    from pagelake import Connection

RATIO_MAX: Final = 1.1
FIND_RATIO_MIN: Final = 300.0
SUBTREE_ENTRIES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """A question to both.

    Attributes:
        what: What is asked.
        bar_ms: How long it may take; None where nothing is said.
        sql: The statement, with `{e}` for the entries and `{d}` for the directories.
        peer: The peer's statement where it is another one; `{e}` as before.
        given: Parameters, of which each round takes others; empty where there are none.
        spelled: Parameters stand in the text, so that each round's is a new one.
        exact: The rows are compared, in any order; otherwise only how many there are: of rows with
            equal sizes either may be among the largest.
    """

    what: str
    bar_ms: float | None
    sql: str
    peer: str = ""
    given: Sequence[Sequence[str]] = ()
    spelled: bool = False
    exact: bool = True


WHOLE: Final = (
    Question("count by two predicates", 60.0, "SELECT count(*) FROM {e} WHERE size > 1000000 "
             "AND mtime < TIMESTAMP '2022-01-01'"),
    Question("group by owner", 60.0, "SELECT owner_name, count(*), sum(size) FROM {e} "
             "GROUP BY owner_name"),
    Question("top 100 by size: name", 60.0,
             "SELECT name, size FROM {e} ORDER BY size DESC LIMIT 100", exact=False),
    Question("top 100 by size: path", 60.0,
             "SELECT path, size FROM {e} ORDER BY size DESC LIMIT 100", exact=False),
    Question("top 100 by size: all columns", None,
             "SELECT * FROM {e} ORDER BY size DESC LIMIT 100", exact=False),
    Question("substring over all names: LIKE", 150.0,
             "SELECT count(*) FROM {e} WHERE name LIKE '%epoch_0%'"),
    Question("substring over all names: contains", 150.0,
             "SELECT count(*) FROM {e} WHERE contains(name, 'epoch_0')"),
    Question("count by a column that is not hot", None,
             "SELECT count(*) FROM {e} WHERE atime < TIMESTAMP '2019-01-01'"),
)  # fmt: skip
AFTER_CHANGES: Final = ("top 100 by size: name", "top 100 by size: path")


def questions(con: Connection, rounds: int) -> list[Question]:
    """Return the questions about some places in the tree."""
    directories = con.sql(
        "SELECT path FROM (SELECT path, entries FROM catalog.made_directories "
        f"ORDER BY abs(entries - {SUBTREE_ENTRIES}), path LIMIT {rounds})"
    ).fetchall()
    paths = con.sql(
        f"SELECT path FROM catalog.made USING SAMPLE reservoir({rounds * 10} ROWS) REPEATABLE (7)"
    ).fetchall()
    anywhere = con.sql(
        f"SELECT path FROM catalog.made_directories USING SAMPLE reservoir({rounds * 10} ROWS) "
        "REPEATABLE (7)"
    ).fetchall()
    below = [(f"{path}/",) for (path,) in directories]
    like = [(f"{path}/%",) for (path,) in directories]
    listed = "SELECT path, size FROM {e} WHERE "
    one = "SELECT size, mtime FROM {e} WHERE path = ?"
    return [
        Question("subtree of ~1,000: LIKE", 10.0, f"{listed}path LIKE ?", given=like, exact=False),
        Question("subtree of ~1,000: starts_with", 10.0, f"{listed}starts_with(path, ?)",
                 given=below, exact=False),
        Question("subtree of ~1,000: search_path", 10.0, f"{listed}search_path LIKE ?",
                 f"{listed}parent_path || '/' LIKE ?", like, exact=False),
        Question("one path, a parameter", 1.0, one, given=paths),
        Question("one path, in the text", 1.0, one, given=paths, spelled=True),
        Question("bytes of any subtree", 1.0, "SELECT bytes FROM {d} WHERE path = ?",
                 "SELECT sum(size)::BIGINT FROM {e} WHERE starts_with(path, ? || '/') "
                 "OR path = $1".replace("?", "$1"), anywhere),
    ]  # fmt: skip


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds on the clock, and of CPU."""
    began, busy = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - began) * 1e3, (time.process_time() - busy) * 1e3


def compare(
    con: Connection,
    peer: duckdb.DuckDBPyConnection,
    question: Question,
    report: Report,
    rounds: int,
) -> None:
    """Ask both in turn, look whether they agree, and print a line."""
    own = question.sql.format(e="catalog.made", d="catalog.made_directories")
    theirs = (question.peer or question.sql).format(e="entries")
    given = list(question.given) or [()] * (rounds + 1)
    ours: list[tuple[float, float]] = []
    others: list[tuple[float, float]] = []
    # The peer scans all rows for what is looked up here: it is asked less often.
    for number, values in enumerate(given):
        text = own
        for value in values if question.spelled else ():
            text = text.replace("?", "'" + value.replace("'", "''") + "'", 1)
        passed = None if question.spelled or not values else list(values)
        answers: list[Any] = []
        ours.append(timed(lambda t=text, p=passed, a=answers: a.append(con.sql(t, p).fetchall())))  # type: ignore[misc]
        if number <= rounds:
            found: list[Any] = []
            others.append(
                timed(lambda v=list(values), f=found: f.append(peer.execute(theirs, v).fetchall()))  # type: ignore[misc]
            )
            assert len(answers[0]) == len(found[0]), question.what
            if question.exact:
                assert sorted(map(str, answers[0])) == sorted(map(str, found[0])), question.what
    (wall, busy), (peer_wall, peer_busy) = (
        [median(column) for column in zip(*(told[1:] or told), strict=True)]
        for told in (ours, others)
    )
    ratio = wall / peer_wall
    bar = "" if question.bar_ms is None else f", ≤ {question.bar_ms:g}"
    met = None if question.bar_ms is None else wall <= question.bar_ms and ratio <= RATIO_MAX
    told = f"DuckDB table {peer_wall:.1f} ({peer_busy:.1f}) ms, ratio {ratio:.2f} (≤ {RATIO_MAX})"
    report.line(question.what, f"{wall:.2f} ({busy:.2f}) ms{bar}", told, met=met)


def change(con: Connection) -> None:
    """Change one entry in a thousand, as a rescan leaves it behind until the hot copy is built."""
    with mock.patch("pagelake.engine.session.require_changeable"):
        con.execute("DELETE FROM catalog_data.made_entries WHERE inode % 1000 = 7")
        con.execute(
            "INSERT INTO catalog_data.made_entries SELECT * REPLACE (name || '~' AS name) "
            "FROM catalog_data.made_entries WHERE inode % 1000 = 8"
        )


def synthetic(work: Path, entries: int, rounds: int, report: Report) -> None:
    """Part one."""
    print(f"synthetic tree, {entries:,} entries: wall (CPU)")
    with ExitStack() as opened:
        con = opened.enter_context(
            pagelake.connect(work / "synthetic.lake", settings={"background_maintenance": False})
        )
        fill(con, entries)
        con.sql("CALL pagelake.build_hot_segments()")
        weigh(con, entries, report)
        peer = opened.enter_context(peer_of(con, work / "peer.duckdb"))
        con.execute("SET result_cache_bytes = 0")
        for question in (*WHOLE, *questions(con, rounds)):
            compare(con, peer, question, report, rounds)
        change(con)
        print("with 0.1 % of the entries changed since the hot copy was built")
        for question in WHOLE:
            if question.what in AFTER_CHANGES:
                compare(con, peer, question, report, rounds)


def real(work: Path, tree: Path, rounds: int, report: Report) -> None:
    """Part two."""
    with pagelake.connect(work / "real.lake") as con:
        summary = scan(con._session, ScanRequest(os.fsencode(tree), "real", WalkOptions()))
        con.sql("CALL pagelake.build_hot_segments()")
        con.execute("SET result_cache_bytes = 0")
        print(f"\n{tree}, {summary.entries:,} entries: wall (CPU)")
        find = ("find", tree, "-xdev")
        directory = f"catalog.real_directories WHERE path = '{summary.root}'"
        by_name = {question.what: question.sql.format(e="catalog.real") for question in WHOLE}
        for what, sql, command in (
            ("count by two predicates", by_name["count by two predicates"],
             (*find, "-size", "+1M", "-mtime", "+1461")),
            ("group by owner", by_name["group by owner"], (*find, "-printf", r"%u\t%s\n")),
            ("top 100 by size", by_name["top 100 by size: path"], (*find, "-printf", r"%s\t%p\n")),
            ("bytes of the whole tree", f"SELECT used FROM {directory}", ("du", "-sx", tree)),
        ):  # fmt: skip
            ask = output_of(*command)
            ask()
            ours, others = [], []
            for _ in range(rounds):
                ours += [timed(lambda s=sql: con.sql(s).fetchall()) for _ in range(5)]  # type: ignore[misc]
                others.append(timed(ask)[0])
            wall, busy = (median(column) for column in zip(*ours, strict=True))
            ratio = median(others) / wall
            found = f"{wall:.2f} ({busy:.2f}) ms, {ratio:,.0f}× (≥ {FIND_RATIO_MIN:g})"
            report.line(what, found, f"{command[0]} {median(others):,.0f} ms",
                        met=ratio >= FIND_RATIO_MIN)  # fmt: skip


def main() -> None:
    """Run both parts."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--tree", type=Path, help="a real tree; none by default")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--work", type=Path, help="where stores are made; they are removed")
    given = arguments.parse_args()
    report = Report()
    work = Path(tempfile.mkdtemp(prefix="catalog-queries-", dir=given.work))
    try:
        if given.entries:
            synthetic(work, given.entries, given.rounds, report)
        if given.tree is not None:
            real(work, given.tree, given.rounds, report)
    finally:
        shutil.rmtree(work)
    if report.short:
        print(f"\nshort of its bar: {', '.join(report.short)}")


if __name__ == "__main__":
    main()
