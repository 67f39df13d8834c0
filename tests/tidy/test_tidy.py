"""The shape of the code: sizes, links, forbidden calls, dead modules, cost of the import."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import pagelake
from pagelake.engine.cli import cli
from pagelake.engine.output.format import _MODULES

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("engine", "extensions", "sql", "storage", "tpch")
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FOLDER_FILES_MAX = 25

# The only modules of storage/ that may call the operating system's file functions.
DEVICE_MODULES = {
    "storage/devices/device.py",
    "storage/devices/file_calls.py",
    "storage/devices/local_device.py",
    "storage/devices/local_hold.py",
    "storage/devices/local_turn.py",
    "storage/devices/memory_device.py",
    "storage/devices/unnamed_file.py",
}

# Modules that something other than an import statement starts.
# Loaded by name: the program, its heavier commands, and the result formats.
ENTRY_POINTS = (
    {"pagelake.__main__"}
    | {f"pagelake.engine.output.{module}" for module in set(_MODULES.values())}
    | {module for module, *_ in type(cli).mounted.values()}  # type: ignore[attr-defined]
)

FILE_CALLS = {
    "open", "io.open", "os.open", "os.fdopen", "os.read", "os.write", "os.pread", "os.pwrite",
    "os.writev", "os.pwritev", "os.preadv", "os.sendfile", "os.copy_file_range", "os.fsync",
    "os.fdatasync", "os.sync", "os.link", "os.symlink", "os.rename", "os.replace", "os.renames",
    "os.unlink", "os.remove", "os.mkdir", "os.makedirs", "os.rmdir", "os.removedirs", "os.truncate",
    "os.ftruncate", "os.posix_fallocate", "os.listdir", "os.scandir", "os.walk", "os.stat",
    "os.lstat", "os.utime", "os.chmod", "mmap.mmap", "pyarrow.memory_map", "pa.memory_map",
    "pyarrow.OSFile", "pa.OSFile",
}  # fmt: skip
FILE_MODULES = {"shutil", "tempfile", "glob"}
PATH_METHODS = {
    "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir", "rmdir", "touch",
    "iterdir", "rglob", "hardlink_to", "symlink_to",
}  # fmt: skip
HEAVY_MODULES = {"duckdb", "pyarrow", "sqlglot", "numpy", "msgpack", "rich", "prompt_toolkit"}


def code_files() -> list[Path]:
    """Source files of the product, each once: the links in pagelake/ are not followed."""
    files = [ROOT / "pagelake" / name for name in ("__init__.py", "__main__.py", "errors.py")]
    for folder in CODE_FOLDERS:
        files += (ROOT / folder).rglob("*.py")
    return sorted(files)


def suite_files() -> list[Path]:
    return sorted((ROOT / "tests").rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] in CODE_FOLDERS:
        parts = ("pagelake", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path) -> set[str]:
    """Dotted names that a file imports, made absolute; `from a import b` gives a and a.b."""
    name = module_name(path)
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")
                parent = parent[: len(parent) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            names.add(base)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("folder", CODE_FOLDERS)
def test_code_folder_is_reached_by_relative_link(folder: str) -> None:
    link = ROOT / "pagelake" / folder
    assert link.is_symlink(), f"{link} must be a symbolic link"
    assert link.readlink() == Path("..") / folder
    assert (ROOT / folder / "__init__.py").is_file()


def test_package_folder_holds_only_the_public_face() -> None:
    allowed = {"__init__.py", "__main__.py", "errors.py", "py.typed", "__pycache__", *CODE_FOLDERS}
    assert {entry.name for entry in (ROOT / "pagelake").iterdir()} <= allowed


def test_every_folder_is_a_package() -> None:
    """The wheel leaves out a folder without `__init__.py`, and nothing else would notice."""
    folders = {path.parent for path in code_files()}
    assert sorted(relative(f) for f in folders if not (f / "__init__.py").is_file()) == []


def test_files_are_short() -> None:
    lengths = {relative(p): len(p.read_text().splitlines()) for p in code_files() + suite_files()}
    assert {p: n for p, n in lengths.items() if n > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    long = {}
    for path in code_files() + suite_files():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{relative(path)}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_folders_are_small() -> None:
    sizes = Counter(relative(path.parent) for path in code_files() + suite_files())
    assert {folder: n for folder, n in sizes.items() if n > FOLDER_FILES_MAX} == {}


def file_calls(tree: ast.Module) -> list[str]:
    """Calls and imports of `tree` that touch files, as `line: what`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            is_path_method = isinstance(node.func, ast.Attribute) and node.func.attr in PATH_METHODS
            if called in FILE_CALLS or is_path_method:
                found.append(f"{node.lineno}: {called}")
        elif isinstance(node, ast.Import):
            found += [f"{node.lineno}: {a.name}" for a in node.names if a.name in FILE_MODULES]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            found += [f"{node.lineno}: {n}" for n in imported if n in FILE_MODULES | FILE_CALLS]
    return found


@pytest.mark.parametrize(
    "source",
    ["open('x')", "import os\nos.replace('a', 'b')", "import shutil", "from os import fsync",
     "Path('x').write_bytes(b'')", "import tempfile"],
)  # fmt: skip
def test_file_calls_are_recognised(source: str) -> None:
    assert file_calls(ast.parse(source)) != []


def test_storage_touches_files_through_the_device_only() -> None:
    found = {
        relative(path): calls
        for path in code_files()
        if relative(path).startswith("storage/") and relative(path) not in DEVICE_MODULES
        if (calls := file_calls(tree_of(path)))
    }
    # A method of the device's own interface may share a name with one of pathlib's.
    own = re.compile(r"\d+: (.*\.)?_?(device|inner|destination|view)\.\w+$")
    found = {path: [c for c in calls if not own.match(c)] for path, calls in found.items()}
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_nothing_imports_pickle() -> None:
    unpicklers = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"}
    found = {
        relative(path): names
        for path in code_files() + suite_files()
        if (names := imported_names(path) & unpicklers)
    }
    assert found == {}


def test_no_reminders_are_left() -> None:
    reminder = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    found = [
        f"{relative(path)}:{number}"
        for path in code_files() + suite_files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if reminder.search(line)
    ]
    assert found == []


def test_every_module_is_imported() -> None:
    """A module that only the test of the same name imports is dead code with a test."""
    importers = {path: imported_names(path) for path in code_files() + suite_files()}
    dead = []
    for path in code_files():
        name = module_name(path)
        if path.stem == "__init__" or name in ENTRY_POINTS:
            continue
        users = [
            user
            for user, names in importers.items()
            if name in names and user != path and user.stem != f"test_{path.stem}"
        ]
        if not users:
            dead.append(name)
    assert dead == []


@pytest.mark.parametrize("name", pagelake.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(pagelake, name) is not None
    assert name in dir(pagelake)


def test_public_names_are_listed() -> None:
    assert len(set(pagelake.__all__)) == len(pagelake.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pagelake.no_such_name
    errors = {
        name
        for name, value in vars(pagelake.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert errors <= set(pagelake.__all__)


def test_import_is_light() -> None:
    """`import pagelake` must not load the packages that take half a second to import."""
    script = (
        "import sys, pagelake; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert HEAVY_MODULES & set(answer.stdout.split()) == set()
    assert "pagelake" in answer.stdout.split()
