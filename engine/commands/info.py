"""`pagelake info`: what a store holds, read from the system relations by SQL."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from ... import __version__
from ..output.format import OutputOptions, writer_for
from ..output.terminal import visible
from ..shell.presenter import standard_presenter
from ..shell.texts import bytes_text, count_text

if TYPE_CHECKING:
    from ..connection import Connection

# Name in the JSON description -> its query. Bytes of truth are those of the segments; hot
# segments are derived from them and may be deleted at any time.
_PARTS = {
    "tables": "SELECT table_schema, table_name, kind, columns, rows, row_groups, deleted_rows, "
    "bytes FROM pagelake.relations WHERE table_schema <> 'pagelake' ORDER BY ALL",
    "segments": "SELECT * FROM pagelake.segments ORDER BY segment",
    "hot_segments": "SELECT table_schema, table_name, rows, live_rows, bytes, used, file "
    "FROM pagelake.hot_segments ORDER BY ALL",
    "settings": "SELECT name, value, unit, scope FROM pagelake.settings ORDER BY name",
}


def show_info(con: Connection, *, as_json: bool) -> None:
    """Print what a store holds.

    Args:
        con: A connection to the store.
        as_json: Whether to print one JSON object instead of a page for people.
    """
    heads: dict[str, object] = {
        "store": str(con.path),
        "store_id": con.store_id,
        "format_version": con.format_version,
        "engine": __version__,
        "version": con.snapshot(),
    }
    if as_json:
        parts = {name: _rows(con, sql) for name, sql in _PARTS.items()}
        text = json.dumps({**heads, **parts}, default=str, ensure_ascii=False, indent=2)
        sys.stdout.write(text + "\n")
        return
    truth = _total(con, "segments")
    heads["truth"] = f"{bytes_text(truth[1])} in {count_text(truth[0], 'segment')}"
    hot = _total(con, "hot_segments")
    heads["hot tier"] = f"{bytes_text(hot[1])} in {count_text(hot[0], 'file')}, derived"
    for name, value in heads.items():
        sys.stdout.write(f"{name.replace('_', ' '):<16}{visible(str(value))}\n")
    _print_part(con, "tables")
    _print_part(con, "settings")


def _print_part(con: Connection, name: str) -> None:
    presenter = standard_presenter()
    sys.stdout.write(f"\n{name}\n")
    sys.stdout.flush()
    presenter.options = OutputOptions(max_rows=0, colour=presenter.options.colour)
    writer_for("table")(con.sql(_PARTS[name]), presenter.stream, presenter.fitting_options())
    presenter.stream.flush()


def _rows(con: Connection, sql: str) -> list[dict[str, object]]:
    result = con.sql(sql)
    return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]


def _total(con: Connection, relation: str) -> tuple[int, int]:
    row = con.sql(
        f"SELECT count(*), coalesce(sum(bytes), 0)::BIGINT FROM pagelake.{relation}"
    ).fetchone()
    assert row is not None, "an aggregate gives one row"
    return int(row[0]), int(row[1])
