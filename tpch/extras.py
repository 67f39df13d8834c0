"""What the benchmark needs beyond the package itself, and how to get it when it is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["MissingPackage", "import_extra"]


class MissingPackage(RuntimeError):
    """Something optional is not installed; the message names the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} was not found; install it with: pip install 'pagelake[{extra}]'")


def import_extra(module: str, extra: str) -> Any:
    """Import a module that an optional extra of the package brings.

    Raises:
        MissingPackage: If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackage(module.partition(".")[0], extra) from error
