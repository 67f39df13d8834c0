"""Settings: every limit a user can set, with its unit, default and reason."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import InvalidRequest
from ..sql.names import close_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = int | float | str | bool | None

_UNITS: Final = {
    "": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d|)\s*")
_SECONDS: Final = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SWITCH: Final = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _size(value: object) -> int:
    """Bytes from a number or from text such as ``'4GB'``."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(str(value))
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError("a size such as 4GB, 512MiB or a number of bytes")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _seconds(value: object) -> float:
    """Seconds from a number or from text such as ``'500ms'``; 0 means no limit."""
    match = _DURATION.fullmatch(str(value))
    if match is None:
        raise ValueError("a duration such as 30s, 500ms, 2min or a number of seconds")
    return float(match[1]) * _SECONDS[match[2]]


def _count(value: object) -> int:
    if not re.fullmatch(r"\d{1,18}", str(value)) or (count := int(str(value))) < 1:
        raise ValueError("a number from 1 up")
    return count


def _rate(value: object) -> int:
    if not re.fullmatch(r"\d{1,18}", str(value)):
        raise ValueError("a number from 0 up")
    return int(str(value))


def _switch(value: object) -> bool:
    switched = _SWITCH.get(str(value).lower())
    if switched is None:
        raise ValueError("true or false")
    return switched


def _text(value: object) -> str:
    return str(value)


def _isolation(value: object) -> str:
    level = str(value).lower()
    if level not in {"snapshot", "serializable"}:
        raise ValueError("snapshot or serializable")
    return level


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        # All of them are full, which must not keep anybody from opening a store and making room.
        return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - nothing is made in it here


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 8 << 30


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting.

    Attributes:
        name: Its name in SQL.
        parse: Converts what the user gave; raises ValueError saying what is wanted.
        default: Computes the default.
        unit: Unit of the parsed value.
        reason: What it is for.
        shared: True when it holds for every connection of the database in this process.
    """

    name: str
    parse: Callable[[object], Value]
    default: Callable[[], Value]
    unit: str
    reason: str
    shared: bool


SETTINGS: Final[dict[str, Setting]] = {
    setting.name: setting
    for setting in (
        Setting(
            "memory_limit",
            _size,
            lambda: _memory_bytes() * 6 // 10,
            "bytes",
            "Memory of the SQL kernel before it spills to temp_directory; the rest is left for "
            "decoding and for the operating system's page cache.",
            shared=True,
        ),
        Setting(
            "temp_directory",
            _text,
            lambda: str(_temporary() / f"pagelake-{os.getpid()}"),
            "path",
            "Where queries larger than memory spill; removed when the database closes.",
            shared=True,
        ),
        Setting(
            "threads",
            _count,
            lambda: os.cpu_count() or 1,
            "threads",
            "Threads of the SQL kernel, shared by all connections of the process.",
            shared=True,
        ),
        Setting(
            "hot_bytes_max",
            _size,
            lambda: 16 << 30,
            "bytes",
            "Budget of the hot tier on disk; the segments used longest ago are dropped first. "
            "0 switches the hot tier off.",
            shared=True,
        ),
        Setting(
            "statement_timeout",
            _seconds,
            lambda: 0.0,
            "seconds",
            "A statement that runs longer is cancelled; 0 means no limit.",
            shared=False,
        ),
        Setting(
            "lock_timeout",
            _seconds,
            lambda: 10.0,
            "seconds",
            "How long a single statement is retried when concurrent commits conflict with it.",
            shared=False,
        ),
        Setting(
            "default_transaction_isolation",
            _isolation,
            lambda: "snapshot",
            "isolation level",
            "What a transaction gets that does not say: snapshot, or serializable, which also "
            "fails where what it read was changed by others.",
            shared=False,
        ),
        Setting(
            "author",
            _text,
            lambda: "",
            "text",
            "Who makes the commits of this connection, as pagelake.snapshots shows it.",
            shared=False,
        ),
        Setting(
            "commit_message",
            _text,
            lambda: "",
            "text",
            "What the next commit is for, as pagelake.snapshots shows it; empty again after it.",
            shared=False,
        ),
        Setting(
            "plan_cache_entries",
            _count,
            lambda: 512,
            "plans",
            "Plans remembered by statement text: a repeated statement is not planned again.",
            shared=True,
        ),
        Setting(
            "result_cache_bytes",
            _size,
            lambda: 0,
            "bytes",
            "Budget of the result cache: answers kept in memory and given again while nothing that "
            "they depend on has changed. 0 switches it off.",
            shared=True,
        ),
        Setting(
            "background_maintenance",
            _switch,
            lambda: True,
            "switch",
            "Seal, compact, checkpoint, build hot segments and reclaim in the background; without "
            "it these happen by CALL only.",
            shared=True,
        ),
        Setting(
            "maintenance_mbps",
            _rate,
            lambda: 64,
            "megabytes per second",
            "How much background compaction reads and writes, so that queries hardly notice it; "
            "0 means no limit.",
            shared=True,
        ),
        Setting(
            "snapshots_keep",
            _seconds,
            lambda: 7 * 86400.0,
            "seconds",
            "How long past snapshots stay readable before background maintenance reclaims what "
            "only they need.",
            shared=True,
        ),
    )
}

KERNEL_SETTINGS: Final = frozenset({"timezone", "calendar", "default_order", "default_null_order",
                                    "default_collation", "ieee_floating_point_ops",
                                    "integer_division", "error_on_division_by_zero"})  # fmt: skip
"""Settings that the SQL kernel has and that only change how a session's SQL is read or shown."""


def parse_setting(name: str, value: object) -> Value:
    """Convert a setting's value.

    Raises:
        InvalidRequest: No such setting, or no such value.
    """
    setting = SETTINGS.get(name.lower())
    if setting is None:
        near = close_matches(name, [*SETTINGS, *KERNEL_SETTINGS])
        hint = f'did you mean "{near[0]}"?' if near else "SELECT * FROM pagelake.settings"
        raise InvalidRequest(f'there is no setting "{name}"', hint=hint)
    try:
        return setting.parse(value)
    except ValueError as error:
        raise InvalidRequest(f'setting "{setting.name}" wants {error}, not {value!r}') from error


class Settings:
    """Current values: the shared ones of a database, or a session's own over them.

    Args:
        given: Values the user gave, by name.
        parent: Where values come from that were not given here.
    """

    def __init__(
        self, given: Mapping[str, object] | None = None, *, parent: Settings | None = None
    ) -> None:
        self._parent = parent
        self._values: dict[str, Value] = {}
        for name, value in (given or {}).items():
            self._values[name.lower()] = parse_setting(name, value)

    def get(self, name: str) -> Value:
        """The current value of a setting."""
        if name in self._values:
            return self._values[name]
        if self._parent is not None:
            return self._parent.get(name)
        value = SETTINGS[name].default()
        self._values[name] = value
        return value

    def integer(self, name: str) -> int:
        """The current value of a setting that is a whole number."""
        return int(str(self.get(name)))

    def seconds(self, name: str) -> float:
        """The current value of a duration; 0 means no limit."""
        return float(str(self.get(name)))

    def set(self, name: str, value: object) -> None:
        """Change a setting here."""
        self._values[name.lower()] = parse_setting(name, value)

    def reset(self, name: str) -> None:
        """Go back to the parent's value or the default."""
        parse_setting(name, SETTINGS[name].default() if name in SETTINGS else 0)
        self._values.pop(name.lower(), None)


def remove_temp_directory(settings: Settings) -> None:
    """Remove the spill directory if it is the default one, made for this process alone."""
    path = str(settings.get("temp_directory"))
    if path == SETTINGS["temp_directory"].default():
        shutil.rmtree(path, ignore_errors=True)
