"""A real process, killed at a hundred random moments while the account changes and answers with faults (promise P3)."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from equality import differences
from histories.business import LATE
from histories.conftest import HISTORIES
from histories.happenings import HAPPENINGS
from mirroring import NOW
from sync.test_killed import start

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import Faults
from stripe_assets.simulator.server import Serving, serving

ACCOUNTS = 4
KILLS = max(1, HISTORIES // 5 // ACCOUNTS)
TYPES = ("balance_transactions", "charges", "coupons", "customer_tax_ids", "customers", "invoice_lines", "invoices", "refunds", "transfers")
FAULTS = {"rate-limit": 0.02, "server-error": 0.03, "reset": 0.03, "truncated": 0.02, "html": 0.02}
LONGEST = 1.5
"""Seconds from its first request to the kill, at most: as long as a whole run takes."""


def live_until_killed(process: subprocess.Popen[str], server: Serving, account: Account, chance: random.Random) -> None:
    """Let things happen until the process dies by our hand, or comes to its end before."""
    begun = len(server.app.requests)
    while len(server.app.requests) == begun and process.poll() is None:
        chance.choice(HAPPENINGS)(account, chance)
        _wait(process, 0.05)
    end = time.monotonic() + chance.uniform(0.0, LONGEST)
    while time.monotonic() < end and process.poll() is None:
        chance.choice(HAPPENINGS)(account, chance)
        account.catch_up(account.now + 1)
        _wait(process, 0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)


@pytest.mark.parametrize("seed", range(ACCOUNTS))
def test_killed_at_any_moment_of_a_busy_account_the_next_run_makes_it_equal(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    database = tmp_path / "stripe.duckdb"
    account = Account(seed=seed, customers=60, now=NOW, connected=0)
    with serving(account, latency=0.01, faults=FAULTS, seed=seed) as server:
        for _ in range(KILLS):
            live_until_killed(start(server, database, types=TYPES), server, account, chance)
            account.catch_up(account.now + chance.choice([1, 600, 86_400]))
        server.app.faults = Faults()
        account.catch_up(account.now + 2 * LATE)
        assert start(server, database, types=TYPES).communicate(timeout=120) == ("complete\n", None)
    assert differences(database, account, types=TYPES) == []


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
