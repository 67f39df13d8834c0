"""What a catalog answers, how fast, and in how many bytes; each beside a named peer.

    python -m tests.catalog.benchmark [--entries N] [--tree DIR] [--rounds N] [--work DIR]

Part one fills a catalog from a synthetic tree of N entries, and asks the same of it and of a stock
DuckDB table of the same rows with their paths. Part two scans a real tree, and asks `find` and `du`
the same; the files' metadata are warm. Scans and `find` take turns, and medians are compared.
A result is marked `short` where it misses the bar that the project has set itself: those for times
are meant for 10 million entries, and ratios against `find` for 500,000 and more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final
from unittest import mock

import duckdb

import pagelake
from pagelake.engine.catalog_scan import scan as scan_module
from pagelake.engine.catalog_scan.account import ScanRequest
from pagelake.engine.catalog_scan.scan import scan
from pagelake.extensions.catalog.block import WalkOptions
from tests.catalog.generate import generate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pagelake import Connection

PRINTED: Final = r"%p\t%s\t%T@\t%u\n"

# {e}: entries with their paths.
ASKED: Final = (
    ("count by two predicates", 60.0, "SELECT count(*) FROM {e} WHERE size > 1000000 "
     "AND mtime < TIMESTAMP '2022-01-01'"),
    ("group by owner", 60.0, "SELECT owner_name, count(*), sum(size) FROM {e} GROUP BY owner_name"),
    ("top 100 by size", 60.0, "SELECT name, size FROM {e} ORDER BY size DESC LIMIT 100"),
    ("substring over all names", 150.0, "SELECT count(*) FROM {e} WHERE name LIKE '%epoch_0%'"),
)  # fmt: skip


@dataclass(slots=True)
class Report:
    """Lines of a table, printed as they come."""

    short: list[str] = field(default_factory=list)

    def line(self, what: str, found: str, peer: str, *, met: bool | None) -> None:
        """Print a line; `met` is None for what has no bar."""
        verdict = {True: "met", False: "short", None: ""}[met]
        if met is False:
            self.short.append(what)
        print(f"{what:36} {found:>22}  {peer:44} {verdict}", flush=True)


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    """Return the median of some runs; one before them is not counted."""
    found = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        run()
        found.append((time.perf_counter() - began) * 1e3)
    return median(found[1:])


def fill(con: Connection, entries: int) -> float:
    """Fill the catalog `made` from a synthetic tree; return seconds, without making the tree."""
    tree = generate(entries)
    request = ScanRequest(b"/", "made", WalkOptions())
    began = time.perf_counter()
    with mock.patch.object(scan_module, "walk", lambda *_: tree.blocks()):
        scan(con._session, request)
    return time.perf_counter() - began


def peer_of(con: Connection, path: Path) -> duckdb.DuckDBPyConnection:
    """Return a stock DuckDB file with the rows of the catalog `made`, in their order."""
    peer = duckdb.connect(str(path))
    peer.execute("SET preserve_insertion_order = true")
    rows = con.sql(
        "SELECT path, parent_path, name, extension, element_type, size, used, uid, owner_name, "
        "gid, nfs_mode_bits, nlinks, atime, mtime, ctime, creation_time, "
        "phandle.handle_id AS handle "
        "FROM catalog.made"
    ).reader()
    assert rows is not None  # the statement names it
    peer.execute("CREATE TABLE entries AS SELECT * FROM rows")
    peer.execute("CHECKPOINT")
    return peer


def ask(con: Connection, peer: duckdb.DuckDBPyConnection, report: Report, rounds: int) -> None:
    """Ask both the same questions."""

    def compare(what: str, bar: float, own: str, theirs: str) -> None:
        both = con.sql(own).fetchall(), peer.execute(theirs).fetchall()
        # The last column: of rows with equal sizes either may be among the largest.
        answers = [sorted(str(row[-1]) for row in rows) for rows in both]
        assert answers[0] == answers[1], what
        ours = milliseconds(lambda: con.sql(own).fetchall(), rounds)
        other = milliseconds(lambda: peer.execute(theirs).fetchall(), rounds)
        told = f"DuckDB table {other:.1f} ms, ratio {ours / other:.2f}"
        report.line(what, f"{ours:.2f} ms (≤ {bar:g})", told, met=ours <= bar)

    for what, bar, sql in ASKED:
        compare(what, bar, sql.format(e="catalog.made"), sql.format(e="entries"))
    (directory, label, last), *_ = con.sql(
        "SELECT path, label, last_label FROM catalog.made_directories "
        "ORDER BY abs(entries - 1000), path LIMIT 1"
    ).fetchall()
    within = f"starts_with(path, '{directory}/')"
    compare(
        "listing of a subtree, ~1,000 entries", 10.0,
        f"SELECT name, size FROM catalog.made WHERE directory BETWEEN {label} AND {last}",
        f"SELECT name, size FROM entries WHERE {within}",
    )  # fmt: skip
    compare(
        "bytes of a subtree", 1.0,
        f"SELECT bytes FROM catalog.made_directories WHERE path = '{directory}'",
        f"SELECT sum(size)::BIGINT FROM entries WHERE {within} OR path = '{directory}'",
    )  # fmt: skip
    name, parent = con.sql(
        f"SELECT name, parent_path FROM catalog.made WHERE directory = {label} LIMIT 1"
    ).fetchall()[0]
    compare(
        "one path, by its label", 1.0,
        f"SELECT size, mtime FROM catalog.made WHERE directory = {label} AND name = '{name}'",
        f"SELECT size, mtime FROM entries WHERE path = '{parent}/{name}'",
    )  # fmt: skip


def weigh(con: Connection, entries: int, report: Report) -> None:
    """Tell bytes an entry."""
    pages = con.sql("SELECT sum(stored_bytes) FROM pagelake.pages").fetchall()[0][0] / entries
    parts = con.sql(
        "SELECT table_name, bytes FROM pagelake.relations WHERE bytes > 0 ORDER BY bytes DESC"
    ).fetchall()
    told = ", ".join(f"{n.removeprefix('made_')} {size / entries:.1f}" for n, size in parts[:3])
    report.line("bytes an entry, truth", f"{pages:.1f} (≤ 30)", told, met=pages <= 30)
    hot = con.sql("SELECT sum(bytes) FROM pagelake.hot_segments").fetchall()[0][0] or 0
    both = pages + hot / entries
    report.line("bytes an entry, with the hot copy", f"{both:.1f} (≤ 80)", "", met=both <= 80)


def synthetic(work: Path, entries: int, rounds: int, report: Report) -> None:
    """Part one."""
    print(f"synthetic tree, {entries:,} entries")
    with ExitStack() as opened:
        con = opened.enter_context(pagelake.connect(work / "synthetic.lake"))
        seconds = fill(con, entries)
        rate = f"{entries / seconds / 1e3:,.0f} k entries/s"
        report.line("fill, without walking", rate, "", met=None)
        began = time.perf_counter()
        con.sql("CALL pagelake.build_hot_segments()")
        report.line("hot copy", f"{time.perf_counter() - began:.1f} s", "", met=None)
        weigh(con, entries, report)
        peer = opened.enter_context(peer_of(con, work / "peer.duckdb"))
        peer_bytes = (work / "peer.duckdb").stat().st_size / entries
        report.line("bytes an entry, DuckDB's file", f"{peer_bytes:.1f}", "", met=None)
        con.execute("SET result_cache_bytes = 0")
        ask(con, peer, report, rounds)


def output_of(*command: object) -> Callable[[], bytes]:
    """Return a call that runs a program and reads what it prints, ignoring what it complains of."""
    words = [str(word) for word in command]
    return lambda: subprocess.run(words, capture_output=True, check=False).stdout


def real(work: Path, tree: Path, rounds: int, report: Report) -> None:
    """Part two."""
    with pagelake.connect(work / "real.lake") as con:
        request = ScanRequest(os.fsencode(tree), "real", WalkOptions())
        found, scans = [], []
        find = output_of("find", tree, "-xdev", "-printf", PRINTED)
        for number in range(rounds + 1):
            began = time.perf_counter()
            find()
            middle = time.perf_counter()
            summary = scan(con._session, request)
            if number:
                found.append(middle - began)
                scans.append(time.perf_counter() - middle)
        print(f"\n{tree}, {summary.entries:,} entries, {summary.errors} errors")
        ratio = median(found) / median(scans)
        told = f"find -printf with %u: {median(found):.2f} s"
        what = f"{median(scans):.2f} s, {ratio:.2f}× (≥ 1.5)"
        report.line("scan and index", what, told, met=ratio >= 1.5)
        con.sql("CALL pagelake.build_hot_segments()")
        con.execute("SET result_cache_bytes = 0")
        old = "-mtime", "+1461"
        asked = (
            ("count by two predicates", ASKED[0][2], ("find", tree, "-xdev", "-size", "+1M", *old)),
            ("group by owner", ASKED[1][2], ("find", tree, "-xdev", "-printf", r"%u\t%s\n")),
            ("top 100 by size", ASKED[2][2], ("find", tree, "-xdev", "-printf", r"%s\t%p\n")),
            ("bytes of a subtree",
             f"SELECT used FROM catalog.real_directories WHERE path = '{summary.root}'",
             ("du", "-sx", tree)),
        )  # fmt: skip
        for what, sql, command in asked:
            text = sql.format(e="catalog.real")
            ours = milliseconds(lambda text=text: con.sql(text).fetchall(), rounds)  # type: ignore[misc]
            other = milliseconds(output_of(*command), 2)
            ratio = other / ours
            told = f"{command[0]} {other:,.0f} ms"
            report.line(what, f"{ours:.2f} ms, {ratio:,.0f}× (≥ 300)", told, met=ratio >= 300)


def main() -> None:
    """Run both parts."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--tree", type=Path, help="a real tree; none by default")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--work", type=Path, help="where stores are made; they are removed")
    given = arguments.parse_args()
    report = Report()
    work = Path(tempfile.mkdtemp(prefix="catalog-", dir=given.work))
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
