"""The smallest number of requests that can bring a mirror up to date, computed from the simulated account alone.

Nothing of `sync` or `warehouse` is asked: what they need is to be compared with this. A mirror must read, a page of 100 at a time,
all events since it was last equal; each list that no event tells of; and once more what no event's payload can give. For the last,
a page may bring many at once: the fewest pages that cover them are counted from the oldest on, each as far as 100 objects reach.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import orjson

from stripe_assets.catalog.types import Catalog, Form, Fresh, ObjectType
from stripe_assets.simulator import facts, rendering
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.endpoints import routes
from stripe_assets.simulator.store import Record

PAGE, EMBEDDED = 100, 10
"""Objects that a page shows, and an embedded list."""
EVENTS = "event"

Ids = frozenset[str]


@dataclass(frozen=True, slots=True)
class Fewest:
    """Requests that cannot be done without: for events, for lists, for the rest of lists that parents embed, and to read again.

    `changed` objects were told of by events, `again` are to be read all the same, `still_open` because no event would tell.
    `by_type` is what those two take together.
    """

    events: int
    lists: int
    children: int
    reading_again: int
    changed: int
    again: int
    still_open: int
    by_type: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return self.events + self.lists + self.children + self.reading_again


@dataclass(frozen=True, slots=True)
class Before:
    """What a mirror knew that was equal to the account: until when (unix seconds), and which objects could still change untold."""

    now: int
    still_open: Mapping[str, Ids]


def collection(kind: ObjectType) -> str:
    """Give the simulator's name for the objects of a type's list."""
    found = routes().find(kind.path.replace("{", "").replace("}", ""))
    assert found is not None, kind.path
    return found[0].kind


def before(account: Account, kinds: Iterable[ObjectType]) -> Before:
    """Note what the account is like now."""
    return Before(account.now, {kind.name: _open(account, kind) for kind in kinds if kind.open and kind.retrieve_path is not None})


def fewest(account: Account, catalog: Catalog, kinds: Sequence[ObjectType], was: Before) -> Fewest:
    """Count what has to be asked for now."""
    told = _told(account, catalog, {kind.name for kind in kinds}, was.now)
    events = sum(1 for record in account.store.shelf(EVENTS).order if record.created > was.now)
    children = lists = again = still_open = 0
    by_type: dict[str, int] = {}
    for kind in kinds:
        if kind.parent is None and kind.form is Form.SINGLE:
            lists += 1
        elif kind.parent is None and kind.fresh in (Fresh.CREATED, Fresh.REFRESH) and collection(kind) != EVENTS:
            lists += _pages_of_list(account, kind, was.now)
        usable, unusable = _judged(catalog, kind, kinds, told.get(kind.name, {}))
        listed = _listed(account, kind, was.now)
        unusable -= listed
        opened = _still_to_see(account, kind, was, usable) - unusable - listed
        again, still_open = again + len(unusable), still_open + len(opened)
        by_type[kind.name] = _cover(account, kind, unusable | opened)
        children += _cut_short(account, catalog, kind, kinds, was.now, {*usable, *unusable})
    changed = sum(len(objects) for objects in told.values())
    return Fewest(max(1, ceil(events / PAGE)), lists, children, sum(by_type.values()), changed, again, still_open, by_type)


def _told(account: Account, catalog: Catalog, wanted: set[str], since: int) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Give by type and object the events of the last second in which any told of it."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for record in account.store.shelf(EVENTS).order:
        kind = catalog.of_event(record.fields["type"])
        if record.created <= since or kind is None or kind.name not in wanted or kind.fresh is Fresh.REFRESH:
            continue
        event = orjson.loads(rendering.body(account.store, record))
        named = event["data"]["object"].get(kind.told_of.get(event["type"], "id"))
        object_id = named.get("id") if isinstance(named, dict) else named
        if object_id is None:
            continue
        known = found[kind.name].get(object_id, [])
        found[kind.name][object_id] = [*known, event] if known and known[-1]["created"] == event["created"] else [event]
    return found


def _judged(
    catalog: Catalog, kind: ObjectType, kinds: Sequence[ObjectType], told: Mapping[str, list[dict[str, Any]]]
) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Part the objects that events told of: those that a payload gives, and those that have to be read again."""
    beside = any(
        child.fresh is Fresh.PARENT and child.parent and child.parent.expand for child in catalog.children(kind.name) if child in kinds
    )
    usable, unusable = {}, set()
    for object_id, events in told.items():
        types = {event["type"] for event in events}
        payloads = [event["data"]["object"] for event in events]
        if types <= set(kind.deleted_by):
            continue
        pinned = all(event["api_version"] == catalog.api_version for event in events)
        if kind.retrieve_path is None or (
            pinned and not beside and not types & kind.told_of.keys() and all(each == payloads[0] for each in payloads)
        ):
            usable[object_id] = payloads[-1]
        else:
            unusable.add(object_id)
    return usable, unusable


def _open(account: Account, kind: ObjectType) -> Ids:
    return frozenset(record.id for record in account.store.shelf(collection(kind)).order if _is_open(kind, _shown(record)))


def _shown(record: Record) -> Mapping[str, Any]:
    return {**facts.form(facts.object_name(record)), **record.fields}


def _is_open(kind: ObjectType, shown: Mapping[str, Any]) -> bool:
    return any((shown.get(name) in values) if values else shown.get(name) is None for name, values in kind.open.items())


def _still_to_see(account: Account, kind: ObjectType, was: Before, usable: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Name the objects that are or were open, and of which no payload says that they are final."""
    if kind.name not in was.still_open:
        return set()
    final = {object_id for object_id, payload in usable.items() if not _is_open(kind, payload)}
    return {*was.still_open[kind.name], *_open(account, kind)} - final


def _listed(account: Account, kind: ObjectType, since: int) -> set[str]:
    """Name the new objects that are read in their type's list, because no event tells of them."""
    if kind.fresh is not Fresh.CREATED:
        return set()
    return {record.id for record in account.store.shelf(collection(kind)).order if record.created > since}


def _pages_of_list(account: Account, kind: ObjectType, since: int) -> int:
    order = account.store.shelf(collection(kind)).order
    wanted = len(order) if kind.fresh is Fresh.REFRESH else len(_listed(account, kind, since))
    return max(1, ceil(wanted / PAGE)) + (len(kind.also_with) if kind.fresh is Fresh.REFRESH else 0)


def _cover(account: Account, kind: ObjectType, wanted: set[str]) -> int:
    """Count the fewest requests that read objects again: pages of their list, each from some object on; one for each without a list."""
    if kind.parent is not None:
        return len(wanted)
    places = {record.id: place for place, record in enumerate(account.store.shelf(collection(kind)).order)} if wanted else {}
    pages, reach = 0, -1
    for place in sorted(places[object_id] for object_id in wanted if object_id in places):
        if place > reach:
            pages, reach = pages + 1, place + PAGE - 1
    return pages + sum(object_id not in places for object_id in wanted)


def _cut_short(account: Account, catalog: Catalog, kind: ObjectType, kinds: Sequence[ObjectType], since: int, changed: set[str]) -> int:
    """Count the pages that are left of the children of what is new or has changed, where its embedded list does not show all."""
    parents = changed | _listed(account, kind, since)
    if kind.fresh is Fresh.REFRESH and kind.form is Form.LIST:
        parents = {record.id for record in account.store.shelf(collection(kind)).order}
    found = 0
    for child in catalog.children(kind.name):
        if child in kinds and child.fresh in (Fresh.PARENT, Fresh.REFRESH):
            below = account.store.shelf(collection(child))
            found += sum(ceil(max(0, len(below.under(parent)) - EMBEDDED) / PAGE) for parent in parents)
    return found
