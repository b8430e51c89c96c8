"""A census counts what is there, what is new, what may still change, and which parents have children to ask for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stripe_assets.catalog.allocation import PROCESSED
from stripe_assets.catalog.types import everything
from stripe_assets.warehouse.census import MONTH, Count, count_where, take
from stripe_assets.warehouse.database import Database

CATALOG = everything()
ACCOUNT = "acct_1"
NOW = 1_790_000_000
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


def counted(connection: duckdb.DuckDBPyConnection, *names: str, since: int | None = None) -> dict[str, Count]:
    kinds = [kind for kind in CATALOG if kind.name in names]
    return dict(take(connection, kinds, CATALOG["events"], account_id=ACCOUNT, since=since).counts)


def test_rows_are_this_accounts_and_not_the_deleted_ones(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "charges", {"created": NOW}, {"created": OLD}, {"created": NOW, "_deleted_at": NOW})
    put(connection, "charges", {"created": NOW}, account="acct_2")
    checkpoint(connection, "charges")
    count = counted(connection, "charges")["charges"]
    assert (count.rows, count.recent) == (2, 1)
    assert counted(connection, "charges", since=NOW)["charges"].rows == 1


def test_rows_that_stripe_has_dropped_are_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "events", {"created": NOW}, {"created": OLD})
    checkpoint(connection, "events")
    assert counted(connection, "events")["events"].rows == 1


def test_rows_that_a_catch_up_reads_again_begin_with_the_oldest_that_may_change(connection: duckdb.DuckDBPyConnection) -> None:
    put(
        connection,
        "balance_transactions",
        {"created": NOW - 300, "status": "available"},
        {"created": NOW - 200, "status": "pending"},
        {"created": NOW - 100, "status": "available"},
        {"created": NOW, "status": "available"},
    )
    checkpoint(connection, "balance_transactions")
    assert counted(connection, "balance_transactions")["balance_transactions"].onward == 3


def test_interrupted_reading_has_stored_what_was_read_since_it_began(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "charges", {"_synced_at": NOW}, {"_synced_at": NOW - 1})
    checkpoint(connection, "charges", "backfill")
    connection.execute(
        "insert into stripe_sync.pending (account_id, type, purpose, object_id) values (?, 'charges', 'object', 'ch_1')", [ACCOUNT]
    )
    count = counted(connection, "charges")["charges"]
    assert (count.stored, count.noted) == (1, 1)


@pytest.mark.parametrize(
    ("parent", "child", "things", "asks", "example"),
    [
        ("customers", "customer_balance_transactions", [{"id": "cus_1"}, {"id": "cus_2"}], 2, {"cus_1", "cus_2"}),
        ("setup_intents", "setup_attempts", [{"latest_attempt": "a", "id": "seti_1"}, {"latest_attempt": None}], 1, {"seti_1"}),
        ("payouts", "payout_balance_transactions", [{"automatic": True, "id": "po_1"}, {"automatic": False}], 1, {"po_1"}),
        (
            "accounts",
            "account_persons",
            [
                {"controller": {"requirement_collection": "application"}, "id": "acct_x"},
                {"controller": {"requirement_collection": "stripe"}},
            ],
            1,
            {"acct_x"},
        ),
        (
            "invoice_payments",
            "payment_attempt_records",
            [{"payment": {"payment_record": "pr_1"}}, {"payment": {"payment_record": None}}, {"payment": {}}],
            1,
            {"pr_1"},
        ),
        (
            "tax_associations",
            "tax_transaction_line_items",
            [
                {"tax_transaction_attempts": [{"committed": {"transaction": "tax_1"}}, {"committed": {"transaction": "tax_2"}}, {}]},
                {"tax_transaction_attempts": []},
                {"tax_transaction_attempts": None},
            ],
            2,
            {"tax_1"},
        ),
    ],
)
def test_requests_for_children_are_counted_over_the_parents(
    connection: duckdb.DuckDBPyConnection, parent: str, child: str, things: list[dict[str, Any]], asks: int, example: set[str]
) -> None:
    """One each, those only that can have any, or one for every id that stands in them."""
    put(connection, parent, *things)
    count = counted(connection, parent, child)[child]
    assert (count.parents, count.asks) == (len(things), asks)
    assert count.example in example


def test_embedded_lists_that_go_on_are_counted_however_deep_they_lie(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "invoices", {"lines": {"has_more": True}}, {"lines": {"has_more": False}}, {"lines": None})
    put(connection, "quotes", {"computed": {"upfront": {"line_items": {"has_more": True}}}}, {"computed": {"upfront": None}})
    counts = counted(connection, "invoices", "invoice_lines", "quotes", "quote_computed_upfront_line_items")
    assert (counts["invoice_lines"].parents, counts["invoice_lines"].cut) == (3, 1)
    assert (counts["quote_computed_upfront_line_items"].parents, counts["quote_computed_upfront_line_items"].cut) == (2, 1)


def test_events_are_given_newest_first(connection: duckdb.DuckDBPyConnection) -> None:
    checkpoint(connection, "events")
    put(
        connection,
        "events",
        {"created": NOW - 5, "type": "charge.updated", "data": {"object": {"id": "ch_1"}}, "api_version": "x"},
        {"created": NOW, "type": "invoice.upcoming", "data": {"object": {}}},
        {"created": NOW - 1, "type": "charge.updated", "data": {"object": {"id": "ch_2"}}},
        {"created": OLD, "type": "charge.updated", "data": {"object": {"id": "ch_3"}}},
    )
    found = take(connection, [], CATALOG["events"], account_id=ACCOUNT, since=None)
    assert (found.until, found.events) == (NOW, 3)
    assert [(each.created, each.object_id, each.api_version) for each in found.signals] == [(NOW - 1, "ch_2", None), (NOW - 5, "ch_1", "x")]


def test_objects_of_a_condition_are_counted(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, "charges", {"created": NOW, "paid": True}, {"created": NOW, "paid": False}, {"created": OLD, "paid": True})
    assert count_where(connection, CATALOG["charges"], PROCESSED, account_id=ACCOUNT, since=NOW - MONTH) == 1


def test_file_without_a_mirror_holds_nothing() -> None:
    with duckdb.connect() as connection:
        assert take(connection, list(CATALOG), CATALOG["events"], account_id=ACCOUNT, since=None).counts == {}
