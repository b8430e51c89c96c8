"""Syncs a simulated account inside the test's process, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import virtual_time

from stripe_assets.catalog.types import Catalog, load
from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import application
from stripe_assets.simulator.in_process import Line
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary

NOW = 1_790_000_000
"""The simulated present of accounts whose story does not depend on the day of the test."""

FEW = tuple(kind.name for kind in load() if kind.tested == "0.1.0")
"""A fifth of the types, those that most accounts live by: where it does not matter which, all would only take longer."""


@dataclass
class World:
    """A simulated account, served in the process, and the file that mirrors it."""

    database: Path
    account: Account
    options: dict[str, Any] = field(default_factory=dict)
    key: str = "sk_test_simulator"
    rate_limit: float = 100.0
    clock: float = 0.0
    mirror: Mirror | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    catalog: Catalog | None = None

    def __post_init__(self) -> None:
        self.app = application(self.account, **self.options)

    def sync(
        self,
        types: Iterable[str] = (),
        *,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
        **options: Any,
    ) -> Summary:
        """Run one sync by `mirror`; `meanwhile` runs beside it. Afterwards `clock` holds the seconds it took, in virtual time."""
        mirror = self.mirror = Mirror(
            Settings(api_key=self.key, api_base="http://stripe.test", duckdb=self.database, rate_limit=self.rate_limit, **self.settings),
            catalog=self.catalog,
            transport=Line(self.app),
            sharing=lambda _allowance: InProcess(),
        )

        async def main() -> Summary:
            beside = asyncio.ensure_future(meanwhile()) if meanwhile is not None else None
            try:
                summary = await mirror.sync(types, **options)
            finally:
                if beside is not None:
                    await beside
            self.clock = asyncio.get_running_loop().time()
            return summary

        return virtual_time.run(main())

    def asked(self, path: str) -> list[Any]:
        """Give the requests that a path has answered."""
        return [request for request in self.app.requests if request.path == path]
