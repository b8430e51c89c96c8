"""Keys, limits, faults, headers, control paths, and the real socket."""

import asyncio
import gzip
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import NAMES, SERVED
from stripe_assets.simulator.http import application
from stripe_assets.simulator.server import serve, serving

TORN: dict[str, tuple[type[httpx.TransportError], str]] = {
    "reset": (httpx.ReadError, "reset by peer"),
    "truncated": (httpx.RemoteProtocolError, "without sending complete message"),
    "too-long": (httpx.RemoteProtocolError, "without sending complete message"),
    "timeout": (httpx.ReadTimeout, "timed out|no byte"),
    "dns": (httpx.ConnectError, "Name or service not known"),
}
"""What httpx tells of each, the same over a socket and in the process."""
BEARER = {"authorization": "Bearer sk_test_simulator"}
ROOM = Path(__file__).parents[2] / "stripe_assets" / "simulator"


def test_the_simulator_imports_nothing_else_of_the_package() -> None:
    """A belief that both sides share is a belief that no test can find wrong."""
    for path in ROOM.glob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].startswith("stripe_assets"):
                assert words[1].startswith("stripe_assets.simulator"), (path.name, line)


def test_without_or_with_a_wrong_key_nothing_is_told(account: Account, ask: Any) -> None:
    """The key itself is not echoed but for its end."""
    assert ask(account, key=None).get("/v1/charges").status_code == 401
    refused = ask(account, key="sk_test_51Habcdefghijklmnop9876").get("/v1/charges")
    assert refused.status_code == 401
    assert refused.json()["error"]["message"].endswith("9876")
    assert "51Habc" not in refused.text
    assert ask(account, key=None).get("/v1/charges", auth=("sk_test_simulator", "")).status_code == 200
    assert ask(account, key="sk_live_my_simulator").get("/v1/charges").status_code == 200


@pytest.mark.parametrize("named", ["charge", "charges"])
def test_a_restricted_key_reads_all_but_what_it_may_not(account: Account, ask: Any, named: str) -> None:
    """The message names the permission, so that a user knows what to switch on."""
    client = ask(account, key="rk_test_reader_12345678", keys={"rk_test_reader_12345678": {named, "checkout_sessions"}})
    refused = client.get("/v1/charges")
    assert refused.status_code == 403
    assert "does not have the required permissions" in refused.json()["error"]["message"]
    assert "'rak_charge_read'" in refused.json()["error"]["message"]
    assert client.get("/v1/checkout/sessions").status_code == 403
    assert client.get("/v1/customers").status_code == 200


def test_paths_methods_versions_and_accounts_are_checked(account: Account, client: Any) -> None:
    """Each with Stripe's status."""
    assert client.get("/v1/unicorns").status_code == 404
    assert client.get("/v1/charges/ch_none").json()["error"]["code"] == "resource_missing"
    assert client.get("/v1/invoices/in_none/lines").status_code == 404
    assert client.post("/v1/charges").status_code == 405
    assert client.get("/v1/charges", headers={"stripe-version": "newest"}).status_code == 400
    assert client.get("/v1/charges", headers={"stripe-version": "2024-06-20"}).headers["stripe-version"] == "2024-06-20"
    assert client.get("/v1/charges", headers={"stripe-account": "acct_other"}).status_code == 403
    assert client.get("/v1/charges", headers={"stripe-account": account.id}).status_code == 200


def test_every_answer_has_a_request_id_and_the_simulated_date(client: Any) -> None:
    """Errors too."""
    answers = [client.get(path) for path in ("/v1/charges", "/v1/unicorns", "/v1/charges?limit=0")]
    assert len({each.headers["request-id"] for each in answers}) == 3
    assert {each.headers["date"] for each in answers} == {"Mon, 21 Sep 2026 14:15:23 GMT"}


def test_pages_are_compressed_when_accepted(client: Any) -> None:
    """The same content either way; tiny bodies are sent as they are."""
    packed = client.get("/v1/charges?limit=50", headers={"accept-encoding": "gzip"})
    plain = client.get("/v1/charges?limit=50", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert "content-encoding" not in client.get("/v1/unicorns", headers={"accept-encoding": "gzip"}).headers


def test_the_account_limit_is_a_sliding_second(account: Account, ask: Any) -> None:
    """Refused requests do not count, and one second after the first there is room again."""
    client = ask(account, account_limit=5, endpoint_limit=4)

    async def talk(http: httpx.AsyncClient) -> list[tuple[int, str | None]]:
        paths = ["/v1/charges"] * 5 + ["/v1/customers"] * 2
        answers = [await http.get(path) for path in paths]
        await asyncio.sleep(0.9)
        answers.append(await http.get("/v1/customers"))
        await asyncio.sleep(0.11)
        answers.append(await http.get("/v1/charges"))
        return [(each.status_code, each.headers.get("stripe-rate-limited-reason")) for each in answers]

    fine, whole, each = (200, None), (429, "global-rate"), (429, "endpoint-rate")
    assert client.run(talk) == [fine, fine, fine, fine, each, fine, whole, whole, fine]
    assert client.app.stats.throttled == {"global-rate": 2, "endpoint-rate": 1}
    assert client.app.stats.peak == 8
    assert client.app.stats.peaks == {"GET /v1/charges": 5, "GET /v1/customers": 3}


def test_all_ids_of_one_retrieve_share_an_endpoint(account: Account, ask: Any) -> None:
    """And the list beside it is another."""
    client = ask(account, endpoint_limit=2)
    ids = [each["id"] for each in account.objects("charge")[:3]]

    async def talk(http: httpx.AsyncClient) -> list[int]:
        return [(await http.get(path)).status_code for path in (*(f"/v1/charges/{object_id}" for object_id in ids), "/v1/charges")]

    assert client.run(talk) == [200, 200, 429, 200]
    assert [each.endpoint for each in client.app.requests] == ["GET /v1/charges/{charge}"] * 3 + ["GET /v1/charges"]


def test_latency_is_the_least_time_of_an_answer(account: Account, ask: Any) -> None:
    """The limit counts at arrival: ten at once are ten in one second though each takes half."""
    client = ask(account, latency=0.5, account_limit=6)

    async def talk(http: httpx.AsyncClient) -> tuple[float, list[int]]:
        began = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(http.get("/v1/charges") for _ in range(10)))
        return asyncio.get_running_loop().time() - began, sorted(each.status_code for each in answers)

    took, statuses = client.run(talk)
    assert 0.5 <= took < 0.6
    assert statuses == [200] * 6 + [429] * 4


def test_requests_are_remembered(account: Account, ask: Any) -> None:
    """With their parameters, repeated ones together."""
    client = ask(account)
    answer = client.get("/v1/charges", {"limit": 3, "expand[]": ["data.customer", "data.refunds"]})
    (request,) = client.app.requests
    assert (request.method, request.path, request.endpoint, request.status) == ("GET", "/v1/charges", "GET /v1/charges", 200)
    assert request.params == {"limit": "3", "expand[]": ("data.customer", "data.refunds")}
    assert request.request_id == answer.headers["request-id"]


@pytest.mark.parametrize(
    ("fault", "status", "code", "reason", "retry"),
    [
        ("rate-limit", 429, "rate_limit", "global-rate", None),
        ("endpoint-rate-limit", 429, "rate_limit", "endpoint-rate", None),
        ("concurrency", 429, "rate_limit", "global-concurrency", None),
        ("endpoint-concurrency", 429, "rate_limit", "endpoint-concurrency", None),
        ("lock-timeout", 429, "lock_timeout", None, None),
        ("server-error", 500, None, None, None),
        ("unavailable", 503, None, None, "true"),
        ("conflict", 409, None, None, None),
    ],
)
def test_faults_that_answer_in_stripes_form(
    account: Account, ask: Any, fault: str, status: int, code: str | None, reason: str | None, retry: str | None
) -> None:
    """Status, code and the headers that tell what to do."""
    answer = ask(account, faults={fault: 1.0}).get("/v1/charges")
    assert (answer.status_code, answer.json()["error"].get("code")) == (status, code)
    assert answer.headers.get("stripe-rate-limited-reason") == reason
    assert answer.headers.get("stripe-should-retry") == retry


def test_faults_of_the_way(account: Account, ask: Any) -> None:
    """A proxy's page, broken JSON, five seconds, and what httpx tells of a broken line."""
    page = ask(account, faults={"html": 1.0}).get("/v1/charges")
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    broken = ask(account, faults={"corrupt": 1.0}).get("/v1/charges")
    assert broken.status_code == 200
    with pytest.raises(ValueError, match="line 1"):
        broken.json()
    slow = ask(account, faults={"slow": 1.0})

    async def talk(http: httpx.AsyncClient) -> float:
        await http.get("/v1/charges", timeout=10)
        return asyncio.get_running_loop().time()

    assert slow.run(talk) >= 5
    for fault, (kind, words) in TORN.items():
        with pytest.raises(kind, match=words):
            ask(account, faults={fault: 1.0}).get("/v1/charges")


def test_faults_are_seeded_and_near_their_rate(account: Account, ask: Any) -> None:
    """The same seed strikes the same requests."""

    async def talk(http: httpx.AsyncClient) -> list[int]:
        return [(await http.get("/v1/balance")).status_code for _ in range(300)]

    one, two, other = (ask(account, faults={"server-error": 0.2, "conflict": 0.1}, seed=seed).run(talk) for seed in (1, 1, 2))
    assert one == two != other
    assert 40 <= one.count(500) <= 80
    assert 15 <= one.count(409) <= 45


def test_an_unknown_fault_names_those_there_are(account: Account) -> None:
    """A misspelt fault would be a test that tests nothing."""
    with pytest.raises(ValueError, match="rate-limit") as caught:
        application(account, faults={"earthquake": 0.5})
    assert all(name in str(caught.value) for name in NAMES)
    with pytest.raises(ValueError, match="from 0 to 1"):
        application(account, faults={"html": 5})


def test_control_paths_tell_what_the_account_tells(fresh: Account, ask: Any) -> None:
    """For tests that run the simulator as another process."""
    client = ask(fresh, key=None)
    now = fresh.now
    assert client.post("/_simulator/advance", params={"days": "1.5"}).json() == {"now": now + 129_600}
    assert fresh.now == now + 129_600
    assert client.get("/_simulator/objects/charge").json() == fresh.objects("charge")
    assert client.get("/_simulator/objects/line_item").json() == fresh.objects("line_item")
    assert client.get("/_simulator/deleted/coupon").json() == fresh.deleted("coupon")
    truth = client.get("/_simulator/truth").json()
    revenue = {(each["date"], each["currency"]): each["gross"] for each in truth["revenue_daily"]}
    assert revenue == {key: each.gross for key, each in fresh.truth().revenue_daily.items()}
    assert {each["at"] for each in truth["mrr"]} <= {*truth["month_ends"], fresh.now}
    ask_key = {"authorization": "Bearer sk_test_simulator"}
    client.get("/v1/charges", headers=ask_key)
    assert client.get("/_simulator/stats").json()["answers"] == {"GET /v1/charges": {"200": 1}}
    assert [each["path"] for each in client.get("/_simulator/requests").json()] == ["/v1/charges"]
    assert client.get("/_simulator/objects/unicorn").status_code == 404
    assert client.post("/_simulator/advance", params={"days": "soon"}).status_code == 400


def test_a_real_socket_answers_and_is_cut(account: Account) -> None:
    """Resets and truncations are seen by a client as they are on a real line."""
    with serving(account) as server, httpx.Client(base_url=server.url, headers=BEARER) as client:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert client.get("/v1/charges", params={"limit": 100}).json()["data"] == account.objects("charge")[:100]
        assert len(server.app.requests) == 1
        raw = client.send(client.build_request("GET", "/v1/charges", headers={"accept-encoding": "gzip"}), stream=True)
        assert gzip.decompress(b"".join(raw.iter_raw())).startswith(b'{"object":"list"')
    for fault, (kind, words) in TORN.items():
        if fault in SERVED:
            with serving(account, faults={fault: 1.0}) as server, httpx.Client(base_url=server.url, headers=BEARER, timeout=0.5) as client:
                for _ in range(2):
                    with pytest.raises(kind, match=words):
                        client.get("/v1/charges")


def test_the_port_is_free_again_and_a_taken_one_is_named(account: Account) -> None:
    """The server ends with its block; the error says which port."""
    with serving(account) as server:
        port = server.port
        with pytest.raises(OSError, match=f"port {port} on 127.0.0.1 cannot be used"), serving(account, port=port):
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/v1/charges")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="choose another"):
            serve(account, port=taken.getsockname()[1])


def test_time_may_pass_in_another_thread_while_pages_are_read(fresh: Account) -> None:
    """Every page stays whole: no id twice, none out of order."""
    with serving(fresh) as server, httpx.Client(base_url=server.url, headers=BEARER) as client:
        passing = threading.Thread(target=fresh.advance, args=(60,))
        passing.start()
        rounds = 0
        while passing.is_alive() or rounds < 3:
            rounds += 1
            page = client.get("/v1/events", params={"limit": 100}).raise_for_status().json()["data"]
            stamps = [each["created"] for each in page]
            assert stamps == sorted(stamps, reverse=True)
            assert len({each["id"] for each in page}) == len(page)
        passing.join()


def test_a_live_account_goes_on_changing(fresh: Account) -> None:
    """Its clock runs and its events grow while it is served."""
    before = fresh.now, len(fresh.objects("event"))
    with serving(fresh, live=True) as server, httpx.Client(base_url=server.url, headers=BEARER) as client:
        while client.get("/v1/events", params={"type": "customer.updated", "created[gt]": before[0]}).json()["data"] == []:
            pass
    assert (fresh.now, len(fresh.objects("event"))) > before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_in_the_foreground_ends_on_a_signal(number: signal.Signals) -> None:
    """Quietly and with status 0, so that a shell script can go on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (
        "from stripe_assets.simulator.account import Account\nfrom stripe_assets.simulator.server import serve\n"
        f"serve(Account(customers=5, now=1790000123), port={port})\n"
    )
    with (
        subprocess.Popen([sys.executable, "-c", words], cwd=ROOM.parents[1]) as served,
        httpx.Client(transport=httpx.HTTPTransport(retries=6), headers=BEARER, timeout=10) as client,
    ):
        assert client.get(f"http://127.0.0.1:{port}/v1/account").status_code == 200
        served.send_signal(number)
        assert served.wait(10) == 0
