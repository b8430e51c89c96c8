"""Who comes, what they buy, when they change their mind: the decisions behind the account's history."""

import math

from stripe_assets.simulator.billing import Billing, Line
from stripe_assets.simulator.books import Books
from stripe_assets.simulator.money import CURRENCIES
from stripe_assets.simulator.offers import Offers
from stripe_assets.simulator.payments import Payments
from stripe_assets.simulator.periods import DAY, HOUR
from stripe_assets.simulator.store import Record
from stripe_assets.simulator.subscriptions import Running, Subscriptions

GROWTH = 2.2
"""How much the arrivals grow over the history: e**2.2 = nine times as many a day at its end."""

_CHURN = {"week": 0.02, "month": 0.045, "year": 0.28}
"""Share of subscriptions that are canceled within one period."""

_FIRST = (
    "Ada", "Alan", "Carl", "Dana", "Fei", "Grace", "Hedy", "Ivan", "Joan", "Lena", "Max", "Nadia", "Omar", "Rosa", "Yuki",
)  # fmt: skip
_LAST = (
    "Abe", "Berg", "Costa", "Diaz", "Evans", "Gupta", "Haddad", "Ito", "Jones", "Khan", "Lopez", "Novak", "Park", "Rossi", "Silva", "Weber",
)  # fmt: skip
_CITIES = {"usd": "Austin", "eur": "Berlin", "gbp": "Leeds", "jpy": "Osaka", "kwd": "Kuwait"}


class Story:
    """Tells the history and goes on with it."""

    def __init__(self, books: Books, offers: Offers, payments: Payments, billing: Billing, subscriptions: Subscriptions) -> None:
        self._books = books
        self._offers = offers
        self._payments = payments
        self._billing = billing
        self._subscriptions = subscriptions
        self._arrived = 0
        self._until = books.began
        self._gap = float(DAY)
        self._large = 0
        subscriptions.on_renewed = self._renewed
        subscriptions.on_ended = self._ended

    def begin(self, customers: int, until: int) -> None:
        """Put the arrival of all `customers` until then on the agenda, and the small things of every day."""
        books, span = self._books, until - self._books.now
        self._until = until
        full = math.exp(GROWTH) - 1
        self._gap = span * full / (customers * GROWTH * math.exp(GROWTH)) if customers else math.inf
        for turn in range(customers):
            share = (turn + books.chance.random.random()) / customers
            at = books.now + int(math.log(1 + share * full) / GROWTH * (span - 2)) + 1
            books.later(at, self._arrive)
        if customers:
            books.later(until + 1, self._next_arrival)
            books.later(books.now + DAY + 37, self._day)

    def _next_arrival(self) -> None:
        self._arrive()
        self._books.later(self._books.now + 1 + int(self._books.chance.random.expovariate(1 / self._gap)), self._next_arrival)

    def _soon(self, low: int, high: int) -> int:
        """Give a moment from now that is no midnight, so that nothing changes in a month's last instant."""
        at = self._books.now + self._books.chance.between(low, max(low, high))
        return at + 1 if at % DAY == 0 else at

    def customer(self, **fields: object) -> Record:
        """Add a customer, with the given fields instead of invented ones."""
        books, chance = self._books, self._books.chance
        self._arrived += 1
        currency = chance.random.choices(list(CURRENCIES), [each.share for each in CURRENCIES.values()])[0]
        first, last = _FIRST[chance.between(0, len(_FIRST) - 1)], _LAST[chance.between(0, len(_LAST) - 1)]
        address = {
            "city": _CITIES[currency], "country": CURRENCIES[currency].country, "line1": f"{chance.between(1, 400)} Main Street",
            "line2": None, "postal_code": f"{chance.between(10000, 99999)}", "state": None,
        }  # fmt: skip
        return books.add("customer", {
            "address": address, "currency": currency, "delinquent": False, "email": f"{first}.{last}.{self._arrived}@example.com".lower(),
            "invoice_prefix": chance.id("", 8).upper(), "name": f"{first} {last}", "next_invoice_sequence": 1, "preferred_locales": [],
            "tax_exempt": "none", **fields,
        }, "customer.created")  # fmt: skip

    def _arrive(self) -> None:
        books, chance = self._books, self._books.chance
        customer = self.customer()
        if chance.strikes("subscriber", 0.176):
            books.later(self._soon(30, 3 * DAY), self._subscribe, customer)
        elif chance.strikes("buyer", 0.2):
            books.later(self._soon(30, 2 * DAY), self._check_out, customer)
        elif chance.strikes("saves a card", 0.06):
            self._payments.setup(customer, self._payments.card(customer))
        elif chance.strikes("leaves for good", 0.01):
            books.later(self._soon(DAY, 60 * DAY), self._leave, customer)
        elif chance.strikes("draft thrown away", 0.012):
            self._draft(customer)
        if self._large < 2 and self._arrived % 60 == 45:
            self._large += 1
            self._billing.bill(customer, 105 + 20 * self._large, customer.fields["currency"])
        elif chance.strikes("one-off work", 0.004):
            self._billing.bill(customer, chance.between(1, 14), customer.fields["currency"])

    def _present(self, customer: Record) -> bool:
        return self._books.store.get("customer", customer.id) is not None

    def _check_out(self, customer: Record) -> None:
        if self._present(customer):
            self._payments.check_out(customer)

    def _leave(self, customer: Record) -> None:
        """Delete a customer who never paid; during the history another takes the place."""
        if self._present(customer):
            self._books.remove(customer, "customer.deleted")
            if self._books.now < self._until:
                self._books.later(self._soon(0, self._until - self._books.now - 1), self._arrive)

    def _draft(self, customer: Record) -> None:
        books, unit = self._books, CURRENCIES[customer.fields["currency"]].price(5000)
        line = Line(unit, 1, None, "Work", books.now, books.now, str(unit))
        item = self._billing.item(customer, line, customer.fields["currency"])
        if books.chance.strikes("item thrown away", 0.5):
            books.later(self._soon(HOUR, 5 * DAY), self._throw_away, item)
            return
        line = line._replace(invoice_item=item)
        invoice = self._billing.draft(customer, customer.fields["currency"], [line], reason="manual")
        self._billing.claim(invoice, [line])
        books.later(self._soon(HOUR, 5 * DAY), self._throw_away, invoice)

    def _throw_away(self, record: Record) -> None:
        store = self._books.store
        if store.get(record.kind, record.id) is None:
            return
        for line in list(store.shelf("line_item").under(record.id)):
            self._books.remove(line)
        for item in [each for each in store.each("invoiceitem") if each.fields.get("invoice") == record.id]:
            self._books.remove(item, "invoiceitem.deleted")
        self._books.remove(record, f"{record.kind}.deleted")

    def _subscribe(self, customer: Record) -> None:
        if not self._present(customer):
            return
        chance, currency = self._books.chance, customer.fields["currency"]
        draw = chance.random.random()
        interval, count = ("month", 1) if draw < 0.74 else ("year", 1)
        if currency == "usd" and draw > 0.97:
            interval, count = ("month", 3) if draw < 0.993 else ("week", 1)
        tiers = self._offers.tiers[currency, interval, count]
        tier = min(chance.random.choices(range(4), (50, 30, 15, 5))[0], len(tiers) - 1)
        quantity = chance.between(2, 20) if chance.strikes("several seats", 0.2) else 1
        wanted = [(tiers[tier], quantity)]
        if (currency, interval, count) == ("usd", "month", 1) and chance.strikes("add-ons", 0.07):
            wanted += [(each, 1) for each in self._offers.addons[: chance.between(1, 11)]]
        trial = 14 if chance.strikes("trial", 0.25) else 0
        if trial:
            self._payments.setup(customer, self._payments.card_of(customer))
        coupons = [each for each in self._offers.promotions if each[0].fields.get("currency") in (None, currency)]
        self._subscriptions.start(
            customer, wanted, trial_days=trial, declined=not trial and chance.strikes("first payment declined", 0.03),
            coupon=coupons[chance.between(0, len(coupons) - 1)] if chance.strikes("coupon", 0.12) else None,
            tax=self._offers.taxes[currency] if chance.strikes("tax", 0.2) else None,
        )  # fmt: skip

    def _renewed(self, running: Running) -> None:
        """Decide what will happen within the period that has just begun."""
        books, chance, left = self._books, self._books.chance, running.end - self._books.now
        if chance.strikes(f"churn {running.interval}", min(0.6, _CHURN[running.interval] * running.count)):
            books.later(self._soon(HOUR, left - HOUR), self._cancel, running, running.end)
        elif chance.strikes(f"switch {running.interval}", 0.035 if running.interval != "year" else 0.15):
            books.later(self._soon(3 * HOUR, left - 3 * HOUR), self._switch, running, running.end)

    def _cancel(self, running: Running, end: int) -> None:
        if running.ended or running.end != end:
            return
        if self._books.chance.strikes("cancels at once", 0.2):
            self._subscriptions.end(running, "cancellation_requested")
            return
        self._subscriptions.cancel_later(running)
        if self._books.chance.strikes("comes to reason", 0.1):
            self._books.later(self._soon(60, end - self._books.now - 60), self._keep, running, end)

    def _keep(self, running: Running, end: int) -> None:
        if not running.ended and running.end == end:
            self._subscriptions.keep(running)

    def _switch(self, running: Running, end: int) -> None:
        if running.ended or running.end != end or running.record.fields["status"] != "active":
            return
        chance, item = self._books.chance, running.items[0]
        tiers = self._offers.tiers[running.record.fields["currency"], running.interval, running.count]
        at = next(turn for turn, each in enumerate(tiers) if each.id == item.fields["price"])
        quantity = item.fields["quantity"]
        if quantity > 1 or len(tiers) == 1:
            quantity = max(1, quantity + chance.between(-2, 6))
        else:
            at = max(0, at - 1) if chance.strikes("downgrade", 0.25) else min(len(tiers) - 1, at + 1)
        if (tiers[at].id, quantity) != (item.fields["price"], item.fields["quantity"]):
            self._subscriptions.switch(running, tiers[at], quantity)

    def _ended(self, running: Running, reason: str) -> None:
        if reason != "customer_deleted" and self._books.chance.strikes("comes back", 0.18):
            self._books.later(self._soon(20 * DAY, 120 * DAY), self._subscribe, running.customer)

    def _day(self) -> None:
        """Small things that happen on any day: people correct their details, codes and products come and go."""
        books, chance, store = self._books, self._books.chance, self._books.store
        people = store.shelf("customer").order
        for _ in range(1 + len(people) // 4000 if people and chance.strikes("edit", min(1.0, len(people) / 2000)) else 0):
            person = people[chance.between(0, len(people) - 1)]
            books.change(person, "customer.updated", metadata={"note": chance.id("", 8)})
        if chance.strikes("short coupon", 1 / 60):
            coupon = books.add("coupon", {
                "duration": "once", "metadata": {}, "name": "Short", "percent_off": 5, "redeem_by": books.now + 10 * DAY, "valid": True,
            }, "coupon.created")  # fmt: skip
            books.later(books.now + 10 * DAY, self._throw_away, coupon)
        if chance.strikes("product tried out", 1 / 90):
            product = self._offers.product("Experiment")
            books.later(books.now + 20 * DAY, self._throw_away, product)
        if chance.strikes("product reworded", 1 / 45):
            products = store.shelf("product").order
            product = products[chance.between(0, len(products) - 1)]
            books.change(product, "product.updated", description=f"Edition {chance.id('', 4)}", updated=books.now)
        books.later(books.now + DAY, self._day)
