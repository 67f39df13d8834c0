"""Reading documentation pages: their sections, tables and code spans."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pages() -> list[str]:
    """Names of all pages, relative to the root."""
    found = [ROOT / "README.md", *DOCS.glob("**/*.md")]
    return sorted(str(page.relative_to(ROOT)) for page in found)


def text_of(page: str) -> str:
    """Text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def code(cell: str) -> list[str]:
    """The texts in code spans."""
    return re.findall(r"`([^`]+)`", cell)


def prose(page: str) -> str:
    """Text of a page without the blocks that are run."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def sections(page: str) -> dict[str, str]:
    """Text of each section by its heading."""
    parts = re.split(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str, head: str = "") -> Iterator[list[str]]:
    """Cells of the rows of the tables in a text.

    Args:
        text: Text of a page or section.
        head: What the first column is called; any by default.
    """
    above: list[str] | None = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not line.startswith("|"):
            above = None
        elif above is None:
            above = cells
        elif not set(line) <= set("|- ") and head in {"", above[0]}:
            yield cells
