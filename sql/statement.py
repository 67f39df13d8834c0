"""Statements: what a text asks for, as far as Pagelake itself must know.

A statement that changes the store is taken apart into the pieces that its execution splices
together again; a query stays the user's text. ``sql.classify`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .references import At
    from .tokens import Name


@dataclass(frozen=True, slots=True)
class Query:
    """Anything that only reads."""

    sql: str


@dataclass(frozen=True, slots=True)
class AboutQuery:
    """A query that reads no rows: it describes queries, or gives their plans."""

    sql: str


@dataclass(frozen=True, slots=True)
class Explain:
    """EXPLAIN [ANALYZE] of a statement, drawn or as JSON."""

    sql: str
    analyze: bool
    json: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT; ``source`` is a query's text, None for DEFAULT VALUES."""

    target: Name
    columns: tuple[str, ...] | None
    by_name: bool
    source: str | None
    returning: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE; the parts are text, assignments are (column, expression)."""

    target: Name
    alias: str | None
    assignments: tuple[tuple[str, str], ...]
    sources: str | None
    condition: str | None
    returning: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE and TRUNCATE."""

    target: Name
    alias: str | None
    sources: str | None
    condition: str | None
    returning: str | None
    ctes: str = ""


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE TABLE; ``body`` is the text behind the name, ``query`` what follows AS.

    ``cluster_by`` names the columns of a CLUSTER BY clause, None where there is none.
    """

    name: Name
    or_replace: bool
    if_not_exists: bool
    temporary: bool
    body: str
    columns: tuple[str, ...] | None
    query: str | None
    with_rows: bool
    cluster_by: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CloneTable:
    """CREATE TABLE … CLONE; ``at`` is None for the present."""

    name: Name
    or_replace: bool
    if_not_exists: bool
    source: Name
    at: At | None


@dataclass(frozen=True, slots=True)
class CreateDirectory:
    """CREATE DIRECTORY path; ``source`` is the path behind CLONE, None for an empty one."""

    path: str
    if_not_exists: bool
    source: str | None


@dataclass(frozen=True, slots=True)
class RestoreTable:
    """RESTORE TABLE … TO."""

    name: Name
    at: At


@dataclass(frozen=True, slots=True)
class CreateTag:
    """CREATE TAG; ``at`` is None for the present."""

    name: str
    if_not_exists: bool
    at: At | None


@dataclass(frozen=True, slots=True)
class DropTag:
    """DROP TAG."""

    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class CreateView:
    """CREATE VIEW; a deferred one is bound no sooner than it is read."""

    name: Name
    or_replace: bool
    if_not_exists: bool
    temporary: bool
    columns: tuple[str, ...]
    query: str
    secure: bool = False
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """CREATE SCHEMA."""

    name: Name
    if_not_exists: bool
    or_replace: bool


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """CREATE INDEX; ``keys`` are the texts between the parentheses."""

    name: str
    unique: bool
    if_not_exists: bool
    table: Name
    keys: tuple[str, ...]

    operation = "CREATE INDEX"


@dataclass(frozen=True, slots=True)
class DropIndex:
    """DROP INDEX."""

    names: tuple[Name, ...]
    if_exists: bool

    operation = "DROP INDEX"


@dataclass(frozen=True, slots=True)
class Drop:
    """DROP TABLE, VIEW or SCHEMA."""

    kind: str
    names: tuple[Name, ...]
    if_exists: bool
    cascade: bool


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """CREATE, DROP, ALTER or COMMENT ON of something that only the kernel understands.

    Attributes:
        verb: CREATE, DROP, ALTER or COMMENT.
        kind: SEQUENCE, MACRO, TYPE, INDEX or what a comment is on.
        name: Of CREATE MACRO the name, else None.
        tail: Of CREATE MACRO the text behind the name.
        sql: The statement.
    """

    verb: str
    kind: str
    name: Name | None
    tail: str
    sql: str


@dataclass(frozen=True, slots=True)
class Native:
    """INSERT, UPDATE, DELETE or MERGE that the kernel itself runs, on native copies of tables.

    Attributes:
        verb: What it does, for the history; READ where it changes nothing.
        targets: The tables that it may change.
        sql: The statement.
        all_tables: Copy the tables that it only reads, too: they are asked for their ``rowid``.
        only_adds: It adds rows to its one target, whatever rows that has.
    """

    verb: str
    targets: tuple[Name, ...]
    sql: str
    all_tables: bool = False
    only_adds: bool = False


@dataclass(frozen=True, slots=True)
class Attach:
    """ATTACH, DETACH or ALTER DATABASE of a database of another kind."""

    verb: str
    sql: str


@dataclass(frozen=True, slots=True)
class ExportDatabase:
    """EXPORT DATABASE; the texts of the folder and of what follows it."""

    target: str
    options: str


@dataclass(frozen=True, slots=True)
class ImportDatabase:
    """IMPORT DATABASE; the text of the folder."""

    source: str


@dataclass(frozen=True, slots=True)
class CopyDatabase:
    """COPY FROM DATABASE source TO target; what is copied is SCHEMA, DATA or, if empty, both."""

    source: str
    target: str
    what: str
    sql: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """PREPARE name AS statement."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class ExecutePrepared:
    """EXECUTE name(values): texts of values by position, and by folded name."""

    name: str
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Deallocate:
    """DEALLOCATE name, or ALL (None)."""

    name: str | None


@dataclass(frozen=True, slots=True)
class Pragma:
    """PRAGMA name, name = value or name(arguments): one that is no query."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Alter:
    """ALTER TABLE or VIEW; ``action`` is the text behind the name."""

    kind: str
    name: Name
    if_exists: bool
    action: str


@dataclass(frozen=True, slots=True)
class CopyFrom:
    """COPY table FROM file; options are (name, value text or None)."""

    target: Name
    columns: tuple[str, ...] | None
    source: str
    options: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class CopyTo:
    """COPY query TO file."""

    query: str
    target: str
    options: tuple[tuple[str, str | None], ...]
    sql: str


@dataclass(frozen=True, slots=True)
class TransactionControl:
    """BEGIN, COMMIT, ROLLBACK, SAVEPOINT, ROLLBACK TO, RELEASE.

    ``isolation`` is ``serializable`` or ``snapshot`` where BEGIN says so.
    """

    verb: str
    savepoint: str | None = None
    isolation: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class SetOption:
    """SET or RESET (value None) of a setting."""

    name: str
    value: str | None
    sql: str


@dataclass(frozen=True, slots=True)
class Use:
    """USE schema."""

    name: Name


@dataclass(frozen=True, slots=True)
class Show:
    """SHOW TABLES [FROM schema], SHOW ALL TABLES, SHOW SCHEMAS, SHOW DATABASES."""

    what: str
    source: Name | None = None


@dataclass(frozen=True, slots=True)
class Describe:
    """DESCRIBE of a table by its name; SHOW may also mean a setting."""

    name: Name
    or_setting: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """CALL pagelake.procedure(arguments): texts of values by position, and by folded name."""

    procedure: str
    positional: tuple[str, ...]
    named: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Temporary:
    """CREATE TEMP of something that only the session's kernel connection holds."""

    sql: str
    name: Name


@dataclass(frozen=True, slots=True)
class Other:
    """A statement that Pagelake does not have; ``verb`` names it."""

    verb: str


Statement = (
    Query
    | AboutQuery
    | Explain
    | Insert
    | Update
    | Delete
    | CreateTable
    | CloneTable
    | CreateDirectory
    | RestoreTable
    | CreateTag
    | DropTag
    | CreateView
    | CreateSchema
    | CreateIndex
    | DropIndex
    | Drop
    | CatalogChange
    | Native
    | Attach
    | ExportDatabase
    | ImportDatabase
    | CopyDatabase
    | Prepare
    | ExecutePrepared
    | Deallocate
    | Pragma
    | Alter
    | CopyFrom
    | CopyTo
    | TransactionControl
    | SetOption
    | Use
    | Show
    | Describe
    | Call
    | Temporary
    | Other
)
