"""Reading CREATE INDEX and DROP INDEX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .statement import CreateIndex, DropIndex

if TYPE_CHECKING:
    from .tokens import TokenStream


def read_create_index(stream: TokenStream, *, unique: bool) -> CreateIndex:
    """Read what comes behind ``CREATE [UNIQUE] INDEX``."""
    if_not_exists = stream.accept("IF", "NOT", "EXISTS")
    name = stream.name().last
    stream.expect("ON")
    table = stream.name()
    if stream.accept("USING"):
        stream.identifier()
    stream.expect("(")
    keys = []
    while True:
        keys.append(stream.text_until(",", ")").strip())
        if stream.accept(","):
            continue
        stream.expect(")")
        return CreateIndex(name, unique, if_not_exists, table, tuple(keys))


def read_drop_index(stream: TokenStream) -> DropIndex:
    """Read what comes behind ``DROP INDEX``."""
    if_exists = stream.accept("IF", "EXISTS")
    names = [stream.name()]
    while stream.accept(","):
        names.append(stream.name())
    return DropIndex(tuple(names), if_exists)
