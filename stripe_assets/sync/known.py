"""What the mirror itself knows of the next sync: no request is made for it.

Rows are counted in its tables. What happened since the last sync is told by the account's events where somebody has looked at
them (`probe`); else as much is taken to have happened as in the same time before.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb

from stripe_assets.catalog.types import Catalog, Fresh, ObjectType
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.changes import EVENTS
from stripe_assets.sync.course import to_begin
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import NONE, UNKNOWN, Forecast, Numbers, Situation, Way, forecast
from stripe_assets.warehouse.census import Below, Census, Count, Signal, take
from stripe_assets.warehouse.ledger import BACKFILL, COMPLETE, Checkpoint


@dataclass(frozen=True, slots=True)
class Asked:
    """The sync in question: of `kinds`, at `now`, after the account's `newest` event (seconds; none: the key may not read events)."""

    kinds: tuple[ObjectType, ...]
    account_id: str
    now: float
    newest: int | None
    full_refresh: bool = False
    since: int | None = None


def expect(connection: duckdb.DuckDBPyConnection, catalog: Catalog, asked: Asked, limits: Limits) -> Forecast:
    """Forecast a sync from the mirror alone, before it begins: what a run compares itself with."""
    return forecast(situation(catalog, asked, census(connection, catalog, asked)), limits)


def census(connection: duckdb.DuckDBPyConnection, catalog: Catalog, asked: Asked) -> Census:
    """Count what the mirror has of these types."""
    return take(
        connection,
        asked.kinds,
        events=events_type(catalog),
        named_by=named_by(catalog),
        account_id=asked.account_id,
        newest=asked.newest,
        now=asked.now,
        since=asked.since,
    )


def events_type(catalog: Catalog) -> ObjectType | None:
    """Find the type whose list the events are."""
    return next((kind for kind in catalog if kind.path == EVENTS.path), None)


def situation(catalog: Catalog, asked: Asked, counted: Census) -> Situation:
    """Say what the mirror knows of what a sync will find."""
    present = datetime.fromtimestamp(asked.now, UTC)
    begun = to_begin(asked.kinds, counted.checkpoints, now=present, full_refresh=asked.full_refresh, since=asked.since)
    ways = {kind.name: _way(kind, begun, counted) for kind in asked.kinds}
    numbers = {kind.name: _numbers(kind, counted, ways[kind.name], asked.since) for kind in asked.kinds}
    return with_events(Situation(asked.kinds, ways, numbers, None), catalog, asked, counted, *_likely(catalog, asked, counted), seen=False)


def with_events(
    known: Situation,
    catalog: Catalog,
    asked: Asked,
    counted: Census,
    events: Figure,
    signals: Sequence[Signal] | None,
    *,
    seen: bool = True,
) -> Situation:
    """Add what so many `events` since the last sync mean, by the `signals` among them (none: nobody knows any).

    Those that were `seen` are of the account, and some types may have had them; others are like those that are to come.
    """
    if asked.newest is None or not any((kind.events or kind.told_of) and kind.fresh is not Fresh.REFRESH for kind in asked.kinds):
        return known
    found = replace(known, events=events)
    since = {name: one.events_from for name, one in counted.checkpoints.items() if one.events_from is not None} if seen else {}
    judged = told(signals or (), catalog, since)
    share = Figure(events.value / len(signals) if signals else 1.0, events.sure)
    for kind in asked.kinds:
        if known.ways[kind.name] is not Way.CATCH_UP or not (kind.events or kind.told_of) or kind.fresh is Fresh.REFRESH:
            continue
        some = judged.get(kind.name, Told(0, 0))
        changed, again = (share * some.changed, share * some.again) if signals is not None else (UNKNOWN, UNKNOWN)
        found = found.but(kind.name, changed=changed, again=again)
    return found


def _likely(catalog: Catalog, asked: Asked, counted: Census) -> tuple[Figure, Sequence[Signal] | None]:
    """Say how many events there are to read, and what they are like: as before. Where time has stood still, there are none."""
    if asked.newest is None or counted.begin is None or asked.newest <= counted.begin:
        return NONE, ()
    mirrored = events_type(catalog)
    if mirrored is None or not is_whole(counted.checkpoints.get(mirrored.name)):
        return UNKNOWN, None
    if counted.events and not counted.signals:
        return Figure(counted.events, Sure.ESTIMATED), None  # what they tell of is not kept
    return Figure(counted.events, Sure.ESTIMATED), counted.signals


def _way(kind: ObjectType, begun: set[str], counted: Census) -> Way:
    checkpoint = counted.checkpoints.get(kind.name)
    if kind.name in begun or checkpoint is None:
        return Way.WHOLE
    if checkpoint.state != BACKFILL:
        return Way.CATCH_UP
    count = counted.counts.get(kind.name)
    return Way.REST if count is not None and (count.stored or count.noted) else Way.WHOLE


def _numbers(kind: ObjectType, counted: Census, way: Way, since: int | None) -> Numbers:
    count = counted.counts.get(kind.name, Count())
    standing = is_whole(counted.checkpoints.get(kind.name), since)
    asks, askable = _asks(count.below if standing or way is Way.CATCH_UP else None)
    return Numbers(
        readings=(Figure(count.rows), *(NONE for _ in kind.also_with)) if standing else None,
        stored=count.stored,
        noted=count.noted,
        onward=Figure(count.onward),
        asks=asks,
        askable=askable,
        open=Figure(count.open),
        new=Figure(count.recent, Sure.ESTIMATED),
    )


def _asks(below: Below | None) -> tuple[Figure, Figure]:
    if below is None:
        return UNKNOWN, UNKNOWN
    if not below.parents:
        return Figure(1.0, Sure.ESTIMATED), Figure(1.0, Sure.ESTIMATED)
    return Figure(below.requests / below.parents), Figure(below.askable / below.parents)


def is_whole(checkpoint: Checkpoint | None, since: int | None = None) -> bool:
    """Say whether the table has all of a list, or all that was created `since` a time."""
    if checkpoint is None or checkpoint.state != COMPLETE:
        return False
    return checkpoint.since is None or (since is not None and since >= checkpoint.since)


@dataclass(frozen=True, slots=True)
class Told:
    """Objects of one type: those that have `changed`, and of them those whose latest event cannot become their row."""

    changed: int
    again: int


def told(signals: Iterable[Signal], catalog: Catalog, since: Mapping[str, int]) -> dict[str, Told]:
    """Judge events by type, as `warehouse.changes` judges stored ones: here a few of them, without a database.

    Of each type those after its time in `since` (seconds); of types that are not named there, all.
    """
    latest: dict[tuple[str, str], list[Signal]] = defaultdict(list)
    for signal in signals:
        kind = catalog.of_event(signal.type)
        if kind is None or signal.created <= since.get(kind.name, -1):
            continue
        known = latest[kind.name, signal.object_id]
        if known and signal.created > known[0].created:
            known.clear()
        if not known or signal.created == known[0].created:
            known.append(signal)
    found: dict[str, Told] = {}
    for (name, _), events in latest.items():
        changed, again = _judged(catalog[name], events, catalog.api_version)
        before = found.get(name, Told(0, 0))
        found[name] = Told(before.changed + changed, before.again + again)
    return found


def named_by(catalog: Catalog) -> Mapping[str, str]:
    """Say by which field of their object the events about something else name what is to be read again, by event type."""
    return {event: field for kind in catalog for event, field in kind.told_of.items()}


def _judged(kind: ObjectType, events: list[Signal], api_version: str) -> tuple[bool, bool]:
    """Say whether an object has changed and whether it is to be read again, by the events of its latest second."""
    about_others = any(event.type in kind.told_of for event in events)
    if not about_others and all(event.type in kind.deleted_by for event in events):
        return False, False
    payload = len(events) == 1 and events[0].api_version == api_version
    return True, about_others or (not payload and kind.retrieve_path is not None)
