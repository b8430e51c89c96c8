"""Counts what a mirror holds, for whoever wants to know what a sync of it will ask for. Nothing is written.

All functions work on one open connection and one account; tables that are not there yet hold nothing. What the counts mean
for the next sync is decided in `sync`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from stripe_assets.catalog.conditions import Condition
from stripe_assets.catalog.types import Column, Fresh, Kind, ObjectType
from stripe_assets.warehouse.ledger import BACKFILL, Checkpoint, Ledger
from stripe_assets.warehouse.tables import literal, quoted, table

MONTH = 30 * 86_400
SAMPLE = 2_000
"""Newest events, and parents whose embedded lists are looked at: so many are parsed in 15 ms. A whole census of an account
with 22,000 rows takes 60 ms of one core (2026-11)."""


@dataclass(frozen=True, slots=True)
class Signal:
    """An event, as far as it tells what is to be read: `object_id` changed at `created` (seconds)."""

    created: int
    type: str
    object_id: str
    api_version: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """What one type's table holds, not counting what is deleted.

    `recent` rows were created in the month before the census' `until`; `onward` ones from the time on that a catch-up reads
    the list from. `stored` rows were kept by an unfinished first reading, and `noted` requests are still to be made. For
    children, of the `parents` looked at: `asks` requests would ask all of them for their children, `cut` have embedded lists
    that go on; `example` is the id of one that can be asked.
    """

    rows: int = 0
    recent: int = 0
    onward: int = 0
    stored: int = 0
    noted: int = 0
    parents: int = 0
    asks: int = 0
    cut: int = 0
    example: str | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """What a mirror holds of one account. `until` is the time of the newest thing that it has (seconds; 0: it has nothing).

    `events` of the last month are in it, and `signals` are the newest of them.
    """

    counts: Mapping[str, Count] = field(default_factory=dict)
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    until: int = 0
    events: int = 0
    signals: Sequence[Signal] = ()


def take(
    connection: duckdb.DuckDBPyConnection,
    kinds: Iterable[ObjectType],
    events: ObjectType | None,
    *,
    account_id: str,
    since: int | None,
    named_by: Mapping[str, str] | None = None,
) -> Census:
    """Count the rows of these types, those created `since` a time only if it is given (seconds).

    `events` is the type of events; `named_by` says for event types by which field their object names what they tell of, if it
    is not that object itself.
    """
    present = {f"{row[0]}.{row[1]}" for row in connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()}
    if "stripe_sync.checkpoints" not in present:
        return Census()
    ledger = Ledger(connection, account_id)
    checkpoints = ledger.checkpoints()
    until = max((at for one in checkpoints.values() for at in (one.events_from, one.created_from) if at is not None), default=0)
    there = {kind.name: kind for kind in kinds if f"stripe.{kind.name}" in present}
    asking = _Asking(connection, ledger, account_id, until, since)
    counts = asking.counts(there, checkpoints)
    if events is None or f"stripe.{events.name}" not in present:
        return Census(counts, checkpoints, until)
    return Census(counts, checkpoints, until, *asking.signals(events, named_by or {}))


class _Asking:
    """The queries of one census."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, ledger: Ledger, account_id: str, until: int, since: int | None) -> None:
        self._connection = connection
        self._ledger = ledger
        self._account_id = account_id
        self._until = until
        self._since = since

    def counts(self, kinds: Mapping[str, ObjectType], checkpoints: Mapping[str, Checkpoint]) -> dict[str, Count]:
        """Count all types, in two queries."""
        tables = self._union(self._rows(kind, checkpoints.get(kind.name)) for kind in kinds.values())
        families = ((kind, kinds.get(kind.parent.type)) for kind in kinds.values() if kind.parent is not None)
        below = self._union(self._below(kind, parent) for kind, parent in families if parent is not None)
        noted: dict[str, int] = dict(
            self._all(f"select type, count(*) from stripe_sync.pending where account_id = {literal(self._account_id)} group by 1")
        )
        return {
            name: Count(rows, recent, onward, stored, noted.get(name, 0), *below.get(name, (0, 0, 0, None)))
            for name, (rows, recent, onward, stored) in tables.items()
        }

    def _rows(self, kind: ObjectType, checkpoint: Checkpoint | None) -> str:
        lasting = ["true"]
        if kind.has_created and self._since is not None:
            lasting.append(f"created >= to_timestamp({self._since})")
        if kind.has_created and kind.kept_days is not None:
            lasting.append(f"created >= to_timestamp({self._until - kind.kept_days * 86_400})")
        recent = f"created > to_timestamp({self._until - MONTH})" if kind.has_created else "false"
        onward = f"created >= to_timestamp({at})" if kind.has_created and (at := self._onward(kind, checkpoint)) is not None else "false"
        stored = "false"
        if checkpoint is not None and checkpoint.state == BACKFILL:
            stored = f"_synced_at >= {literal(checkpoint.started_at.isoformat())}::timestamptz"
        tests = " and ".join(lasting), recent, onward, stored
        return f"select {literal(kind.name)}, {', '.join(f'count(*) filter ({test})' for test in tests)} {self._alive(kind)}"

    def _below(self, kind: ObjectType, parent: ObjectType) -> str:
        """Look at a type's parents: how many there are, how many requests would ask them all, how many lists are cut, one to ask."""
        assert kind.parent is not None
        how, alive = kind.parent, self._alive(parent)
        if how.embedded is not None:
            more = f"{_text(parent, (*how.embedded.split('.'), 'has_more'))} as more"
            found = f"count(*), 0, count(*) filter (more = 'true'), null from (select {more} {alive} limit {SAMPLE})"
        elif how.ids is None:
            can = _holds(parent, how.only)
            found = f"count(*), count(*) filter ({can}), 0, any_value(id) filter ({can}) {alive}"
        else:
            ids = f"case when {_holds(parent, how.only)} then {_all_text(parent, how.ids)} else [] end as ids"
            found = f"count(*), coalesce(sum(len(ids)), 0)::bigint, 0, any_value(ids[1]) from (select {ids} {alive})"
        return f"select {literal(kind.name)}, {found}"

    def signals(self, kind: ObjectType, named_by: Mapping[str, str]) -> tuple[int, list[Signal]]:
        """Count the events of the last month, and give the newest of them, oldest last."""
        others = " ".join(f"when {literal(event)} then {_id_at(f'$.object.{field}')}" for event, field in named_by.items())
        object_id = f"case type {others} else {_id_at('$.object.id')} end" if others else _id_at("$.object.id")
        recent = f"{self._alive(kind)} and created > to_timestamp({self._until - MONTH})"
        newest = self._all(
            f"select epoch(created)::bigint, type, {object_id}, api_version "
            f"from (select created, type, data, api_version {recent} order by created desc limit {SAMPLE})"
        )
        ((count,),) = self._all(f"select count(*) {recent}")
        return count, [Signal(*row) for row in newest if row[2] is not None]

    def _onward(self, kind: ObjectType, checkpoint: Checkpoint | None) -> int | None:
        """Say from when on a catch-up reads the list: its newest object, or the oldest that may still change."""
        if checkpoint is None or checkpoint.created_from is None or kind.fresh is not Fresh.CREATED:
            return None
        return min(checkpoint.created_from, self._ledger.oldest_open(kind) or checkpoint.created_from)

    def _alive(self, kind: ObjectType) -> str:
        return f"from {table(kind)} where _account_id = {literal(self._account_id)} and _deleted_at is null"

    def _union(self, queries: Iterable[str]) -> dict[str, tuple[Any, ...]]:
        text = " union all ".join(f"({query})" for query in queries)
        return {row[0]: row[1:] for row in self._all(text)} if text else {}

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()


def count_where(connection: duckdb.DuckDBPyConnection, kind: ObjectType, condition: Condition, *, account_id: str, since: float) -> int:
    """Count the objects created `since` a time (seconds) for which a condition holds."""
    row = connection.execute(
        f"select count(*) from {table(kind)} where _account_id = ? and created > to_timestamp({since}) and {_holds(kind, condition)}",
        [account_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _column(kind: ObjectType, name: str) -> Column:
    return next(column for column in kind.columns if column.name == name)


def _text(kind: ObjectType, path: Sequence[str]) -> str:
    """Write what stands at a path of a row's objects as text, as JSON writes it without quotes."""
    column, *inside = path
    if _column(kind, column).kind is not Kind.JSON:
        return f"{quoted(column)}::varchar"
    return f"json_extract_string({quoted(column)}, {literal('.'.join(['$', *inside]))})"


def _id_at(path: str) -> str:
    """Write the id that stands at a path of an event, expanded or not."""
    return f"coalesce(json_extract_string(data, {literal(f'{path}.id')}), json_extract_string(data, {literal(path)}))"


def _holds(kind: ObjectType, condition: Condition | None) -> str:
    if condition is None:
        return "true"
    value = _text(kind, condition.path)
    return f"{value} is not null" if condition.value is None else f"{value} = {literal(condition.value)}"


def _all_text(kind: ObjectType, path: str) -> str:
    """Write the list of what stands at a path, which may go through every element of an array (`[*]`)."""
    column, _, inside = path.partition(".")
    if "[*]" not in path:
        return f"list_filter([{_text(kind, path.split('.'))}], lambda each: each is not null)"
    name = column.removesuffix("[*]")
    steps = ("$[*]" if name != column else "$") + (f".{inside}" if inside else "")
    return f"list_filter(json_extract_string({quoted(name)}, {literal(steps)}), lambda each: each is not null)"
