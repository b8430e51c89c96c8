"""A sync and its status, typed by hand, on a small simulated account over a real socket."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.commands.console import rounded
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import Serving, serving

if TYPE_CHECKING:
    from tests.cli.conftest import Run

LISTED = {
    "customers": "customer",
    "charges": "charge",
    "invoices": "invoice",
    "events": "event",
    "refunds": "refund",
    "products": "product",
}


def test_sync_prints_one_json_object_that_tells_all_types(run: Run, stripe: Serving) -> None:
    """Scripts read standard output, people standard error: neither finds the other's there."""
    result = run("sync", "--json", "--no-limit")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert [row["type"] for row in summary["types"]] == list(load().names)
    assert {row["state"] for row in summary["types"]} == {"complete"}
    assert [row["type"] for row in summary["types"] if row["misfits"]] == [], "whoever tries the simulator is told of no fault of its own"
    assert (summary["complete"], summary["account_id"]) == (True, stripe.account.id)
    assert summary["throttled"] == summary["limiter"]["throttled"] == {}
    assert (summary["limiter"]["limit"], summary["limiter"]["in_flight"]) == (None, 0)
    assert summary["limiter"]["granted"] == summary["requests"] == sum(taken["requests"] for taken in summary["endpoints"].values())
    assert summary["endpoints"]["GET /v1/account"] == {"requests": 1, "throttled": 0}
    status = json.loads(run("status", "--json").stdout)
    rows = {row["type"]: row["rows"] for row in status["types"]}
    assert {name: rows[name] for name in LISTED} == {name: len(stripe.account.objects(kind)) for name, kind in LISTED.items()}
    assert status["last_run"]["state"] == "complete"
    assert all(row["lag_seconds"] >= 0 and row["dead_letters"] == 0 for row in status["types"])


def test_sync_ends_with_a_line_per_type_and_totals(run: Run) -> None:
    result = run("sync", "coupons", "products", "--no-limit")
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:3]] == [["products", "complete"], ["coupons", "complete"]]
    assert re.search(r"\d rows written by \d+ requests in [\d.]+ s, [\d.]+/s with no limit; waits \d+ ms \(p50\)", result.stdout)
    assert "coupons: complete, 4 rows, 1 requests" in result.stderr


def test_a_restricted_key_ends_with_3_and_names_what_it_may_not_read(run: Run, restricted: str) -> None:
    result = run("sync", "disputes", "coupons", "--no-limit", "--json", STRIPE_API_KEY=restricted)
    assert result.exit_code == 3
    assert {row["type"]: row["state"] for row in json.loads(result.stdout)["types"]} == {"coupons": "complete", "disputes": "skipped"}
    assert "stripe-assets: disputes was skipped:" in result.stderr
    assert "permission" in result.stderr
    assert restricted not in result.output
    shown = run("status").stdout
    assert "disputes is skipped" in shown
    assert "permission" in shown


def test_what_the_key_and_the_account_lack_is_skipped_with_its_reason_and_listed(run: Run, restricted: str) -> None:
    """All types, and five products that the account does not use: no refusal is taken for an empty table or for a failure."""
    off = ("issuing", "treasury", "identity", "climate", "terminal")
    with serving(Account(seed=7, customers=12, months=4), keys={restricted: {"dispute"}}) as server:
        for product in off:
            server.app.switches.product(product, on=False)
        result = run("sync", "--no-limit", "--json", STRIPE_API_KEY=restricted, STRIPE_API_BASE=server.url)
    assert result.exit_code == 3
    refused = {kind.name for kind in load() if kind.path.startswith(tuple(f"/v1/{product}/" for product in off))} | {"disputes"}
    expected = {name: "skipped" if name in refused else "complete" for name in load().names}
    assert {row["type"]: row["state"] for row in json.loads(result.stdout)["types"]} == expected
    status = {row["type"]: row for row in json.loads(run("status", "--json").stdout)["types"]}
    assert {name: row["state"] for name, row in status.items()} == expected
    assert "rak_dispute_read" in status["disputes"]["reason"]
    assert "not set up to use issuing" in status["issuing_tokens"]["reason"]
    shown = run("status").stdout
    assert [name for name in sorted(refused) if f"{name} is skipped: " not in shown] == []


def test_type_that_was_not_asked_for_is_told_with_its_reason(run: Run) -> None:
    """Whoever types `customers` and finds two types in the table should not have to look for why in the documentation."""
    shown = run("sync", "customers", "--no-limit").stdout
    assert "test_helpers_test_clocks is read as well, because customers that belong to one are in no other list" in shown
    below = run("plan", "customer_tax_ids").stdout
    assert "customers is read as well, because customer_tax_ids are asked for by it\n" in below
    assert "is read as well" not in run("sync", "coupons", "--no-limit").stdout


def test_status_before_the_first_sync_says_what_to_run(run: Run) -> None:
    result = run("status")
    assert result.exit_code == 1
    assert "nothing is mirrored yet: run `stripe-assets sync`" in result.stderr


def test_status_tells_which_types_were_never_mirrored(run: Run) -> None:
    run("sync", "coupons", "--no-limit")
    states = {row["type"]: row["state"] for row in json.loads(run("status", "--json").stdout)["types"]}
    assert (states.pop("coupons"), set(states.values())) == ("complete", {"never mirrored"})
    rows = run("status", "--all").stdout.splitlines()
    assert sum("never mirrored" in line for line in rows) == len(states)


def test_status_folds_what_was_never_mirrored_into_a_line(run: Run) -> None:
    """Who mirrors five types wants to see five, and not to look for them among 123."""
    run("sync", "coupons", "products", "--no-limit")
    lines = run("status").stdout.splitlines()
    never = [line for line in lines if "never mirrored" in line]
    others = len(load().names) - 2
    assert len(never) == 1
    assert (
        never[0].startswith(f"{others} types were never mirrored: ") and f"and {others - 3} more; `stripe-assets status --all`" in never[0]
    )
    assert len(lines) <= 8


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (119.0, "119 s"),
        (187.0, "3 min"),
        (7200.0, "2 h"),
        (100_000.0, "28 h"),
        (172_800.0, "2 days"),
        (2_000_000.0, "23 days"),
    ],
)
def test_lag_has_a_unit(seconds: float, text: str) -> None:
    assert rounded(seconds) == text


def test_what_fits_no_column_is_told_after_the_sync(run: Run) -> None:
    """An amount that is missing in a sum should be found in the log. The customer comes twice: in the list, and because of its event."""
    account = Account(seed=7, customers=3, months=1)
    first = account.objects("customer")[0]["id"]
    account.edit("customer", first, balance="much")
    with serving(account, keys={DEFAULT_KEY: None}) as server:
        result = run("sync", "customers", "--no-limit", STRIPE_API_BASE=server.url)
    assert result.exit_code == 0
    assert f"stripe-assets: customers.balance: value of another type, 2 times, e.g. in {first}; kept in _raw" in result.stderr
