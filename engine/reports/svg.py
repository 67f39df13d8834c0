"""Drawings as SVG, and as a page of HTML around it that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .pictures import HEIGHT, WIDTH

if TYPE_CHECKING:
    from .pictures import Drawing

_STYLE = (
    "body { font-family: system-ui, sans-serif; margin: 2rem; color: #222; } "
    "svg { width: 100%; height: auto; } "
    "rect:hover { fill-opacity: 0.8; } "
    "td { padding: 0.1rem 1.5rem 0.1rem 0; }"
)


def svg(drawing: Drawing) -> str:
    """Return a drawing as a document of SVG."""
    boxes = "\n".join(
        f'<rect x="{b.x:.1f}" y="{b.y:.1f}" width="{b.width:.1f}" height="{b.height:.1f}" '
        f'fill="{b.colour}" stroke="#ffffff"><title>{escape(b.told)}</title></rect>'
        for b in drawing.boxes
    )
    texts = "\n".join(
        f'<text x="{t.x:.1f}" y="{t.y:.1f}" font-size="{t.size:g}" text-anchor="{t.anchor}" '
        f'fill="{t.colour}" pointer-events="none">{escape(t.text)}</text>'
        for t in drawing.texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
        f'font-family="system-ui, sans-serif">\n{boxes}\n{texts}\n</svg>\n'
    )


def html(drawing: Drawing) -> str:
    """Return a drawing as a page, with its parts in words below."""
    rows = "\n".join(f"<tr><td>{escape(box.told)}</td></tr>" for box in drawing.boxes)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(drawing.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{svg(drawing)}<table>\n{rows}\n</table>\n</body>\n</html>\n"
    )
