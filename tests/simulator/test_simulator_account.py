"""The account as tests use it: same seed same account, time, edits, deletes, and the events they leave."""

from typing import Any

import orjson
import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.periods import DAY
from stripe_assets.simulator.shapes import event_types

NOW = 1_790_000_123


def everything(account: Account) -> bytes:
    return orjson.dumps({kind: account.objects(kind) for kind in sorted(account.store.shelves)})


def test_the_same_seed_gives_the_same_account_byte_by_byte() -> None:
    """A failing run can be told again from its seed; advancing keeps to it."""
    one, two, other = (Account(seed=seed, customers=80, now=NOW) for seed in (7, 7, 8))
    assert everything(one) == everything(two) != everything(other)
    assert one.id == two.id
    one.advance(10)
    two.advance(10)
    assert everything(one) == everything(two)


def test_reading_does_not_change_what_comes() -> None:
    """Bytes are made when first asked for; that must not show."""
    one, two = (Account(seed=7, customers=80, now=NOW) for _ in range(2))
    everything(one)
    one.advance(20)
    two.advance(20)
    assert everything(one) == everything(two)


def test_thirty_days_pass(fresh: Account) -> None:
    """Renewals, newcomers and payouts go on, and every day's change leaves its events."""
    before = {kind: len(fresh.objects(kind)) for kind in ("customer", "invoice", "charge", "payout")}
    for _ in range(30):
        fresh.advance(1)
    assert fresh.now == NOW + 30 * DAY
    after = {kind: len(fresh.objects(kind)) for kind in before}
    assert all(after[kind] > before[kind] for kind in before), (before, after)
    types = {each["type"] for each in fresh.objects("event")}
    assert {"customer.created", "invoice.paid", "charge.succeeded", "payout.paid", "customer.subscription.updated"} <= types


def test_events_are_kept_for_thirty_days(fresh: Account) -> None:
    """Older ones vanish as time goes on, newer ones stay."""
    events = fresh.objects("event")
    assert events
    assert min(each["created"] for each in events) >= NOW - 30 * DAY
    fresh.advance(12)
    later = {each["id"] for each in fresh.objects("event")}
    assert {each["id"] for each in events if each["created"] >= fresh.now - 30 * DAY} <= later
    assert not {each["id"] for each in events if each["created"] < fresh.now - 30 * DAY} & later


def test_an_event_lives_for_thirty_days_to_the_second(fresh: Account) -> None:
    """A catch-up that asks for exactly thirty days gets them."""
    person = fresh.create("customer")
    event = fresh.objects("event")[0]
    assert event["data"]["object"]["id"] == person
    fresh.advance(30)
    assert event in fresh.objects("event")
    fresh.advance(1 / DAY)
    assert event not in fresh.objects("event")


def test_a_kind_that_is_none_is_refused(account: Account) -> None:
    """A path instead of an object's name would otherwise look like an empty list."""
    for ask in (account.objects, account.deleted):
        with pytest.raises(ValueError, match="no object called charges"):
            ask("charges")
    assert account.objects("account")[0]["id"] == account.id


def test_every_event_has_a_type_and_version_that_stripe_knows(account: Account) -> None:
    """A misspelt type would be a change that no catch-up ever sees."""
    events = account.objects("event")
    assert len(events) > 200
    assert {each["type"] for each in events} <= event_types()
    assert {each["api_version"] for each in events} == {"2026-05-27.dahlia"}
    for each in events:
        assert each["data"]["object"]["object"] in each["type"].replace("customer.subscription", "subscription").replace(
            "charge.dispute", "dispute"
        )
        assert ("previous_attributes" in each["data"]) == each["type"].endswith((".updated", ".refunded"))


@pytest.mark.parametrize("kind", ["customer", "product", "price", "plan", "coupon", "promotion_code", "subscription", "invoice", "charge"])
def test_an_edit_leaves_one_event_with_what_was_before(fresh: Account, kind: str) -> None:
    """The object is changed, the event shows it so, and its previous attributes undo it."""
    old = fresh.objects(kind)[-1]
    events = len(fresh.objects("event"))
    fresh.edit(kind, old["id"], metadata={"colour": "green"})
    new = next(each for each in fresh.objects(kind) if each["id"] == old["id"])
    assert new == {**old, "metadata": {"colour": "green"}}
    left = fresh.objects("event")[: len(fresh.objects("event")) - events]
    own = [each for each in left if each["data"]["object"]["object"] == kind]
    assert len(own) == 1
    assert own[0]["data"] == {"object": new, "previous_attributes": {"metadata": old["metadata"]}}
    assert own[0]["created"] == fresh.now
    assert len(left) == (2 if kind in ("price", "plan") else 1)


SILENT = {"balance_transaction", "subscription_item", "line_item", "discount", "event"}
"""Kinds without events at Stripe."""


def test_every_change_leaves_an_event_that_shows_the_last_state() -> None:
    """A catch-up by events finds everything that changed, save where Stripe itself tells nothing."""
    account = Account(seed=9, customers=500, now=NOW)
    kinds = [kind for kind in account.store.shelves if kind not in SILENT]
    for _ in range(20):
        before = {kind: {each["id"]: each for each in account.objects(kind)} for kind in kinds}
        seen = {each["id"] for each in account.objects("event")}
        account.advance(1)
        last: dict[tuple[str, str], Any] = {}
        for event in account.objects("event"):
            if event["id"] not in seen:
                shown = event["data"]["object"]
                last.setdefault((shown["object"], shown["id"]), shown)
        for kind in kinds:
            now = {each["id"]: each for each in account.objects(kind)}
            for object_id, each in now.items():
                if each == before[kind].get(object_id):
                    continue
                if (kind == "checkout.session" and object_id not in before[kind]) or (kind == "invoiceitem" and (kind, object_id) in last):
                    continue
                assert last[kind, object_id] == each
            for object_id in before[kind].keys() - now.keys():
                assert (kind, object_id) in last


def test_an_edit_that_changes_nothing_leaves_nothing(fresh: Account) -> None:
    """As at Stripe."""
    person = fresh.objects("customer")[0]
    before = fresh.objects("event")
    fresh.edit("customer", person["id"], email=person["email"], phone=None)
    assert fresh.objects("event") == before


def test_a_price_is_embedded_as_it_is_now(fresh: Account) -> None:
    """An archived price shows in every subscription item that has it, though these leave no event."""
    item = fresh.objects("subscription_item")[0]
    fresh.edit("price", item["price"]["id"], active=False)
    again = next(each for each in fresh.objects("subscription_item") if each["id"] == item["id"])
    assert not again["price"]["active"]
    holder = next(each for each in fresh.objects("subscription") if each["id"] == item["subscription"])
    assert not holder["items"]["data"][0]["price"]["active"]


def test_a_deleted_customer_takes_subscriptions_and_cards_along(fresh: Account) -> None:
    """They end first, each with its event, and count no more."""
    running = next(each for each in fresh.objects("subscription") if each["status"] == "active")
    object_id = running["customer"]
    assert any(customer == object_id for customer, _ in fresh.truth().mrr(fresh.now))
    fresh.delete("customer", object_id)
    assert fresh.deleted("customer")[object_id] == fresh.now
    ended = next(each for each in fresh.objects("subscription") if each["id"] == running["id"])
    assert (ended["status"], ended["ended_at"]) == ("canceled", fresh.now)
    assert not any(customer == object_id for customer, _ in fresh.truth().mrr(fresh.now))
    assert not [each for each in fresh.objects("payment_method") if each["customer"] == object_id]
    types = [each["type"] for each in fresh.objects("event")[:4]]
    assert types[0] == "customer.deleted"
    assert "customer.subscription.deleted" in types
    fresh.advance(40)


@pytest.mark.parametrize("kind", ["product", "coupon", "price", "plan"])
def test_a_deleted_object_is_gone_and_says_so(fresh: Account, kind: str) -> None:
    """A price and its plan go together."""
    object_id = fresh.objects(kind)[-1]["id"]
    fresh.delete(kind, object_id)
    assert object_id in fresh.deleted(kind)
    assert object_id not in {each["id"] for each in fresh.objects(kind)}
    assert f"{kind}.deleted" in {each["type"] for each in fresh.objects("event")[:2]}
    with pytest.raises(KeyError, match=object_id):
        fresh.edit(kind, object_id, metadata={})


def test_objects_can_be_created(fresh: Account) -> None:
    """Simple kinds, with their event."""
    for kind, fields in (
        ("customer", {"email": "a@example.com"}),
        ("product", {"name": "Lamp"}),
        ("coupon", {"id": "HALF", "percent_off": 50}),
    ):
        object_id = fresh.create(kind, **fields)
        newest: dict[str, Any] = fresh.objects(kind)[0]
        assert newest["id"] == object_id
        assert fields.items() <= newest.items()
        event = fresh.objects("event")[0]
        assert (event["type"], event["data"]["object"]) == (f"{kind}.created", newest)


def test_a_bill_has_its_lines_and_its_payment(fresh: Account) -> None:
    """Embedded lists are cut at ten; the payment is real money."""
    person = fresh.create("customer")
    before = fresh.truth().revenue_daily
    object_id = fresh.bill(person, lines=250, currency="usd")
    invoice = next(each for each in fresh.objects("invoice") if each["id"] == object_id)
    assert invoice["status"] == "paid"
    assert len(invoice["lines"]["data"]) == 10
    assert invoice["lines"]["has_more"]
    assert invoice["lines"]["url"] == f"/v1/invoices/{invoice['id']}/lines"
    own = [each for each in fresh.objects("line_item") if each["invoice"] == invoice["id"]]
    assert len(own) == 250
    assert invoice["lines"]["data"] == own[::-1][:10]
    charge = fresh.objects("charge")[0]
    assert (charge["customer"], charge["amount"]) == (person, invoice["total"])
    assert fresh.truth().revenue_daily != before


def test_unused_accounts_may_be_empty() -> None:
    """Without customers there is still a catalogue, and time passes."""
    account = Account(seed=1, customers=0, now=NOW)
    account.advance(3)
    assert account.objects("customer") == []
    assert account.truth().revenue_daily == {}
    assert account.objects("product")
