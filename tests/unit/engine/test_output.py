"""Result formats: golden texts, and round trips of the binary ones."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagelake.engine.output import FORMAT_NAMES, OutputOptions, writer_for
from pagelake.engine.output.format import unique_names
from pagelake.engine.output.terminal import TerminalGuard, cell_width, clip, visible
from pagelake.engine.output.value_text import display_text, json_text


class Rows:
    """A result over record batches, as the formats see one."""

    def __init__(self, table: pa.Table, types: list[str] | None = None, chunk: int = 2) -> None:
        self.columns = table.column_names
        self.types = types or [str(field.type).upper() for field in table.schema]
        self._table = table
        self._chunk = chunk

    def reader(self) -> pa.RecordBatchReader:
        batches = self._table.to_batches(max_chunksize=self._chunk)
        return pa.RecordBatchReader.from_batches(self._table.schema, batches)


class Endless:
    """A result of batches that are made as they are read; counts them."""

    columns = ("n",)
    types = ("BIGINT",)

    def __init__(self, batches: int) -> None:
        self.made = 0
        self._batches = batches

    def reader(self) -> pa.RecordBatchReader:
        def rows():
            for _ in range(self._batches):
                self.made += 1
                yield pa.record_batch({"n": pa.array(range(1000), pa.int64())})

        return pa.RecordBatchReader.from_batches(pa.schema({"n": pa.int64()}), rows())


def written(format_name: str, rows, **options) -> str:
    return written_bytes(format_name, rows, **options).decode()


def written_bytes(format_name: str, rows, **options) -> bytes:
    stream = io.BytesIO()
    writer_for(format_name)(rows, stream, OutputOptions(**options))
    return stream.getvalue()


MIXED = pa.table(
    {
        "n": pa.array([1, None, -30], pa.int64()),
        "price": pa.array([Decimal("12.30"), Decimal("0.00"), None], pa.decimal128(15, 2)),
        "x": pa.array([1.0, float("nan"), float("-inf")]),
        "name": ["plain", 'q"uo,te', None],
        "when": [date(2024, 2, 29), None, date(1, 1, 1)],
    }
)
MIXED_TYPES = ["BIGINT", "DECIMAL(15,2)", "DOUBLE", "VARCHAR", "DATE"]


def test_table_golden():
    assert (
        written("table", Rows(MIXED, MIXED_TYPES))
        == """\
┌────────┬───────────────┬────────┬─────────┬────────────┐
│      n │         price │      x │ name    │ when       │
│ BIGINT │ DECIMAL(15,2) │ DOUBLE │ VARCHAR │ DATE       │
├────────┼───────────────┼────────┼─────────┼────────────┤
│      1 │         12.30 │    1.0 │ plain   │ 2024-02-29 │
│   NULL │          0.00 │    nan │ q"uo,te │ NULL       │
│    -30 │          NULL │   -inf │ NULL    │ 0001-01-01 │
└────────┴───────────────┴────────┴─────────┴────────────┘
"""
    )


def test_csv_golden():
    assert (
        written("csv", Rows(MIXED, MIXED_TYPES))
        == """\
"n","price","x","name","when"
1,12.30,1,"plain","2024-02-29"
,0.00,nan,"q""uo,te",
-30,,-inf,,"0001-01-01"
"""
    )


def test_json_golden():
    assert (
        written("json", Rows(MIXED, MIXED_TYPES))
        == """\
[
{"n":1,"price":12.30,"x":1.0,"name":"plain","when":"2024-02-29"},
{"n":null,"price":0.00,"x":"NaN","name":"q\\"uo,te","when":null},
{"n":-30,"price":null,"x":"-Infinity","name":null,"when":"0001-01-01"}
]
"""
    )


def test_jsonl_golden():
    lines = written("jsonl", Rows(MIXED.slice(0, 1), MIXED_TYPES))
    assert lines == '{"n":1,"price":12.30,"x":1.0,"name":"plain","when":"2024-02-29"}\n'


def test_markdown_golden():
    table = pa.table({"a|b": ["x|y", None], "n": [1, 20]})
    assert (
        written("markdown", Rows(table))
        == """\
| a\\|b |   n |
| ---- | --: |
| x\\|y |   1 |
| NULL |  20 |
"""
    )


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_empty_result(format_name):
    empty = Rows(MIXED.slice(0, 0), MIXED_TYPES)
    raw = written_bytes(format_name, empty)
    if format_name == "json":
        assert json.loads(raw) == []
    elif format_name in {"jsonl", "line", "insert"}:
        assert raw == b""
    elif format_name == "csv":
        assert raw == b'"n","price","x","name","when"\n'
    elif format_name == "arrow":
        assert pa.ipc.open_file(raw).read_all().schema == MIXED.schema
    elif format_name == "parquet":
        assert pq.read_table(io.BytesIO(raw)).schema.names == MIXED.column_names
    else:
        assert "price" in raw.decode()


def test_null_and_empty_string_differ_in_csv():
    text = written("csv", Rows(pa.table({"s": ["", None, "x"]})))
    assert text == '"s"\n""\n\n"x"\n'


def test_csv_survives_a_csv_reader():
    values = ["a,b", 'say "hi"', "two\nlines", "tab\there", "日本", "\x1b[31m", " padded "]
    text = written("csv", Rows(pa.table({"s": values, "n": list(range(len(values)))})))
    read_back = list(csv.reader(io.StringIO(text, newline="")))
    assert read_back[0] == ["s", "n"]
    assert [row[0] for row in read_back[1:]] == values


def test_json_keeps_digits_and_parses():
    digits = "12345678901234567890.123456789012345678"
    table = pa.table(
        {
            "d": pa.array([Decimal(digits)], pa.decimal128(38, 18)),
            "small": pa.array([Decimal("0.00000001")], pa.decimal128(18, 8)),
            "big": pa.array([2**63 - 1], pa.int64()),
            "l": pa.array([[Decimal("1.10"), None]], pa.list_(pa.decimal128(5, 2))),
        }
    )
    text = written("json", Rows(table))
    row = json.loads(text, parse_float=str, parse_int=str)[0]
    assert row == {"d": digits, "small": "0.00000001", "big": str(2**63 - 1), "l": ["1.10", None]}


def test_json_nested_values():
    nested = pa.table(
        {
            "l": pa.array([[1, None], None, []], pa.list_(pa.int32())),
            "f": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)),
            "m": pa.array([[("a%", 1)], None, []], pa.map_(pa.string(), pa.int32())),
            "s": pa.array([{"x%s": "é", "y": [True]}, None, {"x%s": None, "y": None}]),
            "e": pa.array(["red", None, "blue"]).dictionary_encode(),
        }
    )
    # Slices of one row check that offsets of nested arrays are honoured.
    rows = [json.loads(line) for line in written("jsonl", Rows(nested, chunk=1)).splitlines()]
    assert rows == [
        {"l": [1, None], "f": [1, 2], "m": {"a%": 1}, "s": {"x%s": "é", "y": [True]}, "e": "red"},
        {"l": None, "f": None, "m": None, "s": None, "e": None},
        {"l": [], "f": [3, 4], "m": {}, "s": {"x%s": None, "y": None}, "e": "blue"},
    ]
    whole = [json.loads(line) for line in written("jsonl", Rows(nested, chunk=9)).splitlines()]
    assert whole == rows


def test_json_columns_are_embedded_on_one_line():
    column = pa.array(['{"a":\n[1.50]}', "not json", None, "NaN", '"text"'])
    assert json_text(column, "JSON") == [
        '{"a": [1.50]}',
        '"not json"',
        "null",
        '"NaN"',
        '"text"',
    ]


def test_json_escapes_what_a_terminal_obeys():
    text = written("jsonl", Rows(pa.table({"s": ["\x1b[2J\x9b31m\u202e\x7f"]})))
    assert text.isascii()
    assert text.strip().isprintable()
    assert json.loads(text) == {"s": "\x1b[2J\x9b31m\u202e\x7f"}


def test_equal_names_stay_apart_in_json():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "a", "a_1"])
    assert json.loads(written("jsonl", Rows(table))) == {"a": 1, "a_2": 2, "a_1": 3}
    assert unique_names(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("array", "sql_type", "text"),
    [
        (pa.array([datetime(2024, 1, 2, 3, 4, 5)]), "TIMESTAMP", "2024-01-02 03:04:05"),
        (pa.array([datetime(2024, 1, 2, 3, 4, 5, 120000)]), "TIMESTAMP", "2024-01-02 03:04:05.12"),
        (
            pa.array([datetime(2024, 1, 2, tzinfo=UTC)], pa.timestamp("us", "Asia/Kolkata")),
            "TIMESTAMP WITH TIME ZONE",
            "2024-01-02 05:30:00+05:30",
        ),
        (
            pa.array([datetime(2024, 1, 2)], pa.timestamp("us", "UTC")),
            "TIMESTAMP WITH TIME ZONE",
            "2024-01-02 00:00:00+00:00",
        ),
        (pa.array([2**63 - 1]).cast(pa.timestamp("us")), "TIMESTAMP", "infinity"),
        (pa.array([1 - 2**31], pa.int32()).cast(pa.date32()), "DATE", "-infinity"),
        (pa.array([time(1, 2, 3)]), "TIME", "01:02:03"),
        (pa.array([b"\x00\xff"]), "BLOB", "00ff"),
        (pa.array([b"\x05\xfd"]), "BIT", "101"),
        (pa.array([True]), "BOOLEAN", "true"),
        (pa.array([0.1], pa.float32()), "FLOAT", "0.1"),
        (pa.array([1e300]), "DOUBLE", "1e+300"),
        (
            pa.array([(14, 3, 3_500_000_000)], pa.month_day_nano_interval()),
            "INTERVAL",
            "1 year 2 months 3 days 00:00:03.5",
        ),
        (pa.array([(0, 0, 0)], pa.month_day_nano_interval()), "INTERVAL", "00:00:00"),
        (
            pa.array([(-1, 0, -60_000_000_000)], pa.month_day_nano_interval()),
            "INTERVAL",
            "-1 month -00:01:00",
        ),
        (pa.array(["view"], pa.string_view()), "VARCHAR", "view"),
        (pa.array([[1, None]]), "BIGINT[]", "[1,null]"),
    ],
)
def test_spelling_of_values(array, sql_type, text):
    assert display_text(array, sql_type).to_pylist() == [text]


def test_uuid_and_bool_extension_types():
    uuid = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16))], pa.binary(16)))
    assert display_text(uuid).to_pylist() == ["00010203-0405-0607-0809-0a0b0c0d0e0f"]
    flag = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8()))
    assert json_text(flag) == ["true", "null"]


def test_timestamps_in_json_are_iso():
    stamp = pa.array([datetime(2024, 1, 2, 3, 4, 5)])
    assert json_text(stamp) == ['"2024-01-02T03:04:05"']


def test_table_makes_control_characters_visible():
    table = pa.table({"evil\x1b]0;title\x07": ["\x1b[2J", "a\nb\tc", "\u202eabc", "\x9b31m"]})
    text = written("table", Rows(table), width_cells=80)
    assert all(character.isprintable() for character in text.replace("\n", ""))
    for spelled in ("\\x1b]0;title\\x07", "\\x1b[2J", "a\\nb\\tc", "\\u202eabc", "\\x9b31m"):
        assert spelled in text
    assert len(text.splitlines()) == 4 + 4 + 1


@pytest.mark.parametrize("width", [20, 40, 60, 79, 200])
def test_table_fits_the_window(width):
    table = pa.table(
        {
            "id": [1, 1234567],
            "wide": ["日本語" * 20, "é"],
            **{f"column_{i}": ["text that is long", None] for i in range(8)},
            "last": [1.5, None],
        }
    )
    text = written("table", Rows(table), width_cells=width)
    widths = {cell_width(line) for line in text.splitlines()}
    assert len(widths) == 1
    assert widths.pop() <= width


def test_table_never_cuts_a_number():
    table = pa.table({"text": ["x" * 100], "n": [1234567890123]})
    text = written("table", Rows(table), width_cells=40)
    assert "1234567890123" in text
    assert "…" in text


def test_table_says_which_columns_it_left_out():
    table = pa.table({f"c{i}": [10**12] for i in range(20)})
    stream = io.BytesIO()
    summary = writer_for("table")(Rows(table), stream, OutputOptions(width_cells=60))
    assert summary.columns == 20
    shown = [name for name in table.column_names if f" {name} " in stream.getvalue().decode()]
    assert len(shown) == summary.columns_shown < 20
    assert "c0" in shown
    assert "c19" in shown


def test_null_is_dim_only_with_colour():
    rows = pa.table({"s": ["NULL", None]})
    assert "\x1b" not in written("table", Rows(rows))
    coloured = written("table", Rows(rows), colour=True)
    assert coloured.count("\x1b[2mNULL\x1b[0m") == 1
    assert "(none)" in written("table", Rows(rows), null_text="(none)")


@pytest.mark.parametrize("format_name", ["table", "markdown"])
def test_row_limit_counts_the_rest(format_name):
    stream = io.BytesIO()
    summary = writer_for(format_name)(Endless(10), stream, OutputOptions(max_rows=1500))
    assert (summary.rows, summary.rows_shown) == (10_000, 1500)
    assert len(stream.getvalue().splitlines()) < 1510
    stream = io.BytesIO()
    summary = writer_for(format_name)(Endless(3), stream, OutputOptions(max_rows=0))
    assert (summary.rows, summary.rows_shown) == (3_000, 3_000)


@pytest.mark.parametrize("format_name", ["csv", "json", "jsonl", "arrow", "parquet"])
def test_batches_are_written_as_they_come(format_name):
    result = Endless(300)
    progress: list[tuple[int, int]] = []

    class Sink(io.BytesIO):
        def write(self, chunk) -> int:
            progress.append((result.made, len(bytes(chunk))))
            return super().write(chunk)

    summary = writer_for(format_name)(result, Sink(), OutputOptions())
    assert summary.rows == summary.rows_shown == 300_000
    early = sum(size for made, size in progress if made <= 150)
    assert early > sum(size for _, size in progress) / 10


@pytest.mark.parametrize("format_name", FORMAT_NAMES)
def test_poll_stops_the_output(format_name):
    result = Endless(100)

    def poll() -> None:
        if result.made > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written_bytes(format_name, result, poll=poll)
    assert result.made < 10


def test_arrow_file_and_stream():
    raw = written_bytes("arrow", Rows(MIXED))
    assert pa.ipc.open_file(raw).read_all().equals(MIXED, check_metadata=False) is False  # NaN
    assert pa.ipc.open_file(raw).read_all().drop_columns("x") == MIXED.drop_columns("x")

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    writer_for("arrow")(Rows(MIXED), pipe, OutputOptions())
    assert pa.ipc.open_stream(pipe.getvalue()).read_all().drop_columns("x") == MIXED.drop_columns(
        "x"
    )


def test_parquet_round_trip_in_row_groups():
    raw = written_bytes("parquet", Endless(200))
    file = pq.ParquetFile(io.BytesIO(raw))
    assert file.metadata.num_rows == 200_000
    assert file.metadata.row_group(0).num_rows == 122_880
    assert file.metadata.num_row_groups == 2
    interval = pa.table({"i": pa.array([(1, 0, 0)], pa.month_day_nano_interval())})
    again = pq.read_table(io.BytesIO(written_bytes("parquet", Rows(interval))))
    assert again.to_pylist() == [{"i": "1 month"}]


def test_visible_and_widths():
    assert visible("plain é 日本") == "plain é 日本"
    assert visible("\x00\r\x85") == "\\x00\\r\\x85"
    assert cell_width("日本") == 4
    assert clip("日本語", 5) == "日本…"
    assert clip("abcdef", 4) == "abc…"
    assert clip("abc", 3) == "abc"


def test_terminal_guard_joins_split_characters():
    terminal = io.BytesIO()
    guard = TerminalGuard(terminal)
    raw = "a\x1b[31m\té\n".encode()
    for index in range(len(raw)):
        guard.write(raw[index : index + 1])
    assert terminal.getvalue().decode() == "a\\x1b[31m\té\n"
