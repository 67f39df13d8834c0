"""A session: the whole path of a statement.

text → split → plan cache, or parse (``sql.statement``) and bind (``sql.binder``) → rules
(``sql.optimizer``) → route at a pinned snapshot (``route``) → kernel → ``Result``; statements
that change something run inside a transaction of the store (``dml``, ``ddl``, ``copy``).
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from ..errors import (
    Closed,
    Conflict,
    Denied,
    Error,
    ForkedConnection,
    InvalidRequest,
    TransactionAborted,
    UnknownName,
    Unsupported,
)
from ..sql import statement as st
from ..sql.names import close_matches
from ..sql.tokens import Name, split
from ..storage.snapshot import OVERLAY_STAMP
from . import query
from .catalog import DEFAULT_SCHEMA, SessionCatalog
from .guard import Guard
from .kernel_errors import located, translate
from .result import Result, Timing
from .settings import KERNEL_SETTINGS, SETTINGS, Settings
from .statements import copy, ddl, describe, explain, insert, modify
from .statements.change import Change

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ..storage.snapshot import Snapshot
    from ..storage.transaction import Savepoint, Transaction
    from .database import Database
    from .kernel import Cursor, Parameters
    from .plan_cache import Plan

_RETRY_PAUSE_S = 0.002
"""Pause before a conflicting statement is tried again: long enough for the winner to finish."""


class _NotPlain(Exception):
    """Some row of many needs the kernel's conversions: they all go the long way."""


@dataclass(slots=True)
class _Open:
    """An open transaction of the session."""

    transaction: Transaction
    explicit: bool
    aborted: bool = False


class Session:
    """One user's state: transaction, current schema, settings, temporary relations.

    Not for two threads at once; a lock makes concurrent calls take turns.

    Args:
        database: What it works on.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.settings = Settings(parent=database.settings)
        self.schema = "main"
        self.temporary: frozenset[str] = frozenset()
        self.guard = Guard(self.settings)
        self._primary: tuple[Cursor, set[str]] | None = None
        self._kernel_settings: tuple[tuple[str, str], ...] = ()
        self._primary_route: str | None = None
        self._open: _Open | None = None
        self._savepoints: list[tuple[str, Savepoint]] = []
        self._lock = threading.RLock()
        self._closed = False

    # Running statements

    def execute(
        self, sql: str, parameters: Parameters = None, *, frame: FrameType | None = None
    ) -> Result:
        """Run a script; returns the result of its last statement.

        Args:
            sql: One or more statements; parameters only with one.
            parameters: A sequence for ``?`` and ``$1``, a mapping for ``$name``.
            frame: The caller's frame, to find data frames that the statement names.

        Raises:
            Error: Whatever went wrong; see ``pagelake.errors``.
        """
        self._check_usable()
        with self._lock:
            plan = self.database.plans.get(sql, self.schema)
            if plan is not None:
                return self._run(plan.text, parameters, frame)
            statements = split(sql)
            if not statements:
                return Result(None)
            if len(statements) > 1 and parameters:
                raise InvalidRequest("parameters go with one statement, not with a script")
            for text in statements[:-1]:
                self._run(text, None, frame).close()
            return self._run(statements[-1], parameters, frame)

    def execute_many(self, sql: str, rows: list[object]) -> Result:
        """Run a statement once for each set of parameters, all in one transaction."""
        self._check_usable()
        with self._lock:
            if not rows:
                return Result(None, count=0)
            timing = Timing()
            plan, _ = self._plan(sql, timing)
            if isinstance(plan.statement, st.Insert) and plan.fast_insert is not None:
                with suppress(_NotPlain):
                    return self._writing("INSERT", lambda t: self._insert_fast(t, plan, rows))
            own = self._open is None
            if own:
                self._control(st.TransactionControl("BEGIN"))
            try:
                counts = []
                for parameters in rows:
                    result = self._run(sql, parameters, None)  # type: ignore[arg-type]
                    result.close()
                    counts.append(result.rowcount)
            except BaseException:
                if own:
                    self._control(st.TransactionControl("ROLLBACK"))
                raise
            if own:
                self._control(st.TransactionControl("COMMIT"))
            return Result(None, count=sum(c for c in counts if c > 0))

    def _insert_fast(self, transaction: Transaction, plan: Plan, rows: list[object]) -> Result:
        result = insert.insert_fast(Change(self, transaction), plan, rows)
        if result is None:
            raise _NotPlain
        return result

    def _run(self, text: str, parameters: Parameters, frame: FrameType | None) -> Result:
        begun = time.perf_counter()
        timing = Timing()
        kind = ""
        try:
            if self._open is not None and self._open.aborted and not _ends(text):
                raise TransactionAborted
            plan, cached = self._plan(text, timing)
            kind = type(plan.statement).__name__
            if isinstance(plan.statement, st.Query):
                return query.run(
                    self, plan, parameters, frame, begun=begun, timing=timing, cached=cached
                )
            return self._dispatch(plan, parameters, frame, timing, begun)
        except duckdb.Error as error:
            self.abort(kind)
            raise located(self.translate(error, text), text) from error
        except RuntimeError as error:
            self.abort(kind)
            raise self.translate(error, text) from error
        except Error as error:
            self.abort(kind)
            located(error, text)
            raise

    def _plan(self, text: str, timing: Timing) -> tuple[Plan, bool]:
        """The plan of a statement, from the cache or made now."""
        begun = time.perf_counter()
        plan = self.database.plans.get(text, self.schema)
        cached = plan is not None and self._is_current(plan)
        if plan is None or not cached:
            plan = query.make_plan(self, text)
            if plan.cacheable and not self.temporary and plan.catalog_version < OVERLAY_STAMP:
                self.database.plans.put(self.schema, plan)
        timing.planning_ms += (time.perf_counter() - begun) * 1e3
        return plan, cached

    def _is_current(self, plan: Plan) -> bool:
        return not self.temporary and plan.catalog_version == self.snapshot().catalog_version

    def _dispatch(
        self,
        plan: Plan,
        parameters: Parameters,
        frame: FrameType | None,
        timing: Timing,
        begun: float,
    ) -> Result:
        statement = plan.statement

        def writing(operation: str, run: Callable[[Change], Result | None]) -> Result:
            return self._writing(
                operation, lambda t: run(Change(self, t, parameters, frame)) or Result(None)
            )

        match statement:
            case st.Insert() | st.Update() | st.Delete() if self.is_temporary(statement.target):
                return self._passthrough(plan.sql, parameters)
            case st.Insert():
                result = writing("INSERT", lambda c: insert.insert(c, plan))
            case st.Update():
                result = writing("UPDATE", lambda c: modify.update(c, statement))
            case st.Delete():
                result = writing("DELETE", lambda c: modify.delete(c, statement))
            case st.CopyFrom():
                result = writing("COPY", lambda c: copy.copy_from(c, statement))
            case st.CopyTo():
                result = copy.copy_to(self, statement, parameters, frame)
            case st.CreateTable(temporary=True) | st.CreateView(temporary=True) | st.Temporary():
                result = self._passthrough(plan.sql, parameters)
            case st.CreateTable():
                result = writing("CREATE TABLE", lambda c: ddl.create_table(c, statement))
            case st.Drop() if any(self.is_temporary(name) for name in statement.names):
                result = self._passthrough(plan.sql, parameters)
            case st.CreateView() | st.CreateSchema() | st.Drop() | st.Alter():
                operation = ddl.operation(statement)
                result = writing(operation, lambda c: ddl.change(self, c.transaction, statement))
            case st.Explain():
                result = explain.explain(self, statement, parameters, frame)
            case st.Show() | st.Describe():
                result = describe.describe(self, statement)
            case st.TransactionControl():
                result = self._control(statement)
            case st.SetOption():
                result = self._set(statement)
            case st.Use():
                result = self._use(statement)
            case st.Call():
                result = self._call(statement)
            case st.Other():
                raise Unsupported(f"{statement.verb} is not supported", construct=statement.verb)
            case _:
                raise Unsupported(f"{type(statement).__name__} is not supported")
        total = (time.perf_counter() - begun) * 1e3
        result.timing.planning_ms += timing.planning_ms
        result.timing.kernel_ms += timing.kernel_ms
        result.timing.total_ms += total
        entry = self.database.log.begin(
            plan.text, self.database.store.known_version, plan_cached=False, timing=result.timing
        )
        self.database.log.end(entry, result.rowcount, None)
        return result

    def translate(self, error: BaseException, sql: str) -> Error:
        """A kernel error as one of Pagelake's, with suggestions from the present catalog."""
        catalog = self.catalog()
        columns = {c.name for s in catalog.snapshot.tables.values() for c in s.definition.columns}
        translated = translate(error, sql, columns=columns, tables=catalog.names())
        if translated.code == "corrupt":
            # Only hot segments are files that the kernel reads: the truth is elsewhere.
            self.database.condemn_hot()
        return translated

    # Names

    def snapshot(self) -> Snapshot:
        """What the session sees now: its transaction's snapshot, or the newest."""
        if self._open is not None:
            return self._open.transaction.snapshot
        return self.database.store.snapshot()

    @property
    def private(self) -> str:
        """Id of the open transaction with pending changes, or empty."""
        if self._open is not None and self._open.transaction.snapshot.overlay:
            return self._open.transaction.id
        return ""

    def catalog(self, snapshot: Snapshot | None = None) -> SessionCatalog:
        """Names as the session sees them."""
        return SessionCatalog(
            snapshot or self.snapshot(),
            self.schema,
            self.database.name,
            self.database.system,
            self.temporary,
        )

    def is_temporary(self, name: Name) -> bool:
        """Tell whether a name is one of the session's temporary relations."""
        if len(name.parts) == 2 and name.parts[0].lower() == "temp":
            return True
        return len(name.parts) == 1 and name.last.lower() in self.temporary

    def qualify(self, name: Name, *, existing: bool = False) -> tuple[str, str]:
        """Schema and name of something that a statement creates or changes.

        Args:
            name: The name as it was written.
            existing: It is there already, and may be found as a query would find it.

        Raises:
            UnknownName: The schema or the database does not exist.
            Denied: The schema is reserved.
        """
        parts = list(name.parts)
        if len(parts) == 3 or (
            len(parts) == 2
            and parts[0].lower() == self.database.name.lower()
            and not self.snapshot().has_schema(parts[0])
        ):
            if parts[0].lower() != self.database.name.lower():
                raise UnknownName(
                    f'there is no database "{parts[0]}"',
                    name=parts[0],
                    suggestions=(self.database.name,),
                )
            parts = parts[1:]
        schema = parts[0] if len(parts) == 2 else self.schema
        if schema.lower() in {"pagelake", "catalog", "information_schema", "pg_catalog"}:
            raise Denied(f'the schema "{schema}" is reserved for the system')
        found = next((s for s in self.snapshot().schemas if s.lower() == schema.lower()), None)
        if found is None:
            raise UnknownName(
                f'there is no schema "{schema}"',
                name=schema,
                suggestions=close_matches(schema, self.snapshot().schemas),
            )
        if existing and len(parts) == 1:
            relation = self.catalog().resolve(parts)
            if relation is not None and relation.schema == DEFAULT_SCHEMA:
                return DEFAULT_SCHEMA, parts[0]
        return found, parts[-1]

    # Transactions

    def _writing(self, operation: str, change: Callable[[Transaction], Result]) -> Result:
        """Run a change in the open transaction, or in one of its own that is retried."""
        if self.database.read_only:
            raise Denied(
                f"{operation}: the store was opened read-only", hint="open it without read_only"
            )
        if self._open is not None:
            return change(self._open.transaction)
        patience = time.monotonic() + self.settings.seconds("lock_timeout")
        while True:
            transaction = self.database.store.begin()
            self._open = _Open(transaction, explicit=False)
            try:
                result = change(transaction)
                transaction.commit()
            except Conflict:
                if time.monotonic() >= patience:
                    raise
                time.sleep(_RETRY_PAUSE_S)
                continue
            finally:
                self._open = None
                transaction.rollback()
                if transaction.snapshot.overlay:
                    self.database.router.forget(transaction.id)
            self.database.maintenance.wake()
            return result

    def _control(self, control: st.TransactionControl) -> Result:
        match control.verb:
            case "BEGIN":
                if self._open is not None:
                    raise InvalidRequest("a transaction is open already", hint="COMMIT first")
                self._open = _Open(self.database.store.begin(), explicit=True)
                self._savepoints = []
            case "COMMIT":
                self._commit()
            case "ROLLBACK":
                self._require_open("ROLLBACK")
                self._end()
            case "SAVEPOINT":
                mark = self._require_open("SAVEPOINT").transaction.savepoint()
                self._savepoints.append((str(control.savepoint).lower(), mark))
            case "ROLLBACK TO":
                opened = self._require_open("ROLLBACK TO")
                at = self._savepoint(str(control.savepoint))
                opened.transaction.rollback_to(self._savepoints[at][1])
                opened.aborted = False
                del self._savepoints[at + 1 :]
            case "RELEASE":
                self._require_open("RELEASE")
                del self._savepoints[self._savepoint(str(control.savepoint)) :]
        return Result(None)

    def _require_open(self, verb: str) -> _Open:
        if self._open is None:
            raise InvalidRequest(f"{verb}: no transaction is open", hint="say BEGIN first")
        return self._open

    def _savepoint(self, name: str) -> int:
        for at in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[at][0] == name.lower():
                return at
        raise UnknownName(
            f'there is no savepoint "{name}"',
            name=name,
            suggestions=close_matches(name, [known for known, _ in self._savepoints]),
        )

    def _commit(self) -> None:
        opened = self._require_open("COMMIT")
        if opened.aborted:
            self._end()
            raise TransactionAborted(
                "the transaction was aborted by an earlier error and has been rolled back"
            )
        try:
            opened.transaction.commit()
        finally:
            self._end()
        self.database.maintenance.wake()

    def _end(self) -> None:
        opened, self._open = self._open, None
        self._savepoints = []
        if opened is not None:
            opened.transaction.rollback()
            self.database.router.forget(opened.transaction.id)

    def abort(self, kind: str) -> None:
        """An error inside an explicit transaction aborts it, as in DuckDB."""
        if self._open is not None and self._open.explicit and kind != "TransactionControl":
            self._open.aborted = True

    @property
    def in_transaction(self) -> bool:
        """True between BEGIN and its end."""
        return self._open is not None and self._open.explicit

    def begin(self) -> None:
        """BEGIN, if no transaction is open."""
        with self._lock:
            if self._open is None:
                self._control(st.TransactionControl("BEGIN"))

    def commit(self) -> None:
        """COMMIT, if a transaction is open."""
        with self._lock:
            if self._open is not None:
                self._control(st.TransactionControl("COMMIT"))

    def rollback(self) -> None:
        """ROLLBACK, if a transaction is open."""
        with self._lock:
            if self._open is not None:
                self._control(st.TransactionControl("ROLLBACK"))

    # State

    def _set(self, statement: st.SetOption) -> Result:
        name = statement.name
        if name in KERNEL_SETTINGS:
            self._set_in_kernel(name, statement)
            return Result(None)
        target = self.settings
        if name in SETTINGS and SETTINGS[name].shared:
            target = self.database.settings
        if statement.value is None:
            target.reset(name)
        else:
            value = statement.value.strip()
            if value[:1] in {"'", '"'} and value[-1:] == value[:1]:
                value = value[1:-1].replace(value[-1:] * 2, value[-1:])
            target.set(name, value)
        if target is self.database.settings:
            self.database.apply_settings()
        return Result(None)

    def _set_in_kernel(self, name: str, statement: st.SetOption) -> None:
        """Note a setting of the kernel's; every cursor that the session uses takes it over."""
        cursor = self.database.kernel.cursor()
        try:
            cursor.execute(statement.sql)
        finally:
            cursor.close()
        others = [(known, sql) for known, sql in self._kernel_settings if known != name]
        if statement.value is not None:
            others.append((name, statement.sql))
        self._kernel_settings = tuple(others)
        if self._primary is not None:
            self._primary[0].execute(statement.sql)

    @property
    def kernel_settings(self) -> tuple[str, ...]:
        """Statements that give a kernel cursor the session's settings."""
        return tuple(sql for _, sql in self._kernel_settings)

    def _use(self, statement: st.Use) -> Result:
        parts = list(statement.name.parts)
        if parts[0].lower() == self.database.name.lower():
            parts = parts[1:] or ["main"]
        snapshot = self.snapshot()
        found = next((s for s in snapshot.schemas if s.lower() == parts[-1].lower()), None)
        if found is None or len(parts) > 1:
            raise UnknownName(
                f'there is no schema "{statement.name.dotted}"',
                name=statement.name.dotted,
                suggestions=close_matches(parts[-1], snapshot.schemas),
            )
        self.schema = found
        return Result(None)

    def _call(self, statement: st.Call) -> Result:
        match statement.procedure:
            case "pagelake.checkpoint":
                self.database.store.checkpoint()
            case "pagelake.build_hot_segments":
                self.database.maintenance.build_all()
            case name:
                procedures = ["pagelake.checkpoint", "pagelake.build_hot_segments"]
                raise UnknownName(
                    f'there is no procedure "{name}"',
                    name=name,
                    suggestions=close_matches(name, procedures),
                )
        return Result(None)

    # The session's own kernel connection

    def primary(self) -> Cursor:
        """The kernel cursor that holds the session's temporary relations, aimed at its names."""
        if self._primary is None:
            self._primary = (self.database.kernel.cursor(), set())
            for sql in self.kernel_settings:
                self._primary[0].execute(sql)
        return self._primary[0]

    def _passthrough(self, text: str, parameters: Parameters) -> Result:
        """Run a statement on temporary relations: they are the kernel's own."""
        result = query.run_on_primary(self, text, parameters)
        self.refresh_temporary()
        return result

    def refresh_temporary(self) -> None:
        """Look up which temporary relations the session has."""
        if self._primary is None:
            return
        rows = (
            self._primary[0]
            .execute(
                "SELECT table_name FROM duckdb_tables() WHERE temporary UNION ALL "
                "SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal"
            )
            .fetchall()
        )
        hidden = self._primary[1]
        self.temporary = frozenset(r[0].lower() for r in rows if r[0] not in hidden)

    def registered_on_primary(self) -> set[str]:
        """Names of the streamed leaves registered on the primary cursor."""
        self.primary()
        assert self._primary is not None
        return self._primary[1]

    def interrupt(self) -> None:
        """Cancel what the session runs at the moment; the session stays usable."""
        self.guard.interrupt()

    def statements(self, script: str) -> list[str]:
        """Split a script into statements."""
        return split(script)

    def _check_usable(self) -> None:
        if self._closed or self.database.closed:
            raise Closed("the connection is closed", hint="connect again")
        if os.getpid() != self.database.process:
            raise ForkedConnection(
                "the connection was opened before this process forked",
                hint="call pagelake.connect in the child process",
            )

    def close(self) -> None:
        """Roll back what is open and release everything. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self.database.process:
            return
        with self._lock:
            with suppress(Error):
                self._end()
            if self._primary is not None:
                self._primary[0].close()


def _ends(text: str) -> bool:
    """Tell whether a statement may run in an aborted transaction."""
    first = text.lstrip().split(None, 1)
    return bool(first) and first[0].rstrip(";").upper() in {"ROLLBACK", "ABORT", "COMMIT", "END"}
