"""What the account has besides its story: which list holds what, below what, how many, and what happens to them later.

The objects themselves are made in `growth` out of `samples`; the collections that the story fills by itself have no size here.
"""

from typing import NamedTuple


class Size(NamedTuple):
    """How many objects, or parents that have some: `least` and `share` of the number of customers, up to `most`."""

    least: int
    share: float
    most: int

    def of(self, customers: int) -> int:
        """Give the number for an account of so many customers."""
        return min(self.most, self.least + round(self.share * customers))


FEW = Size(3, 0.005, 12)
SOME = Size(8, 0.05, 150)
MANY = Size(12, 0.25, 400)
TOLD = None
"""The story tells of these, or another collection makes them."""


class Collection(NamedTuple):
    """Objects that one list holds.

    `life` says what happens to them as time goes on: `c`reated, `e`dited, `d`eleted, each with its event where Stripe has one.
    `under` names the collection that they lie under and `word` its id in the list's path or query (none: the list holds those of all
    parents). `field` is the parent's field that embeds the first ones; `requested` says that it is there only when expanded.
    """

    name: str
    path: str
    size: Size | None
    life: str = ""
    under: str | None = None
    word: str | None = None
    field: str | None = None
    requested: bool = False


ALL = (
    # customers
    Collection("customer_source", "/v1/customers/{customer}/sources", SOME, "ced", "customer", "customer", "sources", True),
    Collection("source_transaction", "/v1/sources/{source}/source_transactions", FEW, "c", "customer_source", "source"),
    Collection("customer_tax_id", "/v1/customers/{customer}/tax_ids", SOME, "ced", "customer", "customer", "tax_ids", True),
    Collection("customer_balance_transaction", "/v1/customers/{customer}/balance_transactions", SOME, "", "customer", "customer"),
    Collection("customer_cash_balance_transaction", "/v1/customers/{customer}/cash_balance_transactions", FEW, "c", "customer", "customer"),
    Collection("entitlements.active_entitlement", "/v1/entitlements/active_entitlements", SOME, "", "customer", "customer"),
    # products
    Collection("tax_code", "/v1/tax_codes", FEW),
    Collection("shipping_rate", "/v1/shipping_rates", SOME, "ce"),
    Collection("entitlements.feature", "/v1/entitlements/features", FEW, "ce"),
    Collection("product_feature", "/v1/products/{product}/features", FEW, "cd", "product", "product"),
    # billing
    Collection("subscription_schedule", "/v1/subscription_schedules", SOME, "ce"),
    Collection("invoice_payment", "/v1/invoice_payments", TOLD, "", "invoice"),
    Collection("payment_attempt_record", "/v1/payment_attempt_records", TOLD, "", None, "payment_record"),
    Collection("invoice_rendering_template", "/v1/invoice_rendering_templates", FEW, "ce"),
    Collection("credit_note_line_item", "/v1/credit_notes/{credit_note}/lines", TOLD, "", "credit_note", "credit_note", "lines"),
    Collection("quote", "/v1/quotes", SOME, "c"),
    Collection("quote_line_item", "/v1/quotes/{quote}/line_items", SOME, "", "quote", "quote", "line_items", True),
    Collection(
        "quote_upfront_line_item", "/v1/quotes/{quote}/computed_upfront_line_items", SOME, "", "quote", "quote",
        "computed.upfront.line_items", True,
    ),
    Collection("billing.credit_grant", "/v1/billing/credit_grants", SOME, "ce"),
    Collection("billing.credit_balance_transaction", "/v1/billing/credit_balance_transactions", SOME, "c"),
    Collection("billing.meter", "/v1/billing/meters", FEW, "ce"),
    Collection("billing.meter_event_summary", "/v1/billing/meters/{id}/event_summaries", TOLD, "", "billing.meter", "id"),
    Collection("billing.alert", "/v1/billing/alerts", FEW, "ce"),
    Collection("billing_portal.configuration", "/v1/billing_portal/configurations", FEW, "ce"),
    # payments
    Collection(
        "payment_intent_amount_details_line_item", "/v1/payment_intents/{intent}/amount_details_line_items", SOME, "", "payment_intent",
        "intent", "amount_details.line_items", True,
    ),
    Collection("setup_attempt", "/v1/setup_attempts", TOLD, "", "setup_intent", "setup_intent"),
    Collection("review", "/v1/reviews", SOME, "ce"),
    Collection(
        "checkout_session_line_item", "/v1/checkout/sessions/{session}/line_items", TOLD, "", "checkout.session", "session", "line_items",
        True,
    ),
    Collection("payment_link", "/v1/payment_links", SOME, "ce"),
    Collection("payment_link_line_item", "/v1/payment_links/{payment_link}/line_items", SOME, "", "payment_link", "payment_link",
               "line_items", True),
    Collection("payment_method_configuration", "/v1/payment_method_configurations", FEW, "e"),
    Collection("payment_method_domain", "/v1/payment_method_domains", FEW, "ce"),
    Collection("apple_pay_domain", "/v1/apple_pay/domains", FEW, "cd"),
    Collection("forwarding.request", "/v1/forwarding/requests", SOME, "c"),
    # the world
    Collection("country_spec", "/v1/country_specs", FEW),
    Collection("exchange_rate", "/v1/exchange_rates", FEW, "e"),
    # connect
    Collection("connected_account", "/v1/accounts", FEW, "e"),
    Collection("capability", "/v1/accounts/{account}/capabilities", MANY, "e", "connected_account", "account"),
    Collection("external_account", "/v1/accounts/{account}/external_accounts", MANY, "cd", "connected_account", "account",
               "external_accounts"),
    Collection("person", "/v1/accounts/{account}/persons", MANY, "ced", "connected_account", "account"),
    Collection("transfer_reversal", "/v1/transfers/{id}/reversals", SOME, "c", "transfer", "id", "reversals"),
    Collection("fee_refund", "/v1/application_fees/{id}/refunds", SOME, "c", "application_fee", "id", "refunds"),
    Collection("v2.core.account", "/v2/core/accounts", FEW, "e"),
    Collection("v2.core.account_person", "/v2/core/accounts/{account_id}/persons", FEW, "ce", "v2.core.account", "account_id"),
    # tax
    Collection("tax_id", "/v1/tax_ids", FEW, "cd"),
    Collection("tax.registration", "/v1/tax/registrations", FEW, "ce"),
    Collection("tax.calculation_line_item", "/v1/tax/calculations/{calculation}/line_items", TOLD, "", None, "calculation"),
    Collection("tax.transaction_line_item", "/v1/tax/transactions/{transaction}/line_items", TOLD, "", None, "transaction"),
    Collection("tax.association", "/v1/tax/associations/find", TOLD, "", "payment_intent", "payment_intent"),
    # radar and identity
    Collection("radar.early_fraud_warning", "/v1/radar/early_fraud_warnings", SOME, "ce"),
    Collection("radar.value_list", "/v1/radar/value_lists", FEW, "ced"),
    Collection("radar.value_list_item", "/v1/radar/value_list_items", MANY, "cd", "radar.value_list", "value_list", "list_items"),
    Collection("identity.verification_session", "/v1/identity/verification_sessions", SOME, "c"),
    Collection("identity.verification_report", "/v1/identity/verification_reports", SOME, "c"),
    # issuing
    Collection("issuing.cardholder", "/v1/issuing/cardholders", SOME, "ce"),
    Collection("issuing.card", "/v1/issuing/cards", SOME, "ce"),
    Collection("issuing.token", "/v1/issuing/tokens", SOME, "ce", "issuing.card", "card"),
    Collection("issuing.authorization", "/v1/issuing/authorizations", MANY, "ce"),
    Collection("issuing.transaction", "/v1/issuing/transactions", MANY, "ce"),
    Collection("issuing.dispute", "/v1/issuing/disputes", FEW, "ce"),
    Collection("issuing.personalization_design", "/v1/issuing/personalization_designs", FEW, "ce"),
    Collection("issuing.physical_bundle", "/v1/issuing/physical_bundles", FEW),
    # treasury
    Collection("treasury.financial_account", "/v1/treasury/financial_accounts", FEW, "ce"),
    *(
        Collection(f"treasury.{name}", f"/v1/treasury/{path}", size, "c", "treasury.financial_account", "financial_account")
        for name, path, size in (
            ("transaction", "transactions", MANY), ("transaction_entry", "transaction_entries", MANY),
            ("received_credit", "received_credits", SOME), ("received_debit", "received_debits", SOME),
            ("credit_reversal", "credit_reversals", FEW), ("debit_reversal", "debit_reversals", FEW),
            ("inbound_transfer", "inbound_transfers", SOME), ("outbound_payment", "outbound_payments", SOME),
            ("outbound_transfer", "outbound_transfers", SOME),
        )
    ),
    # financial connections
    Collection("financial_connections.account", "/v1/financial_connections/accounts", SOME, "c"),
    Collection("financial_connections.account_owner", "/v1/financial_connections/accounts/{account}/owners", SOME, "",
               "financial_connections.account", "account"),
    Collection("financial_connections.transaction", "/v1/financial_connections/transactions", SOME, "",
               "financial_connections.account", "account"),
    # terminal and climate
    Collection("terminal.configuration", "/v1/terminal/configurations", FEW, "ced"),
    Collection("terminal.location", "/v1/terminal/locations", FEW, "ced"),
    Collection("terminal.reader", "/v1/terminal/readers", FEW, "ced"),
    Collection("climate.order", "/v1/climate/orders", FEW, "c"),
    Collection("climate.product", "/v1/climate/products", FEW, "e"),
    Collection("climate.supplier", "/v1/climate/suppliers", FEW),
    # reports and files
    Collection("reporting.report_run", "/v1/reporting/report_runs", SOME, "c"),
    Collection("reporting.report_type", "/v1/reporting/report_types", FEW, "e"),
    Collection("scheduled_query_run", "/v1/sigma/scheduled_query_runs", FEW, "c"),
    Collection("file", "/v1/files", SOME, "c"),
    Collection("file_link", "/v1/file_links", SOME, "e", "file", None, "links"),
    # developers
    Collection("test_helpers.test_clock", "/v1/test_helpers/test_clocks", FEW, "cd"),
    Collection("webhook_endpoint", "/v1/webhook_endpoints", FEW, "ced"),
    Collection("apps.secret", "/v1/apps/secrets", FEW, "ce"),
    Collection("v2.commerce.product_catalog_import", "/v2/commerce/product_catalog/imports", FEW, "c"),
    Collection("v2.core.event_destination", "/v2/core/event_destinations", FEW, "ced"),
    Collection("v2.core.event", "/v2/core/events", MANY, "c"),
)  # fmt: skip

BY_NAME = {each.name: each for each in ALL}
BY_PATH = {each.path: each for each in ALL}

OBJECTS = {
    "customer_source": ("card", "bank_account", "source"), "customer_tax_id": ("tax_id",), "connected_account": ("account",),
    "external_account": ("bank_account", "card"), "quote_line_item": ("item",), "quote_upfront_line_item": ("item",),
    "checkout_session_line_item": ("item",), "payment_link_line_item": ("item",),
}  # fmt: skip
"""What the objects call themselves where that is not the collection's name."""

ALIASES = {
    "/v1/accounts/{account}/people": "person", "/v1/balance/history": "balance_transaction",
    "/v1/customers/{customer}/bank_accounts": "customer_source", "/v1/customers/{customer}/cards": "customer_source",
    "/v1/linked_accounts": "financial_connections.account",
    "/v1/linked_accounts/{account}/owners": "financial_connections.account_owner",
}  # fmt: skip
"""Lists that hold what another list holds, or a part of it."""

NATURAL = {
    "capability": "card_payments transfers link_payments us_bank_account_ach_payments",
    "climate.product": "climsku_portfolio_2025 climsku_portfolio_2026 climsku_portfolio_2027",
    "climate.supplier": "climsup_air climsup_kelp climsup_rock climsup_wood",
    "country_spec": "AT AU BE BR CA CH CZ DE DK EE ES FI FR GB GR HK IE IT JP KW LU MX NL NO NZ PL PT SE SG US",
    "exchange_rate": "aed aud brl cad chf czk dkk eur gbp hkd jpy kwd mxn nok nzd pln sek sgd usd",
    "reporting.report_type": "activity.summary.1 balance.summary.1 fees.itemized.1 payout_reconciliation.summary.1 tax.itemized.2",
    "tax_code": " ".join(f"txcd_{number}" for number in range(10_000_000, 10_000_130)),
}
"""Ids that are not drawn: of all of them there is one each."""

EVENT_STEMS = {
    "customer_source": "customer.source", "source_transaction": "source.transaction", "customer_tax_id": "customer.tax_id",
    "scheduled_query_run": "sigma.scheduled_query_run",
}  # fmt: skip
"""How event types begin that do not begin with the object's name."""


def objects(name: str) -> tuple[str, ...]:
    """Give what the objects of a collection call themselves."""
    return OBJECTS.get(name, (name,))


def below(name: str) -> list[Collection]:
    """Give the collections whose objects lie under those of `name`."""
    return [each for each in ALL if each.under == name]
