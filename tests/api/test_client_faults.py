"""Faults over real sockets: none is taken for an answer, none spoils the next one, and each is over within bounded time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stripe_assets.api.answers import read_page
from stripe_assets.api.client import LONGEST_ANSWER, Request, StripeClient
from stripe_assets.errors import Transient
from stripe_assets.limits.limiter import Limits
from stripe_assets.limits.priority import Priority
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import SERVED, Faults
from stripe_assets.simulator.server import serving

MakeClient = Callable[..., StripeClient]
RunFast = Callable[[Any], Any]
UNLIMITED = Limits(None, None, in_flight=1)
"""One connection: what a fault leaves on it meets the next request."""


def asking(limit: int) -> Request:
    return Request("/v1/charges", "GET /v1/charges", Priority.PAGE, {"limit": limit})


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "plain"])
@pytest.mark.parametrize("name", sorted({*SERVED} - {"slow"}))
def test_a_fault_between_two_answers_spoils_neither(
    account: Account, make_client: MakeClient, run_fast: RunFast, name: str, packed: bool
) -> None:
    """What is left of a damaged answer on its connection is not taken for the beginning of the next."""
    limits = [3, 60, 2]

    async def main(url: str) -> list[list[bytes]]:
        async with make_client(base_url=url, limits=UNLIMITED) as client:
            return [[bytes(each) for each in (await client.get(asking(limit), read_page)).objects] for limit in limits]

    with serving(account, gzip=packed) as server:
        expected = run_fast(main(server.url))
        server.app.faults = Faults.planned({2: name})
        assert run_fast(main(server.url)) == expected
        assert server.app.faults.struck == [name]
        assert len(server.app.requests) == 2 * len(limits) + 1


def test_an_answer_that_drips_is_not_waited_for_without_end(account: Account, make_client: MakeClient, run_fast: RunFast) -> None:
    """A byte a second never times out between two bytes: the whole answer has a limit of its own."""

    async def main(url: str) -> str:
        async with make_client(base_url=url, limits=UNLIMITED) as client:
            with pytest.raises(Transient) as caught:
                await asyncio.wait_for(client.get(asking(60), read_page, attempts=1), 2 * LONGEST_ANSWER)
            return str(caught.value)

    with serving(account, faults={"drip": 1.0}) as server:
        assert f"it was not there after {LONGEST_ANSWER:.0f} seconds" in run_fast(main(server.url))


def test_a_name_that_is_not_known_is_told_as_that(make_client: MakeClient, run_fast: RunFast) -> None:
    """Most often it is a slip in STRIPE_API_BASE, or no network: not a fault of Stripe's."""

    async def main() -> str:
        async with make_client(base_url="http://stripe.invalid", limits=UNLIMITED) as client:
            with pytest.raises(Transient) as caught:
                await client.get(asking(1), read_page, attempts=2)
            return str(caught.value)

    said = run_fast(main())
    assert said.startswith("GET /v1/charges: no whole answer from stripe.invalid: no address is known for that name")
    assert "STRIPE_API_BASE" in said
