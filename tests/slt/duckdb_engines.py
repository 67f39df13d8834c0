"""The engines that DuckDB's test files are replayed on: stock DuckDB and a Pagelake store."""

from __future__ import annotations

import datetime
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

import pagelake
from tests.slt.duckdb_replay import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

_AWKWARD = re.compile(r"BIT|TIME WITH TIME ZONE|U?HUGEINT|BIGNUM|UUID")
"""Types that do not cross Arrow as they are."""
_PLAIN = re.compile(r"U?(TINY|SMALL|BIG)?INT(EGER)?|VARCHAR|BOOLEAN")


class StockEngine:
    """DuckDB itself."""

    errors: tuple[type[Exception], ...] = (duckdb.Error, RuntimeError)

    def __init__(self) -> None:
        self._path, self._read_only = ":memory:", False
        self._open()

    def _open(self) -> None:
        self._root = duckdb.connect(self._path, read_only=self._read_only)
        self._root.execute("SET python_enable_replacements = false")
        self._cursors: dict[str, Any] = {"": self._root}

    def _cursor(self, connection: str) -> Any:
        if connection not in self._cursors:
            self._cursors[connection] = self._root.cursor()
        return self._cursors[connection]

    def run(self, sql: str, connection: str) -> None:
        self._cursor(connection).execute(sql).fetchall()

    def rows(self, sql: str, connection: str) -> Rows:
        cursor = self._cursor(connection)
        executed = cursor.execute(sql)
        types = [str(column[1]).strip('"') for column in executed.description or []]
        return _rows(types, executed.fetchall, executed.to_arrow_table, lambda: _zone(cursor))

    def load(self, path: str | None, *, read_only: bool) -> None:
        self.close()
        self._path, self._read_only = path or ":memory:", read_only
        self._open()

    def restart(self) -> None:
        self.load(None if self._path == ":memory:" else self._path, read_only=self._read_only)

    def reconnect(self) -> None:
        self._cursors[""] = self._root.cursor()

    def close(self) -> None:
        for cursor in self._cursors.values():
            cursor.close()
        self._root.close()


class PagelakeEngine:
    """A Pagelake store in a folder of its own."""

    errors: tuple[type[Exception], ...] = (pagelake.Error,)

    def __init__(self, scratch: Path, *, hot: bool) -> None:
        self._scratch, self._hot, self._fresh = scratch, hot, 0
        self._path, self._read_only = self._throw_away(), False
        self._open()

    def _throw_away(self) -> str:
        self._fresh += 1
        return str(self._scratch / f"store {self._fresh}" / "memory")

    def _open(self) -> None:
        settings: dict[str, object] = {"background_maintenance": False}
        if not self._hot:
            settings["hot_bytes_max"] = 0
        path = Path(self._path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._root = pagelake.connect(path, read_only=self._read_only, settings=settings)
        self._cursors: dict[str, pagelake.Cursor] = {"": self._root}

    def _cursor(self, connection: str) -> pagelake.Cursor:
        if connection not in self._cursors:
            self._cursors[connection] = self._root.cursor()
        if self._hot:
            self._root._database.maintenance.build_all()
        return self._cursors[connection]

    def run(self, sql: str, connection: str) -> None:
        self._cursor(connection).sql(sql).fetchall()

    def rows(self, sql: str, connection: str) -> Rows:
        cursor = self._cursor(connection)
        result = cursor.sql(sql)
        types = [text.strip('"') for text in result.types]
        return _rows(types, result.fetchall, result.arrow, lambda: _zone(cursor))

    def load(self, path: str | None, *, read_only: bool) -> None:
        self.close()
        self._path, self._read_only = path or self._throw_away(), read_only
        self._open()

    def restart(self) -> None:
        self.load(self._path, read_only=self._read_only)

    def reconnect(self) -> None:
        self._cursors[""] = self._root.cursor()

    def close(self) -> None:
        for cursor in self._cursors.values():
            with suppress(pagelake.Error):
                cursor.rollback()
        self._root.close()


def _zone(cursor: Any) -> str:
    run = cursor.execute("SELECT current_setting('TimeZone')")
    return str(run.fetchall()[0][0])


def _rows(
    types: Sequence[str],
    fetchall: Callable[[], Sequence[Sequence[object]]],
    arrow: Callable[[], pa.Table],
    zone: Callable[[], str],
) -> Rows:
    """An answer in the text that the files use."""
    if all(_PLAIN.fullmatch(t) or _AWKWARD.fullmatch(t) for t in types):
        return Rows(tuple(types), tuple(_plain(v) for row in fetchall() for v in row))
    table = arrow()
    judge = _judge()
    if any("WITH TIME ZONE" in t for t in types):
        judge.execute(f"SET TimeZone = '{zone()}'")
    table = table.rename_columns([f"c{index}" for index in range(len(types))])
    listed = ", ".join(_text_of(f"c{index}", type_) for index, type_ in enumerate(types))
    judge.register("answer", table)
    rows = judge.execute(f"SELECT {listed} FROM answer").fetchall()
    return Rows(tuple(types), tuple(_plain(v) for row in rows for v in row))


def _text_of(column: str, type_: str) -> str:
    if type_ == "BOOLEAN":
        return column
    if _AWKWARD.search(type_) and "ENUM" not in type_ and "WITH TIME ZONE" not in type_:
        column = f"CAST({column} AS {type_})"
    return f"CAST({column} AS VARCHAR)"


@lru_cache(maxsize=1)
def _judge() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _plain(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime.time) and value.tzinfo is not None:
        return re.sub(r"([+-]\d\d):00$", r"\1", value.isoformat())
    return str(value).replace("\0", "\\0") or "(empty)"
