"""Queries: from a text to a running kernel statement over the leaves of one snapshot."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb

from ..errors import Corrupt, Error, Interrupted, ParseError, SnapshotGone, UnknownName
from ..sql import statement as st
from ..sql.binder import bind
from ..sql.classify import classify
from ..sql.logical import LogicalPlan
from ..sql.names import close_matches
from ..sql.nested_names import NestedSchemas
from ..sql.optimizer import optimize
from ..sql.provider import RelationKind
from ..sql.qualified_columns import without_database, without_schema
from ..sql.references import without_versions
from ..storage.row_group import stored_schema
from .caller_scope import find_object, names_in_scope
from .files.late_content import with_late_content
from .files.path_query import compile_path_query
from .files.target import compiled_insert, target_of
from .kernel_errors import is_hot_damage, located
from .keys.point_query import compile_point_query
from .leaves.catalog_leaf import narrow
from .leaves.transaction_time import asks_time, start_clock, stop_clock
from .native.about_queries import is_about_query
from .native.decision import as_native
from .plan_cache import Plan
from .result import Execution, Result, Timing
from .result_cache.serving import recall
from .statements.fast_insert import compile_insert
from .time_travel import Spliced, splice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    import pyarrow as pa

    from ..sql.tokens import Name
    from ..storage.snapshot import Snapshot
    from .catalog import SessionCatalog
    from .kernel import Cursor, Parameters
    from .leaves.leaf_source import LeafSource
    from .leaves.route import Route
    from .session import Session

_FILE = re.compile(r"[/*?]|\.(parquet|csv|tsv|json|jsonl|ndjson|gz|zst|txt)$", re.IGNORECASE)
_SEED = re.compile(r"\bsetseed\s*\(", re.IGNORECASE)
_KERNEL_NAMES = re.compile(r"^(duckdb_|pragma_|sqlite_|pg_)", re.IGNORECASE)
_KERNEL_SCHEMAS = {"information_schema", "pg_catalog"}
_OWN_SYNTAX = re.compile(
    r"^\s*(SAVEPOINT|RELEASE|ROLLBACK\s+(TRANSACTION\s+|WORK\s+)?TO|CALL|SHOW|DESC|DESCRIBE|USE"
    r"|SET|RESET|START|BEGIN|END|RESTORE|(CREATE|DROP)\s+TAG|CREATE\s+DIRECTORY)\b"
    r"|^\s*CREATE\b.*\b(CLONE|CLUSTER\s+BY)\b|^\s*ALTER\b.*\bCLUSTER\s+BY\b",
    re.IGNORECASE | re.DOTALL,
)
_VIEW = re.compile(r"^\s*CREATE\s+(OR\s+REPLACE\s+)?((SECURE|RECURSIVE)\s+)*VIEW\b", re.IGNORECASE)


def make_plan(session: Session, text: str, snapshot: Snapshot | None = None) -> Plan:
    """Plan a statement: what it is and, for a query, what it reads.

    Args:
        session: The session.
        text: The statement.
        snapshot: Names to plan against; what the session sees now by default.

    Raises:
        ParseError: The text is not SQL.
        UnknownName: It names a relation that does not exist.
    """
    snapshot = snapshot or session.snapshot()
    catalog = session.catalog(snapshot)
    sql, lasting = _for_kernel(session, text, catalog)
    sql, changing = _classified(session, sql)
    statement = as_native(session, changing, sql, snapshot)
    if isinstance(statement, st.Query):
        sql = statement.sql
    plan = Plan(text, statement, snapshot.catalog_version, sql=sql)
    if isinstance(statement, st.Query):
        plan.sql = with_late_content(plan.sql, catalog)
        point = compile_point_query(plan.sql, catalog.resolve, snapshot)
        if point is None:
            plan.logical = optimize(bind(plan.sql, catalog))
            plan.path_query = compile_path_query(plan.sql, catalog)
            if is_about_query(session, plan.logical, snapshot):
                plan.statement = st.AboutQuery(plan.sql)
        else:
            plan.point_query, plan.logical = point
        plan.cacheable = lasting and not plan.logical.foreign and plan.statement is statement
        if _SEED.search(plan.sql):
            # What follows takes its random numbers where the seed was set.
            session.has_kernel_state, plan.cacheable = True, False
    elif (target_of_files := target_of(session, statement)) is not None:
        plan.files = target_of_files
        if isinstance(statement, st.Insert):
            plan.fast_insert = compiled_insert(statement)
        plan.cacheable = plan.fast_insert is not None
    elif isinstance(statement, st.Insert):
        plan.cacheable = False
        target = None if session.is_temporary(statement.target) else snapshot.table(
            *_qualified(session, statement.target)
        )  # fmt: skip
        if target is not None:
            schema = stored_schema(target.definition.columns)
            plan.fast_insert = compile_insert(statement, target.definition, schema)
            plan.cacheable = plan.fast_insert is not None
    else:
        plan.cacheable = False
    return plan


def _classified(session: Session, sql: str) -> tuple[str, st.Statement]:
    """What a text asks for, columns of the table that it changes without the table's schema."""
    statement = classify(sql)
    if isinstance(statement, st.Insert | st.Update | st.Delete):
        shorter = without_schema(sql, *_qualified(session, statement.target))
        if shorter != sql:
            return shorter, classify(shorter)
    return sql, statement


def nested_schemas(session: Session, snapshot: Snapshot) -> NestedSchemas:
    """The schemas within schemas that a session's statements may name."""

    def has(schema: str, name: str) -> bool:
        if snapshot.table(schema, name) is not None or snapshot.view(schema, name) is not None:
            return True
        folded = (schema.lower(), name.lower())
        return any(key[1:] == folded for key in snapshot.entries)

    database = session.database
    return NestedSchemas(snapshot.schemas, database.attached, database.name, has)


def _for_kernel(session: Session, text: str, catalog: SessionCatalog) -> tuple[str, bool]:
    """A statement's text as the kernel understands it, and whether it means the same next time.

    Raises:
        ParseError: The text is not SQL.
    """
    nested = nested_schemas(session, catalog.snapshot)
    if _OWN_SYNTAX.match(text):
        text = nested.flattened(text)
        reads = isinstance(classify(text), st.Query | st.CreateTable)
        spliced = splice(session, text, catalog) if reads else Spliced(text)
        sql = without_database(spliced.sql, session.database.name, catalog)
        return sql, spliced.lasting
    _check_syntax(session, without_versions(text))
    text = nested.flattened(text)
    spliced = splice(session, text, catalog)
    # A view keeps its references to versions, and its tags mean what they mean when it is read.
    kept = text if _VIEW.match(text) else spliced.sql
    return without_database(kept, session.database.name, catalog), spliced.lasting


def _check_syntax(session: Session, sql: str) -> None:
    try:
        session.database.kernel.parse(sql)
    except duckdb.Error as error:
        raise session.translate(error, sql) from error


def _qualified(session: Session, name: Name) -> tuple[str, str]:
    try:
        return session.qualify(name, existing=True)
    except Error:
        return ("", "")


def run(
    session: Session,
    plan: Plan,
    parameters: Parameters,
    frame: FrameType | None,
    *,
    begun: float,
    timing: Timing,
    cached: bool,
) -> Result:
    """Route a planned query and hand it to the kernel; the result runs when it is read."""
    assert plan.logical is not None
    if session.has_kernel_state:
        return run_on_primary(session, plan.sql, parameters, plan.logical, frame)
    snapshot = session.snapshot()
    if snapshot.catalog_version != plan.catalog_version:
        # Somebody changed names between planning and now: plan for what will be read.
        plan = make_plan(session, plan.text, snapshot)
    logical, recording = plan.logical, None
    assert logical is not None
    if session.database.results.bytes_max:
        kept = recall(session, plan, snapshot, parameters, timing, cached=cached)
        if isinstance(kept, Result):
            return kept
        recording = kept
    try:
        opened = open_route(session, logical, frame, snapshot)
    except Corrupt as error:
        raise _taken_away(session, error, logical, snapshot) from error
    given = recording.parameters if recording else parameters
    sql, bound = _narrow(opened, session, logical, plan.sql, given)
    if session.guard.is_observed:
        session.guard.reads = (opened.route, logical)
    entry = session.database.log.begin(
        plan.text, snapshot.version, plan_cached=cached, timing=timing
    )

    def finish(rows: int, error: BaseException | None, drained: bool) -> None:
        opened.close(drained=drained and error is None)
        session.database.log.end(entry, rows, error)
        if error is not None:
            session.abort("Query", error)

    def over_the_truth(error: BaseException) -> Cursor | None:
        nonlocal opened
        if not is_hot_damage(error):
            return None
        session.database.condemn_hot()
        opened.close(drained=False)
        opened = open_route(session, logical, frame, snapshot)
        # The narrower text may name what is damaged.
        execution.sql, execution.parameters = plan.sql, given
        return opened.cursor

    execution = Execution(
        opened.cursor,
        sql,
        bound,
        finish,
        session.database.abandoned.append,
        lambda error: _taken_away(
            session, _translated(session, error, plan.text), logical, snapshot
        ),
        lambda: session.guard.watch(opened.cursor),
        over_the_truth,
    )
    timing.total_ms += (time.perf_counter() - begun) * 1e3
    result = recording.result(execution, timing) if recording else Result(execution, timing=timing)
    result._explain = lambda: _explained(session, plan.text)
    return result


def _narrow(
    opened: OpenRoute, session: Session, logical: LogicalPlan, sql: str, parameters: Parameters
) -> tuple[str, Parameters]:
    """Narrow a statement to the rows that it can be about, or give the route back."""
    route = opened.route
    try:
        return narrow(session, logical, sql, parameters, route.snapshot, route)
    except BaseException:
        opened.close(drained=False)
        raise


def _explained(session: Session, text: str) -> str:
    rows = session.execute(f"EXPLAIN {text}").fetchall()
    return "\n".join(str(row[-1]) for row in rows)


def _translated(session: Session, error: BaseException, text: str) -> BaseException:
    if isinstance(error, OSError) and "INTERRUPT Error" in str(error):
        return Interrupted("the statement was cancelled")  # as a stream of batches reports it
    if isinstance(error, Error) or not isinstance(error, duckdb.Error | RuntimeError | OSError):
        return error
    return located(session.translate(error, text), text)


def _taken_away(
    session: Session, error: BaseException, logical: LogicalPlan, snapshot: Snapshot
) -> BaseException:
    """Damage as what it is where somebody has reclaimed what a reader without a pin reads."""
    store = session.database.store
    versions = {snapshot.version, *(r.version for r in logical.relations if r.version is not None)}
    gone = [version for version in versions if store.was_taken_away(version)]
    if not isinstance(error, Corrupt) or not gone:
        return error
    return SnapshotGone(
        f"version {min(gone)} was reclaimed while it was read",
        hint="run the statement again; where the store's directory can be written, readers keep "
        "the versions that they read",
    )


class OpenRoute:
    """A kernel cursor on which a statement's names resolve, until it is closed."""

    __slots__ = (
        "_clock_stands",
        "_kind",
        "_names",
        "_pinned",
        "_primary",
        "_reader",
        "_registered",
        "_route",
        "_session",
        "cursor",
    )

    def __init__(
        self, session: Session, route: Route, pinned: Sequence[int], *, primary: bool
    ) -> None:
        self._session = session
        self._route = route
        self._pinned = pinned
        self._kind = (session.schema, session.kernel_settings)
        self._names: list[str] = []
        self._primary = primary
        self._reader: pa.RecordBatchReader | None = None
        self._clock_stands = False
        if not primary:
            self.cursor, self._registered = route.cursor(self._kind)
            return
        self.cursor, self._registered = session.primary(), set[str]()
        with suppress(duckdb.Error):
            self.cursor.abort()  # whatever an interrupted statement left behind
        route.aim(self.cursor, session.schema)
        route.register(self.cursor, self._registered)

    @property
    def route(self) -> Route:
        """The route."""
        return self._route

    @property
    def registered(self) -> set[str]:
        """Names of the streamed leaves registered on the cursor."""
        return self._registered

    def register(self, name: str, value: object) -> None:
        """Let a name mean an object of the caller."""
        self.cursor.register(name, value)
        self._names.append(name)

    def stop_clock(self, begun_us: int) -> None:
        """Let the statement tell a time in microseconds since 1970 for the present one."""
        self._clock_stands = True
        stop_clock(self.cursor, begun_us)

    def put_over(self, name: str, source: LeafSource) -> None:
        """Let this statement alone read something else under the name of a streamed leaf."""
        self._registered.discard(name)
        self.register(name, source)

    def hold(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """Take note of a stream of the cursor's, to be ended with it."""
        self._reader = reader
        return reader

    def close(self, *, drained: bool) -> None:
        """Give cursor and route back."""
        cursor = self.cursor
        try:
            if self._primary:
                if not drained:
                    if self._reader is not None:
                        self._reader.close()  # whoever failed over it may hold it still
                    with suppress(duckdb.Error):
                        cursor.abort()
                for name in (*self._names, *self._registered):
                    cursor.unregister(name)
                if self._clock_stands:
                    start_clock(cursor)
                cursor.execute("USE memory")  # the route may go before the cursor is used again
                return
            if not drained or self._clock_stands:
                # Rows are left: the cursor cannot run anything else before they are dropped.
                # Nor can one whose clock stands be of use to other transactions.
                cursor.close()
                return
            for name in self._names:
                cursor.unregister(name)
            self._route.give_back(cursor, self._registered, self._kind)
        finally:
            self._session.database.router.release(self._route)
            unpin(self._session, self._pinned)


def open_route(
    session: Session,
    logical: LogicalPlan,
    frame: FrameType | None,
    snapshot: Snapshot,
    *,
    primary: bool = False,
) -> OpenRoute:
    """Make the views that a plan needs, and a cursor that sees them.

    Args:
        session: The session; while the kernel keeps state for it, only its own cursor sees that.
        logical: What is read.
        frame: The caller's frame, to find objects that the statement names.
        snapshot: The snapshot to read.
        primary: Use the session's own cursor in any case.

    Raises:
        UnknownName: A name is neither a relation nor a file nor an object of the caller.
    """
    objects = _caller_objects(session, logical.foreign, frame)
    router = session.database.router
    pinned = pin(session, logical, snapshot)
    transaction = session.transactions.current
    if transaction is not None:
        for leaf in logical.leaves:
            if leaf.relation.kind is RelationKind.TABLE and leaf.relation.version is None:
                transaction.note_read(leaf.relation.key)
    try:
        route = router.hold(snapshot, session.private)
        try:
            route.ensure(logical.relations)
            opened = OpenRoute(session, route, pinned, primary=primary or session.has_kernel_state)
        except BaseException:
            router.release(route)
            raise
    except BaseException:
        unpin(session, pinned)
        raise
    try:
        begun_us = session.transactions.begun_us
        if begun_us is not None and asks_time(logical, snapshot):
            opened.stop_clock(begun_us)
        for name, value in objects.items():
            opened.register(name, value)
        for relation in logical.relations:
            if relation.kind is RelationKind.SYSTEM and relation.name == "settings":
                source = session.database.settings_leaf(snapshot, session.settings)
                opened.put_over(route.source_name(relation), source)
    except BaseException:
        opened.close(drained=False)
        raise
    return opened


def pin(session: Session, logical: LogicalPlan, snapshot: Snapshot) -> tuple[int, ...]:
    """Keep what a plan reads from being reclaimed, by any process, until ``unpin``.

    Raises:
        SnapshotGone: It was reclaimed already.
    """
    store = session.database.store
    versions = {snapshot.version}
    for relation in logical.relations:
        if relation.version is not None:
            first = relation.since - 1 if relation.kind is RelationKind.CHANGES else None
            versions |= {relation.version} if first is None else {relation.version, first}
    pinned: list[int] = []
    try:
        for version in versions:
            store.pins.pin(version)
            pinned.append(version)
            store.require_kept(version)
    except BaseException:
        unpin(session, pinned)
        raise
    return tuple(pinned)


def unpin(session: Session, pinned: Sequence[int]) -> None:
    """Let go of versions that ``pin`` kept."""
    for version in pinned:
        session.database.store.pins.unpin(version)


def _caller_objects(
    session: Session, foreign: Sequence[str], frame: FrameType | None
) -> dict[str, object]:
    """Objects of the caller for the names that no relation has."""
    objects: dict[str, object] = {}
    for name in foreign:
        if _FILE.search(name) or _KERNEL_NAMES.match(name):
            continue
        if name.split(".")[0].lower() in _KERNEL_SCHEMAS | session.database.attached:
            continue
        value = find_object(name, frame)
        if value is None:
            candidates = [*session.catalog().names(), *names_in_scope(frame)]
            if name.lower().startswith("pagelake."):
                candidates = [f"pagelake.{n}" for n in session.database.system]
            last = name if name.lower().startswith("pagelake.") else name.split(".")[-1]
            raise UnknownName(
                f'there is no table or view "{name}"',
                name=name,
                suggestions=close_matches(last, candidates),
            )
        objects[name] = value
    return objects


def bind_text(session: Session, sql: str, snapshot: Snapshot) -> LogicalPlan:
    """Bind a query that Pagelake put together itself."""
    return optimize(bind(sql, session.catalog(snapshot)))


def run_on_primary(
    session: Session,
    sql: str,
    parameters: Parameters,
    logical: LogicalPlan | None = None,
    frame: FrameType | None = None,
) -> Result:
    """Run a statement on the session's own kernel cursor, where its temporary relations are."""
    from .statements.change import restored, storing  # they refer to each other

    snapshot = session.snapshot()
    is_change = logical is None
    if logical is None:
        try:
            logical = bind_text(session, sql, snapshot)
        except ParseError:
            logical = LogicalPlan(sql, ())
        # A name that nothing has is the one to be created, or the kernel says what is wrong.
        found = tuple(name for name in logical.foreign if find_object(name, frame) is not None)
        logical = replace(logical, foreign=found)
    elif logical.ranges:
        sql, parameters = narrow(session, logical, sql, parameters, snapshot)
    opened = open_route(session, logical, frame, snapshot, primary=True)
    if session.guard.one_result and not is_change:
        return _streamed(session, sql, parameters, opened)
    drained, table = False, None
    try:
        with session.guard.watch(opened.cursor):
            # Read at once: the next statement of the session needs the same cursor.
            answer: Any = (  # None for a statement without rows, whatever the stubs say
                opened.cursor.sql(sql)
                if parameters is None
                else opened.cursor.sql(sql, params=parameters)
            )
            if answer is not None:
                # UUID, ENUM, BIT and others would lose their type or their values in Arrow.
                names, types = list(answer.columns), [str(kind) for kind in answer.types]
                table = answer.project(storing(types)).to_arrow_table()
        drained = True
    finally:
        opened.close(drained=drained)
    if table is None:
        return Result(None)
    if is_change and names in (["Count"], ["Success"]):
        if not table.num_rows:  # CREATE, DROP
            return Result(None)
        return Result(None, count=int(table.column(0)[0].as_py()))
    return restored(session, table, names, types)


def _streamed(session: Session, sql: str, parameters: Parameters, opened: OpenRoute) -> Result:
    """A result that occupies the session's own cursor until it is read or closed."""

    def finish(_rows: int, error: BaseException | None, drained: bool) -> None:
        opened.close(drained=drained and error is None)
        if error is not None:
            session.abort("Query")

    execution = Execution(
        opened.cursor,
        sql,
        parameters,
        finish,
        session.database.abandoned.append,
        lambda error: _translated(session, error, sql),
        lambda: session.guard.watch(opened.cursor),
    )
    return Result(execution)


def from_table(session: Session, content: object, sql: str = "SELECT * FROM rows") -> Result:
    """A result over rows that are there already.

    Args:
        session: The session.
        content: Anything that the kernel can register.
        sql: A query over it, under the name ``rows``.
    """
    cursor: Cursor = session.database.kernel.cursor()
    for setting in session.kernel_settings:  # a time zone, for one: it says how values are shown
        cursor.execute(setting)
    cursor.register("rows", content)
    execution = Execution(
        cursor,
        sql,
        None,
        lambda _rows, _error, _drained: cursor.close(),
        session.database.abandoned.append,
        lambda error: error,
        lambda: session.guard.watch(cursor),
    )
    return Result(execution)
