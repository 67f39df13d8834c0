"""The tail of a key index: codes that appends tell are searched without a look at their rows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pagelake.storage.delete_vector import positions_of
from pagelake.storage.devices.memory_device import MemoryDevice
from pagelake.storage.effects import Append, AppendedKeys, CreateTable, RowGroup, TableDefinition
from pagelake.storage.environment import Environment
from pagelake.storage.keys import key_index
from pagelake.storage.keys.codes import key_codes
from pagelake.storage.keys.key_index import KeyIndexes
from pagelake.storage.maintenance.check import check
from pagelake.storage.maintenance.finding import Severity
from pagelake.storage.store import Store
from tests.unit.storage.builders import TABLE, column, commit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pagelake.storage.snapshot import TableState

Rows = list[tuple[int | None, str | None]]
NUMBER, BOTH = (1,), (1, 2)
DEFINITION = TableDefinition(TABLE, "main", "t", (column(), column(2, "b", pa.string())), 3)


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store(MemoryDevice(), environment=Environment(threads=False))) as store:
        commit(store, CreateTable(DEFINITION))
        yield store


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of row groups that are decoded for their keys."""
    groups: list[str] = []
    read_run = key_index.read_run

    def noting(store: Any, definition: Any, several: list[RowGroup], columns: Any) -> Any:
        groups.extend(group.id for group in several)
        return read_run(store, definition, several, columns)

    monkeypatch.setattr(key_index, "read_run", noting)
    return groups


def arrays(rows: Rows) -> list[pa.Array]:
    numbers, texts = zip(*rows, strict=True)
    return [pa.array(numbers, pa.int64()), pa.array(texts, pa.string())]


def told(rows: Rows) -> tuple[AppendedKeys, ...]:
    """What a statement that appends rows tells of both keys."""
    keys = []
    for columns in (NUMBER, BOTH):
        found = key_codes([arrays(rows)[c - 1] for c in columns])
        codes = found.codes if found.valid is None else found.codes[found.valid]
        keys.append(AppendedKeys(columns, codes.astype("<u8").tobytes()))
    return tuple(keys)


def append(*groups: tuple[str, Rows], tell: bool = True) -> Append:
    made = []
    for name, rows in groups:
        batch = pa.record_batch(arrays(rows), names=["1", "2"])
        message = batch.serialize().to_pybytes()
        made.append(RowGroup(name, len(rows), inline=message, inline_columns=(1, 2)))
    keys = told([row for _, rows in groups for row in rows]) if tell else ()
    return Append(TABLE, tuple(made), True, keys)


def found(store: Store, *keys: tuple[int, str]) -> list[list[tuple[int, str, int]]]:
    """For each of the keys where it is found: index of the key, row group and position."""
    state: TableState = store.snapshot().tables[TABLE]
    answers = []
    for columns in (NUMBER, BOTH):
        index = KeyIndexes(store).of(state, columns)
        assert index is not None
        rows = index.find(state, [arrays([*keys])[c - 1] for c in columns])
        places = zip(rows.keys.tolist(), rows.groups.tolist(), rows.positions.tolist(), strict=True)
        answers.append(sorted((k, state.row_groups[g].id, p) for k, g, p in places))
    return answers


FIRST: Rows = [(1, "a"), (2, "b")]
SECOND: Rows = [(3, "c")]
THIRD: Rows = [(4, "d"), (5, "e"), (6, "f")]


@pytest.mark.parametrize("tell", [True, False])
def test_what_is_told_is_found_where_it_lies(
    store: Store, decoded: list[str], *, tell: bool
) -> None:
    commit(store, append(("first", FIRST), ("second", SECOND), tell=tell))
    commit(store, append(("third", THIRD), tell=True))
    wanted = [(5, "e"), (3, "c"), (2, "b"), (2, "x"), (7, "a")]
    places = [(0, "third", 1), (1, "second", 0), (2, "first", 1)]
    assert found(store, *wanted) == [[*places, (3, "first", 1)], places]
    assert decoded == ([] if tell else ["first", "second"] * 2)


def test_rows_with_a_null_are_decoded_for_that_key_alone(store: Store, decoded: list[str]) -> None:
    commit(store, append(("nulls", [(1, "a"), (2, None), (3, "c")])))
    places = [(0, "nulls", 2)]
    assert found(store, (3, "c"), (2, "b")) == [[*places, (1, "nulls", 1)], places]
    assert decoded == ["nulls"], "of the key on both columns"


def test_another_row_of_the_same_code_is_not_taken_for_it(store: Store) -> None:
    collides = told([(1, "a")])
    group = append(("first", [(9, "z")])).row_groups
    commit(store, Append(TABLE, group, True, (collides[1],)))
    assert found(store, (1, "a"), (9, "z"))[1] == []
    assert found(store, (9, "z"))[0] == [(0, "first", 0)]


def test_deleted_rows_are_not_found(store: Store) -> None:
    commit(store, append(("first", FIRST)))
    transaction = store.begin()
    transaction.delete("DELETE", TABLE, {"first": positions_of([0])}, told(FIRST[:1]))
    transaction.commit()
    assert found(store, *FIRST) == [[(1, "first", 1)]] * 2


def test_what_a_checkpoint_does_not_tell_is_decoded(store: Store, decoded: list[str]) -> None:
    commit(store, append(("first", FIRST)))
    store.checkpoint()
    commit(store, append(("second", SECOND)))
    again = Store(store.device, environment=Environment(threads=False))
    places = [(0, "second", 0), (1, "first", 0)]
    assert found(again, (3, "c"), (1, "a")) == [places, places]
    assert decoded == ["first"] * 2


def test_codes_that_are_not_those_of_the_rows_are_damage(store: Store) -> None:
    commit(store, append(("first", FIRST), ("second", SECOND)))
    commit(store, append(("nulls", [(7, "a"), (8, None)])))
    assert list(check(store)) == []
    group = append(("third", THIRD)).row_groups
    commit(store, Append(TABLE, group, True, told([THIRD[1], THIRD[0], THIRD[2]])))
    (finding,) = check(store)
    assert finding.severity is Severity.DAMAGE
    assert "keys" in finding.what


def test_codes_are_kept_with_their_rows(store: Store) -> None:
    commit(store, append(("first", FIRST), ("second", SECOND)))
    groups = store.snapshot().tables[TABLE].row_groups
    for group, rows in zip(groups, (FIRST, SECOND), strict=True):
        assert group.told == told(rows)
        numbers = np.frombuffer(group.told[0].codes, "<u8") ^ np.uint64(1 << 63)
        assert numbers.tolist() == [number for number, _ in rows]
