"""Commands about versions: `.snapshots`, `.snapshot`, `.at`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from .command import Command

if TYPE_CHECKING:
    from ..repl import Shell

SNAPSHOTS_SHOWN = 20
_NUMBER = re.compile(r"\d{1,18}")


def _snapshots(shell: Shell, arguments: list[str]) -> None:
    count = SNAPSHOTS_SHOWN
    if arguments:
        if not arguments[0].isdecimal():
            raise _SNAPSHOTS.misuse()
        count = int(arguments[0])
    shell.show(
        "SELECT version, time, operation, transactions, rows_added AS added, "
        "rows_deleted AS deleted, author, message FROM pagelake.snapshots "
        f"ORDER BY version DESC LIMIT {count}"
    )


def _snapshot(shell: Shell, _arguments: list[str]) -> None:
    shell.presenter.say(str(shell.con.snapshot()))


def _at(shell: Shell, arguments: list[str]) -> None:
    if not arguments or arguments[0].lower() == "now":
        shell.travel(None, None)
        _snapshot(shell, [])
        return
    from ....sql.references import At
    from ....sql.tokens import literal
    from ...time_travel import version_at

    text = " ".join(arguments)
    if _NUMBER.fullmatch(text):
        wanted = At("VERSION", text)
    elif _is_time(text):
        wanted = At("TIMESTAMP", literal(text))
    else:
        wanted = At("TAG", literal(text))
    cursor = shell.store.cursor()
    try:
        version = version_at(cursor._session, wanted, cursor._session.snapshot())
        cursor._session.stay_at(version)
    except BaseException:
        cursor.close()
        raise
    shell.travel(cursor, version)
    shell.presenter.say(f"reading as of version {version}; .at returns to the present")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_SNAPSHOTS = Command(
    ".snapshots",
    "[N]",
    f"Show the newest versions, {SNAPSHOTS_SHOWN} by default: when, by whom, what.",
    (".snapshots", ".snapshots 100"),
    _snapshots,
)
COMMANDS = (
    _SNAPSHOTS,
    Command(
        ".snapshot",
        "",
        "Show the version that statements read.",
        (".snapshot",),
        _snapshot,
        0,
    ),
    Command(
        ".at",
        "[VERSION|TIME|TAG|now]",
        "Read everything as of a version, a time or a tag; without one, the present again.",
        (".at 12", ".at 2026-11-01 08:00", ".at gold", ".at"),
        _at,
        2,
        takes="version",
    ),
)
