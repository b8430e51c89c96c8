"""Finds stretches of a list that hold many of the objects to be read again: a page of the list is one request for all of them.

Works inside the caller's transaction, on one account. The requests are made by `sync.pending`; what a page has brought need
not be asked for any more (`Notes.strike_read`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

import duckdb

from stripe_assets.catalog.types import Form, ObjectType, Paging
from stripe_assets.warehouse.notes import ONE_BY_ONE
from stripe_assets.warehouse.tables import literal, quoted, table

PAGE = 100
"""Objects on a page."""
WHOLE = "whole"
"""What a note says in an object's place that stands for all of a list."""


@dataclass(frozen=True, slots=True)
class Second:
    """A second in which some of the noted objects were created: how many, and which place that has in the list.

    `first` and `last` count all objects of the type, the oldest being 1; several may share the second.
    """

    created: int
    first: int
    last: int
    noted: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of `created` from `begin` to `end` (seconds, both included), how many noted objects lie in it, and on how many pages."""

    begin: int
    end: int
    noted: int
    pages: int


def is_read_singly_or_listed(kind: ObjectType) -> bool:
    """Say whether there is a choice: an object is found by its id alone, and in a list that needs nothing else."""
    return kind.form is Form.LIST and kind.paging is Paging.CURSOR and kind.parent is None and kind.retrieve_path is not None


def is_listed(kind: ObjectType) -> bool:
    """Say whether a stretch of a type's list gives all objects that were created in it, and says so by itself."""
    return is_read_singly_or_listed(kind) and kind.created_filter and kind.has_created and not kind.partial and not kind.also_with


def stretches(found: Iterable[Second]) -> Iterator[Stretch]:
    """Cut out what fewer requests for pages bring than requests for single objects would; the oldest is `found` first.

    From the oldest noted object on as far as a page reaches, then from the next one on: no other cut takes fewer pages.
    """
    held: list[Second] = []
    for second in found:
        if held and second.last - held[0].first >= PAGE:
            yield from _worth_it(held)
            held = []
        held.append(second)
    yield from _worth_it(held)


def _worth_it(held: list[Second]) -> Iterator[Stretch]:
    noted = sum(second.noted for second in held)
    pages = ceil((held[-1].last - held[0].first + 1) / PAGE) if held else 0
    if noted > pages:
        yield Stretch(held[0].created, held[-1].created, noted, pages)


def note_stretches(connection: duckdb.DuckDBPyConnection, kind: ObjectType, *, account_id: str) -> None:
    """Note the stretches to be read of a type's list, in place of those that an earlier run has left.

    Of a list that knows no times, that is all of it or nothing.
    """
    mine = f"account_id = {literal(account_id)} and type = {literal(kind.name)}"
    connection.execute(f"delete from stripe_sync.pending where {mine} and purpose = 'stretch'")
    if not is_listed(kind):
        singly = f"select count(*) from stripe_sync.pending where {mine} and purpose in {ONE_BY_ONE} and noted_at is not null"
        ((count,),) = connection.execute(singly).fetchall()
        if count > _pages(connection, kind, account_id=account_id):
            connection.execute(
                "insert into stripe_sync.pending (account_id, type, purpose, object_id, further) values (?, ?, 'stretch', ?, '{}')",
                [account_id, kind.name, WHOLE],
            )
        return
    created = "(further ->> 'created')::bigint as created"
    notes = f"select object_id as id, {created} from stripe_sync.pending where {mine} and purpose in {ONE_BY_ONE} and noted_at is not null"
    found = list(stretches(seconds(connection, kind, notes, account_id=account_id)))
    if found:
        connection.execute(
            "insert into stripe_sync.pending (account_id, type, purpose, object_id, further) "
            f"select {literal(account_id)}, {literal(kind.name)}, 'stretch', b || '-' || e, "
            "json_object('created[gte]', b::varchar, 'created[lte]', e::varchar) "
            "from (select unnest($1::bigint[]) as b, unnest($2::bigint[]) as e)",
            [[one.begin for one in found], [one.end for one in found]],
        )


def requests(connection: duckdb.DuckDBPyConnection, kind: ObjectType, ids: str, *, account_id: str) -> int:
    """Say how many requests it takes to read the objects again whose `ids` (a query) are given."""
    ((count,),) = connection.execute(f"select count(*) from ({ids})").fetchall()
    if not count or not is_read_singly_or_listed(kind):
        return int(count)
    if not is_listed(kind):
        return min(int(count), _pages(connection, kind, account_id=account_id))
    found = list(stretches(seconds(connection, kind, f"select id, null::bigint as created from ({ids})", account_id=account_id)))
    return int(count) - sum(one.noted - one.pages for one in found)


def _pages(connection: duckdb.DuckDBPyConnection, kind: ObjectType, *, account_id: str) -> int:
    """Count the pages of a type's list."""
    ((rows,),) = connection.execute(f"select count(*) from {table(kind)} where {_shown(kind, account_id)}").fetchall()
    return max(1, ceil(int(rows) / PAGE))


def _shown(kind: ObjectType, account_id: str) -> str:
    """Write the condition that a list shows a row."""
    shown = f" and {quoted(kind.hidden_under.param)} is null" if kind.hidden_under is not None else ""
    return f"_account_id = {literal(account_id)} and _deleted_at is null{shown}"


def seconds(connection: duckdb.DuckDBPyConnection, kind: ObjectType, notes: str, *, account_id: str) -> list[Second]:
    """Look up when objects were created, and where in the list that is.

    `notes` is a query that gives `id` and, of those that the mirror has not, as far as somebody else knows when they were
    `created`. Left out are those that the list hides.
    """
    rows = connection.execute(f"""
        with notes as ({notes}),
        known as (
          select id, epoch(created)::bigint as created from {table(kind)}
          where {_shown(kind, account_id)} and created is not null),
        listed as (
          select * from known union all
          select * from notes where created is not null and id not in (
            select id from {table(kind)} where _account_id = {literal(account_id)} and _deleted_at is null)),
        placed as (select id, created, rank() over (order by created) as first, count(*) over (order by created) as last from listed)
        select created, min(first), max(last), count(*) from placed where id in (select id from notes) group by created order by created
    """).fetchall()
    return [Second(*row) for row in rows]
