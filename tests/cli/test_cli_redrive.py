"""`redrive` as people type it: nothing to do, all mended, some left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb

from stripe_assets.catalog.types import load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import serving

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def broken(path: str, name: str, *, account_id: str = "", attempts: int = 1) -> None:
    """Make a type look as a sync leaves it whose list failed at its first page."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as mirror; use mirror")
        (own,) = connection.execute("select any_value(account_id) from stripe_sync.checkpoints").fetchone() or ("",)
        letter = "insert into stripe_sync.dead_letters values (?, ?, ?, '{\"limit\": 100}', 'it broke', 'req_1', ?, now())"
        connection.execute(letter, [account_id or own, name, load()[name].path, attempts])
        connection.execute("update stripe_sync.run_types set state = 'failed', reason = 'it broke' where type = ?", [name])
        connection.execute("update stripe_sync.checkpoints set state = 'backfill' where type = ?", [name])
        connection.execute(f"delete from stripe.{name}")


def test_nothing_to_do_is_said(run: Run) -> None:
    run("sync", "coupons", "--no-limit")
    result = run("redrive")
    assert (result.exit_code, result.stdout.strip().endswith("there are no dead letters, nothing to do")) == (0, True)
    assert json.loads(run("redrive", "--json").stdout) | {"duckdb": ""} == {
        "duckdb": "", "mended": 0, "left": 0, "run_id": None, "requests": 0, "letters": [], "types": [],
    }  # fmt: skip


def test_before_the_first_sync_it_says_what_to_run(run: Run) -> None:
    result = run("redrive")
    assert result.exit_code == 1
    assert "nothing is mirrored yet: run `stripe-assets sync`" in result.stderr


def test_mended_type_is_complete_in_the_status(run: Run, environment: dict[str, str]) -> None:
    run("sync", "coupons", "products", "--no-limit")
    broken(environment["STRIPE_DUCKDB"], "coupons")
    assert {row["type"]: row["state"] for row in json.loads(run("status", "--json").stdout)["types"]}["coupons"] == "failed"
    result = run("redrive")
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.stdout.splitlines()[:3]] == [
        ["type", "mended", "still", "failing"], ["coupons", "1", "0"], ["total", "1", "0"],
    ]  # fmt: skip
    (coupons,) = [row for row in json.loads(run("status", "--json").stdout)["types"] if row["type"] == "coupons"]
    assert (coupons["state"], coupons["rows"], coupons["dead_letters"]) == ("complete", 4, 0)


def test_letters_that_are_left_end_with_3_and_their_reason(run: Run, environment: dict[str, str], restricted: str) -> None:
    run("sync", "coupons", "disputes", "products", "--no-limit")
    path = environment["STRIPE_DUCKDB"]
    broken(path, "coupons")
    broken(path, "disputes")
    broken(path, "products", attempts=0)
    result = run("redrive", "--json", STRIPE_API_KEY=restricted)
    assert result.exit_code == 3
    summary = json.loads(result.stdout)
    assert (summary["mended"], summary["left"]) == (1, 2)
    assert {row["type"]: (row["mended"], row["left"]) for row in summary["letters"]} == {
        "coupons": (1, 0), "disputes": (0, 1), "products": (0, 1),
    }  # fmt: skip
    assert "stripe-assets: products has 1 dead letter left: it broke; `stripe-assets sync --full-refresh products`" in result.stderr
    assert "stripe-assets: disputes has 1 dead letter left: needs the permission rak_dispute_read" in result.stderr
    assert restricted not in result.output


def test_only_the_named_types_are_tried(run: Run, environment: dict[str, str]) -> None:
    run("sync", "coupons", "products", "--no-limit")
    for name in ("coupons", "products"):
        broken(environment["STRIPE_DUCKDB"], name)
    assert run("redrive", "coupons").exit_code == 0
    left = {row["type"]: row["dead_letters"] for row in json.loads(run("status", "--json").stdout)["types"] if row["dead_letters"]}
    assert left == {"products": 1}
    assert "did you mean coupons?" in run("redrive", "cupons").stderr


def test_letters_of_another_account_are_left_alone(run: Run, environment: dict[str, str]) -> None:
    """The file holds two accounts, the key is one's."""
    run("sync", "coupons", "--no-limit")
    broken(environment["STRIPE_DUCKDB"], "coupons", account_id="acct_another")
    with serving(Account(seed=7, customers=3, months=1), keys={DEFAULT_KEY: None}) as server:
        result = run("redrive", STRIPE_API_BASE=server.url)
    assert result.exit_code == 3
    assert "they belong to the account acct_another, and the key is for acct_" in result.stderr
