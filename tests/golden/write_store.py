"""Writes the golden store of the present format: a small store with every kind of file in it.

``python -m tests.golden.write_store``

Run once when a format changes, under a new name in ``NAME``: older golden stores are never written
again, because they stand for the stores that people have. Every later version must read them all.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import duckdb

from pagelake.engine.database import Database
from pagelake.storage import transaction
from pagelake.storage.maintenance.compaction import rewrite
from pagelake.storage.maintenance.plan import plan_compaction

if TYPE_CHECKING:
    from pagelake.engine.session import Session

NAME = "format-1"
FOLDER = Path(__file__).parent
ANSWERS = "answers.json"
SETTINGS = {"hot_bytes_max": 0, "threads": 1, "background_maintenance": False}
ROWS = 4_000

COLUMNS = {
    "id": "i",
    "constant": "7",
    "nothing": "NULL::INTEGER",
    "narrow": "1000000 + (i * 37) % 200",
    "wide": "(hash(i) >> 1)::BIGINT",
    "rising": "i * 1000003 + (i * i) % 17",
    "split": "((i * 2654435761) % 65536) * 65536 + 11",
    "coded": "((i * i) % 7) * 123456789012",
    "holes": "CASE WHEN i % 3 = 0 THEN NULL ELSE i * 1.5::DOUBLE END",
    "truth": "i % 5 < 2",
    "word": "'word ' || (i % 9)",
    "text": "md5(i::VARCHAR)",
    "day": "DATE '2001-01-01' + (i % 4000)::INTEGER",
    "moment": "TIMESTAMP '2020-02-02 02:02:02' + to_seconds(i * 61)",
    "small_decimal": "(i * 0.01)::DECIMAL(12, 2)",
    "large_decimal": "(i * 1000000007)::DECIMAL(38, 3)",
    "huge": "(i::HUGEINT * 1000000007 * 1000000007 * 1000000007)",
    "gap": "to_minutes(i)",
    "id128": "CAST(md5((i % 11)::VARCHAR) AS UUID)",
    "bytes": "encode(repeat('ab', (i % 5)::INTEGER))",
    "vector": "[i, i + 0.5, -i]::FLOAT[3]",
    "list": "[i, NULL, i + 1]",
    "pair": "{'a': i, 'b': 'x' || i}",
}
EVERY_COLUMN = ", ".join(f"{expression} AS {name}" for name, expression in COLUMNS.items())
EVERY_ROW = f"SELECT {EVERY_COLUMN} FROM range({ROWS}) r(i)"

QUERIES = {
    "every column": "SELECT sum(hash(COLUMNS(*)) % 1000003) FROM every_codec",
    "every value of some rows": "SELECT * FROM every_codec WHERE id % 1999 = 1 ORDER BY id",
    "pruned": "SELECT count(*), min(text) FROM every_codec WHERE id BETWEEN 3000 AND 3100",
    "deleted and updated": "SELECT count(*), sum(n), min(s), max(s) FROM changed",
    "inline rows": "SELECT * FROM events ORDER BY n",
    "an altered table": "SELECT * FROM altered ORDER BY a",
    "a view": "SELECT * FROM shop.totals",
    "a clone": "SELECT count(*), sum(n) FROM cloned",
    "a restored table": "SELECT count(*), sum(n) FROM restored",
    "a tag below the horizon": "SELECT count(*), sum(n) FROM changed AT (TAG => 'early')",
    "tags": "SELECT tag, version FROM pagelake.tags ORDER BY tag",
    "the newest versions": (
        "SELECT version, operation, message, author FROM pagelake.snapshots "
        "ORDER BY version DESC LIMIT 4"
    ),
    "kinds of pages": "SELECT DISTINCT kind FROM pagelake.pages ORDER BY kind",
    "codecs": (
        "SELECT DISTINCT unnest(string_split(codec, '+')) AS codec "
        "FROM pagelake.pages WHERE codec IS NOT NULL ORDER BY codec"
    ),
}


def answer(session: Session, query: str) -> list[list[Any]]:
    """The rows of a query, every value as text."""
    with closing(session.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})")) as result:
        return [list(row) for row in result.fetchall()]


def old_versions(database: Database, session: Session) -> None:
    """What ends up in bundles, in checkpoints and below the horizon."""

    def run(sql: str) -> None:
        session.execute(sql).close()

    run("CREATE SCHEMA shop")
    run("CREATE TABLE changed AS SELECT i AS n, 'text ' || i AS s FROM range(5000) r(i)")
    run("CREATE TAG early")
    run("CREATE TABLE restored AS SELECT i AS n FROM range(100) r(i)")
    run("CREATE TABLE events (n BIGINT, what VARCHAR)")
    for number in range(5):
        run(f"INSERT INTO events VALUES ({number}, 'old')")
    run("DELETE FROM changed WHERE n % 10 = 3")
    run("UPDATE changed SET s = upper(s) WHERE n % 7 = 1")
    database.store.checkpoint()
    run("INSERT INTO events VALUES (5, 'old')")
    database.store.checkpoint()
    database.store.fold()
    database.store.reclaim(0)


def new_versions(database: Database, session: Session) -> None:
    """What stays in loose records."""

    def run(sql: str) -> None:
        session.execute(sql).close()

    run(f"CREATE TABLE every_codec AS {EVERY_ROW}")
    run("INSERT INTO events VALUES (-1, 'bundled')")
    for _ in range(2):
        database.store.checkpoint()
        run("INSERT INTO events VALUES (-2, 'bundled')")
    database.store.fold()
    run("CREATE TABLE altered (a BIGINT PRIMARY KEY, b VARCHAR DEFAULT 'b' CHECK (b <> ''))")
    run("INSERT INTO altered (a) VALUES (1), (2)")
    run("ALTER TABLE altered ADD COLUMN c INTEGER DEFAULT 3")
    run("ALTER TABLE altered RENAME COLUMN b TO d")
    run("INSERT INTO altered VALUES (3, 'three', NULL)")
    run("CREATE VIEW shop.totals AS SELECT count(*) AS rows, sum(n) AS total FROM changed")
    run("CREATE TABLE cloned CLONE changed AT (TAG => 'early')")
    run("DELETE FROM cloned WHERE n < 10")
    version = database.store.snapshot().version
    run("DELETE FROM restored WHERE n < 50")
    run(f"RESTORE TABLE restored TO VERSION {version}")
    run("CREATE TAG late")
    run("DELETE FROM events WHERE n = 2")
    changed = database.store.snapshot().table("main", "changed")
    assert changed is not None
    rewrite(database.store, changed.definition.id, plan_compaction(changed, eager=True))
    with patch.object(transaction, "DELETE_INLINE_BYTES_MAX", 0):
        run("DELETE FROM every_codec WHERE id % 500 = 2")
    for number in range(6, 9):
        run(f"INSERT INTO events VALUES ({number}, 'new')")


def write(path: Path) -> dict[str, list[list[Any]]]:
    """Make the store at a path; returns the answers to the queries."""
    with closing(Database(str(path), settings=SETTINGS)) as database:
        session = database.session()
        old_versions(database, session)
        new_versions(database, session)
        answers = {name: answer(session, query) for name, query in QUERIES.items()}
    kernel = duckdb.connect()
    kernel.execute(f"CREATE TABLE every_codec AS {EVERY_ROW}")
    kernel.execute("DELETE FROM every_codec WHERE id % 500 = 2")
    for name in ("every column", "every value of some rows", "pruned"):
        query = f"SELECT COLUMNS(*)::VARCHAR FROM ({QUERIES[name]})"
        assert answers[name] == [list(row) for row in kernel.execute(query).fetchall()], name
    return answers


def main() -> None:
    target = FOLDER / f"{NAME}.zip"
    if target.exists():
        raise SystemExit(f"{target} exists: choose another NAME, golden stores do not change")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        answers = write(root)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(ANSWERS, json.dumps(answers, indent=1))
            for file in sorted(p for p in root.rglob("*") if p.is_file()):
                if file.relative_to(root).parts[0] not in {"hot", "pins", "commit", "tmp"}:
                    archive.write(file, f"store/{file.relative_to(root)}")
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
