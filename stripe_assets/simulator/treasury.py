"""Money that Stripe holds for the account: balance transactions, daily payouts, top-ups, and the balance."""

from collections import defaultdict
from typing import Any

from stripe_assets.simulator.books import Books
from stripe_assets.simulator.money import CURRENCIES
from stripe_assets.simulator.periods import DAY, after, midnight
from stripe_assets.simulator.store import Record

SETTLING_DAYS = 2
"""Days until a payment can be paid out, as in the payout schedule `delay_days`."""


class Treasury:
    """Keeps each transaction as pending, waiting for a payout, or paid out."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._pending: dict[int, list[Record]] = defaultdict(list)
        self._waiting: dict[str, list[Record]] = defaultdict(list)
        self._bank = books.chance.id("ba_")

    def open(self) -> None:
        """Begin the daily payouts and the monthly top-ups."""
        self._books.later(midnight(self._books.now) + DAY, self._settle)
        self._books.later(self._books.now + 9 * DAY + 11, self._top_up)

    def post(
        self,
        transaction_type: str,
        amount: int,
        currency: str,
        source: str,
        *,
        fee: int = 0,
        category: str | None = None,
        at_once: bool = False,
    ) -> Record:
        """Write one balance transaction; `at_once` makes it available without the days of settling."""
        books = self._books
        kept = {"amount": fee, "application": None, "currency": currency, "description": "Stripe processing fees", "type": "stripe_fee"}
        available = books.now if at_once else midnight(books.now) + (SETTLING_DAYS + 1) * DAY
        record = books.add(
            "balance_transaction",
            {
                "amount": amount, "available_on": available, "currency": currency, "fee": fee, "fee_details": [kept] if fee else [],
                "net": amount - fee, "reporting_category": category or transaction_type, "source": source, "type": transaction_type,
                "status": "available" if at_once else "pending", "balance_type": "payments",
            },
        )  # fmt: skip
        if transaction_type != "payout":
            (self._waiting[currency] if at_once else self._pending[available]).append(record)
        return record

    def balance(self) -> dict[str, Any]:
        """Give available and pending amounts by currency."""
        available = {currency: sum(each.fields["net"] for each in waiting) for currency, waiting in self._waiting.items()}
        pending: dict[str, int] = defaultdict(int)
        for records in self._pending.values():
            for each in records:
                pending[each.fields["currency"]] += each.fields["net"]
        currencies = sorted({"usd", *available, *pending})
        return {
            "object": "balance",
            "available": [_held(available.get(each, 0), each) for each in currencies],
            "connect_reserved": [{"amount": 0, "currency": each} for each in currencies],
            "livemode": False,
            "pending": [_held(pending.get(each, 0), each) for each in currencies],
        }

    def _settle(self) -> None:
        books = self._books
        for record in self._pending.pop(books.now, []):
            record.fields["status"] = "available"
            books.touch(record)
            self._waiting[record.fields["currency"]].append(record)
        for currency in CURRENCIES:
            held = self._waiting[currency]
            amount = sum(each.fields["net"] for each in held)
            if amount > 0:
                self._waiting[currency] = []
                self._pay_out(amount, currency, held)
        books.later(books.now + DAY, self._settle)

    def _pay_out(self, amount: int, currency: str, held: list[Record]) -> None:
        books = self._books
        object_id = books.new_id("payout")
        transaction = self.post("payout", -amount, currency, object_id, at_once=True)
        arrival = books.now + 2 * DAY
        payout = books.add(
            "payout",
            {
                "amount": amount, "arrival_date": arrival, "automatic": True, "balance_transaction": transaction.id, "currency": currency,
                "description": "STRIPE PAYOUT", "destination": self._bank, "metadata": {}, "method": "standard", "source_type": "card",
                "status": "in_transit", "reconciliation_status": "in_progress",
            },
            "payout.created",
            object_id=object_id,
        )  # fmt: skip
        shelf = books.store.shelf("balance_transaction")
        for each in held:
            shelf.file(each, object_id)
        books.later(arrival, self._arrive, payout)

    def _arrive(self, payout: Record) -> None:
        self._books.change(payout, "payout.paid", "payout.reconciliation_completed", status="paid", reconciliation_status="completed")

    def _top_up(self) -> None:
        books = self._books
        amount = books.chance.between(5, 40) * 10_000
        topup = books.add(
            "topup",
            {"amount": amount, "currency": "usd", "description": "Top-up", "expected_availability_date": books.now + DAY},
            "topup.created",
        )
        books.later(books.now + DAY, self._top_up_arrives, topup)
        books.later(after(books.now, "month", 1), self._top_up)

    def _top_up_arrives(self, topup: Record) -> None:
        transaction = self.post("topup", topup.fields["amount"], "usd", topup.id)
        self._books.change(topup, "topup.succeeded", status="succeeded", balance_transaction=transaction.id)


def _held(amount: int, currency: str) -> dict[str, Any]:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}
