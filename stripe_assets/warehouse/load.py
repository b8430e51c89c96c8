"""Turns raw JSON objects into rows: DuckDB parses, types and stores them; no Python object is made of any.

All functions work inside the caller's transaction. Which objects belong together belongs in `writer`.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise

import duckdb
import msgspec
import pyarrow as pa

from stripe_assets.catalog.types import Column, Form, Kind, ObjectType
from stripe_assets.warehouse.misfits import Fitting, Misfit
from stripe_assets.warehouse.tables import is_from_parent, literal, owners, quoted, received, table

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


BATCH = 250_000
"""Bytes of JSON that a thread of DuckDB parses at a time. What is parsed of them stays near the processor: 2,048 charges at a
time (4.5 MB) take a third longer (measured 2026-11). And a chunk of 10,000 is parsed on all cores."""


def incoming(objects: Sequence[msgspec.Raw], read_at: Sequence[float], parents: Sequence[str | None]) -> pa.Table:
    """Lay raw objects out for DuckDB, one row each: `raw`, `read_at` (microseconds since 1970), `parent`, and whose `turn` it was.

    `parent` is an id, or JSON with several where objects are asked for by more than their parent.
    The bytes are copied once, without an object for each: 0.4 microseconds a charge, against 1.2 for an Arrow array that is
    made of Python's bytes (measured 2026-11).
    """
    offsets = array("q", [0])
    offsets.extend(accumulate(map(len, objects)))
    raws = pa.LargeStringArray.from_buffers(len(objects), pa.py_buffer(offsets), pa.py_buffer(b"".join(objects)))
    times = pa.array([round(at * 1e6) for at in read_at], pa.int64())
    return _in_turn(pa.table({"raw": raws, "read_at": times, "parent": pa.array(parents, pa.string())}))


def fetched(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """Lay out what a query finds (`raw`, `read_at` and `parent`) as `incoming` does."""
    rows = connection.sql(f"select raw::varchar as raw, read_at::bigint as read_at, parent::varchar as parent from ({query})")
    return _in_turn(rows.to_arrow_table().cast(pa.schema({"raw": pa.large_string(), "read_at": pa.int64(), "parent": pa.string()})))


def _in_turn(rows: pa.Table) -> pa.Table:
    numbered = rows.append_column("turn", pa.array(range(len(rows)), pa.int64())).combine_chunks()
    size = max(1, len(rows) * BATCH // max(1, rows["raw"].nbytes))
    return pa.Table.from_batches(numbered.to_batches(max_chunksize=size), numbered.schema)


def texts(rows: pa.Table) -> list[memoryview]:
    """Give the raw objects of a table in turn, without copying them."""
    found: list[memoryview] = []
    for chunk in rows["raw"].chunks:
        _, places, letters = chunk.buffers()
        ends = memoryview(places).cast("q")[chunk.offset : chunk.offset + len(chunk) + 1]
        whole = memoryview(letters or b"")
        found += [whole[begin:end] for begin, end in pairwise(ends)]
    return found


def stage(
    connection: duckdb.DuckDBPyConnection,
    kind: ObjectType,
    rows: pa.Table,
    *,
    account_id: str,
    keep_raw: bool,
    fitting: Fitting | None = None,
    on_unreadable: Callable[[list[str]], None] = lambda _texts: None,
    on_misfits: Callable[[list[Misfit]], None] = lambda _misfits: None,
) -> str:
    """Parse `rows`, as `incoming` lays them out, into a temporary table.

    Where an id came twice the later reading stays, of two at one time the one whose `turn` was later. `on_unreadable` is
    given what cannot become a row: objects without an id, and text that is no JSON to DuckDB (a lone surrogate, say).
    `on_misfits` is given what fits no column; objects that have such a thing keep their raw JSON even without `keep_raw`.
    `fitting` knows what came before. Returns the temporary table's name; its columns are the type's.
    """
    found = (fitting or Fitting(received(kind))).check(texts(rows))
    connection.register("incoming", rows)
    connection.register("remaining", pa.table({"turn": pa.array([] if keep_raw else found.remains, pa.int64())}))
    staged = _parse(connection, kind, keep_raw=keep_raw, account_id=account_id)
    for name in ("incoming", "remaining"):
        connection.unregister(name)
    for column, turns in found.wrong.items():
        _empty(connection, staged, column, turns)
    if unreadable := _keep_latest(connection, staged, key(kind)):
        on_unreadable(unreadable)
    if found.misfits:
        on_misfits(found.misfits)
    return staged


def _parse(connection: duckdb.DuckDBPyConnection, kind: ObjectType, *, keep_raw: bool, account_id: str) -> str:
    shape = "{" + ",".join(f'"{column.name}":"{JSON_TYPES[column.kind]}"' for column in received(kind)) + "}"
    columns = ",\n    ".join(f"{_expression(column, kind, account_id)} as {quoted(column.name)}" for column in kind.columns)
    staged = f"staged_{kind.name}"
    connection.execute(f"""
        create or replace temp table {staged} as
        with parsed as (select try(json_transform(raw, {literal(shape)})) as o, raw, read_at, parent, turn from incoming)
        select {columns},
          {literal(account_id)} as _account_id, make_timestamptz(read_at) as _synced_at, null::timestamptz as _deleted_at,
          {"raw" if keep_raw else "case when o.id is null or turn in (select turn from remaining) then raw end"} as _raw, turn as _turn
        from parsed
    """)
    return staged


def _empty(connection: duckdb.DuckDBPyConnection, staged: str, column: str, turns: Sequence[int]) -> None:
    """Take out of a column what was bent to fit into it."""
    connection.register("bent", pa.table({"turn": pa.array(turns, pa.int64())}))
    connection.execute(f"update {staged} set {quoted(column)} = null where _turn in (select turn from bent)")
    connection.unregister("bent")


def upsert(connection: duckdb.DuckDBPyConnection, kind: ObjectType, staged: str) -> int:
    """Replace what the mirror has of the staged objects, unless it was read later. Returns how many were stored.

    What is older than the mirror's row is taken out of `staged`. Delete and insert, without a primary key: 46,000 rows a
    second against 14,000 to 20,000 for an upsert over an index (measured 2026-11 at 1,000,000 rows). The bounds let DuckDB
    pass over most of the table: few rows have been read since the earliest of these objects was.
    """
    if kind.form is Form.SINGLE and kind.parent is None:
        return _insert(connection, kind, staged)  # a row per sync
    (earliest,) = _row(connection, f"select min(_synced_at) from {staged}")
    if earliest is None:
        return 0
    same = " and ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in (*key(kind), "_account_id"))
    connection.execute(f"""
        delete from {staged} s using {table(kind)} t
        where {same} and t._synced_at > s._synced_at and t._synced_at > {literal(str(earliest))}::timestamptz
    """)
    connection.execute(f"delete from {table(kind)} t using {staged} s where {same}{_created_bounds(connection, kind, staged)}")
    return _insert(connection, kind, staged)


def key(kind: ObjectType) -> tuple[str, ...]:
    """Name the columns that tell one object of an account from another."""
    return ("id", kind.parent.column) if kind.keyed_by_parent and kind.parent is not None else ("id",)


def _insert(connection: duckdb.DuckDBPyConnection, kind: ObjectType, staged: str) -> int:
    names = ", ".join(quoted(column.name) for column in kind.columns)
    inserted = connection.execute(
        f"insert into {table(kind)} ({names}, _account_id, _synced_at, _deleted_at, _raw) "
        f"select {names}, _account_id, _synced_at, _deleted_at, _raw from {staged}"
    ).fetchall()
    return int(inserted[0][0])


def _created_bounds(connection: duckdb.DuckDBPyConnection, kind: ObjectType, staged: str) -> str:
    """Write the condition on `created` that all staged objects keep; none where one of them, or a row, does not say when that was, or
    where a row may be that of another object, from earlier, of the same id."""
    if not kind.has_created or kind.own_ids or connection.execute(f"select 1 from {table(kind)} where created is null limit 1").fetchall():
        return ""
    low, high, nulls = _row(connection, f"select min(created), max(created), count(*) - count(created) from {staged}")
    types = [
        _row(connection, f"select any_value(column_type) from (describe select created from {place})") for place in (staged, table(kind))
    ]
    if low is None or nulls or types[0] != types[1]:  # as text the table's times have another order
        return ""
    (sql_type,) = types[0]
    return f" and t.created between {literal(str(low))}::{sql_type} and {literal(str(high))}::{sql_type}"


def embedded(parent: str, child: ObjectType) -> str:
    """Write the query that finds a child type's objects inside the staged parents, for `fetched`."""
    assert child.parent is not None and child.parent.embedded is not None
    field = place(child.parent.embedded)
    return f"""select unnest(from_json({field}, '{{"data":["JSON"]}}').data) as raw, epoch_us(_synced_at) as read_at, id as parent
        from {parent} where {field} is not null"""


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
        update {table(child)} t set _deleted_at = p._synced_at, _synced_at = p._synced_at from {parent} p
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
    connection.execute(f"insert into {name} select id from {staged} where id in (select unnest(?::varchar[]))", [list(told)])
    return name


def mark_deleted(
    connection: duckdb.DuckDBPyConnection, kind: ObjectType, source: str, *, account_id: str, children: Iterable[ObjectType]
) -> None:
    """Mark objects as deleted, and the `children` that went with them: no event tells of those. The rows stay.

    `source` is a query with `id`, `deleted_at` and when that was read, `read_at` (both TIMESTAMPTZ). What was read later
    than that is there again; what was read earlier and comes later does not bring it back.
    """
    ids = [(kind, "id"), *((child, child.parent.column) for child in children if child.parent is not None)]
    for gone, column in ids:
        connection.execute(f"""
            update {table(gone)} t set _deleted_at = s.deleted_at, _synced_at = s.read_at from ({source}) s
            where t.{quoted(column)} = s.id and t._account_id = {literal(account_id)} and t._deleted_at is null
              and t._synced_at <= s.read_at
        """)


def _expression(column: Column, kind: ObjectType, account_id: str) -> str:
    value = f"o.{quoted(column.name)}"
    if column.name == "id" and kind.form is Form.SINGLE and kind.parent is None:
        return f"case when o is not null then coalesce({value}, {literal(account_id)} || '_' || read_at) end"
    if column.name in (names := owners(kind)):
        parent = "parent" if len(names) == 1 else f"json_extract_string(parent, '$[{names.index(column.name)}]')"
        if is_from_parent(column, kind):
            return parent
        return f"coalesce({_identifier(value, column) if column.kind is Kind.ID else value}, {parent})"
    match column.kind:
        case Kind.TIMESTAMP:
            return f"try(make_timestamptz({value} * 1000000))"
        case Kind.TIMESTAMP_TEXT:
            return f"try_cast(upper({value}) as timestamptz)"
        case Kind.ID:
            return _identifier(value, column)
        case _:
            return value


def _identifier(value: str, column: Column) -> str:
    """An expanded reference arrives as the object's JSON: take its id. Ids that people choose may begin with a brace as well."""
    path = "'$.\"" + column.name + "\"'"
    expanded = f"case json_type(raw, {path}) when 'OBJECT' then json_extract_string({value}, '$.id') else {value} end"
    return f"case when starts_with({value}, '{{') then {expanded} else {value} end"


def _keep_latest(connection: duckdb.DuckDBPyConnection, staged: str, names: Sequence[str]) -> list[str]:
    """Leave one row for each key, the latest; take out what has no id, and give it back as it was received."""
    columns = ", ".join(quoted(name) for name in names)
    total, named, distinct = _row(connection, f"select count(*), count(id), count(distinct ({columns})) from {staged}")
    unreadable = connection.execute(f"delete from {staged} where id is null returning _raw").fetchall() if total != named else []
    if named != distinct:
        connection.execute(f"""
            delete from {staged} where rowid not in (
              select arg_max(rowid, (_synced_at, _turn)) from {staged} group by {columns})
        """)
    return [raw or "" for (raw,) in unreadable]


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    (row,) = connection.execute(query).fetchall()  # all: DuckDB 2.0 holds a half-read result against the next `sql`
    return row
