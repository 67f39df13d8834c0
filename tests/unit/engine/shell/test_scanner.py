"""Where statements end while they are still being typed."""

from __future__ import annotations

import pytest

from pagelake.engine.shell.scanner import is_complete, script_items


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
