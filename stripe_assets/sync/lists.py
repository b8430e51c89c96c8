"""Reads one list to its end with as many cursors as there are slots to spare.

How a list is cut is decided in `slices`; children that it does not contain are asked for in `pending`.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from stripe_assets.api.answers import Page, cut_short
from stripe_assets.api.client import Request
from stripe_assets.catalog.types import ObjectType, Paging
from stripe_assets.errors import CursorLost, Missing, Refused, RequestError, Unauthorized
from stripe_assets.sync.session import Session
from stripe_assets.sync.slices import Slice, busiest
from stripe_assets.warehouse.deliveries import Objects, SliceProgress

LOST_CURSORS = 5
"""Times that one slice may lose its cursor to a deletion before its type ends as failed."""


class ListReader:
    """Reads the whole list of a type, or what is left of it after an interrupted run.

    A list that shows these objects or those is read once for each `part`, with the part's own parameters.
    """

    def __init__(
        self, session: Session, kind: ObjectType, slices: list[Slice], *, part: int = 0, params: Mapping[str, str] | None = None
    ) -> None:
        """Go on with `slices`."""
        self.refusal: RequestError | None = None
        self.answered = False
        self.opened = asyncio.Event()
        self._session = session
        self._kind = kind
        self._slices = slices
        self._part = part
        self._params = params
        self._progress = session.of(kind)
        self._expand = session.expansions(kind)
        self._inside = [
            (child.name, child.parent.embedded)
            for child in session.catalog.children(kind.name)
            if child.parent is not None and child.parent.embedded
        ]
        self._group: asyncio.TaskGroup

    async def read(self) -> None:
        """Read until all slices are done; `refusal` or the type's progress say if they could not be. Raises `Unauthorized`.

        `answered` says whether there was a page, `opened` is set once that is known.
        """
        self._progress.begin()
        try:
            async with asyncio.TaskGroup() as self._group:
                for piece in self._slices:
                    if not piece.done:
                        self._group.create_task(self._read(piece))
        finally:
            self.opened.set()

    async def _read(self, piece: Slice) -> None:
        lost = 0
        while not piece.done and self.refusal is None:
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
            except RequestError as error:
                if self._refuses(error):
                    self.refusal = error
                else:
                    await self._session.bury(self._kind, error, dict(request.params))
                return
            await self._take(piece, page, read_at)

    def _refuses(self, error: RequestError) -> bool:
        """Say whether the list cannot be read at all. Where there is another way, a 400 before the first page means that too."""
        other_way = self._kind.fallback is not None and error.status == 400 and not self.answered
        return other_way or isinstance(error, Refused | Missing)

    async def _take(self, piece: Slice, page: Page, read_at: float) -> None:
        top = shown_until(page, read_at) if piece.lt is None and piece.seen == 0 and piece.cursor is None else None
        piece.advance(page)
        if not self.answered:
            self.answered = True
            self.opened.set()
        self._split()
        ranges = tuple(one.range for one in self._slices)
        progress = SliceProgress(ranges, piece.number, piece.cursor, piece.done, newest=top, part=self._part)
        self._session.expect(self._kind, sum(one.pages_left(self._bottom()) for one in self._slices))
        await self._session.writer.submit(Objects(self._kind, page.objects, read_at, progress))
        for child, field in self._inside:
            if child in self._session.hand_over:
                self._session.hand_over[child](cut_short(page, field))

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
        further = self._params
        if self._kind.created_filter and (window := piece.window()):
            further = {**(self._params or {}), **moments(self._kind, window)}
        return self._session.list_request(self._kind, further=further, cursor=piece.cursor, expand=self._expand)


def shown_until(page: Page, read_at: float) -> int | None:
    """Say until when there was nothing newer than on a list's first page (seconds since 1970); none where its objects do not say it.

    No longer than it was read, though its first object may be from the future: that of a test clock has the time which that shows.
    """
    return min(page.first.created, int(read_at)) if page.first is not None and page.first.created is not None else None


def moments(kind: ObjectType, window: Mapping[str, int]) -> dict[str, str]:
    """Write times (seconds since 1970) as the type's list wants them: version 2 knows text only."""
    if kind.paging is Paging.TOKEN:
        return {name: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in window.items()}
    return {name: str(at) for name, at in window.items()}
