"""`pagelake report`: tables, files, pictures, and what it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

import pagelake
from pagelake.engine.cli import main
from pagelake.engine.reports import pictures
from pagelake.engine.reports.pictures import PARTS_MAX, Part, lay_out
from pagelake.engine.reports.svg import html
from pagelake.errors import InvalidRequest
from pagelake.extensions.reports import Picture

if TYPE_CHECKING:
    from pathlib import Path

TREEMAP = Picture("treemap", "name", "used")


@pytest.fixture
def store(tmp_path: Path) -> str:
    tree = tmp_path / "tree"
    for name, size in (("a/one.csv", 1 << 20), ("b/two.txt", 5000), ("b/<&>.txt", 100)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b"x" * size)
    path = str(tmp_path / "my.lake")
    with pagelake.connect(path) as con:
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(tree)])
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["report", *arguments])
    return int(str(left.value.code))


def test_a_report_is_printed(store: str, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--by", "extension", "--format", "csv", "--limit", "1")
    assert run("usage", store, "proj", *options) == 0
    head, row = capfd.readouterr().out.splitlines()
    assert head.startswith('"extension","entries"')
    assert row.startswith('"csv",1,1,1048576')


def test_sizes_have_units(store: str, capfd: pytest.CaptureFixture[str]) -> None:
    given = ("--older-than", "0 days", "--format", "csv")
    for size, found in (("1MiB", 0), ("1MB", 1), ("4K", 2), ("4_999", 2)):
        assert run("large-old", store, "proj", "--larger-than", size, *given) == 0
        assert len(capfd.readouterr().out.splitlines()) == 1 + found, size
    assert run("large-old", store, "proj", "--larger-than", "big") != 0
    assert "is no number" in capfd.readouterr().err


def test_a_report_goes_to_a_file(store: str, tmp_path: Path) -> None:
    assert run("sizes", store, "proj", "--output", str(tmp_path / "sizes.parquet")) == 0
    with pagelake.connect() as con:
        path = str(tmp_path / "sizes.parquet")
        assert con.sql("SELECT sum(files) FROM read_parquet(?)", [path]).fetchall() == [(3,)]


@pytest.mark.parametrize(("report", "ending"), [("directories", "png"), ("ages", "svg")])
def test_pictures_are_drawn(store: str, tmp_path: Path, report: str, ending: str) -> None:
    path = tmp_path / f"picture.{ending}"
    assert run(report, store, "proj", "--plot", str(path)) == 0
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG" if ending == "png" else b"<svg")
    if ending == "svg":
        assert len(list(ET.fromstring(content).iter("{http://www.w3.org/2000/svg}rect"))) == 1


def test_a_page_names_every_part_and_escapes_it() -> None:
    page = html(lay_out(TREEMAP, [Part("<&>", 10), Part("b", 5)], "x < y"))
    assert "&lt;&amp;&gt;: 10 bytes" in page
    assert "<&>" not in page
    assert re.search(r"<title>x &lt; y: 15 bytes</title>", page)


def test_areas_are_sizes_and_small_parts_go_together() -> None:
    drawing = lay_out(TREEMAP, [Part(str(n), float(n + 1)) for n in range(3 * PARTS_MAX)], "t")
    assert len(drawing.boxes) == PARTS_MAX
    areas = {box.told.partition(":")[0]: box.width * box.height for box in drawing.boxes}
    assert areas["239"] / areas["199"] == pytest.approx(240 / 200)
    assert sum(areas.values()) == pytest.approx(
        pictures.WIDTH * (pictures.HEIGHT - pictures.TITLE_HEIGHT)
    )
    assert "161 others" in areas


def test_nothing_is_drawn_from_nothing() -> None:
    with pytest.raises(InvalidRequest, match="nothing to draw"):
        lay_out(TREEMAP, [Part("a", 0.0)], "t")


def test_mistakes_are_told(store: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("usage", store, "prj") != 0
    assert 'Did you mean "proj"?' in capfd.readouterr().err
    assert run("usage", store, "proj", "--plot", "usage.gif") != 0
    assert "end the name with .png, .svg or .html" in capfd.readouterr().err
    assert run("usage", f"{store}x", "proj") != 0
    assert "does not exist" in capfd.readouterr().err
