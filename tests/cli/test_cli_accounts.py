"""Several accounts by one key, typed by hand: each has its line, and what is missing of one is named with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import duckdb
import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import Serving, serving

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def platform() -> Iterator[Serving]:
    with serving(Account(seed=7, customers=6, months=2, connected=2, connected_customers=3), keys={DEFAULT_KEY: None}) as server:
        yield server


def test_all_accounts_are_synced_and_told_one_by_one(run: Run, platform: Serving) -> None:
    ids = {platform.account.id, *platform.account.connections.ids}
    result = run("sync", "customers", "--no-limit", "--json", STRIPE_API_BASE=platform.url, STRIPE_ACCOUNTS="all")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert {account["account_id"] for account in summary["accounts"]} == ids
    assert summary["complete"] is True
    assert summary["rows"] == sum(account["rows"] for account in summary["accounts"]) >= 6
    shown = run("sync", "customers", "--no-limit", STRIPE_API_BASE=platform.url, STRIPE_ACCOUNTS="all")
    assert shown.exit_code == 0
    assert all(f"{account_id}: complete" in shown.stderr for account_id in ids)
    assert "3 accounts" in shown.stdout


def test_account_that_is_gone_ends_with_3_and_its_name(run: Run, platform: Serving) -> None:
    result = run("sync", "customers", "--no-limit", STRIPE_API_BASE=platform.url, STRIPE_ACCOUNTS="acct_gone")
    assert result.exit_code == 3
    assert "stripe-assets: acct_gone: " in result.stderr
    assert "does not have access to account 'acct_gone'" in result.stderr
    assert DEFAULT_KEY not in result.output
    assert f"{platform.account.id}: complete" in result.stderr


def test_status_tells_the_newest_run_of_every_account(run: Run, platform: Serving) -> None:
    """One that failed in the night must not hide behind the others, nor an old failure before the account's later success."""
    first, second = platform.account.connections.ids
    own = platform.account.id
    base = {"STRIPE_API_BASE": platform.url}
    run("sync", "coupons", "--no-limit", **base, STRIPE_ACCOUNTS=f"acct_gone,{first},{second}")
    shown = run("status").stdout
    assert "the last sync of 4 accounts: " in shown
    assert "1 failed" in shown and "3 complete" in shown
    lines = {line.split(":")[0].strip(): line for line in shown.splitlines() if line.startswith("  acct_")}
    assert lines.keys() == {"acct_gone", own, first, second}
    assert "failed" in lines["acct_gone"] and "does not have access to account 'acct_gone'" in lines["acct_gone"]
    assert all(" UTC, complete, " in lines[name] for name in (own, first, second))
    told = json.loads(run("status", "--json").stdout)
    runs = {one["account_id"]: one for one in told["accounts"]}
    assert {name: one["state"] for name, one in runs.items()} == {
        own: "complete",
        first: "complete",
        second: "complete",
        "acct_gone": "failed",
    }
    assert "does not have access" in runs["acct_gone"]["reason"]
    assert told["last_run"] == told["accounts"][0]
    doctored = run("doctor", STRIPE_API_KEY=None).stdout
    assert "the last runs of 3 of 4 accounts are well" in doctored
    assert "the last run of acct_gone, of " in doctored and "could not be finished: " in doctored


def test_status_of_one_account_is_one_line_and_its_json_has_what_it_had(run: Run) -> None:
    run("sync", "coupons", "--no-limit")
    told = json.loads(run("status", "--json").stdout)
    assert told["last_run"].keys() >= {"run_id", "state", "started_at", "ended_at", "requests", "seconds"}
    assert [one["run_id"] for one in told["accounts"]] == [told["last_run"]["run_id"]]
    first, second, *_ = run("status").stdout.splitlines()
    assert re.search(r"stripe\.duckdb: last sync \d{4}-\d\d-\d\d [\d:]+ UTC, complete, \d+ requests in \d+ s$", first)
    assert second == ""


def test_status_reads_a_file_of_an_older_release(run: Run, environment: dict[str, str]) -> None:
    """Whoever has upgraded looks first and syncs later: nothing is written by that, so the file is as it was."""
    run("sync", "coupons", "--no-limit")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{environment['STRIPE_DUCKDB']}' as mirror; use mirror")
        connection.execute("alter table stripe_sync.runs drop column account_id; update stripe_sync.versions set books = 3")
    (one,) = json.loads(run("status", "--json").stdout)["accounts"]
    assert (one["account_id"].startswith("acct_"), one["state"]) == (True, "complete")


def test_status_says_in_how_many_accounts_a_type_is_missing(run: Run) -> None:
    """The own account's sync ends last or first: neither may hide the other's end."""
    account = Account(seed=7, customers=6, months=2, connected=2, connected_customers=3)
    with serving(account, keys={DEFAULT_KEY: None}) as server:
        first, _ = account.connections.ids
        server.app.switches.product("coupons", on=False)
        assert run("sync", "coupons", "--no-limit", STRIPE_API_BASE=server.url, STRIPE_ACCOUNTS=first).exit_code == 3
        server.app.switches.product("coupons", on=True)
        assert run("sync", "coupons", "--no-limit", STRIPE_API_BASE=server.url).exit_code == 0
        (row,) = [row for row in json.loads(run("status", "--json").stdout)["types"] if row["type"] == "coupons"]
    assert row["state"] == "skipped"
    assert row["reason"].startswith(f"in 1 of 2 accounts; {first}: ")
