"""`.plot`: a chart of a query's result, in the terminal or as a PNG file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import InvalidRequest, LimitExceeded
from .command import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from ...result import Result
    from ..repl import Shell

POINTS_MAX = 1_000_000
"""Rows of a result that is plotted, which is held in memory: a window has fewer dots."""

_WORD = re.compile(r"\s*('[^']*'|\"[^\"]*\"|\S+)")
_OPTIONS = {"-o": "output", "-x": "x", "-y": "y", "--bins": "bins", "--title": "title"}


def _plot(shell: Shell, arguments: list[str]) -> None:
    from ...output.charts import KINDS, make_chart

    kind, options, query = _parse(arguments[0] if arguments else "", KINDS)
    query = query or shell.last_query
    if not query.strip(" ;"):
        raise InvalidRequest("there is no query yet", hint="say .plot QUERY")
    bins = options.get("bins", "20")
    if not bins.isdecimal() or not 1 <= int(bins) <= 200:
        raise InvalidRequest("--bins wants a number from 1 to 200")
    tables: list[pa.Table] = []

    def work(poll: Callable[[], None]) -> None:
        tables.append(_rows(shell.con.sql(query), poll))

    shell.run_watched(work)
    shell.last_query = query
    chart = make_chart(
        tables[0],
        kind,
        x=options.get("x", ""),
        ys=[name.strip() for name in options.get("y", "").split(",") if name.strip()],
        bins=int(bins),
        title=options.get("title", ""),
    )
    if "output" in options:
        from ...output.charts.png_chart import write_png

        write_png(chart, Path(options["output"]))
        shell.presenter.say(f"wrote {options['output']}")
        return
    from ...output.charts.text_chart import draw_chart

    presenter = shell.presenter
    size = shutil.get_terminal_size()
    lines = draw_chart(
        chart,
        width=size.columns if presenter.is_terminal else 100,
        height=min(24, size.lines - 6) if presenter.is_terminal else 20,
        colour=presenter.options.colour,
    )
    presenter.say("\n".join(lines))


def _rows(result: Result, poll: Callable[[], None]) -> pa.Table:
    import pyarrow as pa

    reader = result.reader()
    batches, rows = [], 0
    try:
        for batch in reader:
            poll()
            rows += batch.num_rows
            if rows > POINTS_MAX:
                raise LimitExceeded(
                    f"a plot takes up to {POINTS_MAX:,} rows", hint="aggregate, or USING SAMPLE"
                )
            batches.append(batch)
    finally:
        result.close()
    return pa.Table.from_batches(batches, reader.schema)


def _parse(rest: str, kinds: tuple[str, ...]) -> tuple[str, dict[str, str], str]:
    """Split a command line into kind, options and query."""
    kind, options = "", {}
    position = 0
    while (match := _WORD.match(rest, position)) is not None:
        word = match[1]
        if word in _OPTIONS:
            value = _WORD.match(rest, match.end())
            if value is None:
                raise _COMMAND.misuse()
            options[_OPTIONS[word]] = _unquoted(value[1])
            position = value.end()
        elif word in kinds and not kind:
            kind, position = word, match.end()
        elif word.startswith("-") and not word.startswith("--"):
            raise _COMMAND.misuse()
        else:
            break
    return kind, options, rest[position:].strip()


def _unquoted(word: str) -> str:
    return word[1:-1] if word[0] in "'\"" and word[-1] == word[0] and len(word) > 1 else word


_COMMAND = Command(
    ".plot",
    "[bar|line|histogram|scatter] [-x COLUMN] [-y COLUMNS] [-o FILE.png] [QUERY]",
    "Plot a query, the last one by default, in the terminal or to a PNG file.",
    (
        ".plot bar SELECT name, price FROM fruit",
        ".plot line -x day -y low,high SELECT * FROM prices",
        ".plot histogram --bins 40 SELECT l_quantity FROM lineitem",
        ".plot -o prices.png --title 'Prices'",
    ),
    _plot,
    takes="bar line histogram scatter -x -y -o --bins --title",
    is_raw=True,
)
COMMANDS = (_COMMAND,)
