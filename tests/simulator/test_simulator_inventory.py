"""What the story does not tell of: the same from the same seed, below its parents, with events where Stripe has them."""

import json
from collections import Counter
from typing import Any

import pytest

from stripe_assets.simulator import inventory, samples
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.inventory import ALL, Collection
from stripe_assets.simulator.periods import DAY
from stripe_assets.simulator.shapes import KINDS, event_types

NOW = 1_790_000_123
GROWN = [each.name for each in ALL if each.size is not None]


def newest(account: Account, since: set[str]) -> list[dict[str, Any]]:
    return [each for each in account.objects("event") if each["id"] not in since]


def test_the_same_seed_grows_the_same_whatever_is_asked_first_and_whenever() -> None:
    """An account that was read before its days passed is the one that is read after them: a failing run can be told again."""
    early, late = (Account(seed=7, customers=60, now=NOW, months=8) for _ in range(2))
    first = {name: early.objects(name) for name in GROWN}
    early.advance(12)
    late.advance(12)
    assert {name: late.objects(name) for name in reversed(GROWN)} == {name: early.objects(name) for name in reversed(GROWN)}
    assert {name: early.objects(name) for name in GROWN} != first
    assert early.objects("event") == late.objects("event")
    other = Account(seed=8, customers=60, now=NOW, months=8)
    assert other.objects("quote") != first["quote"]


def test_reading_it_does_not_change_the_story() -> None:
    """Its chance is its own: charges and invoices come as they would have come."""
    read, unread = (Account(seed=7, customers=60, now=NOW, months=8) for _ in range(2))
    assert all(read.objects(name) for name in ("quote", "issuing.card", "customer_source"))
    read.advance(5)
    unread.advance(5)
    assert {kind: read.objects(kind) for kind in KINDS} == {kind: unread.objects(kind) for kind in KINDS}


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_there_are_a_few_to_a_few_hundred_of_each(account: Account, each: Collection) -> None:
    """With ids of their own, and times within the account's life."""
    things = account.placed(each.name)
    assert 1 <= len(things) <= 800
    assert len({(under, thing.get("id")) for under, thing in things}) == len(things)
    created = [thing["created"] for _, thing in things if isinstance(thing.get("created"), int)]
    assert all(account.account()["created"] <= at <= account.now for at in created)
    assert {thing["object"] for _, thing in things} <= {*inventory.objects(each.name)}


def test_accounts_have_more_of_it_the_larger_they_are(account: Account, fresh: Account) -> None:
    for name in ("issuing.authorization", "customer_tax_id", "billing.credit_grant", "review"):
        assert len(account.objects(name)) > len(fresh.objects(name)) > 5


@pytest.mark.parametrize("each", [each for each in ALL if each.under is not None], ids=lambda each: each.name)
def test_children_lie_under_parents_that_are_there(account: Account, each: Collection) -> None:
    assert each.under is not None
    parents = {under.split("/")[0] for under, _ in account.placed(each.name) if under is not None}
    assert parents <= {thing["id"] for thing in account.objects(each.under)}


def test_samples_are_carried_over_without_their_sentences() -> None:
    """Shapes are facts; what other people wrote into them is not ours."""
    texts: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)
        elif isinstance(value, str):
            texts.append(value)

    for name in samples.names():
        walk(samples.form(name))
    assert len(texts) > 500
    assert [text for text in texts if " " in text or ("://" in text and "example.com" not in text) or "stripe.com" in text] == []


def test_a_deleted_customer_takes_along_what_lay_under_it(fresh: Account) -> None:
    """Sources and what lies under those, tax ids, balance transactions, the sums of meters: silently, as at Stripe."""
    used = {under for under, _ in fresh.placed("source_transaction")}
    bearer = next(str(under) for under, thing in fresh.placed("customer_source") if thing["id"] in used)
    sources = {thing["id"] for under, thing in fresh.placed("customer_source") if under == bearer}
    before = {each["id"] for each in fresh.objects("event")}
    fresh.delete("customer", bearer)
    names = ("customer_source", "customer_tax_id", "customer_balance_transaction", "entitlements.active_entitlement")
    assert not [name for name in names if bearer in {under for under, _ in fresh.placed(name)}]
    assert not sources & {under for under, _ in fresh.placed("source_transaction")}
    assert not [under for under, _ in fresh.placed("billing.meter_event_summary") if under and under.endswith(bearer)]
    types = {each["type"] for each in newest(fresh, before)}
    assert "customer.deleted" in types
    assert not {name for name in types if name.startswith(("customer.source", "customer.tax_id"))}


def test_what_was_deleted_before_anybody_looked_has_nothing_under_it(fresh: Account) -> None:
    """Growing late must not bring back what went with a parent."""
    twin = Account(seed=5, customers=60, now=NOW, months=8)
    bearer = next(str(under) for under, _ in twin.placed("customer_tax_id"))
    for each in (fresh, twin):
        each.delete("customer", bearer)
    assert fresh.placed("customer_tax_id") == twin.placed("customer_tax_id")
    assert bearer not in {under for under, _ in fresh.placed("customer_tax_id")}


@pytest.mark.parametrize(
    ("kind", "under", "created", "updated", "deleted"),
    [
        ("quote", None, "quote.created", None, None),
        ("issuing.card", None, "issuing_card.created", "issuing_card.updated", None),
        ("customer_tax_id", "customer", "customer.tax_id.created", "customer.tax_id.updated", "customer.tax_id.deleted"),
        ("customer_source", "customer", "customer.source.created", "customer.source.updated", "customer.source.deleted"),
        ("test_helpers.test_clock", None, "test_helpers.test_clock.created", None, "test_helpers.test_clock.deleted"),
        ("treasury.received_credit", "treasury.financial_account", "treasury.received_credit.created", None, None),
        ("webhook_endpoint", None, None, None, None),
        ("person", "connected_account", None, None, None),
        ("review", None, "review.opened", None, None),
    ],
)
def test_it_can_be_made_edited_and_deleted_as_stripe_tells_it(
    fresh: Account, kind: str, under: str | None, created: str | None, updated: str | None, deleted: str | None
) -> None:
    """With Stripe's event or, where it has none, in silence."""
    parent = fresh.objects("/v1/accounts" if under == "connected_account" else under)[0]["id"] if under else None
    seen = {each["id"] for each in fresh.objects("event")}
    object_id = fresh.create(kind, under=parent, livemode=False)
    assert [each["type"] for each in newest(fresh, seen)] == [name for name in [created] if name]
    seen = {each["id"] for each in fresh.objects("event")}
    fresh.edit(kind, object_id, livemode=True)
    assert next(thing for place, thing in fresh.placed(kind) if (thing["id"], place) == (object_id, parent))["livemode"] is True
    assert [each["type"] for each in newest(fresh, seen)] == [name for name in [updated] if name]
    seen = {each["id"] for each in fresh.objects("event")}
    fresh.delete(kind, object_id)
    assert object_id in fresh.deleted(kind)
    assert [each["type"] for each in newest(fresh, seen)] == [name for name in [deleted] if name]


def test_an_entitlement_is_told_by_the_summary_of_its_customer(fresh: Account) -> None:
    """Its event shows no entitlement, and has no id: it names the customer whose list is to be read again."""
    customer = fresh.objects("customer")[3]["id"]
    seen = {each["id"] for each in fresh.objects("event")}
    object_id = fresh.create("entitlements.active_entitlement", under=customer)
    fresh.delete("entitlements.active_entitlement", object_id)
    events = newest(fresh, seen)
    assert [each["type"] for each in events] == ["entitlements.active_entitlement_summary.updated"] * 2
    assert {each["data"]["object"]["customer"] for each in events} == {customer}
    assert all("id" not in each["data"]["object"] for each in events)


def test_reversals_add_up_in_their_transfer(account: Account) -> None:
    """Fees with their refunds too: a sum that nobody can find again is the first thing that an accountant finds."""
    for kind, child, field in (("transfer", "transfer_reversal", "amount_reversed"), ("application_fee", "fee_refund", "amount_refunded")):
        sums = Counter[str]()
        for under, thing in account.placed(child):
            sums[str(under)] += thing["amount"]
        found = {thing["id"]: thing[field] for thing in account.objects(kind) if thing[field]}
        assert found == dict(sums)
        assert max(Counter(under for under, _ in account.placed(child)).values()) > 200


def test_days_bring_changes_to_many_of_them(fresh: Account) -> None:
    """New ones, edits and deletions, a few a day, all with event types that Stripe knows."""
    before = {name: fresh.objects(name) for name in GROWN}
    fresh.advance(60)
    changed = {name for name in GROWN if fresh.objects(name) != before[name]}
    assert len(changed) > 40
    assert {each["type"] for each in fresh.objects("event")} <= event_types()
    gone = {name for name in GROWN if fresh.deleted(name)}
    assert len(gone) > 3


def test_events_of_version_two_age_out_as_well(fresh: Account) -> None:
    """Whether they were looked at before or not."""
    unread = Account(seed=5, customers=60, now=NOW, months=8)
    oldest = fresh.objects("v2.core.event")[-1]
    for each in (fresh, unread):
        each.advance(30)
    kept = fresh.objects("v2.core.event")
    assert oldest not in kept
    assert kept == unread.objects("v2.core.event")
    assert all(each["created"] >= "2026-09-21" for each in kept)


def test_meters_have_sums_by_the_day(account: Account, client: Any) -> None:
    """A list by two parents and a stretch of time, whole days in UTC."""
    meter, customer = str(account.placed("billing.meter_event_summary")[0][0]).split("/")
    today = account.now - account.now % DAY
    path = f"/v1/billing/meters/{meter}/event_summaries"
    asked = {"customer": customer, "start_time": today - 3 * DAY, "end_time": today, "value_grouping_window": "day"}
    found = client.everything(path, **asked)
    assert [(each["start_time"], each["end_time"]) for each in found] == [
        (today - turn * DAY, today - (turn - 1) * DAY) for turn in (1, 2, 3)
    ]
    for missing in ("customer", "start_time", "end_time"):
        refused = client.get(path, {name: value for name, value in asked.items() if name != missing})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, missing)
    assert client.get(path, {**asked, "start_time": today - 5}).json()["error"]["param"] == "start_time"


def test_story_leaves_its_papers(account: Account) -> None:
    """Every payment of an invoice, every attempt to save a card, every line of a checkout and of a credit note."""
    paid = {each["invoice"]: each for each in account.objects("invoice_payment") if each["is_default"]}
    for invoice in account.objects("invoice"):
        payment = paid.get(invoice["id"])
        if payment is not None and invoice["status"] == "paid":
            assert (payment["status"], payment["amount_paid"]) == ("paid", invoice["amount_paid"])
            assert payment["payment"]["payment_intent"] == account.payment_of(invoice["id"])
    attempts = {each["id"]: each["setup_intent"] for each in account.objects("setup_attempt")}
    assert {each["latest_attempt"]: each["id"] for each in account.objects("setup_intent") if each["latest_attempt"]} == attempts
    lines = dict(account.placed("checkout_session_line_item"))
    for session in account.objects("checkout.session"):
        assert lines[session["id"]]["amount_total"] == session["amount_total"]
        assert lines[session["id"]]["price"]["object"] == "price"
    credited = dict(account.placed("credit_note_line_item"))
    assert {each["id"]: each["lines"]["data"] for each in account.objects("credit_note")} == {key: [line] for key, line in credited.items()}


def test_a_name_that_is_none_is_refused_with_those_there_are(account: Account) -> None:
    with pytest.raises(ValueError, match=r"no object called issuing.cards; .*issuing.card,"):
        account.objects("issuing.cards")
    assert account.objects("/v1/issuing/cards") == account.objects("issuing.card")
    assert account.objects("/v1/customers/{customer}/tax_ids") == account.objects("customer_tax_id") != account.objects("/v1/tax_ids")
    assert json.dumps(account.objects("/v1/balance")) == json.dumps([account.balance()])
