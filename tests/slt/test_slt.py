"""Every .slt file of this folder; PAGELAKE_FULL=1: each on all its engines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.slt.runner import Answer, Mismatch, PagelakeEngine, run_file
from tests.slt.script import parse

HERE = Path(__file__).parent
FILES = sorted(HERE.rglob("*.slt"))
HEADER = "# name: x\n# description: y\n# group: [z]\n\n"


@pytest.mark.parametrize("path", FILES, ids=[p.relative_to(HERE).as_posix() for p in FILES])
def test_file(path: Path, tmp_path: Path, rewrite_goldens: bool) -> None:
    __tracebackhide__ = True
    run_file(path, tmp_path, rewrite=rewrite_goldens, whole="PAGELAKE_FULL" in os.environ)


def test_names_in_headers_are_the_files_own() -> None:
    names = {p.relative_to(HERE).as_posix(): parse(p.read_text()).header["name"] for p in FILES}
    assert {path: name for path, name in names.items() if path != name} == {}


def test_a_record_keeps_its_text() -> None:
    text = (
        f"{HEADER}# why\nquery IT rowsort two\nSELECT 1,\n  'x'\n----\n1\tx\n\n"
        "statement error\nSELECT nothing\n----\nUnknownName\n"
    )
    script = parse(text)
    assert [r.kind for r in script.records] == ["query", "error"]
    assert [r.line for r in script.records] == [6, 12]
    assert [r.connection for r in script.records] == ["two", ""]
    assert "\n\n".join([script.header_text, *(r.render() for r in script.records)]) + "\n" == text


@pytest.mark.parametrize(
    "text", ["# name: x\n", f"{HEADER}quarry I\nSELECT 1\n", f"{HEADER}statement maybe\nSELECT 1\n"]
)
def test_a_malformed_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"header lacks|begins no record"):
        parse(text)


@pytest.mark.parametrize(
    "record",
    [
        "query I\nSELECT 1\n----\n2",  # other rows
        "query T\nSELECT 1\n----\n1",  # other types
        "query I\nSELECT 1\n----\n1\n1",  # a row too few
        "statement error\nSELECT 1\n----\n.*",  # no error
        "statement ok\nSELECT nothing",  # an error
        "statement error\nSELECT nothing\n----\nConflict",  # another error
    ],
)
def test_a_difference_fails(record: str, tmp_path: Path) -> None:
    path = tmp_path / "x.slt"
    path.write_text(f"{HEADER}{record}\n")
    with pytest.raises(Mismatch, match="memory, plan cache on"):
        run_file(path, tmp_path, rewrite=False)


def test_rewriting_writes_what_the_engine_answers(tmp_path: Path) -> None:
    path = tmp_path / "x.slt"
    path.write_text(f"{HEADER}query\nSELECT 1, 'x', 1.5, NULL\n\nstatement error\nSELECT a\n")
    run_file(path, tmp_path, rewrite=True)
    run_file(path, tmp_path, rewrite=False)
    assert "query ITRT\nSELECT 1, 'x', 1.5, NULL\n----\n1\tx\t1.5\tNULL\n" in path.read_text()
    assert 'Referenced column "a" was not found' in path.read_text()


def test_rewriting_never_turns_an_answer_into_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.slt"
    path.write_text(f"{HEADER}statement ok\nSELECT a\n")
    with pytest.raises(Mismatch, match="statement error"):
        run_file(path, tmp_path, rewrite=True)
    assert "statement error" not in path.read_text()


def test_letters_and_sort_modes() -> None:
    answer = Answer(("UBIGINT", "DECIMAL(3,1)", "VARCHAR"), (("2", "1.0", "b"), ("1", "1.0", "a")))
    assert answer.letters() == "IRT"
    assert answer.lines("nosort") == ("2\t1.0\tb", "1\t1.0\ta")
    assert answer.lines("rowsort") == ("1\t1.0\ta", "2\t1.0\tb")
    assert answer.lines("valuesort") == ("1", "1.0", "1.0", "2", "a", "b")


@pytest.mark.parametrize(("hot", "segments"), [(True, "1"), (False, "0")])
def test_the_hot_tier_is_on_where_a_file_says_so(hot: bool, segments: str, tmp_path: Path) -> None:
    engine = PagelakeEngine("x", str(tmp_path / "lake"), hot=hot)
    try:
        engine.run("CREATE TABLE t AS SELECT range AS a FROM range(70000)", "")
        found = engine.run("SELECT count(*) FROM pagelake.hot_segments WHERE used", "")
    finally:
        engine.close()
    assert found.rows == ((segments,),)
