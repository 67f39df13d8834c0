"""Scenes about rows: what clients give, moments, extremes, tables of many row groups or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.differential.asking import Query
from tests.differential.grammar import rule
from tests.differential.scenes import shuffled, some
from tests.differential.values import literal, parameter, stored

if TYPE_CHECKING:
    from tests.differential.grammar import Maker
    from tests.differential.scenes import Scene

_ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu")

_GIVEN = {
    "i": ("int", "INTEGER"), "s": ("text", "VARCHAR"), "x": ("real", "DOUBLE"),
    "n": ("decimal", "DECIMAL(9, 3)"), "d": ("date", "DATE"), "t": ("timestamp", "TIMESTAMP"),
    "z": ("timestamptz", "TIMESTAMPTZ"), "tm": ("time", "TIME"), "v": ("interval", "INTERVAL"),
    "u": ("uuid", "UUID"), "b": ("blob", "BLOB"), "l": ("list", "INTEGER[]"), "f": ("bool", "BOOL"),
    "st": ("struct", "STRUCT(a INTEGER, b VARCHAR)"), "ws": ("texts", "VARCHAR[]"),
}  # fmt: skip
_KEYS = ("", " PRIMARY KEY")


@rule("scene", "values of the client", 1.5)
def _client_values(maker: Maker, mark: str) -> Scene:
    """Columns of many types, filled, found and changed by parameters without casts."""
    table, random = f"given_{mark}", maker.random
    names = random.sample(list(_GIVEN), 5)
    listed = ", ".join(f"{name} {_GIVEN[name][1]}" for name in names)

    def row() -> list[object]:
        kinds = (_GIVEN[name][0] for name in names)
        return [None if random.random() < 0.1 else parameter(random, kind) for kind in kinds]

    marks = ", ".join(f"${place}" for place in range(2, 7))
    said: list[str | Query] = [f"CREATE TABLE {table} (id INTEGER{maker.one_of(_KEYS)}, {listed})"]
    kept = [row() for _ in range(8)]
    said += [
        Query(f"INSERT INTO {table} VALUES ($1, {marks})", (number, *values))
        for number, values in enumerate(kept)
    ]
    name = maker.one_of(names)
    place = names.index(name)
    value, other = kept[3][place], parameter(random, _GIVEN[name][0])
    said += [
        Query(f"SELECT id FROM {table} WHERE {name} = ? ORDER BY ALL", (value,)),
        Query(
            f"SELECT id FROM {table} WHERE {name} IS DISTINCT FROM $v ORDER BY ALL", {"v": value}
        ),
        Query(f"UPDATE {table} SET {name} = $v WHERE id = $i", {"v": other, "i": 2}),
        Query(f"SELECT * FROM {table} WHERE id = $1", (random.randint(0, 9),)),
        Query(f"SELECT * FROM {table} WHERE id IN (?, ?) ORDER BY ALL", (1, None)),
        Query(f"SELECT ?, typeof(?), {name} = ? FROM {table} ORDER BY ALL", (other, other, value)),
        Query(f"DELETE FROM {table} WHERE id = ? RETURNING *", (random.randint(0, 9),)),
        Query(f"INSERT INTO {table} (id, {name}) SELECT id + 100, $1 FROM {table}", (other,)),
        Query(f"SELECT count(*), max({name}) FROM {table} WHERE {name} >= $1", (other,)),
        Query(f"SELECT id FROM {table} WHERE id < $1 AND {name} IS NULL ORDER BY ALL", (5.5,)),
        Query(f"SELECT $a || $b, $a = $b FROM {table} LIMIT 1", {"a": "x", "b": "y"}),
        Query(f"SELECT id FROM {table} WHERE id = $1", ("3",)),
        Query(f"SELECT id FROM {table} WHERE id = $1", (3.0,)),
        Query(f"SELECT $1 FROM {table}", ()),
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP TABLE {table}",
    ]
    return said


@rule("scene", "time zone")
def _zone(maker: Maker, mark: str) -> Scene:
    table, zone = f"when_{mark}", maker.one_of(_ZONES)
    moments = ", ".join(f"({i}, {literal(maker.random, 'timestamptz')})" for i in range(5))
    asked = [
        f"SELECT i, z::VARCHAR, z::DATE, extract('hour' FROM z) FROM {table} ORDER BY ALL",
        f"SELECT date_trunc('day', z), count(*) FROM {table} GROUP BY ALL ORDER BY ALL",
        f"SELECT i FROM {table} WHERE z < TIMESTAMPTZ '2020-02-15 00:00:00' ORDER BY ALL",
        f"SELECT i, z AT TIME ZONE 'Asia/Tokyo', z + INTERVAL 1 MONTH FROM {table} ORDER BY ALL",
        f"SELECT i, '2020-03-29 02:30:00'::TIMESTAMPTZ - z FROM {table} ORDER BY ALL",
        f"INSERT INTO {table} VALUES (9, '2020-03-08 02:30:00')",
        f"SELECT i, z::TIMESTAMP, strftime(z, '%H %Z') FROM {table} ORDER BY ALL",
        "SELECT current_setting('TimeZone')",
    ]
    return [
        f"CREATE TABLE {table} (i INTEGER, z TIMESTAMPTZ)",
        f"INSERT INTO {table} VALUES {moments}",
        f"SET TimeZone = '{zone}'",
        *some(maker.random, shuffled(maker.random, asked)),
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP TABLE {table}",
        "SET TimeZone = 'UTC'",
    ]


@rule("scene", "many row groups", 2)
def _many_groups(maker: Maker, mark: str) -> Scene:
    """Row groups by repeated statements, deletes across them, indexes, lookups between."""
    table = f"grown_{mark}"
    key = maker.one_of([" PRIMARY KEY", "", ""])
    said = [
        f"CREATE TABLE {table} (id INTEGER{key}, v INTEGER, s VARCHAR, d DATE, x DOUBLE)",
    ]
    size = maker.random.randint(20, 300)
    for number in range(maker.random.randint(3, 8)):
        low = number * size
        said.append(
            f"INSERT INTO {table} SELECT g, g % {maker.random.randint(2, 50)}, 's' || (g // 10),"
            f" DATE '2020-01-01' + (g // 7)::INTEGER, CASE WHEN g % 13 = 0 THEN 'nan'::DOUBLE"
            f" WHEN g % 17 = 0 THEN NULL ELSE g / 4 END FROM range({low}, {low + size}) AS r(g)"
        )
        spot = maker.random.randint(0, low + size)
        more = [
            f"DELETE FROM {table} WHERE id BETWEEN {spot} AND {spot + size // 2}",
            f"DELETE FROM {table} WHERE v = {maker.random.randint(0, 9)}",
            f"UPDATE {table} SET v = -1, s = NULL WHERE id % 19 = {number}",
            f"UPDATE {table} SET x = -0.0 WHERE d = DATE '2020-01-05'",
            f"CREATE INDEX {table}_{number} ON {table} (v)",
            f"SELECT * FROM {table} WHERE id = {spot}",
            f"SELECT id FROM {table} WHERE v = 3 AND d > DATE '2020-01-09' ORDER BY ALL",
            f"SELECT count(*), sum(v), max(s), min(d), max(x) FROM {table} WHERE id > {spot}",
            f"SELECT id, x FROM {table} WHERE x >= {spot / 4} ORDER BY ALL LIMIT 9",
            f"SELECT count(*) FROM {table} WHERE s IS NULL OR s = 's{spot // 10}'",
            f"SELECT * FROM {table} WHERE id IN ({spot}, {spot + 1}, {spot + size}) ORDER BY ALL",
            f"DELETE FROM {table} WHERE id = {spot}",
            f"SELECT min(id), max(id), min(x), count(x) FROM {table}",
        ]
        said += some(maker.random, shuffled(maker.random, more), 0.3)
    return [*said, f"SELECT * FROM {table} ORDER BY ALL", f"DROP TABLE {table}"]


@rule("scene", "extremes")
def _extremes(maker: Maker, mark: str) -> Scene:
    table = f"edge_{mark}"
    types = maker.random.sample(
        ["HUGEINT", "UHUGEINT", "BIGINT", "UBIGINT", "TINYINT", "SMALLINT", "BIGNUM"], 3
    )
    decimals = maker.random.sample(["DECIMAL(38, 5)", "DECIMAL(18, 3)", "DECIMAL(9, 2)"], 1)
    names = ["a", "b", "c", "n"]
    columns = ", ".join(f"{n} {t}" for n, t in zip(names, [*types, *decimals], strict=True))
    said = [f"CREATE TABLE {table} ({columns}, x DOUBLE, f FLOAT)"]
    for _ in range(6):
        ints = [stored(maker.random, "huge", t) for t in types for _ in range(1)]
        real = literal(maker.random, "real")
        number = stored(maker.random, "decimal", decimals[0])
        said.append(f"INSERT INTO {table} VALUES ({', '.join([*ints, number, real, real])})")
    low, high = ("'170141183460469231731687303715884105727'", "'-128'")
    said += [
        f"SELECT max({maker.one_of(names)}), min({maker.one_of(names)}), max(x), min(x),"
        f" min(f) FROM {table}",
        f"SELECT * FROM {table} WHERE a = (SELECT max(a) FROM {table}) ORDER BY ALL",
        f"SELECT count(*) FROM {table} WHERE n < 0 OR x = 0 OR f > 1e8",
        f"SELECT x, count(*) FROM {table} GROUP BY x ORDER BY ALL",
        f"SELECT count(DISTINCT x), count(DISTINCT n), count(DISTINCT a) FROM {table}",
        f"SELECT count(*) FROM {table} WHERE x = 'nan' OR x > 'inf' OR x < 5e-324",
        f"SELECT TRY_CAST(a AS TINYINT), TRY_CAST(n AS DECIMAL(4, 1)) FROM {table} ORDER BY ALL",
        f"SELECT count(*) FROM {table} WHERE a = TRY_CAST({low} AS {types[0]})"
        f" OR b = TRY_CAST({high} AS {types[1]})",
        f"UPDATE {table} SET x = -x, n = NULL WHERE x IS NOT NULL AND b IS NOT NULL",
        f"INSERT INTO {table} (a) VALUES (1e40)",
        f"INSERT INTO {table} (n) VALUES (1e34)",
        f"SELECT * FROM {table} ORDER BY ALL",
        f"DROP TABLE {table}",
    ]
    return said


@rule("scene", "nothing in it")
def _empty(maker: Maker, mark: str) -> Scene:
    table = f"void_{mark}"
    kind = maker.one_of(["INTEGER", "VARCHAR", "INTEGER[]", "STRUCT(a INTEGER)", "DECIMAL(9, 2)"])
    asked = [
        f"SELECT * FROM {table}",
        f"SELECT count(*), max(id), min(v) FROM {table}",
        f"SELECT id, count(*) FROM {table} GROUP BY id",
        f"SELECT i.id, e.id FROM item AS i LEFT JOIN {table} AS e USING (id) ORDER BY ALL",
        f"SELECT row_number() OVER (ORDER BY id) FROM {table}",
        f"UPDATE {table} SET id = 1",
        f"DELETE FROM {table}",
        f"INSERT INTO {table} SELECT * FROM {table}",
        f"SELECT id FROM item WHERE id NOT IN (SELECT id FROM {table}) AND id < 5 ORDER BY ALL",
        f"SELECT * FROM {table} WHERE id = 5",
        f"SELECT (SELECT v FROM {table})",
        f"SELECT id FROM {table} UNION ALL SELECT 4",
    ]
    chosen = some(maker.random, asked, 0.5)
    return [
        f"CREATE TABLE {table} (id INTEGER{maker.one_of(['', ' PRIMARY KEY'])}, v {kind})",
        *chosen,
        f"INSERT INTO {table} SELECT g, NULL FROM range({maker.random.randint(1, 300)}) AS r(g)",
        f"SELECT count(*), max(id), min(v) FROM {table}",
        f"{maker.one_of(['DELETE FROM', 'TRUNCATE'])} {table}",
        *chosen,
        f"DROP TABLE {table}",
    ]
