"""A history that a number tells: what happens in an account, what goes wrong on the way to it, and when somebody syncs."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from time import monotonic

import virtual_time
from equality import differences
from histories.happenings import HAPPENINGS
from mirroring import NOW, World

from stripe_assets.catalog.types import Catalog, Fresh, ObjectType, load
from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import Faults
from stripe_assets.simulator.in_process import Line
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary

NAMED = (
    "balance_transactions", "charges", "checkout_sessions", "coupons", "customer_balance_transactions", "customer_tax_ids", "customers",
    "events", "invoice_lines", "invoiceitems", "invoices", "payment_intents", "refunds", "setup_attempts", "setup_intents",
    "shipping_rates", "subscription_items", "subscriptions", "transfer_reversals", "transfers",
)  # fmt: skip
"""Types that reach the mirror in each of the ways there are."""
FAULTS = ("rate-limit", "concurrency", "server-error", "html", "reset", "truncated", "corrupt", "too-short", "empty-page", "timeout")
LATENCY = 0.05
LATE = 20
"""Seconds for which what was just written may be in no list."""
SYNCS, SAMPLE = 3, 5
"""Syncs of a history at most, and the types that it is about beside customers, and those that they need."""


@cache
def catalog() -> Catalog:
    """Only these types have tables: what the others cost is no part of the question."""
    whole = load()
    names = {kind.name for kind in whole.with_parents(frozenset(NAMED))} | {"test_helpers_test_clocks"}
    return Catalog(whole.api_version, [kind for kind in whole if kind.name in names], whole.event_types)


class History:
    """One account, its mirror, and everything that happens, as the number says: the same number, the same history."""

    def __init__(self, number: int, folder: Path) -> None:
        """Tell the beginning: a business of a few weeks."""
        self.chance = random.Random(number)
        account = Account(seed=number % 50, customers=self.chance.randint(2, 5), now=NOW, months=1, connected=0)
        account.catch_up(NOW + 2 * LATE)  # its beginning leaves no events for everything
        self.world = World(folder / "stripe.duckdb", account, {"latency": LATENCY}, catalog=catalog())
        self.types = tuple(sorted({"customers", *self.chance.sample(NAMED, SAMPLE)}))
        self.told = [", ".join(self.types)]
        if self.chance.random() < 0.5:
            version = self.chance.choice([None, None, "2020-08-27"])
            twice, backwards = self.chance.random() < 0.5, self.chance.random() < 0.5
            account.tell(twice=twice, backwards=backwards, version=version, late=self.chance.choice([0, LATE]))
            self.told.append(f"told twice {twice}, backwards {backwards}, as of {version}")

    def live(self) -> None:
        """Let days go by, changes happen, and syncs be begun: some meet faults, changes in their middle, or their end before it."""
        for _ in range(self.chance.randint(1, SYNCS)):
            for _ in range(self.chance.randint(0, 6)):
                self.happen()
            if self.chance.random() < 0.6:
                self.world.account.advance(days=self.chance.choice([0.001, 0.1, 1.0, 3.0, 33.0]))
            self.sync_somehow()

    def happen(self) -> None:
        """Let one thing happen to one object, by somebody who works at the account."""
        account, chance = self.world.account, self.chance
        what = chance.choice(HAPPENINGS)
        self.told.append(what.__name__)
        what(account, chance)

    def sync_somehow(self) -> None:
        """Sync, or begin to."""
        rates = dict.fromkeys(self.chance.sample(FAULTS, self.chance.randint(1, 3)), 0.08) if self.chance.random() < 0.5 else {}
        self.world.app.faults = Faults(rates, seed=self.chance.randrange(10**6))
        killed_after = self.chance.randint(1, 60) if self.chance.random() < 0.4 else None
        busy = self.chance.random() < 0.5
        options = {"full_refresh": True} if self.chance.random() < 0.1 else {}
        self.told.append(f"sync: faults {rates}, killed after {killed_after} requests, changes meanwhile {busy}, {options}")
        self._run(killed_after=killed_after, meanwhile=self._change_meanwhile if busy else None, **options)
        self.world.app.faults = Faults()

    def come_to_rest(self) -> Summary:
        """Let nothing happen any more until everything is visible, and sync."""
        self.world.account.tell(twice=False, backwards=False, version=None)
        self.world.account.catch_up(self.world.account.now + 2 * LATE)
        summary = self._run()
        assert summary is not None
        return summary

    def sync_again(self) -> list[str]:
        """Sync once more and list what was asked for, without what every run asks."""
        before = len(self.world.app.requests)
        summary = self._run()
        assert summary is not None and summary.complete
        return [f"{request.path} {request.params}" for request in self.world.app.requests[before:] if not self._is_asked_anyway(request)]

    def differences(self) -> list[str]:
        """Say where mirror and account differ."""
        return differences(self.world.database, self.world.account, catalog=catalog(), types=self.types)

    async def _change_meanwhile(self) -> None:
        """Change things while a sync is under way; time goes on as it does for who syncs."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        for _ in range(self.chance.randint(1, 6)):
            await asyncio.sleep(self.chance.uniform(0.0, 0.5))
            self.happen()
            self.world.account.catch_up(self.world.account.now + round(loop.time()) - round(last))
            last = loop.time()

    def _run(
        self, *, killed_after: int | None = None, meanwhile: Callable[[], Awaitable[None]] | None = None, **options: bool
    ) -> Summary | None:
        """Sync, or begin to: a run that is killed says nothing any more."""
        asked = 0
        halt = asyncio.Event()

        async def serve(scope: object, receive: object, send: object) -> None:
            nonlocal asked
            asked += 1
            if killed_after is not None and asked > killed_after:
                halt.set()
                await asyncio.sleep(10**6)
            await self.world.app(scope, receive, send)  # type: ignore[arg-type]  # an ASGI callable, whatever its arguments are called

        async def main() -> Summary | None:
            loop = asyncio.get_running_loop()
            settings = Settings(api_key="sk_test_simulator", api_base="http://stripe.test", duckdb=self.world.database, rate_limit=100.0)
            mirror = Mirror(
                settings,
                catalog=catalog(),
                transport=Line(serve),  # type: ignore[arg-type]  # likewise
                sharing=lambda _allowance: InProcess(),
                clock=lambda: Clock(steady=lambda: loop.time() + monotonic()),  # no two readings at one time
            )
            beside = asyncio.ensure_future(meanwhile()) if meanwhile is not None else None
            run = asyncio.ensure_future(mirror.sync(self.types, **options))
            halted = asyncio.ensure_future(halt.wait())
            await asyncio.wait({run, halted}, return_when=asyncio.FIRST_COMPLETED)
            if not run.done():
                run.cancel()
            halted.cancel()
            if beside is not None:
                await beside
            return (await asyncio.gather(run, return_exceptions=True))[0] if killed_after is not None else await run

        return virtual_time.run(main())

    def _is_asked_anyway(self, request: object) -> bool:
        path = getattr(request, "path")  # noqa: B009  # the simulator's requests are not ours to import
        kinds = [kind for kind in catalog() if _is_of(kind, path)]
        return path in ("/v1/account", "/v1/events") or any(kind.fresh is Fresh.REFRESH for kind in kinds)


def _is_of(kind: ObjectType, path: str) -> bool:
    return kind.path == path
