"""Everything that documentation shows is run, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pagelake

from .examples import Runner, parse
from .markdown import DOCS, ROOT, pages, text_of

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_IN_USE = {"docs/backup.md", "docs/check.md", "docs/shell.md"}
"""Pages about a store that is there already; the others make their own."""


@pytest.mark.parametrize("page", pages())
def test_everything_shown_runs(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    Path("script.sql").write_text("SELECT 42 AS answer;", encoding="utf-8")
    for part in ("trips-1.parquet", "trips-2.parquet"):
        pq.write_table(pa.table({"id": [1, 2], "km": [3.5, 4.5]}), part)
    if page in _IN_USE:
        with pagelake.connect("my.lake") as db:
            db.execute("CREATE TABLE fruit AS SELECT i, 'f' || i AS name FROM range(1000) r(i)")
            db.execute("INSERT INTO fruit VALUES (-1, 'fresh')")
    Runner(lambda: capfd.readouterr().out, monkeypatch).run(page)


def test_commands_that_only_stand_in_a_text_can_be_said() -> None:
    shown = re.findall(r"^    pagelake (.+?)(?: #.*)?$", text_of("docs/devices.md"), re.MULTILINE)
    assert len(shown) > 5
    for line in shown:
        words = line.replace('"', "").split()
        if words[0] == "devices":
            parse(words)


def _anchor(heading: str) -> str:
    """The name that a heading gets in a rendered page."""
    bare = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", bare).replace(" ", "-")


@pytest.mark.parametrize("page", [*pages(), "ARCHITECTURE.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(text_of(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            headings = map(_anchor, _HEADING.findall(target.read_text(encoding="utf-8")))
            assert anchor in set(headings), link


def test_the_index_leads_to_every_page() -> None:
    index = text_of("docs/README.md")
    for page in DOCS.glob("**/*.md"):
        name = str(page.relative_to(DOCS))
        assert name == "README.md" or f"({name})" in index, name
