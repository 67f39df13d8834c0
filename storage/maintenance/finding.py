"""What a check finds: damage, or files that nobody refers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ..snapshot import TableState

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being looked at, the bytes done and the bytes in all."""


class Severity(Enum):
    """How much a finding matters."""

    DAMAGE = "damage"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has to say.

    Attributes:
        severity: Damage, or information.
        file: The file it is about, named as on the device.
        what: What is wrong, in words.
        affects: What cannot be read for it, such as ``main.t`` or ``versions 3 to 9``.
        offset: Where in the file, in bytes, when one place can be named.
        derived: True when the file can be made again from others.
        bytes: Bytes that reclaiming would free; 0 for damage.
    """

    severity: Severity
    file: str
    what: str
    affects: tuple[str, ...] = ()
    offset: int | None = None
    derived: bool = False
    bytes: int = 0


def damage(
    file: str,
    what: str,
    *affects: str,
    offset: int | None = None,
    derived: bool = False,
) -> Finding:
    """A finding of damage."""
    return Finding(Severity.DAMAGE, file, what, affects, offset, derived)


def information(file: str, what: str, *, bytes: int = 0, derived: bool = False) -> Finding:
    """A finding that is no damage."""
    return Finding(Severity.INFORMATION, file, what, derived=derived, bytes=bytes)


def no_progress(_what: str, _done_bytes: int, _total_bytes: int) -> None:
    """Tell nobody."""


def relation_name(state: TableState) -> str:
    """Name of a table as findings say it."""
    return f"{state.definition.schema}.{state.definition.name}"
