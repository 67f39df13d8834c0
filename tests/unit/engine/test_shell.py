"""The shell: the statement scanner, and the prompt driven through a real terminal."""

from __future__ import annotations

import os
import stat
import sys

import pexpect
import pytest

from pagelake.engine.shell.scanner import is_complete, script_items

PROMPT = "pagelake>"
ENDLESS = "SELECT count(*) FROM range(20000000) a, range(20000000) b WHERE a.range + b.range = -1;"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "-- only a comment",
        "SELECT 1;",
        "SELECT 1; -- done",
        "SELECT 1; /* done; */",
        "SELECT ';', \"a;b\";",
        "SELECT 'it''s; ';",
        "SELECT E'\\'; ';",
        "SELECT type'x;';",
        "SELECT $$;$$;",
        "SELECT $a$ $$ ; $a$;",
        "SELECT $1;",
        "SELECT a$b$;",
        "/* outer /* inner */ ; */ SELECT 1;",
        ".help",
        ".mode csv",
    ],
)
def test_complete(text):
    assert is_complete(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1",
        "SELECT ';",
        "SELECT ''';",
        "SELECT E'\\';",
        'SELECT ";',
        "SELECT 1 -- ;",
        "SELECT 1 /* ;",
        "/* open",
        "/* outer /* inner */ ;",
        "SELECT $$;",
        "SELECT $a$;$$;",
        "SELECT 1; SELECT 2",
    ],
)
def test_incomplete(text):
    assert not is_complete(text)


def test_script_items():
    script = "-- head\nSELECT 1;;\n.mode csv\n  .tables x ;\nSELECT\n.5; SELECT 'a\n;' /*;*/;\nlast"
    assert [(item.line, item.is_command, item.text) for item in script_items(script)] == [
        (2, False, "SELECT 1;"),
        (3, True, ".mode csv"),
        (4, True, ".tables x ;"),
        (5, False, "SELECT\n.5;"),
        (6, False, "SELECT 'a\n;' /*;*/;"),
        (8, False, "last"),
    ]
    assert [item.is_closed for item in script_items(script)] == [True] * 5 + [False]


@pytest.fixture
def spawn(store_path, tmp_path):
    """Start shells on one store in a terminal of 24 × 100 cells; all are closed at the end."""
    children: list[pexpect.spawn] = []

    def start(**variables: str) -> pexpect.spawn:
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "TERM": "xterm-256color",
            "NO_COLOR": "1",
            **variables,
        }
        child = pexpect.spawn(
            sys.executable,
            ["-m", "pagelake", str(store_path)],
            env=environment,
            encoding="utf-8",
            dimensions=(24, 100),
            timeout=8,
        )
        # The pause that pexpect makes before each line is meant for password prompts.
        child.delaybeforesend = None
        children.append(child)
        child.expect_exact(PROMPT)
        return child

    yield start
    for child in children:
        child.close(force=True)


def leave(child: pexpect.spawn) -> int:
    """Wait for the prompt, since a terminal drops Ctrl-D between two of them, and press it."""
    child.expect_exact(PROMPT)
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_multi_line_statement_and_footer(spawn):
    child = spawn()
    child.send("SELECT 'a;b' AS joined,\r")
    child.expect_exact("...>")
    child.send("20 + 22 AS answer\r")
    child.expect_exact("...>")
    child.send(";\r")
    child.expect(r"│ a;b +│ +42 +│")
    child.expect(r"1 row · [\d.]+ m?s")
    assert leave(child) == 0


def test_errors_keep_the_session(spawn):
    child = spawn()
    child.send("CREATE TABLE t (a INTEGER);\r")
    child.expect_exact("done")
    child.expect_exact(PROMPT)
    child.send("SELECT * FROM absent;\r")
    child.expect_exact("error: ")
    child.expect_exact(PROMPT)
    child.send("SELEC;\r")
    child.expect_exact("error: ")
    child.expect_exact(PROMPT)
    child.send(".bogus\r")
    child.expect_exact(".help lists the commands")
    child.expect_exact(PROMPT)
    child.send("INSERT INTO t VALUES (1), (2);\r")
    child.expect_exact("2 rows changed")
    child.expect_exact(PROMPT)
    child.send("SELECT 'alive' AS s, count(*) AS c FROM t;\r")
    child.expect(r"│ alive +│ +2 +│")
    assert leave(child) == 0


def test_ctrl_c_cancels_and_keeps_the_session(spawn):
    child = spawn()
    child.send("CREATE TEMP TABLE kept AS SELECT 42 AS answer;\r")
    child.expect_exact(PROMPT)
    # What a first statement prints shows that the second is being run.
    child.send(f"SELECT 'started' AS s; {ENDLESS}\r")
    child.expect(r"│ started +│")
    child.sendintr()
    child.expect_exact("cancelled")
    child.expect_exact(PROMPT)
    child.send("SELECT * FROM kept;\r")
    child.expect(r"│ +42 +│")
    assert leave(child) == 0


def test_ctrl_c_clears_the_line(spawn):
    child = spawn()
    child.send("SELECT 'unfinished\r")
    child.expect_exact("...>")
    child.sendintr()
    child.expect_exact(PROMPT)
    child.send("SELECT 'fresh' AS s;\r")
    child.expect(r"│ fresh +│")
    assert leave(child) == 0


def test_history_survives_and_is_private(spawn, tmp_path):
    child = spawn()
    child.send("SELECT 'remembered' AS s;\r")
    child.expect(r"│ remembered +│")
    assert leave(child) == 0
    history = tmp_path / "state" / "pagelake" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    child = spawn()
    child.send("\x1b[A\r")
    child.expect(r"│ remembered +│")
    child.expect_exact(PROMPT)
    child.send("\x12rememb\r\r")
    child.expect(r"│ remembered +│")
    assert leave(child) == 0


def test_completion(spawn):
    child = spawn()
    child.send("CREATE TABLE distinctive_name (peculiar_column INTEGER);\r")
    child.expect_exact("done")
    child.expect_exact(PROMPT)
    child.send("SELECT count(*) + 77 AS c FROM distinct\t")
    # Completions arrive in their own time: a key pressed before them would call them off.
    child.expect_exact("ive_name")
    child.send(";\r")
    child.expect(r"│ +77 +│")
    child.expect_exact(PROMPT)
    child.send(".snap\t")
    child.expect_exact("shot")
    child.send("\r")
    child.expect(r"\d+\r\n")
    assert leave(child) == 0


def test_dot_commands(spawn, tmp_path):
    child = spawn()
    child.send(".help\r")
    child.expect_exact(".maxrows")
    child.expect_exact(PROMPT)
    child.send(".help mode\r")
    child.expect_exact("markdown")
    child.expect_exact(PROMPT)
    child.send("CREATE TABLE line_item (l_key BIGINT, price DECIMAL(15,2));\r")
    child.expect_exact("done")
    child.expect_exact(PROMPT)
    child.send(".tables line*\r")
    child.expect_exact("line_item\r\n")
    child.expect_exact(PROMPT)
    child.send(".schema line_item\r")
    child.expect_exact("price DECIMAL(15,2)")
    child.expect_exact(PROMPT)
    child.send(".timer off\r")
    child.expect_exact(PROMPT)
    child.send(".maxrows 2\r")
    child.expect_exact(PROMPT)
    child.send(".nullvalue ∅\r")
    child.expect_exact(PROMPT)
    child.send("SELECT NULL AS x FROM range(5);\r")
    child.expect_exact("∅ ")
    child.expect_exact("5 rows (2 shown)\r\n")
    child.expect_exact(PROMPT)
    child.send(".mode parquet\r")
    child.expect_exact("binary format")
    child.expect_exact(PROMPT)
    child.send(f".output {tmp_path}/out.csv\r")
    child.expect_exact(PROMPT)
    child.send(".mode csv\r")
    child.expect_exact(PROMPT)
    child.send("SELECT 7 AS seven;\r")
    child.expect_exact(PROMPT)
    child.send(".output\r")
    child.expect_exact(PROMPT)
    (tmp_path / "script.sql").write_text("SELECT 8 AS eight;\nSELECT * FROM absent;\nSELECT 9;\n")
    child.send(f".read {tmp_path}/script.sql\r")
    child.expect_exact('"eight"\r\n8\r\n')
    child.expect_exact("line 2 of")
    child.expect_exact(PROMPT)
    child.send(".settings\r")
    child.expect_exact('"name"')
    child.expect_exact(PROMPT)
    child.send(".quit\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert (tmp_path / "out.csv").read_bytes() == b'"seven"\n7\n'


def test_hostile_values_do_not_reach_the_terminal(spawn):
    child = spawn()
    child.send("SELECT chr(27) || '[2Jgone' AS s;\r")
    child.expect_exact("│ \\x1b[2Jgone ")
    child.expect_exact(PROMPT)
    child.send(".mode csv\r")
    child.expect_exact(PROMPT)
    child.send("SELECT chr(27) || '[2Jgone' AS s;\r")
    child.expect_exact('"\\x1b[2Jgone"')
    assert leave(child) == 0


def test_wide_results_fit_the_window(spawn):
    child = spawn()
    child.send("SELECT repeat('wide ', 100) AS a, 123456 AS n;\r")
    child.expect("│ (wide .*)…")
    child.expect(r"│ +123456 │\r\n")
    assert leave(child) == 0


def test_plans_are_shown_as_text(spawn):
    child = spawn()
    child.send("CREATE TABLE t AS SELECT range AS n FROM range(10);\r")
    child.expect_exact(PROMPT)
    child.send("EXPLAIN SELECT max(n) FROM t WHERE n > 3;\r")
    child.expect(r"AGGREGATE *\r\n")
    child.expect(r"TABLE_SCAN main\.t *\r\n")
    child.expect(r"\r\n[\d.]+ m?s")
    assert "explain_value" not in child.before
    assert leave(child) == 0


def test_a_schema_can_be_run_again(spawn):
    child = spawn()
    child.send('CREATE TABLE "odd name" (id INTEGER PRIMARY KEY, "order" VARCHAR DEFAULT \'x\');\r')
    child.expect_exact("done")
    child.expect_exact(PROMPT)
    child.send(".schema\r")
    child.expect_exact('CREATE TABLE "odd name" (\r\n')
    child.expect_exact("id INTEGER NOT NULL,\r\n")
    child.expect_exact("\"order\" VARCHAR DEFAULT ('x'),\r\n")
    child.expect_exact("PRIMARY KEY (id)\r\n);")
    child.expect_exact(PROMPT)
    child.send(".schema absent\r")
    child.expect_exact('error: there is no stored table or view "absent"')
    assert leave(child) == 0
