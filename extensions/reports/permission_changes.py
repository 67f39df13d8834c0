"""`report_permission_changes`: what was changed without being written, and whether it was read."""

from __future__ import annotations

from .report import Arguments, Parameter, Report


def _query(given: Arguments) -> str:
    since = "true" if given.values["since"] is None else f"ctime >= {given.before('since')}"
    return f"""
        SELECT element_type, path, nfs_mode_bits, owner_name, group_owner_name, mtime, ctime,
               atime > ctime AS read_since
        FROM {given.source.entries}
        WHERE ctime > mtime AND {since} AND {given.below}
        ORDER BY element_type, ctime DESC, path"""


REPORT = Report(
    "permission_changes",
    "files and directories whose mode, owner or name changed after they were written last",
    _query,
    (Parameter("since", "INTERVAL", "only changes as long ago as this, or less"),),
)
