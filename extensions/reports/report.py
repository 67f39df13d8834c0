"""What a report is: a query over a catalog of files, with a name, parameters and a picture.

A report stands for a relation: `FROM report_usage('proj', by => 'extension')`. It is written out in
the text of the statement before that is planned, so that conditions, joins and limits around it
reach the rows like those of any query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...sql.tokens import literal, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "report_"
"""What the names of all reports begin with in SQL."""
FILES = "files"
"""What the relation of the files in the store itself is called where a catalog's name is asked."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a report.

    Attributes:
        name: Its name.
        sql_type: The type that an argument is converted to.
        about: What it means, in one line.
        default: SQL text of its value where none is given; None where one must be given.
    """

    name: str
    sql_type: str
    about: str
    default: str | None = "NULL"


@dataclass(frozen=True, slots=True)
class Picture:
    """How a report is drawn.

    Attributes:
        kind: `treemap`, whose areas are the sizes, or `histogram`, whose bars they are.
        label: The column that names the parts; the first one where it is empty.
        size: The column of their sizes.
        unit: `bytes`, or empty for a number.
    """

    kind: str
    label: str
    size: str
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class Source:
    """The relations that a report reads, as SQL names.

    Attributes:
        entries: An entry a row, under the column names of catalogs.
        directories: A directory a row with the sums of its subtree; None for the files of the
            store, whose sums are computed.
        root: The path of the tree, as a SQL expression.
        changed: What tells the changes between two versions: a function, and its first argument.
    """

    entries: str
    directories: str | None
    root: str
    changed: tuple[str, str]

    def changes(self, first: str | None, last: str | None) -> str:
        """What the versions from one to another have changed, as a relation."""
        function, name = self.changed
        return f"pagelake.{function}({literal(name)}, {first}, {last})"

    @classmethod
    def catalog(cls, name: str, version: int | None = None) -> Source:
        """The relations of a scanned catalog, now or at a version."""
        at = _at(version)
        entries, directories = (f"catalog.{quote(name + e)}{at}" for e in ("", "_directories"))
        root = f"(SELECT path FROM {directories} WHERE depth = 0)"
        return cls(entries, directories, root, ("catalog_changes", name))

    @classmethod
    def files(cls, version: int | None = None) -> Source:
        """The files of the store itself."""
        entries = f"pagelake.{FILES}{_at(version)}"
        return cls(entries, None, "'/'", ("table_changes", f"pagelake.{FILES}"))


def _at(version: int | None) -> str:
    return "" if version is None else f" AT (VERSION => {version})"


@dataclass(frozen=True, slots=True)
class Arguments:
    """The values of a report's parameters.

    Attributes:
        source: What it reads.
        values: The values as text, None for NULL, by parameter.
        types: The parameters' types.
    """

    source: Source
    values: Mapping[str, str | None]
    types: Mapping[str, str]

    def sql(self, name: str) -> str:
        """A value as an SQL constant of its parameter's type."""
        value = self.values[name]
        text = "NULL" if value is None else literal(value)
        return f"CAST({text} AS {self.types[name]})"

    @property
    def below(self) -> str:
        """The condition that an entry lies below the report's path."""
        path = self.values["path"]
        if path is None:
            return "true"
        return f"starts_with(search_path, {literal(path.rstrip('/') + '/')})"

    @property
    def base(self) -> str:
        """The path below which the report is about, without a slash at its end."""
        path = self.values["path"]
        base = self.source.root if path is None else literal(path)
        return f"rtrim({base}, '/')"

    def before(self, name: str) -> str:
        """The moment that lies as long ago as an interval says, in UTC as times of files are."""
        return f"CAST(now() AT TIME ZONE 'UTC' - {self.sql(name)} AS TIMESTAMP_NS)"


PATH = Parameter("path", "VARCHAR", "only what lies below this directory")
VERSION = Parameter("version", "BIGINT", "the catalog as it was at this version of the store")


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        name: Its name on the command line; in SQL `report_` stands before it.
        about: What it tells, in one line.
        query: Gives the text of its query.
        own_parameters: What can be said besides the catalog, `path` and `version`.
        picture: How it is drawn.
    """

    name: str
    about: str
    query: Callable[[Arguments], str]
    own_parameters: tuple[Parameter, ...] = ()
    picture: Picture | None = None

    @property
    def function(self) -> str:
        """Its name in SQL."""
        return PREFIX + self.name

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What can be said besides the catalog, in order."""
        return (*self.own_parameters, PATH, VERSION)

    @property
    def example(self) -> str:
        """A call with what it needs."""
        needed = [f"{p.name} => …" for p in self.parameters if p.default is None]
        listed = ", ".join(["'proj'", *needed])
        return f"{self.function}({listed})"
