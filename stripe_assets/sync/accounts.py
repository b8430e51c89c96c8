"""Does with several accounts of one key what is done with one: its own, and those connected to it, each under limits of its own.

A few at a time, whoever is done makes room for the next; one that fails does not stop the rest. What is kept of an account
that is done are a few figures, and what is missing. How one account is synced is decided in `engine`.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import duckdb
import httpx

from stripe_assets.api.answers import read_ids, read_stub
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, load
from stripe_assets.errors import CursorLost, Missing, Refused, RequestError, Unauthorized, WarehouseError
from stripe_assets.limits.guard import Sharing
from stripe_assets.limits.limiter import Limiter
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror, first_error, prepared
from stripe_assets.sync.lists import LOST_CURSORS
from stripe_assets.sync.redrive import reach
from stripe_assets.sync.session import refuse_standstill
from stripe_assets.sync.settings import ALL_ACCOUNTS, Settings, known_types
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import Ledger, TypeResult
from stripe_assets.warehouse.private import private

log = logging.getLogger(__name__)
T = TypeVar("T")
_Turn = tuple[str | None, RequestError | None]
"""An account whose turn it is (None: the key's own), or why it cannot be."""

AT_ONCE = 4
"""Accounts that are synced side by side. Each has a limit of its own; all share the file, the memory and the connections."""
ACCOUNT, LIST = "/v1/account", "/v1/accounts"
OWN = "the key's own account"
LISTING = "the list of connected accounts"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one account's sync ended: its totals, the types that are not complete, or the `error` that ended it."""

    account_id: str
    rows: int = 0
    requests: int = 0
    seconds: float = 0.0
    missing: tuple[TypeResult, ...] = ()
    error: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is in the mirror."""
        return self.error is None and not self.missing


@dataclass(slots=True)
class Accounts:
    """How far a run over several accounts is, for everyone who watches it."""

    begun: int = 0
    done: int = 0
    incomplete: int = 0
    rows: int = 0
    requests: int = 0


class Platform:
    """Syncs the key's own account and the connected ones that the settings name into one DuckDB file."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], Clock] = Clock,
        sharing: Callable[[str], Sharing] | None = None,
    ) -> None:
        """Prepare; nothing is opened or sent yet. The arguments are those of `Mirror`."""
        self.settings = settings
        self.catalog = catalog or load()
        self.private = private(self.catalog, exclude=settings.exclude_columns, hashed=settings.hash_columns, key=settings.hash_key)
        self.database = Database(settings.duckdb)
        self.progress = Accounts()
        self._transport = transport
        self._clock = clock
        self._sharing = sharing

    async def sync(
        self,
        types: Iterable[str] = (),
        *,
        accounts: Iterable[str | None] | None = None,
        full_refresh: bool = False,
        since: int | None = None,
        no_limit: bool = False,
        on_account: Callable[[Outcome, Summary | None], None] = lambda _outcome, _summary: None,
    ) -> list[Outcome]:
        """Mirror the named types (all without names) of every account, or of these (None: the key's own).

        `on_account` is told how each ended, with its summary if it has one. Raises `ConfigurationError`, `Unauthorized` and
        `WarehouseError`; what goes wrong with one account is told in its outcome instead.
        """
        names = known_types(self.catalog, types)
        outcomes: list[Outcome] = []

        def note(outcome: Outcome, summary: Summary | None = None) -> None:
            outcomes.append(outcome)
            self.progress.done += 1
            self.progress.incomplete += not outcome.complete
            self.progress.rows += outcome.rows
            self.progress.requests += outcome.requests
            on_account(outcome, summary)

        async def work(mirror: Mirror) -> Summary:
            self.progress.begun += 1
            return await mirror.sync_prepared(names, full_refresh=full_refresh, since=since, no_limit=no_limit)

        async def ended(mirror: Mirror | None, account_id: str, result: Summary | RequestError) -> None:
            if not isinstance(result, RequestError):
                note(_outcome(result), result)
                return
            if account_id != LISTING and (mirror is None or mirror.writer is None):  # else the run has told of itself
                await self._note_failure(account_id, mirror, result)
            note(Outcome(account_id, error=str(result)))

        async with prepared(self.database, self.catalog, self.private):
            await self.each(work, ended, accounts=accounts, no_limit=no_limit)
        return outcomes

    async def redrive(
        self, accounts: Mapping[str | None, frozenset[str]], *, known: frozenset[str]
    ) -> list[tuple[str, Summary | RequestError]]:
        """Ask again, of each of these accounts (None: the key's own), for what failed of its types; `known` are the types that are begun.

        Raises what `sync` raises; gives how each ended.
        """
        ends: list[tuple[str, Summary | RequestError]] = []

        async def work(mirror: Mirror) -> Summary:
            mirror.only = accounts[mirror.account]
            names = reach(self.catalog, mirror.only, known)
            return await mirror.sync_prepared(names, full_refresh=False, since=None, no_limit=False)

        async def ended(mirror: Mirror | None, account_id: str, result: Summary | RequestError) -> None:
            if isinstance(result, RequestError) and (mirror is None or mirror.writer is None):
                await self._note_failure(account_id, mirror, result)
            ends.append((result.account_id if isinstance(result, Summary) else account_id, result))

        async with prepared(self.database, self.catalog, self.private):
            await self.each(work, ended, accounts=accounts)
        return ends

    async def each(
        self,
        work: Callable[[Mirror], Awaitable[T]],
        ended: Callable[[Mirror | None, str, T | RequestError], Awaitable[None]],
        *,
        accounts: Iterable[str | None] | None = None,
        no_limit: bool = False,
    ) -> None:
        """Do some work for every account, or for these (None: the key's own), a few side by side.

        `ended` is told how that ended: what the work gave, or the error, which stops nothing but this account; without a mirror
        where it was not even begun. Raises `Unauthorized`, and whatever else is not about one account.
        """
        named, turn = self._named(accounts, no_limit=no_limit), asyncio.Lock()

        async def next_one() -> _Turn | None:
            async with turn:
                return await anext(named, None)

        async def one_by_one() -> None:
            while found := await next_one():
                account, error = found
                if error is not None:
                    await ended(None, account or OWN, error)
                    continue
                mirror = self.mirror(account)
                try:
                    result: T | RequestError = await work(mirror)
                except Unauthorized:
                    raise
                except RequestError as failure:
                    result = failure
                await ended(mirror, account or OWN, result)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(one_by_one())
        except BaseExceptionGroup as errors:
            raise first_error(errors) from errors

    def mirror(self, account: str | None) -> Mirror:
        """Give the engine for one account, which shares the file and the memory with others."""
        return Mirror(
            self.settings,
            catalog=self.catalog,
            transport=self._transport,
            clock=self._clock,
            sharing=self._sharing,
            account=account,
            beside=AT_ONCE - 1,
            database=self.database,
        )

    async def _named(self, accounts: Iterable[str | None] | None, *, no_limit: bool) -> AsyncIterator[_Turn]:
        """Give the accounts, one after the other and none twice, the key's own first; with an error those that need not be asked."""
        wanted = list(dict.fromkeys((None, *self.settings.accounts) if accounts is None else accounts))
        own: str | None = None
        async with self._client(no_limit=no_limit) as client:
            try:
                own = await _own_id(client) if None in wanted and len(wanted) > 1 else None
            except Unauthorized:
                raise
            except RequestError as error:  # whoever cannot be asked this cannot be asked anything
                for account in wanted:
                    yield LISTING if account == ALL_ACCOUNTS else account, error
                return
            for account in wanted:
                if account != ALL_ACCOUNTS:
                    if account is None or account != own:
                        yield account, None
                    continue
                try:
                    async for connected in _connected(client):
                        if connected != own:
                            yield connected, None
                except Unauthorized:
                    raise
                except RequestError as error:
                    yield LISTING, error

    async def own_id(self) -> str | None:
        """Ask whose key this is; None where it may not be told. Raises `RequestError`."""
        async with self._client(no_limit=False) as client:
            return await _own_id(client)

    async def _note_failure(self, account_id: str, mirror: Mirror | None, error: RequestError) -> None:
        """Make a run of it that an account could not be read at all; if even that cannot be written, the error is told all the same."""
        requests = mirror.limiter.snapshot().granted if mirror is not None and mirror.limiter is not None else 0

        def write() -> None:
            with self.database.open() as connection:
                Ledger(connection, "" if account_id == OWN else account_id).fail_run(uuid.uuid4().hex, str(error), requests=requests)

        try:
            with ThreadPoolExecutor(1, thread_name_prefix="note") as thread:  # the file may have to be waited for
                await asyncio.get_running_loop().run_in_executor(thread, write)
        except (WarehouseError, duckdb.Error) as second:
            log.warning("that %s could not be read could not be noted: %s", account_id, second)

    async def connected(self) -> list[str]:
        """List the accounts that are connected to the key's. Raises `RequestError`."""
        async with self._client(no_limit=False) as client:
            return [account async for account in _connected(client)]

    def _client(self, *, no_limit: bool) -> StripeClient:
        return StripeClient(
            api_key=self.settings.api_key,
            base_url=self.settings.api_base,
            api_version=self.catalog.api_version,
            limiter=Limiter(self.settings.limits(lifted=no_limit)),
            transport=self._transport,
        )


async def _connected(client: StripeClient) -> AsyncIterator[str]:
    """Give the ids of connected accounts, page by page, and none twice. Raises `RequestError`."""
    params: dict[str, str | int] = {"limit": 100}
    seen: set[str] = set()
    lost = 0
    while True:
        request = Request(LIST, f"GET {LIST}", Priority.FAN_OUT, dict(params))
        try:
            page, ids = await client.get(request, read_ids)
        except CursorLost:
            lost += 1
            if lost > LOST_CURSORS:
                raise
            del params["starting_after"]  # that account has gone meanwhile: from the first on again
            continue
        for account in ids:
            if account not in seen:
                seen.add(account)
                yield account
        refuse_standstill(page, request)
        if not page.has_more or page.cursor is None:
            return
        params["starting_after"] = page.cursor


async def _own_id(client: StripeClient) -> str | None:
    """Ask whose key this is; a restricted key may not be told."""
    try:
        return (await client.get(Request(ACCOUNT, f"GET {ACCOUNT}", Priority.FAN_OUT), read_stub)).id
    except (Refused, Missing):
        return None


def _outcome(summary: Summary) -> Outcome:
    missing = tuple(result for result in summary.results if result.state != "complete")
    return Outcome(summary.account_id, summary.rows, summary.requests, summary.seconds, missing)
