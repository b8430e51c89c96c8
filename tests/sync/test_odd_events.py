"""Accounts without events, keys that may not read them, events that come too late: nothing is read needlessly or brought back."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import virtual_time
from equality import differences, rows
from mirroring import FEW, World
from sync.altered import Altered, empty, forbidden
from sync.odd import mend, others_complete, reason, states, world

from stripe_assets.catalog.types import Fresh, load
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.deliveries import Changes
from stripe_assets.warehouse.writer import Writer


def test_account_without_events_is_not_read_whole_at_every_run(tmp_path: Path) -> None:
    """A quiet account has no event to take a position from: that position is the beginning, not none."""
    here = world(tmp_path, customers=20, alter={"/v1/events": empty})
    assert here.sync(FEW).complete
    before = len(here.app.requests)
    assert here.sync(FEW).complete
    assert len(here.app.requests) - before <= 8
    mend(here)
    name = here.account.objects("customer")[0]["id"]
    here.account.edit("customer", name, email="first@example.com")
    assert here.sync(FEW).complete
    assert differences(here.database, here.account, types=FEW) == []


def test_key_that_may_not_read_events_reads_what_can_change_again(tmp_path: Path) -> None:
    """Nothing tells what changed: only reading everything again keeps the mirror equal, and it must do so."""
    here = world(tmp_path, customers=30, alter={"/v1/events": forbidden})
    names = ("customers", "coupons", "balance_transactions", "events")
    first = here.sync(names)
    assert others_complete(here, first, "events", "skipped")
    edited, deleted = [customer["id"] for customer in here.account.objects("customer")[:2]]
    here.account.edit("customer", edited, email="new@example.com")
    here.account.delete("customer", deleted)
    second = here.sync(names)
    assert others_complete(here, second, "events", "skipped")
    assert "permissions" in reason(second, "events")
    mend(here)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


def test_permission_for_events_that_is_taken_away_fails_what_lives_by_them(tmp_path: Path) -> None:
    """Complete would be a lie: nobody knows what has changed."""
    here = world(tmp_path, customers=30)
    names = ("customers", "coupons", "balance_transactions")
    here.sync(names)
    here.app = Altered(here.app, {"/v1/events": forbidden})  # type: ignore[assignment]  # as above
    summary = here.sync(names)
    told = {kind.name for kind in load() if kind.name in names and kind.fresh is Fresh.EVENTS}
    assert {name for name, state in states(summary).items() if state == "failed"} >= told
    mend(here)
    assert here.sync(names).complete


def test_list_that_tells_what_is_new_does_not_stand_in_for_events_that_could_not_be_read(tmp_path: Path) -> None:
    """For more than 30 days the sessions' list was read on, and what became of those in it nobody could say: that is a gap."""
    here = world(tmp_path, customers=30)
    names = ("checkout_sessions",)
    here.sync(names)
    here.app = Altered(here.app, {"/v1/events": forbidden})  # type: ignore[assignment]  # as above
    session = [one for one in here.account.objects("checkout.session") if one["status"] == "complete"][-1]  # the list is read on from later
    here.account.edit("checkout.session", session["id"], payment_status="no_payment_required")
    for _ in range(2):
        here.account.advance(days=10)
        assert states(here.sync(names))["checkout_sessions"] == "failed"
    here.account.advance(days=12)
    mend(here)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


def test_old_event_of_a_type_that_is_up_to_date_does_not_come_back(tmp_path: Path) -> None:
    """The window reaches back to the slowest type: a customer's state of ten days ago is in it, and is not news."""
    here = world(tmp_path, customers=30)
    account = here.account
    here.sync(["customers", "coupons"])
    name = account.objects("customer")[0]["id"]
    account.advance(days=1)
    account.edit("customer", name, email="old@example.com")
    account.advance(days=5)
    account.edit("customer", name, email="new@example.com")
    here.sync(["customers"])
    assert here.sync(["customers", "coupons"]).complete
    assert rows(here.database, f"select email from stripe.customers where id = '{name}'") == [("new@example.com",)]
    assert differences(here.database, account, types=("customers", "coupons")) == []
    assert here.asked(f"/v1/customers/{name}") == []


def test_type_that_is_read_for_the_first_time_is_not_read_again_object_by_object(tmp_path: Path) -> None:
    """Customers today, everything tomorrow: a day of events about what was just listed must not cost a request each."""
    here = world(tmp_path, customers=60)
    here.sync(["customers"])
    here.account.advance(days=3)
    before = len(here.app.requests)
    summary = here.sync(FEW)
    single = [request for request in here.app.requests[before:] if request.path.count("/") == 3 and "_" in request.path.rsplit("/", 1)[1]]
    alone = [request.path for request in single if not request.path.endswith(("/sessions", "/subscription_items"))]
    assert summary.complete
    assert len(alone) < 10, alone
    assert differences(here.database, here.account, types=FEW) == []


def test_event_that_a_killed_run_has_left_does_not_bring_back_what_a_whole_reading_found_gone(tmp_path: Path) -> None:
    """It was stored and not applied; what became of the object later is told by events that nobody reads any more."""
    here = world(tmp_path, customers=20)
    here.sync(["coupons"])
    created = here.account.create("coupon", percent_off=5)
    told = next(event for event in here.account.objects("event") if event["data"]["object"]["id"] == created)
    store_and_die(here.database, here.account.id, told)
    here.account.advance(days=1)
    here.account.delete("coupon", created)
    here.account.advance(days=1)
    assert here.sync(["coupons"], full_refresh=True).complete
    assert differences(here.database, here.account, types=("coupons",)) == []


def store_and_die(database: Path, account_id: str, event: dict[str, Any]) -> None:
    """Store an event as a run does that is killed before it can apply it."""
    raw = msgspec.Raw(msgspec.json.encode(event))

    async def main() -> None:
        writer = Writer(Database(database), load(), account_id=account_id, selected=frozenset())
        try:
            running = asyncio.ensure_future(writer.run())
            await writer.submit(Changes((raw,), len(raw), {event["type"]: 0}))
            writer.channel.close()
            await running
        finally:
            writer.close()

    virtual_time.run(main())


def test_edit_right_before_a_run_costs_the_next_one_nothing(tmp_path: Path) -> None:
    """Lists of children may not show yet what it brought, so it is looked at once more: but the invoice is what its event has shown."""
    here = world(tmp_path, customers=30)
    names = ("invoices", "invoice_lines")
    here.sync(names)
    here.account.catch_up(here.account.now + 600)
    edited = [invoice["id"] for invoice in here.account.objects("invoice")[:20]]
    for name in edited:
        here.account.edit("invoice", name, metadata={"edited": "once"})
    here.sync(names)
    for _ in range(2):
        assert differences(here.database, here.account, types=names) == []
        here.account.catch_up(here.account.now + 600)
        assert invoices_asked_for(here, names) == []
    # Where the row has been read since, it may know more than the event.
    here.account.edit("invoice", edited[0], metadata={"edited": "twice"})
    here.sync(names)
    here.sync(names, full_refresh=True)
    assert invoices_asked_for(here, names) == [f"/v1/invoices/{edited[0]}"]
    assert differences(here.database, here.account, types=names) == []


def invoices_asked_for(here: World, names: Sequence[str]) -> list[str]:
    """Sync, and give the paths by which invoices were read, and not only what is in them."""
    before = len(here.app.requests)
    assert here.sync(names).complete
    paths = [request.path for request in here.app.requests[before:]]
    return [path for path in paths if path.startswith("/v1/invoices") and not path.endswith("/lines")]
