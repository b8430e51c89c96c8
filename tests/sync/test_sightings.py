"""Pages show which parents have children to ask for, before the first of them is asked."""

from typing import Any

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.sync.sightings import Sightings, asked_by, note, signals
from stripe_assets.warehouse.census import Signal

CATALOG = load()


def sighted(name: str, *things: dict[str, Any]) -> dict[str, Sightings]:
    found: dict[str, Sightings] = {}
    note(things, CATALOG[name], CATALOG, CATALOG.names, found)
    return found


@pytest.mark.parametrize(
    ("child", "thing", "asked"),
    [
        ("customer_balance_transactions", {"id": "cus_1"}, ["cus_1"]),
        ("setup_attempts", {"id": "seti_1", "latest_attempt": "setatt_1"}, ["seti_1"]),
        ("setup_attempts", {"id": "seti_1", "latest_attempt": None}, []),
        ("payout_balance_transactions", {"id": "po_1", "automatic": True}, ["po_1"]),
        ("payout_balance_transactions", {"id": "po_1", "automatic": False}, []),
        ("payment_attempt_records", {"id": "inpay_1", "payment": {"payment_record": "pr_1"}}, ["pr_1"]),
        ("payment_attempt_records", {"id": "inpay_1", "payment": {"type": "charge"}}, []),
        (
            "tax_transaction_line_items",
            {"tax_transaction_attempts": [{"committed": {"transaction": "tax_1"}}, {"committed": {"transaction": "tax_2"}}, {}]},
            ["tax_1", "tax_2"],
        ),
        ("tax_transaction_line_items", {"tax_transaction_attempts": None}, []),
    ],
)
def test_parent_is_asked_by_its_id_or_by_the_ids_in_it_if_it_can_have_children(child: str, thing: dict[str, Any], asked: list[str]) -> None:
    parent = CATALOG[child].parent
    assert parent is not None
    assert asked_by(thing, parent) == asked


def test_embedded_lists_that_go_on_take_a_request_and_others_none() -> None:
    """However deep they lie; what is in them has children of its own."""
    found = sighted(
        "customers",
        {"id": "cus_1", "sources": {"has_more": True, "data": [{"id": "src_1", "object": "source"}, {"id": "card_1", "object": "card"}]}},
        {"id": "cus_2", "sources": {"has_more": False, "data": []}},
        {"id": "cus_3"},
    )
    assert (found["customers"].seen, found["customers"].asks["customer_sources"]) == (3, 1)
    assert (found["customer_sources"].seen, found["customer_sources"].asks["source_source_transactions"]) == (2, 1)
    assert found["customer_sources"].example["source_source_transactions"] == "src_1"
    deep = sighted("quotes", {"id": "qt_1", "computed": {"upfront": {"line_items": {"has_more": True, "data": [{"id": "li_1"}]}}}})
    assert deep["quotes"].asks["quote_computed_upfront_line_items"] == 1


def test_type_that_may_be_asked_for_below_its_parents_is_counted_there_too() -> None:
    assert sighted("customers", {"id": "cus_1"}, {"id": "cus_2"})["customers"].asks["payment_methods"] == 2


def test_events_name_what_they_tell_of() -> None:
    things = [
        {"created": 7, "type": "charge.updated", "api_version": "x", "data": {"object": {"id": "ch_1"}}},
        {"created": 6, "type": "customer.discount.created", "data": {"object": {"id": "di_1", "customer": {"id": "cus_1"}}}},
        {"created": 5, "type": "invoice.upcoming", "data": {"object": {"object": "invoice"}}},
    ]
    assert list(signals(things, {"customer.discount.created": "customer"})) == [
        Signal(7, "charge.updated", "ch_1", "x"),
        Signal(6, "customer.discount.created", "cus_1", None),
    ]
