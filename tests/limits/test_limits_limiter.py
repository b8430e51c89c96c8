"""Who gets the next slot, what a 429 changes, and that nobody is lost. All in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from math import ceil
from typing import Any

import pytest
from virtual_time import run

from stripe_assets.errors import ConfigurationError, TooManyWaiting
from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.order import PATIENCE
from stripe_assets.limits.priority import Priority
from stripe_assets.limits.tally import Snapshot

FAN_OUT, PAGE, LEAF = Priority
UNLIMITED = Limits(account=None, endpoint=None)

Served = list[tuple[float, str]]


def now() -> float:
    return asyncio.get_running_loop().time()


async def ask(limiter: Limiter, served: Served, name: str, endpoint: str = "charges", priority: Priority = PAGE, hold: float = 0.0) -> None:
    """Make one request, which takes `hold` seconds, and note when it was let go."""
    async with limiter.slot(endpoint, priority=priority):
        served.append((now(), name))
        await asyncio.sleep(hold)


async def meet_429s(limiter: Limiter, endpoint: str, reason: str | None, *, times: int = 1, pause: float = 0.0) -> None:
    """Have requests answered by 429s, at once."""
    for _ in range(times):
        async with limiter.slot(endpoint, priority=PAGE) as slot:
            slot.throttled(reason, pause=pause)


async def keep_asking(limiter: Limiter, served: Served, endpoint: str, until: float, **how: Any) -> None:
    """Be a reader of many pages."""
    while now() < until:
        await ask(limiter, served, endpoint, endpoint, **how)


def under_load(limits: Limits, endpoints: list[str], seconds: float, *, readers: int = 4, **how: Any) -> Served:
    """Read from some endpoints with several readers each, as fast as the limiter lets them."""

    async def main() -> Served:
        limiter, served = Limiter(limits), Served()
        async with asyncio.TaskGroup() as group:
            for endpoint in endpoints * readers:
                group.create_task(keep_asking(limiter, served, endpoint, seconds, **how))
        assert (limiter.snapshot().in_flight, limiter.waiting()) == (0, 0)
        return [(at, endpoint) for at, endpoint in served if at < seconds]

    return run(main())


def fullest(times: list[float], seconds: float = 1.0) -> int:
    """Count the most that any stretch of so many seconds holds."""
    ends = (sum(1 for later in times[at : at + 2000] if later < first + seconds) for at, first in enumerate(times))
    return max(ends, default=0)


def order(waiting: Callable[[Limiter, Served], list[Coroutine[Any, Any, None]]], limits: Limits | None = None) -> list[str]:
    """Let requests queue up behind one that is under way, and give the order in which they are served."""

    async def main() -> list[str]:
        limiter, served = Limiter(limits or Limits(None, None, in_flight=1)), Served()
        async with limiter.slot("first", priority=PAGE):
            tasks = [asyncio.create_task(each) for each in waiting(limiter, served)]
            await asyncio.sleep(0.1)
            assert served == []
        await asyncio.gather(*tasks)
        return [name for _, name in served]

    return run(main())


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


def test_what_opens_more_work_goes_first() -> None:
    """Parents with children first: their children are work that only then can begin."""
    kinds = {"leaf": LEAF, "page": PAGE, "fan-out": FAN_OUT, "page 2": PAGE, "fan-out 2": FAN_OUT}
    assert order(lambda limiter, served: [ask(limiter, served, name, priority=kinds[name]) for name in kinds]) == [
        "fan-out",
        "fan-out 2",
        "page",
        "page 2",
        "leaf",
    ]


def test_within_a_priority_the_endpoint_with_most_left_goes_first() -> None:
    """The longest list decides when the sync ends; but priority comes before length."""

    def waiting(limiter: Limiter, served: Served) -> list[Coroutine[Any, Any, None]]:
        for endpoint, pages in {"short": 3, "long": 900, "middle": 40, "children": 9000}.items():
            limiter.work_left(endpoint, pages)
        kinds = {"short": PAGE, "long": PAGE, "middle": PAGE, "children": LEAF}
        return [ask(limiter, served, endpoint, endpoint, kinds[endpoint]) for endpoint in ("children", "short", "middle", "long", "short")]

    assert order(waiting) == ["long", "middle", "short", "short", "children"]


def test_a_list_of_unknown_length_is_asked_first() -> None:
    """Only its first page tells how long it is: the longest list found last would be read alone, after all others."""

    def waiting(limiter: Limiter, served: Served) -> list[Coroutine[Any, Any, None]]:
        limiter.work_left("charges", 5000)
        return [ask(limiter, served, endpoint, endpoint) for endpoint in ("charges", "balance_transactions")]

    assert order(waiting) == ["balance_transactions", "charges"]


def test_there_is_room_where_nobody_would_be_served_before() -> None:
    """A further cursor is worth its request only if it gets slots that are not promised to longer lists."""

    async def main() -> dict[str, bool]:
        limiter, served = Limiter(Limits(None, None, in_flight=2)), Served()
        for endpoint, pages in {"short": 2, "long": 90, "longest": 100}.items():
            limiter.work_left(endpoint, pages)
        found = {"idle": limiter.has_room("short")}
        async with limiter.slot("short", priority=PAGE), limiter.slot("short", priority=PAGE):
            found["full"] = limiter.has_room("longest")
        limiter = Limiter(Limits(account=None, endpoint=1.0))
        for endpoint, pages in {"short": 2, "long": 90, "longest": 100}.items():
            limiter.work_left(endpoint, pages)
        tasks = [asyncio.create_task(ask(limiter, served, "long", "long")) for _ in range(2)]
        await asyncio.sleep(0.1)
        found |= {f"{endpoint}, while long waits": limiter.has_room(endpoint) for endpoint in ("short", "long", "longest")}
        await asyncio.gather(*tasks)
        return found

    assert run(main()) == {
        "idle": True,
        "full": False,
        "short, while long waits": False,
        "long, while long waits": False,
        "longest, while long waits": True,
    }


def test_equals_are_served_in_the_order_in_which_they_came() -> None:
    """Also when they come in one moment, and to different endpoints."""
    names = [f"{endpoint} {turn}" for turn in range(3) for endpoint in ("charges", "events", "customers")]
    assert order(lambda limiter, served: [ask(limiter, served, name, name.split()[0]) for name in names]) == names


def test_a_better_request_that_comes_later_still_goes_first() -> None:
    """The choice is made when the slot is free, not when the request arrives."""

    async def main() -> list[str]:
        limiter, served = Limiter(Limits(account=2.0, endpoint=None)), Served()
        async with asyncio.TaskGroup() as group:
            for name in ("page 1", "page 2", "page 3"):
                group.create_task(ask(limiter, served, name))
            await asyncio.sleep(0.1)
            group.create_task(ask(limiter, served, "fan-out", "customers", FAN_OUT))
        return [name for _, name in served]

    assert run(main()) == ["page 1", "fan-out", "page 2", "page 3"]


def test_whoever_waits_long_rises_so_that_nobody_starves() -> None:
    """An endless stream of parents must not keep a leaf waiting for ever."""

    async def main() -> float:
        limiter, served = Limiter(Limits(account=10.0, endpoint=None)), Served()
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(keep_asking(limiter, served, "customers", 30.0, priority=FAN_OUT))
            await asyncio.sleep(1.0)
            group.create_task(ask(limiter, served, "leaf", "lines", LEAF))
        (leaf,) = (at for at, name in served if name == "leaf")
        return leaf - 1.0

    waited = run(main())
    assert 2 * PATIENCE <= waited < 2 * PATIENCE + 0.3


def test_a_long_list_does_not_starve_a_short_one() -> None:
    """Work left is an order among those who are served, not a reason to serve nobody else."""

    async def main() -> float:
        limiter, served = Limiter(Limits(account=10.0, endpoint=None)), Served()
        limiter.work_left("charges", 1_000_000)
        limiter.work_left("coupons", 1)
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(keep_asking(limiter, served, "charges", 20.0))
            group.create_task(ask(limiter, served, "short", "coupons"))
        (short,) = (at for at, name in served if name == "short")
        return short

    assert PATIENCE <= run(main()) < PATIENCE + 0.3


@pytest.mark.parametrize("most", [1, 3, 64])
def test_never_more_than_so_many_are_under_way(most: int) -> None:
    """Stripe limits concurrency too, and every request under way is a connection and a page in memory."""

    async def main() -> tuple[int, int]:
        limiter = Limiter(Limits(None, None, in_flight=most))
        under_way, peak, served = 0, 0, 0

        async def one(turn: int) -> None:
            nonlocal under_way, peak, served
            async with limiter.slot(f"endpoint {turn % 7}", priority=PAGE):
                under_way += 1
                peak = max(peak, under_way)
                await asyncio.sleep(0.1 + turn % 5 / 10)
                under_way -= 1
                served += 1

        await asyncio.gather(*(one(turn) for turn in range(200)))
        return peak, served

    assert run(main()) == (most, 200)


def test_a_request_that_fails_gives_its_place_back() -> None:
    """Errors are everyday: each one that kept its place would slow the sync until it stands."""

    async def main() -> Snapshot:
        limiter = Limiter(Limits(None, None, in_flight=1))
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                async with limiter.slot("charges", priority=PAGE):
                    raise ValueError("broken")
        return limiter.snapshot()

    left = run(main())
    assert (left.in_flight, left.waiting, left.granted) == (0, 0, 3)


def test_a_cancelled_waiter_leaves_the_queue() -> None:
    """Nobody may wait behind somebody who has gone."""

    async def main() -> tuple[Snapshot, Served, Snapshot]:
        limiter, served = Limiter(Limits(None, None, in_flight=1)), Served()
        async with limiter.slot("charges", priority=PAGE):
            gone = asyncio.create_task(ask(limiter, served, "gone"))
            stays = asyncio.create_task(ask(limiter, served, "stays"))
            await asyncio.sleep(1)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            between = limiter.snapshot()
        await stays
        assert gone.cancelled()
        return between, served, limiter.snapshot()

    between, served, after = run(main())
    assert (between.in_flight, between.waiting, between.granted) == (1, 1, 1)
    assert served == [(1.0, "stays")]
    assert (after.in_flight, after.waiting) == (0, 0)


@pytest.mark.parametrize("first", ["the slot is granted", "the waiter is cancelled"])
def test_a_waiter_cancelled_in_the_moment_of_its_grant_gives_the_slot_to_the_next(first: str) -> None:
    """When a run is stopped everything is cancelled in one moment: a place lost then hangs the next run in this process."""

    async def main() -> tuple[bool, Served, Snapshot]:
        limiter, served = Limiter(Limits(None, None, in_flight=1)), Served()
        async with limiter.slot("charges", priority=PAGE):
            gone = asyncio.create_task(ask(limiter, served, "gone"))
            stays = asyncio.create_task(ask(limiter, served, "stays", "events"))
            await asyncio.sleep(1)
            if first == "the waiter is cancelled":
                gone.cancel()
        if first == "the slot is granted":
            gone.cancel()
        await asyncio.gather(gone, stays, return_exceptions=True)
        return gone.cancelled(), served, limiter.snapshot()

    cancelled, served, snapshot = run(main())
    assert (cancelled, served) == (True, [(1.0, "stays")])
    assert (snapshot.in_flight, snapshot.waiting) == (0, 0)


def test_who_waits_when_the_limiter_is_closed_hears_of_it() -> None:
    """A shutdown that leaves one task waiting for ever never ends."""

    async def main() -> tuple[list[object], Snapshot]:
        limiter, served = Limiter(Limits(account=1.0, endpoint=None)), Served()
        waiting = [asyncio.create_task(ask(limiter, served, name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0.5)
        limiter.close()
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        return [type(each) for each in found], limiter.snapshot()

    found, after = run(main())
    assert found == [type(None), RuntimeError, RuntimeError]
    assert (after.in_flight, after.waiting) == (0, 0)


def test_a_task_group_that_breaks_leaves_the_limiter_clean() -> None:
    """One failing type cancels the readers of its slices, under way and waiting, in one moment."""

    async def main() -> Snapshot:
        limiter, served = Limiter(Limits(account=10.0, endpoint=5.0, in_flight=4)), Served()

        async def fail() -> None:
            await asyncio.sleep(1.5)
            raise ValueError("this type has failed")

        async def read_everything() -> None:
            async with asyncio.TaskGroup() as group:
                for turn in range(40):
                    group.create_task(ask(limiter, served, str(turn), f"endpoint {turn % 3}", Priority(turn % 3), hold=0.7))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup):
            await read_everything()
        assert 4 < len(served) < 40
        left = limiter.snapshot()
        await asyncio.wait_for(asyncio.gather(*(ask(limiter, served, "after", f"endpoint {turn}", hold=0.1) for turn in range(8))), 5)
        return left

    left = run(main())
    assert (left.in_flight, left.waiting) == (0, 0)


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


def test_more_requests_than_memory_should_hold_may_not_wait() -> None:
    """Work that cannot be done yet is a range or a row; a task for each object of an account would fill the memory."""

    async def main() -> Snapshot:
        limiter, served = Limiter(Limits(account=1.0, waiting=100)), Served()
        tasks = [asyncio.create_task(ask(limiter, served, "any")) for _ in range(101)]
        await asyncio.sleep(0.1)
        with pytest.raises(TooManyWaiting, match="charges would be one more"):
            await ask(limiter, served, "one too many")
        left = limiter.snapshot()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return left

    assert run(main()).waiting == 100
    with pytest.raises(ValueError, match="20,000"):
        Limits(waiting=20_001)


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


class Register:
    """Slots that come when somebody else says so: what a server in another place looks like from here."""

    def __init__(self) -> None:
        self.there = 0
        self.taken: list[int] = []
        self.told: list[Callable[[], None]] = []
        self.breaks: Exception | None = None

    def guard(self, name: str, limit: float, on_change: Callable[[], None]) -> "Register":  # noqa: ARG002  # one for all
        self.told.append(on_change)
        return self

    def ready_at(self, now: float) -> float:
        if self.breaks is not None:
            raise self.breaks
        return now if self.there else float("inf")

    def take(self, now: float) -> int | None:  # noqa: ARG002
        if not self.there:
            return None
        self.there -= 1
        self.taken.append(len(self.taken))
        return self.taken[-1]

    def used(self, slot: int, now: float) -> None:
        pass

    def give_back(self, slot: int) -> None:  # noqa: ARG002
        self.there += 1

    def close(self) -> None:
        pass


def test_slots_that_come_from_elsewhere_are_waited_for() -> None:
    """Several machines share one allowance: its slots arrive when the server answers, not when a timer says so."""

    async def main() -> Served:
        limiter, served, register = Limiter(Limits(account=1000.0, endpoint=None)), Served(), Register()
        limiter.share(register)
        asking = [asyncio.create_task(ask(limiter, served, name)) for name in ("first", "second", "third")]
        for slots in (1, 2):
            await asyncio.sleep(5.0)
            register.there += slots
            for tell in register.told:
                tell()
        await asyncio.gather(*asking)
        return served

    served = run(main())
    assert [name for _, name in served] == ["first", "second", "third"]
    assert [round(at) for at, _ in served] == [5, 10, 10]


def test_slots_of_an_endpoint_that_come_from_elsewhere_are_waited_for() -> None:
    """The account's slots may be there long before the endpoint's: those who wait for it must hear of them."""

    async def main() -> Served:
        register = Register()
        limiter, served = Limiter(Limits(account=None, endpoint=1000.0), sharing=register), Served()
        asking = asyncio.create_task(ask(limiter, served, "first"))
        await asyncio.sleep(5.0)
        register.there += 1
        for tell in register.told:
            tell()
        await asyncio.wait_for(asking, 60.0)
        return served

    assert run(main()) == [(5.0, "first")]


def test_all_who_wait_are_told_when_no_more_slots_can_come() -> None:
    """A server that is gone for good, told to the log alone, would be a sync that stands still for ever."""

    async def main() -> None:
        register = Register()
        limiter, served = Limiter(Limits(account=1000.0, endpoint=None), sharing=register), Served()
        register.there = 1
        async with limiter.slot("under way", priority=PAGE):
            waiting = [asyncio.create_task(ask(limiter, served, "waiting", endpoint)) for endpoint in ("charges", "charges", "refunds")]
            await asyncio.sleep(5.0)
            register.breaks = ConfigurationError("the server is gone")
            for tell in register.told:
                tell()
            found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60.0)
            assert [repr(error) for error in found] == ["ConfigurationError('the server is gone')"] * 3
        assert (limiter.waiting(), limiter.snapshot().in_flight) == (0, 0)

    run(main())


def test_who_comes_to_wait_in_vain_leaves_nothing_behind() -> None:
    """A disk that was full for a moment: a waiter that stayed behind would get a slot later, and keep it for ever."""

    async def main() -> None:
        register = Register()
        limiter, served = Limiter(Limits(account=1000.0, endpoint=None, in_flight=1), sharing=register), Served()
        register.there, register.breaks = 2, ConfigurationError("the disk is full")
        with pytest.raises(ConfigurationError, match="the disk is full"):
            await ask(limiter, served, "in vain")
        register.breaks = None
        await asyncio.wait_for(ask(limiter, served, "later"), 60.0)
        assert (served, limiter.waiting(), limiter.snapshot().in_flight) == ([(0.0, "later")], 0, 0)

    run(main())


def test_what_went_out_before_others_count_is_told_them() -> None:
    """Whose account it is, is known only after the first request: it must not be free."""

    async def main() -> list[int]:
        limiter, served, register = Limiter(Limits(account=100.0, endpoint=None)), Served(), Register()
        await ask(limiter, served, "account")
        await ask(limiter, served, "events")
        register.there = 5
        limiter.share(register)
        return register.taken

    assert run(main()) == [0, 1]


def test_waits_are_told() -> None:
    """The half, and the worst of a hundred: what a user feels of the limit."""

    async def main() -> Snapshot:
        limiter, served = Limiter(Limits(account=10.0, endpoint=None)), Served()
        await asyncio.gather(*(ask(limiter, served, "any") for _ in range(100)))
        return limiter.snapshot()

    told = run(main())
    assert told.wait_p50 == pytest.approx(5.0, rel=0.12)
    assert told.wait_p99 == pytest.approx(9.9, rel=0.12)
