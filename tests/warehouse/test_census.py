"""A census counts what is there, what is new, what may still change, and which parents have children to ask for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stripe_assets.catalog.allocation import PROCESSED
from stripe_assets.catalog.types import load
from stripe_assets.warehouse.census import Below, Census, Count, count_where, take
from stripe_assets.warehouse.database import Database

CATALOG = load()
ACCOUNT = "acct_1"
NOW = 1_790_000_000
MONTH = 30 * 86_400
OLD = NOW - MONTH - 1


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    database = Database(tmp_path / "stripe.duckdb")
    database.prepare(CATALOG)
    with database.open() as opened:
        yield opened


def put(connection: duckdb.DuckDBPyConnection, name: str, *things: dict[str, Any], account: str = ACCOUNT) -> None:
    """Store objects; times are seconds, what is no scalar is JSON."""
    for number, thing in enumerate(things):
        values = {"id": f"{name}_{number}", "_account_id": account, "_synced_at": NOW, **thing}
        times = {"created", "_synced_at", "_deleted_at"}
        marks = ", ".join("to_timestamp(?)" if key in times else "?" for key in values)
        plain = [json.dumps(value) if isinstance(value, dict | list) else value for value in values.values()]
        connection.execute(f"insert into stripe.{name} ({', '.join(values)}) values ({marks})", plain)


def checkpoint(connection: duckdb.DuckDBPyConnection, name: str, state: str = "complete", *, created_from: int = NOW) -> None:
    connection.execute(
        "insert into stripe_sync.checkpoints values (?, ?, ?, ?, ?, null, to_timestamp(?), now())",
        [ACCOUNT, name, state, NOW, created_from, NOW],
    )


def census(connection: duckdb.DuckDBPyConnection, *names: str, since: int | None = None, newest: int = NOW) -> Census:
    """Take a census of the named types at `NOW`, of which the newest event may be said to be later."""
    return take(
        connection,
        [kind for kind in CATALOG if kind.name in names],
        events=CATALOG["events"],
        named_by={"customer.discount.created": "customer"},
        account_id=ACCOUNT,
        newest=newest,
        now=NOW,
        since=since,
    )


def counted(connection: duckdb.DuckDBPyConnection, *names: str, since: int | None = None, newest: int = NOW) -> dict[str, Count]:
    return dict(census(connection, *names, since=since, newest=newest).counts)


def test_rows_are_this_accounts_and_not_the_deleted_ones(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "charges", {"created": NOW}, {"created": OLD}, {"created": NOW, "_deleted_at": NOW})
    put(connection, "charges", {"created": NOW}, account="acct_2")
    checkpoint(connection, "charges")
    assert counted(connection, "charges")["charges"].rows == 2
    assert counted(connection, "charges", since=NOW)["charges"].rows == 1


def test_rows_that_stripe_has_dropped_are_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "events", {"created": NOW}, {"created": OLD})
    checkpoint(connection, "events")
    assert counted(connection, "events")["events"].rows == 1


def test_as_much_time_before_is_looked_at_as_has_gone_by_since(connection: duckdb.DuckDBPyConnection) -> None:
    """A day is like the day before it, ten days are like the ten before."""
    put(connection, "charges", {"created": NOW}, {"created": NOW - 5_000}, {"created": NOW - 50_000})
    checkpoint(connection, "charges")
    assert [counted(connection, "charges", newest=NOW + gone)["charges"].recent for gone in (0, 6_000, 60_000)] == [0, 2, 3]


def test_list_is_read_on_from_the_newest_and_what_may_change_is_read_again(connection: duckdb.DuckDBPyConnection) -> None:
    """One by one where few of them are together, else by a page of the list."""
    waits, done = {"status": "pending"}, {"status": "available"}
    near = [{"created": NOW - 9_000 - number, **waits} for number in range(5)]
    between = [{"created": NOW - 5_000 - number, **done} for number in range(100)]
    put(connection, "balance_transactions", *near, *between, {"created": NOW - 200, **waits}, {"created": NOW, **done})
    checkpoint(connection, "balance_transactions")
    found = counted(connection, "balance_transactions")["balance_transactions"]
    assert (found.onward, found.open) == (1, 2)


def test_interrupted_reading_has_stored_what_was_read_since_it_began(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "charges", {"_synced_at": NOW}, {"_synced_at": NOW - 1})
    checkpoint(connection, "charges", "backfill")
    connection.execute(
        "insert into stripe_sync.pending (account_id, type, purpose, object_id) values (?, 'charges', 'object', 'ch_1')", [ACCOUNT]
    )
    count = counted(connection, "charges")["charges"]
    assert (count.stored, count.noted) == (1, 1)


@pytest.mark.parametrize(
    ("parent", "child", "things", "askable"),
    [
        ("customers", "customer_balance_transactions", [{"id": "cus_1"}, {"id": "cus_2"}], 2),
        ("setup_intents", "setup_attempts", [{"latest_attempt": "a", "id": "seti_1"}, {"latest_attempt": None}], 1),
        ("payouts", "payout_balance_transactions", [{"automatic": True, "id": "po_1"}, {"automatic": False}], 1),
        (
            "tax_associations",
            "tax_transaction_line_items",
            [
                {"tax_transaction_attempts": [{"committed": {"transaction": "tax_1"}}, {"committed": {"transaction": "tax_2"}}, {}]},
                {"tax_transaction_attempts": []},
            ],
            2,
        ),
    ],
)
def test_requests_for_children_are_counted_over_the_parents(
    connection: duckdb.DuckDBPyConnection, parent: str, child: str, things: list[dict[str, Any]], askable: int
) -> None:
    """One each, of those only that can have any, or one for every id that stands in them."""
    put(connection, parent, *things)
    assert counted(connection, parent, child)[child].below == Below(len(things), askable, askable)


def test_children_of_more_than_a_page_take_more_requests(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "payouts", {"id": "po_1", "automatic": True}, {"id": "po_2", "automatic": True})
    put(connection, "payout_balance_transactions", *({"payout_id": "po_1"} for _ in range(101)))
    names = ("payouts", "balance_transactions", "payout_balance_transactions")
    assert counted(connection, *names)["payout_balance_transactions"].below == Below(2, 2, 3)


def test_embedded_lists_of_more_than_ten_go_on(connection: duckdb.DuckDBPyConnection) -> None:
    """The first ten came with the parent, a hundred with each further request."""
    put(connection, "invoices", {"id": "in_1"}, {"id": "in_2"}, {"id": "in_3"})
    put(
        connection,
        "invoice_lines",
        *({"invoice": name} for name, count in (("in_1", 10), ("in_2", 11), ("in_3", 111)) for _ in range(count)),
    )
    assert counted(connection, "invoices", "invoice_lines")["invoice_lines"].below == Below(3, 3, 0 + 1 + 2)


def test_nobody_is_asked_for_what_needs_something_that_is_not_there(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "products", {"id": "prod_1"})
    names = ("products", "entitlements_features", "product_features")
    assert counted(connection, *names)["product_features"].below == Below(1, 0, 0)
    put(connection, "entitlements_features", {"id": "feat_1"})
    assert counted(connection, *names)["product_features"].below == Below(1, 1, 1)


def test_sums_of_a_meter_are_asked_for_with_every_customer(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "billing_meters", {"id": "mtr_1", "created": OLD}, {"id": "mtr_2", "created": OLD})
    put(connection, "customers", *({"id": f"cus_{number}"} for number in range(5)))
    put(connection, "billing_meter_event_summaries", *({"meter": "mtr_1"} for _ in range(101)))  # of all customers together
    names = ("customers", "billing_meters", "billing_meter_event_summaries")
    assert counted(connection, *names)["billing_meter_event_summaries"].below == Below(2, 10, 10)


def test_events_are_given_newest_first_with_what_they_tell_of(connection: duckdb.DuckDBPyConnection) -> None:
    checkpoint(connection, "events")
    checkpoint(connection, "charges")
    put(
        connection,
        "events",
        {"created": NOW - 5, "type": "charge.updated", "data": {"object": {"id": "ch_1"}}, "api_version": "x"},
        {"created": NOW, "type": "invoice.upcoming", "data": {"object": {}}},
        {"created": NOW - 1, "type": "customer.discount.created", "data": {"object": {"id": "di_1", "customer": {"id": "cus_1"}}}},
        {"created": OLD, "type": "charge.updated", "data": {"object": {"id": "ch_3"}}},
    )
    found = census(connection, "events", "charges", newest=NOW + 60)
    assert (found.begin, found.events) == (NOW, 3)
    assert [(each.created, each.object_id, each.api_version) for each in found.signals] == [
        (NOW - 1, "cus_1", None),
        (NOW - 5, "ch_1", "x"),
    ]


def test_objects_of_a_condition_are_counted(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "charges", {"created": NOW, "paid": True}, {"created": NOW, "paid": False}, {"created": OLD, "paid": True})
    assert count_where(connection, CATALOG["charges"], PROCESSED, account_id=ACCOUNT, since=NOW - MONTH) == 1


def test_file_without_a_mirror_holds_nothing() -> None:
    with duckdb.connect() as connection:
        assert census(connection, *CATALOG.names) == Census()
