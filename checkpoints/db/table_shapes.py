"""Whether tables are shaped as they were made: none gone or replaced, and nothing planted that acts on them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Index, MetaData, Table, TypeDecorator, UniqueConstraint, bindparam, inspect, text
from sqlalchemy.engine import Inspector
from sqlalchemy.types import TypeEngine

_ACTING: Final = re.compile(r"\b(CASCADE|CHECK|COLLATE|CONFLICT|GENERATED|SET|STRICT|VIRTUAL|WITHOUT)\b", re.IGNORECASE)
"""Words of SQLite's definitions of tables that none of ours has: they change what is kept, compared or refused."""


@dataclass(frozen=True)
class Misshape:
    """What is wrong with a table, or with what was planted beside it."""

    table: str
    what: str
    """It in a plain sentence, without its full stop."""
    is_readable: bool = True
    """Whether all its columns can be read all the same."""


def misshapes(connection: Connection, metadata: MetaData) -> list[Misshape]:
    """What of these tables is not as `metadata` has it; triggers, rules and views that were planted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SQLAlchemy, about types and indexes that it does not know: they are told
        return list(dict.fromkeys(_misshapes(connection, metadata)))


def _misshapes(connection: Connection, metadata: MetaData) -> Iterator[Misshape]:
    found = inspect(connection)
    there, views = set(found.get_table_names()), {*found.get_view_names()}
    if connection.dialect.name == "postgresql":
        views |= set(found.get_materialized_view_names())
    shapes = _Shapes(found, there & metadata.tables.keys())
    for table in metadata.tables.values():
        if table.name in there:
            yield from _compare(shapes, table)
        elif table.name in views:
            yield Misshape(table.name, f"the table {table.name} is a view: what it shows is kept elsewhere", False)
        else:
            yield Misshape(table.name, f"the table {table.name} is gone", False)
    planted = _planted_in_server if connection.dialect.name == "postgresql" else _planted_in_file
    yield from planted(connection, metadata)


class _Shapes:
    """What the database says of some tables, each by name; a server is asked once for all of them."""

    def __init__(self, found: Inspector, names: Collection[str]) -> None:
        def told(of: Callable[..., Mapping[tuple[str | None, str], Any]]) -> dict[str, Any]:
            return {name: said for (_, name), said in of(filter_names=sorted(names)).items()}

        self.columns, self.keys = told(found.get_multi_columns), told(found.get_multi_pk_constraint)
        self.references, self.uniques = told(found.get_multi_foreign_keys), told(found.get_multi_unique_constraints)
        self.indexes = told(found.get_multi_indexes)


def kind_of(column_type: TypeEngine[Any]) -> type | None:
    """The Python type of a column's values; None if it has no type."""
    plain = column_type.impl_instance if isinstance(column_type, TypeDecorator) else column_type
    try:
        return plain.python_type
    except NotImplementedError:
        return None


def _compare(found: _Shapes, table: Table) -> Iterator[Misshape]:
    name, columns = table.name, {column["name"]: column for column in found.columns[table.name]}
    for column in table.c:
        seen = columns.pop(column.name, None)
        if seen is None:
            yield Misshape(name, f"the table {name} has no column {column.name} any more", False)
        elif kind_of(seen["type"]) != kind_of(column.type) or getattr(seen["type"], "collation", None):
            yield Misshape(name, f"the table {name}: its column {column.name} is of another type")
        elif seen["nullable"] != column.nullable or "computed" in seen or seen.get("identity"):
            yield Misshape(name, f"the table {name}: its column {column.name} takes other values than it did")
    for other in columns:
        yield Misshape(name, f"the table {name} has a column {other}, which is none of signoff's")
    if found.keys[name]["constrained_columns"] != [column.name for column in table.primary_key]:
        yield Misshape(name, f"the table {name} has another primary key")
    if _references(found, name) != {
        (key.parent.name, key.column.table.name, key.column.name, False) for key in table.foreign_keys
    }:
        yield Misshape(name, f"the table {name} refers to other tables than it did")
    uniques = {_names(unique["column_names"]) for unique in found.uniques[name]}
    if uniques != {_names(each.columns) for each in table.constraints if isinstance(each, UniqueConstraint)}:
        yield Misshape(name, f"the table {name} has other columns without doubles than it had")
    yield from _compare_indexes(found, table)


def _compare_indexes(found: _Shapes, table: Table) -> Iterator[Misshape]:
    seen: dict[str, Mapping[str, Any]] = {
        str(index["name"]): index for index in found.indexes[table.name] if not index.get("duplicates_constraint")
    }
    for index in table.indexes:
        there = seen.pop(str(index.name), None)
        if there is None or not _is_same(index, there):
            what = "is gone" if there is None else "is another"
            yield Misshape(table.name, f"the table {table.name}: its index {index.name} {what}")
    for other, planted in seen.items():
        if planted["unique"] or None in planted["column_names"] or _is_partial(planted):
            yield _refuses_rows(table.name, other)


def _refuses_rows(table: str, index: str) -> Misshape:
    """What it lets in once only; or what it computes for each row, which may fail for some."""
    return Misshape(table, f"the index {index} was planted: it has the table {table} refuse rows")


def _holds_rows(table: str, ours: str) -> Misshape:
    return Misshape(ours, f"the table {table} was planted: it refers to {ours}, of which no row goes that it names")


def _is_partial(found: Mapping[str, Any]) -> bool:
    options = found.get("dialect_options", {})
    return any(value is not None for option, value in options.items() if option.endswith("_where"))


def _is_same(index: Index, found: Mapping[str, Any]) -> bool:
    same = list(found["column_names"]) == [column.name for column in index.columns]
    return same and not found["unique"] and not _is_partial(found)


def _references(found: _Shapes, name: str) -> set[tuple[str, str, str, bool]]:
    """Column, table and column that it refers to, and whether anything is done when that is changed."""
    return {
        (one, key["referred_table"], other, bool(set(key.get("options", {})) & {"ondelete", "onupdate"}))
        for key in found.references[name]
        for one, other in zip(key["constrained_columns"], key["referred_columns"], strict=False)
    }


def _names(columns: Any) -> tuple[str, ...]:
    return tuple(sorted(str(getattr(column, "name", column)) for column in columns))


def _planted_in_file(connection: Connection, metadata: MetaData) -> Iterator[Misshape]:
    """In a file of signoff's there is no trigger and no view at all."""
    for kind, name, table, sql in connection.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_master")):
        if kind == "trigger":
            yield Misshape(table, f"the trigger {name} was planted: signoff makes none")
        elif kind == "view" and name not in metadata.tables:
            yield Misshape(name, f"the view {name} was planted: signoff makes none")
        elif kind == "table" and name in metadata.tables and (word := _ACTING.search(str(sql))):
            yield Misshape(name, f"the table {name} was defined anew, with {word[0].upper()}")
    for table in metadata.tables:
        for (name,) in connection.execute(text(_REFUSING_IN_FILE), {"ours": table}):
            yield _refuses_rows(table, name)
        for (name,) in connection.execute(text(_HOLDING_IN_FILE), {"ours": table}):
            if name not in metadata.tables:
                yield _holds_rows(name, table)


_REFUSING_IN_FILE: Final = """
    SELECT i.name FROM sqlite_master AS i, pragma_index_list(:ours) AS l
    WHERE i.name = l.name AND i.sql IS NOT NULL
        AND (l."unique" OR l.partial OR EXISTS (SELECT 1 FROM pragma_index_xinfo(i.name) WHERE cid = -2))"""
_HOLDING_IN_FILE: Final = """
    SELECT DISTINCT t.name FROM sqlite_master AS t, pragma_foreign_key_list(t.name) AS k
    WHERE t.type = 'table' AND lower(k."table") = :ours"""
_OURS: Final = """
    SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relnamespace,
        EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)) AS inherits
    FROM pg_class c WHERE c.relname IN :names AND c.relkind IN ('r', 'p', 'f') AND pg_table_is_visible(c.oid)"""
_TRIGGERS: Final = """
    SELECT t.tgname, c.relname, t.tgisinternal FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgrelid IN :ours AND (NOT t.tgisinternal OR t.tgenabled <> 'O')"""
_REFUSING: Final = """
    SELECT c.conname, t.relname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
    WHERE c.conrelid IN :ours AND c.contype IN ('c', 'x')"""
_HOLDING: Final = """
    SELECT t.relname, o.relname AS held FROM pg_constraint c
    JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class o ON o.oid = c.confrelid
    WHERE c.contype = 'f' AND c.confrelid IN :ours AND c.conrelid NOT IN :ours"""
_RULES: Final = """
    SELECT DISTINCT v.relname, r.rulename FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class
    LEFT JOIN pg_depend d
        ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
    WHERE v.oid IN :ours OR (d.refobjid IN :ours AND v.relnamespace IN :schemas)"""


def _planted_in_server(connection: Connection, metadata: MetaData) -> Iterator[Misshape]:
    """Schemas may be shared, so what belongs to other tables is nobody's business."""
    ours = _rows(connection, _OURS, names=sorted(metadata.tables))
    for table in ours:
        name = table.relname
        if table.relkind != "r" or table.inherits:
            yield Misshape(name, f"the table {name} has rows that are kept in other tables")
        if table.relpersistence != "p":
            yield Misshape(name, f"the table {name} does not outlive a crash of the server: it is unlogged")
        if table.relrowsecurity:
            yield Misshape(name, f"the table {name} has a row security policy, which hides rows")
    schemas = [table.relnamespace for table in ours]
    usual = max(schemas, key=schemas.count, default=0)
    for table in ours:
        if table.relnamespace != usual:
            what = f"the table {table.relname} is found in another schema than the others: it hides the one there"
            yield Misshape(table.relname, what)
    if ours:
        ids = [table.oid for table in ours]
        for trigger in _rows(connection, _TRIGGERS, ours=ids):
            what = f"the trigger {trigger.tgname} was planted: signoff makes none"
            if trigger.tgisinternal:
                what = f"the table {trigger.relname}: its references are not checked any more"
            yield Misshape(trigger.relname, what)
        for refusing in _rows(connection, _REFUSING, ours=ids):
            what = f"the constraint {refusing.conname} was planted: it has the table {refusing.relname} refuse rows"
            yield Misshape(refusing.relname, what)
        for holding in _rows(connection, _HOLDING, ours=ids):
            yield _holds_rows(holding.relname, holding.held)
        for rule in _rows(connection, _RULES, ours=ids, schemas=sorted(set(schemas))):
            what = f"the rule {rule.rulename}" if rule.rulename != "_RETURN" else f"the view {rule.relname}"
            yield Misshape(rule.relname, f"{what} was planted: signoff makes none")


def _rows(connection: Connection, query: str, **lists: Sequence[Any]) -> list[Any]:
    parameters: list[Any] = [bindparam(name, expanding=True) for name in lists]
    return list(connection.execute(text(query).bindparams(*parameters), lists))
