"""Turns raw JSON objects into rows: DuckDB parses, types and stores them; no Python object is made of any.

All functions work inside the caller's transaction. Which objects belong together belongs in `writer`.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import duckdb
import msgspec
import pyarrow as pa

from stripe_assets.catalog.types import Column, Form, Kind, ObjectType
from stripe_assets.warehouse.tables import literal, quoted, table

JSON_TYPES = {
    Kind.TEXT: "VARCHAR",
    Kind.INTEGER: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TIMESTAMP: "BIGINT",
    Kind.TIMESTAMP_TEXT: "VARCHAR",
    Kind.ID: "VARCHAR",
    Kind.JSON: "JSON",
}


def incoming(objects: Sequence[msgspec.Raw], read_at: Sequence[float], parents: Sequence[str | None]) -> pa.Table:
    """Lay raw objects out for DuckDB: `raw`, `read_at` (microseconds since 1970) and `parent`, one row each.

    `parent` is an id, or JSON with several where objects are asked for by more than their parent.
    The bytes are copied once, without an object for each: 3 microseconds an object (2026-11).
    """
    offsets = array("q", [0])
    offsets.extend(accumulate(len(raw) for raw in objects))
    raws = pa.LargeStringArray.from_buffers(len(objects), pa.py_buffer(offsets), pa.py_buffer(b"".join(objects)))
    return pa.table(
        {"raw": raws, "read_at": pa.array([round(at * 1e6) for at in read_at], pa.int64()), "parent": pa.array(parents, pa.string())}
    )


def stage(
    connection: duckdb.DuckDBPyConnection,
    kind: ObjectType,
    source: str,
    *,
    account_id: str,
    keep_raw: bool,
    on_unreadable: Callable[[list[str]], None] = lambda _texts: None,
) -> str:
    """Parse the rows of `source` (a table or query with `raw`, `read_at`, `parent`) into a temporary table.

    Where an id came twice the later reading stays. `on_unreadable` is given what cannot become a row: objects without an
    id, and text that is no JSON to DuckDB (a lone surrogate, say). Returns the temporary table's name; its columns are
    the type's.
    """
    shape = "{" + ",".join(f'"{column.name}":"{JSON_TYPES[column.kind]}"' for column in _parsed(kind)) + "}"
    columns = ",\n    ".join(f"{_expression(column, kind, account_id)} as {quoted(column.name)}" for column in kind.columns)
    name = f"staged_{kind.name}"
    connection.execute(f"""
        create or replace temp table {name} as
        with parsed as (select try(json_transform(raw, {literal(shape)})) as o, raw, read_at, parent from {source})
        select {columns},
          {literal(account_id)} as _account_id, make_timestamptz(read_at) as _synced_at, null::timestamptz as _deleted_at,
          {"raw" if keep_raw else "case when o.id is null then raw end"} as _raw
        from parsed
    """)
    if unreadable := _keep_latest(connection, name, key(kind)):
        on_unreadable(unreadable)
    return name


def upsert(connection: duckdb.DuckDBPyConnection, kind: ObjectType, staged: str) -> int:
    """Replace what the mirror has of the staged objects. Returns how many there were.

    Delete and insert, without a primary key: 46,000 rows a second against 14,000 to 20,000 for an upsert over an index
    (measured 2026-11 at 1,000,000 rows). The bounds of `created` let DuckDB pass over most of the table.
    """
    if kind.form is Form.SINGLE and kind.parent is None:
        return _insert(connection, kind, staged)  # a row per sync
    bounds = ""
    if kind.has_created:
        low, high, nulls = _row(connection, f"select min(created), max(created), count(*) - count(created) from {staged}")
        if low is not None and not nulls:
            bounds = f" and t.created between {literal(str(low))}::timestamptz and {literal(str(high))}::timestamptz"
    same = " and ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in key(kind))
    connection.execute(f"delete from {table(kind)} t using {staged} s where {same} and t._account_id = s._account_id{bounds}")
    return _insert(connection, kind, staged)


def key(kind: ObjectType) -> tuple[str, ...]:
    """Name the columns that tell one object of an account from another."""
    return ("id", kind.parent.column) if kind.keyed_by_parent and kind.parent is not None else ("id",)


def _insert(connection: duckdb.DuckDBPyConnection, kind: ObjectType, staged: str) -> int:
    names = ", ".join(quoted(column.name) for column in kind.columns)
    inserted = connection.execute(
        f"insert into {table(kind)} ({names}, _account_id, _synced_at, _deleted_at, _raw) "
        f"select {names}, _account_id, _synced_at, _deleted_at, _raw from {staged}"
    ).fetchone()
    return int(inserted[0]) if inserted else 0


def embedded(parent: str, child: ObjectType) -> str:
    """Write the query that finds a child type's objects inside the staged parents, as a source for `stage`."""
    assert child.parent is not None and child.parent.embedded is not None
    field = place(child.parent.embedded)
    return f"""(select unnest(from_json({field}, '{{"data":["JSON"]}}').data) as raw,
        epoch_us(_synced_at) as read_at, id as parent from {parent} where {field} is not null)"""


def cut_short(parent: str, child: ObjectType) -> str:
    """Write the query that finds the staged parents whose embedded list has more: `parent_id` and the last `cursor`."""
    assert child.parent is not None and child.parent.embedded is not None
    field = place(child.parent.embedded)
    return f"""select id as parent_id, list_last(l.data).id as cursor, _synced_at as noted_at from
        (select id, _synced_at, from_json({field}, '{{"has_more":"BOOLEAN","data":[{{"id":"VARCHAR"}}]}}') as l from {parent})
        where l.has_more"""


def place(path: str, of: str = "") -> str:
    """Write the expression for a field of an object, which may lie deeper: `amount_details.line_items`. `of`: the table's alias."""
    column, _, inside = path.partition(".")
    name = f"{of}.{quoted(column)}" if of else quoted(column)
    return f"json_extract({name}, {literal(f'$.{inside}')})" if inside else name


def forget_vanished_children(connection: duckdb.DuckDBPyConnection, parent: str, child: ObjectType) -> None:
    """Mark the children that the staged parents no longer have as deleted, where the whole list was embedded."""
    assert child.parent is not None
    cut = f"select parent_id from ({cut_short(parent, child)})"
    connection.execute(f"""
        update {table(child)} t set _deleted_at = p._synced_at from {parent} p
        where t.{quoted(child.parent.column)} = p.id and t._account_id = p._account_id
          and t._deleted_at is null and t._synced_at < p._synced_at
          and json_array_length({place(child.parent.embedded or "", "p")}, '$.data') is not null
          and p.id not in ({cut})
    """)


def forget_unseen_children(connection: duckdb.DuckDBPyConnection, child: ObjectType, numbers: Sequence[int], *, account_id: str) -> None:
    """Mark as deleted what parents' lists did not give, from the notes that they were asked for by (`numbers`) to their end.

    A parent that was read again meanwhile has another note, and one whose list is not read whole has no time. While the
    type is read from the start, the end of that will tell.
    """
    assert child.parent is not None
    connection.execute(
        f"""
        update {table(child)} t set _deleted_at = now() from stripe_sync.pending n
        where n.number in (select unnest($1::bigint[])) and n.account_id = $2 and t.{quoted(child.parent.column)} = n.object_id
          and t._account_id = n.account_id and t._deleted_at is null and t._synced_at < n.noted_at
          and n.type not in (select type from stripe_sync.checkpoints where account_id = $2 and state = 'backfill')
        """,
        [list(numbers), account_id],
    )


def forget_orphans(connection: duckdb.DuckDBPyConnection, kind: ObjectType, child: ObjectType, *, account_id: str) -> None:
    """Mark the children of deleted parents as deleted with them: no event tells of those, and their lists are gone."""
    assert child.parent is not None
    if child.parent.ids is not None:
        return  # what they belong to is not the object that names them
    connection.execute(f"""
        update {table(child)} t set _deleted_at = p._deleted_at from {table(kind)} p
        where t.{quoted(child.parent.column)} = p.id and t._account_id = p._account_id and p._account_id = {literal(account_id)}
          and p._deleted_at is not null and t._deleted_at is null
    """)


def leave_out(connection: duckdb.DuckDBPyConnection, staged: str, paths: Iterable[str]) -> None:
    """Take out of staged objects what is there only because it was asked for on the children's behalf, and is now theirs.

    The same object without it, in an event's payload say, would make another row otherwise.
    """
    for path in paths:
        column, *inside = path.split(".")
        patch = "null"
        for name in reversed(inside):
            patch = f'{{"{name}":{patch}}}'
        left = f"json_merge_patch({quoted(column)}, {literal(patch)})" if inside else "null"
        connection.execute(f"update {staged} set {quoted(column)} = {left} where {place(path)} is not null")


def news(connection: duckdb.DuckDBPyConnection, kind: ObjectType, staged: str, *, told: Iterable[str] | None) -> str:
    """Write the ids of the staged objects that are `told` of (none: all) into a temporary table, and of those that the mirror
    has not, or has otherwise; give its name."""
    name = f"news_{kind.name}"
    if told is None:
        connection.execute(f"create or replace temp table {name} as select id from {staged}")
        return name
    columns = ", ".join(quoted(column.name) for column in kind.columns)
    connection.execute(f"""
        create or replace temp table {name} as
        select id from (select {columns}, _account_id from {staged} except
          select {columns}, _account_id from {table(kind)} where id in (select id from {staged}) and _deleted_at is null)
    """)
    connection.execute(f"insert into {name} select unnest(?::varchar[])", [list(told)])
    return name


def mark_deleted(
    connection: duckdb.DuckDBPyConnection, kind: ObjectType, source: str, *, account_id: str, children: Iterable[ObjectType]
) -> None:
    """Mark objects as deleted, and the `children` that went with them: no event tells of those. The rows stay.

    `source` is a query with `id` and `deleted_at` (TIMESTAMPTZ).
    """
    ids = [(kind, "id"), *((child, child.parent.column) for child in children if child.parent is not None)]
    for gone, column in ids:
        connection.execute(f"""
            update {table(gone)} t set _deleted_at = s.deleted_at from ({source}) s
            where t.{quoted(column)} = s.id and t._account_id = {literal(account_id)} and t._deleted_at is null
        """)


def _parsed(kind: ObjectType) -> Iterable[Column]:
    return (column for column in kind.columns if not _from_parent(column, kind))


def _from_parent(column: Column, kind: ObjectType) -> bool:
    return column.name in _owners(kind) and (kind.parent is None or not kind.parent.stated or column.name != kind.parent.column)


def _owners(kind: ObjectType) -> list[str]:
    """Name the columns with the ids of those that the objects were asked for by, in the order in which `parent` has them."""
    return [] if kind.parent is None else [kind.parent.column, *(f"{param}_id" for param in kind.parent.each)]


def _expression(column: Column, kind: ObjectType, account_id: str) -> str:
    value = f"o.{quoted(column.name)}"
    if column.name == "id" and kind.form is Form.SINGLE and kind.parent is None:
        return f"case when o is not null then coalesce({value}, {literal(account_id)} || '_' || read_at) end"
    if column.name in (owners := _owners(kind)):
        parent = "parent" if len(owners) == 1 else f"json_extract_string(parent, '$[{owners.index(column.name)}]')"
        if _from_parent(column, kind):
            return parent
        return f"coalesce({_identifier(value) if column.kind is Kind.ID else value}, {parent})"
    match column.kind:
        case Kind.TIMESTAMP:
            return f"try(make_timestamptz({value} * 1000000))"
        case Kind.TIMESTAMP_TEXT:
            return f"try_cast({value} as timestamptz)"
        case Kind.ID:
            return _identifier(value)
        case _:
            return value


def _identifier(value: str) -> str:
    """An expanded reference arrives as the object's JSON: take its id."""
    return f"case when starts_with({value}, '{{') then try(json_extract_string({value}, '$.id')) else {value} end"


def _keep_latest(connection: duckdb.DuckDBPyConnection, staged: str, names: Sequence[str]) -> list[str]:
    """Leave one row for each key, the latest; take out what has no id, and give it back as it was received."""
    columns = ", ".join(quoted(name) for name in names)
    total, named, distinct = _row(connection, f"select count(*), count(id), count(distinct ({columns})) from {staged}")
    unreadable = connection.execute(f"delete from {staged} where id is null returning _raw").fetchall() if total != named else []
    if named != distinct:
        connection.execute(f"""
            delete from {staged} where rowid not in (
              select arg_max(rowid, (_synced_at, rowid)) from {staged} group by {columns})
        """)
    return [raw or "" for (raw,) in unreadable]


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
