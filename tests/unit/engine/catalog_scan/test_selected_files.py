"""Files that a query chooses: `read_csv((SELECT path FROM …))`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pagelake
from pagelake import InvalidRequest, LimitExceeded, UnknownName, Unsupported
from pagelake.engine import selected_files
from pagelake.sql.references import FileSelection, references

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pagelake import Connection

NAMES = ("a", "b[1]", "c*d", "it's", "é ü")
CHOSEN = "(SELECT path FROM catalog.proj WHERE extension = 'csv' ORDER BY name)"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    root = tmp_path / "tree"
    root.mkdir()
    for number, name in enumerate(NAMES):
        (root / f"{name}.csv").write_text(f"x,n\n{number},{name}\n")
    (root / "b1.csv.txt").write_text("not chosen, though b[1] as a pattern would")
    with pagelake.connect() as con:
        con.execute("CALL catalog_scan(?, name => 'proj')", [str(root)])
        yield con


def test_each_chosen_file_is_read_whatever_its_name(db: Connection) -> None:
    assert db.sql(f"SELECT n FROM read_csv({CHOSEN}) ORDER BY x").fetchall() == [
        (name,) for name in NAMES
    ]


def test_options_lists_parameters_and_the_past_work(db: Connection, tmp_path: Path) -> None:
    sql = f"""
        SELECT filename, count(*) FROM read_csv({CHOSEN}, filename => true, header => true)
        GROUP BY ALL ORDER BY 1"""
    assert len(db.sql(sql).fetchall()) == len(NAMES)
    (tmp_path / "tree" / "later.csv").write_text("x,n\n9,later\n")
    db.execute("CALL catalog_scan(?, name => 'proj')", [str(tmp_path / "tree")])
    listed = "(FROM catalog.proj AT (VERSION => ?) SELECT list(path) WHERE extension = ?)"
    for version, count in ((1, len(NAMES)), (2, len(NAMES) + 1)):
        sql = f"SELECT count(*) FROM read_text({listed}) WHERE size > ?"
        assert db.sql(sql, [version, "csv", 0]).fetchall() == [(count,)]


def test_the_files_are_chosen_each_time(db: Connection, tmp_path: Path) -> None:
    sql = f"SELECT count(*) FROM read_csv({CHOSEN})"
    db.execute(f"CREATE TABLE t AS FROM read_csv({CHOSEN})")
    (tmp_path / "tree" / "later.csv").write_text("x,n\n9,later\n")
    assert db.sql(sql).fetchall() == [(len(NAMES),)]
    db.execute("CALL catalog_scan(?, name => 'proj')", [str(tmp_path / "tree")])
    assert db.sql(sql).fetchall() == [(len(NAMES) + 1,)]
    db.execute(f"INSERT INTO t FROM read_csv({CHOSEN})")
    assert db.sql("SELECT count(*) FROM t").fetchall() == [(2 * len(NAMES) + 1,)]


def test_a_transaction_sees_its_own_choice(db: Connection, tmp_path: Path) -> None:
    db.execute("CREATE TABLE chosen (path VARCHAR)")
    db.execute("BEGIN")
    db.execute("INSERT INTO chosen VALUES (?)", [str(tmp_path / "tree/a.csv")])
    assert db.sql("SELECT n FROM read_csv((FROM chosen))").fetchall() == [("a",)]
    db.execute("ROLLBACK")
    with pytest.raises(InvalidRequest, match="chooses no files"):
        db.sql("SELECT n FROM read_csv((FROM chosen))").fetchall()


def test_what_is_no_choice_is_refused(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    for query in ("SELECT size FROM catalog.proj", "SELECT path, name FROM catalog.proj"):
        with pytest.raises(InvalidRequest, match="one column, of paths"):
            db.sql(f"FROM read_csv(({query}))")
    with pytest.raises(UnknownName, match="nope"):
        db.sql("FROM read_csv((SELECT path FROM nope))")
    for kept in ("VIEW v AS SELECT *", "OR REPLACE TEMP VIEW v AS", "MACRO m() AS TABLE"):
        with pytest.raises(Unsupported, match="cannot choose files"):
            db.execute(f"CREATE {kept} FROM read_csv({CHOSEN})")
    monkeypatch.setattr(selected_files, "FILES_MAX", 2)
    with pytest.raises(LimitExceeded, match="more than 2 files"):
        db.sql(f"FROM read_csv({CHOSEN})")


def test_only_readers_of_files_are_meant() -> None:
    assert isinstance(references("FROM read_csv((SELECT 1))")[0], FileSelection)
    assert references("SELECT abs((SELECT 1)), read_csv_count((SELECT 2))") == []
    assert references("SELECT * FROM t WHERE x IN ((SELECT 1))") == []
