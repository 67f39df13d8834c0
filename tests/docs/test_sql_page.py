"""docs/sql.md tells of every statement, relation, procedure and function, and what is not there."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import pagelake
from pagelake.engine.leaves.table_changes import _OWN
from pagelake.engine.statements.call import PROCEDURES
from pagelake.engine.time_travel import _FUNCTIONS
from pagelake.extensions.registry import builtin_registry
from pagelake.sql.classify import _READERS

from .markdown import ROOT, code, prose, rows, sections, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "docs/sql.md"
_TYPES = {
    pa.int64(): "BIGINT",
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.float64(): "DOUBLE",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}
_RELATIONS = builtin_registry().seal()


def _columns(section: str) -> dict[str, str]:
    """Documented columns and their types."""
    return {
        name: cells[1]
        for cells in rows(sections(PAGE)[section], "column")
        for name in code(cells[0])
    }


@pytest.mark.parametrize("name", sorted(_RELATIONS))
def test_columns_of_a_system_relation_are_documented_as_they_are(name: str) -> None:
    schema = _RELATIONS[name].schema  # type: ignore[attr-defined]
    columns = {field.name: _TYPES.get(field.type, "STRUCT[]") for field in schema}
    assert _columns(f"pagelake.{name}") == columns


def test_fields_of_columns_in_row_groups_are_documented() -> None:
    listed = _RELATIONS["row_groups"].schema.field("columns").type.value_type  # type: ignore[attr-defined]
    told = next(
        cells[2]
        for cells in rows(sections(PAGE)["pagelake.row_groups"])
        if code(cells[0]) == ["columns"]
    )
    assert code(told) == [field.name for field in listed]


def test_every_system_relation_that_is_documented_exists() -> None:
    told = {name for name in sections(PAGE) if name.startswith("pagelake.")}
    assert told == {f"pagelake.{name}" for name in _RELATIONS}


def test_procedures_are_documented_with_their_parameters() -> None:
    told = {}
    for cells in rows(sections(PAGE)["CALL"], "procedure"):
        name, _, arguments = code(cells[0])[0].rstrip(")").partition("(")
        told[name] = [argument.strip() for argument in arguments.split(",") if argument]
    known = {
        name: [p if p in procedure.required else f"[{p}]" for p in procedure.parameters]
        for name, procedure in PROCEDURES.items()
    }
    assert told == known


def test_functions_are_documented() -> None:
    told = set(re.findall(r"\*\*`pagelake\.(\w+)\(", text_of(PAGE)))
    assert told == set(_FUNCTIONS)
    assert list(_columns("Functions")) == [name for name, _ in _OWN]


def test_every_statement_is_documented() -> None:
    spans = prose(PAGE)
    assert not [verb for verb in _READERS if not re.search(rf"\b{verb}\b", spans)]


# What is not supported


def _unsupported() -> dict[str, str]:
    """Examples by the constructs that they show."""
    listed = rows(sections(PAGE)["What is not supported"], "construct")
    return {code(cells[0])[0]: code(cells[1])[0] for cells in listed}


def _constructs_in_code() -> set[str]:
    """Constructs that the code calls unsupported in so many words."""
    found: set[str] = set()
    for folder in ("engine", "extensions", "sql", "storage"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            if "construct=" not in text and "Other(" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if not isinstance(node, ast.Call):
                    continue
                name = node.func.id if isinstance(node.func, ast.Name) else ""
                given = [k.value for k in node.keywords if k.arg == "construct"]
                given += node.args if name == "Other" else []
                found |= {str(value.value) for value in given if isinstance(value, ast.Constant)}
    return found


def test_every_construct_that_the_code_refuses_is_listed() -> None:
    for_want_of_packages = {".plot -o", "--plot", "file_facts"}
    missing = _constructs_in_code() - for_want_of_packages - _unsupported().keys()
    assert not missing


@pytest.fixture(scope="module")
def db() -> Iterator[pagelake.Connection]:
    with pagelake.connect() as opened:
        opened.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b VARCHAR COLLATE NOCASE)")
        opened.execute("CREATE TEMP TABLE scratch (a INTEGER)")
        opened.execute("ATTACH ':memory:' AS other; CREATE TABLE other.u (a INTEGER)")
        yield opened


@pytest.mark.parametrize("construct", sorted(_unsupported()))
def test_what_is_listed_as_unsupported_is_refused_by_name(
    construct: str, db: pagelake.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        with pytest.raises(pagelake.Unsupported) as caught:
            db.sql(_unsupported()[construct]).fetchall()
    finally:
        db.rollback()
    assert caught.value.construct == construct
