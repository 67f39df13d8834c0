"""A store that opens while the prompt is already there.

Loading the engine takes longer than loading the prompt: the first statement waits for what is
left of it, and hardly anybody types faster than that.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..connection import Connection


class Opening:
    """Opens a store once, in a thread of its own or when it is first needed.

    Args:
        connect: Opens it.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._future: Future[Connection] = Future()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start to open the store, without waiting for it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pagelake-open", daemon=True)
            self._thread.start()

    def connection(self) -> Connection:
        """Return the connection, as soon as it is there.

        Raises:
            Error: The store cannot be opened.
        """
        self.begin()
        return self._future.result()

    @property
    def is_open(self) -> bool:
        """Whether the store is open by now."""
        return self._future.done() and self._future.exception() is None

    @property
    def has_failed(self) -> bool:
        """Whether it proved that the store cannot be opened."""
        return self._future.done() and self._future.exception() is not None

    def on_failure(self, call: Callable[[BaseException], None]) -> None:
        """Let something be called, in any thread, when the store cannot be opened."""

        def look(future: Future[Connection]) -> None:
            error = future.exception()
            if error is not None:
                call(error)

        self._future.add_done_callback(look)

    def close(self) -> None:
        """Close the store, if it was opened."""
        if self._thread is not None and self._future.exception() is None:
            self._future.result().close()

    def _run(self) -> None:
        try:
            self._future.set_result(self._connect())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._future.set_exception(error)
