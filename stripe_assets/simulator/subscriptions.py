"""The life of a subscription: trial, renewals, changes with prorations, dunning, cancellation."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from stripe_assets.simulator.billing import Billing, Discount, Line
from stripe_assets.simulator.books import Books
from stripe_assets.simulator.payments import Payments
from stripe_assets.simulator.periods import DAY, HOUR, after, per_month
from stripe_assets.simulator.store import Fields, Record

RETRY_DAYS = (3, 5, 7)
"""Days between attempts to collect a declined renewal; after the last the subscription is canceled."""


class Running:
    """A subscription that has not ended, with what its next renewal needs."""

    __slots__ = (
        "anchor", "count", "customer", "cycle", "discount", "discounted", "end", "ended", "interval", "items", "record", "start", "tax",
    )  # fmt: skip

    def __init__(self, record: Record, customer: Record, interval: str, count: int, anchor: int) -> None:
        self.record = record
        self.customer = customer
        self.items: list[Record] = []
        self.interval = interval
        self.count = count
        self.anchor = anchor
        self.cycle = 0
        self.start = self.end = anchor
        self.discount: Discount | None = None
        self.discounted = 0
        self.tax: Record | None = None
        self.ended = False


class Subscriptions:
    """Runs all subscriptions. `on_renewed` and `on_ended` hear of each."""

    def __init__(self, books: Books, billing: Billing, payments: Payments) -> None:
        self._books = books
        self._billing = billing
        self._payments = payments
        self.running: dict[str, Running] = {}
        self.on_renewed: Callable[[Running], None] = lambda _: None
        self.on_ended: Callable[[Running, str], None] = lambda _, __: None

    def start(
        self,
        customer: Record,
        wanted: list[tuple[Record, int]],
        *,
        trial_days: int = 0,
        coupon: tuple[Record, Record] | None = None,
        tax: Record | None = None,
        declined: bool = False,
    ) -> Running:
        """Subscribe a customer to prices with their quantities; a declined first payment leaves it incomplete for 23 hours."""
        books, now = self._books, self._books.now
        recurring = wanted[0][0].fields["recurring"]
        until = now + trial_days * DAY
        record = books.add("subscription", {
            "currency": wanted[0][0].fields["currency"], "customer": customer.id, "start_date": now, "billing_cycle_anchor": until,
            "default_payment_method": self._payments.card_of(customer).id, "default_tax_rates": [tax.id] if tax else [],
            "status": "trialing" if trial_days else "incomplete", "trial_start": now if trial_days else None,
            "trial_end": until if trial_days else None, "cancellation_details": {"comment": None, "feedback": None, "reason": None},
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "payment_settings": {"payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off"},
        })  # fmt: skip
        running = Running(record, customer, recurring["interval"], recurring["interval_count"], until)
        running.tax = tax
        running.end = until if trial_days else after(now, running.interval, running.count)
        running.start = now
        for price, quantity in wanted:
            running.items.append(books.add("subscription_item", {
                "price": price.id, "quantity": quantity, "subscription": record.id, "tax_rates": [],
                "current_period_start": now, "current_period_end": running.end,
            }, under=record.id))  # fmt: skip
        if coupon is not None:
            self._discount(running, coupon)
        books.tell("customer.subscription.created", record)
        self.running[record.id] = running
        self._first_invoice(running, trial=trial_days > 0, declined=declined)
        return running

    def _first_invoice(self, running: Running, *, trial: bool, declined: bool) -> None:
        books, record = self._books, running.record
        invoice = self._invoice(running, "subscription_create", trial=trial)
        self._billing.finalize(invoice, running.customer, self._card(running))
        if not self._billing.collect(invoice, declined=declined):
            books.change(record, "customer.subscription.updated", latest_invoice=invoice.id)
            books.later(books.now + 23 * HOUR, self._expire, running, invoice)
            return
        if trial:
            books.change(record, "customer.subscription.updated", latest_invoice=invoice.id)
            books.later(max(books.now + 1, running.end - 3 * DAY), self._trial_ends_soon, running)
        else:
            self._activate(running, latest_invoice=invoice.id)
        books.later(running.end, self._renew, running, running.end)
        self.on_renewed(running)

    def _trial_ends_soon(self, running: Running) -> None:
        if not running.ended:
            self._books.tell("customer.subscription.trial_will_end", running.record)

    def _activate(self, running: Running, **changes: Any) -> None:
        self._books.change(running.record, "customer.subscription.updated", status="active", **changes)
        for item in running.items:
            self._count(running, item)

    def _count(self, running: Running, item: Record) -> None:
        unit = self._books.store.ever("price", item.fields["price"]).fields["unit_amount"]
        monthly = Fraction(unit * item.fields["quantity"]) * per_month(running.interval, running.count)
        self._books.truth.runs(item.id, running.customer.id, running.record.fields["currency"], monthly, self._books.now)

    def _expire(self, running: Running, invoice: Record) -> None:
        books = self._books
        if running.ended:
            return
        running.ended = True
        del self.running[running.record.id]
        books.change(running.record, "customer.subscription.updated", status="incomplete_expired", ended_at=books.now)
        self._billing.give_up(invoice, void=True)

    def _discount(self, running: Running, coupon: tuple[Record, Record]) -> None:
        books, (terms, promotion) = self._books, coupon
        fields = terms.fields
        record = books.add("discount", {
            "customer": running.customer.id, "promotion_code": promotion.id, "source": {"coupon": terms.id, "type": "coupon"},
            "start": books.now, "subscription": running.record.id,
        }, "customer.discount.created")  # fmt: skip
        running.discount = Discount(record, fields.get("percent_off"), fields.get("amount_off"))
        running.discounted = {"once": 1, "repeating": fields.get("duration_in_months") or 1}.get(fields["duration"], 10_000)
        running.record.fields["discounts"] = [record.id]
        books.touch(running.record)
        for each, event in ((terms, "coupon.updated"), (promotion, "promotion_code.updated")):
            if books.store.get(each.kind, each.id):
                books.change(each, event, times_redeemed=each.fields.get("times_redeemed", 0) + 1)

    def _card(self, running: Running) -> Record:
        return self._books.store.ever("payment_method", running.record.fields["default_payment_method"])

    def _lines(self, running: Running, *, trial: bool = False) -> list[Line]:
        lines = []
        for item in running.items:
            price, quantity = self._books.store.ever("price", item.fields["price"]), item.fields["quantity"]
            unit = 0 if trial else price.fields["unit_amount"]
            text = "Trial period" if trial else f"{quantity} x subscription"
            lines.append(Line(unit * quantity, quantity, price, text, running.start, running.end, str(unit), running.record.id, item.id))
        return lines

    def _invoice(self, running: Running, reason: str, *, trial: bool = False) -> Record:
        discount = running.discount if running.discounted > 0 else None
        if discount and not trial:
            running.discounted -= 1
        return self._billing.draft(
            running.customer, running.record.fields["currency"], self._lines(running, trial=trial), reason=reason,
            subscription=running.record.id, discount=discount, tax=running.tax,
        )  # fmt: skip

    def _renew(self, running: Running, due: int) -> None:
        books, record = self._books, running.record
        if running.ended or running.end != due:
            return
        if record.fields.get("cancel_at_period_end"):
            self.end(running, "cancellation_requested")
            return
        began = record.fields["status"] == "trialing"
        if not began:
            running.cycle += 1
        self._period(running, due, after(running.anchor, running.interval, running.count * (running.cycle + 1)))
        invoice = self._invoice(running, "subscription_cycle")
        if began:
            self._activate(running, latest_invoice=invoice.id)
        else:
            gone: Fields = {"discounts": []} if running.discount and running.discounted == 0 and record.fields["discounts"] else {}
            books.change(record, "customer.subscription.updated", latest_invoice=invoice.id, **gone)
        books.later(books.now + HOUR, self._collect, running, invoice, 0)
        books.later(running.end, self._renew, running, running.end)
        self.on_renewed(running)

    def _period(self, running: Running, start: int, end: int) -> None:
        running.start, running.end = start, end
        for item in running.items:
            self._books.change(item, current_period_start=start, current_period_end=end)

    def _collect(self, running: Running, invoice: Record, attempt: int) -> None:
        books, billing = self._books, self._billing
        if attempt == 0:
            if books.store.get("customer", running.customer.id) is None:
                return
            billing.finalize(invoice, running.customer, self._card(running))
        elif running.ended or invoice.fields["status"] != "open":
            return
        declined = books.chance.strikes("decline", 0.04) if attempt == 0 else books.chance.strikes("decline again", 0.45)
        retry_at = books.now + RETRY_DAYS[attempt] * DAY if attempt < len(RETRY_DAYS) else None
        if billing.collect(invoice, declined=declined, retry_at=retry_at):
            if running.record.fields["status"] == "past_due":
                self._recover(running)
        elif running.ended or retry_at is None:
            billing.give_up(invoice, void=False)
            if not running.ended:
                self.end(running, "payment_failed")
        else:
            books.change(running.record, "customer.subscription.updated", status="past_due")
            books.change(running.customer, "customer.updated", delinquent=True)
            books.later(retry_at, self._collect, running, invoice, attempt + 1)

    def _recover(self, running: Running) -> None:
        self._books.change(running.record, "customer.subscription.updated", status="active")
        self._books.change(running.customer, "customer.updated", delinquent=False)

    def switch(self, running: Running, price: Record, quantity: int) -> None:
        """Change the first item now; the rest of the period is credited and billed at once (`always_invoice`)."""
        books, item, record = self._books, running.items[0], running.record
        old, had = books.store.ever("price", item.fields["price"]), item.fields["quantity"]
        part = Fraction(running.end - books.now, running.end - running.start)
        items = {"object": "list", "data": [{"id": item.id, "price": {"id": old.id}, "quantity": had}]}
        books.change(item, price=price.id, quantity=quantity)
        currency, lines = record.fields["currency"], []
        for sign, each, number in ((-1, old, had), (1, price, quantity)):
            unit = each.fields["unit_amount"]
            text = "Unused time" if sign < 0 else "Remaining time"
            amount = sign * round(unit * number * part)
            line = Line(amount, number, each, text, books.now, running.end, str(unit), record.id, item.id, proration=True)
            lines.append(line._replace(invoice_item=self._billing.item(running.customer, line, currency)))
        invoice = self._billing.draft(
            running.customer, currency, lines, reason="subscription_update", subscription=record.id, tax=running.tax
        )
        self._billing.claim(invoice, lines)
        books.change(record, "customer.subscription.updated", also={"items": items}, latest_invoice=invoice.id)
        self._count(running, item)
        self._billing.finalize(invoice, running.customer, self._card(running))
        self._billing.collect(invoice)

    def cancel_later(self, running: Running) -> None:
        """Cancel at the period's end."""
        details = {"comment": None, "feedback": "unused", "reason": "cancellation_requested"}
        self._books.change(
            running.record, "customer.subscription.updated", cancel_at_period_end=True, cancel_at=running.end, canceled_at=self._books.now,
            cancellation_details=details,
        )  # fmt: skip

    def keep(self, running: Running) -> None:
        """Take a cancellation back."""
        details = {"comment": None, "feedback": None, "reason": None}
        self._books.change(
            running.record, "customer.subscription.updated", cancel_at_period_end=False, cancel_at=None, canceled_at=None,
            cancellation_details=details,
        )  # fmt: skip

    def end(self, running: Running, reason: str) -> None:
        """End a subscription now."""
        books, record = self._books, running.record
        running.ended = True
        del self.running[record.id]
        for item in running.items:
            books.truth.stops(item.id, books.now)
        books.change(
            record, "customer.subscription.deleted", status="canceled", ended_at=books.now,
            canceled_at=record.fields.get("canceled_at") or books.now,
            cancellation_details={**record.fields["cancellation_details"], "reason": reason},
        )  # fmt: skip
        self.on_ended(running, reason)
