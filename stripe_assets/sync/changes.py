"""Catches up with what changed since the last run: events for what they tell of, `created` for what they do not.

What an event means for a row is decided in `warehouse.changes`.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from math import inf

import duckdb

from stripe_assets.api.answers import Page, read_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Fresh, ObjectType
from stripe_assets.errors import CursorLost, Refused, RequestError, Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.lists import LOST_CURSORS, moments, shown_until
from stripe_assets.sync.pending import SINGLY, PendingReader
from stripe_assets.sync.session import Session, end_with_owners, refuse_standstill
from stripe_assets.sync.slices import PAGE
from stripe_assets.warehouse.deliveries import Changes, ListDone, Objects
from stripe_assets.warehouse.ledger import Checkpoint, Ledger
from stripe_assets.warehouse.notes import OVERLAP
from stripe_assets.warehouse.stretches import is_read_singly_or_listed, note_stretches

log = logging.getLogger(__name__)

LAG = 60.0
"""Seconds by which the mirror may be behind at the end of a run: what takes longer to catch up with is caught up with once more."""
MOST_WINDOWS = 20
SHORTER = 3 / 4
"""Share of the last window's time that the next one takes at most, if catching up is worth going on with."""
EVENTS = Request("/v1/events", "GET /v1/events", Priority.FAN_OUT, {"limit": PAGE})


async def newest_event(client: StripeClient) -> int | None:
    """Ask when the newest event happened (0: there are none). None where the key may not read events."""
    try:
        page = await client.get(Request(EVENTS.path, EVENTS.endpoint, EVENTS.priority, {"limit": 1}), read_page)
    except Refused:
        return None
    return (page.first.created or 0) if page.first is not None else 0


class EventsGone(RequestError):
    """Events aged out while they were being read: what they told of is not known."""


class CatchUp:
    """Brings types that have been read whole up to the present."""

    def __init__(self, session: Session, kinds: Sequence[ObjectType], *, just_read: frozenset[str]) -> None:
        """Catch up `kinds`; those in `just_read` were read in this run: of their parents, nobody need be asked what is new."""
        self._session = session
        self._kinds = kinds
        self._just_read = just_read
        self._payloads_at: float | None = None
        self._noted_at: float | None = None

    async def read(self) -> None:
        """Read what has changed, and what changed while that was read, until no more than `LAG` is left. Raises `Unauthorized`.

        Or until that takes hardly less time than before: what has to be asked for in any case does not become less.
        """
        last = inf
        for _ in range(MOST_WINDOWS):
            began = self._session.clock.now()
            await self._read()
            took = self._session.clock.now() - began
            if took <= LAG:
                return
            if took > last * SHORTER:
                break
            last = took
            await self._session.writer.flushed()
        log.warning("the account changes faster than its changes can be read: the next sync goes on from here")

    async def _read(self) -> None:
        """Read and apply events, the lists of what events do not tell of, and what has to be asked for then."""
        began = self._session.clock.now()
        checkpoints = await self._session.writer.books(lambda ledger: ledger.checkpoints())
        kinds = [kind for kind in self._kinds if not self._session.of(kind).over]  # what failed in one window is not tried in the next
        told = [kind for kind in kinds if self._is_told(kind) and checkpoints[kind.name].events_from is not None]
        events = next((kind for kind in kinds if kind.path == EVENTS.path), None)
        created = [kind for kind in kinds if kind.fresh is Fresh.CREATED and (kind is not events or not told)]
        below = [kind for kind in created if kind.parent is not None and kind.name not in self._just_read]
        newest: int | None = None
        async with asyncio.TaskGroup() as group:
            alone = [kind for kind in created if kind.parent is None]
            lists = [group.create_task(self.read_created(kind, checkpoints[kind.name])) for kind in alone]
            window = group.create_task(self._events(told, events, checkpoints, lists)) if told else None
            if below:
                group.create_task(self._look_below(below))
        if window is not None:
            newest = window.result()
        await self._note_open()
        await self.ask_noted()
        for kind in told:
            self._fail_with_parent(kind)
        standing = [kind for kind in told if not self._session.of(kind).over]
        if standing:
            await self._session.writer.books(lambda ledger: ledger.caught_up(standing, events_from=newest, at=began))
            if events is not None and not self._session.of(events).over:
                await self._session.writer.submit(ListDone(events, newest, whole=False, at=began))

    async def _note_open(self) -> None:
        """Note what may still change without an event: of what was read in this run, only what was read longer ago than `LAG`.

        And nothing twice: of more than can be read within `LAG`, some are always older than that.
        """
        await self._session.writer.flushed()
        now = self._session.clock.now()
        self._noted_at = self._noted_at if self._noted_at is not None else now
        before, payloads_at = max(self._session.began, min(now - LAG, self._noted_at)), self._payloads_at
        kinds = [kind for kind in self._kinds if kind.open and kind.retrieve_path is not None and not self._session.of(kind).over]

        def note(ledger: Ledger) -> None:
            for kind in kinds:
                ledger.pend_open(kind, now=now, read_before=before, payloads_at=payloads_at)

        if kinds:
            await self._session.writer.books(note)

    def _fail_with_parent(self, kind: ObjectType) -> None:
        """Note that objects may be missing which only the reading of a parent would have brought, and that it could not be read."""
        parent = self._session.progress.types.get(kind.parent.type) if kind.parent is not None else None
        if kind.fresh is Fresh.PARENT and parent is not None and parent.state == "failed":
            reason = f"its {parent.name} could not be read: {parent.reason}"
            self._session.of(kind).end("failed", reason=reason, request_id=parent.request_id, in_part=True)

    def _is_told(self, kind: ObjectType) -> bool:
        """Say whether events tell of a type, or of those that it belongs to. What is read whole in every run needs none."""
        if kind.fresh is Fresh.REFRESH:
            return False
        above = kind.fresh is Fresh.PARENT and kind.parent is not None and self._is_told(self._session.catalog[kind.parent.type])
        return above or bool(kind.events or kind.told_of)

    async def _events(
        self,
        kinds: Sequence[ObjectType],
        mirrored: ObjectType | None,
        checkpoints: Mapping[str, Checkpoint],
        lists: Collection[asyncio.Task[None]],
    ) -> int | None:
        """Read and apply what has happened since the slowest type's position; give when the newest event happened, none without any.

        Applied once the `lists` are read: a page that was slow on its way shows what was before it, and would look newer.
        """
        positions = {kind.name: max(0, (checkpoints[kind.name].events_from or 0) - OVERLAP) for kind in kinds}
        wanted = {event: positions[kind.name] for kind in kinds for event in (*kind.events, *kind.told_of)}
        since = min(positions.values())
        if mirrored is not None:
            since = min(since, max(0, (checkpoints[mirrored.name].created_from or 0) - OVERLAP))
        writer = self._session.writer
        try:
            newest = await self._read_events(since, wanted, mirrored)
        except Unauthorized:
            raise
        except EventsGone as error:
            for kind in kinds:
                self._session.of(kind).end("failed", reason=f"{error}: the next sync reads all of it again", request_id=error.request_id)
            await writer.books(lambda ledger: ledger.lose_position(kinds))
            return None
        except RequestError as error:
            for kind in (*kinds, *([mirrored] if mirrored is not None else [])):
                self._session.of(kind).end("failed", reason=f"what changed could not be read: {error}", request_id=error.request_id)
            return None
        if lists:
            await asyncio.wait(lists)
        await writer.flushed()
        forget_before = (newest if newest is not None else since) - 2 * OVERLAP
        now = self._session.clock.now()
        rows = await writer.call(lambda c: writer.apply_changes(c, now=now, forget_before=forget_before))
        self._payloads_at = now
        for name, count in rows.items():
            self._session.progress.stored(name, count)
        return newest

    async def _read_events(self, since: int, wanted: Mapping[str, int], mirrored: ObjectType | None) -> int | None:
        """Read a window of events, newest first; give when its newest happened, none if it is empty."""
        newest: int | None = None
        oldest, reached = since, None
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
                params.pop("starting_after")  # it is gone: from the newest on again
                reached = oldest if reached is None else max(reached, oldest)
                continue
            if mirrored is not None:
                self._session.of(mirrored).requests += 1
                await self._session.writer.submit(Objects(mirrored, page.objects, self._session.clock.now()))
            await self._session.writer.submit(Changes(page.objects, sum(len(raw) for raw in page.objects), wanted))
            if page.first is not None and page.last is not None:
                newest = newest if newest is not None else shown_until(page, self._session.clock.now())
                params["starting_after"] = page.last.id
                oldest = page.last.created or oldest
            more = page.has_more
        if reached is not None and oldest >= reached > since:
            raise EventsGone(f"events were dropped by Stripe before they were read, those before {reached}", path=EVENTS.path)
        return newest

    async def _look_below(self, kinds: Sequence[ObjectType]) -> None:
        """Note that every parent is to be asked for what is new below it."""
        now = self._session.clock.now()
        for kind in kinds:
            await self._session.writer.books(partial(Ledger.pend_news, child=kind, now=now))

    async def ask_noted(self) -> None:
        """Make the requests that are noted: for objects whose state events could not tell, then for children, parents first.

        An object that is read again may bring a list of children that is cut short, and children others of their own.
        """
        below = [kind if kind.parent is not None else kind.fallback for kind in self._kinds]
        depths = {kind: self._depth(kind) for kind in below if kind is not None}
        rounds: list[tuple[str, Iterable[ObjectType]]] = [(purpose, self._kinds) for purpose in ("stretch", *SINGLY, "hidden")]
        for depth in range(1, max(depths.values(), default=0) + 1):
            rounds.append(("children", [kind for kind in depths if depths[kind] == depth]))
        await self._session.writer.flushed()
        noted = await self._session.writer.call(self._note_stretches)
        for purpose, kinds in rounds:
            now = [kind for kind in kinds if (kind.name, purpose) in noted and not end_with_owners(self._session, kind)]
            if now:
                async with asyncio.TaskGroup() as group:
                    for kind in now:
                        group.create_task(PendingReader(self._session, kind, purpose).read())
                await self._session.writer.flushed()
                if purpose == "stretch":
                    await self._session.writer.books(partial(_strike_read, now))
                noted = await self._session.writer.books(lambda ledger: ledger.kinds_pending())

    def _note_stretches(self, connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
        """Note which parts of lists bring many of the noted objects at once; those that have been read meanwhile are not asked for.

        Gives the types and purposes that requests are then to be made for.
        """
        account_id = self._session.writer.account_id
        ledger = Ledger(connection, account_id)
        noted = ledger.kinds_pending()
        kinds = [kind for kind in self._kinds if noted & {(kind.name, purpose) for purpose in SINGLY}]
        _strike_read(kinds, ledger)
        for kind in kinds:
            if is_read_singly_or_listed(kind) and not self._session.of(kind).over:
                note_stretches(connection, kind, account_id=account_id)
        return ledger.kinds_pending()

    def _depth(self, kind: ObjectType) -> int:
        return 0 if kind.parent is None else 1 + self._depth(self._session.catalog[kind.parent.type])

    async def read_created(self, kind: ObjectType, checkpoint: Checkpoint) -> None:
        """Read a list from the newest known object on, or from the oldest that is still open."""
        since = max(0, (checkpoint.created_from or 0) - OVERLAP)
        further = moments(kind, {"created[gte]": since}) if kind.created_filter else {}
        expand = self._session.expansions(kind)
        latest: int | None = None
        cursor: str | None = None
        lost, more = 0, True
        self._session.of(kind).begin()
        while more:
            request = self._session.list_request(kind, further=further, cursor=cursor, expand=expand)
            try:
                page, read_at = await self._session.page(kind, request)
            except CursorLost as error:
                lost += 1
                if lost > LOST_CURSORS:
                    await self._session.bury(kind, error, dict(request.params))
                    return
                cursor = None
                continue
            except Unauthorized:
                raise
            except Refused as error:
                self._session.of(kind).end("skipped", reason=str(error), request_id=error.request_id)
                return
            except RequestError as error:
                await self._session.bury(kind, error, dict(request.params))
                return
            await self._session.writer.submit(Objects(kind, page.objects, read_at))
            latest = latest if latest is not None else shown_until(page, read_at)
            cursor = page.cursor
            more = page.has_more and not _is_older(page, since)
        self._session.of(kind).rest()
        await self._session.writer.submit(ListDone(kind, latest, whole=False, at=self._session.clock.now()))


def _strike_read(kinds: Iterable[ObjectType], ledger: Ledger) -> None:
    for kind in kinds:
        ledger.strike_read(kind)


def _is_older(page: Page, since: int) -> bool:
    """Say whether a page reaches back beyond a time, where the list could not be told to end there."""
    return page.last is not None and page.last.created is not None and page.last.created < since
