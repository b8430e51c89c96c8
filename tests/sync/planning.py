"""Plans a sync of a simulated account, as of the account's own present, and tells a plan beside what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import virtual_time
from mirroring import World

from stripe_assets.catalog.types import Catalog
from stripe_assets.limits.guard import InProcess
from stripe_assets.limits.limiter import Limits
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.forecast import Forecast
from stripe_assets.sync.plan import Plan, plan
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary

LIMITS = Limits(100.0, 25.0)


def planned(world: World, types: Iterable[str] = (), *, catalog: Catalog | None = None, **options: Any) -> Plan:
    """Plan a sync of the world by a clock that shows the account's time."""
    mirror = Mirror(
        Settings(api_key=world.key, api_base="http://stripe.test", duckdb=world.database, rate_limit=world.rate_limit),
        catalog=catalog,
        transport=httpx.ASGITransport(world.app),
        sharing=lambda _allowance: InProcess(),
        clock=lambda: Clock(wall=lambda: world.account.now),
    )
    return virtual_time.run(plan(mirror, types, **options))


@dataclass(frozen=True)
class Outcome:
    """A forecast, and the sync that followed."""

    what: str
    forecast: Forecast
    summary: Summary
    asked: int = 0

    @property
    def made(self) -> dict[str, int]:
        """The requests of each type."""
        return {result.type: result.requests for result in self.summary.results}

    @property
    def off(self) -> float:
        """By how many requests the forecast is off, in all."""
        return abs(self.forecast.requests.value - self.summary.requests)

    def __str__(self) -> str:
        lines = [f"{one.type:40} {one.way:10} {one.requests!s:>8} forecast {self.made[one.type]:>8} made" for one in self.forecast.types]
        total = f"{self.what}: {self.forecast.requests} forecast, {self.summary.requests} made, {self.asked} asked to find out"
        return "\n".join(["", *lines, total])
