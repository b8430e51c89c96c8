"""Asks the account how fast it moves: its events since the last sync and in a month, its transactions.

How a list is looked at belongs in `looks`, what an event means in `signals`.
"""

from collections.abc import Sequence
from dataclasses import replace

from stripe_assets.catalog.allocation import DAYS, PROCESSED, TRANSACTIONS
from stripe_assets.catalog.types import Catalog, ObjectType
from stripe_assets.errors import Refused, RequestError, Unauthorized
from stripe_assets.sync.changes import OVERLAP
from stripe_assets.sync.figures import Figure
from stripe_assets.sync.known import DAY, UNKNOWN, events_type
from stripe_assets.sync.looks import EventsSeen, Looks
from stripe_assets.sync.sampling import PAGES
from stripe_assets.sync.sightings import Thing, holds
from stripe_assets.sync.signals import told
from stripe_assets.sync.situation import Situation, Turn, Way
from stripe_assets.warehouse.census import Census

SOME = 2
"""Pages that are looked at where only the pace of a list matters, or only what is new in it."""


async def with_events(looks: Looks, catalog: Catalog, known: Situation, counted: Census, *, begin: float, now: float) -> Situation:
    """Complete what is known by what the events say.

    Looks at those since the last sync; and at those between `begin` and `now` (seconds), of a month or less, if the mirror
    does not have them. Without leave to read events that is noted.
    """
    kind = events_type(catalog)
    if kind is None:
        return known
    new = known.is_unknown(kind)
    since = {
        name: one.events_from
        for name, one in counted.checkpoints.items()
        if known.ways.get(name) is Way.CATCH_UP and one.events_from is not None
    }
    try:
        found = known
        if new or known.events_a_day == UNKNOWN:
            seen = await looks.over_events(kind, floor=int(begin), most=PAGES if new else SOME)
            found = _with_pace(found, catalog, kind if new else None, seen, days=(now - begin) / DAY)
        if since:
            found = _with_changes(
                found, catalog, await looks.over_events(kind, floor=max(0, min(since.values()) - OVERLAP), most=PAGES), since
            )
        return found
    except Refused as error:
        blind = replace(known, events=None)
        return blind.refused(kind, str(error)) if new else blind


def _with_pace(known: Situation, catalog: Catalog, kind: ObjectType | None, seen: EventsSeen, *, days: float) -> Situation:
    rows = seen.survey.rows
    share = _share(seen)
    judged = told(seen.signals, catalog, stretch=DAY)
    found = replace(known, events_a_day=rows * (1 / days))
    for name in known.numbers:
        some = judged.get(name)
        changed, again = (share * (some.changed / days), share * (some.again / days)) if some else (share * 0, share * 0)
        found = found.but(name, day=replace(found.numbers[name].day, changed=changed, again=again))
    return found.but(kind.name, readings=(rows,), day=Turn(new=found.events_a_day)) if kind is not None else found


def _with_changes(known: Situation, catalog: Catalog, seen: EventsSeen, since: dict[str, int]) -> Situation:
    judged, share = told(seen.signals, catalog, since=since), _share(seen)
    found = replace(known, events=seen.survey.rows)
    for name in since:
        some = judged.get(name)
        changed, again = (share * some.changed, share * some.again) if some else (share * 0, share * 0)
        found = found.but(name, since=replace(found.numbers[name].since, changed=changed, again=again))
    return found


def _share(seen: EventsSeen) -> Figure:
    """Say how many events there are to each that was seen."""
    rows = seen.survey.rows
    return Figure(rows.value / len(seen.signals) if seen.signals else 1.0, rows.sure)


async def transactions(looks: Looks, catalog: Catalog, *, now: float) -> Figure:
    """Estimate how many transactions the account processed in the days that Stripe looks at."""
    processed: list[bool] = []

    def show(things: Sequence[Thing]) -> None:
        processed.extend(holds(thing, PROCESSED) for thing in things)

    try:
        survey = await looks.over(catalog[TRANSACTIONS], floor=int(now - DAYS * DAY), most=SOME, show=show)
    except Unauthorized:
        raise
    except RequestError:
        return UNKNOWN
    return survey.rows * (sum(processed) / max(1, len(processed)))
