import fnmatch

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pagelake.errors import InvalidRequest
from pagelake.extensions.catalog.globs import Exclusion, relative


def excluded(pattern: str, path: str) -> bool:
    directory, _, name = path.rpartition("/")
    return Exclusion([pattern]).kept(directory, [name]) == []


@pytest.mark.parametrize(
    ("pattern", "path", "out"),
    [
        ("*.tmp", "a/b.tmp", True),
        ("*.tmp", "a/b.tmp2", False),
        ("*.tmp", ".tmp", True),
        ("a?c", "aéc", True),
        ("a?c", "a\udce9c", True),  # one byte that is not UTF-8
        ("a?c", "ac", False),
        ("*", "a\nb", True),
        ("[!a]*", "b", True),
        ("[!a]*", "a", False),
        ("[a-c]x", "bx", True),
        ("[]]", "]", True),
        ("[", "[", True),
        ("[a\\]", "\\", True),
        ("a.b", "axb", False),
        ("node_modules/", "x/node_modules", True),
        ("build", "a/build", True),
        ("/build", "a/build", False),
        ("/build", "build", True),
        ("a/build", "a/build", True),
        ("a/build", "b/a/build", False),
        ("a/*", "a/x", True),
        ("a/*", "a/x/y", False),
        ("a/**", "a/x/y", True),
        ("a/**", "a", False),
        ("**/x", "x", True),
        ("**/x", "a/b/x", True),
        ("**/x", "a/bx", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/1/2/b", True),
        ("a/**/b", "a1/b", False),
        ("./a//b", "a/b", True),
        ("*" * 40 + "x", "a" * 200, False),  # not in exponential time
    ],
)
def test_pattern(pattern: str, path: str, out: bool) -> None:
    assert excluded(pattern, path) is out


@pytest.mark.parametrize("pattern", ["", "/", "../a", "a/..", "a\0b", ".", "//"])
def test_a_pattern_without_meaning_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidRequest):
        Exclusion([pattern])


def test_all_patterns_count_and_the_order_stays() -> None:
    exclusion = Exclusion(["*.o", "a/keep*", "z"])
    assert exclusion.kept("a", ["q", "keep1", "x.o", "z", "b", "a"]) == ["q", "b", "a"]
    assert exclusion.kept("", ["keep1", "z"]) == ["keep1"]
    assert exclusion.kept("a", []) == []


@given(st.text("ab*?[]!-.\n", min_size=1, max_size=6), st.text("ab[]!-.\n", min_size=1, max_size=5))
def test_within_a_name_it_is_fnmatch(pattern: str, name: str) -> None:
    assume(pattern not in {".", ".."})
    # The one difference: `[^` is a negation in shells, and in fnmatch a set with `^`.
    assert excluded(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_paths_are_relative_to_the_root() -> None:
    assert relative(b"/r", b"/r/a/b") == "a/b"
    assert relative(b"/", b"/a") == "a"
    assert relative(b"/r", b"/r") == ""
