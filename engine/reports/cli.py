"""`pagelake report`: each report as a command, printed as a table or drawn as a picture."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ... import connect
from ...errors import InvalidRequest
from ...extensions.reports import REPORTS
from ...sql.tokens import literal
from ..commands.output import (
    complete_file,
    query_presenter,
    result_format_option,
    run_statements,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...extensions.reports import Parameter, Report

ROWS_DEFAULT: Final = 40
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(i?)B?", re.IGNORECASE)
_POWERS = " KMGTP"
_NUMBERS = {"BIGINT", "INTEGER"}
_METAVARS = {"INTERVAL": "INTERVAL", "BIGINT": "NUMBER", "INTEGER": "NUMBER"}


@click.group()
def report() -> None:
    """Print or plot a report over a catalog, or over the files of the store.

    Each report is a relation in SQL as well: FROM report_usage('proj', by => 'extension').

    \b
    Examples:
      pagelake report usage demo.lake proj
      pagelake report usage demo.lake proj --by extension --path /srv/projects/a
      pagelake report directories demo.lake proj --depth 2 --plot usage.html
      pagelake report ages demo.lake proj --plot ages.png
      pagelake report purge demo.lake proj --older-than '2 years' --output purge.csv
      pagelake report usage demo.lake files
    """  # noqa: D301 - click reads \b from the docstring


def _command(told: Report) -> click.Command:
    """The command of one report."""
    name = told.name.replace("_", "-")
    options: list[click.Parameter] = [
        click.Argument(["store"]),
        click.Argument(["catalog"]),
        *map(_option, told.parameters),
        click.Option(
            ["--limit", "-n"],
            type=click.IntRange(min=0),
            help=f"Rows at most; 0 for all.  [default: {ROWS_DEFAULT} in a table, else all]",
        ),
        click.Option(
            ["--output", "-o"],
            type=click.Path(dir_okay=False, path_type=Path),
            help="Write to this file, which appears when it is complete.",
        ),
    ]
    if told.picture is not None:
        options.append(
            click.Option(
                ["--plot"],
                type=click.Path(dir_okay=False, path_type=Path),
                help=f"Draw a {told.picture.kind} into this file: .png, .svg or .html.",
            )
        )
    made = click.command(
        name,
        params=options,
        short_help=told.about,
        help=f"{told.about[0].upper()}{told.about[1:]}.\n\nIn SQL: FROM {told.example}",
    )
    return made(result_format_option(partial(_run, told)))


def _option(parameter: Parameter) -> click.Option:
    about = f"{parameter.about[0].upper()}{parameter.about[1:]}."
    if parameter.default not in {None, "NULL"}:
        default = str(parameter.default).removeprefix("INTERVAL ").strip("'")
        about += f"  [default: {default.lower() if ' ' in default else default}]"
    return click.Option(
        [f"--{parameter.name.replace('_', '-')}"],
        required=parameter.default is None,
        metavar=_METAVARS.get(parameter.sql_type, "TEXT"),
        help=about,
    )


def _run(
    told: Report,
    *,
    store: str,
    catalog: str,
    limit: int | None,
    output: Path | None,
    format_name: str | None,
    plot: Path | None = None,
    **given: str | None,
) -> None:
    presenter = query_presenter(format_name, output, 0)
    if limit is None and presenter.format_name == "table" and output is None:
        limit = ROWS_DEFAULT
    sql = statement(told, catalog, given)
    with connect(store, read_only=True) as con:
        if plot is not None:
            from .pictures import draw

            draw(told, con.sql(sql), plot, f"{told.name} of {catalog}")
            if output is None:
                return
        limited = sql if not limit else f"{sql} LIMIT {limit}"
        if output is None:
            run_statements(con, [limited], None, presenter)
            return
        with complete_file(output) as stream:
            presenter.stream = stream
            run_statements(con, [limited], None, presenter)


def statement(told: Report, catalog: str, given: Mapping[str, str | None]) -> str:
    """The query of a report with what was given on the command line.

    Raises:
        InvalidRequest: A number is none.
    """
    arguments = [literal(catalog)]
    for parameter in told.parameters:
        value = given.get(parameter.name)
        if value is None:
            continue
        text = _number(parameter, value) if parameter.sql_type in _NUMBERS else value
        if parameter.name == "path" and value.startswith("~"):
            text = str(Path(value).expanduser())
        arguments.append(f"{parameter.name} => {literal(text)}")
    return f"FROM {told.function}({', '.join(arguments)})"


def _number(parameter: Parameter, value: str) -> str:
    """A number as SQL reads it; sizes may have units, of 1000 or, with an i, of 1024."""
    found = _SIZE.fullmatch(value.strip().replace("_", ""))
    if found is None:
        raise InvalidRequest(
            f"--{parameter.name.replace('_', '-')} {value} is no number",
            hint="write 4096, 10GB or 1.5GiB",
        )
    base = 1024 if found[3] else 1000
    return str(int(float(found[1]) * base ** _POWERS.index(found[2].upper() or " ")))


for _report in REPORTS.values():
    report.add_command(_command(_report))
