"""What SQLAlchemy's dialect suite must know of a database before it runs."""

# SQLAlchemy's testing package has no types.
# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import atexit
import shutil
import tempfile
from typing import Any

from sqlalchemy import exists, inspect
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.testing.provision import (
    delete_from_all_tables,
    generate_driver_url,
    post_configure_engine,
    set_default_schema_on_connection,
    temp_table_keyword_args,
    upsert,
)


@temp_table_keyword_args.for_db("pagelake")
def _temporary_table(cfg: Any, eng: Any) -> dict[str, Any]:
    return {"prefixes": ["TEMPORARY"]}


@set_default_schema_on_connection.for_db("pagelake")
def _set_schema(cfg: Any, dbapi_connection: Any, schema_name: str) -> None:
    dbapi_connection.session.sql(f'USE "{schema_name}"').close()


@generate_driver_url.for_db("pagelake")
def _store_url(url: Any, driver: str, query_str: str) -> Any:
    """Engines of the suite share what they store, which those of a store in memory do not."""
    if url.database and url.database != ":memory:":
        return url
    folder = tempfile.mkdtemp(prefix="pagelake-suite-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return url.set(database=f"{folder}/store")


@post_configure_engine.for_db("pagelake")
def _create_schemas(url: Any, engine: Any, follower_ident: Any) -> None:
    """The suite expects two schemas to be there."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for schema in ("test_schema", "test_schema_2"):
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")


@delete_from_all_tables.for_db("pagelake")
def _empty_tables(connection: Any, cfg: Any, metadata: Any) -> None:
    """Foreign keys are checked row by row: within a table, rows go before those they refer to."""
    inspector = inspect(connection)
    for table in metadata.tables.values():
        for key in table.foreign_key_constraints:
            if key.referred_table is not table or not inspector.has_table(table.name, table.schema):
                continue
            referring = table.alias()
            pairs = [referring.c[e.parent.name] == e.column for e in key.elements]
            free = table.delete().where(~exists().where(*pairs))
            while connection.execute(free).rowcount:
                pass
    delete_from_all_tables.call_original(connection, cfg, metadata)


@upsert.for_db("pagelake")
def _upsert(
    cfg: Any, table: Any, returning: Any, *, set_lambda: Any = None,
    sort_by_parameter_order: bool = False, index_elements: Any = None,
) -> Any:  # fmt: skip
    statement = insert(table)
    if set_lambda:
        keys = index_elements or [column.name for column in table.primary_key]
        statement = statement.on_conflict_do_update(
            index_elements=keys, set_=set_lambda(statement.excluded)
        )
    else:
        statement = statement.on_conflict_do_nothing()
    return statement.returning(*returning, sort_by_parameter_order=sort_by_parameter_order)
