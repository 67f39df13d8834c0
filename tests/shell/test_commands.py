"""Every dot command, said at a prompt."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pagelake
from pagelake.engine.shell.commands import COMMANDS
from tests.shell.terminal import rows


def test_help_lists_and_explains_every_command(shell):
    listed = shell.run(".help")
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {re.escape(name)}\b", listed, re.MULTILINE), name
        explained = shell.run(f".help {name.removeprefix('.')}")
        assert command.summary in explained.replace("\n", "")
        assert all(example in explained for example in command.examples)
    assert "there is no command" in shell.run(".help nonsense")


def test_a_unique_beginning_is_enough(shell):
    assert shell.run(".snapshot") == shell.run(".snapshot;")
    assert "usage: .timer" in shell.run(".tim maybe")


def test_tables_and_their_patterns(shell):
    assert shell.run(".tables").split("\n")[:-1] == [
        "cheap", "fruit", "numbers", "odd name", "sales.orders",
    ]  # fmt: skip
    assert shell.run(".tables *U*").split() == ["fruit", "numbers"]
    assert shell.run(".tables sales%").split() == ["sales.orders"]


def test_schemas_can_be_run_again(shell):
    answer = shell.run('.schema "odd name"')
    assert 'CREATE TABLE "odd name" (' in answer
    assert "PRIMARY KEY (id)" in answer
    assert "CREATE VIEW cheap" in shell.run(".schema")
    assert "sales.orders" in shell.run(".schema sales.orders")
    assert 'no stored table or view "absent"' in shell.run(".schema absent")


def test_catalog(shell):
    answer = shell.run(".catalog num*")
    assert re.search(r"│ main +│ numbers +│ table +│ +2 │ +300000 │ +3 │", answer)
    assert "fruit" not in answer


def test_explain_draws_bars_in_proportion_to_cost(shell):
    answer = shell.run(".explain SELECT digit, count(*) FROM numbers WHERE n > 5 GROUP BY digit")
    scan = next(line for line in answer.split("\n") if "TABLE_SCAN main.numbers" in line)
    assert re.search(r"█+.* ~[\d,]+ rows$", scan)
    shell.run("SELECT digit, count(*) FROM numbers GROUP BY digit;")
    measured = shell.run(".explain analyze")
    bars = {
        float(match[2]): len(match[1])
        for match in re.finditer(r"([█▏▎▍▌▋▊▉]*) +(\d+\.\d\d) ms +\d+%", measured)
    }
    assert len(bars) >= 2
    times = sorted(bars)
    assert bars[times[-1]] == max(bars.values()) > 0
    assert bars[times[0]] == min(bars.values())


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("box", ["╭──────┬───────┬────────────╮", "│ name │ price │ picked     │"]),
        ("csv", ['"name","price","picked"', '"pear",12.50,"2026-09-01"']),
        ("tsv", ['"name"\t"price"\t"picked"', '"pear"\t12.50\t"2026-09-01"']),
        ("json", ['{"name":"pear","price":12.50,"picked":"2026-09-01"}']),
        ("jsonl", ['{"name":"pear","price":12.50,"picked":"2026-09-01"}']),
        ("markdown", ["| name | price | picked     |", "| pear | 12.50 | 2026-09-01 |"]),
        ("html", ['<tr><td>pear</td><td style="text-align: right">12.50</td>']),
        ("line", ["  name = pear", " price = 12.50", "picked = 2026-09-01"]),
        ("list", ["name|price|picked", "pear|12.50|2026-09-01"]),
        ("insert", ['INSERT INTO "my table" ("name", "price", "picked") VALUES',
                    "('pear', 12.50, CAST('2026-09-01' AS DATE));"]),
    ],
)  # fmt: skip
def test_modes(shell, mode, expected):
    shell.run(f'.mode {mode} "my table"' if mode == "insert" else f".mode {mode}")
    answer = shell.run("SELECT * FROM fruit WHERE name = 'pear';").expandtabs(8)
    assert all(line.expandtabs(8) in answer for line in expected), answer
    assert shell.run(".mode") == f"{mode}\n"
    shell.run(".mode table")


def test_binary_modes_are_not_for_screens(shell):
    assert "binary format" in shell.run(".mode parquet")
    assert "usage: .mode" in shell.run(".mode nonsense")


def test_output_to_files_by_their_endings(shell, tmp_path):
    for ending in ("csv", "json", "parquet", "sql", "md"):
        shell.run(f".output {tmp_path}/out.{ending}")
        assert shell.run("SELECT name, price FROM fruit WHERE price < 2;") == ""
    shell.run(".output")
    assert rows(shell.run("SELECT name FROM fruit WHERE price < 2;")) == [["apple"]]
    assert (tmp_path / "out.csv").read_text() == '"name","price"\n"apple",1.20\n'
    assert json.loads((tmp_path / "out.json").read_text()) == [{"name": "apple", "price": 1.2}]
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"name": "apple", "price": Decimal("1.20")}
    ]
    assert (tmp_path / "out.sql").read_text().endswith("('apple', 1.20);\n")
    assert (tmp_path / "out.md").read_text().endswith("| apple |  1.20 |\n")


def test_inserts_bring_every_type_back(shell, tmp_path):
    shell.run(f".output {tmp_path}/types.sql")
    shell.run(
        "SELECT 1 AS i, 'it''s' AS s, 'NaN'::DOUBLE AS f, true AS b, from_hex('00ff') AS bin, "
        "[1, NULL] AS l, {'a': 'x', 'b': DATE '2026-01-02'} AS st, MAP {'k': 1.5} AS m, "
        "INTERVAL 3 DAY AS iv, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS tz, NULL AS nothing, "
        "'0c3f8d2e-6d3f-4a53-9d0a-1b2c3d4e5f60'::UUID AS u;"
    )
    shell.run(".output")
    script = (tmp_path / "types.sql").read_text()
    columns = ("i INTEGER, s VARCHAR, f DOUBLE, b BOOLEAN, bin BLOB, l INTEGER[], "
               "st STRUCT(a VARCHAR, b DATE), m MAP(VARCHAR, DECIMAL(2,1)), iv INTERVAL, "
               "tz TIMESTAMPTZ, nothing INTEGER, u UUID")  # fmt: skip
    with pagelake.connect() as con:
        con.execute(f"CREATE TABLE types ({columns})")
        con.execute(script)
        row = con.execute("SELECT * REPLACE (isnan(f) AS f, u::VARCHAR AS u) FROM types").fetchone()
    assert row[:5] == (1, "it's", True, True, b"\x00\xff")
    assert row[5:8] == ([1, None], {"a": "x", "b": date(2026, 1, 2)}, {"k": Decimal("1.5")})
    assert row[11] == "0c3f8d2e-6d3f-4a53-9d0a-1b2c3d4e5f60"


def test_read_runs_scripts_and_names_the_line_of_an_error(shell, tmp_path):
    script = tmp_path / "script.sql"
    script.write_text("SELECT 8 AS eight;\n.mode csv\n\nSELECT * FROM absent;\nSELECT 9 AS nine;\n")
    answer = shell.run(f".read {script}")
    assert "eight" in answer
    assert f"in the statement at line 4 of {script}" in answer
    assert "nine" not in answer
    shell.run(".mode table")
    assert "No such file" in shell.run(".read /nowhere/at.all")


def test_import_and_load(shell, tmp_path):
    for number in (1, 2, 3):
        pq.write_table(pa.table({"id": [number]}), tmp_path / f"part-{number}.parquet")
    (tmp_path / "people.csv").write_text("id,name\n1,Ann\n2,Bob\n")
    assert "2 rows into people" in shell.run(f".import {tmp_path}/people.csv")
    assert "2 rows into people" in shell.run(f".import {tmp_path}/people.csv people")
    assert "3 rows into parts" in shell.run(f".load parts {tmp_path}/part-*.parquet")
    answer = shell.run("SELECT (SELECT count(*) FROM people), sum(id) FROM parts;")
    assert rows(answer) == [["4", "6"]]
    assert "there is no file" in shell.run(f".import {tmp_path}/absent.csv")
    shell.run("DROP TABLE people; DROP TABLE parts;")


def test_timer_and_null_value(shell):
    shell.run(".timer off")
    shell.run(".nullvalue ∅")
    answer = shell.run("SELECT NULL AS x;")
    assert rows(answer) == [["∅"]]
    assert answer.endswith("1 row\n")
    assert shell.run(".timer") == "off\n"
    shell.run(".nullvalue")
    shell.run(".timer on")


def test_versions(shell):
    shell.run("CREATE TABLE past (a INTEGER);")
    version = int(shell.run(".snapshot"))
    shell.run("CREATE TAG gold;")
    shell.run("INSERT INTO past VALUES (1);")
    assert re.search(r"│ INSERT +│", shell.run(".snapshots 1"))
    assert f"reading as of version {version}" in shell.run(f".at {version}")
    assert rows(shell.run("SELECT count(*) FROM past;")) == [["0"]]
    assert shell.run(".snapshot") == f"{version}\n"
    assert "error: " in shell.run("INSERT INTO past VALUES (2);")
    assert "cannot be changed" in shell.run(".import x.csv")
    assert int(shell.run(".at")) > version
    assert rows(shell.run("SELECT count(*) FROM past;")) == [["1"]]
    shell.run(".at gold")
    assert rows(shell.run("SELECT count(*) FROM past;")) == [["0"]]
    shell.run(".at now")
    assert "error: " in shell.run(".at 1999-01-01")
    assert "error: " in shell.run(".at 99999")
    shell.run("DROP TABLE past;")


def test_settings(shell):
    assert re.search(r"│ memory_limit +│", shell.run(".settings memory"))
    shell.run(".settings lock_timeout 3")
    assert re.search(r"│ lock_timeout +│ 3.0 +│", shell.run(".settings lock_time"))
    shell.run(".settings null nix")
    assert rows(shell.run("SELECT NULL AS x;")) == [["nix"]]
    shell.run(".settings null NULL")
    assert "wants on or off" in shell.run(".settings timer maybe")
    assert "when the shell starts" in shell.run(".settings editing vi")
    assert "error: " in shell.run(".settings no_such_setting 1")


def test_settings_come_from_the_file_and_the_environment(start, tmp_path):
    (tmp_path / "pagelake").mkdir()
    (tmp_path / "pagelake" / "shell.toml").write_text(
        'mode = "list"\nnull = "nix"\ntimer = false\n'
    )
    shell = start(XDG_CONFIG_HOME=str(tmp_path), PAGELAKE_SHELL_NULL="none").await_prompt()
    assert shell.run("SELECT 1 AS a, NULL AS b;") == "a|b\n1|none\n1 row\n"
    assert shell.leave(".quit\r") == 0
    (tmp_path / "pagelake" / "shell.toml").write_text("mode = 'nonsense'\n")
    wrong = start(XDG_CONFIG_HOME=str(tmp_path))
    wrong.see("the setting mode wants one of table, ")


def test_exit_and_quit_leave(start):
    assert start().await_prompt().leave(".exit\r") == 0
