"""What results look like: tables that fit, footers, values that cannot harm, the pager."""

from __future__ import annotations

import re

import pytest
from wcwidth import wcswidth


def lines_of(answer: str) -> list[str]:
    return answer.rstrip("\n").split("\n")


def test_numbers_are_aligned_and_nulls_are_visible(shell):
    answer = shell.run("SELECT name, price, picked FROM fruit ORDER BY price;")
    assert lines_of(answer)[:-1] == [
        "┌─────────┬──────────────┬────────────┐",
        "│ name    │        price │ picked     │",
        "│ VARCHAR │ DECIMAL(8,2) │ DATE       │",
        "├─────────┼──────────────┼────────────┤",
        "│ apple   │         1.20 │ NULL       │",
        "│ NULL    │         3.00 │ NULL       │",
        "│ pear    │        12.50 │ 2026-09-01 │",
        "└─────────┴──────────────┴────────────┘",
    ]


def test_the_footer_tells_rows_time_row_groups_and_bytes(shell):
    answer = shell.run("SELECT count(*) AS c, sum(n) AS s FROM numbers WHERE n >= 0;")
    assert re.search(r"\n1 row · [\d.]+ m?s · 3 of 3 row groups · [\d.]+ \w+ read\n", answer)
    answer = shell.run("SELECT count(*) AS c FROM numbers WHERE n < 10;")
    assert re.search(r"\n1 row · [\d.]+ m?s · 1 of 3 row groups · [\d.]+ \w+ read\n", answer)
    answer = shell.run("SELECT 1 AS one;")
    assert re.search(r"\n1 row · [\d.]+ m?s\n$", answer)


def test_shown_rows_of_all_rows(shell):
    shell.run(".maxrows 2")
    answer = shell.run("FROM numbers ORDER BY n;")
    assert re.search(r"\n2 of 300,000 rows · ", answer)
    assert shell.run(".maxrows") == "2\n"
    shell.run(".maxrows 0")


def test_changes_say_how_many_rows(shell):
    shell.run("CREATE TABLE scratch (a INTEGER);")
    assert shell.run("INSERT INTO scratch VALUES (1), (2);").startswith("2 rows changed · ")
    assert shell.run("DROP TABLE scratch;").startswith("done · ")


def test_wide_results_fit_the_window(shell):
    answer = shell.run(
        "SELECT repeat('wide ', 100) AS a, 1234567890123 AS n, repeat('漢字', 90) AS c, "
        "TIMESTAMP '2026-01-02 03:04:05' AS t;"
    )
    table = lines_of(answer)[:-1]
    (width,) = {wcswidth(line) for line in table}
    assert 95 <= width <= 100
    assert "1234567890123" in answer, "numbers are never cut"
    assert "2026-01-02 03:04:05" in answer, "nor are times"
    assert "wide w" in answer
    assert "…" in answer


def test_columns_are_left_out_where_not_even_their_beginnings_fit(shell):
    columns = ", ".join(f"{n}000000 AS number_{n}" for n in range(1, 21))
    answer = shell.run(f"SELECT {columns};")
    assert max(wcswidth(line) for line in lines_of(answer)) <= 100
    assert "number_1 " in answer
    assert "number_20 " in answer
    assert re.search(r"1 row · [\d.]+ m?s · \d+ of 20 columns", answer) or re.search(
        r"1 row · \d+ of 20 columns · ", answer
    )


@pytest.mark.parametrize(
    "text", ["日本語", "e\u0301a\u0308", "👩‍👩‍👧 family", "ﬁ", "😀😀", "नमस्ते", "\u200b"]
)
def test_cells_line_up_in_any_script(shell, text):
    codes = " || ".join(f"chr({ord(character)})" for character in text)
    answer = shell.run(f"SELECT {codes} AS s, 1 AS n UNION ALL SELECT 'plain', 2;")
    assert len({wcswidth(line) for line in lines_of(answer)[:-1]}) == 1


@pytest.mark.parametrize("mode", ["table", "csv", "json", "line", "list", "html", "markdown"])
def test_hostile_values_do_not_reach_the_terminal(shell, mode):
    shell.run(f".mode {mode}")
    shell.type("SELECT chr(27) || '[2J' || chr(155) || chr(7) || chr(8238) || 'gone' AS s;\r")
    shell.see("\x1b[?2004l")
    shell.see("\x1b[?2004h")
    raw = shell.child.before
    assert "gone" in raw
    assert "\x1b[2J" not in raw
    assert not set("\x9b\x07\u202e") & set(raw)
    shell.run(".mode table")


def test_long_results_go_through_the_pager(start):
    shell = start(LESS="-R", lines=24).await_prompt()
    shell.type("SELECT range AS counted FROM range(2000);\r")
    shell.see("counted")
    shell.see(" 10 │")
    shell.type("G")
    shell.see(" 1999 │")
    shell.see("2,000 rows · ")
    shell.type("q")
    shell.see("2,000 rows · ")
    assert shell.await_prompt().leave() == 0


def test_leaving_the_pager_ends_the_query(start):
    shell = start(LESS="-R").await_prompt()
    shell.type("SELECT range AS endless FROM range(100_000_000_000);\r")
    shell.see(" 10 │")
    shell.type("q")
    shell.see("left before the last row")
    shell.await_prompt()
    assert "1 row" in shell.run("SELECT 7 AS n;")


def test_without_a_pager_a_thousand_rows_are_shown(start):
    shell = start(PAGELAKE_SHELL_PAGER="off").await_prompt()
    answer = shell.run("SELECT range AS n FROM range(5000);")
    assert answer.count("│\n") == 1002
    assert "1,000 of 5,000 rows" in answer


def test_colours_unless_they_are_unwanted(start):
    shell = start(NO_COLOR="").await_prompt()
    shell.type("SELECT NULL AS s;\r")
    shell.see("\x1b[1ms\x1b[0m   ")
    shell.see("\x1b[2mNULL\x1b[0m")
    shell.await_prompt()
    plain = start().await_prompt()
    plain.type("SELECT NULL AS s;\r")
    plain.see("\x1b[?2004l")
    plain.await_prompt()
    assert "\x1b[2m" not in plain.child.before
