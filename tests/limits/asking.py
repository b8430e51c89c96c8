"""Asks a limiter for slots, in virtual time, and notes who was served when."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from virtual_time import run

from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority

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
