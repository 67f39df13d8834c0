"""CALL: procedures by name, with arguments by position or by name.

A procedure declares the SQL types of its parameters; the kernel computes the arguments, so that
any constant expression can be one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ...errors import Denied, InvalidRequest, UnknownName
from ...sql.names import close_matches
from ..catalog_scan.procedures import SCAN_PARAMETERS, catalog_drop, catalog_scan
from ..constant import constant
from ..devices.care import RATE_MB_DEFAULT, require_striped, run_rebuild, run_scrub
from ..query import from_table
from ..result import Result
from ..time_travel import name_in
from .change import target_table

if TYPE_CHECKING:
    from ...sql import statement as st
    from ..session import Session

_SCHEMA: Final = "pagelake."
Answer = Mapping[str, object] | None
"""The one row that a procedure answers, by column, if there is something to say."""


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure of the schema ``pagelake``.

    Attributes:
        run: Does it, with the arguments that were given, by parameter name.
        parameters: SQL type of each parameter, by name, in order.
        required: Names of the parameters that must be given.
        writes: True where a read-only store must refuse it.
    """

    run: Callable[[Session, Mapping[str, object]], Answer]
    parameters: Mapping[str, str]
    required: frozenset[str] = frozenset()
    writes: bool = True


def call(session: Session, statement: st.Call) -> Result:
    """Run CALL.

    Raises:
        UnknownName: There is no such procedure, or no such parameter.
        InvalidRequest: An argument is missing, given twice, or of another type.
        Denied: The store was opened read-only.
    """
    procedure = PROCEDURES.get(statement.procedure)
    if procedure is None:
        raise UnknownName(
            f'there is no procedure "{statement.procedure}"',
            name=statement.procedure,
            suggestions=_near(statement.procedure),
        )
    given = _arguments(session, statement, procedure)
    if procedure.writes:
        session.require_present(f"CALL {statement.procedure}")
    if procedure.writes and session.database.read_only:
        raise Denied(
            f"CALL {statement.procedure}: the store was opened read-only",
            hint="open it without read_only",
        )
    answer = procedure.run(session, given)
    if not answer:
        return Result(None)
    # What is absent would be a number.
    columns = {n: pa.array([v], pa.int64() if v is None else None) for n, v in answer.items()}
    return from_table(session, pa.table(columns))


def _near(name: str) -> list[str]:
    """Procedures that a name could have meant."""
    bare = [known.removeprefix(_SCHEMA) for known in PROCEDURES]
    return [f"{_SCHEMA}{near}" for near in close_matches(name.removeprefix(_SCHEMA), bare)]


def _arguments(session: Session, statement: st.Call, procedure: Procedure) -> dict[str, object]:
    parameters = procedure.parameters
    if len(statement.positional) > len(parameters):
        raise InvalidRequest(
            f"{statement.procedure} takes {_signature(parameters)}", hint="leave the others out"
        )
    texts = dict(zip(parameters, statement.positional, strict=False))
    for name, text in statement.named:
        if name not in parameters:
            raise UnknownName(
                f'{statement.procedure} has no parameter "{name}"',
                name=name,
                suggestions=close_matches(name, parameters),
            )
        if name in texts:
            raise InvalidRequest(f'the parameter "{name}" is given twice')
        texts[name] = text
    missing = sorted(procedure.required - set(texts))
    if missing:
        raise InvalidRequest(
            f"{statement.procedure} needs {', '.join(missing)}",
            hint=f"it takes {_signature(parameters)}",
        )
    return {name: constant(session, text, parameters[name]) for name, text in texts.items()}


def _signature(parameters: Mapping[str, str]) -> str:
    """What a procedure takes, as one would write it."""
    listed = ", ".join(f"{name} => {sql_type}" for name, sql_type in parameters.items())
    return f"({listed})" if listed else "no arguments"


# The procedures


def _checkpoint(session: Session, given: Mapping[str, object]) -> Answer:
    store = session.database.store
    return {"version": store.checkpoint(), "folded_upto": store.fold()}


def _build_hot_segments(session: Session, given: Mapping[str, object]) -> Answer:
    return {"segments_built": session.database.maintenance.build_all()}


def _table_id(session: Session, given: Mapping[str, object], verb: str) -> str | None:
    if "table" not in given:
        return None
    return target_table(session, name_in(str(given["table"])), verb).definition.id


def _compact(session: Session, given: Mapping[str, object]) -> Answer:
    table = _table_id(session, given, "compact")
    return {"rows_written": session.database.maintenance.compact(table)}


def _seal(session: Session, given: Mapping[str, object]) -> Answer:
    table = _table_id(session, given, "seal")
    return {"rows_written": session.database.maintenance.seal(table)}


def _reclaim(session: Session, given: Mapping[str, object]) -> Answer:
    keep = given["keep"]
    assert isinstance(keep, timedelta)
    database = session.database
    if keep < timedelta(0):
        raise InvalidRequest("reclaim cannot keep less than nothing")
    # Routes of the past that nobody uses would outlive the pages they stand on.
    database.router.invalidate()
    database.keys.release()
    database.store.pins.settle()
    database.maintenance.sweep()
    report = database.store.reclaim(keep_us=keep // timedelta(microseconds=1))
    return {field.name: getattr(report, field.name) for field in fields(report)}


def _scrub(session: Session, given: Mapping[str, object]) -> Answer:
    database = session.database
    report = run_scrub(
        require_striped(database.store.device),
        database.environment.now_us,
        repair=given.get("repair") is not False,
        mb_per_s=_rate(given, RATE_MB_DEFAULT),
    )
    return {
        "files": report.files,
        "bytes": report.bytes,
        "errors_found": len(report.damage),
        "errors_left": report.left,
        "seconds": report.seconds,
    }


def _rate(given: Mapping[str, object], default: float) -> float:
    rate = given.get("mb_per_s", default)
    if not isinstance(rate, float) or not 0 <= rate < math.inf:
        raise InvalidRequest("mb_per_s is a number of megabytes a second, 0 for no limit")
    return rate


def _rebuild_device(session: Session, given: Mapping[str, object]) -> Answer:
    index, directory = given["device"], given.get("directory")
    if not isinstance(index, int):
        raise InvalidRequest("rebuild_device needs the number of a device")
    root = None if directory is None else Path(str(directory)).expanduser().absolute()
    device = require_striped(session.database.store.device)
    return {"directory": str(run_rebuild(device, index, root, mb_per_s=_rate(given, 0.0)))}


def _set_commit_message(session: Session, given: Mapping[str, object]) -> Answer:
    for parameter, setting in (("author", "author"), ("message", "commit_message")):
        if parameter in given:
            session.settings.set(setting, given[parameter])
    return None


PROCEDURES: Final[Mapping[str, Procedure]] = {
    "pagelake.build_hot_segments": Procedure(_build_hot_segments, {}),
    "pagelake.catalog_drop": Procedure(catalog_drop, {"name": "VARCHAR"}, frozenset({"name"})),
    "pagelake.catalog_scan": Procedure(catalog_scan, SCAN_PARAMETERS, frozenset({"directory"})),
    "pagelake.checkpoint": Procedure(_checkpoint, {}),
    "pagelake.compact": Procedure(_compact, {"table": "VARCHAR"}),
    "pagelake.rebuild_device": Procedure(
        _rebuild_device,
        {"device": "INTEGER", "directory": "VARCHAR", "mb_per_s": "DOUBLE"},
        frozenset({"device"}),
    ),
    "pagelake.reclaim": Procedure(_reclaim, {"keep": "INTERVAL"}, frozenset({"keep"})),
    "pagelake.scrub": Procedure(_scrub, {"repair": "BOOLEAN", "mb_per_s": "DOUBLE"}),
    "pagelake.seal": Procedure(_seal, {"table": "VARCHAR"}),
    "pagelake.set_commit_message": Procedure(
        _set_commit_message, {"author": "VARCHAR", "message": "VARCHAR"}, writes=False
    ),
}
"""Procedures by folded name."""
