"""Syncs several accounts with one key: its own, and those connected to it, each under limits of its own.

A few at a time, whoever is done makes room for the next; one that fails does not stop the rest. What is kept of an account
that is done are a few figures, and what is missing. How one account is synced is decided in `engine`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import httpx

from stripe_assets.api.answers import read_ids, read_stub
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, load
from stripe_assets.errors import Missing, Refused, RequestError, Unauthorized
from stripe_assets.limits.guard import Sharing
from stripe_assets.limits.limiter import Limiter
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror, Summary, first_error, prepared
from stripe_assets.sync.session import refuse_standstill
from stripe_assets.sync.settings import ALL_ACCOUNTS, Settings, known_types
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.private import private

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

        named, turn = self._named(accounts, no_limit=no_limit), asyncio.Lock()

        async def next_one() -> tuple[str | None] | None:
            async with turn:
                try:
                    async for account in named:
                        return (account,)
                except Unauthorized:
                    raise
                except RequestError as error:
                    note(Outcome(LISTING, error=str(error)))
            return None

        async def work() -> None:
            while one := await next_one():
                (account,) = one
                self.progress.begun += 1
                try:
                    summary = await self.mirror(account).sync_prepared(names, full_refresh=full_refresh, since=since, no_limit=no_limit)
                except Unauthorized:
                    raise
                except RequestError as error:
                    note(Outcome(account or OWN, error=str(error)))
                else:
                    note(_outcome(summary), summary)

        async with prepared(self.database, self.catalog, self.private):
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(AT_ONCE):
                        group.create_task(work())
            except BaseExceptionGroup as errors:
                raise first_error(errors) from errors
        return outcomes

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

    async def _named(self, accounts: Iterable[str | None] | None, *, no_limit: bool) -> AsyncIterator[str | None]:
        """Give the accounts to sync, one after the other and none twice: the key's own first."""
        wanted = (None, *self.settings.accounts) if accounts is None else tuple(accounts)
        async with self._client(no_limit=no_limit) as client:
            own = await _own_id(client) if None in wanted and len(wanted) > 1 else None
            for account in dict.fromkeys(wanted):
                if account == ALL_ACCOUNTS:
                    async for connected in _connected(client):
                        if connected != own:
                            yield connected
                elif account is None or account != own:
                    yield account

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
    while True:
        request = Request(LIST, f"GET {LIST}", Priority.FAN_OUT, dict(params))
        page, ids = await client.get(request, read_ids)
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
