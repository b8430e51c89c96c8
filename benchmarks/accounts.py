"""A platform's sync: how long each connected account takes, and whether memory stays flat, however many there are.

The simulator tells an account when it is asked for and forgets it; it runs in this process, so that its memory is counted too.
"""

import asyncio
import gc
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import uvloop

from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import application
from stripe_assets.sync.accounts import Outcome, Platform
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary

TYPES = ("customers", "charges", "invoices", "events")
STRETCHES = 10


def run(*, accounts: int, seed: int = 1) -> None:
    """Sync so many connected accounts, and print time and memory after each tenth of them."""
    account = Account(seed=seed, customers=5, months=1, connected=accounts, connected_customers=3)
    process, began, marks = psutil.Process(), time.perf_counter(), []

    def note(outcome: Outcome, _summary: Summary | None) -> None:
        assert outcome.complete, outcome
        done.append(outcome.rows)
        if len(done) % max(1, accounts // STRETCHES) == 0:
            gc.collect()
            marks.append((len(done), time.perf_counter() - began, process.memory_info().rss / 1e6))

    done: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(api_key="sk_test_simulator", api_base="http://stripe.test", duckdb=Path(folder) / "m.duckdb", accounts=("all",))
        platform = Platform(settings, transport=httpx.ASGITransport(application(account)), sharing=lambda _allowance: InProcess())
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(platform.sync(TYPES, no_limit=True, on_account=note))
    print(f"{len(done):,} accounts, {len(TYPES)} types of each, {sum(done):,} rows, no limit kept; the simulator in the same process")
    print(f"{'accounts done':>14} {'seconds':>9} {'each':>9} {'memory':>9}")
    before = (0, 0.0)
    for count, seconds, memory in marks:
        print(f"{count:>14,} {seconds:>9.1f} {(seconds - before[1]) / (count - before[0]):>8.3f}s {memory:>6.0f} MB")
        before = (count, seconds)
