"""The catalog says for each type what Stripe has, and refuses facts that Stripe's description contradicts."""

import copy
import json
import tomllib
from typing import Any

import pytest

from stripe_assets.catalog.extract import API
from stripe_assets.catalog.facts import type_name
from stripe_assets.catalog.types import Column, Fresh, Kind, Parent, build, load

ISSUE_2 = {
    "customers", "products", "prices", "plans", "coupons", "promotion_codes",
    "subscriptions", "subscription_items", "invoices", "invoice_lines", "invoiceitems", "charges",
    "payment_intents", "setup_intents", "refunds", "disputes", "balance_transactions", "payouts",
    "transfers", "credit_notes", "tax_rates", "checkout_sessions", "events", "payment_methods",
    "application_fees", "topups",
}  # fmt: skip
DESCRIPTION: dict[str, Any] = json.loads(API.read_text())
FACTS: dict[str, Any] = tomllib.loads(API.with_name("types.toml").read_text())


def test_every_type_that_must_sync_is_there() -> None:
    assert set(load().names) >= ISSUE_2


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/charges", "charges"),
        ("/v1/checkout/sessions", "checkout_sessions"),
        ("/v1/customers/{customer}/tax_ids", "customer_tax_ids"),
        ("/v1/invoices/{invoice}/lines", "invoice_lines"),
        ("/v1/radar/early_fraud_warnings", "radar_early_fraud_warnings"),
        ("/v1/subscription_items", "subscription_items"),
    ],
)
def test_name_follows_from_the_path(path: str, name: str) -> None:
    """People and scripts type these names: `interface.md` promises the rule."""
    assert type_name(path) == name


def test_type_keeps_its_name_where_the_account_wants_to_be_asked_below_a_parent() -> None:
    """One table for one kind of object, whichever of its lists the account allows."""
    named_otherwise = {kind.name: kind.path for kind in load() if type_name(kind.path) != kind.name}
    assert named_otherwise == {"payout_balance_transactions": "/v1/balance_transactions"}  # asked for by another type's id
    methods = load()["payment_methods"]
    assert (methods.path, methods.parent) == ("/v1/payment_methods", None)
    assert methods.fallback is not None
    assert (methods.fallback.name, methods.fallback.path) == ("payment_methods", "/v1/customers/{customer}/payment_methods")
    assert methods.fallback.parent == Parent("customers", "customer", "customer", stated=True, embedded=None)
    assert methods.fallback.retrieve_path == methods.retrieve_path == "/v1/payment_methods/{payment_method}"


def test_parents_stand_before_their_children() -> None:
    """Dagster wants results in this order, and a parent's rows are stored first."""
    names = load().names
    assert all(names.index(kind.parent.type) < names.index(kind.name) for kind in load() if kind.parent is not None)


def test_events_lead_to_one_type_each() -> None:
    """Several lists hold the same kind of object: a card belongs to a customer or to an account, and its event says to which."""
    catalog = load()
    assert catalog.of_object("checkout.session") is catalog["checkout_sessions"]
    assert catalog.of_object("mandate") is None
    found = {name: kind.name if (kind := catalog.of_event(name)) else None for name in catalog.event_types}
    assert found["charge.captured"] == "charges"
    assert found["charge.dispute.created"] == "disputes"
    assert found["charge.refund.updated"] == "refunds"
    assert found["customer.discount.created"] == "customers"
    assert found["customer.source.created"] == "customer_sources"
    assert found["account.external_account.created"] == "account_external_accounts"
    assert found["account.updated"] == "account"
    assert found["entitlements.active_entitlement_summary.updated"] == "entitlements_active_entitlements"
    assert found["mandate.updated"] is None


def test_event_about_something_else_names_what_is_to_be_read_again() -> None:
    catalog = load()
    assert catalog["customers"].told_of["customer.discount.deleted"] == "customer"
    assert catalog["entitlements_active_entitlements"].told_of == {"entitlements.active_entitlement_summary.updated": "customer"}


def test_retrieve_path_is_the_one_below_the_list() -> None:
    """Lines and what was single before cannot be read alone: a change of one is read with its parent."""
    catalog = load()
    assert {kind.name for kind in catalog if kind.retrieve_path is None} == {
        "account", "apps_secrets", "balance", "balance_settings", "billing_meter_event_summaries", "checkout_session_line_items",
        "credit_note_lines", "financial_connections_account_owners", "invoice_lines", "payment_intent_amount_details_line_items",
        "payment_link_line_items", "quote_computed_upfront_line_items", "quote_line_items", "setup_attempts", "tax_associations",
        "tax_calculation_line_items", "tax_settings", "tax_transaction_line_items",
    }  # fmt: skip
    assert catalog["payment_methods"].retrieve_path == "/v1/payment_methods/{payment_method}"
    assert catalog["subscriptions"].retrieve_path == "/v1/subscriptions/{subscription_exposed_id}"
    assert catalog["customer_tax_ids"].retrieve_path == "/v1/tax_ids/{id}"  # needs no customer
    assert catalog["account_persons"].retrieve_path == "/v1/accounts/{account}/persons/{person}"  # not below `people`
    assert catalog["customer_sources"].retrieve_path == "/v1/customers/{customer}/sources/{id}"  # reads cards and accounts too


@pytest.mark.parametrize("kind", [kind for kind in load() if kind.fresh is Fresh.EVENTS], ids=lambda kind: kind.name)
def test_types_that_live_by_events_can_be_read_again(kind: Any) -> None:
    """Two events in one second have no order: then the object itself, or the parent that contains it, must be asked."""
    assert kind.retrieve_path is not None or kind.parent is not None
    assert kind.events


@pytest.mark.parametrize(
    ("name", "column", "kind"),
    [
        ("charges", "id", Kind.TEXT),
        ("charges", "amount", Kind.INTEGER),
        ("charges", "captured", Kind.BOOLEAN),
        ("charges", "created", Kind.TIMESTAMP),
        ("charges", "customer", Kind.ID),
        ("charges", "balance_transaction", Kind.ID),
        ("charges", "currency", Kind.TEXT),
        ("charges", "metadata", Kind.JSON),
        ("charges", "billing_details", Kind.JSON),
        ("coupons", "percent_off", Kind.NUMBER),
        ("prices", "unit_amount_decimal", Kind.TEXT),
        ("invoices", "lines", Kind.JSON),
        ("invoices", "due_date", Kind.TIMESTAMP),
        ("invoiceitems", "date", Kind.TIMESTAMP),
        ("subscriptions", "canceled_at", Kind.TIMESTAMP),
        ("payouts", "arrival_date", Kind.TIMESTAMP),
        ("events", "data", Kind.JSON),
        ("issuing_authorizations", "amount", Kind.INTEGER),
        ("plans", "amount_decimal", Kind.TEXT),
        ("forwarding_requests", "created", Kind.TIMESTAMP),
        ("core_events", "created", Kind.TIMESTAMP_TEXT),
        ("customer_sources", "customer", Kind.ID),
        ("exchange_rates", "rates", Kind.JSON),
    ],
)
def test_column_holds_what_stripe_says(name: str, column: str, kind: Kind) -> None:
    """Money as whole minor units, decimals as text, times as times, references as ids."""
    assert Column(column, kind) in load()[name].columns


def test_no_column_stands_twice() -> None:
    for kind in load():
        names = [column.name for column in kind.columns]
        assert len(names) == len(set(names)), kind.name


def test_lists_are_asked_for_with_what_they_hide_by_default() -> None:
    catalog = load()
    assert catalog["charges"].list_request() == ("/v1/charges", {})
    assert catalog["subscriptions"].list_request() == ("/v1/subscriptions", {"status": "all"})


def test_children_are_asked_for_by_their_parents_id_in_path_or_query() -> None:
    catalog = load()
    assert catalog["invoice_lines"].list_request("in_1") == ("/v1/invoices/in_1/lines", {})
    below = load()["payment_methods"].fallback
    assert below is not None
    assert below.list_request("cus_1") == ("/v1/customers/cus_1/payment_methods", {})
    assert below.list_request("a/../b")[0] == "/v1/customers/a%2F..%2Fb/payment_methods"
    assert catalog["subscription_items"].list_request("sub_1") == ("/v1/subscription_items", {"subscription": "sub_1"})


def test_ids_are_one_segment_of_a_path() -> None:
    """Ids of coupons, plans and products are the account's choice: `50%/off?` must not become another address."""
    catalog = load()
    assert catalog["coupons"].retrieve_request("50%/off? #1") == "/v1/coupons/50%25%2Foff%3F%20%231"
    assert catalog["charges"].retrieve_request("ch_1") == "/v1/charges/ch_1"
    assert load()["account_persons"].retrieve_request("p/1", "acct/1") == "/v1/accounts/acct%2F1/persons/p%2F1"


def test_what_cannot_be_read_alone_says_with_what_it_comes() -> None:
    with pytest.raises(LookupError, match=r"invoice_lines .* come with their invoices"):
        load()["invoice_lines"].retrieve_request("il_1")
    with pytest.raises(LookupError, match=r"account_persons person_1 .* without the id of its accounts"):
        load()["account_persons"].retrieve_request("person_1")


def test_endpoint_is_one_for_all_ids() -> None:
    """Stripe counts a limit by operation: an endpoint for each id would have no limit at all."""
    lines = load()["invoice_lines"]
    assert lines.endpoint == "GET /v1/invoices/{invoice}/lines"
    assert load()["charges"].retrieve_endpoint == "GET /v1/charges/{charge}"


def test_parent_is_joined_from_the_description_and_the_facts() -> None:
    catalog = load()
    assert catalog["invoice_lines"].parent == Parent("invoices", "invoice", "invoice", stated=True, embedded="lines")
    assert catalog.children("invoices") == (catalog["invoice_lines"],)
    assert load()["customer_balance_transactions"].parent == Parent("customers", "customer", "customer", stated=True, embedded=None)


def test_selected_children_bring_their_parents_in_catalog_order() -> None:
    catalog = load()
    assert [kind.name for kind in catalog.with_parents(["invoice_lines", "charges"])] == ["invoices", "invoice_lines", "charges"]


def test_child_that_does_not_name_its_parent_gets_a_column_for_it() -> None:
    facts = copy.deepcopy(FACTS)
    del facts["invoice_lines"]["parent"]["field"]
    lines = build(DESCRIPTION, facts)["invoice_lines"]
    assert lines.parent == Parent("invoices", "invoice", "invoice_id", stated=False, embedded="lines")
    assert lines.columns[-1] == Column("invoice_id", Kind.TEXT)


@pytest.mark.parametrize(
    ("name", "fact", "value", "named"),
    [
        ("charges", "path", "/v1/chargez", "/v1/chargez"),
        ("charges", "path", "/v1/refunds", "called refunds"),
        ("payment_methods", "fallback", {"path": "/v1/payment_ways", "type": "customers", "field": "customer"}, "/v1/payment_ways"),
        ("payment_methods", "alias_of", "/v1/payment_ways", "alias_of"),
        ("charges", "events", ["charge.forgotten"], "charge.forgotten"),
        ("charges", "form", "row", "row"),
        ("prices", "also_with", [{"archived": "true"}], "archived"),
        ("customers", "hidden_under", {"type": "test_helpers_test_clocks", "param": "clock"}, "clock"),
        ("apps_secrets", "params", {}, "requires scope"),
        ("setup_attempts", "parent", {"type": "setup_intents", "field": "setup_intent", "only": "attempts > 0"}, "attempts > 0"),
        ("setup_attempts", "parent", {"type": "setup_intents", "field": "setup_intent", "only": "attempt is not null"}, "attempt"),
        ("product_features", "parent", {"type": "products", "needs": "features"}, "features"),
        ("tax_calculation_line_items", "parent", {"type": "payment_intents", "ids": "bait.calculation"}, "bait"),
        ("customers", "deleted_by", ["customer.vanished"], "customer.vanished"),
        ("checkout_sessions", "open", {"stat": ["open"]}, "stat"),
        ("subscriptions", "params", {"state": "all"}, "state"),
        ("charges", "fresh", "daily", "daily"),
        ("invoice_lines", "parent", {"type": "bills", "field": "invoice", "embedded": "lines"}, "bills"),
        ("invoice_lines", "parent", {"type": "invoices", "field": "bill", "embedded": "lines"}, "bill"),
        ("invoice_lines", "parent", {"type": "invoices", "field": "invoice", "embedded": "rows"}, "rows"),
        ("invoice_lines", "parent", {"type": "charges", "field": "invoice", "embedded": "lines"}, "charges"),
        ("charges", "parent", {"type": "customers", "field": "customer"}, "/v1/charges"),
    ],
)
def test_fact_that_the_description_lacks_is_refused_by_name(name: str, fact: str, value: object, named: str) -> None:
    """A new API version that drops a field must be noticed by whoever extracts it, not by a user's nightly run."""
    facts = copy.deepcopy(FACTS)
    facts[name][fact] = value
    with pytest.raises(ValueError, match=r"types\.toml") as refused:
        build(DESCRIPTION, facts)
    assert named in str(refused.value)
