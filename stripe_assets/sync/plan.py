"""Plans a sync without making it: what the mirror knows, completed by what the account shows, becomes a forecast.

The decisions belong in `forecast`, the requests in `probe`; how a plan is told, in `commands`.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import duckdb

from stripe_assets.catalog.allocation import DAYS, PROCESSED, TRANSACTIONS
from stripe_assets.errors import WarehouseError
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import Forecast, allotment, forecast
from stripe_assets.sync.known import Asked, census, is_whole, situation
from stripe_assets.sync.probe import DAY, Probe
from stripe_assets.warehouse.census import Census, count_where

FIRST_DAY = 1_293_840_000
"""2011, when Stripe opened: nothing is older, where the key may not be told when the account was opened."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sync would take; `asked` requests it took to find out.

    `transactions` are those of the last 30 days, by which Stripe allots reads. Without leave to read events (`blind`) most
    types are read whole each time.
    """

    account_id: str
    sync: Forecast
    transactions: Figure
    limits: Limits
    asked: int
    blind: bool

    @property
    def allotted(self) -> Figure:
        """The reads that Stripe allots in 30 days."""
        return allotment(self.transactions)

    @property
    def share(self) -> Figure:
        """The part of them that the sync takes; at least that, where it is not known how much it takes."""
        return self.sync.allotted_reads * (1 / self.allotted.value)


async def plan(mirror: Mirror, types: Iterable[str] = (), *, full_refresh: bool = False, since: int | None = None) -> Plan:
    """Plan a sync with these options. Raises `ConfigurationError`, `Unauthorized`, `WarehouseError` and `Transient`."""
    catalog, limits = mirror.catalog, mirror.settings.limits()
    async with mirror.opened(types) as opening:
        now = opening.clock.now()
        asked = Asked(opening.kinds, opening.account_id, now, opening.newest, full_refresh=full_refresh, since=since)
        with ThreadPoolExecutor(1, thread_name_prefix="count") as thread:  # the file may have to be waited for
            counted, sold = await asyncio.get_running_loop().run_in_executor(thread, _counted, mirror, asked)
        known = situation(catalog, asked, counted)
        created = opening.account.stub.created
        probe = Probe(opening.client, catalog, known, counted, asked, opened=created if created is not None else FIRST_DAY)
        found = await probe.look()
        sold = sold if sold is not None else await probe.transactions()
        made = opening.client.requests.total()
    return Plan(opening.account_id, forecast(found, limits), sold, limits, made, opening.newest is None)


def _counted(mirror: Mirror, asked: Asked) -> tuple[Census, Figure | None]:
    """Count what the mirror has of these types, and its transactions: none if it does not have all of them."""
    try:
        if not mirror.database.path.exists():
            return Census(), None
        with mirror.database.open(read_only=True) as connection:
            mirror.database.refuse_newer(connection)
            counted = census(connection, mirror.catalog, asked)
            checkpoint = counted.checkpoints.get(TRANSACTIONS)
            if checkpoint is None or not is_whole(checkpoint) or checkpoint.events_from is None:
                return counted, None
            count = count_where(
                connection, mirror.catalog[TRANSACTIONS], PROCESSED, account_id=asked.account_id, since=asked.now - DAYS * DAY
            )
    except OSError as error:
        raise WarehouseError(
            f"{mirror.database.path} cannot be reached ({error.strerror}): choose another file with STRIPE_DUCKDB, or mend its permissions"
        ) from error
    except duckdb.Error as error:
        raise WarehouseError(
            f"{mirror.database.path} cannot be read ({str(error).splitlines()[0]}): sync once, or choose another file"
        ) from error
    days = DAYS - max(0, (asked.newest or 0) - checkpoint.events_from) / DAY
    if days < DAYS / 2:
        return counted, None  # the mirror is too old to tell
    return counted, Figure(count) if days == DAYS else Figure(count * DAYS / days, Sure.ESTIMATED)
