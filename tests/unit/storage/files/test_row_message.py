"""Messages made without Arrow say what those of Arrow say, in as many bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagelake.storage.files.row_message import message_of

TYPES = (pa.int64(), pa.string(), pa.int32(), pa.binary(), pa.uint32(), pa.timestamp("ns"))
number = st.integers(-(1 << 31), (1 << 31) - 1)
row = st.tuples(number, st.text(), number, st.binary(), st.integers(0, (1 << 32) - 1), number)


@given(rows=st.lists(row, min_size=1, max_size=12))
def test_a_message_is_that_of_arrow(rows: list[tuple[object, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    arrays = [pa.array(c, t) for c, t in zip(columns, TYPES, strict=True)]
    schema = pa.schema([(str(n), t) for n, t in enumerate(TYPES)])
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    message = message_of(TYPES, columns)
    assert message is not None
    read = pa.ipc.read_record_batch(pa.py_buffer(message), schema)
    read.validate(full=True)
    assert read.equals(batch)
    assert len(message) == batch.serialize().size


@pytest.mark.parametrize(
    ("types", "columns"), [((pa.int64(),), [[1, None]]), ((pa.float64(),), [[1.0]])]
)
def test_what_is_left_to_arrow(types: tuple[pa.DataType], columns: list[list[object]]) -> None:
    assert message_of(types, columns) is None
