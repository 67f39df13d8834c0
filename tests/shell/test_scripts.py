"""The shell without a prompt: options, pipes, scripts, statuses."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pexpect
import pytest

from tests.shell.terminal import PATIENCE_S, Terminal, environment

BY_SWITCH = {
    "--json": lambda text: json.loads(text) == [{"n": 1, "s": "x"}],
    "--jsonl": lambda text: json.loads(text) == {"n": 1, "s": "x"},
    "--csv": lambda text: list(csv.reader(io.StringIO(text))) == [["n", "s"], ["1", "x"]],
    "--tsv": lambda text: text == '"n"\t"s"\n1\t"x"\n',
    "--list": lambda text: text == "n|s\n1|x\n1 row\n",
    "--line": lambda text: text == "n = 1\ns = x\n\n1 row\n",
    "--markdown": lambda text: text.startswith("|   n | s   |\n"),
    "--html": lambda text: text.startswith("<table>\n") and text.endswith("</table>\n"),
    "--insert": lambda text: text.startswith('INSERT INTO result ("n", "s") VALUES\n(1, \'x\');'),
    "--box": lambda text: text.startswith("╭"),
    "--table": lambda text: text.startswith("┌"),
}


@pytest.fixture
def run(state):
    """Run the command line without a terminal; gives (status, output, errors)."""

    def call(*arguments: object, given: str | None = None) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pagelake", *map(str, arguments)],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            env=environment(state),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 4,
        )
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.mark.parametrize("switch", BY_SWITCH)
def test_switches_choose_the_format(capfd, store, switch):
    from pagelake.engine.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["-c", "SELECT 1 AS n, 'x' AS s", switch, str(store)])
    out, err = capfd.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert BY_SWITCH[switch](out), out


def test_query_has_the_switches_too(capfd, store):
    from pagelake.engine.cli import main

    with pytest.raises(SystemExit):
        main(["query", str(store), "SELECT 1 AS n", "--jsonl"])
    assert capfd.readouterr().out == '{"n":1}\n'


def test_a_script_ends_with_a_status_and_its_line(run, store):
    status, out, err = run(store, given="SELECT 1 AS a;\n\nSELECT 2 AS b,\n  nix FROM fruit;\n")
    assert status == 65
    assert "│ 1 │" in out.replace("INTEGER", "").replace("      ", "")
    assert "in the statement at line 3 of standard input" in err
    assert "    nix FROM fruit\n    ^\n" in err


def test_errors_have_statuses(run, store, tmp_path):
    assert run("-c", "SELECT absent", store)[0] == 65
    assert run("-c", ".bogus", store)[0] == 65
    (tmp_path / "file").write_text("not a store")
    assert run("-c", "SELECT 1", tmp_path / "file")[0] not in {0, 65}


def test_dot_commands_work_in_scripts(run, store):
    status, out, err = run(
        store, given=".tables num*\n.mode csv\nSELECT 1 AS a;\n.quit\nSELECT 2;\n"
    )
    assert (status, out, err) == (0, 'numbers\n"a"\n1\n', "")


def test_neither_settings_nor_colours_reach_a_pipe(state, store):
    done = subprocess.run(
        [sys.executable, "-m", "pagelake", str(store)],
        input="SELECT NULL AS a;",
        env=environment(state, PAGELAKE_SHELL_MODE="csv", PAGELAKE_SHELL_NULL="nix"),
        capture_output=True,
        text=True,
    )
    assert "NULL" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_a_path_that_is_no_store_ends_the_prompt(tmp_path, state):
    (tmp_path / "file").write_text("not a store")
    terminal = Terminal(tmp_path / "file", state)
    terminal.see("error: ")
    terminal.child.expect(pexpect.EOF)
    terminal.child.close()
    assert terminal.child.exitstatus == 66


def test_the_engine_loads_behind_the_prompt():
    """What would make the prompt late must not be imported before it is there."""
    code = (
        "import sys\n"
        "import pagelake.engine.cli, pagelake.engine.shell.prompt, pagelake.engine.shell.repl\n"
        "import pagelake.engine.shell.config, pagelake.engine.shell.opening\n"
        "heavy = {'duckdb', 'pyarrow', 'sqlglot', 'numpy', 'rich', 'pygments', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
