"""Made-up catalogs with names that are hard to quote, and random statements about paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from unittest import mock

import numpy as np

from pagelake.engine.catalog_scan import scan as scan_module
from pagelake.engine.catalog_scan.scan import ScanRequest, scan
from pagelake.extensions.catalog.block import ENTRY, Block, WalkOptions, order_key
from pagelake.sql.tokens import literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from pagelake import Connection

NAMES: Final = (
    b"a", b"b", b"a_b", b"a-b", b"aXb", b"a%b", b"%", b"_", b"it's", b'say "x"', b"$1", b"?", b"--",
    b"a.b", b"a b", b" ", b"\n", b"\\", b"\xff\xfe", "é".encode(), "\U0010ff80".encode(),
    "\U0001f600".encode(), b"WHERE", b"0", b"a0",
)  # fmt: skip
COLUMNS: Final = ("path", "parent_path", "search_path")


def tree(random: Random, root: bytes, directories: int) -> list[Block]:
    """Make blocks as a walk yields them: in order, with files of sizes up to 9."""
    paths = {root}
    while len(paths) < directories:
        above = random.choice(sorted(paths)).rstrip(b"/")
        if above.count(b"/") < 6:
            paths.add(above + b"/" + random.choice(NAMES))
    blocks = []
    for path in sorted(paths, key=order_key):
        below = path.rstrip(b"/") + b"/"
        inner = {p[len(below) :] for p in paths if p != path and p.startswith(below)}
        folders = {name for name in inner if b"/" not in name}
        names = sorted(folders | set(random.sample(NAMES, random.randrange(6))))
        blocks.append(Block(path, _entries([b""], {b""}, random)[0], names,
                            _entries(names, folders, random)))  # fmt: skip
    return blocks


def _entries(names: list[bytes], folders: set[bytes], random: Random) -> np.ndarray:
    made = np.zeros(len(names), dtype=ENTRY)
    made["mode"] = [0o040755 if name in folders else 0o100644 for name in names]
    made["size"] = [random.randrange(10) for _ in names]
    made["inode"] = [random.randrange(1, 1 << 40) for _ in names]
    return made


def fill(con: Connection, blocks: list[Block], name: str) -> None:
    """Make a catalog of them."""
    with mock.patch.object(scan_module, "walk", lambda *_: (block for block in blocks)):
        scan(con._session, ScanRequest(b"/", name, WalkOptions()))


class Statements:
    """Random statements about the paths of a catalog.

    Args:
        random: Decides.
        paths: Paths that there are.
    """

    def __init__(self, random: Random, paths: list[str]) -> None:
        self._random = random
        self._paths = paths

    def text(self) -> str:
        """A path, or what looks like one."""
        random = self._random
        path = random.choice(self._paths)
        match random.randrange(9):
            case 0:
                return path + "/"
            case 1:
                return path[: random.randrange(len(path) + 1)]
            case 2:
                return path.rpartition("/")[0]
            case 3:
                return path.replace(random.choice(path), random.choice("_%/xA"), 1)
            case 4:
                return random.choice(("", "/", "//", "a", "a/b", "/nowhere/at/all", "/a/../b"))
            case 5:
                return path.lstrip("/")
            case 6:
                return f"{path}/{random.choice(('%', 'x', '_'))}"
        return path

    def predicate(self, table: str = "") -> str:
        """A condition on a path, or on something else."""
        random = self._random
        column = table + random.choice(COLUMNS)
        text = literal(self.text())
        match random.randrange(15):
            case 0 | 1 | 2:
                return f"{column} = {text}"
            case 3:
                listed = ", ".join(literal(self.text()) for _ in range(random.randrange(1, 4)))
                return f"{column} IN ({listed})"
            case 4 | 5:
                return f"{column} LIKE {literal(self.text() + random.choice(('/%', '%', '')))}"
            case 6:
                return f"starts_with({column}, {text})"
            case 7:
                return f"{column} ^@ {text}"
            case 8:
                return f"{text} = {column}"
            case 9:
                return f"prefix({column}, {text})"
            case 10:
                return f"({column}) COLLATE NOCASE = {text}"
            case 11:
                return f"{column} NOT IN ({text})"
            case 12:
                return f"{column} = NULL"
            case 13:
                return f"{column} LIKE {text} ESCAPE '$'"
        return f"{table}size > {random.randrange(9)}"

    def condition(self, table: str = "", depth: int = 0) -> str:
        """Conditions within conditions."""
        random = self._random
        match random.randrange(8 if depth < 3 else 3):
            case 3 | 4:
                return f"{self.condition(table, depth + 1)} AND {self.condition(table, depth + 1)}"
            case 5:
                return f"({self.condition(table, depth + 1)} OR {self.condition(table, depth + 1)})"
            case 6:
                return f"NOT ({self.condition(table, depth + 1)})"
            case 7:
                then = self.condition(table, depth + 1)
                return f"CASE WHEN {self.predicate(table)} THEN {then} ELSE size = 1 END" if (
                    not table
                ) else f"({then})"  # fmt: skip
        return self.predicate(table)

    def statement(self, catalog: str) -> str:
        """A statement; its rows come in any order."""
        random, view = self._random, f"catalog.{catalog}"
        where = self.condition()
        side = random.choice(("LEFT", "RIGHT", "FULL", "INNER", "SEMI", "ANTI"))
        of = "a." if side in {"SEMI", "ANTI"} else random.choice(("a.", "b."))
        both = "a.path, a.size" if of == "a." else "a.path, b.path"
        return random.choice((
            f"SELECT path FROM {view} WHERE {where}",
            f"SELECT size, name AS n, path FROM {view} WHERE {self.predicate()}",
            f"SELECT * EXCLUDE (phandle, user_tags) FROM {view} AS p WHERE {where}",
            f"SELECT count(*), sum(size) FROM {view} WHERE {where}",
            f"SELECT extension, count(*) FROM {view} WHERE {where} GROUP BY 1 HAVING count(*) > 1",
            f"SELECT {both} FROM {view} AS a {side} JOIN {view} b ON a.path = b.parent_path "
            f"WHERE {self.condition(of)}",
            f"SELECT a.path FROM {view} AS a, {view} AS b WHERE {self.condition('a.')} "
            f"AND {self.predicate('b.')} AND a.size = b.size",
            f"WITH {catalog} AS (SELECT path || 'x' AS path, '' AS parent_path, size, '' AS "
            f"search_path FROM {view}) SELECT path FROM {catalog} WHERE {where}",
            f"SELECT path FROM (SELECT * FROM {view} WHERE {where}) WHERE {self.condition()}",
            f"SELECT path FROM {view} AS o WHERE EXISTS (SELECT 1 FROM {view} WHERE {where} "
            "AND size = o.size)",
            f"SELECT path FROM {view} WHERE {where} UNION ALL SELECT name FROM {view} WHERE "
            f"{self.predicate()}",
            f"SELECT name FROM {view} AS t(name, parent_path, path) WHERE {self.predicate()}",
            f"SELECT name AS path, path AS name FROM {view} WHERE {where}",
            f"SELECT count(*) FILTER (WHERE {self.predicate()}) FROM {view} WHERE {where}",
            f"SELECT path FROM over_it WHERE {where}",
            f"FROM {view} SELECT path WHERE {where} -- {self.predicate()!r}".replace("\n", " "),
        ))  # fmt: skip


def rows_of(con: Connection, sql: str, parameters: object = None) -> object:
    """The rows of a statement in an order of their own, or the class of its error."""
    try:
        return sorted(con.sql(sql, parameters).fetchall(), key=repr)  # type: ignore[arg-type]
    except Exception as error:  # whatever it is, it is compared
        return type(error)


def paths_of(con: Connection, catalog: str) -> list[str]:
    """The paths of a catalog."""
    return [path for (path,) in con.sql(f"SELECT path FROM catalog.{catalog}").fetchall()]


def without_rule() -> Iterator[None]:
    """Run statements as they are."""
    from pagelake.engine.leaves import catalog_leaf

    with mock.patch.object(catalog_leaf, "_conditions", lambda *_: iter(())):
        yield
