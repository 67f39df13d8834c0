"""JSON lines: one object per line, values spelled as in the `json` format."""

from __future__ import annotations

from .text_json import write_lines as write

__all__ = ["write"]
