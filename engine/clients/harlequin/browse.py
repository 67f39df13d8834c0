"""The catalog tree: schemas, relations and columns, with what stands for their kinds and types."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

from harlequin.catalog import Catalog, CatalogItem

from ....errors import Error
from ....sql.tokens import quote
from ....storage.schema_path import dotted
from .. import structure

if TYPE_CHECKING:
    from ...connection import Cursor

_KINDS: Final = {"table": "t", "view": "v", "system": "sys"}
_TYPES: Final = {
    "BOOLEAN": "t/f", "TINYINT": "#", "SMALLINT": "#", "INTEGER": "#", "BIGINT": "##",
    "HUGEINT": "###", "UTINYINT": "u#", "USMALLINT": "u#", "UINTEGER": "u#", "UBIGINT": "u##",
    "UHUGEINT": "u##", "DECIMAL": "#.#", "FLOAT": "#.#", "DOUBLE": "#.#", "VARCHAR": "s",
    "BLOB": "0b", "BIT": "010", "DATE": "d", "TIME": "t", "TIME WITH TIME ZONE": "ttz",
    "TIMESTAMP": "ts", "TIMESTAMP_S": "ts", "TIMESTAMP_MS": "ts", "TIMESTAMP_NS": "ts",
    "TIMESTAMP WITH TIME ZONE": "ttz", "INTERVAL": "|-|", "UUID": "uid", "JSON": "{}",
    "STRUCT": "{}", "UNION": "|", "MAP": "{m}", "ENUM": "e", "NULL": "\\n",
}  # fmt: skip


def type_label(type_text: str) -> str:
    """One to three characters for an SQL type; a list is its element's in brackets."""
    if type_text.endswith("]"):
        return f"[{type_label(type_text[: type_text.rindex('[')])[:1]}]"
    return _TYPES.get(re.sub(r"\(.*", "", type_text, flags=re.DOTALL), "?")


def build_catalog(cursor: Cursor) -> Catalog:
    """Everything that a query can name, as the cursor sees it."""
    relations = structure.relations(cursor)
    by_schema = {schema: list(group) for schema, group in groupby(relations, lambda r: r.schema)}
    names = [*structure.schemas(cursor), *(s for s in by_schema if s == structure.TEMPORARY_SCHEMA)]
    items = [_schema(cursor, name, by_schema.get(name, [])) for name in names]
    items.append(_schema(cursor, structure.SYSTEM_SCHEMA, structure.system_relations(cursor)))
    return Catalog(items=items)


def _schema(cursor: Cursor, name: str, relations: list[structure.Relation]) -> CatalogItem:
    return CatalogItem(
        qualified_identifier=quote(name),
        query_name=quote(name),
        label=dotted(name),
        type_label="sch",
        type_name="SCHEMA",
        children=[_relation(cursor, relation) for relation in relations],
    )


def _relation(cursor: Cursor, relation: structure.Relation) -> CatalogItem:
    # In the schema that names without one mean, the name alone is what people write.
    alone = relation.is_temporary or relation.schema == cursor._session.schema
    return CatalogItem(
        qualified_identifier=relation.qualified,
        query_name=quote(relation.name) if alone else relation.qualified,
        label=relation.name,
        type_label="tmp" if relation.is_temporary else _KINDS[relation.kind],
        type_name="TEMPORARY" if relation.is_temporary else relation.kind.upper(),
        children=_columns(cursor, relation),
    )


def _columns(cursor: Cursor, relation: structure.Relation) -> list[CatalogItem]:
    try:
        columns = structure.columns(cursor, relation)
    except Error:
        return []  # a view over what is no longer there
    return [
        CatalogItem(
            qualified_identifier=f"{relation.qualified}.{quote(column.name)}",
            query_name=quote(column.name),
            label=column.name,
            type_label=type_label(column.type),
            type_name=column.type,
        )
        for column in columns
    ]
