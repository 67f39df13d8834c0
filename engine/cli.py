"""The command line: every command is a thin layer over the Python API.

    pagelake STORE              a shell (the default command)
    pagelake query STORE SQL    one result, in any format
    pagelake load STORE TABLE FILE…
    pagelake info STORE
    pagelake check STORE        is everything as it was written?
    pagelake backup STORE DEST
    pagelake devices …          a store over several directories
    pagelake scan DIR STORE     a directory tree into a catalog
    pagelake report NAME STORE CATALOG
    pagelake cp, mv, rm, …      files of a store, written STORE:/path
    pagelake mount STORE DIR    the files of a store as a file system
    pagelake tpch …

Nothing here imports the engine before a store is opened, so that help comes at once.
"""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import click

from .. import __version__, connect
from ..errors import InvalidRequest
from .commands.errors import discard_output, report, status_of
from .commands.options import format_option
from .commands.output import (
    complete_file,
    format_switches,
    query_presenter,
    refuse_binary_terminal,
    result_format_option,
    run_statements,
)
from .output.format import MAX_ROWS_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence


class _ReaderGone(Exception):
    """Whoever read standard output has ended, as `head` does."""


class _StoreGroup(click.Group):
    """A group whose default command is `shell`, and whose heavy commands load when they run."""

    # Name -> (module, attribute, help line): the module is not imported to list the command.
    mounted: ClassVar[dict[str, tuple[str, str, str]]] = {
        "backup": (
            "pagelake.engine.commands.backup",
            "backup",
            "Copy a store, in use or not, into another directory; again only what is new.",
        ),
        "cat": (
            "pagelake.engine.transfer.cli_copy",
            "cat",
            "Write files of a store to standard output.",
        ),
        "check": (
            "pagelake.engine.commands.check",
            "check",
            "Verify everything in a store, and repair what can be repaired.",
        ),
        "cp": (
            "pagelake.engine.transfer.cli_copy",
            "cp",
            "Copy files between local directories and stores.",
        ),
        "devices": (
            "pagelake.engine.devices.cli",
            "devices",
            "Create, look after and rebuild a store over several devices.",
        ),
        "report": (
            "pagelake.engine.reports.cli",
            "report",
            "Print or plot a report over a catalog: usage, growth, ages, what to purge …",
        ),
        "scan": (
            "pagelake.engine.catalog_scan.cli",
            "scan",
            "Scan a directory tree into a catalog: one row a file.",
        ),
        "du": (
            "pagelake.engine.transfer.cli_list",
            "du",
            "Sum up bytes below directories of a store.",
        ),
        "ls": (
            "pagelake.engine.transfer.cli_list",
            "ls",
            "List files of a store.",
        ),
        "mount": (
            "pagelake.engine.fuse.cli",
            "mount",
            "Mount the files of a store on a directory.",
        ),
        "mv": (
            "pagelake.engine.transfer.cli_copy",
            "mv",
            "Move or rename files and directories.",
        ),
        "rm": (
            "pagelake.engine.transfer.cli_copy",
            "rm",
            "Remove files and directories from a store.",
        ),
        "tag": (
            "pagelake.engine.transfer.cli_list",
            "tag",
            "Show or set tags of files.",
        ),
        "tpch": (
            "pagelake.tpch.cli",
            "tpch",
            "Generate, load and run the TPC-H benchmark, and compare engines.",
        ),
        "tree": (
            "pagelake.engine.transfer.cli_list",
            "tree",
            "Draw directories of a store as a tree.",
        ),
        "unmount": (
            "pagelake.engine.fuse.cli",
            "unmount",
            "End a mount.",
        ),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self.mounted])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.mounted:
            module, attribute, _ = self.mounted[cmd_name]
            return cast("click.Command", getattr(import_module(module), attribute))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in self.mounted:
                rows.append((name, self.mounted[name][2]))
            else:
                rows.append((name, self.commands[name].get_short_help_str(72)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {option for parameter in self.get_params(ctx) for option in parameter.opts}
        if args and args[0].startswith("-") and args[0] not in own:
            args = ["shell", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end with status 1, which means an error.
            raise _ReaderGone from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in self.commands or args[0] in self.mounted:
            return super().resolve_command(ctx, args)
        self._refuse_misspelt(ctx, args[0])
        return "shell", self.commands["shell"], args

    def _refuse_misspelt(self, ctx: click.Context, store: str) -> None:
        """Refuse a store that looks like a mistyped command: a shell would create it."""
        if os.sep in store or os.path.lexists(store):
            return
        near = difflib.get_close_matches(store, self.list_commands(ctx), n=1, cutoff=0.75)
        if near:
            raise click.UsageError(
                f"No such command or store: '{store}'. Did you mean '{near[0]}'?\n"
                f"(To create a store of that name, say: pagelake shell ./{store})"
            )


@click.group(
    cls=_StoreGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@click.option("--debug", is_flag=True, help="Print tracebacks (also: PAGELAKE_DEBUG=1).")
@click.version_option(__version__, prog_name="pagelake")
def cli(debug: bool) -> None:
    """Query and keep a Pagelake store: a directory of SQL tables.

    \b
    Examples:
      pagelake demo.lake                              open a shell (creates the store)
      pagelake query demo.lake "SELECT 42 AS answer"
      pagelake load demo.lake orders orders.parquet
      pagelake demo.lake < script.sql
    """  # noqa: D301 - click reads \b from the docstring
    if debug:
        os.environ["PAGELAKE_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        arguments: What follows the program's name; `sys.argv` when None.

    Raises:
        SystemExit: Always. The status is 0, 2 for a wrong use of the command line, 130 after
            Ctrl-C, or what `pagelake.errors.exit_code` says of the error.
    """
    try:
        status = cli.main(arguments, prog_name="pagelake", standalone_mode=False)
        sys.stdout.flush()
    except (_ReaderGone, BrokenPipeError):
        status = discard_output()
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = status_of(KeyboardInterrupt())
    except Exception as error:  # noqa: BLE001 - the outermost border: everything is reported
        status = status_of(error)
    sys.exit(status if isinstance(status, int) else 0)


_read_only_option = click.option("--read-only", is_flag=True, help="Refuse to change the store.")


@cli.command()
@click.argument("store")
@click.option(
    "--command",
    "-c",
    "commands",
    multiple=True,
    metavar="SQL",
    help="Run SQL or dot commands and leave; may be repeated.",
)
@result_format_option
@format_switches
@_read_only_option
def shell(
    store: str,
    commands: tuple[str, ...],
    format_name: str | None,
    format_switch: str | None,
    read_only: bool,
) -> None:
    """Open a SQL shell on STORE, or run a script from standard input.

    Statements end in ';'. The shell has history (Ctrl-R searches), completion (Tab) and dot
    commands; `.help` lists them. Ctrl-C cancels a running statement. A script stops at its first
    error and its status says why.

    \b
    Examples:
      pagelake demo.lake
      pagelake -c "CREATE TABLE t (a INTEGER)" -c "INSERT INTO t VALUES (1)" demo.lake
      pagelake -c "FROM t" --json demo.lake | jq .
      pagelake shell demo.lake < script.sql
      echo "SELECT 1;" | pagelake demo.lake --csv
    """  # noqa: D301
    from .shell.config import load_config
    from .shell.opening import Opening
    from .shell.presenter import configured_presenter
    from .shell.repl import Leave, Shell

    config = load_config()
    interactive = not commands and sys.stdin.isatty()
    chosen = format_switch or format_name
    presenter = configured_presenter(chosen, config, interactive=interactive)
    refuse_binary_terminal(presenter)
    opening = Opening(lambda: connect(store, read_only=read_only))
    session = Shell(opening, presenter, report, config)
    try:
        if interactive:
            click.echo(f"Pagelake {__version__} · {store}")
            click.echo("Statements end in ';'. Type .help for help, Ctrl-D to leave.")
            session.run_prompt()
            return
        opening.connection()
        for number, text in enumerate(commands, start=1):
            session.run_script(text, f"-c number {number}" if len(commands) > 1 else None)
        if not commands:
            session.run_script(sys.stdin.read(), "standard input")
    except Leave:
        pass
    finally:
        session.close()


@cli.command()
@click.argument("store")
@click.argument("sql")
@result_format_option
@format_switches
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which appears when it is complete.",
)
@click.option(
    "--param",
    "-p",
    "parameters",
    multiple=True,
    metavar="VALUE",
    help="Value of the next parameter ($1, $2 … or ?); may be repeated. Numbers, true, false "
    "and null are themselves, 'quoted' and all other values are text.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(min=0),
    default=MAX_ROWS_DEFAULT,
    show_default=True,
    help="Rows that table, box and markdown show; 0 shows all, held in memory.",
)
@_read_only_option
def query(
    store: str,
    sql: str,
    format_name: str | None,
    format_switch: str | None,
    output: Path | None,
    parameters: tuple[str, ...],
    max_rows: int,
    read_only: bool,
) -> None:
    """Run SQL on STORE and print the result; '-' reads the SQL from standard input.

    Results are streamed, whatever their size. Of several statements, formats for people print
    every result, those for programs the last one.

    \b
    Formats:
      table     for people, cut to the window; control characters in values are spelled out
      box       the same, whole; line: a value a line; list: a row a line, | between values
      csv, tsv  quoted per RFC 4180, LF line ends; NULL is empty, an empty string is ""
      json      an array of objects; jsonl: one object per line
      markdown  a table for documents; html: one for web pages
      insert    INSERT statements
      arrow     Arrow IPC: a stream into pipes and .arrows files, else the file format
      parquet   Parquet with zstd
    DECIMAL keeps its exact digits everywhere. BLOB is lower-case hexadecimal in text formats. In
    JSON, dates and times are ISO 8601, and NaN and infinities are "NaN", "Infinity", "-Infinity".

    \b
    Examples:
      pagelake query demo.lake "SELECT * FROM orders WHERE id = \\$1" --param 42
      pagelake query demo.lake "FROM orders" --format parquet --output orders.parquet
      pagelake query demo.lake - --format jsonl < report.sql | jq .total
    """  # noqa: D301
    presenter = query_presenter(format_switch or format_name, output, max_rows)
    text = sys.stdin.read() if sql == "-" else sql
    values = [parameter_value(raw) for raw in parameters] or None
    with connect(store, read_only=read_only) as con:
        statements = con.statements(text)
        if not statements:
            raise InvalidRequest("there is no statement to run")
        if values and len(statements) > 1:
            raise InvalidRequest(
                f"--param goes with one statement, and there are {len(statements)}",
                hint="run them by commands of their own",
            )
        if output is None:
            run_statements(con, statements, values, presenter)
        else:
            with complete_file(output) as stream:
                presenter.stream = stream
                run_statements(con, statements, values, presenter)


def parameter_value(raw: str) -> object:
    """Read the value of a `--param`.

    Returns:
        An int, Decimal, bool or None where the text spells one, the text inside single quotes,
        or else the text itself.
    """
    from decimal import Decimal, InvalidOperation

    words: dict[str, object] = {"true": True, "false": False, "null": None}
    if raw.lower() in words:
        return words[raw.lower()]
    if len(raw) >= 2 and raw[0] == raw[-1] == "'":
        return raw[1:-1].replace("''", "'")
    try:
        return int(raw)
    except ValueError:
        pass
    try:
        number = Decimal(raw)
    except InvalidOperation:
        return raw
    return number if number.is_finite() else raw


@cli.command()
@click.argument("store")
@click.argument("table")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def load(store: str, table: str, files: tuple[Path, ...], quiet: bool) -> None:
    """Load FILES into TABLE of STORE, in one transaction.

    Files are read by their endings: .parquet, .csv, .tsv, .json, .jsonl, .ndjson, .arrow,
    .arrows, .feather (and .csv.gz and the like). The table is created when it does not exist;
    otherwise rows are appended, columns in the order of the table's.

    \b
    Examples:
      pagelake load demo.lake orders orders.parquet
      pagelake load demo.lake sales.events 2024-*.csv
    """  # noqa: D301
    from .commands.load import load_files

    with connect(store) as con:
        load_files(con, table, list(files), quiet=quiet)


@cli.command()
@click.argument("store")
@format_option
def info(store: str, format_name: str) -> None:
    """Describe STORE: its identity, tables, segments and settings.

    \b
    Examples:
      pagelake info demo.lake
      pagelake info demo.lake --format json
    """  # noqa: D301
    from .commands.info import show_info

    with connect(store, read_only=True) as con:
        show_info(con, as_json=format_name == "json")
