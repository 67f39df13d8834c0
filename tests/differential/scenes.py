"""Scenes: short scripts about objects of their own, told statement by statement.

What one statement leaves behind, the next must find: sequences, types, temporary relations,
macros, variables, prepared statements, transactions that are rolled back. A query of a scene
whose rows are to be compared in order ends with ORDER BY ALL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.differential.asking import Query
from tests.differential.grammar import rule
from tests.differential.queries import simple_select
from tests.differential.relations import one_table
from tests.differential.values import WORDS, literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from tests.differential.grammar import Maker

Scene = Sequence[str | Query]


def make_scene(maker: Maker) -> Scene:
    """Statements about objects whose names nothing else has."""
    maker.begin(parameters=False)
    maker.made_ids += 1
    scene: Scene = maker.pick("scene", f"{maker.made_ids}")
    return scene


def some(random: Random, lines: Iterable[str], share: float = 0.7) -> list[str]:
    """So many of the lines, in their order."""
    return [line for line in lines if random.random() < share]


def shuffled(random: Random, lines: list[str]) -> list[str]:
    """The lines in any order."""
    return random.sample(lines, len(lines))


@rule("scene", "sequence")
def _sequence(maker: Maker, mark: str) -> Scene:
    name, table = f"seq_{mark}", f"ticket_{mark}"
    options = maker.one_of(
        ["", "START 5", "INCREMENT 3", "START 10 INCREMENT -2 MINVALUE -100 MAXVALUE 10",
         "MINVALUE 1 MAXVALUE 4 CYCLE"]
    )  # fmt: skip
    middle = [
        f"INSERT INTO {table} (v) VALUES (7), (8)",
        f"INSERT INTO {table} (v) SELECT g FROM range(4) AS r(g)",
        f"SELECT nextval('{name}')",
        f"SELECT currval('{name}')",
        f"INSERT INTO {table} (v) VALUES (9) RETURNING n",
        f"INSERT INTO {table} VALUES (DEFAULT, 3), (500, 4)",
        f"INSERT INTO {table} BY NAME SELECT 5 AS v",
        f"SELECT nextval('{name}') FROM range(3) AS r(g)",
        f"DELETE FROM {table} WHERE v = 8",
        f"SELECT * FROM {table} ORDER BY ALL",
    ]
    return [
        f"CREATE SEQUENCE {name} {options}",
        f"CREATE TABLE {table} (n BIGINT DEFAULT nextval('{name}'), v INTEGER)",
        f"SELECT nextval('{name}')",
        *some(maker.random, shuffled(maker.random, middle), 0.8),
        f"DROP SEQUENCE {name}",
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP TABLE {table}",
        f"DROP SEQUENCE IF EXISTS {name}",
    ]


@rule("scene", "ENUM")
def _enum(maker: Maker, mark: str) -> Scene:
    name, table = f"kind_{mark}", f"tagged_{mark}"
    members = maker.random.sample(WORDS, maker.random.randint(1, 6))
    listed = ", ".join(f"'{member}'" for member in members)
    rows = ", ".join(f"({i}, '{maker.one_of(members)}')" for i in range(9))
    middle = [
        f"INSERT INTO {table} VALUES (20, 'not a member')",
        f"INSERT INTO {table} VALUES (21, NULL)",
        f"SELECT e, count(*) FROM {table} GROUP BY e ORDER BY ALL",
        f"SELECT max(e), min(e), max(e::VARCHAR) FROM {table}",
        f"SELECT enum_range(NULL::{name}), enum_first(NULL::{name}), enum_code('{members[0]}'::"
        f"{name})",
        f"SELECT i FROM {table} WHERE e > '{members[0]}' ORDER BY ALL",
        f"SELECT i FROM {table} WHERE e = '{members[-1]}'::{name} ORDER BY ALL",
        f"SELECT i, e || '!' FROM {table} WHERE e IN ('{members[0]}', 'b') ORDER BY ALL",
        f"UPDATE {table} SET e = '{members[-1]}' WHERE i % 2 = 0",
        f"SELECT a.i, b.i FROM {table} a JOIN {table} b USING (e) WHERE a.i < b.i ORDER BY ALL",
        f"ALTER TABLE {table} ADD COLUMN more {name} DEFAULT '{members[0]}'",
        f"DELETE FROM {table} WHERE e = '{members[0]}'",
    ]
    return [
        f"CREATE TYPE {name} AS ENUM ({listed})",
        f"CREATE TABLE {table} (i INTEGER, e {name})",
        f"INSERT INTO {table} VALUES {rows}",
        *some(maker.random, shuffled(maker.random, middle)),
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP TYPE {name}",
        f"DROP TABLE {table}",
        f"DROP TYPE IF EXISTS {name}",
    ]


@rule("scene", "generated columns")
def _generated(maker: Maker, mark: str) -> Scene:
    table = f"derived_{mark}"
    middle = [
        f"INSERT INTO {table} (a, b) VALUES (1, 'x'), (NULL, NULL), (7, 'long word')",
        f"INSERT INTO {table} VALUES (4, 'four')",
        f"INSERT INTO {table} (c) VALUES (3)",
        f"UPDATE {table} SET c = 3",
        f"UPDATE {table} SET a = coalesce(a, 0) + c WHERE c IS NOT NULL RETURNING *",
        f"UPDATE {table} SET b = b || '+' WHERE l > 1",
        f"SELECT c, count(*) FROM {table} GROUP BY ALL ORDER BY ALL",
        f"SELECT * FROM {table} WHERE c > 5 ORDER BY ALL",
        f"SELECT max(c), sum(l) FROM {table}",
        f"DELETE FROM {table} WHERE c = 3 RETURNING a, c",
        f"ALTER TABLE {table} ADD COLUMN z INTEGER DEFAULT 4",
        f"ALTER TABLE {table} DROP COLUMN a",
        f"INSERT INTO {table} BY NAME SELECT 12 AS a",
        f"CREATE OR REPLACE TABLE {table}_2 AS SELECT * FROM {table}",
    ]
    return [
        f"CREATE TABLE {table} (a INTEGER, b VARCHAR, c INTEGER GENERATED ALWAYS AS (a * 2 + 1),"
        f" l BIGINT AS (length(b)))",
        f"INSERT INTO {table} (a, b) SELECT g, 'w' || g FROM range(6) AS r(g)",
        *some(maker.random, shuffled(maker.random, middle)),
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP TABLE {table}",
        f"DROP TABLE IF EXISTS {table}_2",
    ]


@rule("scene", "transaction rolled back", 2)
def _rolled_back(maker: Maker, mark: str) -> Scene:
    table = f"tried_{mark}"
    other, _ = one_table(maker, 2_000, base=True)
    inside = [
        f"INSERT INTO {table} SELECT g + 50, g, 'fresh' FROM range(30) AS r(g)",
        f"DELETE FROM {table} WHERE id % 4 = 1",
        f"UPDATE {table} SET v = v + 1, s = NULL WHERE id % 3 = 0",
        f"CREATE TABLE {table}_new AS SELECT id, v FROM {table} WHERE v > 2",
        f"ALTER TABLE {table} ADD COLUMN extra VARCHAR DEFAULT 'e'",
        f"CREATE VIEW {table}_view AS SELECT id FROM {table} WHERE v IS NOT NULL",
        f"SELECT * FROM {table} WHERE id = 9",
        f"SELECT count(*), sum(v), max(s) FROM {table}",
        f"INSERT OR REPLACE INTO {table} (id, v) VALUES (3, 33), (900, 9)",
        f"SELECT t.id, o.id FROM {table} AS t JOIN {other.name} AS o ON t.id = o.id ORDER BY ALL",
        f"ALTER TABLE {table} RENAME COLUMN v TO w",
        f"TRUNCATE {table}",
        f"SELECT * FROM {table} WHERE v = 3 ORDER BY ALL",
    ]
    after = [
        f"SELECT * FROM {table} ORDER BY ALL",
        f"SELECT v FROM {table} WHERE id = 9",
        f"SELECT count(*) FROM {table}_new",
        f"INSERT INTO {table} (id, v) VALUES (901, 1)",
        f"SELECT count(*), min(id), max(v) FROM {table}",
    ]
    return [
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, v INTEGER, s VARCHAR)",
        f"INSERT INTO {table} SELECT g, g % 7, 's' || g FROM range(40) AS r(g)",
        "BEGIN",
        *some(maker.random, shuffled(maker.random, inside), 0.45),
        f"SELECT * FROM {table} ORDER BY ALL",
        maker.one_of(["ROLLBACK", "ROLLBACK", "COMMIT"]),
        *some(maker.random, after),
        f"DROP TABLE IF EXISTS {table}_new",
        f"DROP VIEW IF EXISTS {table}_view",
        f"DROP TABLE IF EXISTS {table}",
    ]


@rule("scene", "temporary", 1.5)
def _temporary(maker: Maker, mark: str) -> Scene:
    table = f"passing_{mark}"
    sql, _, _ = simple_select(maker, 400)
    middle = [
        f"INSERT INTO {table} VALUES (900, 'n'), (901, NULL)",
        f"UPDATE {table} SET s = upper(s) WHERE id % 2 = 0",
        f"DELETE FROM {table} WHERE id < 5",
        f"SELECT t.id, i.k FROM {table} AS t JOIN item AS i ON i.id = t.id ORDER BY ALL",
        f"UPDATE {table} SET s = i.s FROM item AS i WHERE i.id = {table}.id",
        f"CREATE TEMP VIEW {table}_view AS SELECT id FROM {table} WHERE s IS NOT NULL",
        f"SELECT count(*) FROM {table}_view",
        f"INSERT INTO {table} SELECT id + 2000, s FROM part RETURNING id",
        f"SELECT * FROM temp.{table} WHERE id = 7 ORDER BY ALL",
        f"CREATE TEMP TABLE {table}_2 AS {sql}",
        f"SELECT count(*) FROM {table}_2",
        f"ALTER TABLE {table} ADD COLUMN extra INTEGER DEFAULT 3",
        f"INSERT INTO {table} (id) VALUES (1)",
    ]
    return [
        f"CREATE TEMP TABLE {table} (id INTEGER, s VARCHAR)",
        f"INSERT INTO {table} SELECT id, s FROM item WHERE id < 40",
        *some(maker.random, middle),
        f"SELECT * FROM {table} ORDER BY ALL",
        "BEGIN",
        f"DELETE FROM {table} WHERE id % 3 = 0",
        *some(maker.random, (line for line in middle if "TEMP" not in line), 0.3),
        f"INSERT INTO {table} (id) SELECT id FROM fact WHERE id < 20",
        f"SELECT count(*), max(s) FROM {table}",
        maker.one_of(["ROLLBACK", "COMMIT"]),
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP VIEW IF EXISTS {table}_view",
        f"DROP TABLE {table}",
        f"DROP TABLE IF EXISTS {table}_2",
    ]


@rule("scene", "hidden by a temporary table", 0.5)
def _hidden(_maker: Maker, mark: str) -> Scene:
    table = f"seen_{mark}"
    return [
        f"CREATE TABLE {table} AS SELECT 1 AS a",
        f"CREATE TEMP TABLE {table} AS SELECT 2 AS a",
        f"SELECT a FROM {table}",
        f"SELECT a FROM main.{table}",
        f"SELECT a FROM temp.{table}",
        f"DROP TABLE temp.{table}",
        f"SELECT a FROM {table}",
        f"DROP TABLE {table}",
    ]


@rule("scene", "macros")
def _macros(maker: Maker, mark: str) -> Scene:
    name, temp = f"made_{mark}", maker.one_of(["", "TEMP "])
    limit = maker.random.randint(1, 30)
    middle = [
        f"SELECT {name}(3), {name}(3, 4), {name}(NULL)",
        f"SELECT id, {name}(k) FROM item WHERE id < 9 ORDER BY ALL",
        f"SELECT * FROM {name}_rows({limit}) ORDER BY ALL",
        f"SELECT count(*), max(k) FROM {name}_rows(5, most := 50) AS r",
        f"SELECT r.id, p.id FROM {name}_rows({limit}) AS r JOIN part AS p ON p.item_id = r.id"
        " ORDER BY ALL",
        f"CREATE OR REPLACE {temp}MACRO {name}(a) AS a + 1",
        f"SELECT {name}(id) FROM item WHERE {name}(id) < 6 ORDER BY ALL",
        f"SELECT {name}(1, 2, 3, 4)",
        f"SELECT max({name}(k)) OVER (PARTITION BY {name}(id) % 3) FROM item WHERE id < 20"
        " ORDER BY ALL",
        f"CREATE {temp}VIEW {name}_view AS SELECT {name}(id) AS m FROM item WHERE id < 4",
        f"SELECT * FROM {name}_view ORDER BY ALL",
    ]
    return [
        f"CREATE {temp}MACRO {name} (a) AS a * 2, (a, b) AS a - b",
        f"CREATE {temp}MACRO {name}_rows(low, most := 20) AS TABLE"
        " SELECT id, k FROM item WHERE id BETWEEN low AND most",
        *some(maker.random, middle),
        f"DROP VIEW IF EXISTS {name}_view",
        f"DROP MACRO {name}",
        f"DROP MACRO TABLE {name}_rows",
    ]


@rule("scene", "variables")
def _variables(maker: Maker, mark: str) -> Scene:
    kind = maker.one_of(["int", "text", "date", "list", "decimal"])
    name, value = f"v_{mark}", literal(maker.random, kind)
    return [
        f"SET VARIABLE {name} = {value}",
        f"SELECT getvariable('{name}'), typeof(getvariable('{name}'))",
        f"SET VARIABLE {name} = (SELECT max(id) FROM item WHERE id < 100)",
        f"SELECT id FROM item WHERE id = getvariable('{name}') ORDER BY ALL",
        f"SELECT count(*) FROM fact WHERE item_id <= getvariable('{name}') % 9",
        f"RESET VARIABLE {name}",
        f"SELECT getvariable('{name}')",
    ]


@rule("scene", "prepared changes", 1.5)
def _prepared(maker: Maker, mark: str) -> Scene:
    table = f"asked_{mark}"
    values = ", ".join(literal(maker.random, kind) for kind in ("text", "date"))
    middle = [
        f"EXECUTE add_{mark}(1, {values})",
        f"EXECUTE add_{mark}(2, NULL, NULL)",
        f"EXECUTE add_{mark}('3', 'three', '2020-02-03')",
        f"EXECUTE add_{mark}(4.0, 'four', NULL)",
        f"EXECUTE set_{mark}(2, 'now two')",
        f"EXECUTE get_{mark}(2)",
        f"EXECUTE get_{mark}(NULL)",
        f"EXECUTE get_{mark}('1')",
        f"EXECUTE del_{mark}(1)",
        f"EXECUTE add_{mark}(5)",
        f"EXECUTE named_{mark}(lo := 1, hi := 3)",
        f"EXECUTE named_{mark}(hi := 3, lo := 2)",
        f"EXECUTE add_{mark}(1, 'again', DATE '2020-01-01')",
    ]
    rolled = ["BEGIN", f"EXECUTE add_{mark}(60, 'kept?', NULL)", f"EXECUTE get_{mark}(60)"]
    return [
        f"CREATE TABLE {table} (id INTEGER, s VARCHAR, d DATE)",
        f"PREPARE add_{mark} AS INSERT INTO {table} VALUES ($1, $2, $3)",
        f"PREPARE get_{mark} AS SELECT * FROM {table} WHERE id = $1 ORDER BY ALL",
        f"PREPARE set_{mark} AS UPDATE {table} SET s = $2 WHERE id = $1",
        f"PREPARE del_{mark} AS DELETE FROM {table} WHERE id = ? RETURNING id",
        f"PREPARE named_{mark} AS SELECT id FROM {table} WHERE id BETWEEN $lo AND $hi ORDER BY ALL",
        *some(maker.random, shuffled(maker.random, middle)),
        *(rolled if maker.chance(0.6) else ["BEGIN"]),
        maker.one_of(["ROLLBACK", "COMMIT"]),
        f"EXECUTE get_{mark}(60)",
        f"SELECT * FROM {table} ORDER BY ALL",
        *(f"DEALLOCATE {word}_{mark}" for word in ("add", "get", "set", "del", "named")),
        f"DROP TABLE {table}",
    ]


@rule("scene", "several unique keys")
def _unique(maker: Maker, mark: str) -> Scene:
    table = f"owned_{mark}"
    middle = [
        f"INSERT OR IGNORE INTO {table} VALUES (1, 'z', 1), (30, 's2', 1), (31, 'new', 1)",
        f"INSERT INTO {table} VALUES (3, 'q', 1) ON CONFLICT (a) DO UPDATE SET c = 9 RETURNING *",
        f"INSERT INTO {table} VALUES (77, 's4', 5) ON CONFLICT (b) DO UPDATE SET c = excluded.c",
        f"INSERT INTO {table} VALUES (5, 's6', 5) ON CONFLICT (a) DO NOTHING",
        f"INSERT INTO {table} VALUES (5, 's6', 5) ON CONFLICT DO NOTHING",
        f"INSERT INTO {table} VALUES (5, 'ok', 5)",
        f"INSERT INTO {table} VALUES (55, 's5', 5)",
        f"UPDATE {table} SET a = a + 1",
        f"UPDATE {table} SET b = 's1' WHERE a = 2",
        f"UPDATE {table} SET a = NULL WHERE a = 2",
        f"INSERT INTO {table} VALUES (60, NULL, 1), (61, NULL, 2)",
        f"DELETE FROM {table} WHERE a IN (2, 3)",
        f"INSERT INTO {table} VALUES (2, 's2', 2)",
        f"UPDATE {table} SET c = -1 WHERE a = 4",
        f"SELECT * FROM {table} WHERE b = 's7'",
        f"MERGE INTO {table} USING (SELECT 4 AS a UNION ALL SELECT 90) AS m ON m.a = {table}.a"
        " WHEN MATCHED THEN UPDATE SET c = 44 WHEN NOT MATCHED THEN INSERT VALUES (m.a, 'm', 1)",
    ]
    return [
        f"CREATE TABLE {table} (a INTEGER PRIMARY KEY, b VARCHAR UNIQUE, c INTEGER CHECK (c >= 0))",
        f"INSERT INTO {table} SELECT g, 's' || g, g FROM range(1, 12) AS r(g)",
        *some(maker.random, shuffled(maker.random, middle)),
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP TABLE {table}",
    ]


@rule("scene", "foreign key")
def _foreign(maker: Maker, mark: str) -> Scene:
    parent, child = f"parent_{mark}", f"child_{mark}"
    middle = [
        f"INSERT INTO {child} VALUES (50, 3), (51, NULL)",
        f"INSERT INTO {child} VALUES (52, 99)",
        f"DELETE FROM {parent} WHERE id = 3",
        f"DELETE FROM {parent} WHERE id = 9",
        f"UPDATE {child} SET p = 2 WHERE p = 1",
        f"UPDATE {child} SET p = 98 WHERE p = 2",
        f"UPDATE {parent} SET v = 'changed' WHERE id = 8",
        f"INSERT INTO {parent} VALUES (99, 'late')",
        f"DELETE FROM {child} WHERE p = 3",
        f"SELECT p.id, count(c.id) FROM {parent} AS p LEFT JOIN {child} AS c ON c.p = p.id"
        " GROUP BY ALL ORDER BY ALL",
        f"DROP TABLE {parent}",
    ]
    return [
        f"CREATE TABLE {parent} (id INTEGER PRIMARY KEY, v VARCHAR)",
        f"CREATE TABLE {child} (id INTEGER, p INTEGER REFERENCES {parent} (id))",
        f"INSERT INTO {parent} SELECT g, 'p' || g FROM range(10) AS r(g)",
        f"INSERT INTO {child} SELECT g, g % 5 FROM range(20) AS r(g)",
        *some(maker.random, shuffled(maker.random, middle)),
        f"SELECT * FROM {child} ORDER BY ALL",
        f"DROP TABLE {child}",
        f"DROP TABLE {parent}",
    ]


@rule("scene", "schemas")
def _schemas(maker: Maker, mark: str) -> Scene:
    schema = f"area_{mark}"
    middle = [
        f"SELECT * FROM {schema}.t ORDER BY ALL",
        f"SELECT t.a FROM {schema}.t WHERE {schema}.t.a > 1 ORDER BY ALL",
        f"CREATE VIEW {schema}.v AS SELECT a FROM {schema}.t",
        f"SELECT count(*) FROM {schema}.v",
        f"DROP SCHEMA {schema}",
        f"SELECT i.id FROM item AS i JOIN {schema}.t AS t ON i.id = t.a ORDER BY ALL",
        f"INSERT INTO {schema}.t VALUES (9) RETURNING *",
        f"UPDATE {schema}.t SET a = a + 1",
        f"CREATE TABLE {schema}.t (b INTEGER)",
        f"CREATE TABLE {schema}.item AS SELECT 5 AS id",
        f"USE {schema}",
        "SELECT max(id) FROM item",
        "SELECT max(id) FROM main.item",
        "SELECT a FROM t ORDER BY ALL",
    ]
    return [
        f"CREATE SCHEMA {schema}",
        f"CREATE TABLE {schema}.t AS SELECT g AS a FROM range(4) AS r(g)",
        *some(maker.random, middle),
        "USE main",
        f"DROP SCHEMA {schema} CASCADE",
        f"SELECT * FROM {schema}.t",
    ]


@rule("scene", "view of a query")
def _view(maker: Maker, mark: str) -> Scene:
    view = f"shown_{mark}"
    one, kinds, _ = simple_select(maker, 400)
    two, _, _ = simple_select(maker, 400)
    # What is stored may not depend on what goes with the connection.
    passing = "scratch" in one + two or "passing" in one + two
    view_word = "TEMP VIEW" if passing else "VIEW"
    return [
        f"CREATE {view_word} {view} AS {one}",
        f"SELECT * FROM {view}",
        f"SELECT count(*), count(c0) FROM {view}",
        f"SELECT c0 FROM {view} GROUP BY c0" if kinds else f"SELECT * FROM {view}",
        f"CREATE OR REPLACE {view_word} {view} AS {two}",
        f"SELECT * FROM {view}",
        f"DROP VIEW {view}",
        f"SELECT * FROM {view}",
    ]
