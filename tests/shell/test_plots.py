"""Charts in the terminal and as files."""

from __future__ import annotations

import re
import struct

import pytest

from tests.shell.terminal import rows


def bars(answer: str) -> dict[str, int]:
    """Cells of each bar by its label."""
    found = re.findall(r"^ *(\S.*?) │([█▏▎▍▌▋▊▉]*) ", answer, re.MULTILINE)
    return {label: len(bar) for label, bar in found}


def test_bars_are_as_long_as_their_numbers(shell):
    answer = shell.run(
        ".plot bar SELECT s, n FROM (VALUES ('one', 10), ('日本', 20), ('no', 0)) t(s, n)"
    )
    drawn = bars(answer)
    assert drawn["日本"] == pytest.approx(2 * drawn["one"], abs=2)
    assert drawn["no"] == 0
    assert re.search(r"█ 20$", answer, re.MULTILINE)


def test_negative_bars_go_the_other_way(shell):
    lines = shell.run(".plot bar SELECT s, n FROM (VALUES ('up', 5), ('down', -5)) t(s, n)").split(
        "\n"
    )
    assert lines[0].index("█") > lines[1].rindex("█")


def test_the_last_query_is_plotted(shell):
    shell.run("SELECT name, price FROM fruit WHERE price < 10 ORDER BY price;")
    shell.run("CREATE TABLE plotted (a INTEGER);")
    shell.run("INSERT INTO plotted VALUES (1) RETURNING a;")
    assert list(bars(shell.run(".plot"))) == ["apple", "NULL"], "no change is run again"
    assert rows(shell.run("SELECT count(*) FROM plotted;")) == [["1"]]


def test_a_histogram_counts(shell):
    answer = shell.run(".plot histogram --bins 5 SELECT n FROM numbers")
    assert len(re.findall(r"█ 60,000$", answer, re.MULTILINE)) == 5


def test_lines_climb_and_axes_are_marked(shell):
    answer = shell.run(
        ".plot line SELECT DATE '2026-01-01' + i::INT AS day, i * i AS square FROM range(100) r(i)"
    )
    lines = answer.split("\n")
    drawn = [line.split("┤")[-1].split("│")[-1] for line in lines if re.search("[┤│]", line)]
    firsts = [len(line) - len(line.lstrip()) for line in drawn if line.strip()]
    assert firsts[0] > firsts[len(firsts) // 2] > firsts[-1]
    assert "9801 ┤" in answer or "9,801 ┤" in answer
    assert re.search(r"2026-01-01 +day +2026-04-10", answer)


def test_series_have_a_legend_and_points_stay_points(shell):
    answer = shell.run(".plot scatter SELECT i, i % 7 AS a, -i AS b FROM range(50) r(i)")
    assert "■ a  ■ b" in answer
    chosen = shell.run(".plot scatter -x i -y b SELECT i, i % 7 AS a, -i AS b FROM range(50) r(i)")
    assert "■" not in chosen


def test_a_png_file(shell, tmp_path):
    for kind in ("bar", "line", "histogram", "scatter"):
        file = tmp_path / f"{kind}.png"
        shell.run(
            f".plot {kind} -o {file} --title 'To $ee' SELECT i, i * 2 AS d FROM range(9) r(i)"
        )
        raw = file.read_bytes()
        assert raw.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", raw[16:24])
        assert min(width, height) > 400


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (".plot bar SELECT 'a' AS s", "needs a column of numbers"),
        (".plot line -y nix SELECT 1 AS a, 2 AS b", "no column nix"),
        (".plot SELECT 1 AS a WHERE false", "no rows to plot"),
        (".plot bar SELECT i, i AS n FROM range(1000) r(i)", "are too many"),
        (".plot --bins 0 SELECT 1", "--bins wants"),
        (".plot -o", "usage: .plot"),
        (".plot line SELECT absent", "error: "),
    ],
)
def test_what_cannot_be_plotted_is_refused(shell, command, message):
    assert message in shell.run(command)
