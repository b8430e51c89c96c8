"""The account's money balances, and its truth is what its objects say."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.periods import after, month_ends
from stripe_assets.simulator.shapes import template
from stripe_assets.simulator.truth import Revenue

NOW = 1_790_000_123


@pytest.fixture(scope="module", params=["told at once", "advanced"])
def told(request: pytest.FixtureRequest) -> Account:
    """An account as made, and one whose last two months came by advancing."""
    if request.param == "told at once":
        return Account(seed=11, customers=600, now=NOW)
    account = Account(seed=12, customers=300, now=NOW, months=12)
    for _ in range(60):
        account.advance(1)
    return account


def by_id(account: Account, kind: str) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in account.objects(kind)}


def test_every_payout_is_the_sum_of_what_it_holds(told: Account) -> None:
    """Reconciliation by payout is the first thing an accountant tries."""
    transactions = told.store.shelf("balance_transaction")
    own = by_id(told, "balance_transaction")
    payouts = told.objects("payout")
    assert len(payouts) > 50
    for payout in payouts:
        held = [each.fields for each in transactions.under(payout["id"])]
        assert payout["amount"] == sum(each["net"] for each in held) > 0
        assert {each["currency"] for each in held} == {payout["currency"]}
        assert own[payout["balance_transaction"]]["net"] == -payout["amount"]


def test_the_balance_is_the_sum_of_all_balance_transactions(told: Account) -> None:
    """Pending and available, each by currency."""
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for each in told.objects("balance_transaction"):
        sums[each["status"], each["currency"]] += each["net"]
        assert each["net"] == each["amount"] - each["fee"]
        assert sum(fee["amount"] for fee in each["fee_details"]) == each["fee"]
        assert (each["status"] == "available") == (each["available_on"] <= told.now)
    balance = told.balance()
    for status in ("available", "pending"):
        for held in balance[status]:
            assert held["amount"] == sums[status, held["currency"]]


def test_charges_refunds_and_disputes_have_their_balance_transactions(told: Account) -> None:
    """A charge's amount, fee and net are in its transaction; a failed one has none."""
    transactions = by_id(told, "balance_transaction")
    charges = by_id(told, "charge")
    for charge in charges.values():
        if charge["status"] == "failed":
            assert charge["balance_transaction"] is None
            assert not charge["paid"]
            continue
        transaction = transactions[charge["balance_transaction"]]
        assert (transaction["source"], transaction["amount"], transaction["currency"]) == (
            charge["id"],
            charge["amount"],
            charge["currency"],
        )
        assert transaction["fee"] > 0
    refunded: Counter[str] = Counter()
    for refund in told.objects("refund"):
        assert transactions[refund["balance_transaction"]]["net"] == -refund["amount"]
        refunded[refund["charge"]] += refund["amount"]
    assert {object_id: each["amount_refunded"] for object_id, each in charges.items() if each["amount_refunded"]} == refunded
    disputes = told.objects("dispute")
    assert {each["status"] for each in disputes} >= {"won", "lost"}
    for dispute in disputes:
        assert charges[dispute["charge"]]["disputed"]
        sums = [each["amount"] for each in dispute["balance_transactions"]]
        assert sums == [-dispute["amount"], dispute["amount"]][: 2 if dispute["status"] == "won" else 1]


def test_invoices_add_up(told: Account) -> None:
    """Lines to subtotal, discounts and taxes to total, and what was paid to the charge."""
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in told.objects("line_item"):
        lines[line["invoice"]].append(line)
    paid = by_id(told, "payment_intent")
    for invoice in told.objects("invoice"):
        own = lines.pop(invoice["id"])
        assert invoice["subtotal"] == sum(each["amount"] for each in own)
        off = sum(each["amount"] for each in invoice["total_discount_amounts"])
        assert off == sum(each["amount"] for line in own for each in line["discount_amounts"])
        tax = sum(each["amount"] for each in invoice["total_taxes"])
        assert tax == sum(each["amount"] for line in own for each in line["taxes"])
        assert invoice["total"] == invoice["subtotal"] - off + tax
        intent = told.payment_of(invoice["id"])
        if invoice["status"] == "paid":
            assert invoice["amount_paid"] == invoice["amount_due"] == (paid[intent]["amount_received"] if intent else 0)
    assert not lines


def test_the_true_revenue_is_what_balance_transactions_say(told: Account) -> None:
    """The truth is kept as the story is told; the transactions must tell the same."""
    days: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for each in told.objects("balance_transaction"):
        if each["type"] in ("payout", "topup", "transfer"):
            continue
        day = days[datetime.fromtimestamp(each["created"], UTC).date().isoformat(), each["currency"]]
        place = {"charge": 0, "application_fee": 0, "refund": 1, "adjustment": 2}[each["type"]]
        day[place] += each["amount"] if place == 0 else -each["amount"]
        day[3] += each["fee"]
    expected = {
        key: Revenue(gross, refunds, disputes, fees, gross - refunds - disputes - fees)
        for key, (gross, refunds, disputes, fees) in days.items()
    }
    assert told.truth().revenue_daily == expected


def _monthly(price: dict[str, Any], quantity: int) -> Fraction:
    months = {"month": Fraction(1), "year": Fraction(12), "week": Fraction(12, 52)}[price["recurring"]["interval"]]
    return Fraction(price["unit_amount"] * quantity, price["recurring"]["interval_count"]) / months


def test_the_true_mrr_now_is_what_subscriptions_say(told: Account) -> None:
    """Active and past due count, trials and incomplete ones do not."""
    worth: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for subscription in told.objects("subscription"):
        if subscription["status"] in ("active", "past_due"):
            for item in told.store.shelf("subscription_item").under(subscription["id"]):
                price = told.store.ever("price", item.fields["price"]).fields
                worth[subscription["customer"], subscription["currency"]] += _monthly(price, item.fields["quantity"])
    assert len(worth) > 20
    assert told.truth().mrr(told.now) == worth


def test_the_true_mrr_of_every_month_end_can_be_found_from_invoice_lines(told: Account) -> None:
    """This is how history is rebuilt downstream: the latest line of an item that covers the instant, until the subscription ended."""
    subscriptions, prices, invoices = (by_id(told, kind) for kind in ("subscription", "price", "invoice"))
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in told.objects("line_item"):
        details = line["parent"]["subscription_item_details"]
        if details and line["amount"] > 0 and invoices[line["invoice"]]["status"] != "void":
            lines[details["subscription_item"]].append(line)
    ends = told.truth().month_ends
    assert len(ends) >= 12
    for end in ends:
        worth: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        for own in lines.values():
            covering = [each for each in own if each["period"]["start"] <= end < each["period"]["end"]]
            if not covering:
                continue
            line = max(covering, key=lambda each: each["period"]["start"])
            subscription = subscriptions[line["subscription"]]
            if subscription["ended_at"] is None or end < subscription["ended_at"]:
                worth[subscription["customer"], line["currency"]] += _monthly(
                    prices[line["pricing"]["price_details"]["price"]], line["quantity"]
                )
        assert told.truth().mrr(end) == worth


def test_subscribers_grow_and_churn(account: Account) -> None:
    """The curve is that of a growing business that also loses customers."""
    truth = account.truth()
    paying = [len(truth.mrr(end)) for end in truth.month_ends]
    assert paying[-1] > 2 * paying[len(paying) // 2] > 0
    ended = [each for each in account.objects("subscription") if each["ended_at"]]
    assert len(ended) > 10


def test_every_object_has_all_fields_of_its_kind(account: Account) -> None:
    """A mirror's columns come from these."""
    kinds = [kind for kind in account.store.shelves if kind != "discount"]
    assert len(kinds) >= 24
    for kind in kinds:
        if kind in ("event", "subscription_item"):
            continue
        form = template(kind)
        for each in account.objects(kind):
            assert set(form) <= set(each), kind
            unfilled = {name for name, value in form.items() if value == "" and each[name] == ""}
            assert not unfilled, (kind, unfilled)
            assert each["object"] == kind
            assert each.get("created", 1) > 0


def test_all_kinds_of_stories_happen(account: Account) -> None:
    """A small account has every case a mirror must survive."""
    statuses = Counter(each["status"] for each in account.objects("subscription"))
    assert {"active", "canceled", "incomplete_expired"} <= set(statuses)
    invoices = account.objects("invoice")
    assert {"paid", "void"} <= {each["status"] for each in invoices}
    assert {"subscription_create", "subscription_cycle", "subscription_update", "manual"} <= {each["billing_reason"] for each in invoices}
    assert any(each["lines"]["has_more"] for each in invoices)
    assert any(each["amount_refunded"] not in (0, each["amount"]) for each in account.objects("charge"))
    assert {each["currency"] for each in account.objects("charge")} == {"usd", "eur", "gbp", "jpy", "kwd"}
    assert {each["status"] for each in account.objects("checkout.session")} == {"complete", "expired"}
    for kind in ("transfer", "application_fee", "topup", "credit_note", "setup_intent", "invoiceitem", "payout"):
        assert account.objects(kind), kind
    for kind in ("customer", "coupon", "product"):
        assert account.deleted(kind), kind


def test_the_account_has_as_many_customers_as_asked_for(account: Account) -> None:
    """Those that were deleted on the way are made up for."""
    assert len(account.objects("customer")) == 400


def test_the_size_of_an_account_follows_its_customers() -> None:
    """A benchmark's number of objects is known beforehand; the fixed parts weigh less in larger accounts."""
    account = Account(seed=1, customers=3000, now=NOW)
    objects = sum(len(shelf.order) for kind, shelf in account.store.shelves.items() if kind not in ("payment_method", "discount"))
    assert 8.0 < objects / 3000 < 11.5


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "expected"),
    [
        ("2026-01-31", "month", 1, "2026-02-28"),
        ("2026-01-31", "month", 2, "2026-03-31"),
        ("2024-02-29", "year", 1, "2025-02-28"),
        ("2026-01-31", "month", -2, "2025-11-30"),
        ("2026-01-01", "week", 2, "2026-01-15"),
    ],
)
def test_periods_end_on_the_last_day_where_a_month_is_short(anchor: str, interval: str, count: int, expected: str) -> None:
    """Counted from the anchor, so that a short month does not move the later ones."""

    def seconds(day: str) -> int:
        return int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp())

    assert after(seconds(anchor), interval, count) == seconds(expected)


def test_month_ends_are_first_seconds_of_the_next_month() -> None:
    """An end on the very last second of the stretch counts, one at its begin does not."""
    january, february, march = (int(datetime(2026, month, 1, tzinfo=UTC).timestamp()) for month in (1, 2, 3))
    assert month_ends(january, march) == [february, march]
    assert month_ends(january + 5, march - 1) == [february]
