"""Lists and single objects over HTTP: pages, cursors, filters, expansion, embedded lists, errors."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.endpoints import REQUIRED, Routes
from stripe_assets.simulator.store import Shelf, Store

LISTS = [
    each
    for each in Routes().all()
    if each.form == "list" and each.parent is None and each.path not in REQUIRED and each.pages == "cursor" and each.only is None
]


def test_there_are_lists_of_all_kinds() -> None:
    """The paths that the others are tested with."""
    assert len(LISTS) == 74


@pytest.mark.parametrize("path", [each.path for each in LISTS])
def test_pages_hold_every_object_exactly_once(account: Account, client: Any, path: str) -> None:
    """Newest first, as `objects` gives them: what it is compared with must be the same thing."""
    kind = next(each.kind for each in LISTS if each.path == path)
    params = {"status": "all"} if kind in ("subscription", "tax.registration") else {}
    assert client.everything(path, **params) == account.objects(kind)


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/prices", "/v1/events"])
def test_ending_before_pages_the_other_way(account: Account, client: Any, path: str) -> None:
    """From the oldest object up, each page in the list's own order; ties within one second lose nothing."""
    kind = next(each.kind for each in LISTS if each.path == path)
    ids = [each["id"] for each in account.objects(kind)]
    found: list[str] = [ids[-1]]
    while True:
        page = client.get(path, {"limit": 7, "ending_before": found[0]}).json()
        found = [each["id"] for each in page["data"]] + found
        if not page["has_more"]:
            break
    assert found == ids


def test_objects_of_one_second_keep_a_stable_order(account: Account, client: Any) -> None:
    """The catalogue was made in one second; pages of three still cover it once."""
    prices = account.objects("price")
    assert len({each["created"] for each in prices}) < len(prices)
    assert client.everything("/v1/prices", limit=3) == prices


def test_created_bounds_are_exact(account: Account, client: Any) -> None:
    """Slices of time must neither overlap nor leave a gap."""
    charges = account.objects("charge")
    low, high = charges[60]["created"], charges[20]["created"]
    for names, keep in (
        (("gte", "lte"), range(low, high + 1)),
        (("gt", "lt"), range(low + 1, high)),
        (("gte", "lt"), range(low, high)),
    ):
        bounds = {f"created[{names[0]}]": low, f"created[{names[1]}]": high}
        assert client.everything("/v1/charges", **bounds) == [each for each in charges if each["created"] in keep]
    assert client.everything("/v1/charges", created=low) == [each for each in charges if each["created"] == low]


@given(
    created=st.lists(st.integers(0, 12), max_size=30),
    limit=st.integers(1, 5),
    bounds=st.tuples(st.none() | st.integers(0, 12), st.none() | st.integers(0, 12)),
    odd=st.booleans(),
    oldest_first=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_shelf_is_paged_completely_in_both_directions(
    created: list[int], limit: int, bounds: tuple[int | None, int | None], odd: bool, oldest_first: bool
) -> None:
    """Whatever the ties, bounds and filters: forwards and backwards give the same list as filtering the whole."""
    store = Store()
    for turn, at in enumerate(created):
        store.add("charge", f"ch_{turn}", at, {})
    shelf: Shelf = store.shelf("charge")
    since, until = bounds
    keep = (lambda record: int(record.id[3:]) % 2 == 1) if odd else None
    options: dict[str, Any] = {"limit": limit, "since": since, "until": until, "keep": keep, "oldest_first": oldest_first}
    expected = [
        each
        for each in sorted(shelf.order, key=lambda each: (each.created, each.turn), reverse=not oldest_first)
        if (since is None or each.created >= since) and (until is None or each.created <= until) and (keep is None or keep(each))
    ]
    forwards: list[Any] = []
    more = True
    while more:
        page, more = shelf.page(after=forwards[-1] if forwards else None, **options)
        forwards += page
        assert more == (len(forwards) < len(expected))
    assert forwards == expected
    backwards: list[Any] = expected[-1:]
    more = bool(backwards)
    while more:
        page, more = shelf.page(before=backwards[0], **options)
        backwards = page + backwards
        assert more == (len(backwards) < len(expected))
    assert backwards == expected


def test_subscriptions_hide_the_ended_unless_asked(account: Account, client: Any) -> None:
    """Stripe's default loses history for those who do not know it."""
    subscriptions = account.objects("subscription")
    ended = ("canceled", "incomplete_expired")
    assert client.everything("/v1/subscriptions") == [each for each in subscriptions if each["status"] not in ended]
    assert client.everything("/v1/subscriptions", status="ended") == [each for each in subscriptions if each["status"] in ended]
    assert client.everything("/v1/subscriptions", status="active") == [each for each in subscriptions if each["status"] == "active"]


def test_filters_keep_what_they_name(account: Account, client: Any) -> None:
    """By reference, state, flag, type, and by lying within something."""
    charge = next(each for each in account.objects("charge") if each["amount_refunded"])
    invoice = next(each for each in account.objects("invoice") if each["parent"])
    subscription = invoice["parent"]["subscription_details"]["subscription"]
    payout = account.objects("payout")[3]
    cases: list[tuple[str, str, dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        ("/v1/charges", "charge", {"customer": charge["customer"]}, lambda each: each["customer"] == charge["customer"]),
        ("/v1/refunds", "refund", {"charge": charge["id"]}, lambda each: each["charge"] == charge["id"]),
        ("/v1/invoices", "invoice", {"status": "paid"}, lambda each: each["status"] == "paid"),
        ("/v1/invoices", "invoice", {"subscription": subscription},
         lambda each: bool(each["parent"]) and each["parent"]["subscription_details"]["subscription"] == subscription),
        ("/v1/prices", "price", {"active": "false"}, lambda each: not each["active"]),
        ("/v1/prices", "price", {"recurring[interval]": "year"},
         lambda each: bool(each["recurring"]) and each["recurring"]["interval"] == "year"),
        ("/v1/payouts", "payout", {"arrival_date[gte]": payout["arrival_date"]},
         lambda each: each["arrival_date"] >= payout["arrival_date"]),
        ("/v1/events", "event", {"type": "invoice.*"}, lambda each: each["type"].startswith("invoice.")),
        ("/v1/events", "event", {"types[]": ["charge.succeeded", "payout.*"]},
         lambda each: each["type"] == "charge.succeeded" or each["type"].startswith("payout.")),
        ("/v1/subscription_items", "subscription_item", {"subscription": subscription}, lambda each: each["subscription"] == subscription),
    ]  # fmt: skip
    for path, kind, params, keep in cases:
        expected = [each for each in account.objects(kind) if keep(each)]
        assert expected, (path, params)
        found = client.everything(path, **params)
        assert found == (expected[::-1] if kind == "subscription_item" else expected), (path, params)
    held = client.everything("/v1/balance_transactions", payout=payout["id"])
    assert sum(each["net"] for each in held) == payout["amount"]


def test_cards_are_listed_by_customer(account: Account, client: Any) -> None:
    """Both ways to ask, and all at once: accounts differ in whether they allow it."""
    method = account.objects("payment_method")[0]
    for path, params in (
        (f"/v1/customers/{method['customer']}/payment_methods", {}),
        ("/v1/payment_methods", {"customer": method["customer"]}),
    ):
        assert method in client.everything(path, **params)
    assert client.everything("/v1/payment_methods") == account.objects("payment_method")
    client.app.switches.turn("payment-methods-need-customer", on=True)
    refused = client.get("/v1/payment_methods")
    client.app.switches.turn("payment-methods-need-customer", on=False)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "customer")


@pytest.mark.parametrize("lines", [1, 10, 11, 250])
def test_embedded_lines_are_the_first_page_of_all(fresh: Account, ask: Any, lines: int) -> None:
    """Ten lie inside the invoice; the rest begins after the tenth, at its url."""
    invoice = ask(fresh).get(f"/v1/invoices/{fresh.bill(fresh.create('customer'), lines=lines)}").json()
    embedded = invoice["lines"]
    assert len(embedded["data"]) == min(lines, 10)
    assert embedded["has_more"] == (lines > 10)
    whole = ask(fresh).everything(embedded["url"])
    assert len({each["id"] for each in whole}) == len(whole) == lines
    assert whole[: len(embedded["data"])] == embedded["data"]
    rest = ask(fresh).everything(embedded["url"], starting_after=embedded["data"][-1]["id"]) if lines == 11 else whole[10:]
    assert embedded["data"] + rest == whole


def test_subscriptions_with_twelve_items_are_cut_too(client: Any) -> None:
    """The url of the rest carries its own query."""
    cut = [each for each in client.everything("/v1/subscriptions", status="all") if each["items"]["has_more"]]
    for each in cut:
        assert client.everything(each["items"]["url"])[:10] == each["items"]["data"]


def test_every_object_can_be_retrieved(account: Account, client: Any) -> None:
    """The same bytes as in its list."""
    for endpoint in Routes().all():
        if endpoint.form == "retrieve":
            under, expected = next(each for each in account.placed(endpoint.kind) if _fits(endpoint.path, each[1]))
            path = re.sub(r"{\w+}$", expected["id"], endpoint.path)
            parent = under or expected.get(endpoint.parent, "")
            assert client.get(re.sub(r"{\w+}", parent, path)).json() == expected, endpoint.path


def _fits(path: str, shown: dict[str, Any]) -> bool:
    """Say whether an object of a mixed list can be read at a path for one kind of them."""
    alone = {"/v1/sources/{source}": "source", "cards/{id}": "card", "bank_accounts/{id}": "bank_account"}
    return all(shown["object"] == name for ending, name in alone.items() if path.endswith(ending))


def test_a_deleted_object_is_a_stub_where_stripe_has_one(fresh: Account, ask: Any) -> None:
    """Elsewhere it is simply missing."""
    person, coupon = fresh.create("customer"), fresh.create("coupon")
    rate = fresh.objects("tax_rate")[0]["id"]
    for kind, object_id in (("customer", person), ("coupon", coupon), ("tax_rate", rate)):
        fresh.delete(kind, object_id)
    client = ask(fresh)
    assert client.get(f"/v1/customers/{person}").json() == {"id": person, "object": "customer", "deleted": True}
    assert client.get(f"/v1/coupons/{coupon}").json() == {"id": coupon, "object": "coupon", "deleted": True}
    missing = client.get(f"/v1/tax_rates/{rate}")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "resource_missing")


def test_a_cursor_that_was_deleted_is_refused(fresh: Account, ask: Any) -> None:
    """Whoever stops silently here loses the rest of the list."""
    person = fresh.create("customer")
    assert ask(fresh).get("/v1/customers", {"starting_after": person}).status_code == 200
    fresh.delete("customer", person)
    for param in ("starting_after", "ending_before"):
        refused = ask(fresh).get("/v1/customers", {param: person})
        assert refused.status_code == 400
        assert {"code": "resource_missing", "param": param}.items() <= refused.json()["error"].items()


@pytest.mark.parametrize(
    ("path", "params", "param", "code"),
    [
        ("/v1/charges", {"limit": 0}, "limit", "parameter_invalid_integer"),
        ("/v1/charges", {"limit": 101}, "limit", "parameter_invalid_integer"),
        ("/v1/charges", {"limit": "many"}, "limit", "parameter_invalid_integer"),
        ("/v1/charges", {"created[gte]": "today"}, "created[gte]", "parameter_invalid_integer"),
        ("/v1/charges", {"created[after]": "1"}, "created[after]", "parameter_unknown"),
        ("/v1/charges", {"colour": "red"}, "colour", "parameter_unknown"),
        ("/v1/payment_methods", {"customer": "cus_1", "created[gte]": "1"}, "created", "parameter_unknown"),
        ("/v1/charges", {"starting_after": "ch_none"}, "starting_after", "resource_missing"),
        ("/v1/charges", {"starting_after": "ch_1", "ending_before": "ch_2"}, "ending_before", None),
        ("/v1/events", {"types[]": ["charge.succeeded"] * 21}, "types", None),
        ("/v1/subscription_items", {}, "subscription", "parameter_missing"),
        ("/v1/charges", {"expand[]": "customer"}, "expand", None),
        ("/v1/charges", {"expand[]": "data.amount"}, "expand", None),
        ("/v1/charges", {"expand[]": "data.nothing"}, "expand", None),
        ("/v1/charges", {"expand[]": "data.customer.nothing"}, "expand", None),
        ("/v1/subscriptions", {"expand[]": "data.items.data.price.product"}, "expand", None),
    ],
)
def test_wrong_questions_are_refused_by_name(client: Any, path: str, params: dict[str, Any], param: str, code: str | None) -> None:
    """The error says which parameter."""
    refused = client.get(path, params)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["type"], error["param"], error.get("code")) == ("invalid_request_error", param, code)


def test_expansion_puts_objects_in_place_of_ids(account: Account, client: Any) -> None:
    """Up to four levels, through lists and hashes, and fields that only come on request."""
    charge = next(each for each in account.objects("charge") if each["amount_refunded"])
    plain = client.get(f"/v1/charges/{charge['id']}").json()
    assert "refunds" not in plain
    full = client.get(f"/v1/charges/{charge['id']}", {"expand[]": ["refunds", "balance_transaction.source", "customer"]}).json()
    assert full["refunds"]["data"][0]["charge"] == charge["id"]
    assert full["balance_transaction"]["source"]["id"] == charge["id"]
    assert full["customer"]["object"] == "customer"
    page = client.get(
        "/v1/invoices", {"limit": 5, "status": "paid", "expand[]": ["data.payments", "data.customer", "data.lines.data.discounts"]}
    ).json()
    for each in page["data"]:
        assert each["customer"]["object"] == "customer"
        if each["amount_paid"]:
            assert each["payments"]["data"][0]["payment"]["payment_intent"].startswith("pi_")
    session = client.get("/v1/checkout/sessions", {"limit": 1, "expand[]": "data.line_items"}).json()["data"][0]
    assert session["line_items"]["data"][0]["amount_total"] == session["amount_total"]
    running = next(each for each in account.objects("subscription") if each["status"] == "active")
    person = client.get(
        f"/v1/customers/{running['customer']}", {"expand[]": ["subscriptions", "invoice_settings.default_payment_method"]}
    ).json()
    assert running in person["subscriptions"]["data"]
    assert person["invoice_settings"]["default_payment_method"]["object"] == "payment_method"
    four = client.get(f"/v1/subscriptions/{running['id']}", {"expand[]": "items.data.price.product"}).json()
    assert four["items"]["data"][0]["price"]["product"]["object"] == "product"


def test_expansion_leaves_the_stored_object_alone(client: Any) -> None:
    """The next answer without expand is the old one."""
    before = client.get("/v1/charges", {"limit": 3}).content
    client.get("/v1/charges", {"limit": 3, "expand[]": ["data.customer", "data.refunds"]})
    assert client.get("/v1/charges", {"limit": 3}).content == before


def test_account_and_balance_stand_alone(account: Account, client: Any) -> None:
    """One object each; the account was made when its history begins."""
    shown = client.get("/v1/account").json()
    assert shown["id"] == account.id
    assert shown["created"] <= account.objects("price")[-1]["created"]
    assert client.get("/v1/balance").json() == account.balance()
