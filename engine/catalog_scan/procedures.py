"""CALL catalog_scan and CALL catalog_drop: arguments of SQL in, one row out."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...errors import InvalidRequest
from ...extensions.catalog.block import WalkOptions
from ...extensions.catalog.names import bytes_of, text_of
from .account import ScanRequest
from .scan import drop, scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..session import Session


def catalog_scan(session: Session, given: Mapping[str, object]) -> Mapping[str, object]:
    """Scan a directory tree into a catalog; see `SCAN_PARAMETERS` for what is given."""
    directory = bytes_of(str(given["directory"]))
    if directory.startswith(b"~"):
        directory = os.path.expanduser(directory)
    if not directory:
        raise InvalidRequest("catalog_scan needs a directory, and '' is none")
    exclude, processes = given.get("exclude", ()), given.get("processes")
    assert isinstance(exclude, list | tuple)
    assert processes is None or isinstance(processes, int)
    options = WalkOptions(
        one_file_system=given.get("one_file_system") is not False,
        exclude=tuple(_pattern(pattern) for pattern in exclude),
        processes=processes,
        xattrs=given.get("xattrs") is True,
    )
    name = str(given["name"]) if "name" in given else default_name(directory)
    request = ScanRequest(directory, name, options, full=given.get("full") is True)
    summary = scan(session, request)
    answer = asdict(summary)
    answer["entries_per_second"] = round(summary.entries / max(summary.seconds, 1e-9))
    return answer


def catalog_drop(session: Session, given: Mapping[str, object]) -> None:
    """Drop a catalog."""
    drop(session, str(given["name"]))


def default_name(directory: bytes) -> str:
    """Return the name of a catalog that was given none: that of its directory.

    Raises:
        InvalidRequest: The directory has none of its own, as `/` has not.
    """
    name = text_of(os.path.basename(os.path.abspath(directory)))
    if not name:
        raise InvalidRequest("the catalog needs a name", hint="say name => 'files'")
    return name


def _pattern(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise InvalidRequest("a pattern to exclude cannot be NULL")
    return pattern


SCAN_PARAMETERS = {
    "directory": "VARCHAR",
    "name": "VARCHAR",
    "one_file_system": "BOOLEAN",
    "exclude": "VARCHAR[]",
    "processes": "INTEGER",
    "xattrs": "BOOLEAN",
    "full": "BOOLEAN",
}
"""SQL types of what `catalog_scan` takes, in order."""
