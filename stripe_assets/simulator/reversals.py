"""Money that goes back: refunds, credit notes, disputes."""

from stripe_assets.simulator.books import Books
from stripe_assets.simulator.money import CURRENCIES
from stripe_assets.simulator.periods import DAY
from stripe_assets.simulator.store import Record
from stripe_assets.simulator.treasury import Treasury

_REASONS = ("requested_by_customer", "requested_by_customer", "duplicate", "fraudulent")


class Reversals:
    """Decides which payments are given back or disputed, and does it."""

    def __init__(self, books: Books, treasury: Treasury) -> None:
        self._books = books
        self._treasury = treasury
        self._credited = 0

    def consider(self, charge: Record) -> None:
        """Decide the fate of a payment that has just succeeded."""
        books, chance = self._books, self._books.chance
        if chance.strikes("refund", 0.03):
            books.later(books.now + chance.between(600, 25 * DAY), self._refund_some, charge)
        elif chance.strikes("dispute", 0.009):
            books.later(books.now + chance.between(2 * DAY, 30 * DAY), self.dispute, charge)

    def _refund_some(self, charge: Record) -> None:
        amount = charge.fields["amount"]
        if self._books.chance.strikes("partial refund", 0.4):
            currency = CURRENCIES[charge.fields["currency"]]
            amount = max(currency.step, amount // 3 // currency.step * currency.step)
        self.refund(charge, amount)

    def refund(self, charge: Record, amount: int) -> Record:
        """Give `amount` of a charge back; every third refund of an invoice goes by a credit note."""
        books, fields = self._books, charge.fields
        currency, object_id = fields["currency"], books.new_id("refund")
        books.truth.earned(books.now, currency, refunded=amount)
        transaction = self._treasury.post("refund", -amount, currency, object_id)
        refund = books.add("refund", {
            "amount": amount, "balance_transaction": transaction.id, "charge": charge.id, "currency": currency, "metadata": {},
            "payment_intent": fields["payment_intent"], "reason": _REASONS[books.chance.between(0, 3)], "status": "succeeded",
        }, "refund.created", object_id=object_id, under=charge.id)  # fmt: skip
        returned = fields.get("amount_refunded", 0) + amount
        books.change(charge, "charge.refunded", amount_refunded=returned, refunded=returned == fields["amount"])
        invoice = books.invoice_of.get(fields["payment_intent"])
        if invoice is not None and books.chance.strikes("credit note", 0.35):
            self._credit(invoice, refund)
        return refund

    def _credit(self, invoice: Record, refund: Record) -> None:
        books, amount = self._books, refund.fields["amount"]
        self._credited += 1
        object_id = books.new_id("credit_note")
        line_id = books.chance.id("cnli_")
        books.add("credit_note_line_item", {
            "amount": amount, "description": "Credit",
            "discount_amount": 0, "discount_amounts": [], "invoice_line_item": None, "livemode": False, "metadata": {},
            "pretax_credit_amounts": [], "quantity": 1,
            "tax_rates": [], "taxes": [], "type": "custom_line_item", "unit_amount": amount,
            "unit_amount_decimal": f"{amount}.000000000001",
        }, object_id=line_id, under=object_id)  # fmt: skip
        books.add("credit_note", {
            "amount": amount, "currency": invoice.fields["currency"], "customer": invoice.fields["customer"], "effective_at": books.now,
            "invoice": invoice.id, "metadata": {},
            "number": f"{invoice.fields['number']}-CN-{self._credited:02}", "pdf": f"https://pay.stripe.com/credit_notes/{object_id}/pdf",
            "refunds": [{"amount_refunded": amount, "payment_record_refund": None, "refund": refund.id, "type": "refund"}],
            "subtotal": amount, "subtotal_excluding_tax": amount, "total": amount, "total_excluding_tax": amount, "total_taxes": [],
            "type": "post_payment", "post_payment_amount": amount, "reason": "order_change",
        }, "credit_note.created", object_id=object_id)  # fmt: skip
        credited = invoice.fields.get("post_payment_credit_notes_amount", 0) + amount
        books.change(invoice, "invoice.updated", post_payment_credit_notes_amount=credited)

    def dispute(self, charge: Record) -> None:
        """Take a payment back on its bank's demand, with a fee; about a third is won later."""
        books, fields = self._books, charge.fields
        if fields.get("amount_refunded") or fields.get("disputed"):
            return
        object_id, amount, currency = books.new_id("dispute"), fields["amount"], fields["currency"]
        fee = CURRENCIES[currency].dispute_fee
        books.truth.earned(books.now, currency, disputed=amount, fee=fee)
        withdrawal = self._treasury.post("adjustment", -amount, currency, object_id, fee=fee, category="dispute", at_once=True)
        dispute = books.add("dispute", {
            "amount": amount, "balance_transactions": [withdrawal.id], "charge": charge.id, "currency": currency, "reason": "fraudulent",
            "payment_intent": fields["payment_intent"], "status": "needs_response",
            "evidence_details": {
                "due_by": books.now + 9 * DAY, "enhanced_eligibility": {}, "has_evidence": False, "past_due": False, "submission_count": 0,
            },
        }, "charge.dispute.created", "charge.dispute.funds_withdrawn", object_id=object_id)  # fmt: skip
        books.change(charge, "charge.updated", disputed=True)
        books.later(books.now + books.chance.between(DAY, 8 * DAY), self._answer, dispute)

    def _answer(self, dispute: Record) -> None:
        books = self._books
        details = {**dispute.fields["evidence_details"], "has_evidence": True, "submission_count": 1}
        books.change(dispute, "charge.dispute.updated", status="under_review", evidence_details=details)
        books.later(books.now + books.chance.between(15 * DAY, 40 * DAY), self._close, dispute)

    def _close(self, dispute: Record) -> None:
        books, amount, currency = self._books, dispute.fields["amount"], dispute.fields["currency"]
        if not books.chance.strikes("dispute won", 0.36):
            books.change(dispute, "charge.dispute.closed", status="lost")
            return
        books.truth.earned(books.now, currency, disputed=-amount)
        returned = self._treasury.post("adjustment", amount, currency, dispute.id, category="dispute_reversal", at_once=True)
        transactions = [*dispute.fields["balance_transactions"], returned.id]
        books.change(dispute, "charge.dispute.closed", "charge.dispute.funds_reinstated", status="won", balance_transactions=transactions)
