"""`plan`, `redrive` and `doctor` look after the same accounts as `sync` does; one that fails does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import duckdb
import pytest

from stripe_assets.catalog.types import load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import Serving, serving

if TYPE_CHECKING:
    from tests.cli.conftest import Run

RESTRICTED = "rk_test_few"


@pytest.fixture(scope="module")
def platform() -> Iterator[Serving]:
    account = Account(seed=7, customers=6, months=2, connected=2, connected_customers=3)
    with serving(account, keys={DEFAULT_KEY: None, RESTRICTED: {"dispute"}}) as server:
        yield server


def broken(path: str, name: str) -> None:
    """Make a type of every account look as a sync leaves it whose list failed at its first page."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as mirror; use mirror")
        letters = "insert into stripe_sync.dead_letters select account_id, $1, $2, '{\"limit\": 100}', 'it broke', 'req_1', 1, now()"
        connection.execute(f"{letters} from stripe_sync.checkpoints where type = $1", [name, load()[name].path])
        connection.execute("update stripe_sync.checkpoints set state = 'backfill' where type = ?", [name])
        connection.execute(f"delete from stripe.{name}")


def counted(path: str, name: str) -> dict[str, int]:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as mirror (read_only)")
        return dict(connection.execute(f"select _account_id, count(*) from mirror.stripe.{name} group by 1").fetchall())


def test_plan_tells_each_account_and_the_total(run: Run, platform: Serving) -> None:
    """A plan of the key's own account only would promise a minute of what takes a night."""
    ids, base = {platform.account.id, *platform.account.connections.ids}, {"STRIPE_API_BASE": platform.url, "STRIPE_ACCOUNTS": "all"}
    result = run("plan", "customers", "coupons", "--json", **base)
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert {one["account_id"] for one in plan["accounts"]} == ids
    assert plan["requests"]["value"] == sum(one["requests"]["value"] for one in plan["accounts"])
    assert plan["complete"] is True
    assert all({row["type"] for row in one["types"]} >= {"customers", "coupons"} for one in plan["accounts"])
    made = json.loads(run("sync", "customers", "coupons", "--no-limit", "--json", **base).stdout)
    assert abs(made["requests"] - plan["requests"]["value"]) <= 3 * len(ids)
    shown = run("plan", "customers", "coupons", **base).stdout
    rows = {line.split()[0] for line in shown.splitlines() if line.startswith("acct_")}
    assert rows == ids
    assert "3 accounts" in shown


def test_plan_of_accounts_ends_with_3_where_one_fails_or_a_type_is_refused(run: Run, platform: Serving) -> None:
    first, _ = platform.account.connections.ids
    base = {"STRIPE_API_BASE": platform.url, "STRIPE_ACCOUNTS": f"acct_gone,{first}", "STRIPE_API_KEY": RESTRICTED}
    result = run("plan", "disputes", "coupons", "--json", **base)
    assert result.exit_code == 3
    found = {one["account_id"]: one for one in json.loads(result.stdout)["accounts"]}
    assert found.keys() == {"acct_gone", platform.account.id, first}
    assert "does not have access to account 'acct_gone'" in found["acct_gone"]["error"]
    assert "stripe-assets: acct_gone: " in result.stderr
    assert f"stripe-assets: {first}: disputes would be skipped: " in result.stderr
    assert RESTRICTED not in result.output


def test_redrive_mends_every_account_that_is_named(run: Run, platform: Serving, environment: dict[str, str]) -> None:
    """And leaves alone what is not: the letters say whose they are."""
    path, own = environment["STRIPE_DUCKDB"], platform.account.id
    first, second = platform.account.connections.ids
    base = {"STRIPE_API_BASE": platform.url}
    run("sync", "coupons", "products", "--no-limit", STRIPE_ACCOUNTS="all", **base)
    had = counted(path, "coupons")
    assert had.keys() == {own, first, second}
    broken(path, "coupons")
    some = run("redrive", "--json", STRIPE_ACCOUNTS=first, **base)
    assert some.exit_code == 3
    told = json.loads(some.stdout)
    assert (told["mended"], told["left"]) == (2, 1)
    assert {one["account_id"] for one in told["accounts"]} == {own, first}
    assert (
        f"{second}: coupons has 1 dead letter left: they belong to the account {second}, which STRIPE_ACCOUNTS does not name" in some.stderr
    )
    rest = run("redrive", STRIPE_ACCOUNTS="all", **base)
    assert rest.exit_code == 0, rest.output
    assert [line.split() for line in rest.stdout.splitlines()[:2]] == [
        ["account", "type", "mended", "still", "failing"],
        [second, "coupons", "1", "0"],
    ]
    assert counted(path, "coupons") == had


def test_redrive_goes_on_after_an_account_that_is_gone(run: Run, platform: Serving, environment: dict[str, str]) -> None:
    path, own = environment["STRIPE_DUCKDB"], platform.account.id
    base = {"STRIPE_API_BASE": platform.url, "STRIPE_ACCOUNTS": "all"}
    run("sync", "coupons", "--no-limit", **base)
    broken(path, "coupons")
    first, second = platform.account.connections.ids
    with duckdb.connect() as connection:
        connection.execute(
            f"attach '{path}' as mirror; update mirror.stripe_sync.dead_letters set account_id = 'acct_0' where account_id = '{first}'"
        )
    result = run("redrive", "--json", **base)
    assert result.exit_code == 3
    told = {one["account_id"]: one for one in json.loads(result.stdout)["accounts"]}
    assert told.keys() == {own, second, "acct_0"}
    assert "does not have access to account 'acct_0'" in told["acct_0"]["error"]
    assert {row["account_id"]: (row["mended"], row["left"]) for row in json.loads(result.stdout)["letters"]} == {
        own: (1, 0), second: (1, 0), "acct_0": (0, 1),
    }  # fmt: skip


def test_doctor_asks_about_every_account(run: Run, platform: Serving) -> None:
    """What holds for several is told once, with their names; an account that is gone hides nothing of the others."""
    own, (first, _) = platform.account.id, platform.account.connections.ids
    base = {"STRIPE_API_BASE": platform.url, "STRIPE_ACCOUNTS": f"acct_gone,{first}", "STRIPE_RATE_LIMIT": "1000"}
    result = run("doctor", "--json", STRIPE_API_KEY=RESTRICTED, **base)
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert told["accounts"][0]["account_id"] == own
    accounts = {one["account_id"]: one for one in told["accounts"]}
    assert accounts.keys() == {own, first, "acct_gone"}
    assert told["types"] == accounts[own]["types"]
    assert {one["access"] for one in accounts[first]["types"] if one["type"] == "disputes"} == {"forbidden"}
    said = [(one["level"], one["what"]) for one in told["findings"]]
    assert ("wrong", "disputes needs the permission rak_dispute_read (all 2 accounts)") in said
    assert ("ok", "2 of 3 accounts can be read") in said
    assert any(level == "wrong" and what.startswith("acct_gone: ") for level, what in said)
    assert any(level == "ok" and what.startswith(f"{first}: ") and what.endswith(" types can be read") for level, what in said)
