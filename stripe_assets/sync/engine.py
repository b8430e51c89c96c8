"""Runs a sync from end to end: what is new is read whole, what is known is caught up, and every type ends with a word.

How a type is begun or gone on with is decided in `course`; the lists are read by `backfill`, what changed by `changes`.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from time import monotonic

import httpx

from stripe_assets.api.client import StripeClient
from stripe_assets.catalog.types import Catalog, ObjectType, load
from stripe_assets.errors import MirrorError, WarehouseError
from stripe_assets.limits.guard import Sharing
from stripe_assets.limits.limiter import Limiter
from stripe_assets.limits.shared_file import default_folder
from stripe_assets.limits.sharing import open_sharing
from stripe_assets.limits.tally import Snapshot, Tally
from stripe_assets.queues.background import Background
from stripe_assets.sync.backfill import Backfill
from stripe_assets.sync.changes import CatchUp, newest_event
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.comparison import Comparison, compare
from stripe_assets.sync.course import choose
from stripe_assets.sync.forecast import Forecast
from stripe_assets.sync.known import Asked, expect
from stripe_assets.sync.opening import ACCOUNT, Opening, own_account, ways_around
from stripe_assets.sync.progress import RunProgress, TypeProgress
from stripe_assets.sync.redrive import Redrive, reach
from stripe_assets.sync.session import Session, end_with_owners
from stripe_assets.sync.settings import Settings, known_types
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.private import Private, private
from stripe_assets.warehouse.writer import Writer

log = logging.getLogger(__name__)

FULL = 0.6
"""Share of the room between network and database beyond which nothing more is asked for: the rest is for what is under
way, 64 pages of 400 kB (those of charges), so that nothing is fetched that cannot be stored."""
A_DAY = 86_400.0
"""Seconds by which clocks may differ without that being told: events are kept for a day longer than the mirror counts on."""
REPORTED_WITHIN = 5.0
"""Seconds that whoever is told how types ended may take at the end of a run: what they do with it is no part of the sync."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended: one result a type, and what it took.

    `limiter` is the limiter at the end, `tally` what it let through when, `forecast` what the mirror expected at its start,
    `missed` the types that were read again because events since their last sync are not kept any more, with the days since.
    """

    run_id: str
    account_id: str
    results: tuple[TypeResult, ...]
    requests: int
    rows: int
    seconds: float
    limiter: Snapshot
    tally: Tally
    forecast: Forecast | None = None
    missed: Mapping[str, int] = field(default_factory=dict)

    @property
    def comparison(self) -> Comparison | None:
        """What was forecast beside what it was; none of a run that ended before there was a forecast."""
        if self.forecast is None:
            return None
        return compare(self.forecast, self.results, requests=self.requests, seconds=self.seconds)

    @property
    def throttled(self) -> dict[str, int]:
        """429s by reason."""
        return self.limiter.throttled

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is in the mirror."""
        return all(result.state == "complete" for result in self.results)


class Mirror:
    """Syncs one Stripe account into one DuckDB file: the key's own, or a connected one that is named."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], Clock] = Clock,
        sharing: Callable[[str], Sharing] | None = None,
        account: str | None = None,
        beside: int = 0,
        database: Database | None = None,
    ) -> None:
        """Prepare; nothing is opened or sent yet. `transport` and `clock` replace the network and the time in tests.

        `sharing` opens what counts an account's requests, where that is not what the settings say. `account` is a connected
        one's id. `beside` so many others of the same process, through the same `database`: each takes its part of the memory
        and of the connections. Raises `ConfigurationError` for private columns that there are not.
        """
        self.catalog = catalog or load()
        self.settings = settings
        self.private = private(self.catalog, exclude=settings.exclude_columns, hashed=settings.hash_columns, key=settings.hash_key)
        self.database = database or Database(settings.duckdb)
        self.account = account
        self.part = 1 / (1 + beside)
        self.progress = RunProgress()
        self.limiter: Limiter | None = None
        self.writer: Writer | None = None
        self._transport = transport
        self._sharing = sharing or self._shared
        self.clock = clock
        self.only: frozenset[str] | None = None

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
        names = known_types(self.catalog, types)
        async with prepared(self.database, self.catalog, self.private):
            return await self.sync_prepared(names, full_refresh=full_refresh, since=since, no_limit=no_limit, on_result=on_result)

    async def sync_prepared(
        self,
        names: frozenset[str],
        *,
        full_refresh: bool,
        since: int | None,
        no_limit: bool,
        on_result: Callable[[TypeResult], None] = lambda _result: None,
    ) -> Summary:
        """Do as `sync` does, in a file that is `prepared`."""
        async with AsyncExitStack() as stack:
            try:
                opening = await stack.enter_async_context(self.opened(names, no_limit=no_limit))
                self.progress.types.update({kind.name: TypeProgress(kind.name) for kind in opening.kinds})
                background = Background()
                stack.push_async_callback(background.close, within=REPORTED_WITHIN)

                async def report(result: TypeResult) -> None:
                    on_result(result)

                run = _Run(self, opening, lambda result: background.submit("progress", report, result))
                self.writer = run.writer
                stack.callback(run.writer.close)
                return await run.sync(full_refresh=full_refresh, since=since)
            except BaseExceptionGroup as errors:
                raise first_error(errors) from errors

    @asynccontextmanager
    async def opened(self, types: Iterable[str] = (), *, no_limit: bool = False) -> AsyncIterator[Opening]:
        """Ask what every run asks first, under the account's limits; the client goes on asking until the end of the block.

        Raises `ConfigurationError` and `Unauthorized`.
        """
        names = known_types(self.catalog, types)
        async with AsyncExitStack() as stack:
            self.limiter = Limiter(self.settings.limits(lifted=no_limit, part=self.part))
            stack.callback(self.limiter.close)
            client = await stack.enter_async_context(self._client(self.limiter))
            try:
                # The events before the first list: what changes while the lists are read is told by those after this one.
                async with asyncio.TaskGroup() as group:
                    account, newest = group.create_task(own_account(client, self.account)), group.create_task(newest_event(client))
                    ways = group.create_task(ways_around(client, self.catalog.with_parents(names)))
            except BaseExceptionGroup as errors:
                raise first_error(errors) from errors
            self.limiter.share(self._sharing(self.settings.allowance_of(account.result().stub.id)))
            clock = self.clock()
            clock.follow(client.date)
            yield Opening(client, clock, account.result(), newest.result(), self._kinds(names | ways.result()))

    async def redrive(
        self, types: Iterable[str], *, known: Iterable[str], on_result: Callable[[TypeResult], None] = lambda _result: None
    ) -> Summary:
        """Ask again only for what failed for good of these types, and for what could not be read because of that.

        `known` are the types that the mirror has begun. Raises what `sync` raises; its results are of the types that were tried.
        """
        self.only = known_types(self.catalog, types)
        return await self.sync(reach(self.catalog, self.only, frozenset(known)), on_result=on_result)

    def _kinds(self, names: frozenset[str]) -> tuple[ObjectType, ...]:
        """Give the named types and those that their objects are found by."""
        kinds = self.catalog.with_parents(names)
        hiding = {kind.hidden_under.type for kind in kinds if kind.hidden_under is not None} & set(self.catalog.names)
        return self.catalog.with_parents({*names, *hiding}) if not self.settings.live else kinds

    def _shared(self, allowance: str) -> Sharing:
        return open_sharing(self.settings.limiter, account=allowance, folder=default_folder())

    def _client(self, limiter: Limiter) -> StripeClient:
        settings = self.settings
        return StripeClient(
            api_key=settings.api_key,
            base_url=settings.api_base,
            api_version=self.catalog.api_version,
            account=self.account,
            limiter=limiter,
            transport=self._transport,
        )


class _Run:
    """One sync of one account, with everything open."""

    def __init__(
        self,
        mirror: Mirror,
        opening: Opening,
        on_result: Callable[[TypeResult], object],
    ) -> None:
        self.id = uuid.uuid4().hex
        self._began = monotonic()
        self._forecast: Forecast | None = None
        self._missed: Mapping[str, int] = {}
        self._kinds = opening.kinds
        self._newest = opening.newest
        self._on_result = on_result
        self._progress = mirror.progress
        self._account = opening.account.answer
        self._only = mirror.only
        selected = frozenset(kind.name for kind in opening.kinds)
        self.account_id = opening.account_id
        self.writer = Writer(
            mirror.database,
            mirror.catalog,
            account_id=self.account_id,
            selected=selected,
            keep_raw=mirror.settings.keep_raw,
            private=mirror.private,
            on_rows=mirror.progress.stored,
            part=mirror.part,
        )
        stub = opening.account.stub
        self._session = Session(
            mirror.catalog, opening.client, self.writer, mirror.progress, selected, stub.id, stub.created, opening.clock
        )

    async def sync(self, *, full_refresh: bool, since: int | None) -> Summary:
        limiter = self._session.client.limiter
        limiter.room_for_answers = lambda: self.writer.channel.fullness < FULL
        async with asyncio.TaskGroup() as group:
            group.create_task(self.writer.run())
            waking = group.create_task(self._wake(limiter))
            try:
                latest = await self.writer.books(lambda ledger: max(ledger.begin_run(self.id), ledger.latest_reading(self._kinds)))
                self._session.begin(not_before=latest)
                await self._read(full_refresh=full_refresh or self._is_dated_ahead(), since=since)
                return await self._conclude()
            except (MirrorError, asyncio.CancelledError) as error:
                await self._lament(error)
                raise
            finally:
                waking.cancel()
                self.writer.channel.close()

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
            await self.writer.next_chunk()
            limiter.wake()

    async def _read(self, *, full_refresh: bool, since: int | None) -> None:
        if self._only is not None:
            self._progress.phase = "trying again"
            await Redrive(self._session, self._kinds, self._only, {ACCOUNT: self._account}).read()
            return
        asked = Asked(self._kinds, self.account_id, self._session.clock.now(), self._newest, full_refresh=full_refresh, since=since)
        limits = self._session.client.limiter.limits
        self._forecast = await self.writer.call(lambda connection: expect(connection, self._session.catalog, asked, limits))
        course = await self.writer.books(
            lambda ledger: choose(ledger, self._kinds, now=asked.now, events_from=self._newest, full_refresh=full_refresh, since=since)
        )
        if course.missed:
            self._missed = course.missed
        below = {kind.name for kind in self._kinds if kind.parent is not None and not kind.parent.embedded}
        self.writer.begun = frozenset(below & course.backfill.keys())
        self._progress.phase = "reading lists"
        await Backfill(self._session, self._kinds, course, {ACCOUNT: self._account}).read()
        self._progress.phase = "catching up"
        self.writer.hurry()
        standing = [kind for kind in self._kinds if not end_with_owners(self._session, kind)]
        await CatchUp(self._session, standing, just_read=frozenset(course.backfill)).read()
        await self.writer.flushed()

    async def _conclude(self) -> Summary:
        unreadable = await self.writer.books(lambda ledger: ledger.unreadable())
        for one in self._progress.types.values():
            if one.name in unreadable:
                one.end("failed", reason=unreadable[one.name])
            one.end("complete") if not one.over else None
        self._progress.phase = "done"
        summary = self._summary()
        state = "complete" if summary.complete else "partial"
        await self._note_end(summary, summary.results, state=state, details=_details(summary))
        for result in summary.results:
            self._on_result(result)
        return summary

    async def _lament(self, error: BaseException) -> None:
        """Note that the run could not be finished; if even that cannot be written, the first error says why."""
        state = "failed" if isinstance(error, MirrorError) else "interrupted"
        summary = self._summary()
        try:
            await self._note_end(summary, (), state=state, details={"error": str(error), **_details(summary)})
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
                self.writer.misfits(one.name),
            )
            for one in self._progress.types.values()
        )
        return Summary(
            run_id=self.id,
            account_id=self.account_id,
            results=results,
            requests=self._session.client.requests.total(),
            rows=sum(result.rows for result in results),
            seconds=round(monotonic() - self._began, 3),
            limiter=limiter.snapshot(),
            tally=limiter.tally,
            forecast=self._forecast,
            missed=self._missed,
        )


def _details(summary: Summary) -> dict[str, object]:
    """Give what is kept about a run besides its figures."""
    found = summary.comparison
    forecast = {"forecast": asdict(found)} if found is not None else {}
    missed = {"missed events": dict(summary.missed)} if summary.missed else {}
    return {"limiter": asdict(summary.limiter), **forecast, **missed}


@asynccontextmanager
async def prepared(database: Database, catalog: Catalog, private: Private) -> AsyncIterator[None]:
    """Hold the right to sync into a file for the length of the block, and bring it up to date first."""
    with database.only_sync():
        with ThreadPoolExecutor(1, thread_name_prefix="prepare") as thread:  # the file may have to be waited for
            await asyncio.get_running_loop().run_in_executor(thread, database.prepare, catalog, private)
        yield


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Give the error that made the others: tasks are cancelled in its wake."""
    errors = list(_leaves(group))
    return next((error for error in errors if isinstance(error, MirrorError)), errors[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterable[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
