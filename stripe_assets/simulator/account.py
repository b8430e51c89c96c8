"""A simulated Stripe account: its history is told when it is made, and goes on when time is advanced."""

import time
from typing import Any

import orjson

from stripe_assets.simulator import rendering
from stripe_assets.simulator.billing import Billing
from stripe_assets.simulator.books import RETENTION, Books
from stripe_assets.simulator.offers import Offers
from stripe_assets.simulator.payments import Payments
from stripe_assets.simulator.periods import DAY, after
from stripe_assets.simulator.reversals import Reversals
from stripe_assets.simulator.shapes import KINDS, event_types, template
from stripe_assets.simulator.store import Record, Store
from stripe_assets.simulator.story import Story
from stripe_assets.simulator.subscriptions import Subscriptions
from stripe_assets.simulator.treasury import Treasury
from stripe_assets.simulator.truth import Truth

_EVENT_NAMES = {"subscription": "customer.subscription", "dispute": "charge.dispute"}
_TWINS = {"price": "plan", "plan": "price"}


class Account:
    """One account; `customers` is how many it has at `now`, `months` the length of its history before."""

    def __init__(self, seed: int = 1, customers: int = 200, now: int | None = None, months: int = 24) -> None:
        now = int(time.time() if now is None else now)
        began = after(now, "month", -months)
        self._books = books = Books(seed=seed, began=began, events_since=now - RETENTION)
        self.lock = books.lock
        self.id = books.new_id("account")
        self._treasury = treasury = Treasury(books)
        offers = Offers(books)
        payments = Payments(books, treasury, offers)
        self._reversals = Reversals(books, treasury)
        payments.on_paid = self._reversals.consider
        self._billing = billing = Billing(books, payments)
        self._subscriptions = Subscriptions(books, billing, payments)
        self._story = Story(books, offers, payments, billing, self._subscriptions)
        treasury.open()
        self._story.begin(customers, now)
        books.run(now)

    @property
    def now(self) -> int:
        """Unix seconds of the simulated clock."""
        return self._books.now

    @property
    def store(self) -> Store:
        """The objects themselves, for the lists that serve them; hold `lock` while reading."""
        return self._books.store

    def advance(self, days: float = 1.0) -> None:
        """Let time pass; what happens meanwhile leaves events. Safe while the account is served from another thread."""
        self._books.run(self.now + round(days * DAY))

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Give every present object of a kind as its list serves it without expand, newest first."""
        if kind in ("account", "balance"):
            return [self.account() if kind == "account" else self.balance()]
        self._known(kind)
        with self.lock:
            bodies = [rendering.body(self.store, each) for each in reversed(self.store.shelf(kind).order)]
        return [orjson.loads(each) for each in bodies]

    def deleted(self, kind: str) -> dict[str, int]:
        """Give the ids of deleted objects of a kind, with the unix second of their end."""
        self._known(kind)
        with self.lock:
            self.store.shelf(kind)
            return {object_id: at for object_id, (_, at) in self.store.gone[kind].items()}

    def truth(self) -> Truth:
        """Give the account's real numbers, kept apart from its objects."""
        return self._books.truth

    def account(self) -> dict[str, Any]:
        """Give the account object."""
        settings = {"dashboard": {"display_name": "Simulated", "timezone": "Etc/UTC"}}
        return {
            **template("account"), "id": self.id, "business_type": "company", "charges_enabled": True, "country": "US",
            "created": self._books.began, "default_currency": "usd", "details_submitted": True, "email": "owner@example.com",
            "payouts_enabled": True, "settings": settings,
        }  # fmt: skip

    def balance(self) -> dict[str, Any]:
        """Give the balance object, by currency."""
        with self.lock:
            return self._treasury.balance()

    def _known(self, kind: str) -> None:
        if kind not in KINDS:
            raise ValueError(f"there is no object called {kind}; there are: {', '.join(KINDS)}")

    def _record(self, kind: str, object_id: str) -> Record:
        found = self.store.get(kind, object_id)
        if found is None:
            raise KeyError(f"no {kind} {object_id} in this account")
        return found

    def edit(self, kind: str, object_id: str, **fields: Any) -> None:
        """Change fields of an object, with the event that Stripe would leave (some kinds have none)."""
        with self.lock:
            record = self._record(kind, object_id)
            self._books.change(record, *self._events(kind, "updated"), **fields)
            twin = self.store.get(_TWINS.get(kind, ""), object_id)
            if twin is not None:
                shared = {name: value for name, value in fields.items() if name in template(twin.kind)}
                self._books.change(twin, *self._events(twin.kind, "updated"), **shared)

    def delete(self, kind: str, object_id: str) -> None:
        """Delete an object, with its event; a customer's subscriptions end first, an invoice's lines and a price's plan go with it.

        To delete a subscription is to cancel it: it stays, as at Stripe.
        """
        with self.lock:
            record = self._record(kind, object_id)
            if kind == "subscription":
                self._subscriptions.end(self._subscriptions.running[object_id], "cancellation_requested")
                return
            if kind == "customer":
                for running in [each for each in self._subscriptions.running.values() if each.customer is record]:
                    self._subscriptions.end(running, "customer_deleted")
                for method in list(self.store.shelf("payment_method").under(object_id)):
                    self._books.remove(method, "payment_method.detached")
            for line in list(self.store.shelf("line_item").under(object_id)):
                self._books.remove(line)
            twin = self.store.get(_TWINS.get(kind, ""), object_id)
            for each in (record, twin) if twin else (record,):
                self._books.remove(each, *self._events(each.kind, "deleted"))

    def create(self, kind: str, **fields: Any) -> str:
        """Add an object of a simple kind (customer, product, coupon, ...) with its event, and give its id."""
        with self.lock:
            if kind == "customer":
                return self._story.customer(**fields).id
            defaults: dict[str, dict[str, Any]] = {
                "product": {"active": True, "name": "Product", "updated": self.now}, "coupon": {"valid": True, "percent_off": 10},
            }  # fmt: skip
            object_id = fields.pop("id", None)
            return self._books.add(kind, {**defaults.get(kind, {}), **fields}, *self._events(kind, "created"), object_id=object_id).id

    def bill(self, customer_id: str, lines: int = 250, currency: str = "usd") -> str:
        """Bill a customer by a paid invoice of that many lines, with its payment; give the invoice's id."""
        with self.lock:
            return self._billing.bill(self._record("customer", customer_id), lines, currency).id

    def refund(self, charge_id: str, amount: int) -> str:
        """Give `amount` minor units of a charge back; give the refund's id."""
        with self.lock:
            return self._reversals.refund(self._record("charge", charge_id), amount).id

    def payment_of(self, invoice_id: str) -> str | None:
        """Give the payment intent of an invoice."""
        found = self._books.paid_by.get(invoice_id)
        return found.id if found else None

    def bought(self, session_id: str) -> tuple[Record, int] | None:
        """Give the price and quantity of a checkout session."""
        return self._books.bought.get(session_id)

    def _events(self, kind: str, change: str) -> tuple[str, ...]:
        name = f"{_EVENT_NAMES.get(kind, kind)}.{change}"
        return (name,) if name in event_types() else ()
