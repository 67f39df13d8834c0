"""Charts of results: in the terminal by characters, as PNG by matplotlib."""

from __future__ import annotations

from .chart import KINDS, Chart, Series, make_chart

__all__ = ["KINDS", "Chart", "Series", "make_chart"]
