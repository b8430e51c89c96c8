"""How objects of one collection differ, and which of them others may lie under: facts about single kinds, for `growth`."""

from typing import Any

from stripe_assets.simulator import facts
from stripe_assets.simulator.store import Record

VARIETY: dict[str, dict[str, list[Any]]] = {
    "billing.meter": {"status": ["active", "active", "inactive"]},
    "customer_balance_transaction": {"amount": [500, -500], "ending_balance": [500, 0], "type": ["adjustment"], "invoice": [None]},
    "external_account": {"customer": [None]},
    "file_link": {"expired": [False, False, True]},
    "financial_connections.account": {
        "ownership": ["fcaowns_simulated0", None, "fcaowns_simulated2"],
        "transaction_refresh": [{"id": "fctxnref_simulated", "last_attempted_at": 1_700_000_000, "status": "succeeded"}, None],
    },
    "identity.verification_session": {"status": ["verified", "requires_input", "canceled"]},
    "issuing.card": {"status": ["active", "inactive", "canceled"]},
    "payment_link": {"active": [True, True, False]},
    "quote": {"status": ["draft", "open", "accepted", "canceled"]},
    "reporting.report_run": {"status": ["succeeded", "succeeded", "pending"]},
    "review": {"open": [True]},
    "shipping_rate": {"active": [True, False]},
    "tax.registration": {"status": ["active", "scheduled", "expired"]},
    "transfer_reversal": {"amount": [1]},
    "fee_refund": {"amount": [1]},
    "treasury.inbound_transfer": {"status": ["succeeded", "processing", "failed"]},
    "treasury.outbound_payment": {"status": ["posted", "processing"]},
    "treasury.outbound_transfer": {"status": ["posted", "processing"]},
    "treasury.transaction": {"status": ["posted", "open"]},
    "v2.core.account": {"closed": [False, True, False]},
}
"""Values that the objects of a collection take in turn."""

FIELD_OF_PARENT = {
    "customer_source": "customer", "external_account": "account", "fee_refund": "fee", "file_link": "file", "transfer_reversal": "transfer",
    "v2.core.account_person": "account",
}  # fmt: skip
"""The field with the parent's id, where the word in the path is another or the sample leaves it out."""

PAIRED = frozenset({"customer_balance_transaction"})
"""Objects that come in twos, so that they leave their parent as it is."""

ADDED_UP = {"transfer_reversal": "amount_reversed", "fee_refund": "amount_refunded"}
"""Objects whose amounts add up in a field of their parent."""


def may_have(name: str, parent: Record) -> bool:
    """Say whether an object of the collection `name` may lie under `parent`."""
    fields = parent.fields
    match name:
        case "source_transaction":
            return facts.object_name(parent) == "source"
        case "financial_connections.account_owner":
            return fields["ownership"] is not None
        case "financial_connections.transaction":
            return fields["transaction_refresh"] is not None
        case "external_account":
            return bool(fields["controller"]["is_controller"])
        case "person":
            return bool(fields["controller"].get("requirement_collection") == "application")
    return True
