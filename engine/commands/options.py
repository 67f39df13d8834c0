"""Options that several commands have."""

from __future__ import annotations

import click

format_option = click.option(
    "--format",
    "-f",
    "format_name",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)
