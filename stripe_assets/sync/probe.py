"""Asks the account what the mirror does not know of the next sync: a few pages of each list, and one parent for its children.

At most five requests a type. How a list is looked at belongs in `looks`, what its objects show in `sightings`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from stripe_assets.catalog.types import Catalog, Form, Fresh, ObjectType
from stripe_assets.errors import Refused, RequestError, Unauthorized
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.known import DAY, events_type
from stripe_assets.sync.looks import Looks
from stripe_assets.sync.pace import SOME
from stripe_assets.sync.sampling import PAGES
from stripe_assets.sync.sightings import Sightings, Thing, note
from stripe_assets.sync.situation import NONE, ONE, Situation, Way
from stripe_assets.warehouse.census import Census


class Probe:
    """Completes what the mirror knows by what the account shows; `situation` becomes what is known of both."""

    def __init__(self, looks: Looks, catalog: Catalog, known: Situation, counted: Census, *, opened: int, begin: float, now: float) -> None:
        """Prepare; nothing is asked yet. The pace of a list is measured between `begin` and `now` (seconds, as `opened` is)."""
        self.situation = known
        self._looks = looks
        self._catalog = catalog
        self._counted = counted
        self._opened = opened
        self._now = now
        self._begin = begin
        self._sightings: dict[str, Sightings] = {}
        self._seen_whole: set[str] = set()

    async def look(self, *, since: int | None = None) -> Situation:
        """Ask; `since` leaves out what is older (seconds). Raises `Unauthorized`; what else goes wrong is a type's refusal."""
        try:
            async with asyncio.TaskGroup() as group:
                for kind in self.situation.kinds:
                    if kind.parent is None and kind is not events_type(self._catalog):
                        group.create_task(self._list(kind, since))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        for kind in self.situation.kinds:
            if kind.parent is not None and self.situation.is_unknown(kind):
                await self._children(kind)
        return self.situation

    async def _list(self, kind: ObjectType, since: int | None) -> None:
        """Look at a list that the mirror does not have, or at what is new in one of which no event tells."""
        try:
            if self.situation.is_unknown(kind):
                await (self._object(kind) if kind.form is Form.SINGLE else self._whole(kind, since))
            elif self.situation.ways[kind.name] is Way.CATCH_UP and kind.fresh is Fresh.CREATED:
                await self._new(kind)
        except Unauthorized:
            raise
        except RequestError as error:
            self._refuse(kind, error)

    async def _object(self, kind: ObjectType) -> None:
        await self._looks.at_object(kind)
        self.situation = self.situation.but(kind.name, readings=(ONE,))

    async def _whole(self, kind: ObjectType, since: int | None) -> None:
        def show(things: Sequence[Thing]) -> None:
            note(things, kind, self._catalog, self.situation.ways, self._sightings)

        first = await self._looks.over(kind, floor=max(since or 0, self._opened), most=PAGES, show=show)
        further = [await self._looks.over(kind, floor=self._opened, most=1, further=params) for params in kind.also_with]
        if first.rows.sure is Sure.COUNTED:
            self._seen_whole.add(kind.name)
        sighted = self._sightings.get(kind.name, Sightings())
        self.situation = self.situation.but(
            kind.name,
            readings=(first.rows, *(survey.rows for survey in further)),
            open=Figure(sighted.open, Sure.ESTIMATED) if sighted.open else NONE,
            day=replace(self.situation.numbers[kind.name].day, new=first.since(self._begin) * (DAY / (self._now - self._begin))),
        )

    async def _new(self, kind: ObjectType) -> None:
        newest = self._counted.checkpoints[kind.name].created_from
        if newest is None or not kind.created_filter:
            return  # what the mirror knows of its pace must do
        survey = await self._looks.over(kind, floor=newest + 1, most=SOME)
        mine = self.situation.numbers[kind.name]
        self.situation = self.situation.but(kind.name, since=replace(mine.since, new=survey.rows))

    def _refuse(self, kind: ObjectType, error: RequestError) -> None:
        """Note that a list may not be read; or is asked for below its parents, where it can be."""
        if kind.fallback is not None and kind.fallback.parent is not None and kind.fallback.parent.type in self.situation.ways:
            self.situation = self.situation.asked_below(kind.fallback)
        else:
            self.situation = self.situation.refused(kind, str(error))

    async def _children(self, kind: ObjectType) -> None:
        """Reckon with what the parents have shown; ask for the children of one, to know whether that is allowed."""
        assert kind.parent is not None
        parent = kind.parent
        if self.situation.ways[parent.type] is Way.REFUSED:
            why = self.situation.numbers[parent.type].refusal
            self.situation = self.situation.refused(kind, f"its {parent.type} could not be read: {why}")
            return
        self._reckon(kind)
        sighted, counted = self._sightings.get(parent.type), self._counted.counts.get(kind.name)
        example = (sighted.example.get(kind.name) if sighted else None) or (counted.example if counted else None)
        if parent.embedded is not None or example is None or parent.given or parent.each or kind.window:
            return
        try:
            await self._looks.at_children(kind, example)
        except Refused as error:
            self.situation = self.situation.refused(kind, str(error))
        except Unauthorized:
            raise
        except RequestError:
            return  # that one parent is gone, or a server has a bad minute: nothing is known of the others

    def _reckon(self, kind: ObjectType) -> None:
        assert kind.parent is not None
        parents, mine = self._sightings.get(kind.parent.type), self._sightings.get(kind.name)
        rows = self.situation.numbers[kind.parent.type].rows
        if parents is None or not parents.seen or rows is None:
            return  # the mirror has counted them, or there are none
        sure = Sure.COUNTED if kind.parent.type in self._seen_whole else Sure.ESTIMATED
        within = rows * Figure(mine.seen / parents.seen, Sure.ESTIMATED) if mine is not None else None
        self.situation = self.situation.but(
            kind.name,
            readings=(within,) if within is not None else None,
            asks=Figure(parents.asks[kind.name] / parents.seen, sure),
            cut=Figure(parents.cut[kind.name] / parents.seen, sure),
        )


async def ways_around(looks: Looks, kinds: Sequence[ObjectType]) -> frozenset[str]:
    """Name the types by which others have to be asked for, where the account refuses their lists; asked only if they are missing."""
    names = {kind.name for kind in kinds}
    found: set[str] = set()
    for kind in kinds:
        way = kind.fallback.parent if kind.fallback is not None else None
        if way is None or way.type in names:
            continue
        try:
            await looks.over(kind, floor=0, most=1)
        except Unauthorized:
            raise
        except RequestError:
            found.add(way.type)
    return frozenset(found)
