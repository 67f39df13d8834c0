"""Parameters of statements: what callers may pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import InvalidRequest

USUAL = {type(None), list, tuple, dict}
"""Usual types of parameters, which need no closer look."""


def refuse_parameters(parameters: object) -> None:
    """Refuse what is neither a sequence nor a mapping; a text is not meant as its letters."""
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence | Mapping):
        raise InvalidRequest(
            f"parameters cannot be a {type(parameters).__name__}",
            hint="pass a list for ? and $1, a dictionary for $name",
        )
