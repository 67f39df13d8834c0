"""A session: the whole path of a statement.

text → split → plan cache, or parse (``sql.statement``) and bind (``sql.binder``) → rules
(``sql.optimizer``) → route at a pinned snapshot (``route``) → kernel → ``Result``; statements
that change something run inside a transaction of the store (``statements/``).
"""

from __future__ import annotations

import os
import threading
import time
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
)
from ..sql import statement as st
from ..sql.names import close_matches
from ..sql.tokens import Name, TokenStream
from ..storage.schema_path import joined
from ..storage.snapshot import OVERLAY_STAMP
from . import query
from .catalog import DEFAULT_SCHEMA, SessionCatalog, require_changeable, temporary_relations
from .files import statements as file_statements
from .guard import Guard
from .kernel_errors import is_hot_damage, located, statements_of, translate
from .keys import index_statements, point_run
from .native import at_hand, mirror, objects
from .native.temporary_undo import TemporaryUndo
from .result import Result, Timing
from .settings import Settings
from .statements import (
    attached,
    copy,
    ddl,
    describe,
    drop,
    explain,
    insert,
    modify,
    prepared,
    state,
    versions,
)
from .statements.change import Change
from .statements.prepared import USUAL, refuse_parameters
from .statements.version_parameters import bind_versions
from .time_travel import splice
from .transactions import Transactions, ends_transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from ..storage.snapshot import Snapshot
    from ..storage.transaction import Transaction
    from .database import Database
    from .kernel import Cursor, Parameters
    from .plan_cache import Plan


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
        self._temporary_undo: TemporaryUndo | None = None
        self.prepared: dict[str, str] = {}
        self.outside = False
        self.importing = False
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
            plan, _ = self._plan(bind_versions(sql, rows[0])[0], timing)  # type: ignore[arg-type]
            if isinstance(plan.statement, st.Insert) and plan.fast_insert is not None:
                with suppress(_NotPlain):
                    return self.writing(
                        "INSERT", lambda t: self._insert_fast(t, plan, rows), blind=plan.blind
                    )
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
        quick = insert.insert_fast if plan.files is None else file_statements.insert_fast
        result = quick(Change(self, transaction), plan, rows)
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
            if self.transactions.aborted and not ends_transaction(text):
                raise TransactionAborted
            if type(parameters) not in USUAL:
                refuse_parameters(parameters)
            if self.outside and TokenStream(text).word() not in {"USE", "ATTACH", "DETACH"}:
                return attached.run_outside(self, text, parameters)
            if parameters is None and self.has_kernel_state and "$" in text:
                text = prepared.with_variables(self, text)
            text, parameters = bind_versions(text, parameters)
            plan, cached = self._plan(text, timing)
            kind = type(plan.statement).__name__
            if isinstance(plan.statement, st.Query):
                return point_run.run(
                    self, plan, parameters, frame, begun=begun, timing=timing, cached=cached
                )
            return self._dispatch(plan, parameters, frame, timing, begun)
        except duckdb.Error as error:
            if is_hot_damage(error) and not self.transactions.is_open and not again:
                self.database.condemn_hot()
                return self._run(text, parameters, frame, again=True)
            self.abort(kind, error)
            raise located(self.translate(error, text), text) from error
        # The last one is what the kernel's errors become that surface in a stream of batches.
        except (RuntimeError, OSError, MemoryError) as error:
            self.abort(kind)
            raise self.translate(error, text) from error
        except Error as error:
            self.abort(kind, error)
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
        return plan.catalog_version == self.transactions.names.catalog_version

    def _dispatch(
        self,
        plan: Plan,
        parameters: Parameters,
        frame: FrameType | None,
        timing: Timing,
        begun: float,
    ) -> Result:
        statement = plan.statement

        def writing(
            operation: str, run: Callable[[Change], Result | None], *, blind: bool = False
        ) -> Result:
            def changed(transaction: Transaction) -> Result:
                return run(Change(self, transaction, parameters, frame)) or Result(None)

            return self.writing(operation, changed, blind=blind)

        match statement:
            case _ if attached.is_kernels_own(self, statement):
                result = self.pass_through(plan.sql, parameters, frame)
            case st.Native(verb="READ"):
                result = mirror.run_reading(self, statement, parameters, frame)
            case st.Insert() | st.Update() | st.Delete() if plan.files is not None:
                result = writing(plan.verb, lambda c: file_statements.run(c, plan))
            case st.Native():
                result = writing(statement.verb, lambda c: mirror.run_native(c, statement))
            case st.Insert():
                result = writing("INSERT", lambda c: insert.insert(c, plan), blind=plan.blind)
            case st.Update():
                result = writing("UPDATE", lambda c: modify.update(c, statement))
            case st.Delete():
                result = writing("DELETE", lambda c: modify.delete(c, statement))
            case st.CopyFrom():
                result = writing("COPY", lambda c: copy.copy_from(c, statement))
            case st.CopyTo():
                result = copy.copy_to(self, statement, parameters, frame)
            case st.CreateTable(temporary=True, query=asked) if at_hand.is_needed(self, asked):
                result = at_hand.create_temporary(self, statement, plan.sql, frame)
            case st.CreateTable(temporary=True) | st.CreateView(temporary=True) | st.Temporary():
                result = self.pass_through(plan.sql, parameters, frame)
                self.has_kernel_state = True
            case st.CreateTable():
                result = writing("CREATE TABLE", lambda c: ddl.create_table(c, statement))
            case st.CloneTable() | st.RestoreTable() | st.CreateTag() | st.DropTag():
                result = writing(versions.verb(statement), lambda c: versions.run(c, statement))
            case st.Drop():
                operation = f"DROP {statement.kind}"
                result = writing(operation, lambda c: drop.drop(c, statement, plan.sql))
            case st.CreateView() | st.CreateSchema() | st.Alter():
                operation = ddl.operation(statement)
                result = writing(operation, lambda c: ddl.change(self, c.transaction, statement))
            case st.CreateIndex() | st.DropIndex():
                result = writing(statement.operation, lambda c: index_statements.run(c, statement))
            case st.AboutQuery():
                result = describe.about_query(self, statement, parameters)
            case st.Explain():
                result = explain.explain(self, statement, parameters, frame)
            case st.TransactionControl():
                self._control(statement)
                result = Result(None)
            case st.ExecutePrepared():
                return self._run(prepared.text_of(self, statement), None, frame)
            case st.CatalogChange():
                operation = f"{statement.verb} {statement.kind}"
                result = writing(operation, lambda c: objects.change_catalog(c, statement))
            case _:
                result = state.run(self, statement)
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
        # The temporary relations' schema is called main too, and comes first.
        is_main = len(name.parts) == 2 and name.parts[0].lower() == DEFAULT_SCHEMA
        return (is_main or len(name.parts) == 1) and name.last.lower() in self.temporary

    def qualify(self, name: Name, *, existing: bool = False) -> tuple[str, str]:
        """Schema and name of something that a statement creates or changes.

        Args:
            name: The name as it was written.
            existing: It is there already, and may be found as a query would find it.

        Raises:
            UnknownName: The schema or the database does not exist.
            Denied: The schema is reserved.
            InvalidRequest: It is the past.
        """
        parts = list(name.parts)
        outside = len(parts) > 2 and parts[0].lower() != self.database.name.lower()
        if outside and self.snapshot().has_schema(parts[0]):
            parts = [joined(*parts[:-1]), parts[-1]]
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
        require_changeable(schema, importing=self.importing)
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

    def writing(
        self, operation: str, change: Callable[[Transaction], Result], *, blind: bool = False
    ) -> Result:
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

        result = self.transactions.write(operation, patience_s, signed, blind=blind)
        if alone:
            self.settings.reset("commit_message")
        return result

    def _control(self, control: st.TransactionControl) -> None:
        """Run BEGIN, COMMIT and the like."""
        opened = self.transactions.current
        if control.verb == "COMMIT" and opened is not None:
            self._sign(opened)
        undo = control.verb != "COMMIT" or self.transactions.aborted
        try:
            self.transactions.control(control)
        except BaseException:
            undo = True
            raise
        finally:
            if not self.transactions.explicit:
                self._end_temporary(undo=undo)
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

    def abort(self, kind: str, error: BaseException | None = None) -> None:
        """An error inside an explicit transaction aborts it, as in DuckDB.

        Where the session says so, errors in the text of a statement do not.
        """
        textual = isinstance(error, ParseError | UnknownName | duckdb.BinderException)
        textual = textual or isinstance(error, duckdb.CatalogException | duckdb.ParserException)
        if kind != "TransactionControl" and not (self.database.forgives and textual):
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

    def set_in_kernel(self, name: str, sql: str, is_local: bool) -> None:
        """Change a setting of the kernel's; every cursor that the session uses takes it over."""
        others = [(known, text) for known, text in self._kernel_settings if known != name]
        added = [(name, sql)] if is_local and not sql.startswith("RESET") else []
        self._kernel_settings = (*others, *added)
        if not added:
            self.database.results.forget()  # it may hold for all, or hold no more
        if is_local and self._primary is not None:
            self._primary.execute(sql)

    def tell_kernel(self, sql: str) -> None:
        """Let every cursor that the session uses run a statement."""
        self._kernel_settings = (*self._kernel_settings, (sql, sql))
        self.database.results.forget()
        if self._primary is not None:
            self._primary.execute(sql)

    @property
    def kernel_settings(self) -> tuple[str, ...]:
        """Statements that give a kernel cursor the session's settings."""
        return tuple(sql for _, sql in self._kernel_settings)

    # The session's own kernel connection

    def primary(self) -> Cursor:
        """The kernel cursor that holds the session's temporary relations, aimed at its names."""
        if self._primary is None:
            self._primary = self.database.kernel.cursor()
            for sql in self.kernel_settings:
                self._primary.execute(sql)
        return self._primary

    def pass_through(
        self, text: str, parameters: Parameters, frame: FrameType | None = None
    ) -> Result:
        """Run a statement on temporary relations: they are the kernel's own."""
        if self.transactions.explicit:
            if self._temporary_undo is None:
                self._temporary_undo = TemporaryUndo(self.database.kernel, self.primary())
            self._temporary_undo.keep(text)
        result = query.run_on_primary(self, text, parameters, frame=frame)
        self.refresh_temporary()
        return result

    def _end_temporary(self, *, undo: bool) -> None:
        """Let the end of a transaction decide on what it did to temporary relations."""
        changed, self._temporary_undo = self._temporary_undo, None
        if changed is None:
            return
        if undo:
            changed.undo()
            self.refresh_temporary()
        else:
            changed.forget()

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
        return statements_of(self, script)

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
