"""Holds objects that were read again against the mirror's rows, column by column: both are made by the code that loads.

Nothing is stored, and a file that is open for reading will do. Which objects are read belongs in `samples`, what a difference
means in `sync.excuses`, how a value is shown in `showing`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

import duckdb
import msgspec

from stripe_assets.catalog.passing import passing
from stripe_assets.catalog.types import Catalog, Column, Form, Kind, ObjectType
from stripe_assets.warehouse import load
from stripe_assets.warehouse.notes import still_open
from stripe_assets.warehouse.tables import is_from_parent, literal, owners, quoted, table


class What(StrEnum):
    """How an object and the mirror disagree."""

    DIFFERING = "differing"
    MISSING = "missing"  # Stripe has it, the mirror has not, or as deleted
    UNKNOWN = "unknown"  # the mirror has it, Stripe has not


@dataclass(frozen=True, slots=True)
class Reading:
    """What one request gave: objects without what is private, read at `read_at` (seconds since 1970) below `parent_id`.

    `rows` is a condition on the mirror's rows: all that it holds for must be among the objects.
    """

    objects: tuple[msgspec.Raw, ...]
    read_at: float
    parent_id: str | None = None
    rows: str | None = None


@dataclass(frozen=True, slots=True)
class Apart:
    """A column in which a row and the object say different things, as the column's values (JSON as text)."""

    column: Column
    ours: Any
    theirs: Any


@dataclass(frozen=True, slots=True)
class Case:
    """An object and the mirror disagree. Times are in seconds; `synced_at` is the row's, where there is one.

    `open`: the row says that the object may still change without an event.
    """

    what: What
    id: str
    parent_id: str | None
    created: int | None
    synced_at: float | None
    read_at: float
    open: bool = False
    apart: tuple[Apart, ...] = ()


def compare(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    kind: ObjectType,
    readings: Sequence[Reading],
    gone: Iterable[str] = (),
    *,
    account_id: str,
    began: float,
) -> tuple[int, list[Case]]:
    """Compare what was read of a type since it `began` (seconds), both ways; `gone` are ids that Stripe does not know.

    Gives how many of Stripe's objects there were, too.
    """
    objects = list(chain.from_iterable(reading.objects for reading in readings))
    times = list(chain.from_iterable([reading.read_at] * len(reading.objects) for reading in readings))
    parents = list(chain.from_iterable([reading.parent_id] * len(reading.objects) for reading in readings))
    staged = load.stage(connection, kind, load.incoming(objects, times, parents), account_id=account_id, keep_raw=False)
    compared, cases = _held_against(connection, catalog, kind, staged, account_id)
    lost = sorted(set(gone))
    conditions = [f"({reading.rows})" for reading in readings if reading.rows is not None]
    conditions += [f"id in ({', '.join(map(literal, lost))})"] if lost else []
    if conditions:
        cases += _unknown(connection, kind, " or ".join(conditions), account_id, began)
    connection.execute(f"drop table {staged}")
    return compared, cases


def unfaithful(connection: duckdb.DuckDBPyConnection, catalog: Catalog, kind: ObjectType, ids: Iterable[str], account_id: str) -> set[str]:
    """Name the rows that do not say what their own `_raw` says: no request is needed to know that these are wrong."""
    from_way = [name for name in owners(kind) if any(column.name == name and is_from_parent(column, kind) for column in kind.columns)]
    parent = (
        "null" if not from_way else quoted(from_way[0]) if len(owners(kind)) == 1 else f"json_array({', '.join(map(quoted, owners(kind)))})"
    )
    these = "true" if _is_alone(kind) else f"id in ({', '.join(map(literal, ids)) or 'null'})"
    query = (
        f"select _raw as raw, epoch_us(_synced_at) as read_at, {parent} as parent from {table(kind)} "
        f"where _account_id = {literal(account_id)} and _deleted_at is null and _raw is not null and {these} {_newest(kind)}"
    )
    staged = load.stage(connection, kind, load.fetched(connection, query), account_id=account_id, keep_raw=False)
    _, cases = _held_against(connection, catalog, kind, staged, account_id)
    connection.execute(f"drop table {staged}")
    return {case.id for case in cases}


def _held_against(
    connection: duckdb.DuckDBPyConnection, catalog: Catalog, kind: ObjectType, staged: str, account_id: str
) -> tuple[int, list[Case]]:
    """Compare a staged table with the rows of the same objects; give how many these are."""
    names = [column.name for column in kind.columns]
    columns = ", ".join(quoted(name) for name in names)
    alone = _is_alone(kind)  # its rows have an id for each reading
    shown = columns if not alone else ", ".join(f"{literal(account_id)} as id" if name == "id" else quoted(name) for name in names)
    these = "true" if alone else f"id in (select id from {staged})"
    connection.execute(f"""
        create or replace temp table mine as select {shown}, _synced_at, _deleted_at, {still_open(kind)} as _open
        from {table(kind)} where _account_id = {literal(account_id)} and {these} {_newest(kind)}
    """)
    # Of the same types as the table's, as rows become when they are stored.
    connection.execute(f"create or replace temp table theirs as select {columns}, _synced_at from mine limit 0")
    ((compared,),) = connection.execute(f"insert into theirs select {shown}, _synced_at from {staged}").fetchall()
    requested = [child.parent.embedded for child in catalog.children(kind.name) if child.parent is not None and child.parent.expand]
    for place in ("mine", "theirs"):
        load.leave_out(connection, place, filter(None, requested))
    same = " and ".join(f"m.{quoted(name)} is not distinct from s.{quoted(name)}" for name in load.key(kind))
    other = " or ".join(f"s.{quoted(name)} is distinct from m.{quoted(name)}" for name in names)
    values = ", ".join(
        f"{of}.{quoted(column.name)}{'::varchar' if column.kind is Kind.JSON else ''}" for of in ("m", "s") for column in kind.columns
    )
    found = connection.execute(f"""
        select s.id, {_parent(kind, "s.")}, {_created(kind, "s.")}, epoch(m._synced_at), epoch(s._synced_at), coalesce(m._open, false),
          m._synced_at is null or m._deleted_at is not null, {values}
        from theirs s left join mine m on {same} where m._synced_at is null or m._deleted_at is not null or {other} order by 1
    """).fetchall()
    cases = []
    for name, parent, created, synced_at, read_at, is_open, lacking, *both in found:
        if lacking:
            cases.append(Case(What.MISSING, name, parent, created, synced_at, read_at))
        elif apart := tuple(_apart(kind, both[: len(names)], both[len(names) :])):
            cases.append(Case(What.DIFFERING, name, parent, created, synced_at, read_at, is_open, apart))
    return int(compared), cases


def _unknown(connection: duckdb.DuckDBPyConnection, kind: ObjectType, condition: str, account_id: str, read_at: float) -> list[Case]:
    """Find the rows for which a condition holds and that are not among what was read."""
    same = " and ".join(f"s.{quoted(name)} is not distinct from t.{quoted(name)}" for name in load.key(kind))
    rows = connection.execute(f"""
        select id, {_parent(kind)}, {_created(kind)}, epoch(_synced_at), {still_open(kind)} from {table(kind)} t
        where _account_id = {literal(account_id)} and _deleted_at is null and ({condition}) and not exists (from theirs s where {same})
        order by 1
    """).fetchall()
    return [Case(What.UNKNOWN, name, parent, created, synced_at, read_at, is_open) for name, parent, created, synced_at, is_open in rows]


def _apart(kind: ObjectType, ours: Sequence[Any], theirs: Sequence[Any]) -> Iterable[Apart]:
    """Find the columns that say different things: JSON by its meaning, what only passes by whether it is there."""
    passes = passing(kind.objects)
    for column, mine, other in zip(kind.columns, ours, theirs, strict=True):
        if mine == other or (column.name in passes and (mine is None) == (other is None)):
            continue
        if column.kind is not Kind.JSON or _meaning(mine) != _meaning(other):
            yield Apart(column, mine, other)


def _meaning(text: str | None) -> str | None:
    """Write JSON so that what means the same is equal. An embedded list is who is in it: the objects have rows of their own."""
    if text is None:
        return None
    value = json.loads(text)
    if isinstance(value, dict) and value.get("object") == "list":
        value = [one.get("id") for one in value.get("data", ())]
    return json.dumps(value, sort_keys=True)


def _is_alone(kind: ObjectType) -> bool:
    return kind.form is Form.SINGLE and kind.parent is None


def _newest(kind: ObjectType) -> str:
    return "qualify _synced_at = max(_synced_at) over ()" if _is_alone(kind) else ""


def _parent(kind: ObjectType, of: str = "") -> str:
    return f"{of}{quoted(kind.parent.column)}::varchar" if kind.parent is not None else "null"


def _created(kind: ObjectType, of: str = "") -> str:
    return f"try(epoch({of}created::timestamptz)::bigint)" if kind.has_created else "null"
