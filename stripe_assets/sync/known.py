"""What the mirror itself knows of the next sync: no request is made for it.

Rows are counted in its tables; what happens in a day is what happened on average in the last month that it has.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import duckdb

from stripe_assets.catalog.types import Catalog, Fresh, ObjectType
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.changes import EVENTS, OVERLAP
from stripe_assets.sync.course import to_begin
from stripe_assets.sync.figures import Figure, Sure, likely
from stripe_assets.sync.forecast import Forecast, forecast
from stripe_assets.sync.signals import named_by, told
from stripe_assets.sync.situation import NONE, Numbers, Situation, Turn, Way
from stripe_assets.warehouse.census import MONTH, SAMPLE, Census, take
from stripe_assets.warehouse.ledger import BACKFILL, COMPLETE, Checkpoint

DAY = 86_400
UNKNOWN = Figure(0, Sure.AT_LEAST)


def expect(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    kinds: Sequence[ObjectType],
    *,
    account_id: str,
    now: float,
    limits: Limits,
    full_refresh: bool,
    since: int | None,
) -> Forecast:
    """Forecast a sync from the mirror alone, before it begins: what a run can compare itself with."""
    counted = census(connection, catalog, kinds, account_id=account_id, since=since)
    return forecast(situation(catalog, kinds, counted, now=now, full_refresh=full_refresh, since=since), limits)


def census(
    connection: duckdb.DuckDBPyConnection, catalog: Catalog, kinds: Iterable[ObjectType], *, account_id: str, since: int | None
) -> Census:
    """Count what the mirror has of these types."""
    return take(connection, kinds, events_type(catalog), account_id=account_id, since=since, named_by=named_by(catalog))


def events_type(catalog: Catalog) -> ObjectType | None:
    """Find the type whose list the events are."""
    return next((kind for kind in catalog if kind.path == EVENTS.path), None)


def situation(
    catalog: Catalog, kinds: Sequence[ObjectType], counted: Census, *, now: float, full_refresh: bool = False, since: int | None = None
) -> Situation:
    """Say what the mirror knows of what a sync with these options will find at `now` (seconds since 1970)."""
    present = datetime.fromtimestamp(now, UTC)
    begun = to_begin(kinds, counted.checkpoints, now=present, full_refresh=full_refresh, since=since)
    ways = {kind.name: _way(kind, begun, counted) for kind in kinds}
    daily, events_a_day = _daily(catalog, counted)
    numbers = {kind.name: _numbers(kind, counted, daily.get(kind.name), ways[kind.name], now=now, since=since) for kind in kinds}
    standing = [at for kind in kinds if ways[kind.name] is Way.CATCH_UP and (at := _events_from(kind, counted)) is not None]
    blind = bool(counted.checkpoints) and all(one.events_from is None for one in counted.checkpoints.values())
    events = None if blind else events_a_day * (max(0.0, now - min(standing)) / DAY) if standing else NONE
    return Situation(kinds, ways, numbers, events, events_a_day)


def _way(kind: ObjectType, begun: set[str], counted: Census) -> Way:
    checkpoint = counted.checkpoints.get(kind.name)
    if kind.name in begun or checkpoint is None:
        return Way.WHOLE
    if checkpoint.state != BACKFILL:
        return Way.CATCH_UP
    count = counted.counts.get(kind.name)
    return Way.REST if count is not None and (count.stored or count.noted) else Way.WHOLE


def _events_from(kind: ObjectType, counted: Census) -> int | None:
    checkpoint = counted.checkpoints.get(kind.name)
    return max(0, checkpoint.events_from - OVERLAP) if checkpoint is not None and checkpoint.events_from is not None else None


def _daily(catalog: Catalog, counted: Census) -> tuple[Mapping[str, Turn], Figure]:
    """Say what events tell of each type in a day, and how many there are; nothing is known where they are not mirrored."""
    mirrored = events_type(catalog)
    if mirrored is None or not is_whole(counted.checkpoints.get(mirrored.name)) or not counted.signals:
        return {}, UNKNOWN
    days = (MONTH if counted.events <= SAMPLE else counted.until - counted.signals[-1].created + 1) / DAY
    turns = {
        name: Turn(changed=Figure(some.changed / days, Sure.ESTIMATED), again=Figure(some.again / days, Sure.ESTIMATED))
        for name, some in told(counted.signals, catalog, stretch=DAY).items()
    }
    nothing = Turn(changed=Figure(0, Sure.ESTIMATED), again=Figure(0, Sure.ESTIMATED))
    return {name: turns.get(name, nothing) for name in catalog.names}, Figure(counted.events / (MONTH / DAY), Sure.ESTIMATED)


def _numbers(kind: ObjectType, counted: Census, daily: Turn | None, way: Way, *, now: float, since: int | None) -> Numbers:
    count, checkpoint = counted.counts.get(kind.name), counted.checkpoints.get(kind.name)
    if count is None:
        return Numbers()
    day = daily or Turn(changed=UNKNOWN, again=UNKNOWN)
    day = Turn(Figure(count.recent / (MONTH / DAY), Sure.ESTIMATED), day.changed, day.again)
    last = _last(kind, checkpoint)
    past = max(0.0, now - last) / DAY if last is not None else 0.0
    rows = Figure(count.rows) + likely(day.new * past) if way is Way.WHOLE else Figure(count.rows)
    return Numbers(
        readings=(rows, *(NONE for _ in kind.also_with)) if is_whole(checkpoint, since) else None,
        stored=count.stored,
        noted=count.noted,
        open=Figure(count.onward),
        asks=Figure(count.asks / count.parents) if count.parents else Figure(1.0),
        cut=Figure(count.cut / count.parents, Sure.ESTIMATED) if count.cut else NONE,
        since=Turn(day.new * past, day.changed * past, day.again * past),
        day=day,
    )


def is_whole(checkpoint: Checkpoint | None, since: int | None = None) -> bool:
    """Say whether the table has all of a list, or all that was created `since` a time."""
    if checkpoint is None or checkpoint.state != COMPLETE:
        return False
    return checkpoint.since is None or (since is not None and since >= checkpoint.since)


def _last(kind: ObjectType, checkpoint: Checkpoint | None) -> int | None:
    """Say up to when the mirror knows what happened to a type (seconds)."""
    if checkpoint is None:
        return None
    return checkpoint.created_from if kind.fresh is Fresh.CREATED else checkpoint.events_from
