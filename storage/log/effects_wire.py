"""The wire form of effects: nested lists of numbers, text and bytes, for msgpack.

Fields are only ever added at the end of a list, and readers ignore what they do not know, so
that older records stay readable.

Byte layout: docs/format/commit-record.md, sections 5 to 7.
"""

from __future__ import annotations

from typing import Any

from ...errors import Corrupt
from ..effects import (
    AlterTable,
    Append,
    AppendedKeys,
    AttachKeyRuns,
    CatalogEntry,
    CloneTable,
    Column,
    ColumnChunk,
    Constraint,
    CreateSchema,
    CreateTable,
    CreateTag,
    Delete,
    DeleteVector,
    DropEntry,
    DropSchema,
    DropTable,
    DropTag,
    DropView,
    Effect,
    GeneratedColumn,
    Rely,
    RestoreTable,
    Rewrite,
    RowGroup,
    TableDefinition,
    View,
    Wire,
)
from ..keys.key_run import KeyRun
from ..page import PageRef
from ..zone_map import ZoneMap


def page_to_wire(page: PageRef) -> Wire:
    """Flatten a page reference."""
    return [page.segment, page.offset, page.length, page.checksum]


def page_from_wire(wire: Wire) -> PageRef:
    """Rebuild a page reference."""
    return PageRef(wire[0], wire[1], wire[2], wire[3])


def row_group_to_wire(group: RowGroup) -> Wire:
    """Flatten a row group."""
    chunks = [
        [
            column,
            *page_to_wire(chunk.page),
            chunk.codec,
            None if chunk.zone is None else chunk.zone.to_wire(),
            chunk.sketch,
        ]
        for column, chunk in group.chunks.items()
    ]
    return [
        group.id,
        group.rows,
        chunks,
        group.inline,
        list(group.inline_columns),
        group.first_row_id,
    ]


def row_group_from_wire(wire: Wire) -> RowGroup:
    """Rebuild a row group."""
    chunks = {
        chunk[0]: ColumnChunk(
            PageRef(chunk[1], chunk[2], chunk[3], chunk[4]),
            chunk[5],
            None if chunk[6] is None else ZoneMap.from_wire(chunk[6]),
            chunk[7],
        )
        for chunk in wire[2]
    }
    return RowGroup(wire[0], wire[1], chunks, wire[3], tuple(wire[4]), wire[5])


def _column_to_wire(column: Column) -> Wire:
    return [
        column.id,
        column.name,
        column.type,
        column.arrow,
        column.nullable,
        column.default,
        column.initial,
        column.collation,
    ]


def _constraint_to_wire(constraint: Constraint) -> Wire:
    plain = [constraint.kind, list(constraint.columns), constraint.expression, constraint.name]
    if constraint.table is None:
        return plain
    return [*plain, constraint.table, list(constraint.referred)]


def _constraint_from_wire(wire: Wire) -> Constraint:
    table, referred = (wire[4], tuple(wire[5])) if len(wire) > 5 else (None, ())
    return Constraint(wire[0], tuple(wire[1]), wire[2], wire[3], table, referred)


def definition_to_wire(definition: TableDefinition) -> Wire:
    """Flatten a table's definition."""
    hot = [list(definition.cold), [list(pair) for pair in definition.hot_codecs]]
    return [
        definition.id,
        definition.schema,
        definition.name,
        [_column_to_wire(c) for c in definition.columns],
        definition.next_column_id,
        [_constraint_to_wire(c) for c in definition.constraints],
        [_column_to_wire(c) for c in definition.dropped],
        list(definition.cluster_by),
        [[g.name, g.type, g.expression, g.place] for g in definition.generated],
        *([hot] if any(hot) else []),
    ]


def definition_from_wire(wire: Wire) -> TableDefinition:
    """Rebuild a table's definition."""
    cold, codecs = wire[9][:2] if len(wire) > 9 else ((), ())
    return TableDefinition(
        wire[0],
        wire[1],
        wire[2],
        tuple(Column(*column[:8]) for column in wire[3]),
        wire[4],
        tuple(map(_constraint_from_wire, wire[5])),
        tuple(Column(*column[:8]) for column in wire[6]),
        tuple(wire[7]),
        tuple(GeneratedColumn(*g[:4]) for g in wire[8]) if len(wire) > 8 else (),
        tuple(cold),
        tuple((column, codec) for column, codec, *_ in codecs),
    )


def vector_to_wire(vector: DeleteVector) -> Wire:
    """Flatten a delete vector."""
    page = None if vector.page is None else page_to_wire(vector.page)
    return [vector.count, vector.payload, page]


def vector_from_wire(wire: Wire) -> DeleteVector:
    """Rebuild a delete vector."""
    return DeleteVector(wire[0], wire[1], None if wire[2] is None else page_from_wire(wire[2]))


def key_run_to_wire(run: KeyRun) -> Wire:
    """Flatten a key run."""
    return [
        list(run.columns),
        run.types,
        list(run.groups),
        list(run.rows),
        run.form,
        run.low,
        run.high,
        run.bits,
        run.entries,
        None if run.page is None else page_to_wire(run.page),
    ]


def key_run_from_wire(wire: Wire) -> KeyRun:
    """Rebuild a key run."""
    page = None if wire[9] is None else page_from_wire(wire[9])
    columns, groups, rows = tuple(wire[0]), tuple(wire[2]), tuple(wire[3])
    form, low, high, bits, entries = wire[4:9]
    return KeyRun(columns, wire[1], groups, rows, form, low, high, bits, entries, page)


def _keys_to_wire(keys: tuple[AppendedKeys, ...]) -> Wire:
    return [[list(key.columns), key.codes] for key in keys]


def _keys_from_wire(wire: Wire) -> tuple[AppendedKeys, ...]:
    return tuple(AppendedKeys(tuple(key[0]), key[1]) for key in wire)


def to_wire(effect: Effect) -> Wire:
    """Flatten an effect; ``from_wire`` reverses it."""
    match effect:
        case CreateSchema(name):
            return ["create_schema", name]
        case DropSchema(name):
            return ["drop_schema", name]
        case CreateTable(definition):
            return ["create_table", definition_to_wire(definition)]
        case AlterTable(definition, only_indexes):
            return ["alter_table", definition_to_wire(definition), only_indexes]
        case DropTable(table):
            return ["drop_table", table]
        case View(schema, name, sql, columns, search_schema, secure):
            return ["create_view", schema, name, sql, list(columns), search_schema, secure]
        case DropView(schema, name):
            return ["drop_view", schema, name]
        case Append(table, row_groups, keyed, keys):
            appended = [row_group_to_wire(g) for g in row_groups]
            return ["append", table, appended, keyed, _keys_to_wire(keys)]
        case Delete(table, vectors, keys):
            deleted = [[g, *vector_to_wire(v)] for g, v in vectors.items()]
            return ["delete", table, deleted, _keys_to_wire(keys)]
        case Rely(table, keys):
            return ["rely", table, _keys_to_wire(keys)]
        case Rewrite(table, removed, added):
            return ["rewrite", table, list(removed), [row_group_to_wire(g) for g in added]]
        case AttachKeyRuns(table, runs):
            return ["attach_key_runs", table, [key_run_to_wire(run) for run in runs]]
        case CloneTable(definition, source, version):
            return ["clone_table", definition_to_wire(definition), source, version]
        case RestoreTable(table, version):
            return ["restore_table", table, version]
        case CreateTag(name, version):
            return ["create_tag", name, version]
        case DropTag(name):
            return ["drop_tag", name]
        case CatalogEntry(kind, schema, name, sql, value):
            return ["catalog_entry", kind, schema, name, sql, value]
        case DropEntry(kind, schema, name):
            return ["drop_entry", kind, schema, name]


def from_wire(wire: Any) -> Effect:
    """Rebuild an effect.

    Raises:
        Corrupt: The list is not an effect that this version knows.
    """
    try:
        match wire:
            case ["create_schema", name, *_]:
                return CreateSchema(name)
            case ["drop_schema", name, *_]:
                return DropSchema(name)
            case ["create_table", definition, *_]:
                return CreateTable(definition_from_wire(definition))
            case ["alter_table", definition, *rest]:
                return AlterTable(definition_from_wire(definition), bool(rest and rest[0]))
            case ["drop_table", table, *_]:
                return DropTable(table)
            case ["create_view", schema, name, sql, columns, search_schema, *rest]:
                secure = bool(rest and rest[0])
                return View(schema, name, sql, tuple(columns), search_schema, secure)
            case ["drop_view", schema, name, *_]:
                return DropView(schema, name)
            case ["append", table, groups, keyed, *rest]:
                told = _keys_from_wire(rest[0] if rest else [])
                return Append(table, tuple(row_group_from_wire(g) for g in groups), keyed, told)
            case ["delete", table, vectors, *rest]:
                told = _keys_from_wire(rest[0] if rest else [])
                return Delete(table, {v[0]: vector_from_wire(v[1:]) for v in vectors}, told)
            case ["rely", table, keys, *_]:
                return Rely(table, _keys_from_wire(keys))
            case ["rewrite", table, removed, added, *_]:
                groups = tuple(row_group_from_wire(g) for g in added)
                return Rewrite(table, tuple(removed), groups)
            case ["attach_key_runs", table, runs, *_]:
                return AttachKeyRuns(table, tuple(key_run_from_wire(run) for run in runs))
            case ["clone_table", definition, source, version, *_]:
                return CloneTable(definition_from_wire(definition), source, int(version))
            case ["restore_table", table, version, *_]:
                return RestoreTable(table, int(version))
            case ["create_tag", name, version, *_]:
                return CreateTag(name, int(version))
            case ["drop_tag", name, *_]:
                return DropTag(name)
            case ["catalog_entry", kind, schema, name, sql, value, *_]:
                return CatalogEntry(kind, schema, name, sql, value)
            case ["drop_entry", kind, schema, name, *_]:
                return DropEntry(kind, schema, name)
    except (IndexError, TypeError, ValueError, KeyError) as error:
        raise Corrupt(f"an effect of a commit record cannot be read: {error}") from error
    raise Corrupt("a commit record holds an effect that this version does not know")
