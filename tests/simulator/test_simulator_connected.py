"""Connected accounts: a platform lists them, a header selects one, and a thousand of them are cheap."""

from typing import Any

import httpx
import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.connections import KEPT

NOW = 1_790_000_123


@pytest.fixture(scope="module")
def platform() -> Account:
    return Account(seed=6, customers=20, now=NOW, months=6, connected=12, connected_customers=8)


def head(account_id: str) -> dict[str, str]:
    return {"stripe-account": account_id}


def test_the_platform_lists_them_and_not_itself(platform: Account, ask: Any) -> None:
    """Each by its id, and the own account too, as `/v1/accounts/{account}`."""
    client = ask(platform)
    listed = client.everything("/v1/accounts")
    assert len(listed) == 12
    assert platform.id not in {each["id"] for each in listed}
    assert {each["type"] for each in listed} == {"custom", "express", "standard"}
    assert client.get(f"/v1/accounts/{listed[3]['id']}").json() == listed[3]
    assert client.get(f"/v1/accounts/{platform.id}").json() == platform.account()
    assert client.get("/v1/account", headers=head(listed[3]["id"])).json()["id"] == listed[3]["id"]
    assert client.get("/v1/account", headers=head(listed[3]["id"])).json()["created"] == listed[3]["created"]


def test_transfers_go_to_accounts_that_are_there() -> None:
    account = Account(seed=6, customers=400, now=NOW)
    assert account.objects("transfer")
    assert {each["destination"] for each in account.objects("transfer")} <= {each["id"] for each in account.objects("/v1/accounts")}


def test_each_has_its_own_objects_and_events(platform: Account, ask: Any) -> None:
    """Nothing of the platform's, nothing of another's."""
    client = ask(platform)
    seen: set[str] = set()
    for account_id in (None, *platform.connections.ids):
        headers = head(account_id) if account_id else {}
        ids = {
            each["id"]
            for path in ("/v1/customers", "/v1/events")
            for each in client.get(path, {"limit": 100}, headers=headers).json()["data"]
        }
        assert ids
        assert not ids & seen
        seen |= ids
        if account_id:
            assert client.get("/v1/accounts", headers=headers).json()["data"] == []


def test_an_unknown_account_is_refused(platform: Account, ask: Any) -> None:
    """403, as Stripe answers it: the key and the account are named."""
    refused = ask(platform).get("/v1/charges", headers=head("acct_unknown"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "account_invalid")
    assert "'acct_unknown'" in refused.json()["error"]["message"]
    stranger = next(iter(platform.connections.ids))
    linked = platform.linked(stranger)
    assert linked is not None
    assert ask(linked).get("/v1/charges", headers=head(platform.id)).status_code == 403


def test_limits_are_those_of_each_account(platform: Account, ask: Any) -> None:
    """Requests about one do not use up the others' seconds."""
    client = ask(platform, account_limit=2)
    one, two = list(platform.connections.ids)[:2]

    async def talk(http: httpx.AsyncClient) -> list[int]:
        return [
            (await http.get("/v1/charges", headers=head(name) if name else {})).status_code for name in (one, one, one, two, "", "", "")
        ]

    assert client.run(talk) == [200, 200, 429, 200, 200, 200, 429]
    assert [each.account for each in client.app.requests] == [one, one, one, two, platform.id, platform.id, platform.id]


def test_time_passes_for_all_of_them(ask: Any) -> None:
    """A connected account is asked for when it is needed: it then is as old as the platform, with what happened meanwhile."""
    platform = Account(seed=6, customers=5, now=NOW, months=6, connected=3, connected_customers=30)
    account_id = next(iter(platform.connections.ids))
    client = ask(platform)
    before = client.everything("/v1/events", limit=100)
    platform.advance(10)
    linked = platform.linked(account_id)
    assert linked is not None
    assert linked.now == platform.now
    assert any(each["created"] > NOW for each in linked.objects("event"))
    assert client.everything("/v1/events") != before


def test_what_nobody_changed_is_forgotten_and_told_again(ask: Any) -> None:
    """A thousand accounts in memory would be a gigabyte; from their seeds they come back as they were."""
    platform = Account(seed=6, customers=5, now=NOW, months=3, connected=2 * KEPT, connected_customers=3)
    client = ask(platform)
    ids = list(platform.connections.ids)
    first = platform.linked(ids[0])
    assert first is not None
    edited = first.objects("customer")[0]["id"]
    first.edit("customer", edited, name="Edited")
    second = client.get("/v1/customers", headers=head(ids[1])).json()
    linked = platform.linked(ids[1])
    for account_id in ids[2:]:
        assert client.get("/v1/customers", headers=head(account_id)).status_code == 200
    assert platform.linked(ids[1]) is not linked
    assert client.get("/v1/customers", headers=head(ids[1])).json() == second
    assert platform.linked(ids[0]) is first
    assert client.get(f"/v1/customers/{edited}", headers=head(ids[0])).json()["name"] == "Edited"


def test_a_thousand_cost_nothing_until_they_are_asked_for() -> None:
    """Their ids and what the platform lists of them; none of them is told."""
    platform = Account(seed=6, customers=5, now=NOW, months=3, connected=1000)
    assert len(platform.objects("/v1/accounts")) == len(platform.connections.ids) == 1000
    assert platform.connections.held == 0
    assert len(platform.objects("capability")) == 4000


def test_control_paths_speak_of_the_account_in_the_header(ask: Any) -> None:
    platform = Account(seed=6, customers=5, now=NOW, months=3, connected=2)
    client = ask(platform)
    account_id = next(iter(platform.connections.ids))
    linked = platform.linked(account_id)
    assert linked is not None
    assert client.get("/_simulator/objects/customer", headers=head(account_id)).json() == linked.objects("customer") != []
    client.post("/_simulator/field", params={"object": "customer", "field": "email", "change": "vanish"}, headers=head(account_id))
    assert all("email" not in each for each in linked.objects("customer"))
    assert all("email" in each for each in platform.objects("customer"))
    assert client.get("/_simulator/placed//v1/customers/{customer}/tax_ids", headers=head(account_id)).json() == [
        list(each) for each in linked.placed("customer_tax_id")
    ]
    assert client.get("/_simulator/listed/review", headers=head(account_id)).json() == linked.listed("review")
    assert client.get("/_simulator/truth", headers=head("acct_none")).status_code == 404
