"""Reports as pictures: treemaps and histograms, laid out once and drawn as PNG, SVG or HTML."""

from __future__ import annotations

from dataclasses import dataclass
from os.path import commonpath, dirname
from typing import TYPE_CHECKING, Final

from ...errors import InvalidRequest, Unsupported
from ..commands.output import complete_file
from ..output.terminal import visible
from ..shell.texts import bytes_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ...extensions.reports import Picture, Report
    from ..result import Result

WIDTH: Final = 1200.0
HEIGHT: Final = 700.0
"""Size of a picture, in points of its own."""
PARTS_MAX: Final = 80
"""Parts that are drawn each by itself; the smaller ones are one part together."""
TITLE_HEIGHT: Final = 46.0
LETTER: Final = 7.2
"""Width of a letter, about."""
LINE: Final = 16.0
_COLOURS = (
    "#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f",
    "#86a3c3", "#d37295", "#8cb369", "#a0a0a0",
)  # fmt: skip
_BAR_COLOUR = _COLOURS[0]
_LIGHT = frozenset({"#edc948", "#76b7b2", "#8cb369", "#f28e2b", "#86a3c3", "#a0a0a0"})
"""Colours on which white letters are hard to read."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in points from the top left corner.

    Attributes:
        x: Its left edge.
        y: Its upper edge.
        width: Its width.
        height: Its height.
        colour: As `#rrggbb`.
        told: What it stands for; shown when one points at it.
    """

    x: float
    y: float
    width: float
    height: float
    colour: str
    told: str


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text: where its base line is, and on which side of `x` it stands."""

    x: float
    y: float
    text: str
    size: float = 12.0
    anchor: str = "start"
    colour: str = "#222222"


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is to be drawn."""

    title: str
    boxes: tuple[Box, ...]
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the whole."""

    label: str
    size: float


def draw(told: Report, result: Result, path: Path, title: str) -> None:
    """Draw a report into a file.

    Args:
        told: The report.
        result: Its rows.
        path: The file; its ending says the format.
        title: What stands above.

    Raises:
        InvalidRequest: The ending is none of them, or there is nothing to draw.
        Unsupported: A package that draws is not installed.
    """
    ending = path.suffix.lower()
    if ending not in {".png", ".svg", ".html"}:
        raise InvalidRequest(
            f"{path} cannot be drawn: {ending or 'no ending'} is no picture",
            hint="end the name with .png, .svg or .html",
        )
    assert told.picture is not None
    parts = _parts(result, told.picture)
    drawing = lay_out(told.picture, parts, title)
    if ending == ".png":
        from .png import png

        content = png(drawing)
    else:
        from .svg import html, svg

        content = (svg(drawing) if ending == ".svg" else html(drawing)).encode()
    with complete_file(path) as stream:
        stream.write(content)


def _parts(result: Result, picture: Picture) -> list[Part]:
    """The parts that a result tells, in its order."""
    label = picture.label or result.columns[0]
    table = result.arrow().select([label, picture.size])
    labels, sizes = (column.to_pylist() for column in table.columns)
    names = ["(none)" if name in {None, ""} else visible(str(name)) for name in labels]
    shared = _shared_directory(names)
    return [Part(name[shared:], float(size or 0)) for name, size in zip(names, sizes, strict=True)]


def _shared_directory(names: Sequence[str]) -> int:
    """Letters of the directory that all paths lie in, its slash included."""
    if len(names) < 2 or not all(name.startswith("/") for name in names):
        return 0
    return len(commonpath([dirname(name) for name in names]).rstrip("/")) + 1


def lay_out(picture: Picture, parts: Sequence[Part], title: str) -> Drawing:
    """Lay a picture out.

    Raises:
        InvalidRequest: All parts are empty.
    """
    total = sum(part.size for part in parts)
    if not total > 0:
        raise InvalidRequest("there is nothing to draw: the report is empty")
    heading = f"{title}: {_size_text(total, picture.unit)}"
    laid = _treemap(parts, picture) if picture.kind == "treemap" else _histogram(parts, picture)
    boxes, texts = laid
    heading_text = Text(12, 30, heading, 18)
    return Drawing(heading, tuple(boxes), (heading_text, *texts))


def _size_text(size: float, unit: str) -> str:
    return bytes_text(int(size)) if unit == "bytes" else f"{int(size):,}"


def _treemap(parts: Sequence[Part], picture: Picture) -> tuple[list[Box], list[Text]]:
    """Rectangles as large as the parts, as square as they can be (Bruls et al., 2000)."""
    try:
        import squarify
    except ImportError as error:
        raise Unsupported(
            "treemaps need squarify", construct="--plot", hint="pip install 'pagelake[plot]'"
        ) from error
    shown = sorted((p for p in parts if p.size > 0), key=lambda p: -p.size)
    if len(shown) > PARTS_MAX:
        rest = shown[PARTS_MAX - 1 :]
        shown = shown[: PARTS_MAX - 1]
        shown.append(Part(f"{len(rest):,} others", sum(p.size for p in rest)))
    height = HEIGHT - TITLE_HEIGHT
    areas = squarify.normalize_sizes([p.size for p in shown], WIDTH, height)
    boxes, texts = [], []
    for number, (part, at) in enumerate(
        zip(shown, squarify.squarify(areas, 0, TITLE_HEIGHT, WIDTH, height), strict=True)
    ):
        size = _size_text(part.size, picture.unit)
        colour = _COLOURS[number % len(_COLOURS)]
        boxes.append(Box(at["x"], at["y"], at["dx"], at["dy"], colour, f"{part.label}: {size}"))
        letters = int((at["dx"] - 10) / LETTER)
        ink = "#222222" if colour in _LIGHT else "#ffffff"
        if letters >= min(len(part.label), 4) and at["dy"] >= 2 * LINE + 6:
            lines = (_cut(part.label, letters), size if len(size) <= letters else "")
            texts += [
                Text(at["x"] + 6, at["y"] + LINE * line, text, colour=ink)
                for line, text in enumerate(lines, start=1)
                if text
            ]
    return boxes, texts


def _cut(text: str, letters: int) -> str:
    """The end of a text: paths differ there."""
    return text if len(text) <= letters else f"…{text[len(text) - letters + 1 :]}"


def _histogram(parts: Sequence[Part], picture: Picture) -> tuple[list[Box], list[Text]]:
    most = max(part.size for part in parts)
    base, step = HEIGHT - 40, WIDTH / len(parts)
    room = base - TITLE_HEIGHT - 30
    boxes, texts = [], []
    for number, part in enumerate(parts):
        height = room * part.size / most
        left = step * (number + 0.08)
        size = _size_text(part.size, picture.unit)
        middle = step * (number + 0.5)
        boxes.append(
            Box(left, base - height, step * 0.84, height, _BAR_COLOUR, f"{part.label}: {size}")
        )
        texts.append(Text(middle, base - height - 6, size, anchor="middle"))
        texts.append(Text(middle, base + 20, _cut(part.label, int(step / LETTER)), anchor="middle"))
    return boxes, texts
