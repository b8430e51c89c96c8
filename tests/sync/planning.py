"""Plans a sync of a simulated account, as of the account's own present, and tells a plan beside what came of it."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import duckdb
import httpx
import virtual_time
from mirroring import World

from stripe_assets.catalog.types import Catalog
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror, Summary
from stripe_assets.sync.forecast import Forecast
from stripe_assets.sync.known import expect
from stripe_assets.sync.plan import Plan, plan
from stripe_assets.sync.settings import Settings

LIMITS = Limits(100.0, 25.0)


def as_of_now(world: World) -> Mirror:
    """Give a mirror on a copy of the world's file whose notes, and whose clock, are of the account's present.

    The sync notes the machine's time in the file, the account lives in another.
    """
    copy = world.database.with_name("planned.duckdb")
    copy.unlink(missing_ok=True)
    if world.database.exists():
        shutil.copy(world.database, copy)
        with duckdb.connect() as connection:
            connection.execute(f"attach '{copy}' as planned")
            connection.execute(f"update planned.stripe_sync.checkpoints set updated_at = to_timestamp({world.account.now})")
    return Mirror(
        Settings(api_key=world.key, api_base="http://stripe.test", duckdb=copy, rate_limit=world.rate_limit),
        transport=httpx.ASGITransport(world.app),
        clock=lambda: Clock(wall=lambda: world.account.now),
    )


def planned(world: World, types: Iterable[str] = (), *, catalog: Catalog | None = None, **options: Any) -> Plan:
    """Plan a sync of the world."""
    mirror = as_of_now(world)
    mirror.catalog = catalog or mirror.catalog
    return virtual_time.run(plan(mirror, types, **options))


def expected(world: World, *, full_refresh: bool = False) -> Forecast:
    """Forecast a sync of the world from its file alone."""
    mirror = as_of_now(world)
    with mirror.database.open() as connection:
        return expect(
            connection,
            mirror.catalog,
            tuple(mirror.catalog),
            account_id=world.account.id,
            now=world.account.now,
            limits=LIMITS,
            full_refresh=full_refresh,
            since=None,
        )


@dataclass(frozen=True)
class Outcome:
    """A forecast, and the sync that followed."""

    what: str
    forecast: Forecast
    summary: Summary
    asked: int = 0

    @property
    def off(self) -> float:
        """By how many requests the forecast is off, in all."""
        return abs(self.forecast.requests.value - self.summary.requests)

    def __str__(self) -> str:
        made = {result.type: result.requests for result in self.summary.results}
        lines = [f"{one.type:40} {one.way:10} {one.requests!s:>8} forecast {made[one.type]:>8} made" for one in self.forecast.types]
        total = f"{self.what}: {self.forecast.requests} forecast, {self.summary.requests} made, {self.asked} asked to find out"
        return "\n".join(["", *lines, total])
