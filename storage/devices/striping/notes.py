"""Notes on the children of a striped device: small facts that help, and may be lost.

A note never decides anything. Each has a name of its own, so that a newer one is there before the
older ones go, and whoever reads in between finds one of them.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import xxhash

from ....errors import Corrupt, Denied, OutcomeUnknown, Unavailable
from .membership import EPOCHS
from .replica import remove_file, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..device import Device

_FAILURES = (OSError, Unavailable, OutcomeUnknown, Denied)


def leave_note(child: Device, kind: str, content: Mapping[str, object]) -> None:
    """Put a note on a child in the place of its older ones of the kind, if that can be done."""
    text = json.dumps(content, sort_keys=True).encode()
    name = f"{kind}-{xxhash.xxh3_64_hexdigest(text)}"
    with suppress(*_FAILURES):
        older = [n for n in child.list(EPOCHS) if n.startswith(f"{kind}-") and n != name]
        staged = child.stage(seal(text))
        try:
            staged.link(f"{EPOCHS}/{name}")
        finally:
            staged.discard()
        for old in older:
            remove_file(child, f"{EPOCHS}/{old}")


def find_notes(child: Device, kind: str) -> list[dict[str, Any]]:
    """The notes of a kind on a child that can be read."""
    found: list[dict[str, Any]] = []
    with suppress(*_FAILURES):
        for name in child.list(EPOCHS):
            if not name.startswith(f"{kind}-"):
                continue
            with suppress(*_FAILURES, Corrupt, ValueError):
                note = json.loads(unseal(child.read(f"{EPOCHS}/{name}"), name))
                if isinstance(note, dict):
                    found.append(note)
    return found
