"""Version 2: pages by a token, times as text, nothing to expand. And lists of version 1 that are odd in other ways."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.periods import written

PATHS = ("/v2/core/accounts", "/v2/core/events", "/v2/core/event_destinations", "/v2/commerce/product_catalog/imports")


def pages(client: Any, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    page = client.get(path, params).json()
    yield page
    while page["next_page_url"] is not None:
        page = client.get(page["next_page_url"]).json()
        yield page


@pytest.mark.parametrize("path", PATHS)
def test_pages_go_on_by_the_address_that_they_give(account: Account, client: Any, path: str) -> None:
    """What was asked is in the address of the next page; the last one has none."""
    whole = [each for page in pages(client, path, limit=100) for each in page["data"]]
    small = list(pages(client, path, limit=2))
    assert [each for page in small for each in page["data"]] == whole
    assert len(small) == -(-len(whole) // 2)
    assert {len(page["data"]) for page in small[:-1]} <= {2}
    assert all({"data", "next_page_url", "previous_page_url"} == page.keys() for page in small)
    assert set(account.listed(path)) >= {each["id"] for each in whole}
    if len(small) > 1:
        asked = dict(parse_qsl(urlsplit(small[0]["next_page_url"]).query))
        assert asked["limit"] == "2"
        assert asked["page"]


def test_filters_stay_in_the_address(client: Any) -> None:
    closed = list(pages(client, "/v2/core/accounts", limit=1, closed="true"))
    assert len(closed) > 1
    assert all(each["closed"] for page in closed for each in page["data"])


@pytest.mark.parametrize("name", ["expand[]", "starting_after", "ending_before", "offset"])
def test_what_version_two_does_not_know_is_refused(client: Any, name: str) -> None:
    refused = client.get("/v2/core/accounts", {name: "data.x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "parameter_unknown")


def test_a_page_token_that_is_none_is_refused(client: Any) -> None:
    for token in ("nonsense", "%%%", ""):
        assert client.get("/v2/core/events", {"page": token}).status_code == 400


def test_a_token_outlives_the_object_it_was_made_of(fresh: Account, ask: Any) -> None:
    """Unlike a cursor of version 1."""
    client = ask(fresh)
    first = client.get("/v2/core/event_destinations", {"limit": 1}).json()
    fresh.delete("v2.core.event_destination", first["data"][0]["id"])
    rest = client.get(first["next_page_url"]).json()
    assert rest["data"] == fresh.objects("v2.core.event_destination")[:1]


def test_times_are_text_in_answers_and_in_questions(account: Account, client: Any) -> None:
    """Bounds of `created` as ISO 8601."""
    events = account.objects("v2.core.event")
    middle = events[len(events) // 2]["created"]
    assert middle.endswith("Z")
    found = client.get("/v2/core/events", {"limit": 100, "created[gte]": middle}).json()["data"]
    assert found == [each for each in events if each["created"] >= middle][:100]
    assert written(account.now) > middle
    assert client.get("/v2/core/events", {"created[gte]": "yesterday"}).status_code == 400


def test_lists_that_come_at_once_know_no_limit(account: Account, client: Any) -> None:
    """They refuse it as any parameter that they do not know."""
    assert client.get("/v1/reporting/report_types").json()["data"] == account.objects("reporting.report_type")
    refused = client.get("/v1/reporting/report_types", {"limit": 100})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "limit")


def test_aliases_show_the_same_objects(account: Account, client: Any) -> None:
    """Or the part that their path names."""
    assert client.everything("/v1/balance/history") == client.everything("/v1/balance_transactions")
    assert client.everything("/v1/linked_accounts") == client.everything("/v1/financial_connections/accounts")
    customer = account.placed("customer_source")[-1][0]
    sources = client.everything(f"/v1/customers/{customer}/sources")
    assert {each["object"] for each in sources} == {"card", "bank_account", "source"}
    for word, name in (("cards", "card"), ("bank_accounts", "bank_account")):
        assert client.everything(f"/v1/customers/{customer}/{word}") == [each for each in sources if each["object"] == name]


@pytest.mark.parametrize(
    ("path", "field", "rest"),
    [
        ("/v1/customers", "sources", "/v1/customers/{}/sources"),
        ("/v1/customers", "tax_ids", "/v1/customers/{}/tax_ids"),
        ("/v1/checkout/sessions", "line_items", "/v1/checkout/sessions/{}/line_items"),
        ("/v1/quotes", "computed.upfront.line_items", "/v1/quotes/{}/computed_upfront_line_items"),
        ("/v1/payment_intents", "amount_details.line_items", "/v1/payment_intents/{}/amount_details_line_items"),
    ],
)
def test_lists_inside_objects_come_on_request(client: Any, path: str, field: str, rest: str) -> None:
    """Ten of them, with the address of all; without the request there is no such field."""
    things = client.everything(path, **{"expand[]": f"data.{field}"})
    lengths = set()
    for thing in things[-12:]:
        within = thing
        for name in field.split("."):
            within = within[name]
        assert within["url"] == rest.format(thing["id"])
        whole = client.everything(within["url"])
        assert within["data"] == whole[:10]
        assert within["has_more"] == (len(whole) > 10)
        lengths.add(len(whole))
    assert max(lengths) >= 1
    bare = client.get(path).json()["data"][0]
    *above, last = field.split(".")
    for name in above:
        bare = bare[name]
    assert last not in bare


def test_references_to_what_was_not_asked_for_yet_are_expanded(account: Account, ask: Any) -> None:
    """An object grows when somebody names it, not only when its list is read."""
    fresh = Account(seed=3, customers=400, now=account.now)
    card = fresh.objects("issuing.card")[0]
    shown = ask(fresh).get(f"/v1/issuing/cards/{card['id']}", {"expand[]": "cardholder"}).json()
    assert shown["cardholder"] == card["cardholder"]  # it is whole at Stripe
    token = fresh.objects("issuing.token")[0]
    shown = ask(fresh).get(f"/v1/issuing/tokens/{token['id']}", {"expand[]": "card"}).json()
    assert shown["card"] == next(each for each in fresh.objects("issuing.card") if each["id"] == token["card"])
    assert ask(fresh).get(f"/v1/issuing/tokens/{token['id']}", {"expand[]": "status"}).status_code == 400
