"""What the documentation must say: every public name, every setting."""

from __future__ import annotations

import inspect

import pytest

import pagelake
from pagelake.engine.settings import SETTINGS

CONSTANTS = {"__version__", "apilevel", "paramstyle", "threadsafety"}
TYPE_OBJECTS = {"BINARY", "DATETIME", "NUMBER", "ROWID", "STRING"}


def test_all_is_sorted_complete_and_importable() -> None:
    assert len(set(pagelake.__all__)) == len(pagelake.__all__)
    for name in pagelake.__all__:
        assert hasattr(pagelake, name)
    assert set(pagelake.__all__) <= set(dir(pagelake))


@pytest.mark.parametrize("name", sorted(set(pagelake.__all__) - CONSTANTS))
def test_public_names_have_docstrings(name: str) -> None:
    text = inspect.getdoc(getattr(pagelake, name))
    assert text
    assert len(text) > 15


@pytest.mark.parametrize("owner", ["Connection", "Cursor", "Result"])
def test_public_methods_have_docstrings(owner: str) -> None:
    kind = getattr(pagelake, owner)
    for name, member in inspect.getmembers(kind):
        is_ours = inspect.isfunction(member) or isinstance(member, property)
        if is_ours and not name.startswith("_"):
            assert inspect.getdoc(member), f"{owner}.{name}"


def test_type_objects_name_their_types() -> None:
    for name in TYPE_OBJECTS:
        assert "types" in repr(getattr(pagelake, name))


def test_settings_are_listed_with_unit_and_description() -> None:
    with pagelake.connect() as db:
        listed = db.execute("SELECT name, unit, description FROM pagelake.settings").fetchall()
    assert sorted(name for name, _, _ in listed) == sorted(SETTINGS)
    for name, unit, description in listed:
        assert unit, name
        assert description.endswith("."), name


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        pagelake.no_such_name  # noqa: B018
