"""How fast slots come: the account's rate, each endpoint's, none at all, and what is told of it. All in virtual time."""

import asyncio
from collections import Counter
from math import ceil

import pytest
from limits.asking import FAN_OUT, LEAF, UNLIMITED, Served, ask, fullest, keep_asking, meet_429s, now, under_load
from virtual_time import run

from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.tally import Snapshot


@pytest.mark.parametrize("limit", [25.0, 100.0, 500.0, 12.5, 2.5, 0.5])
def test_the_accounts_rate_is_kept_in_every_second_and_used(limit: float) -> None:
    """P2, and P1: the limit is the only thing that is waited for."""
    seconds = max(12.0, 40 / limit)
    times = [at for at, _ in under_load(Limits(account=limit, endpoint=None), ["charges", "customers", "events"], seconds)]
    assert fullest(times, max(1.0, 1 / limit)) <= ceil(limit)
    assert len(times) >= 0.995 * limit * seconds


def test_each_endpoint_has_a_rate_of_its_own() -> None:
    """A live account reaches its 100 a second only by four endpoints at once."""
    served = under_load(Limits(account=100.0, endpoint=25.0), ["charges", "customers", "events", "invoices", "refunds"], 20.0)
    for endpoint, count in Counter(endpoint for _, endpoint in served).items():
        times = [at for at, name in served if name == endpoint]
        assert fullest(times) <= 25, endpoint
        assert count > 0
    assert fullest([at for at, _ in served]) <= 100
    assert len(served) >= 0.995 * 100 * 20


def test_slots_of_the_account_that_are_refused_cost_the_endpoint_nothing() -> None:
    """Both buckets have to be used fully at once, as they are by default on a sandbox."""
    served = under_load(Limits(account=25.0, endpoint=25.0), ["charges"], 40.0)
    assert len(served) >= 0.995 * 25 * 40
    assert fullest([at for at, _ in served]) <= 25


def test_a_full_endpoint_does_not_hold_up_another() -> None:
    """The first in line may not have room: then it is the next one's turn."""

    async def main() -> tuple[Served, int]:
        limiter, served = Limiter(Limits(account=None, endpoint=1.0)), Served()
        crowd = [asyncio.create_task(ask(limiter, served, "charges", "charges", FAN_OUT)) for _ in range(5)]
        await asyncio.sleep(0.01)
        await ask(limiter, served, "events", "events", LEAF)
        waiting = limiter.waiting()
        await asyncio.gather(*crowd)
        return served, waiting

    served, waiting = run(main())
    assert served[:2] == [(0.0, "charges"), (0.01, "events")]
    assert (waiting, len(served)) == (4, 6)


def test_without_limits_nothing_waits() -> None:
    """Lifting the limits leaves the machine as the only bound."""

    async def main() -> tuple[float, Snapshot]:
        limiter, served = Limiter(UNLIMITED), Served()
        for reason in ("global-rate", "endpoint-rate"):
            await meet_429s(limiter, "charges", reason)
        await asyncio.gather(*(ask(limiter, served, "any") for _ in range(2000)))
        return now(), limiter.snapshot()

    seconds, left = run(main())
    assert (seconds, left.rate, left.in_flight, left.waiting, left.granted) == (0.0, None, 0, 0, 2002)
    assert left.throttled == {"global-rate": 1, "endpoint-rate": 1}


def test_an_idle_limiter_shows_that_it_is_idle() -> None:
    """Progress displays read this before the first request."""

    async def main() -> tuple[Snapshot, str]:
        limiter = Limiter(Limits(account=25.0))
        return limiter.snapshot(), repr(limiter)

    snapshot, text = run(main())
    assert snapshot == Snapshot(limit=25.0, rate=25.0, most_in_flight=64)
    assert text == "<Limiter <RateBucket account 25 per second, 0 granted>, 0 in flight, 0 waiting>"


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_limit_that_cannot_be_kept_is_refused_where_it_is_written(limit: float) -> None:
    """Infinity is a natural way to write no limit: it was accepted, and failed later in a conversion."""
    for limits in ({"account": limit}, {"endpoint": limit}, {"endpoints": {"charges": limit}}):
        with pytest.raises(ValueError, match="None for no limit"):
            Limits(**limits)  # type: ignore[arg-type]  # one of them at a time


def test_limits_may_change_while_requests_wait() -> None:
    """A sandbox key is replaced by a live one, or somebody asks for less: the run goes on."""

    async def main() -> Served:
        limiter, served = Limiter(Limits(account=10.0, endpoint=None)), Served()
        reading = [asyncio.create_task(keep_asking(limiter, served, endpoint, 20.0)) for endpoint in ("charges", "events")]
        await asyncio.sleep(10.0)
        limiter.change(Limits(account=50.0, endpoint=None, endpoints={"events": 5.0}))
        await asyncio.gather(*reading)
        return served

    served = run(main())
    assert 97 <= sum(1 for at, _ in served if at < 10.0) <= 101
    assert 490 <= sum(1 for at, _ in served if 10.0 <= at < 20.0) <= 502
    events = [at for at, name in served if name == "events" and at > 11.0]
    assert fullest(events) <= 5


def test_nothing_is_granted_while_answers_could_not_be_stored() -> None:
    """P6: what cannot be stored must not be fetched, or memory would hold it."""

    async def main() -> tuple[Served, int]:
        limiter, served = Limiter(Limits(account=10.0, endpoint=None)), Served()
        full = True
        limiter.room_for_answers = lambda: not full
        asking = asyncio.create_task(ask(limiter, served, "first"))
        await asyncio.sleep(30.0)
        waiting = limiter.waiting()
        full = False
        limiter.wake()
        await asking
        return served, waiting

    assert run(main()) == ([(30.0, "first")], 1)


def test_waits_are_told() -> None:
    """The half, and the worst of a hundred: what a user feels of the limit."""

    async def main() -> Snapshot:
        limiter, served = Limiter(Limits(account=10.0, endpoint=None)), Served()
        await asyncio.gather(*(ask(limiter, served, "any") for _ in range(100)))
        return limiter.snapshot()

    told = run(main())
    assert told.wait_p50 == pytest.approx(5.0, rel=0.12)
    assert told.wait_p99 == pytest.approx(9.9, rel=0.12)
