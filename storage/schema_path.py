"""Schemas within schemas: each is kept under one name, its path.

    CREATE SCHEMA a.b.c  ──►  a<1f>b<1f>c

No other part of a store knows of it: tables, views and the like of a nested schema are in the
schema of that name, and a record that makes or drops one is that of any schema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SEPARATOR: Final = "\x1f"
"""Between the parts of a path; errors, which know it too, show a dot."""
_PATH: Final = re.compile(f'"((?:[^"]|"")*{SEPARATOR}(?:[^"]|"")*)"')


def parts_of(schema: str) -> tuple[str, ...]:
    """The names of the schemas on a path, outermost first."""
    return tuple(schema.split(SEPARATOR))


def joined(*parts: str) -> str:
    """The name under which a schema is kept."""
    return SEPARATOR.join(parts)


def innermost(schema: str) -> str:
    """The last name on a path."""
    return schema.rpartition(SEPARATOR)[2]


def enclosing(schema: str) -> tuple[str, ...]:
    """The schemas around a schema, outermost first."""
    parts = parts_of(schema)
    return tuple(joined(*parts[:length]) for length in range(1, len(parts)))


def is_within(schema: str, outer: str) -> bool:
    """Tell whether a schema is inside another one, at any depth and regardless of case."""
    return schema.lower().startswith(outer.lower() + SEPARATOR)


def dotted(schema: str) -> str:
    """A path as one says it."""
    return schema.replace(SEPARATOR, ".")


def shown(text: str) -> str:
    """SQL text for people: paths are written with dots between quoted parts.

    In SQL a path only ever stands within one quoted identifier, so that quotes and a dot between
    its parts make it a qualified name.
    """
    return text.replace(SEPARATOR, '"."')


def respelled(text: str, spell: Callable[[str], str]) -> str:
    """As ``shown``, with each part written as an identifier by a function."""

    def path(match: re.Match[str]) -> str:
        return ".".join(spell(part.replace('""', '"')) for part in parts_of(match[1]))

    return _PATH.sub(path, text)
