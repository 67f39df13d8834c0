"""The command line: commands, formats, errors and exit statuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pagelake.engine.cli import parameter_value

COMMAND = [sys.executable, "-m", "pagelake"]
ENDLESS = "SELECT count(*) FROM range(20000000) a, range(20000000) b WHERE a.range + b.range = -1"


@pytest.fixture
def store(store_path, run):
    """A store with the table `t`: n 0…4 and s."""
    sql = "CREATE TABLE t AS SELECT range::INTEGER AS n, 's' || range AS s FROM range(5)"
    status, _, err = run("query", store_path, sql)
    assert (status, err) == (0, "")
    return store_path


def test_help_and_version_do_not_load_the_engine():
    code = (
        "import sys\n"
        "from pagelake.engine.cli import main\n"
        "for arguments in (['--help'], ['--version'], ['query', '--help'], ['load', '--help']):\n"
        "    try:\n"
        "        main(arguments)\n"
        "    except SystemExit as ended:\n"
        "        assert ended.code == 0, arguments\n"
        "heavy = {'duckdb', 'pyarrow', 'sqlglot', 'numpy', 'prompt_toolkit', 'rich'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("command", ["shell", "query", "load", "info"])
def test_help_has_examples(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert "Examples:" in out
    assert f"pagelake {command} " in out or command == "shell"


def test_help_lists_every_command(run):
    status, out, _ = run("--help")
    assert status == 0
    for command in ("shell", "query", "load", "info", "tpch"):
        assert re.search(rf"^  {command} ", out, re.MULTILINE)


def test_query_formats(run, store):
    select = "SELECT n, s FROM t WHERE n < 2 ORDER BY n"
    assert run("query", store, select, "--format", "csv")[1] == '"n","s"\n0,"s0"\n1,"s1"\n'
    assert run("query", store, select, "--format", "jsonl")[1] == (
        '{"n":0,"s":"s0"}\n{"n":1,"s":"s1"}\n'
    )
    assert json.loads(run("query", store, select, "-f", "json")[1])[1] == {"n": 1, "s": "s1"}
    table = run("query", store, select)[1]
    assert table.endswith("┘\n2 rows\n")
    assert "\x1b" not in table
    assert run("query", store, select, "-f", "markdown")[1].count("\n") == 4


def test_query_writes_files_by_ending(run, store, tmp_path):
    select = "SELECT n, s FROM t ORDER BY n"
    for ending in ("parquet", "arrow", "csv", "json"):
        assert run("query", store, select, "--output", tmp_path / f"out.{ending}") == (0, "", "")
    expected = {"n": [0, 1, 2, 3, 4], "s": ["s0", "s1", "s2", "s3", "s4"]}
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == expected
    with pa.memory_map(str(tmp_path / "out.arrow")) as source:
        assert pa.ipc.open_file(source).read_all().to_pydict() == expected
    assert pa.csv.read_csv(tmp_path / "out.csv").to_pydict() == expected
    assert len(json.loads((tmp_path / "out.json").read_text())) == 5


def test_failed_query_leaves_no_file_and_keeps_the_old_one(run, store, tmp_path):
    kept = tmp_path / "kept.csv"
    kept.write_text("before")
    status, _, _ = run("query", store, "SELECT 1 AS a; SELECT error('x')", "--output", kept)
    assert status != 0
    assert kept.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path != store] == ["kept.csv"]


def test_several_statements(run, store):
    script = "SELECT 1 AS a; SELECT 2 AS b"
    assert run("query", store, script, "-f", "jsonl")[1] == '{"b":2}\n'
    out = run("query", store, script)[1]
    assert out.count("1 row") == 2


def test_parameters(run, store):
    select = "SELECT s FROM t WHERE n = $1 OR s = $2 ORDER BY n"
    arguments = ("--param", "1", "--param", "s3", "--format", "csv")
    assert run("query", store, select, *arguments)[1] == '"s"\n"s1"\n"s3"\n'
    status, _, err = run("query", store, "SELECT 1; SELECT $1", "--param", "1")
    assert status == 65
    assert "--param" in err


def test_parameter_values():
    assert parameter_value("7") == 7
    assert str(parameter_value("1.50")) == "1.50"
    assert parameter_value("TRUE") is True
    assert parameter_value("null") is None
    assert parameter_value("'7'") == "7"
    assert parameter_value("it''s") == "it''s"
    assert parameter_value("'it''s'") == "it's"
    assert parameter_value("nan") == "nan"
    assert parameter_value("2024-01-01") == "2024-01-01"


def test_max_rows_is_told(run, store):
    out = run("query", store, "FROM t", "--max-rows", "2")[1]
    assert out.endswith("2 of 5 rows\n")
    markdown = run("query", store, "FROM t", "--max-rows", "2", "-f", "markdown")[1]
    assert "2 of 5 rows" in markdown


def test_parse_error_shows_the_place(run, store):
    status, out, err = run("query", store, "SELECT 1 +\nFROM WHERE")
    assert status == 65
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert re.search(r"^ +\^$", err, re.MULTILINE)


def test_unknown_table(run, store):
    status, _, err = run("query", store, "SELECT * FROM nothing_like_it")
    assert status == 65
    assert "nothing_like_it" in err


def test_debug_prints_the_traceback(store_path):
    done = subprocess.run(
        [*COMMAND, "--debug", "query", store_path, "SELEC 1"], capture_output=True, text=True
    )
    assert done.returncode == 65
    assert "Traceback" in done.stderr
    assert done.stderr.rstrip().count("error: ") == 1


def test_read_only_refuses_writes(run, store):
    status, _, err = run("query", store, "CREATE TABLE u (a INTEGER)", "--read-only")
    assert status != 0
    assert err.startswith("error: ")
    assert run("query", store, "SELECT count(*) AS c FROM t", "--read-only", "-f", "csv")[0] == 0


def test_wrong_use_is_status_2(run, store):
    assert run("query")[0] == 2
    assert run("query", store, "SELECT 1", "--format", "xml")[0] == 2
    assert run("load", store, "t", "absent.csv")[0] == 2


def test_misspelt_command_does_not_make_a_store(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = run("qurey")
    assert status == 2
    assert "'query'" in err
    assert list(tmp_path.iterdir()) == []


def test_binary_format_refuses_a_terminal(store):
    import pexpect

    child = pexpect.spawn(
        sys.executable,
        ["-m", "pagelake", "query", str(store), "SELECT 1", "--format", "parquet"],
        encoding="utf-8",
        timeout=20,
    )
    child.expect(pexpect.EOF)
    child.close()
    assert "--output" in child.before
    assert child.exitstatus == 2


def test_broken_pipe_is_quiet(store):
    with subprocess.Popen(
        [*COMMAND, "query", store, "SELECT * FROM range(5000000)", "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout.readline() == b'"range"\n'
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 128 + signal.SIGPIPE


def test_ctrl_c_cancels_with_130(store):
    sql = f"SELECT 'ready' AS s; {ENDLESS}"
    with subprocess.Popen(
        [*COMMAND, "query", store, sql], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        # The first result is flushed before the second statement is sent.
        assert any(b"1 row" in line for line in iter(running.stdout.readline, b""))
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 130
    assert b"Traceback" not in err


def test_script_on_standard_input(store):
    done = subprocess.run(
        [*COMMAND, store],
        input="SELECT 1 AS a;\nSELECT ';' AS b\n;\n.mode csv\nSELECT 3 AS c; -- last\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 row") == 2
    assert done.stdout.endswith('"c"\n3\n')
    assert "pagelake>" not in done.stdout


def test_script_stops_at_its_first_error(store):
    done = subprocess.run(
        [*COMMAND, "shell", store],
        input="SELECT 1 AS first;\n\nSELECT * FROM absent;\nSELECT 2 AS second;\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 65
    assert "first" in done.stdout
    assert "second" not in done.stdout
    assert "line 3 of standard input" in done.stderr


def test_commands_by_option(run, store):
    status, out, _ = run(store, "-c", "SELECT 1 AS a", "-c", ".tables", "--format", "csv")
    assert (status, out) == (0, '"a"\n1\nt\n')


def test_query_reads_standard_input(store):
    done = subprocess.run(
        [*COMMAND, "query", store, "-", "--format", "csv"],
        input="SELECT count(*) AS c FROM t",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, '"c"\n5\n')


def test_load_creates_then_appends(run, store_path, tmp_path):
    rows = pa.table({"id": [1, 2, 3], "Name": ["a", None, "ü"]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    pa.csv.write_csv(rows, tmp_path / "rows.csv")
    with pa.ipc.new_file(str(tmp_path / "rows.arrow"), rows.schema) as writer:
        writer.write(rows)
    (tmp_path / "rows.jsonl").write_text('{"id": 4, "Name": "b"}\n')
    status, out, err = run("load", store_path, "main.people", tmp_path / "rows.parquet")
    assert (status, err) == (0, "")
    assert re.fullmatch(r"3 rows into main\.people in .* \([\d,]+ rows/s\)\n", out)
    files = [tmp_path / f"rows.{ending}" for ending in ("csv", "arrow", "jsonl")]
    assert run("load", store_path, "people", *files, "--quiet") == (0, "", "")
    select = 'SELECT count(*) AS c, sum(id)::INTEGER AS s, count("Name") AS n FROM people'
    assert run("query", store_path, select, "-f", "jsonl")[1] == '{"c":10,"s":22,"n":7}\n'


def test_failed_load_changes_nothing(run, store_path, tmp_path):
    (tmp_path / "good.csv").write_text("a,b\n1,2\n")
    (tmp_path / "bad.csv").write_text("a\n1\n")
    files = (tmp_path / "good.csv", tmp_path / "bad.csv")
    status, _, err = run("load", store_path, "pairs", *files)
    assert status != 0
    assert err.startswith("error: ")
    assert run("query", store_path, "SELECT * FROM pairs")[0] == 65


def test_load_refuses_unknown_endings(run, store_path, tmp_path):
    (tmp_path / "rows.xlsx").write_bytes(b"")
    status, _, err = run("load", store_path, "t", tmp_path / "rows.xlsx")
    assert status == 65
    assert "parquet" in err


def test_info(run, store):
    status, out, err = run("info", store)
    assert (status, err) == (0, "")
    heads = dict(re.split(r"  +", line, maxsplit=1) for line in out.split("\n\n")[0].splitlines())
    assert re.fullmatch(r"[0-9a-f]{32}", heads["store id"])
    assert heads["format version"] == "1"
    assert heads["version"] == "1"
    assert re.fullmatch(r"[\d.]+ (bytes|KiB) in \d+ segments?", heads["truth"])
    assert re.search(r"│ main +│ t +│ table +│ +2 │ +5 │", out)
    assert "hot_bytes_max" in out
    description = json.loads(run("info", store, "--format", "json")[1])
    assert {"store", "tables", "segments", "hot_segments", "settings"} <= set(description)
    assert [table["rows"] for table in description["tables"]] == [5]


def test_info_does_not_make_a_store(run, tmp_path):
    status, _, err = run("info", tmp_path / "absent.lake")
    assert status == 66
    assert err.startswith("error: ")
    assert not os.path.lexists(tmp_path / "absent.lake")
