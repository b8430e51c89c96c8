"""Plans a sync without making it: what the mirror knows, completed by what the account shows, becomes a forecast.

The decisions belong in `forecast`, the requests in `probe` and `pace`; how a plan is told, in `commands`.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import duckdb

from stripe_assets.catalog.allocation import DAYS, PROCESSED, TRANSACTIONS
from stripe_assets.catalog.types import ObjectType
from stripe_assets.errors import WarehouseError
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import Forecast, allotment, forecast
from stripe_assets.sync.known import DAY, census, is_whole, situation
from stripe_assets.sync.looks import Looks
from stripe_assets.sync.pace import transactions, with_events
from stripe_assets.sync.probe import Probe, ways_around
from stripe_assets.sync.settings import known_types
from stripe_assets.warehouse.census import MONTH, Census, count_where

FIRST_DAY = 1_293_840_000
"""2011, when Stripe opened: nothing is older, where the key may not be told when the account was opened."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sync would take, and one each night once it is done; `asked` requests it took to find out.

    `transactions` are those of the last 30 days, by which Stripe allots reads. Without leave to read events (`blind`) most
    types are read whole each time.
    """

    account_id: str
    sync: Forecast
    night: Forecast
    transactions: Figure
    limits: Limits
    asked: int
    blind: bool

    @property
    def allotted(self) -> Figure:
        """The reads that Stripe allots in 30 days."""
        return allotment(self.transactions)


async def plan(mirror: Mirror, types: Iterable[str] = (), *, full_refresh: bool = False, since: int | None = None) -> Plan:
    """Plan a sync with these options. Raises `ConfigurationError`, `Unauthorized`, `WarehouseError` and `Transient`."""
    catalog, limits = mirror.catalog, mirror.settings.limits()
    names = known_types(catalog, types)
    now = mirror.clock().now()
    async with mirror.connected() as (client, account):
        looks = Looks(client, catalog, names)
        kinds = catalog.with_parents(names | await ways_around(looks, catalog.with_parents(names)))
        with ThreadPoolExecutor(1, thread_name_prefix="count") as thread:  # the file may have to be waited for
            counted, sold = await asyncio.get_running_loop().run_in_executor(thread, _counted, mirror, kinds, account.id, since, now)
        known = situation(catalog, kinds, counted, now=now, full_refresh=full_refresh, since=since)
        opened = account.created if account.created is not None else FIRST_DAY
        begin = min(max(float(opened), now - MONTH), now - DAY)
        paced = await with_events(looks, catalog, known, counted, begin=begin, now=now)
        whole = await Probe(looks, catalog, paced, counted, opened=opened, begin=begin, now=now).look(since=since)
        sold = sold if sold is not None else await transactions(looks, catalog, now=now)
        asked = client.requests.total()
    return Plan(account.id, forecast(whole, limits), forecast(whole.nightly(), limits), sold, limits, asked, whole.events is None)


def _counted(mirror: Mirror, kinds: Iterable[ObjectType], account_id: str, since: int | None, now: float) -> tuple[Census, Figure | None]:
    """Count what the mirror has of these types, and its transactions: none if it does not have all of them."""
    if not mirror.database.path.exists():
        return Census(), None
    selling = mirror.catalog[TRANSACTIONS]
    try:
        with mirror.database.open(read_only=True) as connection:
            counted = census(connection, mirror.catalog, kinds, account_id=account_id, since=since)
            checkpoint = counted.checkpoints.get(TRANSACTIONS)
            if checkpoint is None or not is_whole(checkpoint):
                return counted, None
            count = count_where(connection, selling, PROCESSED, account_id=account_id, since=now - DAYS * DAY)
            days = min(float(DAYS), (counted.until - (now - DAYS * DAY)) / DAY)
            if days < DAYS / 2:
                return counted, None  # the mirror is too old to tell
            return counted, Figure(count) if days > DAYS - 1 else Figure(count * DAYS / days, Sure.ESTIMATED)
    except duckdb.Error as error:
        raise WarehouseError(f"{mirror.database.path} cannot be read ({str(error).splitlines()[0]}): choose another file") from error
