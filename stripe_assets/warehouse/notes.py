"""What is still to be asked for, as rows of the books: one for each object, never a task in memory.

All functions work inside the caller's transaction and on one account. Which parents are asked is decided in `parents`;
the requests are made by `sync`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from stripe_assets.catalog.types import ObjectType
from stripe_assets.warehouse.deliveries import PendingProgress
from stripe_assets.warehouse.parents import askable
from stripe_assets.warehouse.tables import literal, moment, quoted, table

OVERLAP = 60
"""Seconds that a window reaches back before the last one's end: what was just written may become visible late."""

ONE_BY_ONE = "('object', 'open')"
"""What objects are read again for: an event told of them, or they may change without one."""


def is_read_below(kind: ObjectType) -> bool:
    """Say whether an object of a type is found by its id and its parent's."""
    return kind.parent is not None and (kind.retrieve_path or "").count("{") > 1


@dataclass(frozen=True, slots=True)
class Pending:
    """A request to be made for one object: its children from `cursor` on, or itself; `number` is the note's, once stored.

    `further` is what else has to be said: parameters for children, the parent's id for an object that is read below it.
    """

    number: int | None
    object_id: str
    cursor: str | None
    further: Mapping[str, str] = field(default_factory=dict)


class Notes:
    """The notes of one account, through one open connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, account_id: str) -> None:
        """Speak for `account_id` on `connection`."""
        self._connection = connection
        self._account_id = account_id

    def pend_children(self, child: ObjectType, source: str) -> int:
        """Note children to be asked for: `source` is a query with the `parent_id`, and as far as there are any the `cursor` to
        start after, the `further` parameters, and `noted_at`.

        An older note about the same parent is replaced. Gives how many notes that were.
        """
        self._connection.execute(f"create or replace temp table asked_for as {source}")
        (count,) = self._connection.execute("select count(*) from asked_for").fetchone() or (0,)
        if not count:
            return 0
        self._run(
            "delete from stripe_sync.pending where account_id = ? and type = ? and purpose in ('children', 'missing') "
            "and object_id in (select parent_id from asked_for)",
            child.name,
        )
        self._run(
            "insert into stripe_sync.pending by name "
            "select ? as account_id, ? as type, 'children' as purpose, parent_id as object_id, * exclude (parent_id) from asked_for",
            child.name,
        )
        return int(count)

    def pend_all_parents(self, child: ObjectType, *, now: float, since: int | None = None) -> int:
        """Note that every parent in the mirror that can have children is to be asked for them; give how many these are.

        `now` and `since`, before which nothing is to be read, are in seconds since 1970.
        """
        assert child.parent is not None
        also = {"created[gte]": since} if since is not None and child.created_filter else None
        found = askable(child, f"stripe.{quoted(child.parent.type)}", account_id=self._account_id, now=now, also=also)
        noted_at = "null::timestamptz" if also else f"to_timestamp({now})"
        return self.pend_children(child, f"select *, {noted_at} as noted_at from ({found})")

    def pend_news(self, child: ObjectType, *, now: float) -> None:
        """Note that every parent is to be asked for what is new below it since the newest that is known of it.

        Of one that may be new itself nothing is: what another has is no measure for it. Parents that have not answered yet keep
        their notes, which reach further back.
        """
        assert child.parent is not None
        found = askable(child, f"stripe.{quoted(child.parent.type)}", account_id=self._account_id, now=now)
        below = f"{table(child)} where _account_id = $1 and {quoted(child.parent.column)} = parent_id"
        begun = "select since from stripe_sync.checkpoints where account_id = $1 and type = $2"
        since = f"greatest(0, coalesce((select max(epoch(created)::bigint) from {below}) - {OVERLAP}, ({begun}), 0))"
        self._run(
            "insert into stripe_sync.pending (account_id, type, purpose, object_id, further) "
            "select $1, $2, 'children', parent_id, "
            f"json_merge_patch(coalesce(further, '{{}}'), json_object('created[gte]', ({since})::varchar)) from ({found}) "
            "where parent_id not in (select object_id from stripe_sync.pending where account_id = $1 and type = $2)",
            child.name,
        )

    def pend_hidden(self, kind: ObjectType) -> None:
        """Note that the list is to be read once for every object that hides some of its objects."""
        assert kind.hidden_under is not None
        self._run("delete from stripe_sync.pending where account_id = ? and type = ? and purpose = 'hidden'", kind.name)
        self._run(
            "insert into stripe_sync.pending (account_id, type, purpose, object_id) "
            f"select $1, $2, 'hidden', id from stripe.{quoted(kind.hidden_under.type)} where _account_id = $1 and _deleted_at is null",
            kind.name,
        )

    def pending(self, kind: ObjectType, purpose: str, *, after: int, most: int) -> tuple[list[Pending], int]:
        """Read the next notes of one purpose in the order in which they were made, and how many there are from there on."""
        where = "from stripe_sync.pending where account_id = ? and type = ? and purpose = ? and number > ?"
        rows = self._all(f"select number, object_id, cursor, further {where} order by number limit {most}", kind.name, purpose, after)
        left = int(self._all(f"select count(*) {where}", kind.name, purpose, after)[0][0]) if len(rows) == most else len(rows)
        return [Pending(number, name, cursor, json.loads(further or "{}")) for number, name, cursor, further in rows], left

    def kinds_pending(self) -> set[tuple[str, str]]:
        """List the types and purposes that requests are still to be made for."""
        rows = self._all("select distinct type, purpose from stripe_sync.pending where account_id = ?")
        return {(row[0], row[1]) for row in rows}

    def answered(self, progresses: Sequence[PendingProgress]) -> None:
        """Strike out what has been answered; move the cursor of what has been answered in part."""
        missing = [progress.number for progress in progresses if progress.missing and progress.number is not None]
        if missing:
            # While its type is being read whole: so that what is known there is not taken for gone at its end.
            self._run(
                "update stripe_sync.pending set purpose = 'missing' where account_id = $1 and number in (select unnest($2::bigint[])) "
                "and type in (select type from stripe_sync.checkpoints where account_id = $1 and state = 'backfill')",
                missing,
            )
        numbers = [progress.number for progress in progresses if progress.done and progress.number is not None]
        if numbers:
            self._run(
                "delete from stripe_sync.pending where account_id = ? and number in (select unnest(?::bigint[])) and purpose <> 'missing'",
                numbers,
            )
        unnumbered = [progress for progress in progresses if progress.done and progress.number is None]
        if unnumbered:
            self._run(
                "delete from stripe_sync.pending where account_id = ? and (type, purpose, object_id) in "
                "(select unnest(?::varchar[]), unnest(?::varchar[]), unnest(?::varchar[]))",
                [progress.kind.name for progress in unnumbered],
                [progress.purpose for progress in unnumbered],
                [progress.object_id for progress in unnumbered],
            )
        for progress in progresses:
            if not progress.done:
                found = "object_id = $4" if progress.number is None else f"number = {progress.number} and $4 = object_id"
                self._run(
                    f"update stripe_sync.pending set cursor = $5 where account_id = $1 and type = $2 and purpose = $3 and {found}",
                    progress.kind.name,
                    progress.purpose,
                    progress.object_id,
                    progress.cursor,
                )

    def pend_open(self, kind: ObjectType, *, now: float, read_before: float, payloads_at: float | None) -> None:
        """Note that what may still change without an event is to be read again: all of it that this run has not read yet.

        Times are in seconds since 1970. Rows that were made of events' payloads at `payloads_at` may have changed since.
        """
        if not kind.open:
            return
        below = quoted(kind.parent.column) if kind.parent is not None and is_read_below(kind) else None
        further = f"json_object({literal(kind.parent.column)}, {below})" if kind.parent is not None and below is not None else "null::json"
        mine = f"account_id = {literal(self._account_id)} and type = {literal(kind.name)}"
        earlier = f"_synced_at < {moment(read_before)}" + (f" or _synced_at = {moment(payloads_at)}" if payloads_at is not None else "")
        self._connection.execute(
            "insert into stripe_sync.pending (account_id, type, purpose, object_id, further, noted_at) "
            f"select {literal(self._account_id)}, {literal(kind.name)}, 'open', id, {further}, {moment(now)} from {table(kind)} "
            f"where _account_id = {literal(self._account_id)} and _deleted_at is null and {still_open(kind)} and ({earlier}) "
            f"and id not in (select object_id from stripe_sync.pending where {mine} and purpose in {ONE_BY_ONE})"
        )

    def told_of(self, kind: ObjectType) -> list[str]:
        """List the objects that are to be read again because an event told of them."""
        return [
            row[0]
            for row in self._all(
                "select object_id from stripe_sync.pending where account_id = ? and type = ? and purpose = 'object'", kind.name
            )
        ]

    def strike_read(self, kind: ObjectType) -> None:
        """Strike out the notes of objects that have been read since they were noted, in a list say."""
        mine = f"p.account_id = {literal(self._account_id)} and p.type = {literal(kind.name)} and p.purpose in {ONE_BY_ONE}"
        self._connection.execute(
            f"delete from stripe_sync.pending p using {table(kind)} t where {mine} "
            f"and t.id = p.object_id and t._account_id = p.account_id and t._synced_at > p.noted_at"
        )

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, [self._account_id, *values]).fetchall()

    def _run(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, [self._account_id, *values])


def still_open(kind: ObjectType) -> str:
    """Write the condition on a row that the object may still change without an event."""
    states = " or ".join(
        f"{quoted(name)} in ({', '.join(literal(value) for value in values)})" if values else f"{quoted(name)} is null"
        for name, values in kind.open.items()
    )
    return f"({states or 'false'})"
