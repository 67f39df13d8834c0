import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pagelake.extensions.catalog.names import (
    bytes_array,
    bytes_of,
    name_bytes_sql,
    text_array,
    text_of,
)

MARKS = "\U0010ff00\U0010ff41\U0010ffff\U0010feff"
NASTY = [
    b"plain",
    b"new\nline 'quotes\" \\",
    b"caf\xe9",
    bytes(range(128, 256)),
    MARKS.encode(),
    b"\xe2\x82" + MARKS.encode() + b"\xf4\x8f\xbc",
    b"\xed\xa0\x80",  # a surrogate, which UTF-8 does not have
    b"\xc0\xaf\xf8\x88\x80\x80\x80",  # overlong forms
    "日本語 é".encode(),
    b"x" * 255,
]
names = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.text(min_size=1, max_size=5).map(lambda t: t.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from([*NASTY, b"\xf4", b"\x8f", b"\xbc", b"\x80"]), max_size=4).map(
        b"".join
    ),
).map(lambda name: name.replace(b"\0", b"").replace(b"/", b"") or b"x")


@given(st.lists(names, max_size=8))
@example(NASTY)
def test_many_names_at_once_are_each_name_alone_and_come_back(some: list[bytes]) -> None:
    texts = text_array(some)
    texts.validate(full=True)
    assert texts.to_pylist() == [text_of(name) for name in some]
    assert [bytes_of(text) for text in texts.to_pylist()] == some
    assert bytes_array(texts).to_pylist() == some


@given(names, names)
def test_different_names_stay_different(one: bytes, other: bytes) -> None:
    assert (text_of(one) == text_of(other)) == (one == other)


def test_plain_text_stays_as_it_is() -> None:
    assert text_of("Größe 日本 \U0001f600".encode()) == "Größe 日本 \U0001f600"
    assert text_of(b"caf\xe9") == "caf\U0010ffe9"


def test_a_name_that_holds_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        text_array([b"a", b"b\0c"])


def test_null_stays_null() -> None:
    texts = pa.array(["a", None, "caf\U0010ffe9"])
    assert bytes_array(texts).to_pylist() == [b"a", None, b"caf\xe9"]
    assert bytes_array(texts.slice(1)).to_pylist() == [None, b"caf\xe9"]


def test_sql_gives_the_bytes_back() -> None:
    texts = [text_of(name) for name in NASTY]
    found = duckdb.execute(f"SELECT {name_bytes_sql('n')} FROM (SELECT unnest($1) AS n)", [texts])
    assert [row[0] for row in found.fetchall()] == NASTY
