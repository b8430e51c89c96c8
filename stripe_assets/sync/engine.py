"""The mirror of one account: opens the limits, the client and the writer, and lets a run be with them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from stripe_assets.api.client import StripeClient
from stripe_assets.catalog.types import Catalog, ObjectType, load
from stripe_assets.errors import MirrorError
from stripe_assets.limits.guard import Sharing
from stripe_assets.limits.limiter import Limiter
from stripe_assets.limits.shared_file import default_folder
from stripe_assets.limits.sharing import open_sharing
from stripe_assets.queues.background import Background
from stripe_assets.sync.changes import newest_event
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.opening import Opening, own_account, ways_around
from stripe_assets.sync.progress import RunProgress, TypeProgress
from stripe_assets.sync.redrive import reach
from stripe_assets.sync.run import Run
from stripe_assets.sync.settings import Settings, known_types
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.private import Private, private
from stripe_assets.warehouse.writer import Writer

REPORTED_WITHIN = 5.0
"""Seconds that whoever is told how types ended may take at the end of a run: what they do with it is no part of the sync."""


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

                def told(result: TypeResult) -> None:
                    background.submit("progress", report, result)

                self.writer = self._writer(opening)
                stack.callback(self.writer.close)
                run = Run(opening, self.writer, self.catalog, self.progress, only=self.only, on_result=told)
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
            until = newest.result()
            present = until if until is None else min(until, int(clock.now()))  # what is from the future leaves room for what comes before
            yield Opening(client, clock, account.result(), present, self._kinds(names | ways.result()))

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

    def _writer(self, opening: Opening) -> Writer:
        return Writer(
            self.database,
            self.catalog,
            account_id=opening.account_id,
            selected=frozenset(kind.name for kind in opening.kinds),
            keep_raw=self.settings.keep_raw,
            private=self.private,
            on_rows=self.progress.stored,
            part=self.part,
        )

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
