"""What tells results apart is never less than what makes them differ."""

from __future__ import annotations

import datetime
import uuid
import zoneinfo
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pagelake.engine.result_cache.identity import (
    NoIdentity,
    canonical_text,
    copied,
    parameter_identity,
    parameters_identity,
)

_NOON = datetime.datetime(2024, 7, 1, 12)
_APART: list[object] = [
    1, 1.0, True, "1", b"1", Decimal(1), Decimal("1.0"), Decimal("-0"), Decimal(0), 0, 0.0, -0.0,
    False, None, "", b"", [], (), {}, [1], (1,), [True], [[1]], {1: 2}, {True: 2}, {"1": 2},
    2**70, float(2**70), float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"),
    _NOON, _NOON.date(), _NOON.time(), _NOON.replace(tzinfo=datetime.UTC),
    _NOON.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    _NOON.replace(tzinfo=zoneinfo.ZoneInfo("Africa/Cairo")),
    datetime.time(12, tzinfo=datetime.UTC),
    datetime.timedelta(hours=12), datetime.timedelta(days=12), uuid.UUID(int=1),
]  # fmt: skip


def test_values_that_differ_in_anything_are_told_apart() -> None:
    found = [parameter_identity(value) for value in _APART]
    assert len(set(found)) == len(_APART)
    assert found == [parameter_identity(copied(value)) for value in _APART]


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1),
        np.int64(1),
        pd.Timestamp("2024-01-01"),
        bytearray(b"1"),
        {1},
        range(3),
        object(),
        [object()],
        {"a": np.int64(1)},
        datetime.datetime(2024, 1, 1, tzinfo=type("Zone", (datetime.tzinfo,), {})()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_other_types_have_no_identity(value: object) -> None:
    with pytest.raises(NoIdentity):
        parameter_identity(value)


def test_parameters_that_are_no_plain_container_have_none() -> None:
    with pytest.raises(NoIdentity):
        parameters_identity(np.array([1, 2]))  # type: ignore[arg-type]
    assert parameters_identity(None) == parameters_identity([]) == parameters_identity(())
    assert parameters_identity([1]) == parameters_identity((1,)) != parameters_identity({"1": 1})


@pytest.mark.parametrize(
    ("sql", "same"),
    [
        ("SELECT  1\t+ 2 ", "SELECT 1 + 2"),
        ("SELECT\n  a\n\n  FROM t", "SELECT\na\nFROM t"),
    ],
)
def test_gaps_do_not_matter(sql: str, same: str) -> None:
    assert canonical_text(sql) == canonical_text(same)


@pytest.mark.parametrize(
    ("sql", "other"),
    [
        ("SELECT 'a  b'", "SELECT 'a b'"),
        ("SELECT 'it''s  a'", "SELECT 'it''s a'"),
        ('SELECT "a  b" FROM t', 'SELECT "a b" FROM t'),
        ('SELECT "a""  b" FROM t', 'SELECT "a"" b" FROM t'),
        ("SELECT e'it\\'s  a'", "SELECT e'it\\'s a'"),
        ("SELECT $$a  b$$", "SELECT $$a b$$"),
        ("SELECT $x$a'  b$x$", "SELECT $x$a' b$x$"),
        ("SELECT 'a' 'b'", "SELECT 'a'\n'b'"),
        ("SELECT 'a' -- x\n'b'", "SELECT 'a'\n'b'"),
        ("SELECT 1 -- '\n, 'a  b'", "SELECT 1 -- '\n, 'a b'"),
        ("SELECT a b", "SELECT ab"),
        ("SELECT 1 - -1", "SELECT 1 --1"),
        ("SELECT A", "SELECT a"),
        ("SELECT 'A'", "SELECT 'a'"),
        ("SELECT '/*'  ,  '  */'", "SELECT '/*'  ,  ' */'"),
    ],
)
def test_what_may_matter_stays(sql: str, other: str) -> None:
    assert canonical_text(sql) != canonical_text(other)
