"""Settings of the shell: defaults, file, environment."""

from __future__ import annotations

import pytest

from pagelake.engine.shell.config import load_config
from pagelake.engine.shell.pager import pager_command
from pagelake.errors import InvalidRequest


def test_the_environment_goes_before_the_file(tmp_path):
    file = tmp_path / "shell.toml"
    file.write_text('null = "nix"\nmax_rows = 7\ntimer = false\n')
    config = load_config({"PAGELAKE_SHELL_CONFIG": str(file), "PAGELAKE_SHELL_NULL": "none"})
    assert config.text("null") == "none"
    assert config.count("max_rows") == 7
    assert not config.switch("timer")
    assert config.text("mode") == "table"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mode = 'parquet'", "the setting mode wants one of table"),
        ("colour = true", "no setting colour"),
        ("max_rows = -1", "a number from 0 up"),
        ("editing = 'ed'", "emacs or vi"),
        ("mode = ", "cannot read"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, text, complaint):
    file = tmp_path / "shell.toml"
    file.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        load_config({"PAGELAKE_SHELL_CONFIG": str(file)})
    assert complaint in str(caught.value)


def test_pagers_are_looked_up():
    assert pager_command("off") is None
    assert pager_command("no-such-program-anywhere") is None
    assert pager_command("auto", {"PAGER": "cat -v"}) == ["cat", "-v"]
    assert pager_command("auto", {"PAGER": "cat", "PAGELAKE_PAGER": "head"}) == ["head"]
    assert pager_command("'cat") is None
