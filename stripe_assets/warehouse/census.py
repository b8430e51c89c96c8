"""Counts what a mirror holds, for whoever wants to know what a sync of it will ask for. Nothing is written.

All functions work on one open connection and one account; tables that are not there yet hold nothing. What the counts mean
for the next sync is decided in `sync.known`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from stripe_assets.catalog.conditions import Condition
from stripe_assets.catalog.types import Fresh, ObjectType
from stripe_assets.warehouse.ledger import BACKFILL, Checkpoint, Ledger
from stripe_assets.warehouse.notes import OVERLAP, still_open
from stripe_assets.warehouse.parents import DAY, askable
from stripe_assets.warehouse.stretches import requests
from stripe_assets.warehouse.tables import literal, quoted, table

SAMPLE = 2_000
"""Parents whose children are counted, and events that are looked at; fewer than that are all."""
EMBEDDED, PAGE = 10, 100
"""Objects in an embedded list that is cut short, and on a page of the list that goes on."""


@dataclass(frozen=True, slots=True)
class Signal:
    """An event, as far as it tells what is to be read: `object_id` changed at `created` (seconds)."""

    created: int
    type: str
    object_id: str
    api_version: str | None


@dataclass(frozen=True, slots=True)
class Below:
    """How the children of one type are asked for: of `parents` looked at, `askable` can be asked at all, which takes `requests`."""

    parents: int
    askable: int
    requests: int


@dataclass(frozen=True, slots=True)
class Count:
    """What one type's table holds, not counting what is deleted.

    `recent` rows were created in the last stretch of time that is as long as the one to be caught up; `onward` ones since the time
    from which a catch-up reads the list. `stored` rows were kept by an unfinished first reading, and `noted` requests are still
    to be made. It takes `open` requests to read again what may have changed without an event.
    """

    rows: int = 0
    recent: int = 0
    onward: int = 0
    stored: int = 0
    noted: int = 0
    below: Below | None = None
    open: int = 0


@dataclass(frozen=True, slots=True)
class Census:
    """What a mirror holds of one account, which knows its events up to `begin` (seconds; none: of no type)."""

    counts: Mapping[str, Count] = field(default_factory=dict)
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    begin: int | None = None
    events: int = 0
    signals: Sequence[Signal] = ()


def take(
    connection: duckdb.DuckDBPyConnection,
    kinds: Iterable[ObjectType],
    *,
    events: ObjectType | None,
    named_by: Mapping[str, str],
    account_id: str,
    newest: int | None,
    now: float,
    since: int | None,
) -> Census:
    """Count the rows of these types, only those created `since` a time if it is given (seconds).

    `newest` is when the account's newest event happened: as much time as has gone by until then is looked at in `events`
    (the type of them) before. `named_by` says for event types by which field their object names what they tell of, if not by its id.
    """
    present = {f"{row[0]}.{row[1]}" for row in connection.execute("select schema_name, table_name from duckdb_tables()").fetchall()}
    if "stripe_sync.checkpoints" not in present:
        return Census()
    there = {kind.name: kind for kind in kinds if f"stripe.{kind.name}" in present}
    ledger = Ledger(connection, account_id)
    checkpoints = ledger.checkpoints()
    told = {name for name, kind in there.items() if (kind.events or kind.told_of) and kind.fresh is not Fresh.REFRESH}
    begin = min((at for name in told & checkpoints.keys() if (at := checkpoints[name].events_from) is not None), default=None)
    stretch = max(0, newest - begin) if newest is not None and begin is not None else 0
    asking = _Asking(connection, ledger, account_id, now=now, since=since, until=now if newest is None else newest, stretch=stretch)
    counts = asking.counts(there, checkpoints)
    if events is None or f"stripe.{events.name}" not in present or begin is None:
        return Census(counts, checkpoints, begin)
    return Census(counts, checkpoints, begin, *asking.signals(events, named_by, begin))


class _Asking:
    """The queries of one census."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        ledger: Ledger,
        account_id: str,
        *,
        now: float,
        since: int | None,
        until: float,
        stretch: int,
    ) -> None:
        self._connection = connection
        self._ledger = ledger
        self._account_id = account_id
        self._now = now
        self._since = since
        self._until = until
        self._stretch = stretch

    def counts(self, kinds: Mapping[str, ObjectType], checkpoints: Mapping[str, Checkpoint]) -> dict[str, Count]:
        """Count all types."""
        rows = self._union(self._rows(kind, checkpoints.get(kind.name)) for kind in kinds.values())
        found = self._union(
            self._below(kind, kinds) for kind in kinds.values() if kind.parent is not None and _owners(kind) <= kinds.keys()
        )
        below = {name: Below(*numbers) for name, numbers in found.items()}
        mine = f"account_id = {literal(self._account_id)} and purpose <> 'missing'"
        noted: dict[str, int] = dict(self._all(f"select type, count(*) from stripe_sync.pending where {mine} group by 1"))
        return {
            name: Count(kept, recent, onward, stored, noted.get(name, 0), below.get(name), self._open(kinds[name]))
            for name, (kept, recent, onward, stored) in rows.items()
        }

    def _rows(self, kind: ObjectType, checkpoint: Checkpoint | None) -> str:
        kept = self._until - kind.kept_days * DAY if kind.kept_days is not None else None
        oldest = max((at for at in (self._since, kept) if at is not None), default=None)
        lasting = f"created >= to_timestamp({oldest})" if kind.has_created and oldest is not None else "true"
        recent, onward, stored = "false", "false", "false"
        if checkpoint is not None and checkpoint.created_from is not None and kind.has_created:
            recent = f"created > to_timestamp({checkpoint.created_from - self._stretch})"
            onward = f"created >= to_timestamp({checkpoint.created_from - OVERLAP})"
        if checkpoint is not None and checkpoint.state == BACKFILL:
            stored = f"_synced_at >= {literal(checkpoint.started_at.isoformat())}::timestamptz"
        tests = ", ".join(f"count(*) filter ({test})" for test in (lasting, recent, onward, stored))
        return f"select {literal(kind.name)}, {tests} from {self._alive(kind)}"

    def _open(self, kind: ObjectType) -> int:
        if not kind.open or kind.retrieve_path is None:
            return 0
        ids = f"select id from {self._alive(kind)} and {still_open(kind)}"
        return requests(self._connection, kind, ids, account_id=self._account_id)

    def _below(self, kind: ObjectType, kinds: Mapping[str, ObjectType]) -> str:
        """Look at some of a type's parents: how many can be asked, and how many requests it takes for all that they have."""
        assert kind.parent is not None
        parents = f"(from {self._alive(kinds[kind.parent.type])} order by hash(id) limit {SAMPLE})"
        column = quoted(kind.parent.column)
        if kind.parent.embedded is not None:
            asked, pages = f"select id as parent_id from {parents}", f"ceil(greatest(0, n - {EMBEDDED}) / {PAGE})"
        else:
            asked, pages = askable(kind, parents, account_id=self._account_id, now=self._now), f"greatest(1, ceil(n / {PAGE}))"
        if kind.parent.each:
            pages = "1"
        return f"""
            select {literal(kind.name)}, (select count(*) from {parents}), count(*), coalesce(sum({pages}), 0)::bigint
            from (select parent_id, coalesce(n, 0) as n from ({asked})
              left join (select {column} as parent_id, count(*) as n from {self._alive(kind)} group by 1) using (parent_id))"""

    def signals(self, kind: ObjectType, named_by: Mapping[str, str], begin: int) -> tuple[int, list[Signal]]:
        """Count the events of the stretch before `begin`, and give the newest of them, oldest last."""
        others = " ".join(f"when {literal(event)} then {_id_at(f'$.object.{name}')}" for event, name in named_by.items())
        object_id = f"case type {others} else {_id_at('$.object.id')} end" if others else _id_at("$.object.id")
        recent = f"from {self._alive(kind)} and created > to_timestamp({begin - self._stretch}) and created <= to_timestamp({begin})"
        newest = self._all(
            f"select epoch(created)::bigint, type, {object_id}, api_version "
            f"from (select created, type, data, api_version {recent} order by created desc limit {SAMPLE})"
        )
        ((count,),) = self._all(f"select count(*) {recent}")
        return count, [Signal(*row) for row in newest if row[2] is not None]

    def _alive(self, kind: ObjectType) -> str:
        return f"{table(kind)} where _account_id = {literal(self._account_id)} and _deleted_at is null"

    def _union(self, queries: Iterable[str]) -> dict[str, tuple[Any, ...]]:
        text = " union all ".join(f"({query})" for query in queries)
        return {row[0]: row[1:] for row in self._all(text)} if text else {}

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()


def count_where(connection: duckdb.DuckDBPyConnection, kind: ObjectType, condition: Condition, *, account_id: str, since: float) -> int:
    """Count the objects created `since` a time (seconds) for which a condition on one of their columns holds."""
    row = connection.execute(
        f"select count(*) from {table(kind)} where _account_id = ? and created > to_timestamp({since}) "
        f"and {quoted(condition.column)}::varchar = ?",
        [account_id, condition.value],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _owners(kind: ObjectType) -> set[str]:
    assert kind.parent is not None
    return {kind.parent.type, *kind.parent.each.values(), *filter(None, [kind.parent.needs])}


def _id_at(path: str) -> str:
    """Write the id that stands at a path of an event, expanded or not."""
    return f"coalesce(json_extract_string(data, {literal(f'{path}.id')}), json_extract_string(data, {literal(path)}))"
