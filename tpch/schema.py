"""The eight tables of TPC-H: columns, types, primary keys and foreign keys.

Types follow clause 1.3 and 1.4 of the specification: an *identifier* is a BIGINT (order keys
pass 2³¹ at scale factor 358, and one width for all keys keeps joins free of casts), an *integer*
an INTEGER, a *decimal* DECIMAL(15,2), *fixed* and *variable text* VARCHAR (DuckDB does not pad
CHAR and does not enforce lengths), a *date* a DATE. No column may be NULL.

Foreign keys are metadata only. Declaring them would make every engine check 6 M rows at load
that the generator guarantees, and would force a load order.

Source: TPC Benchmark H, standard specification, revision 3.0.1, clause 1.4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FOREIGN_KEYS", "TABLES", "Column", "ForeignKey", "Table", "table"]

_IDENTIFIER = "BIGINT"
_INTEGER = "INTEGER"
_DECIMAL = "DECIMAL(15,2)"
_TEXT = "VARCHAR"
_DATE = "DATE"


@dataclass(frozen=True, slots=True)
class Column:
    """One NOT NULL column; ``type_name`` is DuckDB's spelling of its type."""

    name: str
    type_name: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the schema.

    Attributes:
        name: Lower-case table name.
        columns: In the order of the specification, which is also the generator's.
        primary_key: Names of the key columns, in order.
        rows_per_scale: Rows at scale factor 1; exact except for ``lineitem``.
        scales: False for ``nation`` and ``region``, whose size is fixed.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    rows_per_scale: int
    scales: bool = True

    def create_sql(self) -> str:
        """Return the CREATE TABLE statement, with NOT NULL and PRIMARY KEY, without references."""
        lines = [f"    {column.name} {column.type_name} NOT NULL" for column in self.columns]
        lines.append(f"    PRIMARY KEY ({', '.join(self.primary_key)})")
        return f"CREATE TABLE {self.name} (\n" + ",\n".join(lines) + "\n)"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference the generated rows keep: ``columns`` of ``table`` to ``target_columns``."""

    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


def _columns(prefix: str, **types: str) -> tuple[Column, ...]:
    return tuple(Column(f"{prefix}_{name}", type_name) for name, type_name in types.items())


TABLES: tuple[Table, ...] = (
    Table(
        "region",
        _columns("r", regionkey=_IDENTIFIER, name=_TEXT, comment=_TEXT),
        ("r_regionkey",),
        5,
        scales=False,
    ),
    Table(
        "nation",
        _columns("n", nationkey=_IDENTIFIER, name=_TEXT, regionkey=_IDENTIFIER, comment=_TEXT),
        ("n_nationkey",),
        25,
        scales=False,
    ),
    Table(
        "supplier",
        _columns(
            "s",
            suppkey=_IDENTIFIER,
            name=_TEXT,
            address=_TEXT,
            nationkey=_IDENTIFIER,
            phone=_TEXT,
            acctbal=_DECIMAL,
            comment=_TEXT,
        ),
        ("s_suppkey",),
        10_000,
    ),
    Table(
        "customer",
        _columns(
            "c",
            custkey=_IDENTIFIER,
            name=_TEXT,
            address=_TEXT,
            nationkey=_IDENTIFIER,
            phone=_TEXT,
            acctbal=_DECIMAL,
            mktsegment=_TEXT,
            comment=_TEXT,
        ),
        ("c_custkey",),
        150_000,
    ),
    Table(
        "part",
        _columns(
            "p",
            partkey=_IDENTIFIER,
            name=_TEXT,
            mfgr=_TEXT,
            brand=_TEXT,
            type=_TEXT,
            size=_INTEGER,
            container=_TEXT,
            retailprice=_DECIMAL,
            comment=_TEXT,
        ),
        ("p_partkey",),
        200_000,
    ),
    Table(
        "partsupp",
        _columns(
            "ps",
            partkey=_IDENTIFIER,
            suppkey=_IDENTIFIER,
            availqty=_INTEGER,
            supplycost=_DECIMAL,
            comment=_TEXT,
        ),
        ("ps_partkey", "ps_suppkey"),
        800_000,
    ),
    Table(
        "orders",
        _columns(
            "o",
            orderkey=_IDENTIFIER,
            custkey=_IDENTIFIER,
            orderstatus=_TEXT,
            totalprice=_DECIMAL,
            orderdate=_DATE,
            orderpriority=_TEXT,
            clerk=_TEXT,
            shippriority=_INTEGER,
            comment=_TEXT,
        ),
        ("o_orderkey",),
        1_500_000,
    ),
    Table(
        "lineitem",
        _columns(
            "l",
            orderkey=_IDENTIFIER,
            partkey=_IDENTIFIER,
            suppkey=_IDENTIFIER,
            linenumber=_INTEGER,
            quantity=_DECIMAL,
            extendedprice=_DECIMAL,
            discount=_DECIMAL,
            tax=_DECIMAL,
            returnflag=_TEXT,
            linestatus=_TEXT,
            shipdate=_DATE,
            commitdate=_DATE,
            receiptdate=_DATE,
            shipinstruct=_TEXT,
            shipmode=_TEXT,
            comment=_TEXT,
        ),
        ("l_orderkey", "l_linenumber"),
        6_001_215,
    ),
)
"""All tables, every one after the tables it refers to."""

FOREIGN_KEYS: tuple[ForeignKey, ...] = (
    ForeignKey("nation", ("n_regionkey",), "region", ("r_regionkey",)),
    ForeignKey("supplier", ("s_nationkey",), "nation", ("n_nationkey",)),
    ForeignKey("customer", ("c_nationkey",), "nation", ("n_nationkey",)),
    ForeignKey("partsupp", ("ps_partkey",), "part", ("p_partkey",)),
    ForeignKey("partsupp", ("ps_suppkey",), "supplier", ("s_suppkey",)),
    ForeignKey("orders", ("o_custkey",), "customer", ("c_custkey",)),
    ForeignKey("lineitem", ("l_orderkey",), "orders", ("o_orderkey",)),
    ForeignKey("lineitem", ("l_partkey", "l_suppkey"), "partsupp", ("ps_partkey", "ps_suppkey")),
)

_BY_NAME = {entry.name: entry for entry in TABLES}


def table(name: str) -> Table:
    """Return the table called ``name``.

    Raises:
        KeyError: If TPC-H has no such table.
    """
    return _BY_NAME[name]
