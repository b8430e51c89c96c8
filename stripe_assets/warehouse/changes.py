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
from stripe_assets.warehouse.load import incoming, mark_deleted, moment
from stripe_assets.warehouse.tables import literal

EVENT = '{"id":"VARCHAR","type":"VARCHAR","created":"BIGINT","api_version":"VARCHAR","data":{"object":"JSON"}}'


def store_events(
    connection: duckdb.DuckDBPyConnection, events: Sequence[msgspec.Raw], since: Mapping[str, int], *, account_id: str
) -> None:
    """Keep the events about these objects, each from its time on, that are not kept yet.

    A window reaches as far back as its slowest type needs: what is older than an object's own position has been applied.
    """
    if not since or not events:
        return
    wanted = ", ".join(f"({literal(name)}, {begin})" for name, begin in since.items())
    source: pa.Table = incoming(events, [0.0] * len(events), [None] * len(events))
    connection.register("incoming_events", source)
    connection.execute(f"""
        insert into stripe_sync.changes
        with parsed as (select distinct try(json_transform(raw, {literal(EVENT)})) as e from incoming_events),
        named as (
          select {literal(account_id)} as account_id, e.id as event_id, e.type as event_type, e.created, e.api_version,
            json_extract_string(e.data.object, '$.object') as object, json_extract_string(e.data.object, '$.id') as object_id,
            e.data.object as payload, false as applied
          from parsed)
        select named.* from named join (values {wanted}) as wanted (object, since) using (object)
        where object_id is not null and created >= wanted.since
          and event_id not in (select event_id from stripe_sync.changes where account_id = {literal(account_id)})
    """)
    connection.unregister("incoming_events")


def open_again(connection: duckdb.DuckDBPyConnection, since: Mapping[str, int], *, account_id: str) -> None:
    """Count the events about these objects as not applied, each from its time on.

    For the types that live inside others: what was applied to an invoice while its lines were not asked for is news to them.
    """
    for name, begin in since.items():
        connection.execute(
            "update stripe_sync.changes set applied = false where account_id = ? and object = ? and created >= ? and applied",
            [account_id, name, begin],
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
    ) -> None:
        """Judge the events about `kind` that were not applied yet.

        Two events in one second have no order: such an object is read again. So is any whose row may be newer than the
        event (`trust_payloads` false), and any whose payload has the shape of another API version. An event that became
        visible after a later one was applied changes nothing.
        """
        self._kind = kind
        self._account_id = account_id
        self._now = now
        deleted_by = ", ".join(literal(name) for name in kind.deleted_by) or "''"
        trusted = "true" if trust_payloads or kind.retrieve_path is None else "false"
        connection.execute(f"""
            create or replace temp table verdicts as
            with known as (
              select *, event_type in ({deleted_by}) as deletes from stripe_sync.changes
              where account_id = {literal(account_id)} and object = {literal(kind.object)}),
            latest as (select * from known qualify created = max(created) over (partition by object_id))
            select object_id, any_value(payload) as payload, max(created) as created,
              case when bool_and(deletes) then 'deleted'
                   when count(*) = 1 and any_value(api_version) = {literal(api_version)} and {trusted} then 'payload'
                   else 'read' end as verdict
            from latest group by object_id having not bool_and(applied)
        """)
        self.total = _count(connection, "verdicts")

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
        connection.execute(f"""
            insert into stripe_sync.pending (account_id, type, purpose, object_id)
            select {account}, {name}, 'object', object_id from verdicts where verdict = 'read'
              and object_id not in (
                select object_id from stripe_sync.pending where account_id = {account} and type = {name} and purpose = 'object')
        """)
        connection.execute(
            "update stripe_sync.changes set applied = true "
            f"where account_id = {account} and object = {literal(self._kind.object)} and not applied"
        )


def forget_applied(connection: duckdb.DuckDBPyConnection, *, account_id: str, before: int) -> None:
    """Drop applied events that no window will read again."""
    connection.execute("delete from stripe_sync.changes where account_id = ? and applied and created < ?", [account_id, before])


def kinds_changed(connection: duckdb.DuckDBPyConnection, catalog: Catalog, *, account_id: str) -> list[ObjectType]:
    """List the types with events that are not applied yet."""
    rows = connection.execute(
        "select distinct object from stripe_sync.changes where account_id = ? and not applied", [account_id]
    ).fetchall()
    found = [catalog.of_object(row[0]) for row in rows]
    return [kind for kind in catalog if kind in found]


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    ((found,),) = connection.execute(f"select count(*) from {name}").fetchall()
    return int(found)
