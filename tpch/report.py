"""The report of a comparison: a JSON document, and Markdown and a plot made from it.

The document holds every sample, so that the other two can be made again, elsewhere, from it alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .console import milliseconds, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .compare import Race
    from .figures import Figure
    from .machine import Machine

__all__ = ["FORMAT", "document", "markdown", "read", "write"]

FORMAT = 1
"""Version of the document's shape."""

Document = dict[str, Any]


def document(
    race: Race, figures: Sequence[Figure], machine: Machine, scale_factor: float
) -> Document:
    """Return everything measured as JSON values.

    Args:
        race: The warm race; its sides and queries make the tables.
        figures: Further figures, in the order to print.
        machine: What it ran on.
        scale_factor: Of the tables.
    """
    return {
        "format": FORMAT,
        "scale_factor": scale_factor,
        "machine": {**machine.as_json(), "lines": machine.lines()},
        "subject": race.subject,
        "base": race.base,
        "sides": [_side(race, name) for name in race.sides],
        "queries": [
            {
                "number": query.number,
                "title": query.title,
                "rows": race.rows.get(query.number),
                "sides": {name: _cell(race, name, query.number) for name in race.sides},
            }
            for query in race.queries
        ],
        "figures": [{**figure.as_json(), "text": figure.text()} for figure in figures],
    }


def write(content: Document, folder: Path) -> tuple[Path, Path, Path]:
    """Write ``tpch.json``, ``tpch.md`` and ``tpch.png`` into a folder, created if absent.

    Returns:
        The three paths, in that order.
    """
    from .plot import draw

    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / "tpch.json", folder / "tpch.md", folder / "tpch.png")
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    paths[0].write_text(text, encoding="utf-8")
    paths[1].write_text(markdown(content), encoding="utf-8")
    draw(content, paths[2])
    return paths


def read(path: Path) -> Document:
    """Read a document written by `write`.

    Raises:
        ValueError: If the file is not such a document, or of another format.
    """
    content: object = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a TPC-H report of format {FORMAT}")
    return content


def markdown(content: Document) -> str:
    """Return the document as Markdown."""
    sides = [side["name"] for side in content["sides"]]
    lines = [f"# TPC-H at scale factor {content['scale_factor']:g}", ""]
    lines += [f"- {line}" for line in content["machine"]["lines"]]
    lines += ["", *_summary_lines(content), "", "![Times and ratios](tpch.png)", ""]
    heading = ["query", "rows", *(f"{name} ms" for name in sides)]
    heading += [f"{content['subject']} ÷ {content['base']}", "answer equal"]
    lines += ["## Queries", "", "Medians of the counted passes, everything warm.", ""]
    lines += _table(heading, [_query_cells(content, query) for query in content["queries"]])
    lines += _failure_lines(content)
    if content["figures"]:
        rows = [[one["title"], one["text"], one["detail"]] for one in content["figures"]]
        lines += ["", "## Further figures", "", *_table(["figure", "value", "detail"], rows, "lrl")]
    return "\n".join(lines) + "\n"


def _side(race: Race, name: str) -> Document:
    worst = race.worst(name)
    has_ratios = worst is not None
    return {
        "name": name,
        "total_ms": race.total_ms(name),
        "geometric_mean": race.geometric_mean(name) if has_ratios else None,
        "worst": {"number": worst[0], "ratio": worst[1]} if worst is not None else None,
        "equal": race.equal_answers(name),
        "failed": len(race.failures[name]),
    }


def _cell(race: Race, name: str, number: int) -> Document:
    return {
        "samples_ms": list(race.samples_ms[name].get(number, ())),
        "median_ms": race.median_ms(name, number),
        "ratio": race.ratio(name, number),
        "failure": race.failures[name].get(number),
        "difference": race.differences.get(name, {}).get(number),
    }


def _summary_lines(content: Document) -> list[str]:
    rows = []
    for side in content["sides"]:
        worst = side["worst"]
        is_base = side["name"] == content["base"]
        rows.append(
            [
                side["name"],
                milliseconds(side["total_ms"]),
                "1" if is_base else ratio(side["geometric_mean"]),
                "" if is_base or not worst else f"{ratio(worst['ratio'])} (Q{worst['number']})",
                f"{side['equal']} of {len(content['queries'])}",
                str(side["failed"]),
            ]
        )
    geometric = f"geometric mean of ratios to {content['base']}"
    return _table(["engine", "sum ms", geometric, "worst", "answers equal", "failed"], rows)


def _query_cells(content: Document, query: Document) -> list[str]:
    subject = query["sides"][content["subject"]]
    cells = [f"Q{query['number']} {query['title']}", str(query["rows"])]
    for side in content["sides"]:
        cell = query["sides"][side["name"]]
        cells.append("failed" if cell["failure"] else milliseconds(cell["median_ms"]))
    verdict = "**failed**" if subject["failure"] else "**no**" if subject["difference"] else "yes"
    return [*cells, ratio(subject["ratio"]), verdict]


def _failure_lines(content: Document) -> list[str]:
    lines = [
        f"- {name}, Q{query['number']}: {cell[kind]}"
        for query in content["queries"]
        for name, cell in query["sides"].items()
        for kind in ("failure", "difference")
        if cell[kind]
    ]
    return ["", "## Failures and differences", "", *lines] if lines else []


def _table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], alignment: str = "l"
) -> list[str]:
    """Return a Markdown table; columns beyond ``alignment`` (``l`` or ``r`` each) are right."""
    sides = alignment.ljust(len(heading), "r")
    rule = ["---" if side == "l" else "---:" for side in sides]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"
        for row in (heading, rule, *rows)
    ]
