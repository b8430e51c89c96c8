"""The channel between network and database beside `asyncio.PriorityQueue`, culsans and janus, in one event loop as the sync's.

All four carry the same items in three priorities, with room for 1,000, in batches of up to 100; the consumers do nothing else.
The priority queues are given what their documentation advises, (priority, running number, item), and a batch of theirs is the
first item, which is waited for, and what is there without waiting. They take turns within a round, so that the noise of a shared
machine hits all of them.

A consumer that does nothing but drain is inside `drain()` for as long as its items take to be made: at 400,000 items a second a
batch of 100 takes 250 µs, whoever carries it. How long `drain()` takes by itself shows in those calls that find a full batch
inside; both are given.
"""

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import culsans
import janus
import uvloop

from stripe_assets.queues.channel import Channel

CAPACITY, BATCH, PRIORITIES = 1000, 100, 3
CROWDS = ((20, 1), (15, 5))
"""Producers and consumers."""
ROUNDS = 5
WITHIN = 1.0
"""Seconds that an item may wait for its batch to be full; only the last one of a run ever does."""

Item = int | tuple[int, bytes]
Loads = list[Iterable[Item]]
"""What each producer brings."""


@dataclass(slots=True)
class Drains:
    """Seconds that each batch took: of a consumer that found a full one inside, and of one that did not."""

    found: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def add(self, seconds: float, *, found: bool) -> None:
        """Note one batch."""
        (self.found if found else self.waited).append(seconds)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: items a second, and microseconds at the 50th and 99th percentile of all calls and of those that had not to wait."""

    pace: float
    every: tuple[float, float]
    found: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Run:
    """What each producer brings, `total` items together, and to how many consumers; and what these wrote down."""

    loads: Loads
    total: int
    consumers: int
    drains: Drains = field(default_factory=Drains)


async def through_channel(run: Run) -> None:
    """Carry all by the channel."""
    channel: Channel[Item] = Channel(CAPACITY)
    taken = 0

    async def bring(items: Iterable[Item]) -> None:
        for number, item in enumerate(items):
            await channel.submit(item, number % PRIORITIES)

    async def take() -> None:
        nonlocal taken
        while True:
            found = len(channel) >= BATCH
            began = time.perf_counter()
            batch = await channel.drain(items=BATCH, within=WITHIN)
            run.drains.add(time.perf_counter() - began, found=found)
            if not batch:
                return
            taken += len(batch)

    taking = [asyncio.create_task(take()) for _ in range(run.consumers)]
    await asyncio.gather(*map(bring, run.loads))
    channel.close()
    await asyncio.gather(*taking)
    assert taken == run.total


async def through_priority_queue(queue: Any, empty: type[Exception], run: Run) -> None:
    """Carry all by something that has the interface of `asyncio.PriorityQueue`, and raises `empty` if there is nothing."""
    order = count()
    taken = 0
    all_taken = asyncio.get_running_loop().create_future()

    async def bring(items: Iterable[Item]) -> None:
        for number, item in enumerate(items):
            await queue.put((number % PRIORITIES, next(order), item))

    async def take() -> None:
        nonlocal taken
        while True:
            found = queue.qsize() >= BATCH
            began = time.perf_counter()
            batch = [await queue.get()]
            with suppress(empty):
                while len(batch) < BATCH:
                    batch.append(queue.get_nowait())
            run.drains.add(time.perf_counter() - began, found=found)
            taken += len(batch)
            if taken == run.total:
                all_taken.set_result(None)

    taking = [asyncio.create_task(take()) for _ in range(run.consumers)]
    await asyncio.gather(*map(bring, run.loads))
    await all_taken
    for task in taking:
        task.cancel()
    await asyncio.wait(taking)


async def through_asyncio(run: Run) -> None:
    """Carry all by the standard library."""
    queue: asyncio.PriorityQueue[Any] = asyncio.PriorityQueue(CAPACITY)
    await through_priority_queue(queue, asyncio.QueueEmpty, run)


async def through_culsans(run: Run) -> None:
    """Carry all by culsans."""
    queue: culsans.PriorityQueue[Any] = culsans.PriorityQueue(CAPACITY)
    await through_priority_queue(queue.async_q, culsans.AsyncQueueEmpty, run)


async def through_janus(run: Run) -> None:
    """Carry all by janus."""
    queue: janus.PriorityQueue[Any] = janus.PriorityQueue(CAPACITY)
    await through_priority_queue(queue.async_q, janus.AsyncQueueEmpty, run)
    await queue.aclose()


CARRIERS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "Channel": through_channel,
    "asyncio.PriorityQueue": through_asyncio,
    "culsans": through_culsans,
    "janus": through_janus,
}


def large(chance: random.Random) -> Item:
    """Make an item of a random id and up to 1,000 random bytes."""
    return chance.getrandbits(64), chance.randbytes(int(chance.random() * 1001))


def tiny_items(producers: int, each: int) -> Loads:
    """Let each producer bring the numbers from 0 on."""
    return [range(each) for _ in range(producers)]


def large_items_made_before(producers: int, each: int) -> Loads:
    """Make all items before the clock starts."""
    chance = random.Random(1)
    return [[large(chance) for _ in range(each)] for _ in range(producers)]


def large_items_made_by_producers(producers: int, each: int) -> Loads:
    """Let each producer make its items one by one, while the clock runs."""
    return [(large(chance) for _ in range(each)) for chance in map(random.Random, range(producers))]


KINDS: dict[str, Callable[[int, int], Loads]] = {
    "tiny items (a number)": tiny_items,
    "large items (an id and up to 1,000 random bytes), made before": large_items_made_before,
    "large items (the same), made by the producers, which is included": large_items_made_by_producers,
}


def run(*, items: int) -> None:
    """Measure everything in turns, and print a table for each crowd and kind of item."""
    print(f"{items:,} items a run, {ROUNDS} rounds of which the median counts; drain() in microseconds")
    for producers, consumers in CROWDS:
        each = items // producers
        for kind, make in KINDS.items():
            measured: dict[str, list[Measured]] = {name: [] for name in CARRIERS}
            for _ in range(ROUNDS):
                for name, carry in CARRIERS.items():
                    measured[name].append(_measure(carry, Run(make(producers, each), producers * each, consumers)))
            print(f"\n{producers} producers, {consumers} consumer{'s'[: consumers - 1]}, {kind}")
            _print(measured)


def _measure(carry: Callable[[Run], Awaitable[None]], run: Run) -> Measured:
    async def main() -> float:
        began = time.perf_counter()
        await carry(run)
        return time.perf_counter() - began

    gc.collect()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds = runner.run(main())
    drains = run.drains
    return Measured(run.total / seconds, percentiles(drains.found + drains.waited), percentiles(drains.found))


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Give the 50th and the 99th percentile in microseconds."""
    if len(seconds) < 2:
        return float("nan"), float("nan")
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return cuts[49] * 1e6, cuts[98] * 1e6


def _print(measured: dict[str, list[Measured]]) -> None:
    print(f"  {'':<22}{'items a second (lowest to highest)':>40}   {'drain() p50':>11}{'p99':>9}   {'batch inside: p50':>17}{'p99':>7}")
    for name, runs in measured.items():
        paces = [run.pace for run in runs]
        pace = f"{statistics.median(paces):>14,.0f} ({min(paces):,.0f} to {max(paces):,.0f})"
        columns = [statistics.median(getattr(run, which)[place] for run in runs) for which in ("every", "found") for place in (0, 1)]
        print(f"  {name:<22}{pace:>40}   {columns[0]:>11,.0f}{columns[1]:>9,.0f}   {columns[2]:>17,.0f}{columns[3]:>7,.0f}")
    others = [runs for name, runs in measured.items() if name != "Channel"]
    ratios = [run.pace / max(other[turn].pace for other in others) for turn, run in enumerate(measured["Channel"])]
    print(f"  Channel / best of the others: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
