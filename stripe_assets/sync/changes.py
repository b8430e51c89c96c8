"""Catches up with what changed since the last run: events for what they tell of, `created` for what they do not.

What an event means for a row is decided in `warehouse.changes`.
"""

import asyncio
from collections.abc import Mapping, Sequence

from stripe_assets.api.answers import read_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Fresh, ObjectType
from stripe_assets.errors import CursorLost, Refused, RequestError, Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.lists import LOST_CURSORS
from stripe_assets.sync.pending import PendingReader
from stripe_assets.sync.session import Session, refuse_standstill
from stripe_assets.sync.slices import PAGE
from stripe_assets.warehouse.changes import open_again
from stripe_assets.warehouse.deliveries import Changes, ListDone, Objects
from stripe_assets.warehouse.ledger import Checkpoint

OVERLAP = 60
"""Seconds that a window reaches back before the last one's end: what was just written may become visible late."""
EVENTS = Request("/v1/events", "GET /v1/events", Priority.FAN_OUT, {"limit": PAGE})


async def newest_event(client: StripeClient) -> int | None:
    """Ask when the newest event happened (0: there are none). None where the key may not read events."""
    try:
        page = await client.get(Request(EVENTS.path, EVENTS.endpoint, EVENTS.priority, {"limit": 1}), read_page)
    except Refused:
        return None
    return (page.first.created or 0) if page.first is not None else 0


class CatchUp:
    """Brings types that have been read whole up to the present."""

    def __init__(self, session: Session, kinds: Sequence[ObjectType], *, just_read: frozenset[str]) -> None:
        """Catch up `kinds`; those in `just_read` were read while the events were happening."""
        self._session = session
        self._kinds = kinds
        self._just_read = just_read

    async def read(self) -> None:
        """Read and apply events, and the lists of what events do not tell of. Raises `Unauthorized`."""
        checkpoints = await self._session.writer.books(lambda ledger: ledger.checkpoints())
        told = [kind for kind in self._kinds if kind.name in checkpoints and checkpoints[kind.name].events_from is not None]
        untold = [kind for kind in self._kinds if kind.fresh is Fresh.CREATED]
        async with asyncio.TaskGroup() as group:
            if told:
                group.create_task(self._events(told, checkpoints))
            for kind in untold:
                if kind.path != EVENTS.path or not told:
                    group.create_task(self._created(kind, checkpoints[kind.name]))

    async def _events(self, kinds: Sequence[ObjectType], checkpoints: dict[str, Checkpoint]) -> None:
        positions = {kind.name: max(0, (checkpoints[kind.name].events_from or 0) - OVERLAP) for kind in kinds}
        wanted = {kind.object: min(positions[name] for name in (kind.name, *self._lagging(kind, positions))) for kind in kinds}
        mirrored = next((kind for kind in kinds if kind.path == EVENTS.path), None)
        since = min(wanted.values())
        if mirrored is not None:
            since = min(since, max(0, (checkpoints[mirrored.name].created_from or 0) - OVERLAP))
        writer = self._session.writer
        if again := {kind.object: wanted[kind.object] for kind in kinds if self._lagging(kind, positions)}:
            await writer.call(lambda connection: open_again(connection, again, account_id=self._session.account_id))
        try:
            newest = await self._read_events(since, wanted, mirrored)
        except Unauthorized:
            raise
        except RequestError as error:
            for kind in kinds:
                self._session.of(kind).end("failed", reason=f"what changed could not be read: {error}", request_id=error.request_id)
            return
        await writer.flushed()
        forget_before = (newest if newest is not None else since) - 2 * OVERLAP
        now = self._session.clock.now()
        rows = await writer.call(lambda c: writer.apply_changes(c, now=now, read_again=self._just_read, forget_before=forget_before))
        for name, count in rows.items():
            self._session.progress.stored(name, count)
        await self._read_again(kinds)
        await writer.books(lambda ledger: ledger.caught_up(kinds, events_from=newest))
        if mirrored is not None:
            await writer.submit(ListDone(mirrored, newest, whole=False))

    def _lagging(self, kind: ObjectType, positions: Mapping[str, int]) -> list[str]:
        """Name the types that live inside this one's objects and are behind it: they were left out of a run."""
        inside = [child.name for child in self._session.catalog.children(kind.name) if child.parent is not None and child.parent.embedded]
        return [name for name in inside if name in positions and positions[name] < positions[kind.name]]

    async def _read_events(self, since: int, wanted: Mapping[str, int], mirrored: ObjectType | None) -> int | None:
        """Read a window of events, newest first; give when its newest happened, none if it is empty."""
        newest: int | None = None
        lost = 0
        params: dict[str, str | int] = {"limit": PAGE, "created[gte]": since}
        more = True
        while more:
            request = Request(EVENTS.path, EVENTS.endpoint, EVENTS.priority, params)
            try:
                page = await self._session.client.get(request, read_page)
                refuse_standstill(page, request)
            except CursorLost:
                lost += 1
                if lost > LOST_CURSORS:
                    raise
                params.pop("starting_after")  # it aged out meanwhile: everything older has as well, or is seen twice
                continue
            if mirrored is not None:
                self._session.of(mirrored).requests += 1
                await self._session.writer.submit(Objects(mirrored, page.objects, self._session.clock.now()))
            await self._session.writer.submit(Changes(page.objects, sum(len(raw) for raw in page.objects), wanted))
            if page.first is not None and page.last is not None:
                newest = newest if newest is not None else page.first.created
                params["starting_after"] = page.last.id
            more = page.has_more
        return newest

    async def _read_again(self, kinds: Sequence[ObjectType]) -> None:
        """Read the objects one by one whose state events could not tell, and children whose parents' lists were cut."""
        for purpose in ("object", "children"):
            # Objects that were read again may have brought lists of children that are cut short.
            await self._session.writer.flushed()
            noted = await self._session.writer.books(lambda ledger: ledger.kinds_pending())
            if not noted:
                return
            async with asyncio.TaskGroup() as group:
                for kind in kinds:
                    if (kind.name, purpose) in noted:
                        group.create_task(PendingReader(self._session, kind, purpose).read())

    async def _created(self, kind: ObjectType, checkpoint: Checkpoint) -> None:
        """Read a list from the newest known object on, or from the oldest that is still open."""
        since = await self._since(kind, checkpoint)
        newest: int | None = None
        lost = 0
        path, params = kind.list_request()
        query: dict[str, str | int] = {**params, "limit": PAGE, "created[gte]": since}
        more = True
        self._session.of(kind).begin()
        while more:
            try:
                page, read_at = await self._session.page(kind, Request(path, kind.endpoint, Priority.PAGE, query))
            except CursorLost as error:
                lost += 1
                if lost > LOST_CURSORS:
                    await self._session.bury(kind, error, query)
                    return
                query.pop("starting_after")
                continue
            except Unauthorized:
                raise
            except Refused as error:
                self._session.of(kind).end("skipped", reason=str(error), request_id=error.request_id)
                return
            except RequestError as error:
                await self._session.bury(kind, error, query)
                return
            await self._session.writer.submit(Objects(kind, page.objects, read_at))
            if page.first is not None and page.last is not None:
                newest = newest if newest is not None else page.first.created
                query["starting_after"] = page.last.id
            more = page.has_more
        self._session.of(kind).rest()
        await self._session.writer.submit(ListDone(kind, newest, whole=False))

    async def _since(self, kind: ObjectType, checkpoint: Checkpoint) -> int:
        known = max(0, (checkpoint.created_from or 0) - OVERLAP)
        if kind.name in self._just_read:
            return known  # what is still open was read in this run
        oldest_open = await self._session.writer.books(lambda ledger: ledger.oldest_open(kind))
        return known if oldest_open is None else min(known, oldest_open)
