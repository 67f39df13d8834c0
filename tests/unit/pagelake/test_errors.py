"""The tree of errors: its shape, what it renders, and the exit codes."""

from __future__ import annotations

import copy
import errno
import inspect

import pytest

from pagelake import errors
from pagelake.errors import (
    Conflict,
    Corrupt,
    DataError,
    Error,
    FileError,
    InvalidRequest,
    OperationalError,
    ParseError,
    ProgrammingError,
    Timeout,
    TransactionAborted,
    TypeMismatch,
    UnknownName,
    exit_code,
)

CLASSES = [
    value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Error)
]
RETRYABLE = {"conflict", "unavailable", "limit_exceeded", "timeout", "storage_full"}


def test_codes_are_unique_and_spell_the_class() -> None:
    for cls in CLASSES:
        assert cls.code.replace("_", "") == cls.__name__.lower()
    assert len({cls.code for cls in CLASSES}) == len(CLASSES)


def test_retryable_errors_are_the_transient_ones() -> None:
    assert {cls.code for cls in CLASSES if cls.retryable} == RETRYABLE


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_is_drawn_and_says_what_to_do(cls: type[Error]) -> None:
    assert errors.__doc__ is not None
    assert any(cls.__name__ in line.split() for line in errors.__doc__.splitlines())
    assert cls.__dict__.get("__doc__")


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not FileError])
def test_message_and_hint_are_rendered(cls: type[Error]) -> None:
    assert str(cls("it broke")) == "it broke"
    error = cls("it broke", hint="mend it")
    assert str(error) == "it broke\nhint: mend it"
    assert error.args == ("it broke",)


def test_a_refused_operation_on_files_has_the_number_and_the_path() -> None:
    error = FileError(errno.ENOENT, "/a\ud800")
    assert (error.errno, error.path) == (errno.ENOENT, "/a\ud800")
    assert str(error) == "[ENOENT] No such file or directory: '/a\\ud800'"
    assert exit_code(error) not in {0, 2}
    assert str(copy.copy(error)) == str(error)


def test_tree_matches_pep_249() -> None:
    assert issubclass(InvalidRequest, ProgrammingError)
    assert issubclass(TypeMismatch, InvalidRequest)
    assert issubclass(TypeMismatch, DataError)
    assert issubclass(Conflict, OperationalError)
    assert not issubclass(Corrupt, errors.InternalError | OperationalError)
    assert not issubclass(errors.Warning, Error)


def test_parse_error_points_at_the_spot() -> None:
    error = ParseError("unexpected WHERE", line=2, column=6, excerpt="FROM WHERE", hint="name it")
    assert str(error).splitlines() == [
        "unexpected WHERE (line 2, column 6)",
        "  FROM WHERE",
        "       ^",
        "hint: name it",
    ]


def test_parse_error_keeps_tabs_before_the_caret() -> None:
    error = ParseError("no", line=1, column=3, excerpt="\tab")
    assert str(error).splitlines()[-1] == "  \t ^"


def test_parse_error_points_behind_the_end() -> None:
    error = ParseError("unexpected end", line=1, column=8, excerpt="SELECT")
    assert str(error).splitlines()[-1] == " " * 9 + "^"


def test_unknown_name_suggests() -> None:
    one = UnknownName('no table "ordes"', name="ordes", suggestions=["orders"])
    assert str(one) == 'no table "ordes"\nDid you mean "orders"?'
    three = UnknownName("no column x", suggestions=("a", "b", "c"))
    assert str(three).endswith('Did you mean "a", "b" or "c"?')


def test_corrupt_names_file_and_offset() -> None:
    error = Corrupt("checksum differs", file="segments/7", offset=4096)
    assert str(error) == "checksum differs (segments/7 at byte 4096)"


def test_attributes_survive_a_copy() -> None:
    """What a worker process sends back is rebuilt as a copy is: from `args` and `__dict__`."""
    error = copy.copy(UnknownName("no table t", name="t", suggestions=["u"], hint="look"))
    assert (error.name, error.suggestions, error.hint) == ("t", ("u",), "look")


def test_transaction_aborted_knows_its_message() -> None:
    assert "ROLLBACK" in str(TransactionAborted())


def test_exit_codes_tell_kinds_apart() -> None:
    assert exit_code(ParseError("no")) == exit_code(InvalidRequest("no"))
    assert exit_code(Timeout("late")) == exit_code(Conflict("lost")) == 75
    assert exit_code(errors.Interrupted("stopped")) == exit_code(KeyboardInterrupt())
    assert exit_code(ValueError()) == 1
    assert all(exit_code(cls("no")) not in {0, 2} for cls in CLASSES if cls is not FileError)
