"""Stripe's description, the catalog, the tables and dbt say the same: what one has and another lacks is named."""

import copy
import json
import re
import tomllib
from typing import Any

import duckdb
import pytest

from stripe_assets import dbt_generate
from stripe_assets.catalog.conditions import Condition
from stripe_assets.catalog.extract import API
from stripe_assets.catalog.facts import type_name, unaccounted
from stripe_assets.catalog.types import Form, Fresh, ObjectType, Paging, load
from stripe_assets.warehouse.migrations import migrate
from stripe_assets.warehouse.tables import SQL_TYPES

DESCRIPTION: dict[str, Any] = json.loads(API.read_text())
FACTS: dict[str, Any] = tomllib.loads(API.with_name("types.toml").read_text())
LEFT_OUT: dict[str, Any] = tomllib.loads(API.with_name("left_out.toml").read_text())
LISTS = {entry["path"]: entry for entry in DESCRIPTION["lists"]}
ALIASES = {
    "/v1/accounts/{account}/people", "/v1/balance/history", "/v1/charges/{charge}/refunds", "/v1/customers/{customer}/bank_accounts",
    "/v1/customers/{customer}/cards", "/v1/customers/{customer}/payment_methods", "/v1/customers/{customer}/subscriptions",
    "/v1/linked_accounts", "/v1/linked_accounts/{account}/owners",
}  # fmt: skip
"""Lists of objects that another list has as well."""


@pytest.fixture(scope="module")
def tables() -> Any:
    """An empty file's tables, of every type."""
    with duckdb.connect() as connection:
        migrate(connection, load())
        yield connection


def test_every_list_is_a_type_but_for_aliases_searches_and_previews() -> None:
    """Counted from the paths alone, both ways: a list that the mirror lacks is a hole in it, a type without a list an invention."""
    wanted = {type_name(path) for path in LISTS if path not in ALIASES and not path.endswith("/search") and "/preview/" not in path}
    found = {kind.name for kind in load() if kind.form is Form.LIST}
    assert found - wanted == {"payout_balance_transactions"}  # the list of balance transactions once more, asked for by payout
    assert wanted - found == set()


def test_objects_without_a_list_are_types_where_nothing_must_be_named_to_read_them() -> None:
    """`/v1/balance` and its like: one object, so one row a sync."""
    singles = {kind.name for kind in load() if kind.form is Form.SINGLE}
    alone = {type_name(entry["path"]) for entry in DESCRIPTION["singles"] if not entry["required_query"]}
    assert alone == {"account", "balance", "balance_settings", "tax_settings"}
    assert singles - alone == {"tax_associations"}  # named by a payment, and the only way to a tax transaction


@pytest.mark.parametrize(
    ("part", "entry", "named"),
    [
        ("lists", {**LISTS["/v1/charges"], "path": "/v1/novelties"}, "/v1/novelties"),
        ("singles", {**DESCRIPTION["singles"][0], "path": "/v1/novelty"}, "/v1/novelty"),
        ("event_types", "novelty.created", "novelty.created"),
    ],
)
def test_what_a_new_version_brings_is_named(part: str, entry: Any, named: str) -> None:
    """Whoever extracts a newer description must decide what becomes of it: silence would leave it out for ever."""
    assert unaccounted(DESCRIPTION, FACTS, LEFT_OUT) is None
    newer = copy.deepcopy(DESCRIPTION)
    newer[part].append(entry)
    assert named in (unaccounted(newer, FACTS, LEFT_OUT) or "")


@pytest.mark.parametrize(
    ("section", "key", "value", "named"),
    [
        ("lists", "/v1/bygone", "charges", "/v1/bygone"),
        ("lists", "/v1/charges", "charges", "/v1/charges"),
        ("lists", "/v1/charges/search", "bygones", "bygones"),
        ("events", "bygone.created", "gone", "bygone.created"),
        ("events", "charge.captured", "told", "charge.captured"),
    ],
)
def test_what_is_left_out_in_vain_is_named(section: str, key: str, value: str, named: str) -> None:
    """An excuse that outlives its cause hides the next hole."""
    left_out = copy.deepcopy(LEFT_OUT)
    left_out[section][key] = value
    assert named in (unaccounted(DESCRIPTION, FACTS, left_out) or "")


def test_event_that_two_types_claim_is_named() -> None:
    facts = copy.deepcopy(FACTS)
    facts["refunds"]["events"].append("charge.captured")
    assert unaccounted(DESCRIPTION, facts, LEFT_OUT) == "types.toml: charge.captured tells of charges and of refunds"


@pytest.mark.parametrize("kind", list(load()), ids=lambda kind: kind.name)
def test_columns_are_the_fields_of_the_description(kind: ObjectType) -> None:
    """Every top-level field, and none besides but the parent's id where no field says it, and an id where there is none."""
    described = {field for name in kind.objects for field in DESCRIPTION["objects"][name]["fields"]}
    added = {kind.parent.column} if kind.parent is not None and not kind.parent.stated else set()
    added |= {"customer_id"} if kind.name == "billing_meter_event_summaries" else set()
    added |= {"id"} if kind.name in ("balance", "balance_settings", "tax_settings") else set()
    assert not added & described
    assert {column.name for column in kind.columns} == described | added


def test_every_type_has_a_table_and_no_other_is_there(tables: duckdb.DuckDBPyConnection) -> None:
    found = {name for (name,) in tables.execute("select table_name from duckdb_tables() where schema_name = 'stripe'").fetchall()}
    assert found == set(load().names)


@pytest.mark.parametrize("kind", list(load()), ids=lambda kind: kind.name)
def test_table_has_the_columns_of_the_type(kind: ObjectType, tables: duckdb.DuckDBPyConnection) -> None:
    query = "select column_name, data_type from information_schema.columns where table_schema = 'stripe' and table_name = ?"
    found = dict(tables.execute(query, [kind.name]).fetchall())
    own = {"_account_id": "VARCHAR", "_synced_at": "TIMESTAMP WITH TIME ZONE", "_deleted_at": "TIMESTAMP WITH TIME ZONE", "_raw": "JSON"}
    wanted = {column.name: SQL_TYPES[column.kind].upper() for column in kind.columns}
    assert found == own | {name: "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMPTZ" else kind for name, kind in wanted.items()}


@pytest.mark.parametrize("kind", list(load()), ids=lambda kind: kind.name)
def test_staging_model_of_every_type_is_good_sql(kind: ObjectType, tables: duckdb.DuckDBPyConnection) -> None:
    """Words that SQL keeps for itself and fields that would be called like the mirror's own break a build of all models."""
    query = re.sub(r"\{\{.*\}\}", f'stripe."{kind.name}"', dbt_generate.model(kind))
    names = [row[0] for row in tables.execute(f"describe {query}").fetchall()]
    assert len(names) == len(set(names)) == len(kind.columns) - kind.has("object") + 4
    assert set(dbt_generate.unique_columns(kind)) <= set(names)


def test_dbt_declares_every_table() -> None:
    declared = re.findall(r"^      - name: (\w+)$", dbt_generate.sources(load()), re.MULTILINE)
    assert tuple(declared) == load().names


def test_version_two_pages_by_token_and_expands_nothing() -> None:
    """Its lists know no cursor and no `expand`, and write times as text."""
    second = {kind.name for kind in load() if kind.path.startswith("/v2/")}
    assert second == {kind.name for kind in load() if kind.paging is Paging.TOKEN}
    assert not [kind.name for kind in load() if kind.name in second and kind.parent and kind.parent.expand]


def test_lists_that_come_at_once_know_no_limit() -> None:
    """`limit` would be refused as an unknown parameter."""
    assert {kind.name for kind in load() if kind.form is Form.LIST and kind.paging is Paging.NONE} == {
        "account_capabilities", "reporting_report_types",
    }  # fmt: skip


def test_parents_may_have_parents() -> None:
    catalog = load()
    names = [kind.name for kind in catalog.with_parents(["source_source_transactions", "tax_transaction_line_items"])]
    assert names == [
        "customers", "customer_sources", "source_source_transactions", "payment_intents", "tax_associations", "tax_transaction_line_items",
    ]  # fmt: skip
    assert [kind.name for kind in catalog.with_parents(["product_features"])] == ["products", "entitlements_features", "product_features"]
    summaries = catalog.with_parents(["billing_meter_event_summaries"])
    assert [kind.name for kind in summaries] == ["customers", "billing_meters", "billing_meter_event_summaries"]


def test_expansions_are_asked_for_with_the_children_that_need_them() -> None:
    """One request for a hundred parents instead of one for each; slower, so only for who wants the children."""
    catalog = load()
    assert catalog.expansions("checkout_sessions", catalog.names) == ("data.line_items",)
    assert catalog.expansions("quotes", ["quote_computed_upfront_line_items"]) == ("data.computed.upfront.line_items",)
    assert set(catalog.expansions("customers", catalog.names)) == {"data.sources", "data.tax_ids"}
    assert catalog.expansions("customers", ["customers"]) == ()
    assert catalog.expansions("invoices", catalog.names) == ()  # `lines` are always there
    deepest = max(path.count(".") + 1 for kind in catalog for path in catalog.expansions(kind.name, catalog.names))
    assert deepest <= 4  # Stripe refuses to expand deeper


def test_parents_that_cannot_have_children_are_told_by_a_field() -> None:
    catalog = load()
    conditions = {kind.name: kind.parent.only for kind in catalog if kind.parent is not None and kind.parent.only is not None}
    assert conditions["payout_balance_transactions"] == Condition(("automatic",), "true")
    assert conditions["setup_attempts"] == Condition(("latest_attempt",), None)
    assert conditions["account_persons"] == Condition(("controller", "requirement_collection"), "application")
    assert conditions["account_persons"].column == "controller"


def test_further_parameters_join_the_parents_id() -> None:
    owners = load()["financial_connections_account_owners"]
    assert owners.parent is not None
    assert owners.parent.given == {"ownership": "ownership"}
    asked = owners.list_request("fca_1", {"ownership": "fcaowns_1"})
    assert asked == ("/v1/financial_connections/accounts/fca_1/owners", {"ownership": "fcaowns_1"})
    payout = load()["payout_balance_transactions"]
    assert payout.list_request("po_1") == ("/v1/balance_transactions", {"payout": "po_1"})


def test_what_nothing_tells_of_is_read_whole_again() -> None:
    """No event, no `created`, no parent: a type that is none of the four kinds would be read once and never again."""
    untold = {kind.name for kind in load() if kind.fresh is Fresh.EVENTS and not kind.events}
    assert untold == set()
    by_parent = {kind.name for kind in load() if kind.fresh is Fresh.PARENT and kind.parent is None}
    assert by_parent == set()
    undated = {kind.name for kind in load() if kind.fresh is Fresh.CREATED and not kind.has_created}
    assert undated == set()
