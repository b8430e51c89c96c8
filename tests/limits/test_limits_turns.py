"""Who gets the next slot: priority, work left, patience, order of arrival. All in virtual time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from limits.asking import FAN_OUT, LEAF, PAGE, Served, ask, keep_asking, order
from virtual_time import run

from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.order import PATIENCE


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
