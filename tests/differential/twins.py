"""A store and a stock DuckDB database that are told the same."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import duckdb

import pagelake
from pagelake.engine import maintenance
from pagelake.engine.leaves import hot_tier, table_leaf
from pagelake.storage import row_group
from pagelake.storage.maintenance import compaction, plan
from tests.differential.answers import Answer, error_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.differential.asking import Given
    from tests.differential.world import Step

HOT_ROWS: Final = 60
"""Rows from which on a table has a hot segment here, so that small tables have one too."""
ROWS_MAX: Final = 30_000
"""Rows of an answer that are read; more than that says that the generator is at fault."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How the store answers.

    Attributes:
        hot: With hot segments.
        plan_cache: Plans are kept; without, they are forgotten before each statement.
        streamed: Fresh rows are decoded as they are scanned, instead of copied into a delta.
        zone: The session's time zone.
        small_groups: Row groups hold a hundred rows, and commit records next to none.
    """

    hot: bool
    plan_cache: bool
    streamed: bool
    zone: str = "UTC"
    small_groups: bool = False

    @contextmanager
    def limits(self) -> Iterator[None]:
        """Lower the limits from which on a table is read in another way."""
        with (
            mock.patch.object(hot_tier, "HOT_ROWS_MIN", HOT_ROWS),
            mock.patch.object(maintenance, "HOT_ROWS_MIN", HOT_ROWS),
            mock.patch.object(
                table_leaf, "DELTA_ROWS_MAX", 0 if self.streamed else table_leaf.DELTA_ROWS_MAX
            ),
            ExitStack() as stack,
        ):
            if self.small_groups:
                stack.enter_context(mock.patch.object(row_group, "INLINE_ROWS_MAX", 4))
                for module in (row_group, plan, compaction):
                    stack.enter_context(mock.patch.object(module, "ROW_GROUP_ROWS_MAX", 100))
            yield


@dataclass(slots=True)
class Twins:
    """Both engines.

    Attributes:
        path: Where the store is.
        variant: How it answers.
    """

    path: Path
    variant: Variant
    _ours: pagelake.Connection = field(init=False)
    _theirs: duckdb.DuckDBPyConnection = field(init=False)
    _since_begin: list[str] = field(default_factory=list)
    _savepoint: int | None = None
    _past: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._theirs = duckdb.connect(config={"threads": 1})
        self._theirs.execute(
            "SET python_enable_replacements = false; SET enable_progress_bar = false"
        )
        self._theirs.execute(f"SET timezone = '{self.variant.zone}'")
        self._open()

    def _open(self) -> None:
        settings: dict[str, object] = {"background_maintenance": False, "threads": 1}
        if not self.variant.hot:
            settings["hot_bytes_max"] = 0
        self._ours = pagelake.connect(self.path, settings=settings)
        self._ours.execute(f"SET timezone = '{self.variant.zone}'")

    def close(self) -> None:
        """Close both."""
        self._ours.close()
        self._theirs.close()

    def fill(self, step: Step) -> None:
        """Do one thing that fills the tables."""
        if step.kind == "reopen":
            self._ours.close()
            self._open()
        elif step.kind == "store":
            self._ours.execute(step.sql)
        elif step.kind == "append":
            self._ours.append(step.table, self._theirs.sql(step.sql).to_arrow_table())
            self._theirs.execute(f"INSERT INTO {step.table} {step.sql}")
        else:
            self._theirs.execute(step.sql)
            self._ours.execute(step.sql)

    def settle(self) -> None:
        """Build the hot segments that are missing."""
        if self.variant.hot:
            self._ours._database.maintenance.build_all()

    def ours(self, sql: str, parameters: Given = ()) -> Answer:
        """What the store answers."""
        if not self.variant.plan_cache:
            self._ours._database.plans.clear()
        try:
            result = self._ours.sql(self._in_the_past(sql), _given(parameters))
            rows = result.fetchall()
            return Answer(tuple(result.columns), _bare(result.types), tuple(rows))
        except Exception as error:  # whatever else it raises is a difference
            return Answer(error=error_kind(error), message=str(error))

    def theirs(self, sql: str, parameters: Given = ()) -> Answer:
        """What stock DuckDB answers."""
        try:
            cursor = self._theirs.execute(sql, _given(parameters))
            described = cursor.description or []
            rows = cursor.fetchall()
        except (duckdb.Error, RuntimeError) as error:
            return Answer(error=error_kind(error), message=str(error))
        names = tuple(column[0] for column in described)
        said = names in {("Success",), ("Count",)} and not rows
        if said:  # what the client says of statements that answer nothing
            return Answer()
        return Answer(names, _bare(str(column[1]) for column in described), tuple(rows))

    def remember(self, table: str, name: str) -> None:
        """Let a name stand for a table as it is now: a version here, a copy there."""
        version = self._ours.snapshot()
        self._past[name] = f"main.{table} AT (VERSION => {version})"
        self._theirs.execute(f"CREATE TABLE {name} AS FROM {table}")

    def _in_the_past(self, sql: str) -> str:
        for name, past in self._past.items():
            if name in sql:
                sql = re.sub(rf"\b(main\.)?{name}\b", past, sql)
        return sql

    def begin(self) -> None:
        """Begin a transaction in both."""
        self.both("BEGIN")
        self._since_begin, self._savepoint = [], None

    def savepoint(self) -> None:
        """Set a savepoint; stock DuckDB has none, so it is played in ``rollback_to``."""
        self._ours.execute("SAVEPOINT here")
        self._savepoint = len(self._since_begin)

    def rollback_to(self) -> None:
        """Go back to the savepoint; stock DuckDB begins anew and repeats what came before."""
        self._ours.execute("ROLLBACK TO SAVEPOINT here")
        self._since_begin = self._since_begin[: self._savepoint]
        self._theirs.execute("ROLLBACK")
        self._theirs.execute("BEGIN")
        for sql in self._since_begin:
            self._theirs.execute(sql)

    def end(self, verb: str) -> None:
        """COMMIT or ROLLBACK in both."""
        self.both(verb)
        self._since_begin, self._savepoint = [], None

    def abandon(self) -> None:
        """Roll back whatever is open."""
        for connection in (self._ours, self._theirs):
            with suppress(pagelake.Error, duckdb.Error):
                connection.execute("ROLLBACK")

    def said(self, sql: str) -> None:
        """Remember a statement that succeeded in the open transaction."""
        self._since_begin.append(sql)

    @property
    def has_savepoint(self) -> bool:
        """Whether there is a savepoint to go back to."""
        return self._savepoint is not None

    def both(self, sql: str) -> None:
        """Tell both something that cannot fail."""
        self._theirs.execute(sql)
        self._ours.execute(sql)


def _given(parameters: Given) -> Any:
    return parameters if isinstance(parameters, dict) else list(parameters) or None


def _bare(types: Iterable[str]) -> tuple[str, ...]:
    """Types of columns; the client writes the type of NULL in quotation marks."""
    return tuple(text.strip('"') for text in types)
