"""Commands that show what a store holds: `.tables`, `.schema`, `.catalog`."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from ...output.terminal import visible
from .command import Command, quoted_name

if TYPE_CHECKING:
    from ...connection import Cursor
    from ..repl import Shell


def _tables(shell: Shell, arguments: list[str]) -> None:
    names = _relations(shell.con)
    if arguments:
        # Both spellings of "anything": the shell's * and SQL's %.
        pattern = arguments[0].replace("%", "*").lower()
        names = [name for name in names if fnmatch.fnmatchcase(name.lower(), pattern)]
    if names:
        shell.presenter.say("\n".join(map(visible, names)))


def _relations(con: Cursor) -> list[str]:
    """Names of all tables and views; those of other schemas than the current one with theirs."""
    schemas = con.sql("SELECT DISTINCT table_schema FROM pagelake.relations").fetchall()
    current = con._session.schema.lower()
    names = sorted(con.table_names())
    for (schema,) in sorted(schemas):
        if schema.lower() != current:
            names += [f"{schema}.{name}" for name in sorted(con.table_names(schema))]
    return names


def _schema(shell: Shell, arguments: list[str]) -> None:
    names = arguments or _relations(shell.con)
    # Only a connection tells the text of a definition, and it tells the present one.
    texts = [shell.store.schema_sql(quoted_name(name)) for name in names]
    lines = [visible(line) for text in texts for line in text.split("\n")]
    if lines:
        shell.presenter.say("\n".join(lines))


def _catalog(shell: Shell, arguments: list[str]) -> None:
    where = ""
    if arguments:
        from ....sql.tokens import literal

        pattern = arguments[0].replace("*", "%")
        where = f" WHERE table_name ILIKE {literal(pattern)}"
    shell.show(
        "SELECT table_schema AS schema, table_name AS name, kind, columns, rows, row_groups, "
        f"deleted_rows AS deleted, bytes FROM pagelake.relations{where} ORDER BY ALL"
    )


COMMANDS = (
    Command(
        ".tables",
        "[PATTERN]",
        "List the tables and views; * stands for anything.",
        (".tables", ".tables line*"),
        _tables,
        takes="table",
    ),
    Command(
        ".schema",
        "[TABLE]",
        "Show the CREATE statements of all tables and views, or one.",
        (".schema", ".schema lineitem"),
        _schema,
        takes="table",
    ),
    Command(
        ".catalog",
        "[PATTERN]",
        "Show tables with their rows, row groups and bytes.",
        (".catalog", ".catalog line*"),
        _catalog,
        takes="table",
    ),
)
