"""A simulated Stripe account: its history is told when it is made, and goes on when time is advanced."""

import time
from typing import Any

import orjson

from stripe_assets.simulator import inventory, rendering, samples
from stripe_assets.simulator.billing import Billing
from stripe_assets.simulator.books import RETENTION, Books
from stripe_assets.simulator.connections import Connections
from stripe_assets.simulator.endpoints import SINGLES, routes
from stripe_assets.simulator.growth import Growth
from stripe_assets.simulator.offers import Offers
from stripe_assets.simulator.paperwork import Paperwork
from stripe_assets.simulator.payments import Payments
from stripe_assets.simulator.periods import DAY, after
from stripe_assets.simulator.reshaping import reshape
from stripe_assets.simulator.reversals import Reversals
from stripe_assets.simulator.shapes import KINDS, template
from stripe_assets.simulator.store import Fields, Record, Store
from stripe_assets.simulator.story import Story
from stripe_assets.simulator.subscriptions import Subscriptions
from stripe_assets.simulator.treasury import Treasury
from stripe_assets.simulator.truth import Truth
from stripe_assets.simulator.whims import Whims, told

_TWINS = {"price": "plan", "plan": "price"}
_SINGLES = frozenset(SINGLES.values())


class Account:
    """One account; `customers` is how many it has at `now`, `months` the length of its history before.

    `connected` accounts belong to it as a platform, with `connected_customers` each.
    """

    def __init__(
        self,
        seed: int = 1,
        customers: int = 200,
        now: int | None = None,
        months: int = 24,
        connected: int = 3,
        connected_customers: int = 5,
    ) -> None:
        now = int(time.time() if now is None else now)
        began = after(now, "month", -months)
        self._books = books = Books(seed=seed, began=began, events_since=now - RETENTION)
        self.lock = books.lock
        self.id = books.new_id("account")
        self.changed = False
        """Whether somebody has changed it, so that its seed alone does not tell it any more."""
        self.connections = Connections(
            connected, seed=seed, now=now, tell=lambda seed, months: Account(seed, connected_customers, now, months, connected=0)
        )
        self._about: Fields = {}
        self._treasury = treasury = Treasury(books)
        offers, paperwork = Offers(books), Paperwork(books)
        payments = Payments(books, treasury, offers, paperwork)
        payments.connected = [*self.connections.ids, *payments.connected][:3]
        self._reversals = Reversals(books, treasury)
        payments.on_paid = self._reversals.consider
        self._billing = billing = Billing(books, payments, paperwork)
        self._subscriptions = Subscriptions(books, billing, payments)
        self._story = Story(books, offers, payments, billing, self._subscriptions)
        treasury.open()
        self._story.begin(customers, now)
        books.run(now)
        self._growth = Growth(books, seed=seed, customers=customers, connections=self.connections)
        self._growth.begin()
        self._whims = Whims(books, self._growth)
        self._whims.begin()

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
        self.changed = True
        self._books.run(self.now + round(days * DAY))

    def catch_up(self, now: int) -> None:
        """Let time pass until `now`, as it does for the platform."""
        self._books.run(now)

    def linked(self, account_id: str) -> "Account | None":
        """Give the connected account of that id as it is now, or none."""
        with self.lock:
            return self.connections.get(account_id, self.now)

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Give every present object of a kind as its list serves it without expand, newest first.

        `kind` is what the objects call themselves, the name of a collection of `inventory`, or the path of a list.
        """
        return [shown for _, shown in self.placed(kind)]

    def placed(self, kind: str) -> list[tuple[str | None, dict[str, Any]]]:
        """Give every present object of a kind with the id of what it lies under (of a meter's sums: meter/customer)."""
        name = self._known(kind)
        if name in _SINGLES:
            return [(None, self.single(name))]
        with self.lock:
            found = [(each.under, rendering.body(self.store, each)) for each in reversed(self.store.shelf(name).order)]
        return [(under, orjson.loads(body)) for under, body in found]

    def listed(self, kind: str) -> list[str]:
        """Give the ids that the lists of a kind show to who asks for everything that they can be asked for."""
        name = self._known(kind)
        if name in _SINGLES:
            return []
        with self.lock:
            return [each.id for each in self.store.shelf(name).order if name != "review" or each.fields.get("open", True)]

    def deleted(self, kind: str) -> dict[str, int]:
        """Give the ids of deleted objects of a kind, with the unix second of their end."""
        name = self._known(kind)
        with self.lock:
            self.store.shelf(name)
            return {object_id: at for object_id, (_, at) in self.store.gone[name].items()}

    def truth(self) -> Truth:
        """Give the account's real numbers, kept apart from its objects."""
        return self._books.truth

    def account(self) -> dict[str, Any]:
        """Give the account object."""
        return self.single("account")

    def balance(self) -> dict[str, Any]:
        """Give the balance object, by currency."""
        return self.single("balance")

    def single(self, name: str) -> dict[str, Any]:
        """Give one of the objects that an account has one of."""
        with self.lock:
            shown: dict[str, Any]
            match name:
                case "account":
                    settings = {"dashboard": {"display_name": "Simulated", "timezone": "Etc/UTC"}}
                    shown = {
                        **template("account"), "id": self.id, "business_type": "company", "charges_enabled": True, "country": "US",
                        "created": self._books.began, "default_currency": "usd", "details_submitted": True, "email": "owner@example.com",
                        "payouts_enabled": True, "settings": settings, **self._about,
                    }  # fmt: skip
                case "balance":
                    shown = self._treasury.balance()
                case _:
                    shown = dict(samples.form(name))
            for field, change in self.store.reshaped.get(name, {}).items():
                change(shown, field)
            return shown

    def _known(self, kind: str) -> str:
        """Give the name of the collection that is meant."""
        if kind.startswith("/") and (found := routes().find(kind.replace("{", "").replace("}", ""))) is not None:
            return found[0].kind
        if kind in _SINGLES or kind in KINDS or kind in inventory.BY_NAME:
            return kind
        raise ValueError(f"there is no object called {kind}; there are: {', '.join([*KINDS, *inventory.BY_NAME])}")

    def _record(self, kind: str, object_id: str) -> Record:
        found = self.store.get(self._known(kind), object_id)
        if found is None:
            raise KeyError(f"no {kind} {object_id} in this account")
        return found

    def edit(self, kind: str, object_id: str, **fields: Any) -> None:
        """Change fields of an object, with the event that Stripe would leave (some kinds have none)."""
        with self.lock:
            self.changed = True
            if kind == "account":
                self._about |= fields
                return
            record = self._record(kind, object_id)
            self._whims.edit(record, fields)
            twin = self.store.get(_TWINS.get(kind, ""), object_id)
            if twin is not None:
                shared = {name: value for name, value in fields.items() if name in template(twin.kind)}
                self._whims.edit(twin, shared)

    def delete(self, kind: str, object_id: str) -> None:
        """Delete an object, with its event; a customer's subscriptions end first, an invoice's lines and a price's plan go with it.

        To delete a subscription is to cancel it: it stays, as at Stripe.
        """
        with self.lock:
            self.changed = True
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
                self._whims.delete(each)

    def create(self, kind: str, *, under: str | None = None, **fields: Any) -> str:
        """Add an object with its event, and give its id: of a simple kind (customer, product, coupon, ...) or of a collection.

        `under` is the id of the object that it shall lie under, where its collection has such.
        """
        with self.lock:
            self.changed = True
            if kind == "customer":
                return self._story.customer(**fields).id
            name = self._known(kind)
            if name in inventory.BY_NAME:
                above = inventory.BY_NAME[name].under
                return self._whims.create(name, fields, self._record(above, under) if above is not None and under is not None else None).id
            defaults: dict[str, dict[str, Any]] = {
                "product": {"active": True, "name": "Product", "updated": self.now}, "coupon": {"valid": True, "percent_off": 10},
            }  # fmt: skip
            object_id = fields.pop("id", None)
            return self._books.add(kind, {**defaults.get(kind, {}), **fields}, *told(kind, "created"), object_id=object_id).id

    def bill(self, customer_id: str, lines: int = 250, currency: str = "usd") -> str:
        """Bill a customer by a paid invoice of that many lines, with its payment; give the invoice's id."""
        with self.lock:
            self.changed = True
            return self._billing.bill(self._record("customer", customer_id), lines, currency).id

    def refund(self, charge_id: str, amount: int) -> str:
        """Give `amount` minor units of a charge back; give the refund's id."""
        with self.lock:
            self.changed = True
            return self._reversals.refund(self._record("charge", charge_id), amount).id

    def payment_of(self, invoice_id: str) -> str | None:
        """Give the payment intent of an invoice."""
        found = self._books.paid_by.get(invoice_id)
        return found.id if found else None

    def tell(self, **ways: Any) -> None:
        """Let changes be told otherwise from now on: the fields of `telling.Telling`."""
        with self.lock:
            self.changed = True
            for way, value in ways.items():
                setattr(self._books.telling, way, value)

    def is_visible(self, record: Record) -> bool:
        """Say whether lists show an object already."""
        return self._books.telling.is_visible(record, self.now)

    @property
    def shows_late(self) -> bool:
        """Whether lists do not show at once what was just written."""
        return self._books.telling.late > 0

    def reshape(self, kind: str, field: str, change: str) -> None:
        """Let a field of a kind `appear`, `vanish`, or become a `text`, `number` or `object`, in all later answers and events."""
        with self.lock:
            self.changed = True
            reshape(self.store, self._known(kind), field, change)
