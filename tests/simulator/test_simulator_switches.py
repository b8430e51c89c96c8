"""What an account or a key is not allowed, what its lists hide, and fields that change: as Stripe answers it."""

from typing import Any

import pytest

from stripe_assets.simulator.account import Account

KEY = "rk_test_reader_12345678"


@pytest.mark.parametrize(
    ("name", "off", "on", "status"),
    [
        ("issuing", "/v1/issuing/cards", "/v1/charges", 400),
        ("treasury", "/v1/treasury/financial_accounts", "/v1/topups", 400),
        ("sigma", "/v1/sigma/scheduled_query_runs", "/v1/reporting/report_runs", 403),
        ("v2", "/v2/core/accounts", "/v1/accounts", 400),
        ("/v2/core/accounts", "/v2/core/accounts", "/v2/core/events", 400),
        ("tax", "/v1/tax/registrations", "/v1/tax_ids", 400),
    ],
)
def test_a_product_can_be_off(fresh: Account, ask: Any, name: str, off: str, on: str, status: int) -> None:
    """By name or prefix, from Python and by a control path; nothing else is touched, and it comes back."""
    client = ask(fresh)
    client.app.switches.product(name, on=False)
    refused = client.get(off)
    assert (refused.status_code, "not enabled" in refused.json()["error"]["message"]) == (status, True)
    assert client.get(on).status_code == 200
    assert client.post("/_simulator/product", params={"name": name, "on": "true"}).status_code == 200
    assert client.get(off).status_code == 200
    assert client.post("/_simulator/product", params={"name": name, "on": "false"}).status_code == 200
    assert client.get(off).status_code == status


@pytest.mark.parametrize("by_control", [False, True])
def test_a_permission_can_be_taken_from_a_key(fresh: Account, ask: Any, by_control: bool) -> None:
    """The message names the key's end, the account and the permission that would help."""
    client = ask(fresh, key=KEY, keys={KEY: None, "rk_test_other": None})
    assert client.get("/v1/issuing/cards").status_code == 200
    if by_control:
        assert client.post("/_simulator/forbid", params={"key": KEY, "resource": "issuing_cards"}).status_code == 200
    else:
        client.app.switches.forbid(KEY, "issuing.card")
    refused = client.get("/v1/issuing/cards")
    assert refused.status_code == 403
    message = refused.json()["error"]["message"]
    assert "does not have the required permissions for this endpoint" in message
    assert "Having the 'rak_issuing_card_read' permission would allow this request to continue." in message
    assert client.get("/v1/issuing/cards", headers={"authorization": "Bearer rk_test_other"}).status_code == 200


def test_payment_methods_can_want_a_customer(fresh: Account, ask: Any) -> None:
    """The description and older clients disagree whether the list may be asked for without one."""
    client = ask(fresh)
    assert client.get("/v1/payment_methods").status_code == 200
    assert client.post("/_simulator/switch", params={"name": "payment-methods-need-customer", "on": "true"}).status_code == 200
    refused = client.get("/v1/payment_methods")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "parameter_missing")
    customer = fresh.objects("payment_method")[0]["customer"]
    assert client.get("/v1/payment_methods", {"customer": customer}).status_code == 200
    assert client.get(f"/v1/customers/{customer}/payment_methods").status_code == 200


def test_archived_prices_can_be_hidden(fresh: Account, ask: Any) -> None:
    """As the description says; then they have to be asked for."""
    client = ask(fresh)
    prices = fresh.objects("price")
    archived = [each for each in prices if not each["active"]]
    assert archived
    assert client.everything("/v1/prices") == prices
    client.app.switches.turn("hide-archived-prices", on=True)
    assert client.everything("/v1/prices") == [each for each in prices if each["active"]]
    assert client.everything("/v1/prices", active="false") == archived


def test_wrong_switches_are_refused_by_name(fresh: Account, ask: Any) -> None:
    """A misspelt switch would be a test that tests nothing."""
    client = ask(fresh)
    refused = client.post("/_simulator/switch", params={"name": "hide-everything", "on": "true"})
    assert (refused.status_code, "hide-archived-prices" in refused.text) == (400, True)
    assert client.post("/_simulator/switch", params={"name": "hide-archived-prices"}).status_code == 400
    assert client.post("/_simulator/product", params={"name": "issuing", "on": "perhaps"}).status_code == 400
    assert client.post("/_simulator/field", params={"object": "charge", "field": "amount", "change": "rust"}).status_code == 400
    assert client.get("/_simulator/objects/issuing.card").json() == fresh.objects("issuing.card")


def test_lists_hide_what_stripes_hide(fresh: Account, ask: Any) -> None:
    """Objects on test clocks, custom payment methods, closed reviews, expired registrations, closed accounts: unless asked for."""
    client = ask(fresh)
    clock = fresh.objects("test_helpers.test_clock")[0]["id"]
    hidden = fresh.create("customer", test_clock=clock)
    assert hidden not in {each["id"] for each in client.everything("/v1/customers")}
    assert [each["id"] for each in client.everything("/v1/customers", test_clock=clock)] == [hidden]
    custom = fresh.create("payment_method", type="custom", customer=None)
    assert custom not in {each["id"] for each in client.everything("/v1/payment_methods")}
    assert [each["id"] for each in client.everything("/v1/payment_methods", type="custom")] == [custom]
    review = fresh.objects("review")[0]["id"]
    fresh.edit("review", review, open=False)
    assert review not in {each["id"] for each in client.everything("/v1/reviews")}
    assert client.get(f"/v1/reviews/{review}").json()["open"] is False
    assert review not in fresh.listed("review")
    assert "expired" not in {each["status"] for each in client.everything("/v1/tax/registrations")}
    assert client.everything("/v1/tax/registrations", status="all") == fresh.objects("tax.registration")
    shown = client.get("/v2/core/accounts", {"limit": 100}).json()["data"]
    closed = client.get("/v2/core/accounts", {"limit": 100, "closed": "true"}).json()["data"]
    assert {each["closed"] for each in shown} == {False}
    assert {each["closed"] for each in closed} == {True}


def test_balance_transactions_are_listed_for_automatic_payouts_only(fresh: Account, ask: Any) -> None:
    manual = fresh.create("payout", amount=100, currency="usd", automatic=False)
    automatic = next(each["id"] for each in fresh.objects("payout") if each["automatic"])
    client = ask(fresh)
    assert client.get("/v1/balance_transactions", {"payout": automatic}).json()["data"]
    refused = client.get("/v1/balance_transactions", {"payout": manual})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "payout")


@pytest.mark.parametrize(
    ("change", "becomes"),
    [("vanish", None), ("text", "text 500"), ("number", 3.5), ("object", {"was": 500}), ("appear", "new")],
)
def test_a_field_changes_wherever_its_object_is_shown(fresh: Account, ask: Any, change: str, becomes: Any) -> None:
    """In lists, alone, embedded and in events from then on; what a mirror keeps of it must not depend on luck."""
    client = ask(fresh)
    coupon = fresh.create("coupon", amount_off=500, currency="usd")
    told = fresh.objects("event")[0]
    assert client.post("/_simulator/field", params={"object": "coupon", "field": "amount_off", "change": change}).status_code == 200
    listed = next(each for each in client.everything("/v1/coupons") if each["id"] == coupon)
    assert listed.get("amount_off") == becomes
    assert client.get(f"/v1/coupons/{coupon}").json() == listed
    assert next(each for each in fresh.objects("coupon") if each["id"] == coupon) == listed
    fresh.edit("coupon", coupon, name="Other")
    assert fresh.objects("event")[0]["data"]["object"].get("amount_off") == becomes
    assert told["data"]["object"]["amount_off"] == 500


def test_a_field_can_appear_that_nobody_knew(fresh: Account) -> None:
    """In embedded objects too, and of kinds that the story does not tell of; the change is named if there is none."""
    fresh.reshape("price", "colour", "appear")
    fresh.reshape("issuing.card", "colour", "appear")
    fresh.reshape("balance", "colour", "appear")
    item = fresh.objects("subscription_item")[0]
    assert item["price"]["colour"] == fresh.objects("issuing.card")[0]["colour"] == fresh.balance()["colour"] == "new"
    with pytest.raises(ValueError, match="appear, vanish"):
        fresh.reshape("price", "colour", "fade")
