"""Typing at the prompt: several lines, errors, history, completion."""

from __future__ import annotations

import re
import stat

import pytest

from tests.shell.terminal import plain, rows


def completed(shell, keys: str, expected: str) -> None:
    """Type keys and Tab, and see what is put in; then clear the line."""
    common = next(n for n in range(len(expected), -1, -1) if keys.endswith(expected[:n]))
    shell.type(f"{keys}\t")
    # Completions arrive in their own time: a key pressed before them would call them off. What
    # is there already is not drawn again; a menu shows the whole.
    shell.child.expect([re.escape(expected), re.escape(expected[common:])])
    shell.type("\x03")
    shell.await_prompt()


def test_a_statement_may_span_lines(shell):
    shell.type("SELECT 'a;b' AS joined,\r")
    shell.see("...>")
    shell.type("20 + 22 AS answer\r")
    shell.see("...>")
    answer = shell.run(";")
    assert rows(answer) == [["a;b", "42"]]


def test_a_pasted_script_is_one_input(shell):
    shell.type("\x1b[200~SELECT 1 AS one;\nSELECT\n2 AS two;\x1b[201~")
    answer = shell.run("")
    assert "one" in answer
    assert "two" in answer


def test_alt_enter_breaks_a_line_that_is_whole(shell):
    shell.type("SELECT 5 AS five;\x1b\r")
    shell.see("...>")
    assert "five" in shell.run("SELECT 6 AS six;")


def test_errors_show_the_spot_and_keep_the_session(shell):
    answer = shell.run("SELECT name,\x1b\r  '日本' AS j, nmae FROM fruit;")
    lines = answer.split("\n")
    assert lines[0] == 'error: there is no column "nmae"'
    spot = next(number for number, line in enumerate(lines) if line.strip() == "^")
    # Two wide characters before it take a cell more each than they are.
    assert lines[spot].index("^") == lines[spot - 1].index("nmae") + 2
    assert 'Did you mean "name"?' in answer
    assert "error: " in shell.run("SELEC 1;")
    assert ".help lists the commands" in shell.run(".bogus")
    assert rows(shell.run("SELECT 'alive' AS s;")) == [["alive"]]


def test_errors_in_long_lines_show_the_part_around_the_spot(shell):
    many = ", ".join(f"'value {number}'" for number in range(60))
    answer = shell.run(f"SELECT {many}, nothing_like_it FROM fruit;")
    lines = answer.split("\n")
    spot = next(number for number, line in enumerate(lines) if line.strip() == "^")
    assert lines[spot - 1][lines[spot].index("^") :].startswith("nothing_like_it")
    assert len(lines[spot - 1]) < 100


def test_ctrl_c_clears_what_was_typed(shell):
    shell.type("SELECT 'unfinished\r")
    shell.see("...>")
    shell.type("\x03")
    shell.await_prompt()
    assert rows(shell.run("SELECT 'fresh' AS s;")) == [["fresh"]]


def test_the_prompt_tells_of_transactions(shell):
    shell.type("BEGIN;\r")
    shell.see("pagelake*>")
    shell.type("SELECT * FROM absent;\r")
    shell.see("pagelake!>")
    assert "ROLLBACK" in shell.run("SELECT 1;")
    shell.run("ROLLBACK;")
    assert rows(shell.run("SELECT 1 AS a;")) == [["1"]]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("SELECT * FROM fru", "fruit"),
        ("SELECT * FROM che", "cheap"),
        ("SELECT * FROM sal", "sales."),
        ("SELECT * FROM sales.ord", "orders"),
        ("SELECT * FROM odd", '"odd name"'),
        ("SELECT * FROM pagelake.snap", "snapshots"),
        ("SELECT * FROM read_par", "read_parquet("),
        ("SELECT regexp_ext", "regexp_extract"),
        ("SELECT name FROM fruit QUAL", "QUALIFY"),
        ("select name from fruit qual", "qualify"),
        ("SET memory_l", "memory_limit"),
        ("WITH common_one AS (SELECT 1) SELECT * FROM comm", "common_one"),
        (".sche", ".schema"),
        (".mode mark", "markdown"),
        (".schema fru", "fruit"),
        (".settings memory_l", "memory_limit"),
        (".help sche", "schema"),
        (".plot histo", "histogram"),
        (".explain SELECT * FROM fru", "fruit"),
    ],
)
def test_completion(shell, keys, expected):
    completed(shell, keys, expected)


def test_columns_complete_by_alias_and_by_table(shell):
    shell.type("SELECT o. FROM sales.orders o" + "\x1b[D" * len(" FROM sales.orders o") + "cust\t")
    shell.see("omer")
    shell.type("\x03")
    shell.await_prompt()
    shell.type("SELECT  FROM fruit" + "\x1b[D" * len(" FROM fruit") + "pick\t")
    shell.see("ed")
    shell.type("\x03")
    shell.await_prompt()


def test_files_complete_inside_quotes_and_after_commands(start, tmp_path):
    shell = start(columns=250).await_prompt()
    (tmp_path / "distinctive.parquet").write_bytes(b"")
    completed(shell, f"SELECT * FROM '{tmp_path}/dist", "distinctive.parquet")
    completed(shell, f".read {tmp_path}/dist", "distinctive.parquet")


def test_history_survives_is_searched_and_is_private(start, tmp_path):
    first = start(XDG_STATE_HOME=str(tmp_path)).await_prompt()
    first.run("SELECT 'remembered' AS s;")
    first.run(" SELECT 'a blank before it' AS s;")
    assert first.leave() == 0
    history = tmp_path / "pagelake" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "a blank before it" not in history.read_text()
    second = start(XDG_STATE_HOME=str(tmp_path), PAGELAKE_SHELL_SUGGEST="on").await_prompt()
    assert rows(second.run("\x1b[A")) == [["remembered"]]
    second.type("\x12rememb")
    second.see("ered' AS s")
    assert rows(second.run("\r")) == [["remembered"]]
    assert second.leave() == 0


def test_suggestions_of_the_history_are_taken_with_the_arrow(start, tmp_path):
    first = start(XDG_STATE_HOME=str(tmp_path)).await_prompt()
    first.run("SELECT 'suggested' AS s;")
    assert first.leave() == 0
    second = start(XDG_STATE_HOME=str(tmp_path), PAGELAKE_SHELL_SUGGEST="on").await_prompt()
    second.type("SELECT 'sugg")
    second.see("ested' AS s;")
    second.type("\x1b[C")
    assert rows(second.run("")) == [["suggested"]]
    assert second.leave() == 0


def test_vi_keys(start):
    shell = start(PAGELAKE_SHELL_EDITING="vi").await_prompt()
    shell.type("SELECT 1 AS one;\x1b0wcw2\x1b")
    assert rows(shell.run("A")) == [["2"]]
    assert shell.leave() == 0


def test_sql_is_coloured(start):
    shell = start(NO_COLOR="").await_prompt()
    shell.type("SELECT 'text' AS s")
    shell.child.expect("\x1b\\[0;(?:[0-9]+;?)+mSELECT")
    shell.type("\x03")
    shell.await_prompt()
    assert plain(shell.run(".mode")) == "table\n"
