"""Drawings as PNG, by matplotlib, which the extra `plot` installs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from ...errors import Unsupported
from .pictures import HEIGHT, WIDTH

if TYPE_CHECKING:
    from .pictures import Drawing

DOTS_PER_INCH: Final = 100
_POINTS_PER_INCH: Final = 72
_SIDES = {"start": "left", "middle": "center", "end": "right"}


def png(drawing: Drawing) -> bytes:
    """Return a drawing as a PNG file.

    Raises:
        Unsupported: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise Unsupported(
            "PNG pictures need matplotlib",
            construct="--plot",
            hint="pip install 'pagelake[plot]', or draw into .svg or .html",
        ) from error
    figure = Figure(figsize=(WIDTH / DOTS_PER_INCH, HEIGHT / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)  # downwards, as the drawing counts
    axes.axis("off")
    for box in drawing.boxes:
        axes.add_patch(
            Rectangle((box.x, box.y), box.width, box.height, facecolor=box.colour, edgecolor="w")
        )
    for text in drawing.texts:
        axes.text(
            text.x,
            text.y,
            text.text.replace("$", "\\$"),  # no formulas
            fontsize=text.size * _POINTS_PER_INCH / DOTS_PER_INCH,
            color=text.colour,
            ha=_SIDES[text.anchor],
            va="baseline",
        )
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
