"""What Stripe does not promise of events: each way of telling a change that a mirror has to bear."""

from typing import Any

from stripe_assets.simulator.account import Account

OLD = "2020-08-27"


def events(client: Any, **params: Any) -> list[dict[str, Any]]:
    return list(client.get("/v1/events", {"limit": 100, **params}).json()["data"])


def test_changes_are_told_twice(fresh: Account, ask: Any) -> None:
    """Two events of one change, with ids of their own."""
    fresh.tell(twice=True)
    coupon = fresh.create("coupon")
    first, second = events(ask(fresh), type="coupon.created")[:2]
    assert first["id"] != second["id"]
    assert {key: first[key] for key in first if key != "id"} == {key: second[key] for key in second if key != "id"}
    assert first["data"]["object"]["id"] == coupon
    fresh.tell(twice=False)
    fresh.edit("coupon", coupon, name="Once")
    assert len([each for each in events(ask(fresh), type="coupon.updated") if each["data"]["object"]["id"] == coupon]) == 1


def test_events_of_one_second_stand_in_the_wrong_order(fresh: Account, ask: Any) -> None:
    """Pages by cursor stay whole all the same."""
    customer = fresh.objects("customer")[0]["id"]
    fresh.tell(backwards=True)
    for number in range(3):
        fresh.edit("customer", customer, description=str(number))
    client = ask(fresh)
    shown = events(client, type="customer.updated", **{"created[gte]": fresh.now})
    assert [each["data"]["object"]["description"] for each in shown] == ["0", "1", "2"]
    one_by_one = client.everything("/v1/events?limit=1", type="customer.updated", **{"created[gte]": str(fresh.now)})
    assert [each["id"] for each in one_by_one] == [each["id"] for each in shown]


def test_events_keep_the_shape_of_the_version_they_were_made_at(fresh: Account, ask: Any) -> None:
    """`Stripe-Version` does not change them; the object itself has today's shape."""
    fresh.tell(version=OLD)
    coupon = fresh.create("coupon", percent_off=25)
    client = ask(fresh)
    told = events(client, type="coupon.created")[0]
    assert told["api_version"] == OLD
    assert (told["data"]["object"]["id"], told["data"]["object"]["percent_off"]) == (coupon, {"as_of": OLD})
    assert client.get(f"/v1/coupons/{coupon}").json()["percent_off"] == 25
    fresh.tell(version=None)
    fresh.edit("coupon", coupon, name="New")
    assert events(client, type="coupon.updated")[0]["data"]["object"]["percent_off"] == 25


def test_what_was_just_written_is_in_its_list_only_later(fresh: Account, ask: Any) -> None:
    """Each after a time of its own, so that they appear in another order than they were made; retrieving finds it at once."""
    fresh.tell(late=30)
    client = ask(fresh)
    made = [fresh.create("coupon") for _ in range(20)]
    hidden = [set(made) - {each["id"] for each in client.everything("/v1/coupons")}]
    assert client.get(f"/v1/coupons/{next(iter(hidden[0]))}").status_code == 200
    told = {each["data"]["object"]["id"] for each in events(client, type="coupon.created")}
    assert set(made) - told
    for _ in range(3):
        fresh.advance(days=10 / 86_400)
        hidden.append(set(made) - {each["id"] for each in client.everything("/v1/coupons")})
    assert 10 < len(hidden[0]) > len(hidden[1]) > len(hidden[2]) > len(hidden[3]) == 0
    assert {each["data"]["object"]["id"] for each in events(client, type="coupon.created")} >= set(made)
    assert {each["id"] for each in fresh.objects("coupon")} >= set(made)


def test_a_cursor_of_events_ages_out(fresh: Account, ask: Any) -> None:
    """After 30 days: 400, as for a deleted object; and what is older is in no list."""
    client = ask(fresh)
    fresh.create("coupon")
    cursor = events(client)[0]["id"]
    fresh.advance(days=29.9)
    assert client.get("/v1/events", {"starting_after": cursor}).status_code == 200
    fresh.advance(days=0.2)
    refused = client.get("/v1/events", {"starting_after": cursor})
    assert refused.status_code == 400
    assert (refused.json()["error"]["code"], refused.json()["error"]["param"]) == ("resource_missing", "starting_after")
    assert min(each["created"] for each in client.everything("/v1/events")) >= fresh.now - 30 * 86_400
