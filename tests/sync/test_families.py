"""Children: whom they are asked of, what a refusal of one parent means, and what happens to those who were left out of a run."""

import logging
from pathlib import Path
from typing import Any

import pytest
from equality import differences, rows
from mirroring import NOW, World
from sync.altered import Alter, Altered, Answer
from sync.interrupted import interrupted

from stripe_assets.simulator.account import Account
from stripe_assets.sync.summary import Summary

BALANCE = ("customers", "customer_balance_transactions")


def world(tmp_path: Path, *, customers: int = 40, **options: Any) -> World:
    """Give an account whose last minute is quiet: its events would be looked into again."""
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=customers, now=NOW), options)
    here.account.advance(days=0.01)
    here.account.create("coupon")
    return here


def alter(here: World, paths: dict[str, Alter]) -> None:
    """Let some paths be answered otherwise from now on."""
    here.app = Altered(getattr(here.app, "app", here.app), paths)  # type: ignore[assignment]  # answers as the simulator does, but for some paths


def states(summary: Summary) -> dict[str, str]:
    return {result.type: result.state for result in summary.results}


def unfit(_params: dict[str, str], _status: int, _body: dict[str, Any]) -> Answer:
    return 400, {"error": {"type": "invalid_request_error", "message": "This customer was made in another way and has no such list."}}


def absent(_params: dict[str, str], _status: int, _body: dict[str, Any]) -> Answer:
    return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such thing.", "param": "id"}}


def test_refusal_of_one_parents_children_is_buried_for_that_parent_alone(tmp_path: Path) -> None:
    """A type that one odd object ends would be without all the others' rows for ever."""
    here = world(tmp_path)
    odd = here.account.objects("customer")[7]["id"]
    path = f"/v1/customers/{odd}/balance_transactions"
    alter(here, {path: unfit})
    for _ in range(2):
        before = len(here.asked(path))
        summary = here.sync(BALANCE)
        assert states(summary)[BALANCE[1]] == "failed"
        assert rows(here.database, "select type, path from stripe_sync.dead_letters") == [(BALANCE[1], path)]
        assert len(here.asked(path)) == before + 1, "it is asked for again by every run"
        others = {thing["id"] for under, thing in here.account.placed("customer_balance_transaction") if under != odd}
        stored = {name for (name,) in rows(here.database, f"select id from stripe.{BALANCE[1]} where _deleted_at is null")}
        assert stored == others
        here.account.advance(days=1)
    alter(here, {})
    assert here.sync(BALANCE).complete
    assert differences(here.database, here.account, types=BALANCE) == []


def test_type_whose_requests_are_all_refused_is_asked_once(tmp_path: Path) -> None:
    """Where the account does not have what all of them are about, the first answer says so."""
    here = world(tmp_path)
    path = "/v1/customers/{customer}/cash_balance_transactions"
    here.app.switches.product(path, on=False)
    name = "customer_cash_balance_transactions"
    summary = here.sync(["customers", name])
    (result,) = [result for result in summary.results if result.type == name]
    assert (result.state, result.requests) == ("skipped", 1)
    assert "not enabled" in (result.reason or "")
    here.app.switches.product(path, on=True)
    assert here.sync(["customers", name]).complete
    assert differences(here.database, here.account, types=("customers", name)) == []


def test_list_that_is_gone_says_nothing_about_the_rows_that_are_known(tmp_path: Path) -> None:
    """Stripe keeps a tax calculation for 90 days: its lines stay in the mirror, also when everything is read again."""
    here = world(tmp_path, customers=60)
    name = "tax_calculation_line_items"
    here.sync([name])
    calculations = [each for (each,) in rows(here.database, f"select distinct calculation_id from stripe.{name} order by 1")]
    assert len(calculations) > 1
    alter(here, {f"/v1/tax/calculations/{calculations[0]}/line_items": absent})
    assert here.sync([name], full_refresh=True).complete
    assert rows(here.database, f"select count(*) from stripe.{name} where _deleted_at is not null") == [(0,)]
    assert rows(here.database, "select count(*) from stripe_sync.pending") == [(0,)]


def test_vanished_children_of_a_parent_that_has_changed_are_marked_deleted(tmp_path: Path) -> None:
    """The parent's own list is the only word about them."""
    here = world(tmp_path, customers=60)
    name = "entitlements_active_entitlements"
    here.sync([name])
    under, gone = here.account.placed("entitlements.active_entitlement")[0]
    before = len(here.app.requests)
    here.account.delete("entitlements.active_entitlement", gone["id"])
    assert here.sync([name]).complete
    assert rows(here.database, f"select _deleted_at is not null from stripe.{name} where id = '{gone['id']}'") == [(True,)]
    assert differences(here.database, here.account, types=("customers", name)) == []
    asked = [request.params["customer"] for request in here.app.requests[before:] if request.path == "/v1/entitlements/active_entitlements"]
    assert asked == [under], "the event names the customer"


def test_parents_without_the_feature_that_children_need_are_not_asked(tmp_path: Path) -> None:
    here = world(tmp_path)
    alter(here, {"/v1/entitlements/features": lambda _params, status, body: (status, {**body, "data": [], "has_more": False})})
    summary = here.sync(["product_features", "entitlements_active_entitlements"])
    assert summary.complete
    asked = {result.type: result.requests for result in summary.results}
    assert (asked["product_features"], asked["entitlements_active_entitlements"]) == (0, 0)


def test_children_that_were_left_out_of_a_run_are_asked_for_by_the_next(tmp_path: Path) -> None:
    """Their parents' changes are noted, whoever is selected: what that run saw, no later one will see again."""
    here = world(tmp_path, customers=60)
    account = here.account
    names = ["customer_balance_transactions", "checkout_session_line_items", "radar_value_list_items", "setup_attempts"]
    here.sync(names)
    account.advance(days=3)
    customer = account.objects("customer")[0]["id"]
    account.create("customer_balance_transaction", under=customer)
    account.edit("customer", customer, email="changed@example.com")
    here.sync(["customers", "checkout_sessions", "radar_value_lists", "setup_intents"])
    before = len(here.app.requests)
    assert here.sync(names).complete
    types = ("customers", "checkout_sessions", "radar_value_lists", "setup_intents", *names)
    assert differences(here.database, account, types=types) == []
    assert len(here.app.requests) - before < 60, "not everything again"


def test_interrupted_children_go_on_where_they_were(tmp_path: Path) -> None:
    """One request a customer: those that were answered and stored are not made again."""
    here = world(tmp_path, customers=120)
    count = 0

    def later(scope: Any) -> bool:
        nonlocal count
        count += scope["path"].endswith("/balance_transactions")
        return count == 100

    interrupted(here, later, types=BALANCE, rate_limit=8.0)
    left = rows(here.database, "select count(*) from stripe_sync.pending")[0][0]
    assert 0 < left < 100, "interrupted too early, or too late, to show anything"
    before = len(here.app.requests)
    assert here.sync(BALANCE).complete
    asked = [request.path for request in here.app.requests[before:] if request.path.endswith("/balance_transactions")]
    assert len(asked) == left
    assert differences(here.database, here.account, types=BALANCE) == []


def test_payment_methods_are_asked_for_customer_by_customer_where_the_account_wants_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is said, because it takes a request for each customer."""
    here = world(tmp_path)
    here.app.switches.turn("payment-methods-need-customer", on=True)
    with caplog.at_level(logging.WARNING):
        assert here.sync(["payment_methods"]).complete
    assert "payment_methods are asked for by customer, because the list is refused" in caplog.text
    assert differences(here.database, here.account, types=("customers", "payment_methods")) == []
    assert len(here.asked("/v1/payment_methods")) == 2  # whether the customers are needed, and the list itself
    here.account.advance(days=1)
    before = len(here.app.requests)
    assert here.sync(["payment_methods"]).complete
    assert len(here.app.requests) - before < 20
    assert differences(here.database, here.account, types=("payment_methods",)) == []


def test_payment_methods_are_skipped_where_neither_way_is_allowed(tmp_path: Path) -> None:
    here = world(tmp_path, keys={"rk_test_limited": {"payment_method"}})
    here.key = "rk_test_limited"
    (result,) = [result for result in here.sync(["payment_methods"]).results if result.type == "payment_methods"]
    assert (result.state, result.requests) == ("skipped", 2)
    assert "needs the permission rak_payment_method_read" in (result.reason or "")


def test_archived_prices_are_found_whether_the_list_hides_them_or_not(tmp_path: Path) -> None:
    here = world(tmp_path)
    price = here.account.objects("price")[0]["id"]
    here.account.edit("price", price, active=False)
    here.app.switches.turn("hide-archived-prices", on=True)
    assert here.sync(["prices"], full_refresh=True).complete
    assert rows(here.database, f"select active from stripe.prices where id = '{price}'") == [(False,)]
    assert differences(here.database, here.account, types=("prices",)) == []


def test_what_a_list_leaves_out_is_read_by_its_id_before_it_is_taken_for_deleted(tmp_path: Path) -> None:
    """Closed reviews leave the list of the open ones, and prices made inside other requests were never in one."""
    here = world(tmp_path, customers=60)
    names = ("reviews", "prices")
    here.sync(names)
    review, price = here.account.objects("review")[0]["id"], here.account.objects("price")[1]["id"]
    here.account.edit("review", review, open=False)
    here.account.delete("price", price)
    here.account.advance(days=31)
    assert here.sync(names, full_refresh=True).complete
    assert rows(here.database, f"select open, _deleted_at is null from stripe.reviews where id = '{review}'") == [(False, True)]
    assert rows(here.database, f"select _deleted_at is not null from stripe.prices where id = '{price}'") == [(True,)]
    assert len(here.asked(f"/v1/reviews/{review}")) == 1
    assert differences(here.database, here.account, types=names) == []


def test_what_test_clocks_hide_is_read_and_kept_while_they_cannot_be_asked(tmp_path: Path) -> None:
    """A customer of a test clock is in no list but that of the clock: without it, a full reading says nothing about him."""
    here = world(tmp_path)
    clock = here.account.objects("test_helpers.test_clock")[0]["id"]
    hidden = here.account.create("customer", test_clock=clock)
    assert here.sync(["customers"]).complete
    assert differences(here.database, here.account, types=("customers",)) == []
    here.app.switches.product("test_helpers", on=False)
    summary = here.sync(["customers"], full_refresh=True)
    assert states(summary) == {"customers": "complete", "test_helpers_test_clocks": "skipped"}
    assert rows(here.database, f"select _deleted_at is null from stripe.customers where id = '{hidden}'") == [(True,)]
    here.app.switches.product("test_helpers", on=True)
    here.account.delete("customer", hidden)
    here.account.advance(days=31)
    assert here.sync(["customers"], full_refresh=True).complete
    assert rows(here.database, f"select _deleted_at is null from stripe.customers where id = '{hidden}'") == [(False,)]


def test_live_account_has_no_test_clocks_to_be_asked_for(tmp_path: Path) -> None:
    """Stripe refuses the list with a live key: nobody who asks for customers should be told of it."""
    here = world(tmp_path)
    here.key = "sk_live_simulator"
    assert states(here.sync(["customers"])) == {"customers": "complete"}


def test_discount_of_a_customer_that_ends_has_the_customer_read_again(tmp_path: Path) -> None:
    """The event shows the discount, and names the customer whose row it changes."""
    here = world(tmp_path)
    here.sync(["customers"])
    customer = here.account.objects("customer")[3]["id"]
    discount = {"object": "discount", "id": "di_1", "customer": customer}
    event = {"id": "evt_1", "type": "customer.discount.deleted", "created": here.account.now, "data": {"object": discount}}

    def ended(params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        return status, body if "starting_after" in params else {**body, "data": [event, *body["data"]]}

    alter(here, {"/v1/events": ended})
    assert here.sync(["customers"]).complete
    assert len(here.asked(f"/v1/customers/{customer}")) == 1
