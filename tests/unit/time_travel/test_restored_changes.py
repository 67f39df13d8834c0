"""The changes that a RESTORE makes: exactly the rows that are not as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import pagelake
from pagelake.engine.leaves.same_values import same_values

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect(settings={"background_maintenance": False}) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b VARCHAR, f DOUBLE, l INTEGER[])")
        connection.execute(  # version 2
            "INSERT INTO t SELECT i, 'b' || i, CASE i WHEN 3 THEN 'nan'::DOUBLE WHEN 4 THEN NULL "
            "ELSE i / 3 END, CASE WHEN i % 3 > 0 THEN range(i) END FROM range(10) r(i)"
        )
        yield connection


def changes_of(db: pagelake.Connection, version: int) -> list[tuple[object, ...]]:
    return db.sql(
        "SELECT change_type, a, b FROM pagelake.table_changes('t', $1, $1) ORDER BY row_id, 1 DESC",
        [version],
    ).fetchall()


def test_only_rows_that_differ_are_changes(db: pagelake.Connection) -> None:
    db.execute("UPDATE t SET b = 'x' WHERE a = 5")
    db.execute("DELETE FROM t WHERE a = 6")
    db.execute("INSERT INTO t (a, b) VALUES (10, 'new')")
    db.execute("CALL pagelake.compact('t')")  # version 6: the same rows in other row groups
    db.execute("RESTORE t TO VERSION 2")
    assert changes_of(db, 7) == [
        ("update_preimage", 5, "x"),
        ("update_postimage", 5, "b5"),
        ("insert", 6, "b6"),
        ("delete", 10, "new"),
    ]


def test_a_restore_after_a_compaction_alone_changes_nothing(db: pagelake.Connection) -> None:
    db.execute("INSERT INTO t VALUES (20, NULL, -0.0, [NULL])")
    db.execute("CALL pagelake.compact('t')")
    db.execute("RESTORE t TO VERSION 3")
    assert changes_of(db, 5) == []
    db.execute("RESTORE t TO VERSION 3")
    assert changes_of(db, 6) == []


def test_a_row_that_was_updated_there_and_back_is_seen(db: pagelake.Connection) -> None:
    """Its row group stays, but the row lies in another one then."""
    db.execute("UPDATE t SET b = 'x' WHERE a = 5")  # version 3
    db.execute("RESTORE t TO VERSION 2")
    assert changes_of(db, 4) == [("update_preimage", 5, "x"), ("update_postimage", 5, "b5")]
    db.execute("RESTORE t TO VERSION 3")
    assert changes_of(db, 5) == [("update_preimage", 5, "b5"), ("update_postimage", 5, "x")]


def test_an_update_to_the_same_value_is_undone_without_a_change(db: pagelake.Connection) -> None:
    db.execute("UPDATE t SET b = b, l = l, f = f")
    assert len(changes_of(db, 3)) == 20
    db.execute("RESTORE t TO VERSION 2")
    assert changes_of(db, 4) == []


NAN = float("nan")
INTERVAL = pa.month_day_nano_interval()


@pytest.mark.parametrize(
    ("kind", "left", "right", "expected"),
    [
        (pa.int32(), [1, None, 3, None], [1, None, 4, 5], "TTFF"),
        (pa.float64(), [NAN, 0.0, 1.5, None], [NAN, -0.0, 1.5, NAN], "TFTF"),
        (pa.string(), ["a", "", None], ["a", None, None], "TFT"),
        (pa.binary(), [b"a", b""], [b"a", b"b"], "TF"),
        (pa.bool_(), [True, False, None], [True, True, None], "TFT"),
        (pa.decimal128(9, 2), [None, 1], [None, 2], "TF"),
        (INTERVAL, [(1, 2, 3), (1, 2, 3), None], [(1, 2, 3), (1, 2, 4), None], "TFT"),
        (
            pa.list_(pa.int8()),
            [[1, 2], [], None, [None], [1], [2, 3], [5]],
            [[1, 2], None, None, [None], [1, 1], [2, 4], [5]],
            "TFTTFFT",
        ),
        (pa.list_(pa.list_(pa.string())), [[["a"], []], [[]]], [[["a"], []], [["b"]]], "TF"),
        (pa.list_(pa.int8(), 2), [[1, 2], [3, 4], None], [[1, 2], [3, 5], None], "TFT"),
        (
            pa.struct([("x", pa.int8()), ("y", pa.list_(pa.int8()))]),
            [{"x": 1, "y": [1]}, {"x": None, "y": None}, {"x": 1, "y": [2]}, None],
            [{"x": 1, "y": [1]}, {"x": None, "y": None}, {"x": 1, "y": [3]}, None],
            "TTFT",
        ),
        (
            pa.map_(pa.string(), pa.int8()),
            [[("a", 1)], [("a", 1)], [], None],
            [[("a", 1)], [("a", 2)], [("a", 2)], None],
            "TFFT",
        ),
    ],
)
def test_values_are_compared_by_position(
    kind: pa.DataType, left: list[object], right: list[object], expected: str
) -> None:
    ours, theirs = pa.array(left, kind), pa.array(right, kind)
    flags = [flag == "T" for flag in expected]
    assert same_values(ours, theirs).tolist() == flags
    # Slices have offsets of their own.
    assert same_values(ours[1:], theirs[1:]).tolist() == flags[1:]
    twice, dictionary = pa.concat_arrays([ours, theirs]), pa.types.is_string(kind)
    assert same_values(twice[len(ours) :], theirs).all()
    if dictionary:
        assert same_values(ours.dictionary_encode(), theirs.dictionary_encode()).tolist() == flags
