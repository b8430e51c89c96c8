"""What events say changed, and how that becomes rows.

An event is a signal that an object is not what it was. Its payload becomes the row only where it is the object's one
latest state, in the shape of the pinned API version; otherwise the object is noted to be read again. All functions
work inside the caller's transaction. Reading events belongs in `sync`.
"""

from collections.abc import Iterable, Mapping, Sequence

import duckdb
import msgspec
import pyarrow as pa

from stripe_assets.catalog.types import Catalog, ObjectType
from stripe_assets.warehouse.ledger import Ledger
from stripe_assets.warehouse.load import incoming, mark_deleted
from stripe_assets.warehouse.notes import ONE_BY_ONE, OVERLAP, is_read_below
from stripe_assets.warehouse.stretches import is_listed
from stripe_assets.warehouse.tables import literal, moment, quoted, table

CLOCKS = 3
"""Seconds by which the time of a reading and an event's may differ: Stripe's answers and events tell whole ones. A row that was read
so long before an event may be newer than it."""
EVENT = '{"id":"VARCHAR","type":"VARCHAR","created":"BIGINT","api_version":"VARCHAR","data":{"object":"JSON"}}'


def store_events(
    connection: duckdb.DuckDBPyConnection, events: Sequence[msgspec.Raw], since: Mapping[str, int], catalog: Catalog, *, account_id: str
) -> None:
    """Keep the events of these types, each from its time on, that are not kept yet.

    A window reaches as far back as its slowest type needs: what is older than a type's own position has been applied. The
    id that is kept is that of the object to be looked at, which an event about something else names in one of its fields.
    """
    if not since or not events:
        return
    fields = {name: kind.told_of[name] for name in since if (kind := catalog.of_event(name)) is not None and name in kind.told_of}
    wanted = ", ".join(f"({literal(name)}, {begin}, {literal(fields.get(name, 'id'))})" for name, begin in since.items())
    source: pa.Table = incoming(events, [0.0] * len(events), [None] * len(events))
    connection.register("incoming_events", source)
    connection.execute(f"""
        insert into stripe_sync.changes
        with parsed as (select distinct try(json_transform(raw, {literal(EVENT)})) as e from incoming_events),
        named as (
          select {literal(account_id)} as account_id, coalesce(e.id, md5(e::varchar)) as event_id, e.type as event_type,
            e.created, e.api_version,
            json_extract_string(e.data.object, '$.object') as object, {_id("e.data.object", "'$.' || field")} as object_id,
            e.data.object as payload, false as applied, null::timestamptz as given_at
          from parsed join (values {wanted}) as wanted (event_type, since, field) on e.type = wanted.event_type
          where e.created >= wanted.since)
        from named where object_id is not null
          and event_id not in (select event_id from stripe_sync.changes where account_id = {literal(account_id)})
    """)
    connection.unregister("incoming_events")


def _id(value: str, path: str) -> str:
    """Write the expression for the id that stands in a field, expanded or not."""
    return (
        f"case json_type({value}, {path}) when 'OBJECT' then json_extract_string({value}, {path} || '.id') "
        f"else json_extract_string({value}, {path}) end"
    )


class Verdicts:
    """What the stored events mean for one type's objects: three queries over the latest event of each object."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        kind: ObjectType,
        *,
        account_id: str,
        api_version: str,
        now: float,
        trust_payloads: bool,
        look_again: bool = False,
    ) -> None:
        """Judge the events about `kind` that were not applied yet.

        Two events in one second have no order: such an object is read again. So is any that one of them has ended, as seconds of
        different machines have no order either, or another object may have taken its id (what `remains` is gone); any whose row was
        read after the event or not long before it, any whose payload has the shape of another API version, or is not all that is
        asked for (`trust_payloads` false), and any that only an event about something else tells of. An event that became visible
        after a later one was applied changes nothing.

        `look_again`: what follows from events of the last `OVERLAP` seconds may not be visible in lists yet; the next run applies
        those once more, payloads too where the row is still what they have made it: so that lists are asked for, and not the object.
        """
        self._kind = kind
        self._account_id = account_id
        self._now = now
        self._settled = f"created < {int(now) - OVERLAP}" if look_again else "true"
        self._about = f"account_id = {literal(account_id)} and event_type in ({', '.join(map(literal, (*kind.events, *kind.told_of)))})"
        self._tells_of_parents = kind.parent is not None and kind.parent.placeholder in kind.told_of.values()
        trusted = trust_payloads or kind.retrieve_path is None
        connection.execute(f"""
            create or replace temp table verdicts as
            with known as (
              select *, event_type in ({_names(kind.deleted_by)}) as deletes, event_type in ({_names(kind.told_of)}) as tells
              from stripe_sync.changes where {self._about}),
            latest as (
              select *, bool_or(deletes) over (partition by object_id) as ended
              from known qualify created = max(created) over (partition by object_id)),
            told as (
              select object_id, coalesce(any_value(payload) filter (where json_extract_string(payload, '$.id') = object_id),
                any_value(payload)) as payload, max(created) as created,
                max(given_at) as given_at,
                case when bool_or(tells) then '{"children" if self._tells_of_parents else "read"}'
                     when bool_and(deletes) or {"bool_or(ended)" if kind.remains else "false"} then 'deleted'
                     when count(*) > 1 or bool_or(ended) then 'read'
                     when any_value(api_version) = {literal(api_version)} and {trusted} then 'payload'
                     else 'read' end as verdict
              from latest group by object_id having not bool_and(applied)),
            judged as (
              select * replace (case when verdict = 'payload' and {self._may_be_newer()} then 'read' else verdict end as verdict) from told)
            {self._with_parents()}
        """)
        if kind.parent is not None and kind.parent.stated:
            # What belongs to nobody is in nobody's list.
            connection.execute("delete from verdicts where verdict in ('payload', 'read') and parent_id is null")
        self.total = _count(connection, "verdicts")

    def _with_parents(self) -> str:
        """Write the query that adds the id of the parent to the judged, by the event or by the row that is there."""
        parent = self._kind.parent
        if parent is None or not parent.stated:
            return "select *, null::varchar as parent_id from judged"
        stated = _id("judged.payload", literal(f"$.{parent.column}"))
        return (
            f"select judged.*, coalesce({stated}, t.{quoted(parent.column)}) as parent_id from judged "
            f"left join {table(self._kind)} t on t.id = judged.object_id and t._account_id = {literal(self._account_id)}"
        )

    def _may_be_newer(self) -> str:
        """Write the condition that a row may be newer than the latest event about it: then the payload would undo what it knows."""
        if self._kind.retrieve_path is None:
            return "false"
        return (
            f"object_id in (select t.id from {table(self._kind)} t join told on t.id = told.object_id "
            f"where t._account_id = {literal(self._account_id)} and t._synced_at >= to_timestamp(told.created - {CLOCKS}) "
            "and t._synced_at is distinct from told.given_at)"
        )

    @property
    def payloads(self) -> str:
        """The query that finds the payloads that are rows, for `load.fetched`."""
        return f"select payload as raw, {round(self._now * 1e6)} as read_at, null as parent from verdicts where verdict = 'payload'"

    def settle(self, connection: duckdb.DuckDBPyConnection, children: Iterable[ObjectType]) -> None:
        """Mark deletions, of the `children` too, note what must be read again, and mark all of it as applied."""
        account, name = literal(self._account_id), literal(self._kind.name)
        # Deleted by Stripe's clock, found by ours: rows are compared by the latter.
        times = f"to_timestamp(created) as deleted_at, {moment(self._now)} as read_at"
        deleted = f"select object_id as id, {times} from verdicts where verdict = 'deleted'"
        mark_deleted(connection, self._kind, deleted, account_id=self._account_id, children=children)
        # Whoever is noted already is noted anew: what was read since the older note does not answer this one.
        connection.execute(f"""
            delete from stripe_sync.pending where account_id = {account} and type = {name} and purpose in {ONE_BY_ONE}
              and object_id in (select object_id from verdicts where verdict = 'read')
        """)
        connection.execute(f"""
            insert into stripe_sync.pending (account_id, type, purpose, object_id, further, noted_at)
            select {account}, {name}, 'object', object_id, {self._further()}, {moment(self._now)} from verdicts where verdict = 'read'
        """)
        if self._tells_of_parents:
            told = f"select object_id as parent_id, to_timestamp({self._now}) as noted_at from verdicts where verdict = 'children'"
            Ledger(connection, self._account_id).pend_children(self._kind, told)
        given = "object_id in (select object_id from verdicts where verdict = 'payload')"
        connection.execute(f"""
            update stripe_sync.changes set applied = {self._settled}, given_at = if({given}, {moment(self._now)}, given_at)
            where {self._about} and not applied
        """)

    def _further(self) -> str:
        """Write what a note says besides the object's id: by which parent it is read, or when it was created, as the payload has it."""
        if is_read_below(self._kind):
            assert self._kind.parent is not None
            return f"json_object({literal(self._kind.parent.column)}, parent_id)"
        if not is_listed(self._kind):
            return "null::json"
        created, same = "try_cast(json_extract_string(payload, '$.created') as bigint)", "json_extract_string(payload, '$.id') = object_id"
        return f"case when {same} and {created} is not null then json_object('created', {created}) end"


def forget_applied(connection: duckdb.DuckDBPyConnection, *, account_id: str, before: int) -> None:
    """Drop applied events that no window will read again."""
    connection.execute("delete from stripe_sync.changes where account_id = ? and applied and created < ?", [account_id, before])


def forget_of_deleted(connection: duckdb.DuckDBPyConnection, kind: ObjectType, child: ObjectType, *, account_id: str) -> None:
    """Mark what was made under an object that has been deleted since, whether or not the mirror has ever had that.

    Its own event tells only that it was made; that of its parent's end may have been applied before there was a row.
    """
    assert child.parent is not None
    if child.parent.ids is not None or not kind.deleted_by:
        return
    account, column = literal(account_id), quoted(child.parent.column)
    connection.execute(f"""
        update {table(child)} t set _deleted_at = to_timestamp(c.created) from stripe_sync.changes c
        where c.account_id = {account} and c.event_type in ({_names(kind.deleted_by)}) and t.{column} = c.object_id
          and t._account_id = {account} and t._deleted_at is null
          and t.{column} not in (select id from {table(kind)} where _account_id = {account} and _deleted_at is null)
    """)


def kinds_changed(connection: duckdb.DuckDBPyConnection, catalog: Catalog, *, account_id: str) -> list[ObjectType]:
    """List the types with events that are not applied yet."""
    rows = connection.execute("select distinct event_type from stripe_sync.changes where account_id = ? and not applied", [account_id])
    found = [catalog.of_event(name) for (name,) in rows.fetchall()]
    return [kind for kind in catalog if kind in found]


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(literal, names)) or "''"


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    ((found,),) = connection.execute(f"select count(*) from {name}").fetchall()
    return int(found)
