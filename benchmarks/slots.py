"""Slots granted a second in the sync's event loop: what the limiter itself costs, beside the standard library's semaphore.

The limits are so high that nothing is waited for but one's turn. With 200 waiters on 30 endpoints each grant is a choice,
and each ends another's wait.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from statistics import median
from typing import Any

import uvloop

from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority

GRANTS, ROUNDS = 100_000, 5
WAITERS, ENDPOINTS = 200, 30
OUT_OF_REACH = 500_000.0
Acquire = Callable[[int], AbstractAsyncContextManager[Any]]


def run() -> None:
    """Measure all and print a table: slots a second (the median of five rounds), and what part of the semaphore's that is."""
    contestants: dict[str, Callable[[], Acquire]] = {
        "asyncio.Semaphore": _semaphore,
        "Limiter, no rates": lambda: _limiter(None),
        "Limiter, both rates": lambda: _limiter(OUT_OF_REACH),
    }
    print(f"{'slots a second':24} {'nobody waits':>14} {f'{WAITERS} wait on {ENDPOINTS} endpoints':>30}")
    yardstick: tuple[float, float] | None = None
    for name, make in contestants.items():
        alone = median(_run(_alone(make)) for _ in range(ROUNDS))
        crowded = median(_run(_crowded(make)) for _ in range(ROUNDS))
        yardstick = yardstick or (alone, crowded)
        shares = f"({alone / yardstick[0]:.2f})", f"({crowded / yardstick[1]:.2f})"
        print(f"{name:24} {alone:>7,.0f} {shares[0]:>6} {crowded:>23,.0f} {shares[1]:>6}")


def _run(measured: Coroutine[Any, Any, float]) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measured)


def _semaphore() -> Acquire:
    semaphore = asyncio.Semaphore(1)
    return lambda _: semaphore


def _limiter(rate: float | None) -> Acquire:
    limiter = Limiter(Limits(rate, rate, in_flight=1))
    wishes = [(f"GET /v1/{turn % ENDPOINTS}", Priority(turn % 3)) for turn in range(WAITERS)]

    def acquire(turn: int) -> AbstractAsyncContextManager[Any]:
        endpoint, priority = wishes[turn]
        return limiter.slot(endpoint, priority=priority)

    return acquire


async def _alone(make: Callable[[], Acquire]) -> float:
    acquire = make()
    began = time.perf_counter()
    for _ in range(GRANTS):
        async with acquire(0):
            pass
    return GRANTS / (time.perf_counter() - began)


async def _crowded(make: Callable[[], Acquire]) -> float:
    acquire = make()

    async def worker(turn: int) -> None:
        for _ in range(GRANTS // WAITERS):
            async with acquire(turn):
                pass

    async with acquire(0):
        workers = [asyncio.create_task(worker(turn)) for turn in range(WAITERS)]
        await asyncio.sleep(0)  # all of them wait now
        began = time.perf_counter()
    await asyncio.gather(*workers)
    return GRANTS / (time.perf_counter() - began)
