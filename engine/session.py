"""A session: the whole path of a statement.

text → split → plan cache, or parse (``sql.statement``) and bind (``sql.binder``) → rules
(``sql.optimizer``) → route at a pinned snapshot (``route``) → kernel → ``Result``; statements
that change something run inside a transaction of the store (``statements/``).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

from ..errors import (
    Closed,
    Denied,
    Error,
    ForkedConnection,
    InvalidRequest,
    ParseError,
    TransactionAborted,
    UnknownName,
    Unsupported,
)
from ..sql import statement as st
from ..sql.names import close_matches
from ..sql.tokens import Name, TokenStream, split
from ..storage.snapshot import OVERLAY_STAMP
from . import query
from .catalog import DEFAULT_SCHEMA, SessionCatalog, temporary_relations
from .guard import Guard
from .kernel_errors import is_hot_damage, located, translate
from .result import Result, Timing
from .settings import KERNEL_SETTINGS, SETTINGS, Settings
from .statements import call, copy, ddl, describe, explain, insert, modify, versions
from .statements.change import Change
from .time_travel import splice
from .transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ..storage.snapshot import Snapshot
    from ..storage.transaction import Transaction
    from .database import Database
    from .kernel import Cursor, Parameters
    from .plan_cache import Plan

_PARAMETERS = {type(None), list, tuple, dict}
"""Usual types of parameters, which need no closer look."""


class _NotPlain(Exception):
    """Some row of many needs the kernel's conversions: they all go the long way."""


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
        self.temporary: Mapping[str, str] = {}
        # Temporary relations, macros or variables: what the session's own cursor alone sees.
        self.has_kernel_state = False
        self.guard = Guard(self.settings)
        self._primary: Cursor | None = None
        self._kernel_settings: tuple[tuple[str, str], ...] = ()
        self.transactions = Transactions(database)
        self._past: Snapshot | None = None
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
        self.check_usable()
        self.database.release_abandoned()
        with self._lock:
            plan = self.database.plans.get(sql, self.schema)
            if plan is not None:
                return self._run(plan.text, parameters, frame)
            statements = self.statements(sql)
            if not statements:
                return Result(None)
            if len(statements) > 1 and parameters:
                raise InvalidRequest("parameters go with one statement, not with a script")
            for text in statements[:-1]:
                self._run(text, None, frame).close()
            return self._run(statements[-1], parameters, frame)

    def execute_many(self, sql: str, rows: list[object]) -> Result:
        """Run a statement once for each set of parameters, all in one transaction."""
        self.check_usable()
        with self._lock:
            if not rows:
                return Result(None, count=0)
            timing = Timing()
            plan, _ = self._plan(sql, timing)
            if isinstance(plan.statement, st.Insert) and plan.fast_insert is not None:
                with suppress(_NotPlain):
                    return self._writing("INSERT", lambda t: self._insert_fast(t, plan, rows))
            own = not self.transactions.is_open
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

    def _run(
        self, text: str, parameters: Parameters, frame: FrameType | None, *, again: bool = False
    ) -> Result:
        begun = time.perf_counter()
        timing = Timing()
        kind = ""
        try:
            if self.transactions.aborted and not _ends(text):
                raise TransactionAborted
            if type(parameters) not in _PARAMETERS:
                _refuse_parameters(parameters)
            plan, cached = self._plan(text, timing)
            kind = type(plan.statement).__name__
            if isinstance(plan.statement, st.Query):
                return query.run(
                    self, plan, parameters, frame, begun=begun, timing=timing, cached=cached
                )
            return self._dispatch(plan, parameters, frame, timing, begun)
        except duckdb.Error as error:
            if is_hot_damage(error) and not self.transactions.is_open and not again:
                self.database.condemn_hot()
                return self._run(text, parameters, frame, again=True)
            self.abort(kind)
            raise located(self.translate(error, text), text) from error
        # The last one is what the kernel's errors become that surface in a stream of batches.
        except (RuntimeError, OSError) as error:
            self.abort(kind)
            raise self.translate(error, text) from error
        except Error as error:
            self.abort(kind)
            located(error, text)
            raise
        except BaseException:
            self.abort(kind)  # interrupted half-way: its effects must not be committed
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
        if self.temporary:
            return False
        # Names are looked up only; a query that answers from the snapshot sees to its durability.
        return plan.catalog_version == self.transactions.latest.catalog_version

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
            case st.Insert() | st.Update() | st.Delete() | st.CopyFrom() if self.is_temporary(
                statement.target
            ):
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
                self.has_kernel_state = True
            case st.CreateTable():
                result = writing("CREATE TABLE", lambda c: ddl.create_table(c, statement))
            case st.CloneTable() | st.RestoreTable() | st.CreateTag() | st.DropTag():
                result = writing(versions.verb(statement), lambda c: versions.run(c, statement))
            case st.Drop() if any(self.is_temporary(name) for name in statement.names):
                result = self._passthrough(plan.sql, parameters)
            case st.Alter() if self.is_temporary(statement.name):
                result = self._passthrough(plan.sql, parameters)
            case st.CreateView() | st.CreateSchema() | st.Drop() | st.Alter():
                operation = ddl.operation(statement)
                result = writing(operation, lambda c: ddl.change(self, c.transaction, statement))
            case st.Explain():
                result = explain.explain(self, statement, parameters, frame)
            case st.Show() | st.Describe():
                result = describe.describe(self, statement)
            case st.TransactionControl():
                self._control(statement)
                result = Result(None)
            case st.SetOption():
                result = self._set(statement)
            case st.Use():
                result = self._use(statement)
            case st.Call():
                result = call.call(self, statement)
            case st.Other():
                raise Unsupported(f"{statement.verb} is not supported", construct=statement.verb)
            case _:
                raise Unsupported(f"{type(statement).__name__} is not supported")
        self._note(plan, result, timing, begun)
        return result

    def _note(self, plan: Plan, result: Result, timing: Timing, begun: float) -> None:
        """Tell the query log of a statement that was run."""
        result.timing.planning_ms += timing.planning_ms
        result.timing.kernel_ms += timing.kernel_ms
        result.timing.total_ms += (time.perf_counter() - begun) * 1e3
        entry = self.database.log.begin(
            plan.text, self.database.store.known_version, plan_cached=False, timing=result.timing
        )
        self.database.log.end(entry, result.rowcount, None)

    def translate(self, error: BaseException, sql: str) -> Error:
        """A kernel error as one of Pagelake's, with suggestions from the present catalog."""
        catalog = self.catalog()
        columns = {c.name for s in catalog.snapshot.tables.values() for c in s.definition.columns}
        translated = translate(error, sql, columns=columns, tables=catalog.names())
        if is_hot_damage(error):
            self.database.condemn_hot()
        return translated

    # Names

    def snapshot(self) -> Snapshot:
        """What the session sees now: its transaction's snapshot, or the newest."""
        return self._past or self.transactions.snapshot

    def stay_at(self, version: int) -> None:
        """Read everything as of a version from now on, which stays readable meanwhile.

        Raises:
            SnapshotGone: There is no such version, or it was reclaimed.
        """
        store = self.database.store
        store.pins.pin(version)
        try:
            self._past = store.snapshot_at(version)
        except BaseException:
            store.pins.unpin(version)
            raise

    @property
    def private(self) -> str:
        """Id of the open transaction with pending changes, or empty."""
        return self.transactions.private

    def catalog(self, snapshot: Snapshot | None = None) -> SessionCatalog:
        """Names as the session sees them."""
        return SessionCatalog(
            snapshot or self.snapshot(),
            self.schema,
            self.database.name,
            self.database.system,
            self.temporary,
            self.database.store.snapshot_at,
            lambda sql, catalog: splice(self, sql, catalog).sql,
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
        self.require_present(operation)
        patience_s = self.settings.seconds("lock_timeout")
        alone = not self.transactions.explicit

        def signed(transaction: Transaction) -> Result:
            if alone:
                self._sign(transaction)
                if self.settings.get("default_transaction_isolation") == "serializable":
                    transaction.make_serializable()
            return change(transaction)

        result = self.transactions.write(operation, patience_s, signed)
        if alone:
            self.settings.reset("commit_message")
        return result

    def _control(self, control: st.TransactionControl) -> None:
        """Run BEGIN, COMMIT and the like."""
        opened = self.transactions.current
        if control.verb == "COMMIT" and opened is not None:
            self._sign(opened)
        self.transactions.control(control)
        if control.verb == "COMMIT":
            self.settings.reset("commit_message")
        if control.verb == "BEGIN" and (begun := self.transactions.current) is not None:
            level = control.isolation or self.settings.get("default_transaction_isolation")
            if level == "serializable":
                begun.make_serializable()

    def _sign(self, transaction: Transaction) -> None:
        """Give a transaction the author and the message that the user has set."""
        transaction.author = str(self.settings.get("author")) or None
        transaction.message = str(self.settings.get("commit_message")) or None

    def require_present(self, operation: str) -> None:
        """Refuse a change where the past is read.

        Raises:
            Denied: The connection was opened as of a version.
        """
        if self._past is not None:
            raise Denied(
                f"{operation}: the connection reads version {self._past.version}",
                hint="connect without at to change something",
            )

    def abort(self, kind: str) -> None:
        """An error inside an explicit transaction aborts it, as in DuckDB."""
        if kind != "TransactionControl":
            self.transactions.abort()

    @property
    def in_transaction(self) -> bool:
        """True between BEGIN and its end."""
        return self.transactions.explicit

    def begin(self) -> None:
        """BEGIN, if no transaction is open."""
        self.check_usable()
        with self._lock:
            if not self.transactions.is_open:
                self._control(st.TransactionControl("BEGIN"))

    def commit(self) -> None:
        """COMMIT, if a transaction is open."""
        self.check_usable()
        with self._lock:
            if self.transactions.is_open:
                self._control(st.TransactionControl("COMMIT"))

    def rollback(self) -> None:
        """ROLLBACK, if a transaction is open."""
        self.check_usable()
        with self._lock:
            if self.transactions.is_open:
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
        reset = statement.value is None
        # Some of them would be the whole instance's if SESSION were not said.
        sql = f"RESET {name}" if reset else f"SET SESSION {name} = {statement.value}"
        cursor = self.database.kernel.cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()
        others = [(known, text) for known, text in self._kernel_settings if known != name]
        self._kernel_settings = tuple(others if reset else [*others, (name, sql)])
        if self._primary is not None:
            self._primary.execute(sql)

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

    # The session's own kernel connection

    def primary(self) -> Cursor:
        """The kernel cursor that holds the session's temporary relations, aimed at its names."""
        if self._primary is None:
            self._primary = self.database.kernel.cursor()
            for sql in self.kernel_settings:
                self._primary.execute(sql)
        return self._primary

    def _passthrough(self, text: str, parameters: Parameters) -> Result:
        """Run a statement on temporary relations: they are the kernel's own."""
        result = query.run_on_primary(self, text, parameters)
        self.refresh_temporary()
        return result

    def refresh_temporary(self) -> None:
        """Look up which temporary relations the session has."""
        if self._primary is None:
            return
        self.temporary = temporary_relations(self._primary)

    def interrupt(self) -> None:
        """Cancel what the session runs at the moment; the session stays usable."""
        self.guard.interrupt()

    def statements(self, script: str) -> list[str]:
        """Split a script into statements."""
        try:
            return split(script)
        except ParseError:
            try:
                self.database.kernel.statement_kind(script)
            except duckdb.Error as error:
                raise self.translate(error, script) from error  # it knows the place better
            raise

    def check_usable(self) -> None:
        """Raise when the session or its database is closed, or belongs to another process."""
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
                self.transactions.end()
            if self._primary is not None:
                self._primary.close()
            if self._past is not None:
                self.database.store.pins.unpin(self._past.version)


def _refuse_parameters(parameters: object) -> None:
    """Refuse what is neither a sequence nor a mapping; a text is not meant as its letters."""
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence | Mapping):
        raise InvalidRequest(
            f"parameters cannot be a {type(parameters).__name__}",
            hint="pass a list for ? and $1, a dictionary for $name",
        )


def _ends(text: str) -> bool:
    """Tell whether a statement may run in an aborted transaction."""
    return TokenStream(text).word() in {"ROLLBACK", "ABORT", "COMMIT", "END"}
