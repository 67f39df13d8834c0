"""The version to read, as a URL or a command line writes it."""

from __future__ import annotations

from datetime import datetime


def point_in_time(text: str) -> int | str | datetime:
    """What a text means: digits a version, what reads as a time that time, all else a tag."""
    if text.isdigit():
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text
