"""Asks the account what the mirror does not know of the next sync: a few pages of each list, and one parent for its children.

At most five requests a type, of the lowest priority. Where in a list to look next is decided in `sampling`, what its objects
show in `sightings`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from stripe_assets.api.answers import Answer
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.allocation import DAYS, PROCESSED, TRANSACTIONS
from stripe_assets.catalog.types import Catalog, Form, ObjectType, Paging
from stripe_assets.errors import Refused, RequestError, Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import NONE, ONE, UNKNOWN, Situation, Way
from stripe_assets.sync.known import Asked, events_type, named_by, with_events
from stripe_assets.sync.sampling import PAGES, Survey
from stripe_assets.sync.sightings import Sightings, Thing, holds, note, read_things, signals, times
from stripe_assets.sync.slices import PAGE
from stripe_assets.warehouse.census import Census, Signal
from stripe_assets.warehouse.notes import OVERLAP

T = TypeVar("T")
ATTEMPTS = 4
"""Times that a request is sent, which takes 2 to 4 seconds: what does not answer is left out of a forecast."""
SOME = 2
"""Pages that are looked at where only the share of something in a list matters."""
DAY = 86_400


class Probe:
    """Completes what the mirror knows by what the account shows; `situation` becomes what is known of both."""

    def __init__(self, client: StripeClient, catalog: Catalog, known: Situation, counted: Census, asked: Asked, *, opened: int) -> None:
        """Prepare; nothing is asked yet. The account was `opened` at that time (seconds): nothing is older."""
        self.situation = known
        self._client = client
        self._catalog = catalog
        self._counted = counted
        self._asked = asked
        self._opened = opened
        self._events = events_type(catalog)
        self._sightings: dict[str, Sightings] = {}
        self._seen_whole: set[str] = set()

    async def look(self) -> Situation:
        """Ask, and give what is known then. Raises `Unauthorized`; what else goes wrong is a type's refusal."""
        try:
            async with asyncio.TaskGroup() as group:
                for kind in self.situation.kinds:
                    if kind.parent is None and self._is_unknown(kind):
                        group.create_task(self._list(kind))
                group.create_task(self._changes())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        for kind in self.situation.kinds:
            if kind.parent is not None and self._is_unknown(kind):
                await self._children(kind)
        return self.situation

    def _is_unknown(self, kind: ObjectType) -> bool:
        """Say whether a type is to be read whole without anybody knowing how much that is."""
        return self.situation.ways[kind.name] in (Way.WHOLE, Way.REST) and self.situation.numbers[kind.name].readings is None

    async def _list(self, kind: ObjectType) -> None:
        try:
            if kind.form is Form.SINGLE:
                await self._get(Request(kind.path, kind.endpoint, Priority.LEAF, kind.params), _nothing)
                self.situation = self.situation.but(kind.name, readings=(ONE,))
            else:
                await self._whole(kind)
        except Unauthorized:
            raise
        except RequestError as error:
            if kind.fallback is not None and kind.fallback.parent is not None and kind.fallback.parent.type in self.situation.ways:
                self.situation = self.situation.asked_below(kind.fallback)
            else:
                self.situation = self.situation.refused(kind, str(error))

    async def _whole(self, kind: ObjectType) -> None:
        def show(things: Sequence[Thing]) -> None:
            note(things, kind, self._catalog, self.situation.ways, self._sightings)

        floor = max(self._asked.since or 0, self._opened)
        first = await self._over(kind, floor=floor, most=PAGES - len(kind.also_with), show=show)
        further = [await self._over(kind, floor=floor, most=1, further=params) for params in kind.also_with]
        if first.rows.sure is Sure.COUNTED:
            self._seen_whole.add(kind.name)
        self.situation = self.situation.but(kind.name, readings=(first.rows, *(survey.rows for survey in further)))

    async def _children(self, kind: ObjectType) -> None:
        """Reckon with what the parents have shown; ask for the children of one, to know whether that is allowed."""
        assert kind.parent is not None
        parent, numbers = kind.parent, self.situation.numbers
        for owner in (parent.type, *parent.each.values()):
            if self.situation.ways[owner] is Way.REFUSED:
                self.situation = self.situation.refused(kind, f"its {owner} could not be read: {numbers[owner].refusal}")
                return
        shown, rows = self._sightings.get(parent.type), numbers[parent.type].rows
        if rows is not None and shown is not None and shown.seen:
            self.situation = self.situation.but(kind.name, **self._reckoned(kind, shown, rows))
        elif rows == NONE:
            self.situation = self.situation.but(kind.name, readings=(NONE,), asks=NONE)
        example = shown.example.get(kind.name) if shown is not None else None
        if parent.embedded is not None or example is None or parent.given or parent.each or kind.window:
            return
        try:
            path, params = kind.list_request(example)
            await self._get(Request(path, kind.endpoint, Priority.LEAF, params), _nothing)
        except Refused as error:
            self.situation = self.situation.refused(kind, str(error))
        except Unauthorized:
            raise
        except RequestError:
            return  # that one parent is gone, or a server has a bad minute: nothing is known of the others

    def _reckoned(self, kind: ObjectType, shown: Sightings, rows: Figure) -> dict[str, object]:
        """Say what so many parents mean for their children, by those that were seen."""
        assert kind.parent is not None
        asked = shown.asks[kind.name]
        # Whoever is asked may have more than a page of them.
        asks = Figure(asked / shown.seen, Sure.COUNTED if kind.parent.type in self._seen_whole and not asked else Sure.ESTIMATED)
        for each in kind.parent.each.values():
            asks *= self.situation.numbers[each].rows or UNKNOWN
        mine = self._sightings.get(kind.name)
        inside = Sure.AT_LEAST if asked else Sure.ESTIMATED  # of a list that goes on only the beginning was seen
        within = rows * Figure(mine.seen / shown.seen, inside) if kind.parent.embedded and mine is not None else None
        return {"asks": asks, "readings": (within,) if within is not None else None}

    async def _changes(self) -> None:
        """Look at the events since the last sync."""
        begin, kind = self._counted.begin, self._events
        if kind is None or begin is None or self.situation.events is None or Way.CATCH_UP not in self.situation.ways.values():
            return
        seen: list[Signal] = []
        fields = named_by(self._catalog)
        survey = await self._over(kind, floor=max(0, begin - OVERLAP), most=PAGES, show=lambda things: seen.extend(signals(things, fields)))
        self.situation = with_events(self.situation, self._catalog, self._asked, self._counted, survey.rows, seen)

    async def transactions(self) -> Figure:
        """Estimate how many transactions the account processed in the days that Stripe looks at."""
        processed: list[bool] = []

        def show(things: Sequence[Thing]) -> None:
            processed.extend(holds(thing, PROCESSED) for thing in things)

        try:
            survey = await self._over(self._catalog[TRANSACTIONS], floor=int(self._asked.now - DAYS * DAY), most=SOME, show=show)
        except Unauthorized:
            raise
        except RequestError:
            return UNKNOWN
        return survey.rows * (sum(processed) / max(1, len(processed)))

    async def _over(
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
        expand = self._catalog.expansions(kind.name, self.situation.ways)
        while (window := survey.next()) is not None:
            query = {**params, **sized, **window.params, **({"expand": expand} if expand else {})}
            things, more = await self._get(Request(path, kind.endpoint, Priority.LEAF, query), read_things)
            survey.take(window, times(things, kind), more=more)
            show(things)
        return survey

    async def _get(self, request: Request, read: Callable[[Answer], T]) -> T:
        return await self._client.get(request, read, attempts=ATTEMPTS)


def _nothing(_answer: Answer) -> None:
    """Read nothing: that there was an answer is all that counts."""
