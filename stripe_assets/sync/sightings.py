"""What pages of objects show besides their number: which parents have children to ask for, whose embedded lists go on.

Pure; the objects are parsed whole, which is for a few hundred of them only. Asking belongs in `probe`.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stripe_assets.api.answers import UNREADABLE, Answer, damaged
from stripe_assets.catalog.conditions import Condition
from stripe_assets.catalog.types import Catalog, Kind, ObjectType, Parent
from stripe_assets.sync.sampling import Seen
from stripe_assets.warehouse.census import Signal

Thing = dict[str, Any]


class _Envelope(msgspec.Struct, frozen=True):
    data: list[Thing]
    has_more: bool = False
    next_page_url: str | None = None


_envelopes = msgspec.json.Decoder(_Envelope)


def read_things(answer: Answer) -> tuple[list[Thing], bool]:
    """Read a page's objects, and whether there are more. Raises `Transient` if it is no page."""
    try:
        envelope = _envelopes.decode(answer.body)
    except UNREADABLE as error:
        raise damaged(answer, error) from error
    return envelope.data, envelope.has_more or envelope.next_page_url is not None


@dataclass(slots=True)
class Sightings:
    """What the objects of one type that were seen have shown: `seen` how many, and of their child types by name:

    `asks` requests for the children of all of them, as far as they show, and `example`: what one of them is asked by.
    """

    seen: int = 0
    asks: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)


def note(things: Sequence[Thing], kind: ObjectType, catalog: Catalog, selected: Collection[str], into: dict[str, Sightings]) -> None:
    """Note what objects of a type show of their selected children, and what these show of theirs."""
    mine = into.setdefault(kind.name, Sightings())
    mine.seen += len(things)
    fallbacks = (one.fallback for one in catalog if one.fallback is not None)  # asked for in this way, if the list is refused
    for child in (*catalog.children(kind.name), *fallbacks):
        if child.parent is None or child.parent.type != kind.name or child.name not in selected:
            continue
        for thing in things:
            if child.parent.embedded is not None:
                inside = next(values_at(thing, child.parent.embedded), None)
                if isinstance(inside, dict) and isinstance(inside.get("data"), list):
                    mine.asks[child.name] += bool(inside.get("has_more"))
                    note(inside["data"], child, catalog, selected, into)
            else:
                values = asked_by(thing, child.parent)
                mine.asks[child.name] += len(values)
                if values:
                    mine.example[child.name] = values[0]


def asked_by(thing: Thing, parent: Parent) -> list[str]:
    """Give what an object is asked by for its children: its id, or the ids in it; nothing if it can have none."""
    if parent.only is not None and not holds(thing, parent.only):
        return []
    found = [thing.get("id")] if parent.ids is None else values_at(thing, parent.ids)
    return [value for value in found if isinstance(value, str)]


def holds(thing: Thing, condition: Condition) -> bool:
    """Say whether a condition of the catalog holds for an object."""
    found = next(values_at(thing, ".".join(condition.path)), None)
    if condition.value is None or found is None:
        return found is not None and condition.value is None
    return (found if isinstance(found, str) else msgspec.json.encode(found).decode()) == condition.value


def values_at(thing: object, path: str) -> Iterator[object]:
    """Give what stands at a path of names; `[*]` behind a name goes through all elements of an array. Nulls are left out."""
    name, _, inside = path.partition(".")
    found = thing.get(name.removesuffix("[*]")) if isinstance(thing, dict) else None
    for value in found or () if name.endswith("[*]") else (found,):
        if inside:
            yield from values_at(value, inside)
        elif value is not None:
            yield value


def times(things: Sequence[Thing], kind: ObjectType) -> list[Seen]:
    """Give ids and times of creation. Where objects have no `created`, the only time that they have must be it."""
    columns = [column.name for column in kind.columns if column.kind is Kind.TIMESTAMP]
    name = "created" if "created" in columns else columns[0] if len(columns) == 1 else None
    found = ((thing.get("id"), thing.get(name) if name is not None else None) for thing in things)
    return [Seen(str(id_), moment if isinstance(moment, int) else None) for id_, moment in found]


def signals(things: Sequence[Thing], named_by: Mapping[str, str]) -> Iterator[Signal]:
    """Read events; `named_by` says where those that are about something else name what they tell of."""
    for thing in things:
        event = str(thing.get("type"))
        named = thing.get("data", {}).get("object", {}).get(named_by.get(event, "id"))
        object_id = named.get("id") if isinstance(named, dict) else named
        if object_id is not None:
            yield Signal(int(thing.get("created", 0)), event, str(object_id), thing.get("api_version"))
