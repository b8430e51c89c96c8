"""What a sample of events says: of how many objects of each type they tell, and how many have to be read again.

The same judgement as `warehouse.changes` makes of stored events, for a forecast: on a few of them, without a database.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stripe_assets.catalog.types import Catalog, ObjectType
from stripe_assets.warehouse.census import Signal


@dataclass(frozen=True, slots=True)
class Told:
    """Objects of one type: those that have `changed`, and of them those whose latest event cannot become their row."""

    changed: int
    again: int


def told(
    signals: Iterable[Signal], catalog: Catalog, *, since: Mapping[str, int] | None = None, stretch: int | None = None
) -> dict[str, Told]:
    """Judge events, of each type those after its time in `since` (seconds); of types that are not named there, all.

    With a `stretch` (seconds) each such stretch of time is judged by itself, as if a sync stood between them.
    """
    latest: dict[tuple[str, str, int], list[Signal]] = defaultdict(list)
    for signal in signals:
        kind = catalog.of_event(signal.type)
        if kind is None or signal.created <= (since or {}).get(kind.name, -1):
            continue
        known = latest[kind.name, signal.object_id, signal.created // stretch if stretch else 0]
        if known and signal.created > known[0].created:
            known.clear()
        if not known or signal.created == known[0].created:
            known.append(signal)
    found: dict[str, Told] = {}
    for (name, _, _), events in latest.items():
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
    payload = not about_others and len(events) == 1 and events[0].api_version == api_version
    return True, not payload and kind.retrieve_path is not None
