"""A platform's accounts: each whole and by itself, in one file, one after the other, whatever happens to one of them."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import virtual_time
from equality import rows
from mirroring import NOW
from sync.altered import Altered

from stripe_assets.errors import ConfigurationError, Unauthorized, WarehouseBusy
from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import application
from stripe_assets.sync.accounts import AT_ONCE, LISTING, OWN, Outcome, Platform
from stripe_assets.sync.settings import Settings, from_environment

TYPES = ("customers", "subscriptions", "invoices", "events")


def platform_of(account: Account, database: Path, *accounts: str, key: str = "sk_test_simulator", app: Any = None, **more: Any) -> Platform:
    settings = Settings(api_key=key, api_base="http://stripe.test", duckdb=database, rate_limit=100.0, accounts=accounts, **more)
    app = app or application(account)
    return Platform(settings, transport=httpx.ASGITransport(app), sharing=lambda _allowance: InProcess())


def sync(platform: Platform, *types: str, **options: Any) -> dict[str, Outcome]:
    return {outcome.account_id: outcome for outcome in virtual_time.run(platform.sync(types or TYPES, **options))}


def assert_equal(database: Path, account: Account) -> None:
    """The rows that are filed under an account are those that it has, and no others."""
    for name, kind in (("customers", "customer"), ("invoices", "invoice"), ("subscriptions", "subscription")):
        found = rows(database, f"select id from stripe.{name} where _account_id = '{account.id}' and _deleted_at is null order by id")
        assert [each for (each,) in found] == sorted(thing["id"] for thing in account.objects(kind)), name


def test_every_account_is_mirrored_under_its_own_id(tmp_path: Path) -> None:
    """More accounts than are synced side by side: each makes room for the next."""
    account, database = (
        Account(seed=6, customers=8, now=NOW, months=3, connected=AT_ONCE + 2, connected_customers=4),
        tmp_path / "m.duckdb",
    )
    outcomes = sync(platform_of(account, database, "all"))
    assert outcomes.keys() == {account.id, *account.connections.ids}
    assert all(outcome.complete for outcome in outcomes.values())
    for account_id in outcomes:
        linked = account.linked(account_id) if account_id != account.id else account
        assert linked is not None
        assert_equal(database, linked)
    books = rows(database, "select count(distinct account_id), count(distinct run_id) from stripe_sync.run_types")
    assert books == [(len(outcomes), len(outcomes))]
    runs = rows(database, "select account_id, state from stripe_sync.runs order by account_id")
    assert runs == [(account_id, "complete") for account_id in sorted(outcomes)]


def test_second_run_asks_of_each_account_only_for_what_is_new(tmp_path: Path) -> None:
    """Checkpoints are an account's own: one that is up to date says nothing of another."""
    account, database = Account(seed=6, customers=8, now=NOW, months=3, connected=3, connected_customers=4), tmp_path / "m.duckdb"
    first, second, third = account.connections.ids
    sync(platform_of(account, database, first))
    both = sync(platform_of(account, database, first, second))
    assert both.keys() == {account.id, first, second}
    assert both[first].requests < both[second].requests
    linked = account.linked(second)
    assert linked is not None
    assert_equal(database, linked)
    assert rows(database, f"select count(*) from stripe.customers where _account_id = '{third}'") == [(0,)]


def test_account_that_is_gone_does_not_stop_the_rest(tmp_path: Path) -> None:
    account, database = Account(seed=6, customers=8, now=NOW, months=3, connected=2, connected_customers=4), tmp_path / "m.duckdb"
    outcomes = sync(platform_of(account, database, "acct_gone", *account.connections.ids))
    assert "does not have access to account 'acct_gone'" in (outcomes.pop("acct_gone").error or "")
    assert outcomes.keys() == {account.id, *account.connections.ids}
    assert all(outcome.complete for outcome in outcomes.values())


def failures(database: Path) -> dict[str | None, str]:
    """Give the reasons of the runs that failed, by account."""
    return dict(rows(database, "select account_id, json_extract_string(details, '$.error') from stripe_sync.runs where state = 'failed'"))


def test_account_that_cannot_be_read_at_all_is_a_run_of_its_own(tmp_path: Path) -> None:
    """Whoever asks in the morning which accounts are missing looks there: a night without a row would look like one without a sync."""
    account, database = Account(seed=6, customers=8, now=NOW, months=3, connected=2, connected_customers=4), tmp_path / "m.duckdb"
    (first, second), app = account.connections.ids, application(account)
    sync(platform_of(account, database, "acct_gone", first, app=app))
    (reason,) = [why for name, why in failures(database).items() if name == "acct_gone"]
    assert "does not have access to account 'acct_gone'" in reason
    counted = rows(database, "select requests > 0, objects, ended_at is not null from stripe_sync.runs where state = 'failed'")
    assert counted == [(True, 0, True)]
    runs = rows(database, "select account_id, state from stripe_sync.runs order by account_id")
    assert runs == sorted([("acct_gone", "failed"), (account.id, "complete"), (first, "complete")])
    assert second not in failures(database)


def test_accounts_are_runs_that_failed_where_the_network_is_dead(tmp_path: Path) -> None:
    account, database = Account(seed=6, customers=8, now=NOW, months=3, connected=1, connected_customers=4), tmp_path / "m.duckdb"
    (connected,) = account.connections.ids

    async def dead(_scope: Any, _receive: Any, _send: Any) -> None:
        raise OSError("no route to host")

    outcomes = sync(platform_of(account, database, connected, app=dead))
    assert outcomes.keys() == {OWN, connected}
    found = failures(database)
    assert found.keys() == {None, connected}, "whose key it is nobody could say"
    assert all("no route to host" in reason for reason in found.values())
    assert sync(platform_of(account, tmp_path / "all.duckdb", "all", app=dead)).keys() == {OWN, LISTING}


def test_own_account_is_not_synced_twice_though_it_is_named(tmp_path: Path) -> None:
    """Side by side the two would write the same checkpoints."""
    account = Account(seed=6, customers=8, now=NOW, months=3, connected=1, connected_customers=4)
    outcomes = virtual_time.run(platform_of(account, tmp_path / "m.duckdb", account.id, *account.connections.ids).sync(TYPES))
    assert sorted(outcome.account_id for outcome in outcomes) == sorted([account.id, *account.connections.ids])


def test_list_of_accounts_that_is_refused_is_told_and_the_own_account_is_mirrored(tmp_path: Path) -> None:
    account, database = Account(seed=6, customers=8, now=NOW, months=3, connected=2, connected_customers=4), tmp_path / "m.duckdb"
    app = application(account, keys={"rk_test_few": frozenset({"accounts"})})
    outcomes = sync(platform_of(account, database, "all", key="rk_test_few", app=app))
    assert outcomes[LISTING].error is not None
    assert "permission" in outcomes[LISTING].error
    assert_equal(database, account)


def test_list_of_accounts_that_stands_still_is_told(tmp_path: Path) -> None:
    """Whoever is missing from it would be missing from the mirror, without a word."""
    account, database = Account(seed=6, customers=8, now=NOW, months=3, connected=2, connected_customers=4), tmp_path / "m.duckdb"
    app = Altered(application(account), {"/v1/accounts": lambda _params, status, body: (status, {**body, "data": [], "has_more": True})})
    outcomes = sync(platform_of(account, database, "all", app=app))
    assert "says that there is more" in (outcomes[LISTING].error or "")
    assert outcomes.keys() == {LISTING, account.id}


def test_account_that_is_listed_twice_or_is_the_key_s_own_is_synced_once(tmp_path: Path) -> None:
    """Side by side the two would write the same checkpoints."""
    account, database = Account(seed=6, customers=8, now=NOW, months=3, connected=2, connected_customers=4), tmp_path / "m.duckdb"
    own = {"id": account.id, "object": "account"}

    def twice(_params: dict[str, str], status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return status, {**body, "data": [own, *body["data"], *body["data"]]}

    platform = platform_of(account, database, "all", app=Altered(application(account), {"/v1/accounts": twice}))
    outcomes = virtual_time.run(platform.sync(TYPES))
    assert sorted(outcome.account_id for outcome in outcomes) == sorted([account.id, *account.connections.ids])


def test_account_that_goes_while_all_are_listed_does_not_end_the_list(tmp_path: Path) -> None:
    """It was the cursor: Stripe answers the next page with a 400. Those on later pages would not be synced, and nobody would know."""
    account, lost = Account(seed=6, customers=2, now=NOW, months=1, connected=3, connected_customers=1), []

    def two_a_page(params: dict[str, str], status: int, body: dict[str, Any]) -> Any:
        if "starting_after" not in params:
            return status, {**body, "data": body["data"][: 2 + len(lost)], "has_more": not lost}
        lost.append(params["starting_after"])
        return 400, {
            "error": {"type": "invalid_request_error", "code": "resource_missing", "param": "starting_after", "message": "No such"}
        }

    outcomes = sync(
        platform_of(account, tmp_path / "m.duckdb", "all", app=Altered(application(account), {"/v1/accounts": two_a_page})), "customers"
    )
    assert lost
    assert outcomes.keys() == {account.id, *account.connections.ids}
    assert all(outcome.complete for outcome in outcomes.values())


def test_key_that_is_unknown_ends_all_of_it(tmp_path: Path) -> None:
    account = Account(seed=6, customers=8, now=NOW, months=3, connected=2, connected_customers=4)
    with pytest.raises(Unauthorized):
        sync(platform_of(account, tmp_path / "m.duckdb", "all", key="sk_test_unknown"))


def test_file_that_somebody_syncs_into_is_left_alone(tmp_path: Path) -> None:
    account = Account(seed=6, customers=8, now=NOW, months=3, connected=2, connected_customers=4)
    platform = platform_of(account, tmp_path / "m.duckdb", "all")
    with platform.database.only_sync(), pytest.raises(WarehouseBusy):
        sync(platform_of(account, tmp_path / "m.duckdb", "all"))


@pytest.mark.parametrize("text", ["everyone", "acct_1, cus_2", "all, acct_1"])
def test_accounts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="STRIPE_ACCOUNTS names"):
        from_environment({"STRIPE_API_KEY": "sk_test_1", "STRIPE_ACCOUNTS": text})


def test_accounts_are_read_with_commas_or_spaces() -> None:
    found = from_environment({"STRIPE_API_KEY": "sk_test_1", "STRIPE_ACCOUNTS": "acct_1, acct_2 acct_1"})
    assert found.accounts == ("acct_1", "acct_2")
