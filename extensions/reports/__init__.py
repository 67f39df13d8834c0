"""Reports over catalogs of files: a report a module."""

from __future__ import annotations

from typing import Final

from . import (
    ages,
    changes,
    created,
    directories,
    growth,
    large_old,
    permission_changes,
    purge,
    sizes,
    tagged,
    usage,
)
from .report import FILES, Arguments, Parameter, Picture, Report, Source

__all__ = ["FILES", "REPORTS", "Arguments", "Parameter", "Picture", "Report", "Source"]

_MODULES = (
    usage, directories, growth, ages, sizes, purge, large_old, created, changes,
    permission_changes, tagged,
)  # fmt: skip

REPORTS: Final = {module.REPORT.function: module.REPORT for module in _MODULES}
"""All reports by their names in SQL."""
