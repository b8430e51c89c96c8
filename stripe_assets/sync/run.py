"""One sync of one account from its first list to its last word: what is new is read whole, what is known is caught up.

How a type is begun or gone on with is decided in `course`; the lists are read by `backfill`, what changed by `changes`.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from stripe_assets.catalog.types import Catalog
from stripe_assets.errors import MirrorError, WarehouseError
from stripe_assets.limits.limiter import Limiter
from stripe_assets.sync.backfill import Backfill
from stripe_assets.sync.changes import CatchUp
from stripe_assets.sync.course import choose
from stripe_assets.sync.forecast import Forecast
from stripe_assets.sync.known import Asked, expect
from stripe_assets.sync.opening import ACCOUNT, Opening
from stripe_assets.sync.progress import RunProgress
from stripe_assets.sync.redrive import Redrive
from stripe_assets.sync.session import Session, end_with_owners
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.writer import Writer

log = logging.getLogger(__name__)

FULL = 0.6
"""Share of the room between network and database beyond which nothing more is asked for: the rest is for what is under
way, 64 pages of 400 kB (those of charges), so that nothing is fetched that cannot be stored."""
A_DAY = 86_400.0
"""Seconds by which clocks may differ without that being told: events are kept for a day longer than the mirror counts on."""


class Run:
    """One sync of one account, with everything open."""

    def __init__(
        self,
        opening: Opening,
        writer: Writer,
        catalog: Catalog,
        progress: RunProgress,
        *,
        only: frozenset[str] | None,
        on_result: Callable[[TypeResult], None],
    ) -> None:
        """Prepare. `only` asks nothing but what failed for good of these types; `on_result` hears how each type ended."""
        self.id = uuid.uuid4().hex
        self._began = monotonic()
        self._forecast: Forecast | None = None
        self._missed: Mapping[str, int] = {}
        self._kinds = opening.kinds
        self._newest = opening.newest
        self._account = opening.account.answer
        self._account_id = opening.account_id
        self._writer = writer
        self._progress = progress
        self._only = only
        self._on_result = on_result
        stub = opening.account.stub
        selected = frozenset(kind.name for kind in opening.kinds)
        self._session = Session(catalog, opening.client, writer, progress, selected, stub.id, stub.created, opening.clock)

    async def sync(self, *, full_refresh: bool, since: int | None) -> Summary:
        """Read, store, and note how it ended. Raises `Unauthorized` and `WarehouseError`, after having noted them as well."""
        limiter = self._session.client.limiter
        limiter.room_for_answers = lambda: self._writer.channel.fullness < FULL
        async with asyncio.TaskGroup() as group:
            group.create_task(self._writer.run())
            waking = group.create_task(self._wake(limiter))
            try:
                latest = await self._writer.books(lambda ledger: max(ledger.begin_run(self.id), ledger.latest_reading(self._kinds)))
                self._writer.run_id = self.id
                self._session.begin(not_before=latest)
                await self._read(full_refresh=full_refresh or self._is_dated_ahead(), since=since)
                return await self._conclude()
            except (MirrorError, asyncio.CancelledError) as error:
                await self._lament(error)
                raise
            finally:
                waking.cancel()
                self._writer.channel.close()

    def _is_dated_ahead(self) -> bool:
        """Say whether a wrong clock has dated the mirror so far ahead that nobody knows when it was last up to date."""
        if self._session.ahead <= A_DAY:
            return False
        log.warning(
            "what is mirrored is dated %.0f days ahead of Stripe's clock, because an earlier run was told a wrong time: all of it is read "
            "again, now and in every run until then; to be rid of that sync into a new file (STRIPE_DUCKDB)",
            self._session.ahead / A_DAY,
        )
        return True

    async def _wake(self, limiter: Limiter) -> None:
        """Let the limiter look again, whenever something was stored, whether there is room for answers."""
        while True:
            await self._writer.next_chunk()
            limiter.wake()

    async def _read(self, *, full_refresh: bool, since: int | None) -> None:
        if self._only is not None:
            self._progress.phase = "trying again"
            await Redrive(self._session, self._kinds, self._only, {ACCOUNT: self._account}).read()
            return
        asked = Asked(self._kinds, self._account_id, self._session.clock.now(), self._newest, full_refresh=full_refresh, since=since)
        limits = self._session.client.limiter.limits
        self._forecast = await self._writer.call(lambda connection: expect(connection, self._session.catalog, asked, limits))
        course = await self._writer.books(
            lambda ledger: choose(
                ledger,
                self._kinds,
                self._session.catalog,
                now=asked.now,
                events_from=self._newest,
                full_refresh=full_refresh,
                since=since,
            )
        )
        self._missed = course.missed
        below = {kind.name for kind in self._kinds if kind.parent is not None and not kind.parent.embedded}
        self._writer.begun = frozenset(below & course.backfill.keys())
        self._progress.phase = "reading lists"
        await Backfill(self._session, self._kinds, course, {ACCOUNT: self._account}).read()
        self._progress.phase = "catching up"
        self._writer.hurry()
        standing = [kind for kind in self._kinds if not end_with_owners(self._session, kind)]
        await CatchUp(self._session, standing, just_read=frozenset(course.backfill)).read()
        await self._writer.flushed()

    async def _conclude(self) -> Summary:
        unreadable = await self._writer.books(lambda ledger: ledger.unreadable())
        for one in self._progress.types.values():
            if one.name in unreadable:
                one.end("failed", reason=unreadable[one.name])
            elif not one.over:
                one.end("complete")
        self._progress.phase = "done"
        summary = self._summary()
        state = "complete" if summary.complete else "partial"
        await self._note_end(summary, summary.results, state=state, details=summary.details)
        for result in summary.results:
            self._on_result(result)
        return summary

    async def _lament(self, error: BaseException) -> None:
        """Note that the run could not be finished; if even that cannot be written, the first error says why."""
        state = "failed" if isinstance(error, MirrorError) else "interrupted"
        summary = self._summary()
        try:
            await self._note_end(summary, (), state=state, details={"error": str(error), **summary.details})
        except WarehouseError as second:
            log.warning("the run's end could not be noted: %s", second)

    async def _note_end(self, summary: Summary, results: Sequence[TypeResult], *, state: str, details: object) -> None:
        throttled = sum(summary.throttled.values())
        await self._writer.books(
            lambda ledger: ledger.end_run(
                self.id, results, state=state, requests=summary.requests, throttled=throttled, seconds=summary.seconds, details=details
            )
        )

    def _summary(self) -> Summary:
        limiter = self._session.client.limiter
        results = tuple(
            TypeResult(
                one.name,
                one.state,
                one.rows,
                one.requests,
                round(one.seconds, 3),
                one.reason,
                one.request_id,
                self._writer.misfits(one.name),
            )
            for one in self._progress.types.values()
        )
        return Summary(
            run_id=self.id,
            account_id=self._account_id,
            results=results,
            requests=self._session.client.requests.total(),
            rows=sum(result.rows for result in results),
            seconds=round(monotonic() - self._began, 3),
            limiter=limiter.snapshot(),
            tally=limiter.tally,
            forecast=self._forecast,
            missed=self._missed,
        )
