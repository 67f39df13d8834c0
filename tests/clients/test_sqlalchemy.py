"""The SQLAlchemy dialect, and what data frames do through it."""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest

import pagelake

sa = pytest.importorskip("sqlalchemy")

from sqlalchemy import exc, orm  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine() -> Iterator[Any]:
    made = sa.create_engine("pagelake:///:memory:")
    yield made
    made.dispose()


def arguments(url: str) -> tuple[str, dict[str, object]]:
    parsed = sa.make_url(url)
    (path,), options = parsed.get_dialect()().create_connect_args(parsed)
    return path, options


@pytest.mark.parametrize(
    ("url", "path", "options"),
    [
        ("pagelake://", ":memory:", {}),
        ("pagelake:///:memory:", ":memory:", {}),
        ("pagelake:///relative/store", "relative/store", {}),
        ("pagelake+pagelake:////from/root", "/from/root", {}),
        ("pagelake:///s?read_only=yes&parity=2", "s", {"read_only": True, "parity": 2}),
        ("pagelake:///s?at=12", "s", {"at": 12}),
        ("pagelake:///s?at=release", "s", {"at": "release"}),
        ("pagelake:///s?at=2026-01-02", "s", {"at": datetime.datetime(2026, 1, 2)}),
        ("pagelake:///s?memory_limit=1GB", "s", {"settings": {"memory_limit": "1GB"}}),
    ],
)
def test_urls(url: str, path: str, options: dict[str, object]) -> None:
    assert arguments(url) == (path, options)


@pytest.mark.parametrize("url", ["pagelake://host/s", "pagelake:///s?read_only=perhaps"])
def test_urls_that_mean_nothing(url: str) -> None:
    with pytest.raises(exc.ArgumentError):
        arguments(url)


def test_a_store_is_read_as_its_url_says(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pagelake.connect(store) as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS a")
        version = db.snapshot()
        db.execute("INSERT INTO t VALUES (2)")
    with sa.create_engine(f"pagelake:///{store}?at={version}").connect() as connection:
        assert connection.scalar(sa.text("SELECT sum(a) FROM t")) == 1
    with sa.create_engine(f"pagelake:///{store}?read_only=1").connect() as connection:
        assert connection.scalar(sa.text("SELECT sum(a) FROM t")) == 3
        with pytest.raises(exc.DBAPIError):
            connection.execute(sa.text("INSERT INTO t VALUES (3)"))


def test_the_store_is_closed_with_its_last_connection(tmp_path: Path) -> None:
    engine = sa.create_engine(f"pagelake:///{tmp_path / 'store'}")
    one, two = engine.connect(), engine.connect()
    assert len(engine.dialect._stores) == 1
    one.close()
    two.close()
    engine.dispose()
    assert len(engine.dialect._stores) == 0


def test_connections_see_each_others_commits_only(engine: Any) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))
    with engine.connect() as one, engine.connect() as two:
        one.execute(sa.text("INSERT INTO t VALUES (1)"))
        assert one.scalar(sa.text("SELECT count(*) FROM t")) == 1
        assert two.scalar(sa.text("SELECT count(*) FROM t")) == 0
        two.rollback()
        one.commit()
        assert two.scalar(sa.text("SELECT count(*) FROM t")) == 1


def test_rollback_savepoint_and_autocommit(engine: Any) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))
        connection.commit()
        connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        with connection.begin_nested() as nested:
            connection.execute(sa.text("INSERT INTO t VALUES (2)"))
            nested.rollback()
        with pytest.raises(exc.DBAPIError), connection.begin_nested():
            connection.execute(sa.text("SELECT * FROM nowhere"))
        connection.commit()
        connection.execute(sa.text("INSERT INTO t VALUES (3)"))
        connection.rollback()
        assert connection.scalars(sa.text("SELECT a FROM t")).all() == [1]
    single = engine.execution_options(isolation_level="AUTOCOMMIT")
    with single.connect() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (4)"))
        connection.rollback()
        assert connection.scalar(sa.text("SELECT count(*) FROM t")) == 2
        assert connection.get_isolation_level() == "AUTOCOMMIT"


def test_serialisable_transactions_conflict(engine: Any) -> None:
    strict = engine.execution_options(isolation_level="SERIALIZABLE")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))
        connection.execute(sa.text("INSERT INTO t VALUES (1), (2)"))
    move = "INSERT INTO t SELECT sum(a) FROM t"
    with strict.connect() as one, strict.connect() as two:
        one.execute(sa.text(move))
        two.execute(sa.text(move))
        one.commit()
        with pytest.raises(exc.OperationalError) as caught:
            two.commit()
        assert isinstance(caught.value.orig, pagelake.Conflict)


def test_keys_number_themselves(engine: Any) -> None:
    metadata = sa.MetaData()
    odd = sa.Table(
        "Odd name", metadata, sa.Column("The id", sa.Integer, primary_key=True),
        sa.Column("x", sa.String),
    )  # fmt: skip
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert connection.execute(odd.insert(), {"x": "a"}).inserted_primary_key == (1,)
        connection.execute(odd.insert(), [{"x": "b"}, {"x": "c"}])
        many = odd.insert().returning(odd.c["The id"], sort_by_parameter_order=True)
        assert connection.execute(many, [{"x": "d"}, {"x": "e"}]).all() == [(4,), (5,)]
    metadata.drop_all(engine)
    assert sa.inspect(engine).get_sequence_names() == []
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert connection.execute(odd.insert(), {"x": "a"}).inserted_primary_key == (1,)


def test_values_come_back_as_they_went(engine: Any) -> None:
    values = {
        "b": True, "i": 2**40, "n": decimal.Decimal("1.250"), "f": 0.1, "s": "ü'%:x?",
        "d": datetime.date(2026, 1, 2), "t": datetime.time(1, 2, 3, 4),
        "ts": datetime.datetime(2026, 1, 2, 3, 4, 5, 6), "l": b"\x00\xff",
        "u": uuid.UUID(int=7), "j": {"a": [1, {"b": None}]}, "v": datetime.timedelta(days=1),
        "a": [1, 2, None],
    }  # fmt: skip
    kinds = {
        "b": sa.Boolean, "i": sa.BigInteger, "n": sa.Numeric(10, 3), "f": sa.Float, "s": sa.String,
        "d": sa.Date, "t": sa.Time, "ts": sa.DateTime, "l": sa.LargeBinary, "u": sa.Uuid,
        "j": sa.JSON, "v": sa.Interval, "a": sa.ARRAY(sa.Integer),
    }  # fmt: skip
    metadata = sa.MetaData()
    table = sa.Table("t", metadata, *(sa.Column(n, k) for n, k in kinds.items()))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), values)
        assert connection.execute(sa.select(table)).mappings().one() == values
        inner = table.c.j["a"][1]["b"]
        assert connection.scalar(sa.select(inner)) is None
        assert connection.scalar(sa.select(table.c.j["a"][0].as_integer())) == 1
    reflected = sa.Table("t", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        assert connection.execute(sa.select(reflected)).mappings().one() == values


def test_reflection(engine: Any) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in (
            "CREATE SCHEMA s",
            "CREATE TABLE s.p (a INTEGER, b VARCHAR, PRIMARY KEY (a, b))",
            "CREATE TABLE c (i INTEGER UNIQUE, a INTEGER DEFAULT 3, b VARCHAR NOT NULL, "
            "d INTEGER AS (a + 1), n STRUCT(x INTEGER)[], CHECK (a > 0))",
            "COMMENT ON TABLE c IS 'it''s a table'",
            "COMMENT ON COLUMN c.a IS 'a column'",
            "CREATE VIEW v AS SELECT a FROM c",
            "CREATE INDEX ix ON c (b)",
            "CREATE SEQUENCE q",
        ):
            connection.execute(sa.text(statement))
        look = sa.inspect(connection)
        assert look.get_schema_names() == ["main", "s"]
        assert (look.get_table_names(), look.get_table_names("s")) == (["c"], ["p"])
        assert look.get_view_names() == ["v"]
        assert "snapshots" in look.get_view_names("pagelake")
        assert look.get_sequence_names() == ["q"]
        assert look.get_pk_constraint("p", "s")["constrained_columns"] == ["a", "b"]
        assert [u["column_names"] for u in look.get_unique_constraints("c")] == [["i"]]
        assert [c["sqltext"] for c in look.get_check_constraints("c")] == ["(a > 0)"]
        assert [(i["name"], i["column_names"]) for i in look.get_indexes("c")] == [("ix", ["b"])]
        columns = {column["name"]: column for column in look.get_columns("c")}
        assert list(columns) == ["i", "a", "b", "d", "n"]
        assert (columns["a"]["default"], columns["a"]["comment"]) == ("3", "a column")
        assert not columns["b"]["nullable"]
        assert columns["d"]["computed"]["sqltext"] == "(a + 1)"
        assert columns["n"]["type"].compile(engine.dialect) == "STRUCT(x INTEGER)[]"
        assert look.get_table_comment("c") == {"text": "it's a table"}
        assert look.get_view_definition("v").startswith("CREATE VIEW v")
        assert [column["name"] for column in look.get_columns("v")] == ["a"]
        assert look.has_table("V")
        with pytest.raises(exc.NoSuchTableError):
            look.get_columns("nothing")


def test_foreign_keys_are_reflected_and_enforced(engine: Any) -> None:
    metadata = sa.MetaData()
    parent = sa.Table("parent", metadata, sa.Column("id", sa.Integer, primary_key=True))
    child = sa.Table(
        "child", metadata, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("parent_id", sa.ForeignKey(parent.c.id)),
    )  # fmt: skip
    metadata.create_all(engine)
    (key,) = sa.inspect(engine).get_foreign_keys("child")
    assert (key["constrained_columns"], key["referred_table"], key["referred_columns"]) == (
        ["parent_id"], "parent", ["id"],
    )  # fmt: skip
    with engine.connect() as connection, pytest.raises(exc.IntegrityError):
        connection.execute(child.insert(), {"parent_id": 9})
        connection.commit()


def names(look: Any, table: str) -> dict[str, object]:
    return {
        "key": look.get_pk_constraint(table)["name"],
        "unique": [u["name"] for u in look.get_unique_constraints(table)],
        "checks": [c["name"] for c in look.get_check_constraints(table)],
        "references": [k["name"] for k in look.get_foreign_keys(table)],
    }


@pytest.mark.parametrize("prefixes", [[], ["TEMPORARY"]], ids=["stored", "temporary"])
def test_constraints_are_reflected_by_the_names_they_were_given(
    engine: Any, prefixes: list[str]
) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "watch", metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("price", sa.Integer),
        sa.Column("town", sa.String, unique=True),
        sa.Column("like", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="Watch.Key"),
        sa.UniqueConstraint("price", "town", name="zz_one price"),
        sa.CheckConstraint("price > 1", name="b_dear"),
        sa.CheckConstraint("price < 9"),
        sa.ForeignKeyConstraint(["like"], ["watch.id"], name="LikeAnother"),
        prefixes=prefixes,
    )  # fmt: skip
    with engine.connect() as connection:
        metadata.create_all(connection)
        assert names(sa.inspect(connection), "watch") == {
            "key": "Watch.Key",
            "unique": ["watch_town_key", "zz_one price"],
            "checks": ["b_dear", "watch_price_check"],
            "references": ["LikeAnother"],
        }
        metadata.drop_all(connection)
        create = f"CREATE {' '.join(prefixes)} TABLE watch (id INTEGER PRIMARY KEY)"
        connection.exec_driver_sql(create)
        assert names(sa.inspect(connection), "watch")["key"] == "watch_id_pkey"


@pytest.mark.parametrize("kind", ["", "TEMPORARY"])
def test_indexes_on_expressions_are_reflected(engine: Any, kind: str) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql(f'CREATE {kind} TABLE t (a INTEGER, "B b" VARCHAR)')
        connection.exec_driver_sql('CREATE INDEX plain ON t ("B b", a)')
        connection.exec_driver_sql('CREATE INDEX mixed ON t (A, lower("B b"), (a + 1))')
        mixed, plain = sa.inspect(connection).get_indexes("t")
    assert (plain["column_names"], "expressions" in plain) == (["B b", "a"], False)
    assert mixed["column_names"] == ["a", None, None]
    column, *expressions = mixed["expressions"]
    assert column == "a"
    assert [re.sub(r"\W", "", e) for e in expressions] == ["lowerBb", "a1"]


def test_a_percentage_of_the_rows_is_fetched(engine: Any) -> None:
    numbers = sa.func.range(1, 11).table_valued("range")
    asked = sa.select(numbers.c.range).order_by(numbers.c.range).fetch(40, percent=True)
    with engine.connect() as connection:
        assert connection.scalars(asked).all() == [1, 2, 3, 4]
        assert connection.scalars(asked.offset(2)).all() == [3, 4, 5, 6]


def test_an_insert_returns_no_rows_whatever_its_table_is_called(engine: Any) -> None:
    table = sa.Table(
        "not_returning", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
        implicit_returning=False,
    )  # fmt: skip
    with engine.begin() as connection:
        table.create(connection)
        result = connection.execute(table.insert())
        assert not result.returns_rows
        assert result.inserted_primary_key == (1,)


def test_the_engines_isolation_level_comes_back(engine: Any) -> None:
    strict = sa.create_engine("pagelake:///:memory:", isolation_level="SERIALIZABLE")
    with strict.connect().execution_options(isolation_level="SNAPSHOT") as connection:
        assert connection.get_isolation_level() == "SNAPSHOT"
    with strict.connect() as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
    strict.dispose()


class Base(orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]
    posts: orm.Mapped[list[Post]] = orm.relationship(back_populates="user")


class Post(Base):
    __tablename__ = "posts"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    user_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("users.id"))
    user: orm.Mapped[User] = orm.relationship(back_populates="posts")


def test_objects_are_mapped(engine: Any) -> None:
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all([User(name="a", posts=[Post(), Post()]), User(name="b")])
        session.commit()
        first = session.scalars(sa.select(User).order_by(User.id)).first()
        assert (first.name, len(first.posts)) == ("a", 2)
        first.name = "c"
        session.commit()
        assert session.scalars(sa.select(User.name).order_by(User.id)).all() == ["c", "b"]
        session.delete(session.get(User, 2))
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 1


def test_expressions_in_duckdbs_dialect(engine: Any) -> None:
    with engine.connect() as connection:
        said = sa.literal("Pagelake")
        assert connection.scalar(sa.select(said.regexp_match("^P.*e")))
        assert connection.scalar(sa.select(said.regexp_match("^p", flags="i")))
        assert not connection.scalar(sa.select(~said.regexp_match("lake")))
        assert connection.scalar(sa.select(sa.literal(6).bitwise_xor(3))) == 5
        assert connection.scalar(sa.select(sa.literal(7) // sa.literal(2))) == 3
        assert connection.scalar(sa.select(sa.literal(7) / sa.literal(2))) == 3.5
        locked = sa.select(sa.literal(1)).with_for_update()
        assert connection.scalar(locked) == 1


def test_many_rows_stream(engine: Any) -> None:
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM range(1_000_000_000)"))
        assert [row[0] for _, row in zip(range(3000), rows, strict=False)] == list(range(3000))
        rows.close()
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_pandas_writes_and_reads(engine: Any) -> None:
    frame = pd.DataFrame({
        "a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, None, 1.5],
        "d": pd.to_datetime(["2026-01-01", "2026-01-02", None]),
    })  # fmt: skip
    for method in (None, "multi"):
        frame.to_sql("t", engine, index=False, if_exists="replace", method=method)
        frame.to_sql("t", engine, index=False, if_exists="append", method=method)
        assert len(pd.read_sql("SELECT * FROM t", engine)) == 6
    back = pd.read_sql_table("t", engine)[:3]
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)
    parts = pd.read_sql("SELECT * FROM t WHERE a > ?", engine, params=(1,), chunksize=3)
    assert [len(part) for part in parts] == [3, 1]


@pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy")
def test_data_frames_read_through_the_connection_itself() -> None:
    with pagelake.connect() as db:
        db.execute("CREATE TABLE t AS SELECT i AS a, 'n' || i AS b FROM range(3) r(i)")
        read = pd.read_sql("SELECT * FROM t ORDER BY a", db)
        assert read.to_dict("list") == {"a": [0, 1, 2], "b": ["n0", "n1", "n2"]}
        frame = pl.read_database("SELECT * FROM t ORDER BY a", db)
        assert frame.to_dict(as_series=False) == {"a": [0, 1, 2], "b": ["n0", "n1", "n2"]}


def test_polars_reads_and_writes(engine: Any) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.write_database("t", engine)
    assert pl.read_database("SELECT * FROM t ORDER BY a", engine).equals(frame)
