"""The SQL shell: an interactive prompt, scripts from a file or standard input, dot commands.

prompt or script -> scanner (statements, dot commands) -> connection -> presenter -> terminal
"""

from __future__ import annotations

from .cancellation import run_cancellable
from .presenter import Presenter
from .repl import Shell

__all__ = ["Presenter", "Shell", "run_cancellable"]
