"""Random queries over a few small tables, valid for DuckDB and with one right answer each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

TABLES = {
    "item": {"id": "int", "k": "int", "s": "text", "d": "date", "x": "real", "n": "money"},
    "part": {"id": "int", "item_id": "int", "s": "text", "d": "date", "flag": "bool"},
    "tag": {"k": "int", "s": "text", "x": "real"},
    "recent": {"id": "int", "k": "int", "s": "text"},  # a view
}
SQL_TYPES = {
    "int": "INTEGER",
    "text": "VARCHAR",
    "date": "DATE",
    "real": "DOUBLE",
    "money": "DECIMAL(8, 2)",
    "bool": "BOOLEAN",
}
WORDS = ["", "a", "A", "ab", "b%", "Zoë", "x_y", "long enough not to be inlined anywhere", "b"]
VIEW = "CREATE VIEW recent AS SELECT id, k, upper(s) AS s FROM item WHERE d > DATE '2020-02-01'"

_COMPARISONS = ["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"]


def literal(random: Random, kind: str) -> str:
    """A constant of a kind, near the values that the tables hold."""
    match kind:
        case "int":
            return str(random.randint(-3, 25))
        case "text":
            return "'" + random.choice(WORDS) + "'"
        case "date":
            return f"DATE '2020-0{random.randint(1, 4)}-{random.randint(1, 28):02}'"
        case "real":
            return random.choice(["0.25", "-1.5", "3.0::DOUBLE", "'nan'::DOUBLE", "1e9", "7"])
        case "money":
            return f"{random.randint(-300, 900) / 4:.2f}"
    return random.choice(["true", "false"])


def rows(random: Random, table: str, count: int) -> str:
    """An INSERT of random rows, NULLs and odd values among them."""
    kinds = list(TABLES[table].values())
    listed = [
        ", ".join("NULL" if random.random() < 0.15 else literal(random, kind) for kind in kinds)
        for _ in range(count)
    ]
    return f"INSERT INTO {table} VALUES {', '.join(f'({row})' for row in listed)}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that an expression may use: its qualified name and its kind."""

    sql: str
    kind: str


class QueryGenerator:
    """Makes queries.

    Args:
        random: Where chance comes from.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._aliases = 0

    def query(self) -> str:
        """One query. Rows come in any order, unless a LIMIT follows a total order."""
        chance = self._random.random()
        if chance < 0.12:
            return self._set_operation()
        sql, kinds = self._select(depth=0)
        if chance < 0.24:
            name = self._random.choice(["recent_rows", "item", "tag"])  # may hide a table
            return f"WITH {name} AS MATERIALIZED ({sql}) SELECT count(*), max(c0) FROM {name}"
        if chance < 0.4:
            order = ", ".join(f"{i + 1} NULLS LAST" for i in range(len(kinds)))
            return f"{sql} ORDER BY {order} LIMIT {self._random.randint(1, 12)}"
        return sql

    def _set_operation(self) -> str:
        kinds = self._random.sample(["int", "text", "date"], 2)
        words = ["UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL"]
        left, right = self._of_kinds(kinds), self._of_kinds(kinds)
        return f"{left} {self._random.choice(words)} {right}"

    def _of_kinds(self, kinds: list[str]) -> str:
        source, columns = self._from(depth=1)
        values = [self._value(columns, kind) for kind in kinds]
        return f"SELECT {', '.join(values)} FROM {source}{self._where(columns, 1)}"

    def _select(self, depth: int) -> tuple[str, list[str]]:
        """A SELECT with columns c0, c1, … and their kinds."""
        source, columns = self._from(depth)
        where = self._where(columns, depth)
        chance = self._random.random()
        if chance < 0.4:
            return self._grouped(source, columns, where)
        kinds = [self._random.choice(["int", "text", "date", "real", "money"]) for _ in range(3)]
        values = [self._value(columns, kind) for kind in kinds]
        if chance < 0.55:
            window = self._window(columns)
            values, kinds = [*values[:2], window], [*kinds[:2], "int"]
        distinct = "DISTINCT " if chance > 0.9 else ""
        listed = ", ".join(f"{value} AS c{i}" for i, value in enumerate(values))
        return f"SELECT {distinct}{listed} FROM {source}{where}", kinds

    def _grouped(self, source: str, columns: list[Column], where: str) -> tuple[str, list[str]]:
        keys = self._random.sample(columns, min(len(columns), self._random.randint(0, 2)))
        made = [(key.sql, key.kind) for key in keys]
        made += [self._aggregate(columns) for _ in range(self._random.randint(1, 3))]
        listed = ", ".join(f"{sql} AS c{i}" for i, (sql, _) in enumerate(made))
        sql = f"SELECT {listed} FROM {source}{where}"
        if keys:
            sql += f" GROUP BY {', '.join(key.sql for key in keys)}"
            if self._random.random() < 0.3:
                sql += f" HAVING count(*) >= {self._random.randint(1, 3)}"
        return sql, [kind for _, kind in made]

    def _aggregate(self, columns: list[Column]) -> tuple[str, str]:
        column = self._random.choice(columns)
        choices = [("count(*)", "int"), (f"count(DISTINCT {column.sql})", "int")]
        choices += [(f"min({column.sql})", column.kind), (f"max({column.sql})", column.kind)]
        if column.kind in {"int", "money"}:
            choices += [(f"sum({column.sql})", column.kind)] * 2
        filtered = f"count(*) FILTER (WHERE {self._predicate(columns, 2)})"
        return self._random.choice([*choices, (filtered, "int")])

    def _window(self, columns: list[Column]) -> str:
        by, over = self._random.choice(columns), self._random.choice(columns)
        function = self._random.choice(["rank()", "dense_rank()", "count(*)"])
        return f"{function} OVER (PARTITION BY {by.sql} ORDER BY {over.sql})"

    def _from(self, depth: int) -> tuple[str, list[Column]]:
        source, columns = self._relation(depth)
        for _ in range(self._random.choice([0, 0, 1, 1, 2]) if depth < 2 else 0):
            other, more = self._relation(depth + 1)
            kind = self._random.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            if self._random.random() < 0.2:
                kind = self._random.choice(["SEMI JOIN", "ANTI JOIN"])
            source += f" {kind} {other} ON {self._equality(columns, more)}"
            if not kind.startswith(("SEMI", "ANTI")):
                columns = columns + more
        return source, columns

    def _relation(self, depth: int) -> tuple[str, list[Column]]:
        self._aliases += 1
        alias = f"t{self._aliases}"
        if depth < 2 and self._random.random() < 0.15:
            sql, kinds = self._select(depth + 1)
            return f"({sql}) AS {alias}", [
                Column(f"{alias}.c{i}", kind) for i, kind in enumerate(kinds)
            ]
        table = self._random.choice(list(TABLES))
        columns = [Column(f"{alias}.{name}", kind) for name, kind in TABLES[table].items()]
        return f"{self._random.choice(['', 'main.'])}{table} AS {alias}", columns

    def _equality(self, left: list[Column], right: list[Column]) -> str:
        pairs = [(a, b) for a in left for b in right if a.kind == b.kind and a.kind != "real"]
        if not pairs:
            return "true"
        a, b = self._random.choice(pairs)
        return f"{a.sql} = {b.sql}"

    def _where(self, columns: list[Column], depth: int) -> str:
        if self._random.random() < 0.25:
            return ""
        return f" WHERE {self._predicate(columns, depth)}"

    def _predicate(self, columns: list[Column], depth: int) -> str:
        if depth < 3 and self._random.random() < 0.35:
            joined = self._random.choice([" AND ", " AND ", " OR "])
            parts = [self._predicate(columns, depth + 1) for _ in range(2)]
            return f"({joined.join(parts)})"
        if self._random.random() < 0.1:
            return f"NOT ({self._predicate(columns, depth + 1)})"
        if depth < 2 and self._random.random() < 0.15:
            return self._subquery(columns)
        return self._simple(self._random.choice(columns))

    def _simple(self, column: Column) -> str:
        constant = literal(self._random, column.kind)
        choices = [f"{column.sql} {self._random.choice(_COMPARISONS)} {constant}"] * 4
        choices += [f"{constant} < {column.sql}", f"{column.sql} IS NULL"]
        choices += [f"{column.sql} IS NOT NULL"]
        more = ", ".join(literal(self._random, column.kind) for _ in range(3))
        choices += [f"{column.sql} IN ({more})", f"{column.sql} NOT IN ({more})"]
        other = literal(self._random, column.kind)
        choices += [f"{column.sql} BETWEEN {constant} AND {other}"]
        if column.kind == "text":
            choices += [f"{column.sql} LIKE '{self._random.choice(['a%', '%b', '_', '%'])}'"]
        if column.kind == "int":
            choices += [f"{column.sql} + 1 > {constant}", f"{column.sql} % 3 = 1"]
        return self._random.choice(choices)

    def _subquery(self, columns: list[Column]) -> str:
        source, inner = self._relation(depth=2)
        where = self._where(inner, 2)
        kind = self._random.choice(["EXISTS", "NOT EXISTS", "IN", "scalar"])
        if kind in {"EXISTS", "NOT EXISTS"}:
            return f"{kind} (SELECT 1 FROM {source} WHERE {self._equality(columns, inner)})"
        column = self._random.choice(columns)
        value = self._value(inner, column.kind)
        if kind == "IN":
            return f"{column.sql} IN (SELECT {value} FROM {source}{where})"
        return f"{column.sql} >= (SELECT max({value}) FROM {source}{where})"

    def _value(self, columns: list[Column], kind: str) -> str:
        """An expression of a kind."""
        fitting = [column.sql for column in columns if column.kind == kind]
        if not fitting:
            return literal(self._random, kind)
        column = self._random.choice(fitting)
        choices = [column, column, f"coalesce({column}, {literal(self._random, kind)})"]
        if kind == "int":
            choices += [f"{column} * 2 - 1", f"abs({column})"]
        if kind == "text":
            choices += [f"upper({column})", f"{column} || '!'", f"left({column}, 2)"]
        if kind == "date":
            choices += [
                f"({column} + INTERVAL 1 MONTH)::DATE",
                f"date_trunc('month', {column})::DATE",
            ]
        test = self._simple(self._random.choice(columns))
        choices += [f"CASE WHEN {test} THEN {column} END"]
        return self._random.choice(choices)
