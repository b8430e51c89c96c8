"""What the story leaves besides: invoice payments, setup attempts, tax records, line items of checkouts, customers' balances.

It draws nothing from the story's chance: ids follow from those of the objects that these belong to.
"""

from stripe_assets.simulator.books import Books
from stripe_assets.simulator.store import Fields, Record

TAXED_ONE_IN = 12
"""Payments among which one is made with a tax calculation."""
RECORDED_ONE_IN = 9
"""Invoices among which one was first tried to be paid outside Stripe, as a payment record."""


class Paperwork:
    """Writes the records that follow from others."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._taxed = 0
        self._billed = 0

    def taxed(self, intent_id: str) -> Fields:
        """Give what a payment intent says about its tax, if it is one of those with a calculation, and write that down."""
        self._taxed += 1
        if self._taxed % TAXED_ONE_IN != 1:
            return {}
        books, stem = self._books, intent_id.removeprefix("pi_")
        calculation, transaction = f"taxcalc_{stem}", f"tax_{stem}"
        for turn in range(2):
            item = {"amount": 1000 + turn, "amount_tax": 80, "reference": f"item {turn}"}
            books.add("tax.calculation_line_item", item, object_id=f"tax_li_c{turn}{stem}", under=calculation)
            books.add("tax.transaction_line_item", item, object_id=f"tax_li_t{turn}{stem}", under=transaction)
        attempt = {"committed": {"transaction": transaction}, "source": intent_id, "status": "committed"}
        fields = {"calculation": calculation, "payment_intent": intent_id, "tax_transaction_attempts": [attempt]}
        books.add("tax.association", fields, object_id=f"taxa_{stem}", under=intent_id)
        return {"hooks": {"inputs": {"tax": {"calculation": calculation}}}}

    def attempted(self, intent_id: str, customer: str, method: str) -> str:
        """Write the attempt that a setup intent was made by; give its id."""
        fields = {"customer": customer, "payment_method": method, "setup_error": None, "setup_intent": intent_id, "status": "succeeded"}
        return self._books.add("setup_attempt", fields, object_id=f"setatt_{intent_id.removeprefix('seti_')}", under=intent_id).id

    def bought(self, session: Record, price: Record, quantity: int) -> None:
        """Write the line item of a checkout session."""
        fields = {
            "object": "item", "amount_discount": 0, "amount_tax": 0, "amount_subtotal": session.fields["amount_subtotal"],
            "amount_total": session.fields["amount_total"], "currency": session.fields["currency"], "description": "Purchase",
            "price": price.id, "quantity": quantity,
        }  # fmt: skip
        self._books.add("checkout_session_line_item", fields, object_id=f"li_{session.id[8:32]}", under=session.id)

    def billed(self, invoice: Record, intent: Record) -> None:
        """Write the payment that an invoice waits for; now and then one that was tried outside Stripe before."""
        books, stem = self._books, invoice.id.removeprefix("in_")
        fields: Fields = {
            "amount_paid": None, "amount_requested": invoice.fields["amount_due"], "currency": invoice.fields["currency"],
            "invoice": invoice.id, "livemode": False, "status": "open",
        }  # fmt: skip
        self._billed += 1
        if self._billed % RECORDED_ONE_IN == 1:
            record = f"pr_{stem}"
            outside = {
                **fields, "is_default": False, "payment": {"payment_record": record, "type": "payment_record"}, "status": "canceled",
                "status_transitions": {"canceled_at": books.now, "paid_at": None},
            }  # fmt: skip
            books.add("invoice_payment", outside, object_id=f"inpay_r{stem}", under=invoice.id)
            for turn in range(1 + self._billed % 2):
                attempt = {"payment_record": record, "livemode": False, "description": f"Attempt {turn}"}
                books.add("payment_attempt_record", attempt, object_id=f"par_{turn}{stem}", under=record)
        payment = {"payment_intent": intent.id, "type": "payment_intent"}
        books.add("invoice_payment", {**fields, "is_default": True, "payment": payment}, object_id=f"inpay_{stem}", under=invoice.id)

    def settled(self, invoice: Record, *, paid: bool) -> None:
        """Note that the payment of an invoice has come, or will not come any more."""
        books = self._books
        payment = books.store.get("invoice_payment", f"inpay_{invoice.id.removeprefix('in_')}")
        if payment is None:
            return
        if paid:
            transitions = {"canceled_at": None, "paid_at": books.now}
            books.change(
                payment,
                "invoice_payment.paid",
                status="paid",
                amount_paid=payment.fields["amount_requested"],
                status_transitions=transitions,
            )
        else:
            books.change(payment, status="canceled", status_transitions={"canceled_at": books.now, "paid_at": None})

    def balanced(self, customer: Record, before: int, after: int, invoice: Record) -> None:
        """Write why a customer's balance changed."""
        fields = {
            "amount": after - before, "currency": invoice.fields["currency"], "customer": customer.id, "ending_balance": after,
            "invoice": invoice.id, "credit_note": None, "metadata": {}, "type": "applied_to_invoice" if after > before else "adjustment",
        }  # fmt: skip
        self._books.add("customer_balance_transaction", fields, object_id=f"cbtxn_{invoice.id.removeprefix('in_')}", under=customer.id)
