"""Scripts: what is no text at all."""

from __future__ import annotations

import pytest

import pagelake


@pytest.mark.parametrize("text", ["SELECT '\ud800'", "SELECT 1; SEL\udce9CT 2"])
def test_half_a_character_is_a_syntax_error(text: str) -> None:
    with pagelake.connect() as db, pytest.raises(pagelake.ParseError, match="surrogates"):
        db.sql(text)
