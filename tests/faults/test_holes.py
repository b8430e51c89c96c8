"""Holes that other mirrors of Stripe have had and for which no other test stands; docs/faults.md names the test of each hole."""

from pathlib import Path
from typing import Any

import pytest
import virtual_time
from equality import differences, rows
from faults.small import TYPES, attempts, catalog, first, second
from mirroring import NOW, World
from sync.altered import Altered

from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.in_process import Line
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary

DAY = 86_400


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("full_refresh", [False, True])
def test_refused_list_is_no_empty_list(tmp_path: Path, status: int, full_refresh: bool) -> None:
    """Airbyte's connector took each of these for a list without objects: rows disappeared without a word."""
    history = second(tmp_path)
    world = history.world

    def refuse(_params: dict[str, str], _status: int, _body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return status, {"error": {"type": "invalid_request_error", "message": "You may not read this list.", "param": "x"}}

    path = "/v1/billing/credit_balance_transactions"
    world.app = Altered(world.app, {path: refuse})  # type: ignore[assignment]  # answers as the simulator does, but for one path
    summary = world.sync(TYPES, full_refresh=full_refresh)
    states = {result.type: result.state for result in summary.results if path in (result.reason or "")}
    assert set(states) == {"billing_credit_balance_transactions"}
    assert states.popitem()[1] in ("skipped", "failed")
    assert history.differences() == []


def test_first_run_reads_what_is_older_than_events(tmp_path: Path) -> None:
    """ingestr's first run silently read the last 30 days only."""
    world = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=30, now=NOW, months=24, connected=0), catalog=catalog())
    assert world.sync(["customers", "coupons"]).complete
    ((oldest,),) = rows(world.database, "select epoch(min(created)) from stripe.customers")
    assert oldest < NOW - 300 * DAY
    assert differences(world.database, world.account, catalog=catalog(), types=("customers", "coupons")) == []


def test_backfill_that_was_throttled_to_its_end_is_no_success(tmp_path: Path) -> None:
    """stripe/sync-engine reported such a backfill as done (#189): nobody looked for the rest."""
    history = first(tmp_path)
    summary = history.sync({("/v1/transfers", turn): "rate-limit" for turn in range(1, 1 + attempts("rate-limit"))})
    assert not summary.complete
    assert {name for name, reason in history.failed.items() if "/v1/transfers" in reason} == {"transfers", "transfer_reversals"}
    assert rows(history.world.database, "select state from stripe_sync.runs") == [("partial",)]
    states = "select state from stripe_sync.checkpoints where type = 'transfers'"
    assert rows(history.world.database, states) == [("backfill",)]
    assert history.sync().complete
    assert rows(history.world.database, states) == [("complete",)]
    assert history.differences() == []


def test_deletes_of_a_silence_longer_than_events_are_kept_are_found(tmp_path: Path) -> None:
    """Events reach back 30 days: a mirror that stood still for longer has a hole that only reading again can fill."""
    account = Account(seed=3, customers=10, connected=0)  # of today: the books note by the machine's clock when they were last right
    world = World(tmp_path / "stripe.duckdb", account, catalog=catalog())

    def sync() -> Summary:
        settings = Settings(api_key=world.key, api_base="http://stripe.test", duckdb=world.database)
        transport, clock = Line(world.app), Clock(wall=lambda: account.now)
        mirror = Mirror(settings, catalog=catalog(), transport=transport, clock=lambda: clock, sharing=lambda _allowance: InProcess())
        return virtual_time.run(mirror.sync(TYPES))

    assert sync().complete
    account.advance(days=0.01)
    gone = account.objects("customer")[0]["id"]
    account.delete("customer", gone)
    account.edit("coupon", account.objects("coupon")[0]["id"], name="Changed")
    account.delete("coupon", account.objects("coupon")[-1]["id"])
    account.advance(days=31)
    assert gone not in {each["data"]["object"].get("id") for each in account.objects("event")}
    assert sync().complete
    assert differences(world.database, account, catalog=catalog(), types=TYPES) == []
