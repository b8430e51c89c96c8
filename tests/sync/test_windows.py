"""What changes while changes are read is read in the same run, and a run comes to its end all the same."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import virtual_time
from equality import differences
from mirroring import NOW, World
from sync.altered import Altered, Answer, failing

from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.in_process import Line
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary


def sync(here: World, *types: str, rate_limit: float = 100.0) -> Summary:
    """Sync by a clock that goes as the waiting does."""

    async def main() -> Summary:
        loop = asyncio.get_running_loop()
        settings = Settings(api_key=here.key, api_base="http://stripe.test", duckdb=here.database, rate_limit=rate_limit)
        clock = Clock(steady=loop.time)
        mirror = Mirror(settings, transport=Line(here.app), sharing=lambda _allowance: InProcess(), clock=lambda: clock)
        return await mirror.sync(types)

    return virtual_time.run(main())


def test_open_objects_are_read_again_once_in_a_run_however_long_that_takes(tmp_path: Path) -> None:
    """Of an account with more of them than can be read within the lag, some are always older than that: a run would never catch up."""
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=20, now=NOW))
    money = here.account.objects("treasury.financial_account")[0]["id"]
    for _ in range(12):
        here.account.create("treasury.outbound_payment", under=money, status="processing")
    names = ("treasury_outbound_payments",)
    sync(here, *names)
    before = len(here.app.requests)
    assert sync(here, *names, rate_limit=0.1).complete
    asked = Counter(request.path for request in here.app.requests[before:])
    assert sum(path.startswith("/v1/treasury/outbound_payments/") for path in asked) >= 12, "too few to take longer than the lag"
    assert {path: count for path, count in asked.items() if path.startswith("/v1/treasury/outbound_payments/") and count > 1} == {}
    assert differences(here.database, here.account, types=names) == []


def test_type_that_fails_slowly_is_not_tried_again_by_the_same_run(tmp_path: Path) -> None:
    """Each of its attempts waits for an answer: trying it in every window would take hours for what the first one has told."""
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=20, now=NOW), {"latency": 20.0})
    names = ("balance_transactions", "customers")
    sync(here, *names)
    here.account.advance(days=1)
    here.app = Altered(here.app, {"/v1/balance_transactions": failing})  # type: ignore[assignment]  # answers as the simulator does, but for these
    before = len(here.app.requests)
    assert {result.type: result.state for result in sync(here, *names).results}["balance_transactions"] == "failed"
    assert sum(request.path == "/v1/balance_transactions" for request in here.app.requests[before:]) == 8
    assert differences(here.database, here.account, types=("customers",)) == []


def test_parents_that_are_all_asked_for_what_is_new_are_not_asked_for_ever(tmp_path: Path) -> None:
    """Where one round takes longer than the lag, so does every other: two that take the same show it."""
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=20, now=NOW))
    for _ in range(12):
        here.account.create("treasury.financial_account")
    sync(here, "treasury_transactions")
    here.account.advance(days=1)
    before = len(here.app.requests)
    assert sync(here, "treasury_transactions", rate_limit=0.1).complete
    below = Counter(request.params["financial_account"] for request in here.app.requests[before:] if "financial_account" in request.params)
    assert len(below) >= 12, "too few to take longer than the lag"
    assert max(below.values()) <= 3
    assert differences(here.database, here.account, types=("treasury_transactions",)) == []


def test_page_that_was_slow_on_its_way_does_not_undo_what_events_told_meanwhile(tmp_path: Path) -> None:
    """The list of sessions is read beside the events; its page was made before the payment, and arrives when the event is long applied."""
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=20, now=NOW))
    names = ("checkout_sessions",)
    sync(here, *names)
    account, app = here.account, here.app
    name = max(account.objects("checkout.session"), key=lambda one: int(one["created"]))["id"]

    def paid(_params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        session = next(one for one in account.objects("checkout.session") if one["id"] == name)
        event = {"id": "evt_paid", "type": "checkout.session.async_payment_succeeded", "created": account.now, "data": {"object": session}}
        return status, {**body, "data": [{**body["data"][0], **event}, *body["data"]]}

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        if scope["path"] == "/v1/events":
            await asyncio.sleep(5)
        await app(scope, receive, keep)
        if scope["path"] == "/v1/checkout/sessions":
            account.edit("checkout.session", name, payment_status="no_payment_required")
            await asyncio.sleep(30)
        for message in sent:
            await send(message)

    here.app = Altered(slow, {"/v1/events": paid})  # type: ignore[assignment, arg-type]  # answers as the simulator does, but late
    assert sync(here, *names).complete
    assert differences(here.database, account, types=names) == []
