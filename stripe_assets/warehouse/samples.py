"""Chooses at random what of the mirror is to be read again: rows, and parents whose children are.

Nothing is written. The same seed chooses the same of the same rows. What is asked for then belongs in `sync.questions`, how it
is compared in `agreement`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from stripe_assets.catalog.types import ObjectType
from stripe_assets.warehouse.parents import DAY, askable
from stripe_assets.warehouse.tables import literal, owners, quoted, table


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its id, and when the object was created (seconds; none where it does not say)."""

    id: str
    created: int | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A parent whose children are to be read: what stands in its place, and what else the request says.

    `after` is one of its children in the mirror, where these are more than a page: the list is read from there on.
    """

    parent_id: str
    further: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None


def count(connection: duckdb.DuckDBPyConnection, kind: ObjectType, *, account_id: str) -> int:
    """Count the living rows of a type."""
    ((found,),) = connection.execute(f"select count(*) from {living(kind, account_id)}").fetchall()
    return int(found)


def some_rows(
    connection: duckdb.DuckDBPyConnection, kind: ObjectType, *, account_id: str, seed: str, most: int, newest: int | None
) -> list[Row]:
    """Choose rows, only such as Stripe still keeps at the time `newest` (seconds; none: all)."""
    created = "epoch(created)::bigint" if kind.has_created else "null"
    kept = ""
    if kind.kept_days is not None and newest is not None:
        kept = f" and created > to_timestamp({newest - (kind.kept_days - 1) * DAY})"
    found = connection.execute(
        f"select id, {created} from {living(kind, account_id)}{kept} order by hash(id || {literal(seed)}) limit {most}"
    ).fetchall()
    return [Row(*row) for row in found]


def some_parents(
    connection: duckdb.DuckDBPyConnection, child: ObjectType, *, account_id: str, seed: str, page: int, now: float
) -> list[Asked]:
    """Choose two parents that can be asked for children at `now` (seconds): one that has some in the mirror, and any."""
    assert child.parent is not None
    found = askable(child, table_of_parents(child), account_id=account_id, now=now)
    mine = f"{living(child, account_id)} and {_of_parent(child)}"
    chosen = connection.execute(f"""
        with asked as (select parent_id::varchar as parent_id, further from ({found}) where parent_id is not null),
        known as (select *, exists (from {mine}) as has_some, hash(parent_id || coalesce(further::varchar, '') || {literal(seed)}) as turn
          from asked)
        select parent_id, further from (
          (select * from known where has_some order by turn limit 1) union (select * from known order by turn limit 1))
        order by has_some desc
    """).fetchall()
    return [
        _from_somewhere(connection, child, Asked(name, json.loads(further or "{}")), account_id=account_id, seed=seed, page=page)
        for name, further in chosen
    ]


def of_parent(child: ObjectType, asked: Asked) -> str:
    """Write the condition on a child's row that it belongs to what was asked."""
    assert child.parent is not None
    values = [asked.parent_id, *(asked.further[param] for param in child.parent.each)]
    return " and ".join(f"{quoted(name)} = {literal(value)}" for name, value in zip(owners(child), values, strict=True))


def owners_of(child: ObjectType, asked: Asked) -> str:
    """Write what was asked as `load.incoming` takes it: an id, or JSON with several."""
    assert child.parent is not None
    return json.dumps([asked.parent_id, *(asked.further[param] for param in child.parent.each)]) if child.parent.each else asked.parent_id


def living(kind: ObjectType, account_id: str) -> str:
    """Write the rows of one account that are not deleted, as a `from` to which a condition can be added."""
    return f"{table(kind)} where _account_id = {literal(account_id)} and _deleted_at is null"


def table_of_parents(child: ObjectType) -> str:
    """Name the table of a type's parents."""
    assert child.parent is not None
    return f"stripe.{quoted(child.parent.type)}"


def _of_parent(child: ObjectType) -> str:
    """Write the condition that a child's row belongs to a row of `asked`."""
    assert child.parent is not None
    column, *others = (quoted(name) for name in owners(child))
    each = (
        f"{other} = json_extract_string(asked.further, {literal(f'$.{param}')})"
        for other, param in zip(others, child.parent.each, strict=True)
    )
    return " and ".join([f"{column}::varchar = asked.parent_id", *each])


def _from_somewhere(
    connection: duckdb.DuckDBPyConnection, child: ObjectType, asked: Asked, *, account_id: str, seed: str, page: int
) -> Asked:
    """Begin at a random child, where a parent has more than a page of them."""
    mine = f"{living(child, account_id)} and {of_parent(child, asked)}"
    found = connection.execute(f"select id, count(*) over () from {mine} order by hash(id || {literal(seed)}) limit 1").fetchone()
    return Asked(asked.parent_id, asked.further, found[0]) if found is not None and found[1] > page else asked
