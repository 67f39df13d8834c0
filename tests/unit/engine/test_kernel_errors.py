"""Errors of the kernel and of the operating system, whatever way they come."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake.engine.kernel_errors import carry, translate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT i::VARCHAR AS s FROM range(300000) r(i)")
        connection.execute("INSERT INTO t VALUES ('x')")
        yield connection


def test_an_error_in_a_stream_of_batches_keeps_its_kind(db: pagelake.Connection) -> None:
    stream = db.sql("SELECT s::INTEGER FROM t").reader()
    with pytest.raises(pagelake.InvalidValue, match="Could not convert string 'x'") as caught:
        for _ in stream:
            pass
    assert "line 1, column 9" in str(caught.value)
    assert "Error:" not in str(caught.value)
    for sql in ("CREATE TABLE u AS SELECT s::INTEGER AS i FROM t", "SELECT s::INTEGER FROM t"):
        with pytest.raises(pagelake.InvalidValue):
            db.sql(sql).fetchall()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Conversion Error: no number", pagelake.InvalidValue),
        ("Out of Range Error: too large", pagelake.InvalidValue),
        ("Out of Memory Error: failed to pin block", pagelake.LimitExceeded),
        ("Constraint Error: NOT NULL", pagelake.ConstraintViolation),
        ("Not implemented Error: later", pagelake.Unsupported),
        ("IO Error: No space left on device", pagelake.StorageFull),
        ("INTERNAL Error: assertion", pagelake.InternalError),
        ("INTERRUPT Error: Interrupted!", pagelake.Interrupted),
        ("Unheard Of Error: what", pagelake.InvalidRequest),
        ("nobody knows", pagelake.InternalError),
    ],
)
def test_a_text_tells_the_kind(text: str, kind: type[pagelake.Error]) -> None:
    translated = translate(OSError(text), "SELECT 1")
    assert type(translated) is kind


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, pagelake.StorageFull),
        (errno.EDQUOT, pagelake.StorageFull),
        (errno.EIO, pagelake.Unavailable),
        (errno.EMFILE, pagelake.Unavailable),
    ],
)
def test_the_operating_system_is_told_from_the_kernel(
    number: int, kind: type[pagelake.Error]
) -> None:
    error = OSError(number, "it says why", "/somewhere/segment")
    translated = translate(error, "SELECT 1")
    assert type(translated) is kind
    assert translated.message == "it says why: /somewhere/segment"
    assert translated.hint


def test_an_error_of_our_own_comes_back_from_the_kernel() -> None:
    own = pagelake.Corrupt("a page", file="segments/1")
    assert translate(carry(own), "SELECT 1") is own
