"""Decides why an object and the mirror disagree: it changed since the last sync, which is no error, or the mirror is wrong.

What events tell is an excuse only as far as no sync has applied them. Comparing belongs in `warehouse.agreement`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stripe_assets.api.answers import read_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, Fresh, ObjectType
from stripe_assets.errors import RequestError, Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.changes import EVENTS
from stripe_assets.sync.slices import PAGE
from stripe_assets.warehouse.agreement import Case, What
from stripe_assets.warehouse.ledger import Checkpoint
from stripe_assets.warehouse.notes import OVERLAP

LATER = "read again by a sync meanwhile"
TOLD = "an event since the last sync tells of it"
NEW = "made since the last sync"
OPEN = "not in a final state, in which it changes without an event"
UNTOLD = "nothing tells of changes: the next sync reads it again"
UNSEEN = "more has happened since the last sync than was looked at"

PAGES = 5
"""Pages of events that are looked at for excuses; an account with more of them since its last sync is due for a sync, not for a proof."""
MOST_TYPES = 20
"""Event types that Stripe's list can be asked for."""


@dataclass(frozen=True, slots=True)
class News:
    """What no sync has applied yet: the ids that events name, and the types that they tell of; `whole` if all events were looked at."""

    about: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    whole: bool = True
    requests: int = 0


def is_told(kind: ObjectType, catalog: Catalog) -> bool:
    """Say whether changes of a type are found by events, by its parents' or by `created`, and not by reading all of it again."""
    if kind.fresh is Fresh.PARENT and kind.parent is not None:
        return is_told(catalog[kind.parent.type], catalog)
    return kind.fresh is not Fresh.REFRESH


def ancestors(kind: ObjectType, catalog: Catalog) -> list[ObjectType]:
    """List a type's parent, and the parent of that."""
    return [] if kind.parent is None else [catalog[kind.parent.type], *ancestors(catalog[kind.parent.type], catalog)]


async def news(
    client: StripeClient, catalog: Catalog, kinds: Iterable[ObjectType], checkpoints: Mapping[str, Checkpoint], applied: frozenset[str]
) -> News:
    """Read the events about these types and their parents since each was last caught up; those in `applied` (by id) are no news."""
    concerned = {one.name: one for kind in kinds for one in (kind, *ancestors(kind, catalog)) if one.events or one.told_of}
    starts = {name: at for name in concerned if (one := checkpoints.get(name)) is not None and (at := one.events_from) is not None}
    wanted = {event: starts[name] for name in starts for event in (*concerned[name].events, *concerned[name].told_of)}
    if not wanted:
        return News()
    params: dict[str, Any] = {"limit": PAGE, "created[gte]": max(0, min(starts.values()) - OVERLAP)}
    if len(wanted) <= MOST_TYPES:
        params["types"] = tuple(sorted(wanted))
    about, types = set[str](), set[str]()
    for turn in range(1, PAGES + 1):
        try:
            page = await client.get(Request(EVENTS.path, EVENTS.endpoint, Priority.LEAF, dict(params)), read_page)
        except Unauthorized:
            raise
        except RequestError:
            return News(frozenset(about), frozenset(types), False, turn)
        for event in map(_events.decode, page.objects):
            kind = catalog.of_event(event.type)
            if kind is not None and event.type in wanted and event.created >= wanted[event.type] - OVERLAP and event.id not in applied:
                types.add(kind.name)
                about |= set(_named(event, kind))
        if not page.has_more or page.last is None:
            return News(frozenset(about), frozenset(types), True, turn)
        params["starting_after"] = page.last.id
    return News(frozenset(about), frozenset(types), False, PAGES)


def excuse(case: Case, kind: ObjectType, catalog: Catalog, checkpoint: Checkpoint, news: News, *, faithful: bool) -> str | None:
    """Say why a disagreement is no error of the mirror; none if it is one.

    `faithful`: the row is what its own `_raw` says, or nobody can know.
    """
    if case.synced_at is not None and case.synced_at > case.read_at:
        return LATER
    seen_from = checkpoint.started_at.timestamp()
    position = checkpoint.created_from if kind.fresh is Fresh.CREATED else checkpoint.events_from
    if case.what is What.MISSING and case.created is not None and case.created >= (seen_from - OVERLAP if position is None else position):
        return NEW
    if not is_told(kind, catalog) or position is None:
        if case.what is What.MISSING:
            return None if case.created is not None else UNTOLD
        seen = case.synced_at is not None and case.synced_at >= seen_from
        return UNTOLD if seen and faithful else None
    if {case.id, case.parent_id} & news.about or _far_below(kind, catalog) & news.types:
        return TOLD
    if case.what is What.DIFFERING and case.open:
        return OPEN
    return None if news.whole else UNSEEN


def _far_below(kind: ObjectType, catalog: Catalog) -> set[str]:
    """Name the types whose events mean something for this one without naming a parent that its rows know."""
    if kind.parent is None:
        return set()
    parent, *others = ancestors(kind, catalog)
    return {one.name for one in others} | ({parent.name} if kind.parent.ids is not None else set())


class _About(msgspec.Struct, frozen=True):
    object: dict[str, Any]


class _Event(msgspec.Struct, frozen=True):
    id: str
    type: str
    created: int
    data: _About


_events = msgspec.json.Decoder(_Event)


def _named(event: _Event, kind: ObjectType) -> list[str]:
    """Give the id that an event is about, and the one that it names."""
    found = [event.data.object.get("id"), event.data.object.get(kind.told_of.get(event.type, "id"))]
    ids = [one.get("id") if isinstance(one, dict) else one for one in found]
    return [one for one in ids if isinstance(one, str)]
