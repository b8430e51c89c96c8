"""Looks at lists of the account through a few pages each: the requests of a forecast, of the lowest priority.

Where to look next is decided in `sampling`; which lists are looked at, and what follows, in `probe`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stripe_assets.api.answers import Answer
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, Form, ObjectType, Paging
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.sampling import Survey
from stripe_assets.sync.sightings import Thing, read_things, times
from stripe_assets.sync.signals import named_by
from stripe_assets.sync.slices import PAGE
from stripe_assets.warehouse.census import Signal

T = TypeVar("T")

ATTEMPTS = 4
"""Times that a request is sent, which takes 2 to 4 seconds: what does not answer is left out of a forecast."""


@dataclass(frozen=True, slots=True)
class EventsSeen:
    """A stretch of events that was looked at: how many there are, and those that were seen."""

    survey: Survey
    signals: Sequence[Signal]


class Looks:
    """Reads pages; raises the errors of the client."""

    def __init__(self, client: StripeClient, catalog: Catalog, selected: Collection[str]) -> None:
        """Ask the lists to be expanded by what belongs to the `selected` types."""
        self._client = client
        self._catalog = catalog
        self._selected = selected
        self._named_by = named_by(catalog)

    async def over(
        self,
        kind: ObjectType,
        *,
        floor: int,
        most: int,
        further: Mapping[str, str] | None = None,
        show: Callable[[Sequence[Thing]], None] = lambda _things: None,
    ) -> Survey:
        """Look at a list through at most `most` pages; `show` is given the objects of each.

        There are none before `floor` (seconds), or they are left out; `further` are parameters besides the type's own.
        """
        one_page = kind.paging is not Paging.CURSOR
        survey = Survey(floor=floor, most=1 if one_page else most, timed=kind.created_filter and not one_page)
        path, params = kind.list_request(further=further)
        sized = {} if kind.paging is Paging.NONE else {"limit": str(PAGE)}
        expand = self._catalog.expansions(kind.name, self._selected)
        while (window := survey.next()) is not None:
            query = {**params, **sized, **window.params, **({"expand": expand} if expand else {})}
            things, more = await self._get(Request(path, kind.endpoint, Priority.LEAF, query), read_things)
            survey.take(window, times(things, kind), more=more)
            show(things)
        return survey

    async def at_children(self, kind: ObjectType, parent: str) -> None:
        """Ask for the children of one parent, named by what its children are asked by."""
        path, params = kind.list_request(parent)
        await self._get(Request(path, kind.endpoint, Priority.LEAF, params), _nothing)

    async def at_object(self, kind: ObjectType) -> None:
        """Ask for the one object of a type that has no list."""
        assert kind.form is Form.SINGLE
        await self._get(Request(kind.path, kind.endpoint, Priority.LEAF, kind.params), _nothing)

    async def over_events(self, kind: ObjectType, *, floor: int, most: int) -> EventsSeen:
        """Look at the events since `floor` (seconds)."""
        seen: list[Signal] = []
        survey = await self.over(kind, floor=floor, most=most, show=lambda things: seen.extend(_signals(things, self._named_by)))
        return EventsSeen(survey, seen)

    async def _get(self, request: Request, read: Callable[[Answer], T]) -> T:
        return await self._client.get(request, read, attempts=ATTEMPTS)


def _signals(things: Sequence[Thing], fields: Mapping[str, str]) -> Iterator[Signal]:
    """Read events; `fields` says where those that are about something else name what they tell of."""
    for thing in things:
        event = str(thing.get("type"))
        named = thing.get("data", {}).get("object", {}).get(fields.get(event, "id"))
        object_id = named.get("id") if isinstance(named, dict) else named
        if object_id is not None:
            yield Signal(int(thing.get("created", 0)), event, str(object_id), thing.get("api_version"))


def _nothing(_answer: Answer) -> None:
    """Read nothing: that there was an answer is all that counts."""
