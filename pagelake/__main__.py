"""The entry point of the command line: `pagelake …` and `python -m pagelake …`."""

from __future__ import annotations


def main() -> None:
    """Run the command line on `sys.argv` and exit with its status."""
    from .engine.cli import main as run

    run()


if __name__ == "__main__":
    main()
