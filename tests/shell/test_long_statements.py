"""Statements that take long or much: progress, Ctrl-C, memory."""

from __future__ import annotations

import re
import sys

import pexpect
import pytest

from tests.shell.large_results import export
from tests.shell.terminal import ENDLESS, PATIENCE_S, environment, rows

SLOW = (
    "SELECT digit, sum(sqrt(n) * sin(i)) FROM numbers, range(100_000) r(i) "
    "WHERE hash(n + i) % 7 > 1 GROUP BY digit;"
)


def test_a_bar_shows_rows_bytes_and_time_left_and_ctrl_c_cancels(shell):
    shell.type(f"{SLOW}\r")
    shell.child.expect(
        r" *\d+% ▕[█▏▎▍▌▋▊▉ ]*▏ [\d.]+k? of 300k rows · [\d.]+ \w+ of [\d.]+ \w+ · [\dmins ]+ left"
    )
    shell.type("\x03")
    shell.see("cancelled")
    shell.await_prompt()
    assert rows(shell.run("SELECT 42 AS answer;")) == [["42"]]


def test_ctrl_c_cancels_what_tells_no_progress_and_keeps_the_session(shell):
    shell.run("SET lock_timeout = 7;")
    # What a first statement prints shows that the second is being run.
    shell.type(f"SELECT 'started' AS s; {ENDLESS} SELECT 'never' AS s;\r")
    shell.child.expect("│ started")
    shell.type("\x03")
    shell.see("cancelled")
    shell.await_prompt()
    assert "never" not in shell.child.before
    assert re.search(r"│ lock_timeout +│ 7.0 +│", shell.run(".settings lock_t"))


def test_the_bar_leaves_nothing_behind(shell):
    shell.type(f"SELECT 1 AS one; {ENDLESS}\r")
    shell.child.expect("│ +1 │")
    shell.child.expect("▕|running")
    shell.type("\x03")
    shell.see("\r\x1b[2K")
    shell.see("cancelled")
    shell.await_prompt()


def test_no_bar_where_it_is_switched_off(start):
    shell = start(PAGELAKE_SHELL_PROGRESS="off").await_prompt()
    answer = shell.run(SLOW.replace("100_000", "60"))
    assert len(rows(answer)) == 10
    assert "▕" not in answer


def test_a_statement_over_the_memory_limit_spills(shell, tmp_path):
    shell.run(f"SET temp_directory = '{tmp_path}/spill';")
    shell.run("SET memory_limit = '90MB';")
    answer = shell.run(
        "SELECT count(*) AS n, max(place) AS last FROM (SELECT row_number() OVER (ORDER BY "
        "hash(range)) AS place, range || ' padding to be sorted along' AS s FROM range(1_500_000));"
    )
    assert rows(answer) == [["1500000", "1500000"]]
    shell.run("RESET memory_limit;")


def test_a_statement_that_cannot_spill_fails_alone(shell):
    shell.run("SET memory_limit = '60MB';")
    answer = shell.run("SELECT length(list(range || 'some text')) AS n FROM range(20_000_000);")
    assert answer.startswith("error: ")
    assert "memory" in answer.lower()
    assert "Traceback" not in answer
    shell.run("RESET memory_limit;")
    assert rows(shell.run("SELECT count(*) AS n FROM numbers;")) == [["300000"]]


@pytest.mark.parametrize("before", ["SELECT 1", "CREATE TEMP TABLE kept AS SELECT 1"])
def test_exports_take_no_more_memory_for_more_rows(tmp_path, before):
    _, small = export(100_000, "csv", tmp_path, before)
    _, large = export(1_000_000, "csv", tmp_path, before)
    # The whole of the large one is some 40 MB of text, and more as Python's strings.
    assert large - small < 20 << 20


def test_a_query_of_the_command_line_shows_the_bar_too(store, tmp_path):
    child = pexpect.spawn(
        sys.executable,
        ["-m", "pagelake", "query", str(store), f"SELECT 1 AS one; {SLOW}"],
        env=environment(tmp_path, NO_COLOR="1"),
        encoding="utf-8",
        dimensions=(24, 100),
        timeout=PATIENCE_S,
    )
    child.expect("│ +1 │")
    child.expect(r"of 300k rows · [\d.]+ \w+ of [\d.]+ \w+")
    child.sendintr()
    child.expect("cancelled")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
