"""Which parents are asked for children, and with what: each condition of the catalog over rows as Stripe sends them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from duckdb import DuckDBPyConnection as Connection

from stripe_assets.catalog.types import load
from stripe_assets.warehouse.parents import DAY, askable

ACCOUNT = "acct_1"
Store = Callable[..., int]
CATALOG = load()
NOW = 1_790_000_000.0


def found(connection: Connection, name: str, **options: Any) -> dict[str, Any]:
    """Give what would be asked for, with the further parameters of each."""
    child = CATALOG[name]
    assert child.parent is not None
    query = askable(child, f'stripe."{child.parent.type}"', account_id=ACCOUNT, now=NOW, **options)
    return {parent: further and json.loads(further) for parent, further in connection.execute(query).fetchall()}


@pytest.mark.parametrize(
    ("name", "asked", "others"),
    [
        ("payout_balance_transactions", {"automatic": True}, [{"automatic": False}, {}]),
        ("setup_attempts", {"latest_attempt": "setatt_1"}, [{"latest_attempt": None}, {}]),
        ("source_source_transactions", {"object": "source"}, [{"object": "card"}]),
        (
            "account_persons",
            {"controller": {"requirement_collection": "application"}},
            [{"controller": {"requirement_collection": "stripe"}}, {"controller": {}}, {"controller": None}, {}],
        ),
        (
            "tax_associations",
            {"hooks": {"inputs": {"tax": {"calculation": "taxcalc_1"}}}},
            [{"hooks": {"inputs": {"tax": {"calculation": None}}}}, {"hooks": {"inputs": None}}, {"hooks": None}],
        ),
    ],
)
def test_only_parents_that_can_have_children_are_asked(
    connection: Connection, store: Store, name: str, asked: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    """A request for each of the others would be for nothing, or refused."""
    parent = CATALOG[name].parent
    assert parent is not None
    things = [{"id": f"no_{number}", **other} for number, other in enumerate(others)]
    store(parent.type, {"id": "yes_'1", **asked}, *things)
    store(parent.type, {"id": "yes_2", **asked}, account_id="acct_2")
    assert found(connection, name) == {"yes_'1": None}


def test_deleted_parents_are_not_asked(connection: Connection, store: Store) -> None:
    store("customers", {"id": "cus_1"}, {"id": "cus_2"})
    connection.execute("update stripe.customers set _deleted_at = now() where id = 'cus_1'")
    assert found(connection, "customer_balance_transactions") == {"cus_2": None}


def test_values_that_stand_somewhere_in_the_parents_are_asked_for_once_each(connection: Connection, store: Store) -> None:
    """Two payments of one calculation; attempts of which some were not committed, and payments without any."""
    intents = [("pi_1", "taxcalc_1"), ("pi_2", "taxcalc_1"), ("pi_3", "taxcalc_2"), ("pi_4", None)]
    store("payment_intents", *({"id": name, "hooks": {"inputs": {"tax": {"calculation": value}}}} for name, value in intents))
    assert found(connection, "tax_calculation_line_items") == {"taxcalc_1": None, "taxcalc_2": None}
    attempts = [{"committed": {"transaction": "tax_1"}}, {"committed": None}, {"committed": {"transaction": "tax_2"}}]
    store("tax_associations", {"id": "taxa_1", "tax_transaction_attempts": attempts}, {"id": "taxa_2", "tax_transaction_attempts": None})
    assert found(connection, "tax_transaction_line_items") == {"tax_1": None, "tax_2": None}


def test_parameters_come_from_the_parent(connection: Connection, store: Store) -> None:
    """The owners of a bank account are asked for by its present ownership."""
    store("financial_connections_accounts", {"id": "fca_1", "ownership": "fcaowns_'1"}, {"id": "fca_2", "ownership": None})
    assert found(connection, "financial_connections_account_owners") == {"fca_1": {"ownership": "fcaowns_'1"}}


def test_without_a_row_of_what_they_need_nobody_is_asked(connection: Connection, store: Store) -> None:
    store("products", {"id": "prod_1"})
    store("entitlements_features", {"id": "feat_1"}, account_id="acct_2")
    assert found(connection, "product_features") == {}
    store("entitlements_features", {"id": "feat_2"})
    assert found(connection, "product_features") == {"prod_1": None}
    connection.execute("update stripe.entitlements_features set _deleted_at = now()")
    assert found(connection, "product_features") == {}


def test_sums_are_asked_for_by_every_object_of_another_type_and_for_whole_days(connection: Connection, store: Store) -> None:
    """From the day on which the meter was made up to the last midnight; a meter of today has no whole day."""
    today = int(NOW) // DAY * DAY
    store("billing_meters", {"id": "mtr_1", "created": today - 3 * DAY + 5}, {"id": "mtr_2", "created": today + 7})
    store("customers", {"id": "cus_1"}, {"id": "cus_2"})
    connection.execute("update stripe.customers set _deleted_at = now() where id = 'cus_2'")
    days = {"start_time": str(today - 3 * DAY), "end_time": str(today)}
    assert found(connection, "billing_meter_event_summaries") == {"mtr_1": {"customer": "cus_1", **days}}


def test_what_is_the_same_for_all_is_added(connection: Connection, store: Store) -> None:
    store("treasury_financial_accounts", {"id": "fa_1"})
    assert found(connection, "treasury_transactions", also={"created[gte]": 17}) == {"fa_1": {"created[gte]": "17"}}
