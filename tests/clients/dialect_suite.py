"""SQLAlchemy's own dialect suite, run on Pagelake's dialect and, to compare, on DuckDB's.

`python -m tests.clients.dialect_suite` prints how many of its tests pass and fail for both;
DuckDB's are counted where `duckdb-engine` is installed. Both meet the same conditions: the suite's
default requirements, two schemas, and temporary tables by their usual name.
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
requirement_cls = sqlalchemy.testing.requirements:SuiteRequirements
profile_file = profiles.txt
[db]
"""
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


def run(dialect: str, wanted: str = "") -> Outcome:
    """Run the suite.

    Args:
        dialect: `pagelake` or `duckdb`.
        wanted: Runs only tests whose name fits, as pytest's `-k`.
    """
    with tempfile.TemporaryDirectory(prefix="dialect-suite-") as folder:
        where = Path(folder)
        (where / "setup.cfg").write_text(_SETTINGS)
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
    """Print the figures of both dialects, and what fails of Pagelake's."""
    for dialect in ("pagelake", "duckdb"):
        if dialect == "duckdb" and find_spec("duckdb_engine") is None:
            print("duckdb: not counted; install duckdb-engine to compare")
            continue
        outcome = run(dialect)
        failed = len(outcome.failed)
        print(f"{dialect}: {outcome.passed} passed, {failed} failed, {outcome.skipped} skipped")
        if dialect == "pagelake":
            print("\n".join(f"  {name}" for name in outcome.failed))


if __name__ == "__main__":
    main()
