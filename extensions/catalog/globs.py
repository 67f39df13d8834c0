r"""Globs that leave names or paths out of a walk.

A pattern without a slash is matched on names, one with a slash on paths relative to the root of the
walk; a slash in front only anchors a name to the root, one at the end means nothing. `*` and `?`
match within one component, `[a-z]` and `[!a-z]` one character of a set, `**` as a whole component
any number of components. `\` is an ordinary character. Whole names and whole paths are matched,
hidden ones too, and capitals are told from small letters.

Names are matched as text, so that `?` takes a character of several bytes; bytes that are not UTF-8
stand as lone surrogates, as everywhere in Python.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

ANYTHING: Final = r"[^/\0]"


class Exclusion:
    """A set of globs, compiled.

    Args:
        patterns: The globs.

    Raises:
        InvalidRequest: A pattern is empty, leaves the root by `..`, or holds a NUL.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        names, paths = [], []
        for pattern in patterns:
            anchored = pattern.rstrip("/")
            components = [part for part in anchored.split("/") if part not in ("", ".")]
            if not components or ".." in components or "\0" in pattern:
                raise InvalidRequest(
                    f"{pattern!r} cannot be excluded",
                    hint="give a name such as '*.tmp', or a path relative to the root of the scan",
                )
            if "/" in anchored:
                paths.append(_path_regex(components))
            else:
                names.append(_component_regex(anchored))
        self._names = _whole(names)
        self._paths = _whole(paths)

    def kept(self, directory: str, names: list[str]) -> list[str]:
        """Return those of `names` that no pattern leaves out, in their order.

        Args:
            directory: The path of their directory relative to the root, `''` for the root.
            names: Names in it.
        """
        # One search over all names at once: most directories have nothing to leave out.
        if self._names is not None and self._names.search("\0".join(names)):
            matches = self._names.fullmatch
            names = [name for name in names if not matches(name)]
        if self._paths is not None and names:
            prefix = directory + "/" if directory else ""
            if self._paths.search(prefix + f"\0{prefix}".join(names)):
                matches = self._paths.fullmatch
                names = [name for name in names if not matches(prefix + name)]
        return names


def relative(root: bytes, path: bytes) -> str:
    """Return `path`, which is `root` or below it, as text relative to `root`."""
    return os.fsdecode(path[len(root) :].lstrip(b"/"))


def _whole(alternatives: list[str]) -> re.Pattern[str] | None:
    """Compile a regex that matches whole items of a text whose items are joined by NUL."""
    if not alternatives:
        return None
    return re.compile(rf"(?<![^\0])(?:{'|'.join(alternatives)})(?![^\0])", re.DOTALL)


def _path_regex(components: list[str]) -> str:
    """Return the regex of a path: `**` takes the slash after it along, or before it at the end."""
    text = ""
    for index, component in enumerate(components):
        last = index == len(components) - 1
        if component != "**":
            text += _component_regex(component) + ("" if last else "/")
        elif last:
            text += rf"{ANYTHING}+(?:/{ANYTHING}+)*"
        else:
            text += rf"(?:{ANYTHING}+/)*"
    return text


def _component_regex(glob: str) -> str:
    text, at = "", 0
    while at < len(glob):
        character = glob[at]
        at += 1
        if character == "*":
            # Several in a row match what one does, and would take exponential time.
            if not text.endswith(f"{ANYTHING}*"):
                text += f"{ANYTHING}*"
        elif character == "?":
            text += ANYTHING
        elif character == "[" and (end := _end_of_set(glob, at)) > 0:
            text += _set_regex(glob[at:end])
            at = end + 1
        else:
            text += re.escape(character)
    return text


def _end_of_set(glob: str, at: int) -> int:
    """Return where the `]` of a set is whose first character is at `at`; -1: there is none."""
    first = at + 1 if glob[at : at + 1] in ("!", "^") else at
    return glob.find("]", first + 1)  # a `]` right at the start stands for itself


def _set_regex(members: str) -> str:
    negated = members[:1] in ("!", "^")
    ranges = members[1:] if negated else members
    text, at = "", 0
    while at < len(ranges):
        low = ranges[at]
        if ranges[at + 1 : at + 2] == "-" and at + 2 < len(ranges):
            high = ranges[at + 2]
            text += f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
            at += 3
        else:
            text += re.escape(low)
            at += 1
    if negated:
        return rf"[^/\0{text}]"
    return f"[{text}]" if text else r"(?!)"
