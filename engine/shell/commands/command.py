"""What a dot command is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..repl import Shell


@dataclass(frozen=True, slots=True)
class Command:
    """A dot command.

    Attributes:
        name: Its name with the dot.
        usage: What may follow the name.
        summary: What it does, in one line.
        examples: Lines that show it.
        call: Runs it with its arguments.
        arguments_max: How many arguments it takes at most.
        takes: What completion offers for its arguments: `file`, `table`, `mode`, `setting`,
            `command`, `version`, `query`, or words of its own with blanks between them.
        is_raw: Whether it takes the rest of the line as it is, as one argument.
        details: What `.help` with its name says besides.
    """

    name: str
    usage: str
    summary: str
    examples: tuple[str, ...]
    call: Callable[[Shell, list[str]], None]
    arguments_max: int = 1
    takes: str = ""
    is_raw: bool = False
    details: str = ""

    def run(self, shell: Shell, rest: str) -> None:
        """Run the command.

        Args:
            shell: The shell that it was said to.
            rest: What follows its name.

        Raises:
            InvalidRequest: It was given arguments that it does not take.
        """
        if self.is_raw:
            self.call(shell, [rest] if rest else [])
            return
        arguments = split_arguments(rest)
        if len(arguments) > self.arguments_max:
            raise self.misuse()
        self.call(shell, arguments)

    def misuse(self) -> InvalidRequest:
        """Return the error for a wrong use."""
        usage = f"{self.name} {self.usage}".rstrip()
        return InvalidRequest(f"usage: {usage}", hint=f"for example  {self.examples[0]}")


def split_arguments(text: str) -> list[str]:
    """Split arguments, quoted as in a POSIX shell; a `;` behind the last one does not count.

    Raises:
        InvalidRequest: A quote is left open.
    """
    try:
        return shlex.split(text.strip().removesuffix(";"))
    except ValueError as error:
        raise InvalidRequest(f"cannot read the command: {error}".lower()) from None


def quoted_name(name: str) -> str:
    """Return an SQL identifier; dots separate its parts. One that has quotes stays as it is."""
    from ....sql.tokens import quote

    return name if '"' in name else ".".join(map(quote, name.split(".")))
