"""Reads the types of a run that are read from their lists: each whole, or as far as an earlier run has left it.

Types that belong to others wait for these. What a type's first page is refused for, and what follows from that for others,
is decided here; how a list is read belongs in `lists`, single requests in `pending`, what changed in `changes`.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from stripe_assets.api.answers import Page
from stripe_assets.catalog.types import Form, ObjectType, Paging
from stripe_assets.errors import Missing, Refused, RequestError, Unauthorized
from stripe_assets.sync.course import Course
from stripe_assets.sync.lists import ListReader
from stripe_assets.sync.pending import PendingReader
from stripe_assets.sync.session import Session, end_with_owners, owners
from stripe_assets.sync.slices import Slice
from stripe_assets.warehouse.deliveries import ListDone, Objects
from stripe_assets.warehouse.ledger import HIDDEN

log = logging.getLogger(__name__)


class Backfill:
    """The reading of lists in one run. `known` has answers that the run needed before it could begin, by their path."""

    def __init__(self, session: Session, kinds: Iterable[ObjectType], course: Course, known: dict[str, Page | Refused | Missing]) -> None:
        """Prepare; `course` says which of `kinds` are read, and where earlier runs have got to."""
        self._session = session
        self._kinds = tuple(kinds)
        self._course = course
        self._known = known
        self._listed = {kind.name: asyncio.Event() for kind in self._kinds}

    async def read(self) -> None:
        """Read until all are through; each type's progress says how it ended. Raises `Unauthorized`."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                if kind.name in self._course.backfill:
                    group.create_task(self._read(kind))
                else:
                    self._listed[kind.name].set()

    async def _read(self, kind: ObjectType) -> None:
        try:
            if kind.parent is not None:
                await self._children(kind)
            elif kind.form is Form.SINGLE:
                await self._single(kind)
            else:
                await self._list(kind)
        finally:
            self._listed[kind.name].set()
            self._session.writer.nudge()

    async def _list(self, kind: ObjectType) -> None:
        """Read a list, once more for every set of further parameters, and what other objects hide of it."""
        readers = [self._reader(kind, part, params) for part, params in enumerate(({}, *kind.also_with))]
        mine, first = self._session.of(kind), readers[0]
        async with asyncio.TaskGroup() as group:
            group.create_task(first.read())
            await first.opened.wait()
            if first.refusal is None and not mine.over:
                for reader in readers[1:]:
                    group.create_task(reader.read())
                if kind.hidden_under is not None and kind.hidden_under.type in self._listed:
                    group.create_task(self._hidden(kind))
        mine.rest()
        refusal = next((reader.refusal for reader in readers if reader.refusal is not None), None)
        if refusal is not None and kind.fallback is not None and not first.answered:
            log.warning("%s are asked for by %s, because the list is refused: %s", kind.name, _owner(kind.fallback), refusal)
            await self._children(kind.fallback, instead_of=refusal)
        elif refusal is not None:
            mine.end("skipped", reason=str(refusal), request_id=refusal.request_id)
        elif not mine.over:
            now = self._session.clock.now()
            await self._session.writer.submit(ListDone(kind, None, whole=True, at=now, spare=self._spared(kind)))

    def _reader(self, kind: ObjectType, part: int, params: Mapping[str, str]) -> ListReader:
        since = self._course.backfill[kind.name]
        # A token of version 2 may have expired since.
        stored = () if kind.paging is Paging.TOKEN else self._course.slices.get(kind.name, ())
        slices = [Slice(one.range.number, one.range.gte, one.range.lt, one.cursor, one.done) for one in stored if one.part == part]
        first = Slice(0, gte=since if kind.created_filter else None)
        return ListReader(self._session, kind, slices or [first], part=part, params=params)

    def _spared(self, kind: ObjectType) -> str | None:
        """Name the column that tells what was not asked for, because those who hide it could not be read."""
        hidden = kind.hidden_under
        if hidden is None:
            return None
        hiders = self._session.progress.types.get(hidden.type)
        unread = hiders is None or hiders.state in ("skipped", "failed") or self._session.of(kind).in_part
        return hidden.param if unread else None

    async def _hidden(self, kind: ObjectType) -> None:
        assert kind.hidden_under is not None
        await self._listed[kind.hidden_under.type].wait()
        if self._session.progress.types[kind.hidden_under.type].over or self._session.of(kind).over:
            return
        await self._session.writer.flushed()
        if not any(one.part == HIDDEN for one in self._course.slices.get(kind.name, ())):
            await self._session.writer.books(lambda ledger: ledger.begin_hidden(kind))
        await PendingReader(self._session, kind, "hidden").read()

    async def _single(self, kind: ObjectType) -> None:
        mine = self._session.of(kind)
        mine.begin()
        try:
            page, read_at = await self._once(kind)
        except Unauthorized:
            raise
        except (Refused, Missing) as error:
            mine.end("skipped", reason=str(error), request_id=error.request_id)
            return
        except RequestError as error:
            await self._session.bury(kind, error, {})
            return
        mine.rest()
        await self._session.writer.submit(Objects(kind, page.objects, read_at))
        await self._session.writer.submit(ListDone(kind, None, whole=False, at=read_at))

    async def _once(self, kind: ObjectType) -> tuple[Page, float]:
        known = self._known.get(kind.path)
        if known is None:
            return await self._session.page(kind, self._session.list_request(kind))
        if isinstance(known, RequestError):
            raise known
        return known, self._session.clock.now()

    async def _children(self, kind: ObjectType, *, instead_of: RequestError | None = None) -> None:
        """Read what the parents do not contain: from the start where some are contained, else once all parents are known."""
        assert kind.parent is not None
        mine = self._session.of(kind)
        if not kind.parent.embedded:
            for name in owners(kind):
                await self._listed[name].wait()
            await self._session.writer.flushed()
        if end_with_owners(self._session, kind):
            return
        listed = self._listed[kind.parent.type]
        noted = 1
        reader = PendingReader(self._session, kind, "children", more_to_come=lambda: not listed.is_set())
        if kind.parent.embedded:
            self._session.hand_over[kind.name] = reader.hand_over
        elif not self._are_noted(kind):
            now, since = self._session.clock.now(), self._course.backfill[kind.name]
            noted = await self._session.writer.books(lambda ledger: ledger.begin_children(kind, now=now, since=since))
        asked = mine.requests
        if noted:
            await reader.read()
        if instead_of is not None and mine.requests == asked:
            mine.end("skipped", reason=str(instead_of), request_id=instead_of.request_id)  # nobody to ask who would tell more
        if not end_with_owners(self._session, kind) and not mine.over:
            await self._session.writer.flushed()
            await self._session.writer.submit(ListDone(kind, None, whole=True, at=self._session.clock.now()))

    def _are_noted(self, kind: ObjectType) -> bool:
        """Say whether an earlier run has noted whom to ask; a list of the same name may have been read instead."""
        stored = self._course.slices.get(kind.name, ())
        return any(one.part == 0 for one in stored) and not any(one.cursor or one.done for one in stored)


def _owner(kind: ObjectType) -> str:
    return kind.parent.type.removesuffix("s") if kind.parent is not None else ""
