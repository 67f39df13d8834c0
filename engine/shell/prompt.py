"""The interactive prompt: history, highlighting, completion, and lines that make a statement."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout.processors import HighlightMatchingBracketProcessor
from prompt_toolkit.lexers import DynamicLexer, SimpleLexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from .completion import ShellCompleter
from .scanner import is_complete

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.lexers import Lexer
    from prompt_toolkit.styles import BaseStyle

    from .repl import Shell

NAME = "pagelake"

# Colours of the terminal's own palette, which suits its background, light or dark.
_DEFAULT_STYLE = [
    ("pygments.keyword", "bold ansiblue"),
    ("pygments.literal.string", "ansigreen"),
    ("pygments.literal.number", "ansimagenta"),
    ("pygments.comment", "italic ansibrightblack"),
    ("pygments.name.function", "ansicyan"),
    ("pygments.name.builtin", "ansicyan"),
    ("auto-suggestion", "ansibrightblack"),
    ("matching-bracket.cursor", "bold underline"),
    ("matching-bracket.other", "bold underline"),
]


def open_prompt(shell: Shell) -> Callable[[], str]:
    """Return a function that reads one complete input from the terminal.

    The function returns statements or a dot command; it raises EOFError on Ctrl-D,
    KeyboardInterrupt on Ctrl-C, which discards what was typed, and Error where the store, which
    opens meanwhile, cannot be opened.
    """
    plain = bool(os.environ.get("NO_COLOR"))
    config = shell.config
    session: PromptSession[str] = PromptSession(
        message=lambda: prompt_text(shell),
        prompt_continuation=lambda width, _line, _wrap: "...> ".rjust(width),
        history=open_history(),
        lexer=None if plain else DynamicLexer(lambda: _lexer(get_app().current_buffer.text)),
        style=None if plain else _style(config.text("theme")),
        include_default_pygments_style=False,
        color_depth=ColorDepth.DEPTH_1_BIT if plain else None,
        completer=ShellCompleter(shell),
        complete_in_thread=True,
        complete_while_typing=False,
        complete_style=CompleteStyle.MULTI_COLUMN,
        auto_suggest=AutoSuggestFromHistory() if config.switch("suggest") else None,
        enable_history_search=True,
        enable_suspend=True,
        enable_open_in_editor=True,
        editing_mode=EditingMode.VI if config.text("editing") == "vi" else EditingMode.EMACS,
        input_processors=[HighlightMatchingBracketProcessor(chars="[](){}")],
        multiline=True,
        tempfile_suffix=".sql",
        key_bindings=_key_bindings(),
    )

    def leave(error: BaseException) -> None:
        app = session.app
        if app.loop is not None and app.is_running:
            app.loop.call_soon_threadsafe(lambda: app.exit(exception=error))

    shell.opening.on_failure(leave)

    def read() -> str:
        return session.prompt(pre_run=shell.opening.begin)

    return read


def prompt_text(shell: Shell) -> str:
    """Return the prompt: `*` marks an open transaction, `!` one that failed, `@12` a version."""
    if shell.at is not None:
        return f"{NAME}@{shell.at}> "
    if not shell.opening.is_open:
        return f"{NAME}> "
    session = shell.con._session
    if not session.in_transaction:
        return f"{NAME}> "
    return f"{NAME}{'!' if session.transactions.aborted else '*'}> "


def open_history() -> History:
    """Open the history file, readable by its owner only: statements may hold secrets.

    It is `pagelake/history` under XDG_STATE_HOME, or under ~/.local/state. Where it cannot be
    written, the history lasts as long as the shell.
    """
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "pagelake" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return _DiscreetHistory(path)


class _DiscreetHistory(FileHistory):
    """A history file that what begins with a blank does not get into."""

    def store_string(self, string: str) -> None:
        """Append a statement to the file."""
        if not string.startswith(" "):
            super().store_string(string)


def _lexer(text: str) -> Lexer:
    if not text:
        return SimpleLexer()  # the highlighter loads with the first key, not before the prompt
    from .highlight import shell_lexer

    return shell_lexer()


def _style(theme: str) -> BaseStyle:
    if theme == "default":
        return Style(_DEFAULT_STYLE)
    from .highlight import theme_style

    return theme_style(theme)


def _key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @Condition
    def is_whole() -> bool:
        return is_complete(get_app().current_buffer.text)

    @bindings.add("enter", filter=is_whole)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings
