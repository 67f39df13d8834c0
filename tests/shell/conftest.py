"""Shells to talk to: one for each module, since starting one takes most of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from tests.shell.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SETUP = """
CREATE TABLE fruit (name VARCHAR, price DECIMAL(8, 2), picked DATE);
INSERT INTO fruit VALUES ('apple', 1.20, NULL), ('pear', 12.50, DATE '2026-09-01'), (NULL, 3, NULL);
CREATE TABLE "odd name" (id INTEGER PRIMARY KEY, "order" VARCHAR DEFAULT 'x');
CREATE VIEW cheap AS SELECT name, price FROM fruit WHERE price < 10;
CREATE SCHEMA sales;
CREATE TABLE sales.orders (order_id BIGINT, customer VARCHAR);
CREATE TABLE numbers AS SELECT range AS n, n % 10 AS digit FROM range(300_000);
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a few tables."""
    path: Path = tmp_path_factory.mktemp("shell") / "test.lake"
    with pagelake.connect(path) as con:
        con.execute(SETUP).fetchall()
    return path


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of history and settings."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def shell(store: Path, state: Path) -> Iterator[Terminal]:
    """A shell on the store, ready."""
    terminal = Terminal(store, state, PAGELAKE_SHELL_PAGER="off")
    yield terminal.await_prompt()
    terminal.close()


@pytest.fixture
def start(store: Path, state: Path) -> Iterator[Callable[..., Terminal]]:
    """Start further shells on the store; all are ended with the test."""
    started: list[Terminal] = []

    def begin(*arguments: str, **options: object) -> Terminal:
        terminal = Terminal(store, state, *arguments, **options)
        started.append(terminal)
        return terminal

    yield begin
    for terminal in started:
        terminal.close()
