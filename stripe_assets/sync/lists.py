"""Reads one list to its end with as many cursors as there are slots to spare.

How a list is cut is decided in `slices`; children that it does not contain are asked for in `pending`.
"""

import asyncio

from stripe_assets.api.answers import Page, cut_short
from stripe_assets.api.client import Request
from stripe_assets.catalog.types import ObjectType
from stripe_assets.errors import CursorLost, Missing, Refused, RequestError, Unauthorized
from stripe_assets.sync.session import Session
from stripe_assets.sync.slices import PAGE, Slice, busiest
from stripe_assets.warehouse.deliveries import ListDone, Objects, SliceProgress

LOST_CURSORS = 5
"""Times that one slice may lose its cursor to a deletion before its type ends as failed."""


class ListReader:
    """Reads the whole list of a type, or what is left of it after an interrupted run."""

    def __init__(self, session: Session, kind: ObjectType, slices: list[Slice], *, whole: bool) -> None:
        """Go on with `slices`. `whole`: the list is read from end to end, so that what it lacks is gone."""
        self._session = session
        self._kind = kind
        self._slices = slices
        self._whole = whole
        self._progress = session.of(kind)
        self._refusal: Refused | None = None
        self._group: asyncio.TaskGroup

    async def read(self) -> None:
        """Read until all slices are done; the type's progress says how it ended. Raises `Unauthorized`."""
        self._progress.begin()
        async with asyncio.TaskGroup() as self._group:
            for piece in self._slices:
                if not piece.done:
                    self._group.create_task(self._read(piece))
        self._progress.rest()
        if self._refusal is not None:
            self._progress.end("skipped", reason=str(self._refusal), request_id=self._refusal.request_id)
        elif not self._progress.over:
            await self._session.writer.submit(ListDone(self._kind, None, whole=self._whole))

    async def _read(self, piece: Slice) -> None:
        lost = 0
        while not piece.done and self._refusal is None:
            request = self._request(piece)
            try:
                page, read_at = await self._session.page(self._kind, request)
            except CursorLost as error:
                lost += 1
                if lost > LOST_CURSORS:
                    await self._session.bury(self._kind, error, dict(request.params))
                    return
                piece.lose_cursor()
                continue
            except Unauthorized:
                raise
            except (Refused, Missing) as error:
                self._refusal = Refused(str(error), path=error.path, status=error.status, request_id=error.request_id)
                return
            except RequestError as error:
                await self._session.bury(self._kind, error, dict(request.params))
                return
            await self._take(piece, page, read_at)

    async def _take(self, piece: Slice, page: Page, read_at: float) -> None:
        top = page.first.created if page.first is not None and piece.lt is None and piece.seen == 0 and piece.cursor is None else None
        piece.advance(page)
        self._split()
        ranges = tuple(one.range for one in self._slices)
        progress = SliceProgress(ranges, piece.number, piece.cursor, piece.done, newest=top)
        self._progress.pages_left = sum(one.pages_left(self._bottom()) for one in self._slices)
        self._session.client.limiter.work_left(self._kind.endpoint, self._progress.pages_left)
        await self._session.writer.submit(Objects(self._kind, page.objects, read_at, progress))
        for child in self._session.catalog.children(self._kind.name):
            if child.parent is not None and child.parent.embedded and child.name in self._session.hand_over:
                self._session.hand_over[child.name](cut_short(page, child.parent.embedded))

    def _split(self) -> None:
        """Start one more cursor if its requests would take slots that nobody waits for."""
        if (
            not self._kind.created_filter
            or self._session.writer.congested
            or not self._session.client.limiter.has_room(self._kind.endpoint)
        ):
            return
        piece = busiest(self._slices, self._bottom())
        older = piece.split(len(self._slices), self._bottom()) if piece is not None else None
        if older is not None:
            self._slices.append(older)
            self._group.create_task(self._read(older))

    def _bottom(self) -> int | None:
        """Say where the list may end: when the account was opened, or when Stripe began to drop such objects."""
        newest = max((piece.newest for piece in self._slices if piece.newest is not None), default=None)
        if self._kind.kept_days is None or newest is None:
            return self._session.oldest
        return max(self._session.oldest or 0, newest - self._kind.kept_days * 86_400)

    def _request(self, piece: Slice) -> Request:
        path, params = self._kind.list_request()
        query: dict[str, str | int] = {**params, "limit": PAGE}
        if self._kind.created_filter:
            query |= piece.window()
        if piece.cursor is not None:
            query["starting_after"] = piece.cursor
        return Request(path, self._kind.endpoint, self._session.priority(self._kind), query)
