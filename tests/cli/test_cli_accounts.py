"""Several accounts by one key, typed by hand: each has its line, and what is missing of one is named with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

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
