"""SQLAlchemy's own dialect suite, run on Pagelake's dialect and, to compare, on DuckDB's.

`python -m tests.clients.dialect_suite` prints how many of its tests pass and fail: first with the
dialect's own requirements, which ask for every feature it has, then for both dialects with the
suite's default ones, where `duckdb-engine` is installed. Both then meet the same conditions: these
requirements, two schemas, and temporary tables by their usual name.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_SETTINGS = """[sqla_testing]
requirement_cls = {requirements}
profile_file = profiles.txt
[db]
"""
OWN = "pagelake.engine.clients.sqlalchemy.requirements:Requirements"
DEFAULT = "sqlalchemy.testing.requirements:SuiteRequirements"
_PYTEST = "[pytest]\naddopts = --tb=line -p no:cacheprovider -p no:warnings\n"
_BOOTSTRAP = """import pytest
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")
{register}
from sqlalchemy.testing.plugin.pytestplugin import *
"""
# The dialect brings no such file of its own, without which most of its tests would not begin.
_DUCKDB = """from sqlalchemy.dialects import registry
from sqlalchemy.testing import provision
registry.register("duckdb.duckdb_engine", "duckdb_engine", "Dialect")
@provision.temp_table_keyword_args.for_db("duckdb")
def temporary(cfg, eng):
    return {"prefixes": ["TEMPORARY"]}
@provision.post_configure_engine.for_db("duckdb")
def schemas(url, engine, follower_ident):
    with engine.begin() as connection:
        for schema in ("test_schema", "test_schema_2"):
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
"""
_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")
_BAD = re.compile(r"^(?:FAILED|ERROR) \S+?::(\w+?)_[a-z]+\+\w+::(.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the suite went.

    Attributes:
        passed: Number of tests that passed.
        failed: Names of the tests that failed or could not begin, as `Class::test[case]`.
        skipped: Number of tests whose feature the requirements leave out.
        printed: What pytest printed.
    """

    passed: int
    failed: tuple[str, ...]
    skipped: int
    printed: str


def run(dialect: str, wanted: str = "", requirements: str = OWN) -> Outcome:
    """Run the suite.

    Args:
        dialect: `pagelake` or `duckdb`.
        wanted: Runs only tests whose name fits, as pytest's `-k`.
        requirements: The class that tells which features to ask for.
    """
    with tempfile.TemporaryDirectory(prefix="dialect-suite-") as folder:
        where = Path(folder)
        (where / "setup.cfg").write_text(_SETTINGS.format(requirements=requirements))
        (where / "pytest.ini").write_text(_PYTEST)
        register = _DUCKDB if dialect == "duckdb" else ""
        (where / "conftest.py").write_text(_BOOTSTRAP.format(register=register))
        (where / "test_suite.py").write_text("from sqlalchemy.testing.suite import *\n")
        command = [sys.executable, "-m", "pytest", "test_suite.py", "-q", "-rfE"]
        # Maintenance would only take time from tables that live for one test.
        options = "?background_maintenance=false" if dialect == "pagelake" else ""
        command += ["--dburi", f"{dialect}:///{folder}/store{options}", "--maxfail", "100000"]
        if wanted:
            command += ["-k", wanted]
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    counts = {kind: int(number) for number, kind in _COUNT.findall(done.stdout[-200:])}
    failed = tuple(f"{kind}::{test}" for kind, test in _BAD.findall(done.stdout))
    return Outcome(
        counts.get("passed", 0), failed, counts.get("skipped", 0), done.stdout + done.stderr
    )


def main() -> None:
    """Print the figures, and what fails of all that Pagelake's dialect is asked for."""
    for dialect, requirements in (("pagelake", OWN), ("pagelake", DEFAULT), ("duckdb", DEFAULT)):
        if dialect == "duckdb" and find_spec("duckdb_engine") is None:
            print("duckdb: not counted; install duckdb-engine to compare")
            continue
        outcome = run(dialect, requirements=requirements)
        asked = "own" if requirements is OWN else "default"
        print(
            f"{dialect}, {asked} requirements: {outcome.passed} passed, "
            f"{len(outcome.failed)} failed, {outcome.skipped} skipped"
        )
        if requirements is OWN:
            print("\n".join(f"  {name}" for name in outcome.failed))


if __name__ == "__main__":
    main()
