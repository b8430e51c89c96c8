"""Makes the requests that are noted in the mirror: one for each object, with a bounded number under way.

The notes are rows; only a few hundred of them are in memory. Who notes them: `warehouse`, for parents that are new, have
changed, or whose embedded list is cut short, and for objects that events say have changed; and `backfill`, for types asked
for parent by parent.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable

import msgspec

from stripe_assets.api.answers import Answer, Stub, read_stub
from stripe_assets.api.client import Request
from stripe_assets.catalog.types import ObjectType, Paging
from stripe_assets.errors import CursorLost, Declined, Missing, Refused, RequestError, Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.lists import LOST_CURSORS
from stripe_assets.sync.session import Session
from stripe_assets.warehouse.deliveries import Gone, Objects, PendingProgress
from stripe_assets.warehouse.notes import Pending

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Requests of one type under way or waiting at once: at 25 a second enough for answers that take 1.2 s. Sixty types that are
asked for parent by parent wait with 1,920 at most, where the limiter has room for 5,000."""
NOTES = 400
"""Notes read from the file at a time."""
SINGLY = ("object", "open")
"""The purposes for which objects are asked for by their own ids."""
MOST_HANDED_OVER = 20_000
"""Objects that are remembered as asked for before their notes were stored."""


class PendingReader:
    """Answers one type's notes of one purpose, until there are none and `more_to_come` says that none will follow."""

    def __init__(self, session: Session, kind: ObjectType, purpose: str, *, more_to_come: Callable[[], bool] = lambda: False) -> None:
        """Prepare; `purpose` is `children` (of the noted parents), `hidden` (what the noted ones hide), `object` or `open` (themselves,
        because an event told of them or may not) or `stretch` (a part of the list that has many of those)."""
        self._session = session
        self._kind = kind
        self._purpose = purpose
        self._more_to_come = more_to_come
        self._notes: deque[Pending] = deque()
        self._handed_over: set[str] = set()
        self._after = session.looked_at.get((kind.name, purpose), -1)
        self._noted: int | None = None
        self._left = 0
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tried = asyncio.Event()
        self._asking = 0
        self._refusal: Refused | None = None
        self._ended = False

    async def read(self) -> None:
        """Answer all notes; the type's progress says if some could not be. Raises `Unauthorized`.

        The first alone: where the account or the key is refused, one request tells.
        """
        async with asyncio.TaskGroup() as group:
            while (note := await self._next()) is not None:
                await self._places.acquire()
                group.create_task(self._answer(note))
                await self._tried.wait()
        self._session.looked_at[self._kind.name, self._purpose] = self._after
        self._session.of(self._kind).rest()
        if self._refusal is not None:
            self._session.of(self._kind).end("skipped", reason=str(self._refusal), request_id=self._refusal.request_id)

    def hand_over(self, found: list[tuple[str, str]]) -> None:
        """Ask for these before their notes are stored: (object id, cursor) each. Beyond a bound, their notes will do."""
        for object_id, cursor in found:
            if object_id not in self._handed_over and len(self._handed_over) < MOST_HANDED_OVER:
                self._handed_over.add(object_id)
                self._notes.append(Pending(None, object_id, cursor))
        if self._notes:
            self._session.writer.nudge()

    async def _answer(self, note: Pending) -> None:
        self._asking += 1
        try:
            if self._purpose in SINGLY:
                await self._object(note)
            elif self._purpose == "stretch":
                await self._stretch(note)
            else:
                await self._list(note)
        except Unauthorized:
            raise
        except Refused as error:
            if isinstance(error, Declined):  # says something about this one object
                await self._session.bury(self._kind, error, {"object": note.object_id}, in_part=True)
            else:
                self._refusal = error
        except RequestError as error:
            await self._session.bury(self._kind, error, {"object": note.object_id}, in_part=True)
        finally:
            self._asking -= 1
            self._tried.set()
            self._places.release()

    async def _next(self) -> Pending | None:
        while not self._notes and not self._ended and self._refusal is None:
            await self._read_notes()
        if self._refusal is not None or not self._notes:
            return None
        self._expect(max(self._left - 1, len(self._notes) - 1))
        return self._notes.popleft()

    async def _read_notes(self) -> None:
        """Look into the file for the next notes, unless none can have been made since the last look; then wait for more."""
        last_look = not self._more_to_come()
        if last_look:
            await self._session.writer.flushed()
        noted = self._session.writer.noted[self._kind.name]
        if noted == self._noted:
            await self._end_or_wait(last_look)
            return
        notes, left = await self._session.writer.books(
            lambda ledger: ledger.pending(self._kind, self._purpose, after=self._after, most=NOTES)
        )
        if len(notes) == left:
            self._noted = noted
        if notes:
            self._expect(left)
            self._session.of(self._kind).begin()
            self._after = max(note.number for note in notes if note.number is not None)
            self._notes.extend(note for note in notes if note.object_id not in self._handed_over)

    async def _end_or_wait(self, last_look: bool) -> None:
        if last_look:
            self._ended = True
        else:
            await self._session.writer.next_chunk()

    def _expect(self, left: int) -> None:
        """Say how many requests are still to be made, so that an endpoint with many is not left for the end.

        While parents are still being read, those to come will have as many children to ask for as those before.
        """
        self._left = left
        mine = self._session.of(self._kind)
        pages_left = float(left + self._asking)  # those under way wait for a slot, most of them
        parent = self._session.progress.types.get(self._kind.parent.type) if self._kind.parent is not None else None
        if self._purpose == "children" and parent is not None:
            pages_left += (mine.requests + left) * parent.pages_left / max(1, parent.requests)
        if self._purpose in SINGLY:
            mine.pages_left = pages_left
        else:
            self._session.expect(self._kind, pages_left)

    async def _stretch(self, note: Pending) -> None:
        """Read a part of the list; where that cannot be, its objects are asked for one by one, and tell why if they cannot either."""
        try:
            await self._list(note)
        except Unauthorized:
            raise
        except RequestError as error:
            log.warning("%s are asked for one by one where they were to be listed: %s", self._kind.name, error)
            await self._deliver(note, (), 0.0, self._answered(note))

    async def _list(self, note: Pending) -> None:
        # A version 2 token from another run may have expired: from the first page on again.
        cursor, more, lost = (None if self._kind.paging is Paging.TOKEN else note.cursor), True, 0
        while more:
            request = self._list_request(note, cursor)
            try:
                page, read_at = await self._session.page(self._kind, request)
            except CursorLost:
                lost += 1
                if lost > LOST_CURSORS:
                    raise
                cursor = None  # that child is gone: from the first on again
                continue
            except RequestError as error:
                if not isinstance(error, Missing) and error.code != "resource_missing":
                    raise
                # What was to be asked is gone itself, and its children with it; this says nothing about their rows.
                await self._deliver(note, (), 0.0, self._answered(note, missing=True))
                return
            self._tried.set()
            more = page.has_more
            cursor = page.cursor or cursor
            await self._deliver(note, page.objects, read_at, self._answered(note, cursor, done=not more))

    def _list_request(self, note: Pending, cursor: str | None) -> Request:
        expand = self._session.expansions(self._kind)
        if self._purpose == "hidden" and self._kind.hidden_under is not None:
            hidden = {**note.further, self._kind.hidden_under.param: note.object_id}
            return self._session.list_request(self._kind, further=hidden, cursor=cursor, expand=expand)
        if self._purpose == "stretch":
            return self._session.list_request(self._kind, further=note.further, cursor=cursor, expand=expand)
        return self._session.list_request(self._kind, parent_id=note.object_id, further=note.further, cursor=cursor, expand=expand)

    def _answered(self, note: Pending, cursor: str | None = None, *, done: bool = True, missing: bool = False) -> PendingProgress:
        return PendingProgress(note.number, self._kind, self._purpose, note.object_id, cursor, done, missing)

    async def _deliver(self, note: Pending, objects: tuple[msgspec.Raw, ...], read_at: float, progress: PendingProgress) -> None:
        parent_id = self._owners(note) if self._purpose == "children" else None
        await self._session.writer.submit(Objects(self._kind, objects, read_at, progress, parent_id=parent_id))

    def _owners(self, note: Pending) -> str:
        """Name those whose objects were asked for."""
        if self._kind.parent is None or not self._kind.parent.each:
            return note.object_id
        return json.dumps([note.object_id, *(note.further[param] for param in self._kind.parent.each)])

    async def _object(self, note: Pending) -> None:
        progress = self._answered(note)
        try:
            (raw, stub), read_at = await self._session.ask(self._kind, self._object_request(note), _read_object)
        except Missing:
            raw, stub, read_at = msgspec.Raw(b""), Stub(note.object_id, deleted=True), self._session.clock.now()
        if stub.deleted:
            await self._session.writer.submit(Gone(self._kind, note.object_id, read_at, progress))
        else:
            await self._session.writer.submit(Objects(self._kind, (raw,), read_at, progress))

    def _object_request(self, note: Pending) -> Request:
        parent_id = note.further.get(self._kind.parent.column) if self._kind.parent is not None else None
        expand = self._session.expansions_of_one(self._kind)
        path = self._kind.retrieve_request(note.object_id, parent_id)
        return Request(path, self._kind.retrieve_endpoint, Priority.LEAF, {"expand": expand} if expand else {})


def _read_object(answer: Answer) -> tuple[msgspec.Raw, Stub]:
    return msgspec.Raw(answer.body), read_stub(answer)
