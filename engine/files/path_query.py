"""One file by its path, without the kernel: ``SELECT a, b FROM files WHERE path = ?``.

Planning recognises a list of columns under one equality. Running walks the names of the path, which
a process remembers, and takes the row that it finds apart. Everything else about such a statement
is the ordinary path's, which gives the same row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...errors import ParseError
from ...extensions.files.relations import COLUMNS, FILES, OBJECTS
from ...sql.tokens import TokenStream
from ..keys.constants import Item, read_item
from ..statements.fast_insert import parameters_by_key

if TYPE_CHECKING:
    from ..catalog import SessionCatalog
    from ..kernel import Parameters

TYPES: Final = {name: sql_type for name, sql_type, _ in COLUMNS}


@dataclass(frozen=True, slots=True)
class PathQuery:
    """A compiled query for one path.

    Attributes:
        view: The view of files that it reads.
        selected: The columns of the result, with their names.
        path: The path.
    """

    view: str
    selected: tuple[tuple[str, str], ...]
    path: Item

    def given(self, parameters: Parameters) -> str | None:
        """The path that it asks for; None where only the kernel can tell."""
        by_key = parameters_by_key(parameters)
        if self.path.parameter is None:
            value: object = None if by_key else self.path.value
        else:
            value = by_key.get(self.path.parameter) if len(by_key) == 1 else None
        return value if type(value) is str else None


def compile_path_query(sql: str, catalog: SessionCatalog) -> PathQuery | None:
    """Compile a query, None where it is anything but the row of one path."""
    stream = TokenStream(sql)
    try:
        if not stream.accept("SELECT"):
            return None
        listed = _listed(stream)
        name = stream.name()
        relation = catalog.resolve(name.parts) if name.last.lower() in {FILES, OBJECTS} else None
        if relation is None or relation.version is not None or not catalog.is_built_in(relation):
            return None
        alias = name.last
        if stream.accept("AS") or stream.word() != "WHERE":
            alias = stream.identifier()
        stream.expect("WHERE")
        if not _is_column(stream, "path", alias) or not stream.accept("="):
            return None
        item = read_item(stream, 1)
        stream.accept(";")
        if item is None or not stream.at_end():
            return None
        selected = _selected(listed, alias)
    except ParseError:
        return None
    return None if selected is None else PathQuery(relation.name, selected, item)


def _is_column(stream: TokenStream, column: str, alias: str) -> bool:
    parts = [part.lower() for part in stream.name().parts]
    return parts == [column] or parts == [alias.lower(), column]


def _listed(stream: TokenStream) -> list[tuple[tuple[str, ...], str]] | None:
    """The columns between SELECT and FROM, by name and with their names in the result.

    Returns:
        None for ``*``.

    Raises:
        ParseError: There is something else than columns.
    """
    if stream.accept("*", "FROM"):
        return None
    listed: list[tuple[tuple[str, ...], str]] = []
    while True:
        parts = stream.name().parts
        label = stream.identifier() if stream.accept("AS") else ""
        listed.append((parts, label))
        if stream.accept("FROM"):
            return listed
        stream.expect(",")


def _selected(
    listed: list[tuple[tuple[str, ...], str]] | None, alias: str
) -> tuple[tuple[str, str], ...] | None:
    if listed is None:
        return tuple((name, name) for name in TYPES)
    selected: list[tuple[str, str]] = []
    for parts, label in listed:
        column = parts[-1].lower()
        qualifier = [part.lower() for part in parts[:-1]]
        if column not in TYPES or qualifier not in ([], [alias.lower()]):
            return None
        selected.append((column, label or column))
    return tuple(selected)
