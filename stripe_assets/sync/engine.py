"""Runs a sync from end to end: what is new is read whole, what is known is caught up, and every type ends with a word.

How a list is read belongs in `lists`, single objects in `pending`, what changed in `changes`; how a type is begun or
gone on with is decided in `course`.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import httpx

from stripe_assets.api.answers import Stub, read_stub
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, ObjectType, load
from stripe_assets.errors import MirrorError, Missing, Refused, WarehouseError
from stripe_assets.limits.limiter import Limiter
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.changes import CatchUp, newest_event
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.course import Course, choose
from stripe_assets.sync.lists import ListReader
from stripe_assets.sync.pending import PendingReader
from stripe_assets.sync.progress import RunProgress, TypeProgress
from stripe_assets.sync.session import Session
from stripe_assets.sync.settings import Settings, known_types
from stripe_assets.sync.slices import Slice
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.writer import Writer

log = logging.getLogger(__name__)

FIRST_ATTEMPTS = 4
"""Times that the first request is sent, which takes 2 to 4 seconds: a wrong address should be told soon."""
OWN_ACCOUNT = "self"
"""The account's name where the key may not ask for it."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended: one result a type, and what it took. `throttled` counts 429s by reason."""

    run_id: str
    account_id: str
    results: tuple[TypeResult, ...]
    requests: int
    rows: int
    seconds: float
    throttled: dict[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is in the mirror."""
        return all(result.state == "complete" for result in self.results)


class Mirror:
    """Syncs one Stripe account into one DuckDB file."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], Clock] = Clock,
    ) -> None:
        """Prepare; nothing is opened or sent yet. `transport` and `clock` replace the network and the time in tests."""
        self.catalog = catalog or load()
        self.settings = settings
        self.database = Database(settings.duckdb)
        self.progress = RunProgress()
        self.limiter: Limiter | None = None
        self._transport = transport
        self.clock = clock

    async def sync(
        self,
        types: Iterable[str] = (),
        *,
        full_refresh: bool = False,
        since: int | None = None,
        no_limit: bool = False,
        on_result: Callable[[TypeResult], None] = lambda _result: None,
    ) -> Summary:
        """Mirror the named types (all without names) and the parents that their objects are found by.

        `full_refresh` reads all of it again; `since` leaves out what was created before (seconds since 1970);
        `no_limit` keeps no rate. Raises `ConfigurationError`, `Unauthorized` and `WarehouseError`; what goes wrong with
        one type is told in its result instead.
        """
        kinds = self.catalog.with_parents(known_types(self.catalog, types))
        self.progress.types.update({kind.name: TypeProgress(kind.name) for kind in kinds})
        async with AsyncExitStack() as stack:
            stack.enter_context(self.database.only_sync())
            with ThreadPoolExecutor(1, thread_name_prefix="prepare") as thread:  # the file may have to be waited for
                await asyncio.get_running_loop().run_in_executor(thread, self.database.prepare, self.catalog)
            self.limiter = Limiter(self.settings.limits(lifted=no_limit))
            client = await stack.enter_async_context(self._client(self.limiter))
            try:
                # The events before the first list: what changes while the lists are read is told by those after this one.
                async with asyncio.TaskGroup() as group:
                    account, events_from = group.create_task(_account(client)), group.create_task(newest_event(client))
                run = _Run(self, client, account.result(), kinds, on_result)
                stack.callback(run.writer.close)
                return await run.sync(events_from.result(), full_refresh=full_refresh, since=since)
            except BaseExceptionGroup as errors:
                raise _first(errors) from errors

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[StripeClient, Stub]]:
        """Ask without mirroring: give the client, under the limits, and whose key it is. Raises `Unauthorized`."""
        async with self._client(Limiter(self.settings.limits())) as client:
            yield client, await _account(client)

    def _client(self, limiter: Limiter) -> StripeClient:
        settings = self.settings
        return StripeClient(
            api_key=settings.api_key,
            base_url=settings.api_base,
            api_version=self.catalog.api_version,
            limiter=limiter,
            transport=self._transport,
        )


class _Run:
    """One sync of one account, with everything open."""

    def __init__(
        self, mirror: Mirror, client: StripeClient, account: Stub, kinds: tuple[ObjectType, ...], on_result: Callable[[TypeResult], None]
    ) -> None:
        self.id = uuid.uuid4().hex
        self._began = monotonic()
        self._kinds = kinds
        self._on_result = on_result
        self._progress = mirror.progress
        self._listed: dict[str, asyncio.Event] = {kind.name: asyncio.Event() for kind in kinds}
        selected = frozenset(kind.name for kind in kinds)
        self.account_id = account.id
        self.writer = Writer(
            mirror.database,
            mirror.catalog,
            account_id=account.id,
            selected=selected,
            keep_raw=mirror.settings.keep_raw,
            on_rows=mirror.progress.stored,
        )
        self._session = Session(mirror.catalog, client, self.writer, mirror.progress, selected, account.id, account.created, mirror.clock())

    async def sync(self, events_from: int | None, *, full_refresh: bool, since: int | None) -> Summary:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.writer.run())
            try:
                self._session.clock.not_before(await self.writer.books(lambda ledger: ledger.begin_run(self.id)))
                await self._read(events_from, full_refresh=full_refresh, since=since)
                return await self._conclude()
            except (MirrorError, asyncio.CancelledError) as error:
                await self._lament(error)
                raise
            finally:
                self.writer.channel.close()

    async def _read(self, events_from: int | None, *, full_refresh: bool, since: int | None) -> None:
        course = await self.writer.books(
            lambda ledger: choose(
                ledger, self._kinds, now=self._session.clock.now(), events_from=events_from, full_refresh=full_refresh, since=since
            )
        )
        self._progress.phase = "reading lists"
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                if kind.name not in course.backfill:
                    self._listed[kind.name].set()
                elif kind.parent is None:
                    group.create_task(self._read_list(kind, course))
                else:
                    group.create_task(self._read_children(kind, course))
        self._progress.phase = "catching up"
        self.writer.hurry()
        standing = [kind for kind in self._kinds if not self._progress.types[kind.name].over]
        await CatchUp(self._session, standing, just_read=frozenset(course.backfill)).read()
        await self.writer.flushed()

    async def _read_list(self, kind: ObjectType, course: Course) -> None:
        slices = [
            Slice(stored.range.number, stored.range.gte, stored.range.lt, stored.cursor, stored.done)
            for stored in course.slices.get(kind.name, ())
        ]
        try:
            since = course.backfill[kind.name]
            first = Slice(0, gte=since if kind.created_filter else None)
            await ListReader(self._session, kind, slices or [first], whole=since is None).read()
        finally:
            self._listed[kind.name].set()
            self.writer.nudge()

    async def _read_children(self, kind: ObjectType, course: Course) -> None:
        """Read what the parents do not contain: from the start where some are contained, else once all parents are known."""
        assert kind.parent is not None
        parent, listed = self._progress.types[kind.parent.type], self._listed[kind.parent.type]
        if not kind.parent.embedded:
            await listed.wait()
            await self.writer.flushed()
            if not parent.over and kind.name not in course.slices:
                await self.writer.books(lambda ledger: ledger.pend_all_parents(kind))
        if not parent.over:
            reader = PendingReader(self._session, kind, "children", more_to_come=lambda: not listed.is_set())
            if kind.parent.embedded:
                self._session.hand_over[kind.name] = reader.hand_over
            await reader.read()
        mine = self._progress.types[kind.name]
        if parent.over:
            mine.end(parent.state, reason=f"its {kind.parent.type} could not be read: {parent.reason}", request_id=parent.request_id)
        if not mine.over:
            await self.writer.flushed()
            whole = course.backfill[kind.name] is None
            await self.writer.books(lambda ledger: ledger.finish(kind, created_from=None, whole=whole))

    async def _conclude(self) -> Summary:
        unreadable = await self.writer.books(lambda ledger: ledger.unreadable())
        for one in self._progress.types.values():
            if one.name in unreadable:
                one.end("failed", reason=unreadable[one.name])
            one.end("complete") if not one.over else None
        self._progress.phase = "done"
        summary = self._summary()
        state = "complete" if summary.complete else "partial"
        await self._note_end(summary, summary.results, state=state, details={"throttled": summary.throttled})
        for result in summary.results:
            self._on_result(result)
        return summary

    async def _lament(self, error: BaseException) -> None:
        """Note that the run could not be finished; if even that cannot be written, the first error says why."""
        state = "failed" if isinstance(error, MirrorError) else "interrupted"
        try:
            await self._note_end(self._summary(), (), state=state, details={"error": str(error)})
        except WarehouseError as second:
            log.warning("the run's end could not be noted: %s", second)

    async def _note_end(self, summary: Summary, results: Sequence[TypeResult], *, state: str, details: object) -> None:
        throttled = sum(summary.throttled.values())
        await self.writer.books(
            lambda ledger: ledger.end_run(
                self.id, results, state=state, requests=summary.requests, throttled=throttled, seconds=summary.seconds, details=details
            )
        )

    def _summary(self) -> Summary:
        results = tuple(
            TypeResult(one.name, one.state, one.rows, one.requests, round(one.seconds, 3), one.reason, one.request_id)
            for one in self._progress.types.values()
        )
        return Summary(
            run_id=self.id,
            account_id=self.account_id,
            results=results,
            requests=self._session.client.requests.total(),
            rows=sum(result.rows for result in results),
            seconds=round(monotonic() - self._began, 3),
            throttled=self._session.client.limiter.snapshot().throttled,
        )


async def _account(client: StripeClient) -> Stub:
    """Ask whose key this is, and since when; a restricted key may not be told."""
    try:
        return await client.get(Request("/v1/account", "GET /v1/account", Priority.FAN_OUT), read_stub, attempts=FIRST_ATTEMPTS)
    except (Refused, Missing) as error:
        log.warning("the key may not read its account (%s): rows are filed under %r", error, OWN_ACCOUNT)
        return Stub(OWN_ACCOUNT)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the error that made the others: tasks are cancelled in its wake."""
    errors = list(_leaves(group))
    return next((error for error in errors if isinstance(error, MirrorError)), errors[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
