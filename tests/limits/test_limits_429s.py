"""What a 429 changes: the bucket that its reason names, for a while, and nothing else. All in virtual time."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from limits.asking import PAGE, Served, ask, keep_asking, meet_429s, now
from virtual_time import run

from stripe_assets.limits.limiter import Limiter, Limits


def after_429s(reason: str | None) -> dict[str, Any]:
    """Meet some on `charges`; give who is slower then, of the account and two endpoints, and what was counted."""

    async def main() -> dict[str, Any]:
        limiter, served = Limiter(Limits(account=100.0, endpoint=20.0)), Served()
        for endpoint in ("charges", "events"):
            await keep_asking(limiter, served, endpoint, now() + 1.0)
        await meet_429s(limiter, "charges", reason, times=4)
        at = limiter.snapshot()
        await asyncio.sleep(3600)
        later = limiter.snapshot()
        assert not later.learned_rates
        assert not later.learned_in_flight
        assert (later.lowest_rates.keys(), later.lowest_in_flight.keys()) == (at.learned_rates.keys(), at.learned_in_flight.keys())
        return {"slower": sorted(at.learned_rates), "fewer": sorted(at.learned_in_flight), "throttled": at.throttled}

    return run(main())


@pytest.mark.parametrize(
    ("reason", "slower", "fewer"),
    [
        ("global-rate", ["account"], []),
        ("endpoint-rate", ["charges"], []),
        ("global-concurrency", [], ["account"]),
        ("endpoint-concurrency", [], ["charges"]),
        ("resource-specific", [], []),
        ("a reason of next year", [], []),
        (None, [], []),
    ],
)
def test_a_429_slows_what_its_reason_names_and_nothing_else(reason: str | None, slower: list[str], fewer: list[str]) -> None:
    """Slowing the account for one endpoint's sake would waste three quarters of it; a lock timeout is a 429 too."""
    assert after_429s(reason) == {"slower": slower, "fewer": fewer, "throttled": {reason or "no reason given": 4}}


def test_a_slowed_endpoint_recovers() -> None:
    """Step by step, and entirely."""

    async def main() -> list[int]:
        limiter, served = Limiter(Limits(account=None, endpoint=20.0)), Served()
        await keep_asking(limiter, served, "charges", 2.0)
        await meet_429s(limiter, "charges", "endpoint-rate", times=8)
        start = now()
        await keep_asking(limiter, served, "charges", start + 60.0)
        return [sum(1 for at, _ in served if start + second <= at < start + second + 4) for second in (0, 4, 56)]

    first, second, last = run(main())
    assert first < second < last
    assert first < 76
    assert last >= 79


@pytest.mark.parametrize("reason", ["global-concurrency", "endpoint-concurrency"])
def test_a_concurrency_429_lowers_the_number_under_way_which_recovers(reason: str) -> None:
    """The rate is not to blame: lowering it would cost speed and not help."""

    async def main() -> tuple[list[int], float | None]:
        limiter = Limiter(Limits(account=1000.0, endpoint=None, in_flight=20))
        peaks: list[int] = []
        end = asyncio.Event()

        async def reader() -> None:
            while not end.is_set():
                async with limiter.slot("charges", priority=PAGE) as slot:
                    await asyncio.sleep(0.5)
                    if limiter.snapshot().in_flight > 12 and 2.0 < now() < 4.0:
                        slot.throttled(reason)

        readers = [asyncio.create_task(reader()) for _ in range(40)]
        for until in (1.9, 3.9, 40.0):
            await asyncio.sleep(until - now())
            peaks.append(limiter.snapshot().in_flight)
        rate = limiter.snapshot().rate
        end.set()
        await asyncio.gather(*readers)
        return peaks, rate

    (before, after, recovered), rate = run(main())
    assert (before, recovered, rate) == (20, 20, 1000.0)
    assert 9 <= after <= 13


def test_an_endpoints_crowd_leaves_room_for_others() -> None:
    """A slow list that may not be asked often at once must not hold up the account."""

    async def main() -> Counter[str]:
        limiter = Limiter(Limits(account=None, endpoint=None, in_flight=20))
        under_way: Counter[str] = Counter()
        seen: Counter[str] = Counter()

        async def reader(endpoint: str) -> None:
            while now() < 20.0:
                async with limiter.slot(endpoint, priority=PAGE) as slot:
                    under_way[endpoint] += 1
                    if now() > 10.0:
                        seen[endpoint] = max(seen[endpoint], under_way[endpoint])
                    await asyncio.sleep(0.3)
                    if endpoint == "charges" and under_way[endpoint] > 3:
                        slot.throttled("endpoint-concurrency")
                    under_way[endpoint] -= 1

        await asyncio.gather(*(reader(endpoint) for endpoint in ("charges", "events") for _ in range(20)))
        return seen

    seen = run(main())
    assert seen["charges"] <= 5
    assert seen["events"] >= 16


def test_concurrency_429s_never_stop_everything_nor_raise_a_small_cap() -> None:
    """Not even a storm of them: with none under way nobody would ever notice that it has passed."""

    async def main(most: int) -> int:
        limiter = Limiter(Limits(None, None, in_flight=most))
        under_way, peak = 0, 0

        async def one() -> None:
            nonlocal under_way, peak
            async with limiter.slot("charges", priority=PAGE) as slot:
                under_way += 1
                peak = max(peak, under_way)
                slot.throttled("global-concurrency")
                await asyncio.sleep(1)
                under_way -= 1

        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(20))), 60)
        return peak

    assert [run(main(most)) <= most for most in (1, 2)] == [True, True]


def test_retry_after_pauses_the_bucket_that_is_named() -> None:
    """All its requests wait, those of other endpoints do not."""

    async def main() -> Served:
        limiter, served = Limiter(Limits(account=None, endpoint=10.0)), Served()
        await meet_429s(limiter, "charges", "endpoint-rate", pause=30.0)
        await asyncio.gather(*(ask(limiter, served, endpoint, endpoint) for endpoint in ("charges", "events")))
        return served

    assert run(main()) == [(0.0, "events"), (30.0, "charges")]


def test_a_pause_that_comes_while_others_wait_holds_them_too() -> None:
    """They had been promised an earlier moment."""

    async def main() -> Served:
        limiter, served = Limiter(Limits(account=1.0, endpoint=None)), Served()
        async with limiter.slot("charges", priority=PAGE) as slot:
            waiting = asyncio.create_task(ask(limiter, served, "second"))
            await asyncio.sleep(0.5)
            slot.throttled("global-rate", pause=60.0)
        await waiting
        return served

    assert run(main()) == [(60.5, "second")]
