"""From a call of a report in a statement to the query that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InvalidRequest, UnknownName
from ...extensions.reports import FILES, Arguments, Source
from ...sql.names import close_matches
from ...sql.tokens import TokenStream, literal
from ..catalog_scan.listing import catalogs
from ..constant import constant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...extensions.reports import Report
    from ...storage.snapshot import Snapshot
    from ..session import Session

_CATALOG = "catalog"
_ARROWS = ("=>", ":=")


def expanded(session: Session, report: Report, arguments: Sequence[str], snapshot: Snapshot) -> str:
    """The query that a call stands for.

    Args:
        session: Computes the arguments.
        report: Which report.
        arguments: Texts of the arguments, by position and by name.
        snapshot: Where the catalog is looked for.

    Raises:
        UnknownName: There is no such catalog, or no such parameter.
        InvalidRequest: An argument is missing, given twice, or has no meaning.
    """
    types = {_CATALOG: "VARCHAR"} | {p.name: p.sql_type for p in report.parameters}
    texts = {p.name: p.default for p in report.parameters} | _given(report, arguments, types)
    missing = [name for name in types if texts.get(name) is None]
    if missing:
        raise InvalidRequest(
            f"{report.function} needs {' and '.join(missing)}", hint=f"like this: {report.example}"
        )
    values = {name: _text(session, str(texts[name]), sql_type) for name, sql_type in types.items()}
    if values["path"] is not None:
        values["path"] = values["path"].rstrip("/") or "/"
    version = values["version"]
    source = source_of(snapshot, values[_CATALOG], None if version is None else int(version))
    return report.query(Arguments(source, values, types))


def source_of(snapshot: Snapshot, name: str | None, version: int | None = None) -> Source:
    """The relations that a catalog's name means.

    Raises:
        UnknownName: There is no such catalog.
    """
    known = {catalog.lower(): catalog for catalog in catalogs(snapshot)}
    folded = (name or "").lower()
    bare = folded.removeprefix("catalog.")
    if folded in known or bare in known:
        return Source.catalog(known.get(folded) or known[bare], version)
    if folded.removeprefix("pagelake.") == FILES:
        return Source.files(version)
    raise UnknownName(
        f"there is no catalog {literal(name or '')}",
        name=name or "",
        suggestions=close_matches(bare, [*known.values(), FILES]),
        hint=None if known else "CALL catalog_scan('DIRECTORY', name => 'NAME') makes one",
    )


def named_argument(text: str) -> tuple[str | None, str]:
    """Name and expression of an argument; None where it is given by position."""
    stream = TokenStream(text)
    if len(stream.tokens) > 2 and stream.word(1) in _ARROWS:
        return stream.tokens[0].text.lower(), text[stream.tokens[2].start :]
    return None, text


def _given(
    report: Report, arguments: Sequence[str], types: Mapping[str, str]
) -> dict[str, str | None]:
    """Texts of the arguments by parameter."""
    texts: dict[str, str | None] = {}
    for number, argument in enumerate(arguments):
        name, text = named_argument(argument)
        if name is None:
            if number >= len(types):
                raise InvalidRequest(
                    f"{report.function} takes {len(types)} arguments",
                    hint=f"they are {', '.join(types)}",
                )
            name = list(types)[number]
        if name not in types:
            raise UnknownName(
                f'{report.function} has no parameter "{name}"',
                name=name,
                suggestions=close_matches(name, types),
                hint=f"it has {', '.join(types)}",
            )
        if name in texts:
            raise InvalidRequest(f'the parameter "{name}" is given twice')
        texts[name] = text
    return texts


def _text(session: Session, expression: str, sql_type: str) -> str | None:
    """The value of an argument as text of its type, None for NULL."""
    if expression.strip().upper() == "NULL":
        return None
    value = constant(session, expression, sql_type, read="CAST({} AS VARCHAR)")
    return str(value)
