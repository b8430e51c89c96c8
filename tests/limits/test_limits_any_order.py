"""Random arrivals, endpoints, priorities, durations, cancellations and 429s: no limit is ever exceeded, nobody is lost."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run

from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority

REASONS = ["global-rate", "endpoint-rate", "global-concurrency", "endpoint-concurrency", "resource-specific", None]


@dataclass(frozen=True)
class Plan:
    """One request: times are tenths of a second, so that many things fall into one moment."""

    arrives: int
    endpoint: int
    priority: Priority
    holds: int
    cancelled_after: int | None
    refused_because: str | None


plans = st.builds(
    Plan,
    arrives=st.integers(0, 30),
    endpoint=st.integers(0, 3),
    priority=st.sampled_from(Priority),
    holds=st.integers(0, 8),
    cancelled_after=st.one_of(st.none(), st.none(), st.integers(0, 20)),
    refused_because=st.one_of(st.just(""), st.just(""), st.just(""), st.sampled_from(REASONS)),
)
limit_sets = st.builds(
    Limits,
    account=st.sampled_from([None, 20.0, 7.0, 2.5]),
    endpoint=st.sampled_from([None, 5.0, 1.0, 0.5]),
    in_flight=st.integers(1, 5),
)


class Referee:
    """Watches a limiter from outside: who is under way, who was let go when."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.limiter = Limiter(limits)
        self.under_way = 0
        self.peak = 0
        self.times: dict[str, list[float]] = defaultdict(list)
        self.served: set[int] = set()

    async def play(self, number: int, plan: Plan) -> None:
        """Arrive, wait, be under way, and perhaps go away in the middle of it."""
        await asyncio.sleep(plan.arrives / 10)
        asking = asyncio.create_task(self._ask(number, plan))
        if plan.cancelled_after is not None:
            asyncio.get_running_loop().call_later(plan.cancelled_after / 10, asking.cancel)
        await asyncio.wait([asking])
        if not asking.cancelled():
            asking.result()

    async def _ask(self, number: int, plan: Plan) -> None:
        endpoint = f"endpoint {plan.endpoint}"
        async with self.limiter.slot(endpoint, priority=plan.priority) as slot:
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            now = asyncio.get_running_loop().time()
            self.times["account"].append(now)
            self.times[endpoint].append(now)
            if plan.refused_because != "":
                slot.throttled(plan.refused_because)
            try:
                await asyncio.sleep(plan.holds / 10)
                self.served.add(number)
            finally:
                self.under_way -= 1

    def crowded(self) -> list[str]:
        """Name the buckets that held more than their limit in some second."""
        return [
            name
            for name, times in self.times.items()
            if (limit := self.limits.account if name == "account" else self.limits.endpoint) is not None
            and any(b - a < ceil(limit) / limit - 1e-9 for a, b in zip(times, times[ceil(limit) :], strict=False))
        ]


@given(plans=st.lists(plans, max_size=40), limits=limit_sets)
@settings(max_examples=250, deadline=None)
def test_no_limit_is_exceeded_everybody_is_served_and_nothing_is_left_over(plans: list[Plan], limits: Limits) -> None:
    """The limiter is what every request of every run goes through: it may not leak one place in a million."""

    async def main() -> None:
        referee = Referee(limits)
        await asyncio.wait_for(asyncio.gather(*(referee.play(number, plan) for number, plan in enumerate(plans))), 2000)
        assert referee.crowded() == []
        assert referee.peak <= limits.in_flight
        patient = {number for number, plan in enumerate(plans) if plan.cancelled_after is None}
        assert referee.served >= patient
        left = referee.limiter.snapshot()
        assert (left.in_flight, left.waiting, referee.under_way) == (0, 0, 0)
        await asyncio.wait_for(referee.play(-1, Plan(0, 0, Priority.LEAF, 0, None, "")), 60)
        assert -1 in referee.served

    run(main())


@given(
    waiting=st.lists(st.tuples(st.sampled_from(Priority), st.integers(0, 3)), max_size=30),
    work_left=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    gone=st.sets(st.integers(0, 29)),
)
@settings(max_examples=200, deadline=None)
def test_the_best_of_those_who_wait_is_always_the_next(waiting: list[tuple[Priority, int]], work_left: list[int], gone: set[int]) -> None:
    """By priority, then by work left, then by arrival; those who went away change nothing for the rest."""

    async def main() -> list[int]:
        limiter = Limiter(Limits(None, None, in_flight=1))
        served: list[int] = []

        async def ask(number: int, priority: Priority, endpoint: int) -> None:
            async with limiter.slot(f"endpoint {endpoint}", priority=priority):
                served.append(number)

        for endpoint, pages in enumerate(work_left):
            limiter.work_left(f"endpoint {endpoint}", pages)
        async with limiter.slot("first", priority=Priority.PAGE):
            tasks = [asyncio.create_task(ask(number, *each)) for number, each in enumerate(waiting)]
            await asyncio.sleep(0.1)
            for number in gone & set(range(len(tasks))):
                tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return served

    best_first = sorted(range(len(waiting)), key=lambda number: (waiting[number][0], -work_left[waiting[number][1]], number))
    assert run(main()) == [number for number in best_first if number not in gone]
