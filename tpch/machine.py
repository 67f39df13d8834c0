"""What a measurement was made on: the machine, the versions and the commit.

Every figure leaves with this beside it, because times from two machines do not compare.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Machine", "describe"]

_PACKAGES = ("pagelake", "duckdb", "pyarrow", "sqlglot", "polars", "datafusion")


@dataclass(frozen=True, slots=True)
class Machine:
    """Machine, software and date of a measurement.

    Attributes:
        cpu: Model name of the processor.
        cores: Logical cores of the machine.
        memory_gib: Installed memory in GiB.
        system: Operating system and release.
        python: Version of the interpreter.
        versions: Version of each package installed, by name.
        threads: Threads each engine was given.
        date: Start, ISO 8601 in UTC.
        commit: Short git commit of the source, with ``+`` if it was modified; None when the
            package is installed without its repository.
    """

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    versions: dict[str, str]
    threads: int
    date: str
    commit: str | None

    def as_json(self) -> dict[str, object]:
        """Return the description as JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the description as a few lines for a caption."""
        packages = " · ".join(f"{name} {number}" for name, number in self.versions.items())
        commit = f" · commit {self.commit}" if self.commit else ""
        return [
            f"{self.cpu} · {self.cores} cores · {self.memory_gib:.0f} GiB · {self.system}",
            f"{self.threads} threads · Python {self.python} · {packages}",
            f"{self.date}{commit}",
        ]


def describe(threads: int) -> Machine:
    """Describe this machine and this installation; ``threads`` is what the engines are given."""
    return Machine(
        cpu=_cpu_model(),
        cores=os.cpu_count() or 1,
        memory_gib=round(_memory_bytes() / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=_versions(),
        threads=threads,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        commit=_commit(),
    )


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if "pagelake" not in found:
        import pagelake

        found = {"pagelake": pagelake.__version__, **found}
    return found


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if platform.system() == "Darwin":
        return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.machine()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return int(_output(["sysctl", "-n", "hw.memsize"]) or 0)


def _commit() -> str | None:
    here = Path(__file__).resolve()
    git = ["git", "-C", str(here.parent)]
    # The package may sit inside somebody else's repository: only one that tracks it counts.
    if not _output([*git, "ls-files", "--error-unmatch", here.name]):
        return None
    commit = _output([*git, "rev-parse", "--short", "HEAD"])
    if commit is None:
        return None
    modified = _output([*git, "status", "--porcelain", "--untracked-files=no"])
    return f"{commit}+" if modified else commit


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
