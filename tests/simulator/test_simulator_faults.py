"""Faults: what each does to an answer, in the process and over a socket, and which request meets it."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.delivery import DRIP_SECONDS, SURPLUS
from stripe_assets.simulator.faults import CUT, NAMES, SERVED, UNSENT, Faults
from stripe_assets.simulator.http import application
from stripe_assets.simulator.server import serve, serving

BEARER = {"authorization": "Bearer sk_test_simulator"}
FEW: Any = {"limit": 3}


def statuses(client: Any, *paths: str) -> list[int | str]:
    """Ask for each path in turn; give the statuses, or the error's name."""

    async def talk(http: httpx.AsyncClient) -> list[int | str]:
        found: list[int | str] = []
        for path in paths:
            try:
                found.append((await http.get(path)).status_code)
            except httpx.TransportError as error:
                found.append(type(error).__name__)
        return found

    return client.run(talk)  # type: ignore[no-any-return]


def test_faults_strike_exactly_the_planned_requests(account: Account, ask: Callable[..., Any]) -> None:
    """By number, by path and turn, by path alone, by path and query: so that a test can say what happens when."""
    plan = {
        2: "server-error",
        ("/v1/customers", 2): "conflict",
        ("/v1/cou*", 2): "reset",
        "/v1/invoices": "unavailable",
        "/v1/charges?limit=7": "html",
    }
    client = ask(account, faults=Faults.planned(plan))
    asked = "balance balance customers coupons customers coupons customers invoices charges charges?limit=7 charges?limit=7 invoices"
    assert statuses(client, *(f"/v1/{each}" for each in asked.split())) == [
        200, 500, 200, 200, 409, "ReadError", 200, 503, 200, 502, 502, 503
    ]  # fmt: skip


def test_the_plan_may_change_while_the_account_is_served(account: Account, ask: Callable[..., Any]) -> None:
    """A next run without the fault has to mend what the fault has left."""
    client = ask(account, faults=Faults.planned({"/v1/*": "server-error"}))
    assert statuses(client, "/v1/charges") == [500]
    client.app.faults = Faults()
    assert statuses(client, "/v1/charges") == [200]


def test_faults_by_chance_do_not_depend_on_the_order_of_requests(account: Account, ask: Callable[..., Any]) -> None:
    """With many connections no two runs ask in the same order: a failing one is replayed by its seed all the same."""
    paths = [f"/v1/charges?limit={number}" for number in range(1, 81)]
    first, second, third = (ask(account, faults={"server-error": 0.3}, seed=seed) for seed in (4, 4, 5))
    forwards = dict(zip(paths, statuses(first, *paths), strict=True))
    backwards = dict(zip(reversed(paths), statuses(second, *reversed(paths)), strict=True))
    other = dict(zip(paths, statuses(third, *paths), strict=True))
    assert forwards == backwards != other
    assert 10 < list(forwards.values()).count(500) < 40
    assert statuses(first, *paths) != list(forwards.values())  # a second time the same request may meet something else


def test_planned_faults_must_exist() -> None:
    """A misspelt fault would be a test that tests nothing."""
    with pytest.raises(ValueError, match="unknown fault earthquake; there are: concurrency"):
        Faults.planned({1: "earthquake"})


def test_what_comes_instead_of_an_answer(account: Account, ask: Callable[..., Any]) -> None:
    """Each with a status and a type that a careless reader takes for an answer."""
    found = {name: ask(account, faults={name: 1.0}).get("/v1/charges") for name in ("login-page", "empty-object", "no-data", "empty-page")}
    assert {each.status_code for each in found.values()} == {200}
    assert found["login-page"].text.startswith("<html>")
    assert found["empty-object"].json() == {}
    assert "data" not in found["no-data"].json()
    assert (found["empty-page"].json()["data"], found["empty-page"].json()["has_more"]) == ([], True)


def test_garbled_bytes_are_no_answer_packed_or_not(account: Account, ask: Callable[..., Any]) -> None:
    """The length fits, the status is 200, the middle is noise."""
    client = ask(account, faults={"garbled": 1.0})
    with pytest.raises(httpx.DecodingError):
        client.get("/v1/charges", FEW, headers={"accept-encoding": "gzip"})
    plain = client.get("/v1/charges", FEW, headers={"accept-encoding": "identity"})
    assert (plain.status_code, len(plain.content)) == (200, int(plain.headers["content-length"]))
    with pytest.raises(UnicodeDecodeError):
        json.loads(plain.content)


def test_an_answer_that_drips_in_comes_a_byte_a_second(account: Account, ask: Callable[..., Any]) -> None:
    """No time limit between two bytes ever ends it."""
    client = ask(account, faults={"drip": 1.0})

    async def talk(http: httpx.AsyncClient) -> tuple[bytes, float]:
        content = (await http.get("/v1/balance")).content
        return content, asyncio.get_running_loop().time()

    content, seconds = client.run(talk)
    assert json.loads(content) == account.balance()
    assert seconds == len(content) * DRIP_SECONDS


def test_wrong_lengths_are_announced_over_a_socket(account: Account) -> None:
    """Longer: the connection ends before; shorter: the rest comes as well, and is the beginning of nothing."""
    with serving(account, faults={"too-long": 1.0}) as server:
        head, body = spoken(server.port, b"GET /v1/balance")
    assert json.loads(body) == account.balance()
    assert announced(head) == len(body) + SURPLUS
    with serving(account, faults={"too-short": 1.0}) as server:
        head, body = spoken(server.port, b"GET /v1/balance")
    assert json.loads(body) == account.balance()
    assert announced(head) == len(body) // 2


def spoken(port: int, line: bytes) -> tuple[bytes, bytes]:
    """Speak HTTP without a client; give head and all that follows within a moment."""

    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(line + b" HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk_test_simulator\r\n\r\n")
        connection.settimeout(0.3)
        heard = b""
        while True:
            try:
                piece = connection.recv(65_536)
            except TimeoutError:
                break
            if not piece:
                break
            heard += piece
    head, _, body = heard.partition(b"\r\n\r\n")
    return head, body


def announced(head: bytes) -> int:
    return next(int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))


@pytest.mark.parametrize("name", ["timeout", "drip"])
def test_a_server_does_not_wait_for_who_has_left(account: Account, name: str) -> None:
    """What is asked next is answered, and the server ends at once when told to."""
    with serving(account, faults=Faults.planned({1: name})) as server, httpx.Client(base_url=server.url, headers=BEARER) as client:
        began = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            client.get("/v1/charges", timeout=0.2) if name == "timeout" else _first_byte(client)
        assert client.get("/v1/charges").status_code == 200
    assert time.monotonic() - began < 10


def _first_byte(client: httpx.Client) -> None:
    with client.stream("GET", "/v1/charges", timeout=3) as answer:
        next(answer.iter_raw(1))
    raise httpx.ReadTimeout("left after the first byte")


def test_a_fault_that_no_server_can_serve_is_refused_by_one(account: Account) -> None:
    """A name that cannot be looked up leads to no server."""
    assert set(NAMES) - set(SERVED) == UNSENT == {"dns"}
    for begin in (serve, serving):
        with pytest.raises(ValueError, match="no server can serve the fault dns"):
            begin(account, faults={"dns": 0.1}).__enter__()  # type: ignore[union-attr]  # `serve` raises before it gives anything


def test_without_a_line_torn_connections_are_still_errors(account: Account) -> None:
    """Under httpx's own transport, which other tests use: never an answer."""

    async def talk(name: str) -> None:
        transport = httpx.ASGITransport(application(account, faults={name: 1.0}))  # type: ignore[arg-type]  # an ASGI callable
        async with httpx.AsyncClient(transport=transport, base_url="http://simulator", headers=BEARER) as client:
            await client.get("/v1/charges")

    for name in (*CUT, "dns"):
        with pytest.raises(ConnectionResetError):
            asyncio.run(talk(name))
