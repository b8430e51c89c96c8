"""Cards and payments: payment methods, setup intents, payment intents, charges, and one-time checkouts."""

from collections.abc import Callable
from typing import Any

from stripe_assets.simulator.books import Books
from stripe_assets.simulator.money import CURRENCIES
from stripe_assets.simulator.offers import Offers
from stripe_assets.simulator.paperwork import Paperwork
from stripe_assets.simulator.periods import DAY, HOUR
from stripe_assets.simulator.store import Fields, Record
from stripe_assets.simulator.treasury import Treasury

_BRANDS = ("visa", "mastercard", "amex", "discover")
_APPROVED = {
    "advice_code": None, "network_advice_code": None, "network_decline_code": None, "network_status": "approved_by_network",
    "reason": None, "risk_level": "normal", "seller_message": "Payment complete.", "type": "authorized",
}  # fmt: skip
_DECLINED = {
    **_APPROVED, "advice_code": "try_again_later", "network_status": "declined_by_network", "reason": "insufficient_funds",
    "seller_message": "The bank declined the payment.", "type": "issuer_declined",
}  # fmt: skip
_REFUSED = {
    "code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card has insufficient funds.", "type": "card_error",
}  # fmt: skip


class Payments:
    """Takes money from cards. `on_paid` hears of every charge that succeeded."""

    def __init__(self, books: Books, treasury: Treasury, offers: Offers, paperwork: Paperwork) -> None:
        self._books = books
        self._paperwork = paperwork
        self._treasury = treasury
        self._offers = offers
        self._details: dict[str, Fields] = {}
        self.connected = [books.chance.id("acct_", 16) for _ in range(3)]
        self._application = books.chance.id("ca_", 32)
        self.on_paid: Callable[[Record], None] = lambda _: None

    def card(self, customer: Record) -> Record:
        """Attach a new card to a customer and make it the default."""
        books, chance = self._books, self._books.chance
        brand, last4 = _BRANDS[chance.between(0, 9) // 3], f"{chance.between(0, 9999):04}"
        country = CURRENCIES[customer.fields["currency"]].country
        fingerprint, year = chance.id("", 16), 2028 + chance.between(0, 6)
        holder = {
            "address": customer.fields["address"], "email": customer.fields["email"], "name": customer.fields["name"], "phone": None,
            "tax_id": None,
        }  # fmt: skip
        checks = {"address_line1_check": None, "address_postal_code_check": "pass", "cvc_check": "pass"}
        shared: Fields = {
            "brand": brand, "checks": checks, "country": country, "exp_month": chance.between(1, 12), "exp_year": year,
            "fingerprint": fingerprint, "funding": "credit", "last4": last4, "regulated_status": "unregulated", "wallet": None,
        }  # fmt: skip
        method = books.add("payment_method", {
            "billing_details": holder, "customer": customer.id, "metadata": {}, "type": "card",
            "card": {**shared, "display_brand": brand, "generated_from": None, "networks": {"available": [brand], "preferred": None},
                     "three_d_secure_usage": {"supported": True}},
        }, "payment_method.attached", under=customer.id)  # fmt: skip
        self._details[method.id] = {"type": "card", "card": {
            "amount_authorized": None, "authorization_code": None, **shared, "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"}, "installments": None, "mandate": None,
            "multicapture": {"status": "unavailable"}, "network": brand, "network_token": {"used": False}, "network_transaction_id": None,
            "overcapture": {"maximum_amount_capturable": None, "status": "unavailable"}, "three_d_secure": None,
            "transaction_link_id": None,
        }}  # fmt: skip
        settings = {"custom_fields": None, "default_payment_method": method.id, "footer": None, "rendering_options": None}
        books.change(customer, "customer.updated", invoice_settings=settings)
        return method

    def card_of(self, customer: Record) -> Record:
        """Give the customer's default card, attaching one if there is none."""
        object_id = (customer.fields.get("invoice_settings") or {}).get("default_payment_method")
        found = object_id and self._books.store.get("payment_method", object_id)
        return found or self.card(customer)

    def setup(self, customer: Record, method: Record) -> Record:
        """Save a card without charging it."""
        object_id = self._books.new_id("setup_intent")
        return self._books.add("setup_intent", {
            "client_secret": f"{object_id}_secret_simulated", "customer": customer.id, "metadata": {}, "payment_method": method.id,
            "payment_method_types": ["card"], "status": "succeeded", "usage": "off_session",
            "latest_attempt": self._paperwork.attempted(object_id, customer.id, method.id),
        }, "setup_intent.created", "setup_intent.succeeded", object_id=object_id)  # fmt: skip

    def intent(self, customer: Record, amount: int, currency: str, method: Record, description: str) -> Record:
        """Begin a payment."""
        object_id = self._books.new_id("payment_intent")
        return self._books.add("payment_intent", {
            "amount": amount, "client_secret": f"{object_id}_secret_simulated", "currency": currency, "customer": customer.id,
            "description": description, "payment_method": method.id, "payment_method_types": ["card"],
            "status": "requires_confirmation", **self._paperwork.taxed(object_id),
        }, "payment_intent.created", object_id=object_id)  # fmt: skip

    def attempt(self, intent: Record, *, declined: bool = False, destination: str | None = None) -> Record:
        """Charge the card of a payment intent; with `destination` the money goes on to a connected account, less a fee."""
        books, wanted = self._books, intent.fields
        object_id = books.new_id("charge")
        method = books.store.ever("payment_method", wanted["payment_method"])
        fields: Fields = {
            "amount": wanted["amount"], "billing_details": method.fields["billing_details"], "calculated_statement_descriptor": "SIMULATED",
            "captured": not declined, "currency": wanted["currency"], "customer": wanted["customer"], "description": wanted["description"],
            "outcome": _DECLINED if declined else _APPROVED, "paid": not declined, "payment_intent": intent.id, "payment_method": method.id,
            "payment_method_details": self._details[method.id], "fraud_details": {},
            "receipt_email": method.fields["billing_details"]["email"],
        }  # fmt: skip
        if declined:
            fields |= {"status": "failed", "failure_code": _REFUSED["code"], "failure_message": _REFUSED["message"]}
            charge = books.add("charge", fields, "charge.failed", object_id=object_id)
            books.change(
                intent,
                "payment_intent.payment_failed",
                status="requires_payment_method",
                latest_charge=object_id,
                last_payment_error=_REFUSED,
            )
            return charge
        amount, currency = wanted["amount"], wanted["currency"]
        fee = CURRENCIES[currency].fee(amount)
        books.truth.earned(books.now, currency, gross=amount, fee=fee)
        transaction = self._treasury.post("charge", amount, currency, object_id, fee=fee)
        fields |= {
            "amount_captured": amount,
            "balance_transaction": transaction.id,
            "receipt_url": f"https://pay.stripe.com/receipts/payment/{object_id}",
        }
        if destination:
            fields |= self._pass_on(object_id, amount, currency, destination)
        charge = books.add("charge", fields, "charge.succeeded", object_id=object_id)
        books.change(
            intent, "payment_intent.succeeded", status="succeeded", amount_received=amount, latest_charge=object_id, last_payment_error=None
        )
        self.on_paid(charge)
        return charge

    def _pass_on(self, charge: str, amount: int, currency: str, destination: str) -> Fields:
        books = self._books
        cut, transfer, fee = amount // 10, books.new_id("transfer"), books.new_id("application_fee")
        sent = self._treasury.post("transfer", -amount, currency, transfer)
        kept = self._treasury.post("application_fee", cut, currency, fee, category="platform_earning")
        books.truth.earned(books.now, currency, gross=cut)
        books.add("transfer", {
            "amount": amount, "balance_transaction": sent.id, "currency": currency, "destination": destination,
            "destination_payment": books.chance.id("py_"), "source_transaction": charge, "source_type": "card",
        }, "transfer.created", object_id=transfer)  # fmt: skip
        books.add("application_fee", {
            "account": destination, "amount": cut, "application": self._application, "balance_transaction": kept.id, "charge": charge,
            "currency": currency, "fee_source": {"charge": charge, "type": "charge"}, "originating_transaction": charge,
        }, "application_fee.created", object_id=fee)  # fmt: skip
        return {
            "application_fee": fee, "application_fee_amount": cut, "transfer": transfer,
            "transfer_data": {"amount": None, "destination": destination}, "transfer_group": f"group_{charge}",
        }  # fmt: skip

    def check_out(self, customer: Record) -> None:
        """Open a checkout session for a one-time purchase; one in seven is left without paying."""
        books = self._books
        currency = customer.fields["currency"]
        offered = self._offers.once[currency]
        price, quantity = offered[books.chance.between(0, len(offered) - 1)], 1 + books.chance.between(0, 5) // 4
        total = price.fields["unit_amount"] * quantity
        object_id = books.new_id("checkout.session")
        session = books.add("checkout.session", {
            "amount_subtotal": total, "amount_total": total, "cancel_url": "https://example.com/cancel", "currency": currency,
            "customer": customer.id, "customer_details": _buyer(customer), "expires_at": books.now + DAY, "metadata": {},
            "payment_method_types": ["card"], "status": "open", "success_url": "https://example.com/success", "custom_text": {},
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page", "url": f"https://checkout.stripe.com/c/pay/{object_id}",
        }, object_id=object_id)  # fmt: skip
        self._paperwork.bought(session, price, quantity)
        if books.chance.strikes("left the checkout", 0.14):
            books.later(books.now + DAY, self._expire, session)
        else:
            books.later(books.now + books.chance.between(40, HOUR), self._complete, session, customer)

    def _expire(self, session: Record) -> None:
        self._books.change(session, "checkout.session.expired", status="expired", url=None)

    def _complete(self, session: Record, customer: Record) -> None:
        books = self._books
        if books.store.get("customer", customer.id) is None:
            return self._expire(session)
        intent = self.intent(customer, session.fields["amount_total"], session.fields["currency"], self.card_of(customer), "Purchase")
        destination = self.connected[books.chance.between(0, 2)] if books.chance.strikes("sold for another", 0.04) else None
        self.attempt(intent, destination=destination)
        books.change(session, "checkout.session.completed", status="complete", payment_status="paid", payment_intent=intent.id, url=None)
        return None


def _buyer(customer: Record) -> dict[str, Any]:
    return {
        "address": customer.fields["address"], "business_name": None, "email": customer.fields["email"], "individual_name": None,
        "name": customer.fields["name"], "phone": None, "tax_exempt": "none", "tax_ids": [],
    }  # fmt: skip
