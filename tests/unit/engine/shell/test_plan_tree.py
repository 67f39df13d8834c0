"""Plans drawn for a terminal."""

from __future__ import annotations

from pagelake.engine.output.plan_tree import draw_plan
from pagelake.engine.output.terminal import cell_width
from pagelake.sql.explain import Node

SCAN = Node("TABLE_SCAN main.t", ("columns: a", "6,000 rows in 30.00 ms"), (), 6000, 0.03)
PLAN = Node("QUERY", ("took 41.2 ms",), (Node("FILTER", (), (SCAN,), 10, 0.01),))


def test_bars_are_in_proportion_to_time():
    lines = draw_plan(PLAN, width=100, colour=False)
    assert [line.count("█") for line in lines if "FILTER" in line or "SCAN" in line] == [8, 24]
    assert "75%  6,000 rows" in next(line for line in lines if "SCAN" in line)
    assert any("columns: a" in line for line in lines)
    assert not any("6,000 rows in" in line for line in lines), "the bar says it"


def test_without_times_rows_are_the_cost():
    plan = Node("A", (), (Node("B", ("~4 rows",), (), 4),), 2)
    first, second = draw_plan(plan, width=80, colour=False)
    assert first.count("█") * 2 == second.count("█")
    assert second.endswith(" ~4 rows")


def test_no_line_is_wider_than_the_window():
    deep = PLAN
    for level in range(30):
        deep = Node(
            f"PROJECTION {level} \x1b[2J", ("expressions: " + "日本 " * 40,), (deep,), 5, 0.001
        )
    for width in (40, 80, 200):
        lines = draw_plan(deep, width=width, colour=False)
        assert max(map(cell_width, lines)) <= width
        assert not any("\x1b" in line for line in lines)
