"""Invoices: lines, discounts, taxes, finalising, collecting. When an invoice is due belongs in `subscriptions`."""

from typing import NamedTuple

from stripe_assets.simulator.books import Books
from stripe_assets.simulator.money import CURRENCIES
from stripe_assets.simulator.paperwork import Paperwork
from stripe_assets.simulator.payments import Payments
from stripe_assets.simulator.store import Fields, Record


class Line(NamedTuple):
    """One line to be billed; `unit` is the price of one in minor units, as text."""

    amount: int
    quantity: int
    price: Record | None
    description: str
    start: int
    end: int
    unit: str
    subscription: str | None = None
    item: str | None = None
    proration: bool = False
    invoice_item: Record | None = None


class Discount(NamedTuple):
    """A coupon in use: the discount object, and its terms."""

    record: Record
    percent: float | None
    amount: int | None

    def off(self, amount: int, taken: int) -> int:
        """Give what is taken off a line of `amount`, when `taken` was taken off the invoice's lines before it."""
        if amount <= 0:
            return 0
        return round(amount * self.percent / 100) if self.percent is not None else min(amount, (self.amount or 0) - taken)


class Billing:
    """Writes invoices and collects them."""

    def __init__(self, books: Books, payments: Payments, paperwork: Paperwork) -> None:
        self._books = books
        self._paperwork = paperwork
        self._payments = payments
        self._prefix = books.chance.id("", 8).upper()
        self._numbered = 0

    def item(self, customer: Record, line: Line, currency: str, *events: str) -> Record:
        """Add an invoice item that a line will be made of."""
        parent = line.subscription and {
            "subscription_details": {"subscription": line.subscription, "subscription_item": line.item}, "type": "subscription_details",
        }  # fmt: skip
        return self._books.add("invoiceitem", {
            "amount": line.amount, "currency": currency, "customer": customer.id, "date": self._books.now, "description": line.description,
            "discountable": not line.proration, "discounts": [], "metadata": {}, "net_amount": line.amount, "parent": parent,
            "period": {"end": line.end, "start": line.start}, "pricing": _pricing(line), "proration": line.proration,
            "quantity": line.quantity, "quantity_decimal": str(line.quantity), "tax_rates": [],
        }, *(events or ("invoiceitem.created",)))  # fmt: skip

    def draft(
        self,
        customer: Record,
        currency: str,
        lines: list[Line],
        *,
        reason: str,
        subscription: str | None = None,
        discount: Discount | None = None,
        tax: Record | None = None,
    ) -> Record:
        """Write an invoice with its lines, not yet final."""
        books = self._books
        object_id = books.new_id("invoice")
        invoice = books.add("invoice", {"customer": customer.id, "currency": currency, "status": "draft"}, object_id=object_id)
        subtotal = taken = taxed = taxable = 0
        for line in lines:
            off = discount.off(line.amount, taken) if discount and not line.proration else 0
            due = round((line.amount - off) * tax.fields["percentage"] / 100) if tax else 0
            subtotal, taken, taxed, taxable = subtotal + line.amount, taken + off, taxed + due, taxable + line.amount - off
            self._line(object_id, line, currency, discount if off else None, off, tax, due)
        total = subtotal - taken + taxed
        fields: Fields = {
            "account_country": "US", "account_name": "Simulated", "amount_due": max(total, 0), "amount_remaining": max(total, 0),
            "auto_advance": True, "automatically_finalizes_at": books.now + 3600, "billing_reason": reason,
            "customer_address": customer.fields["address"], "customer_email": customer.fields["email"],
            "customer_name": customer.fields["name"], "customer_tax_exempt": "none", "customer_tax_ids": [],
            "discounts": [discount.record.id] if discount else [], "metadata": {}, "period_end": books.now,
            "period_start": min((each.start for each in lines), default=books.now), "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal, "total": total, "total_excluding_tax": total - taxed,
            "total_discount_amounts": [{"amount": taken, "discount": discount.record.id}] if discount and taken else [],
            "total_pretax_credit_amounts": [], "total_taxes": _taxes(tax, taxed, taxable),
            "parent": subscription and {
                "quote_details": None, "type": "subscription_details",
                "subscription_details": {"metadata": {}, "subscription": subscription},
            },
        }  # fmt: skip
        invoice.fields.update(fields)
        books.touch(invoice)
        books.tell("invoice.created", invoice)
        return invoice

    def finalize(self, invoice: Record, customer: Record, method: Record | None) -> None:
        """Make an invoice final: number it, use the customer's credit, and begin the payment if something is due."""
        books, total = self._books, invoice.fields["total"]
        balance = customer.fields.get("balance", 0)
        due = max(0, total + balance) if balance < 0 else max(0, total)
        left = balance + total - due if balance < 0 or total < 0 else balance
        self._numbered += 1
        number = f"{self._prefix}-{self._numbered:04}"
        books.change(
            invoice, "invoice.finalized", status="open", number=number, amount_due=due, amount_remaining=due, starting_balance=balance,
            ending_balance=left, effective_at=books.now, automatically_finalizes_at=None, webhooks_delivered_at=books.now,
            hosted_invoice_url=f"https://invoice.stripe.com/i/{invoice.id}", invoice_pdf=f"https://pay.stripe.com/invoice/{invoice.id}/pdf",
            status_transitions={"finalized_at": books.now, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None},
        )  # fmt: skip
        if left != balance and books.store.get("customer", customer.id):
            self._paperwork.balanced(customer, balance, left, invoice)
            books.change(customer, "customer.updated", balance=left)
        if due and method is not None:
            intent = self._payments.intent(customer, due, invoice.fields["currency"], method, "Subscription")
            books.paid_by[invoice.id] = intent
            books.invoice_of[intent.id] = invoice
            self._paperwork.billed(invoice, intent)

    def collect(self, invoice: Record, *, declined: bool = False, retry_at: int | None = None) -> bool:
        """Charge what is due; say whether the invoice is paid. A decline leaves it open until `retry_at`."""
        books, due = self._books, invoice.fields["amount_due"]
        attempts = invoice.fields.get("attempt_count", 0) + (1 if due else 0)
        if due:
            self._payments.attempt(books.paid_by[invoice.id], declined=declined)
        if due and declined:
            books.change(
                invoice, "invoice.payment_failed", "invoice.updated", attempted=True, attempt_count=attempts, next_payment_attempt=retry_at
            )
            return False
        transitions = {**invoice.fields["status_transitions"], "paid_at": books.now}
        books.change(
            invoice, "invoice.paid", "invoice.payment_succeeded", status="paid", attempted=True, attempt_count=attempts, amount_paid=due,
            amount_remaining=0, next_payment_attempt=None, auto_advance=False, status_transitions=transitions,
        )  # fmt: skip
        self._paperwork.settled(invoice, paid=True)
        return True

    def give_up(self, invoice: Record, *, void: bool) -> None:
        """Void an open invoice, or mark it uncollectible."""
        books = self._books
        status, stamp = ("void", "voided_at") if void else ("uncollectible", "marked_uncollectible_at")
        event = "invoice.voided" if void else "invoice.marked_uncollectible"
        transitions = {**invoice.fields["status_transitions"], stamp: books.now}
        books.change(invoice, event, status=status, next_payment_attempt=None, auto_advance=False, status_transitions=transitions)
        intent = books.paid_by.get(invoice.id)
        if void and intent is not None:
            self._paperwork.settled(invoice, paid=False)
            books.change(intent, "payment_intent.canceled", status="canceled", canceled_at=books.now, cancellation_reason="void_invoice")

    def bill(self, customer: Record, lines: int, currency: str) -> Record:
        """Bill one-off work by a paid invoice of `lines` lines."""
        books, unit = self._books, CURRENCIES[currency].price(700)
        billed = []
        for turn in range(lines):
            quantity = 1 + turn % 3
            line = Line(unit * quantity, quantity, None, f"Work {turn + 1}", books.now, books.now, str(unit))
            billed.append(line._replace(invoice_item=self.item(customer, line, currency)))
        invoice = self.draft(customer, currency, billed, reason="manual")
        self.claim(invoice, billed)
        self.finalize(invoice, customer, self._payments.card_of(customer))
        self.collect(invoice)
        return invoice

    def claim(self, invoice: Record, lines: list[Line]) -> None:
        """Note on invoice items which invoice they went into."""
        for line in lines:
            if line.invoice_item is not None:
                self._books.change(line.invoice_item, invoice=invoice.id)

    def _line(self, invoice: str, line: Line, currency: str, discount: Discount | None, off: int, tax: Record | None, due: int) -> None:
        item = line.invoice_item.id if line.invoice_item else None
        if line.item is not None:
            parent: Fields = {
                "invoice_item_details": None,
                "subscription_item_details": {
                    "invoice_item": item, "proration": line.proration, "proration_details": {"credited_items": None},
                    "subscription": line.subscription, "subscription_item": line.item,
                },
                "type": "subscription_item_details",
            }  # fmt: skip
        else:
            details = {"invoice_item": item, "proration": False, "proration_details": {"credited_items": None}, "subscription": None}
            parent = {"invoice_item_details": details, "subscription_item_details": None, "type": "invoice_item_details"}
        self._books.add("line_item", {
            "amount": line.amount, "currency": currency, "description": line.description, "discountable": not line.proration,
            "discount_amounts": [{"amount": off, "discount": discount.record.id}] if discount else [], "invoice": invoice,
            "discounts": [discount.record.id] if discount else [], "period": {"end": line.end, "start": line.start}, "parent": parent,
            "pricing": _pricing(line), "pretax_credit_amounts": [], "quantity": line.quantity, "quantity_decimal": str(line.quantity),
            "subscription": line.subscription, "subtotal": line.amount, "taxes": _taxes(tax, due, line.amount - off),
        }, under=invoice)  # fmt: skip


def _pricing(line: Line) -> Fields:
    details = line.price and {"price": line.price.id, "product": line.price.fields["product"]}
    return {"price_details": details, "type": "price_details", "unit_amount_decimal": line.unit}


def _taxes(tax: Record | None, amount: int, taxable: int) -> list[Fields]:
    if tax is None:
        return []
    return [{
        "amount": amount, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": tax.id}, "taxability_reason": "standard_rated",
        "taxable_amount": taxable, "type": "tax_rate_details",
    }]  # fmt: skip
