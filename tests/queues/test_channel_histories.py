"""Every history that producers, consumers, cancellations and time can make of a channel, turn by turn of the event loop.

What a producer was told and what consumers got is written down by the tasks themselves; the channel is seen from outside only.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from virtual_time import VirtualTimeLoop

from stripe_assets.queues.channel import BURST, EARLY, PATIENCE, Channel, ChannelClosed

MANY, REST = 10**9, -1
then = st.sampled_from([REST, REST, 0, 1, 2])
"""How the event loop goes on after something has happened: so many turns, or until everybody waits."""
limits = st.sampled_from([MANY, MANY, MANY, MANY, 12, 8, 5, 1])
priorities, weights = st.integers(-1, 2), st.integers(1, 4)
tenths = st.integers(0, 8).map(lambda number: number / 10)
"""Seconds; so few different ones that many things fall into one moment."""


@dataclass(eq=False)
class Item:
    """An item, and what became of it. Turns count everything that happens; times are seconds."""

    priority: int
    weight: int
    began: tuple[int, float]
    ended: tuple[int, float] = (2**60, inf)
    told: str = "nothing"
    came_out: float | None = None

    def __repr__(self) -> str:
        return f"<{self.priority}, {self.weight}, {self.told}, began {self.began}, ended {self.ended}, out {self.came_out}>"


@dataclass(eq=False)
class Drain:
    """A consumer that waits for one batch, and what it got."""

    weight: int
    items: int
    within: float
    batch: list[Item] | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def waits(self) -> bool:
        assert self.task is not None
        return not self.task.done()

    @property
    def long_enough(self) -> float:
        return self.within or PATIENCE


class Histories(RuleBasedStateMachine):
    """One channel, and all that ever happened to it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.faults: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self.faults.append(context))
        self.moments = 0
        self.items: list[Item] = []
        self.out: list[Item] = []
        self.producers: list[asyncio.Task[None]] = []
        self.drains: list[Drain] = []
        self.closed = False
        self.hurried = False

    @initialize(capacity=st.integers(1, 12), weighed=st.booleans())
    def start(self, capacity: int, weighed: bool) -> None:
        self.weighed = weighed
        self.channel: Channel[Item] = Channel(capacity, weigh=(lambda item: item.weight) if weighed else None)

    def moment(self) -> tuple[int, float]:
        self.moments += 1
        return self.moments, self.loop.time()

    def heavy(self, items: list[Item]) -> int:
        return sum(item.weight if self.weighed else 1 for item in items)

    def waiting_items(self) -> list[Item]:
        """Those of which no producer has been told yet what became of them."""
        return [item for item in self.items if item.told == "nothing"]

    def surely_inside(self) -> list[Item]:
        return [item for item in self.items if item.told == "taken" and item.came_out is None]

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    # What can happen

    @rule(
        producers=st.lists(st.tuples(st.lists(priorities, min_size=1, max_size=4), weights, st.none() | tenths), min_size=1, max_size=3),
        then=then,
    )
    def submit(self, producers: list[tuple[list[int], int, float | None]], then: int) -> None:
        """Let new producers come, each with some items of one weight, which it brings one after the other."""
        for producer in producers:
            self.producers.append(self.loop.create_task(self.produce(*producer)))
        self.go_on(then)

    async def produce(self, priorities: list[int], weight: int, timeout: float | None) -> None:
        for priority in priorities:
            item = Item(priority, weight, self.moment())
            self.items.append(item)
            try:
                await self.channel.submit(item, priority, timeout=timeout)
                item.told = "taken"
            except TimeoutError:
                item.told = "no room"
            except ChannelClosed:
                item.told = "closed"
            except asyncio.CancelledError:
                item.told = "cancelled"
                raise
            finally:
                item.ended = self.moment()

    @rule(priority=priorities, weight=weights, then=then)
    def try_submit(self, priority: int, weight: int, then: int) -> None:
        async def attempt() -> None:
            item = Item(priority, weight, self.moment())
            self.items.append(item)
            try:
                item.told = "taken" if self.channel.try_submit(item, priority) else "no room"
            except ChannelClosed:
                item.told = "closed"
            item.ended = self.moment()

        self.producers.append(self.loop.create_task(attempt()))
        self.go_on(then)

    @rule(more=st.sampled_from([MANY, MANY, 8, 5, 2, 1, 0, -3]), weight=limits, within=st.just(60.0) | tenths, then=then)
    def drain(self, more: int, weight: int, within: float, then: int) -> None:
        """Let a new consumer come for a batch, of about as many items as there are: some more, just so many, or fewer."""
        self.come_for(Drain(weight, max(1, len(self.channel) + more), within))
        self.go_on(then)

    def come_for(self, drain: Drain) -> None:
        drain.task = self.loop.create_task(self.consume(drain))
        self.drains.append(drain)

    def go_on(self, then: int) -> None:
        """Let the event loop turn a few times, so that the next thing happens in the middle of others, or come to rest."""
        if then == REST:
            self.wait(0)
        for _ in range(then):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule()
    def empty(self) -> None:
        """Let a consumer come that takes all there is, or else the channel would be full most of the time."""
        self.come_for(Drain(MANY, MANY, 0.0))

    async def consume(self, drain: Drain) -> None:
        drain.batch = await self.channel.drain(drain.weight, items=drain.items, within=drain.within)
        self.out += drain.batch
        for item in drain.batch:
            assert item.came_out is None
            item.came_out = self.loop.time()
        if drain.batch:
            self.assert_batch_is_as_asked(drain, drain.batch)
        else:
            assert self.closed
            assert not len(self.channel)
        self.hurried = False

    @precondition(lambda self: self.waiting_tasks())
    @rule(which=st.integers(0, 20), then=then)
    def cancel(self, which: int, then: int) -> None:
        tasks = self.waiting_tasks()
        tasks[which % len(tasks)].cancel()
        self.go_on(then)

    def waiting_tasks(self) -> list[asyncio.Task[None]]:
        return [task for task in (*self.producers, *(drain.task for drain in self.drains)) if task and not task.done()]

    @precondition(lambda self: any(drain.waits for drain in self.drains))
    @rule(then=then)
    def hurry(self, then: int) -> None:
        def hurry() -> None:
            self.hurried = True
            self.channel.hurry()

        self.loop.call_soon(hurry)
        self.go_on(then)

    @precondition(lambda self: len(self.items) > 40)
    @rule()
    def close(self) -> None:
        def close() -> None:
            self.closed = True
            self.channel.close()

        self.loop.call_soon(close)

    @rule(seconds=tenths)
    def wait(self, seconds: float) -> None:
        """Let time pass and everybody run who can; see that nobody waits who need not, nor is anything unaccounted for."""
        self.run(seconds)
        self.run(EARLY * 2)
        assert len(self.channel) == len(self.surely_inside())
        assert self.channel.weight == self.heavy(self.surely_inside())
        at_the_door, inside = self.waiting_items(), self.surely_inside()
        if at_the_door:
            assert not self.closed
            first = min(at_the_door, key=lambda item: item.began)
            assert inside
            assert self.channel.weight + self.heavy([first]) > self.channel.capacity
            assert self.channel.fullness == 1
        for drain in self.drains:
            assert not drain.waits or not self.is_due(drain), (drain, self.channel)

    def is_due(self, drain: Drain) -> bool:
        inside = self.surely_inside()
        full = len(inside) >= drain.items or self.heavy(inside) >= min(drain.weight, self.channel.capacity)
        old = any(item.ended[1] + drain.within <= self.loop.time() for item in inside)
        return self.closed or bool(inside and (full or old or self.hurried or self.waiting_items()))

    # What must hold

    @invariant()
    def nothing_goes_wrong_unseen(self) -> None:
        """A fault in a timer's or a task's own code would otherwise only be logged."""
        assert self.faults == []
        for task in [*self.producers, *(drain.task for drain in self.drains if drain.task)]:
            if task.done() and not task.cancelled():
                task.result()

    @invariant()
    def never_too_full(self) -> None:
        if hasattr(self, "channel"):
            assert self.channel.weight <= self.channel.capacity or len(self.channel) == 1
            assert 0 <= self.channel.fullness <= 1

    def assert_batch_is_as_asked(self, drain: Drain, batch: list[Item]) -> None:
        """Not too large, not too early, the best first, and the oldest if it has waited long enough."""
        now, first, rest = self.loop.time(), batch[0], batch[1:]
        assert len(batch) <= drain.items
        assert len(batch) == 1 or self.heavy(batch) <= drain.weight
        left = self.surely_inside()
        full = len(batch) == drain.items or bool(left) or self.heavy(batch) >= min(drain.weight, self.channel.capacity)
        old = any(item.began[1] + drain.within <= now + EARLY for item in batch)
        assert full or old or self.closed or self.hurried or self.waiting_items(), "too early"
        ranks = [item.priority for item in rest]
        assert ranks == sorted(ranks)
        assert not any(item.priority < max(ranks, default=-inf) for item in left), "a better one was left"
        if any(item.priority < first.priority for item in rest + left):
            assert first.began[1] + drain.long_enough <= now + EARLY
        if any(item.ended[1] + drain.long_enough <= now for item in left):
            assert not any(item.ended[1] < first.began[1] for item in left), "an older one was left"

    def teardown(self) -> None:
        if hasattr(self, "channel"):
            self.end()
        self.loop.close()

    def end(self) -> None:
        """Close, take what is left, and cast up accounts."""
        self.wait(0)
        self.closed = True
        self.channel.close()
        self.wait(0)
        for _ in range(len(self.surely_inside()) + 1):
            self.come_for(Drain(MANY, MANY, 60.0))
        self.wait(0)
        self.nothing_goes_wrong_unseen()
        assert not self.waiting_items()
        assert not any(drain.waits for drain in self.drains)
        assert len(self.out) == len(set(self.out))
        for item in self.items:
            just_taken = item.told == "cancelled" and item.came_out == item.ended[1]
            assert (item.came_out is not None) == (item.told == "taken" or just_taken), item
        self.assert_order_within_each_priority()
        assert [timer for timer in self.loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]
        assert repr(self.channel) == f"<Channel closed, 0 items, 0 of {self.channel.capacity}, 0 at the door, 0 in line>"

    def assert_order_within_each_priority(self) -> None:
        """First come, first served, also for those who had to wait at the door; but not for those who may have given way."""
        came_at = Counter(item.began[1] for item in self.items)
        latest: dict[int, tuple[int, float]] = {}
        for item in self.out:
            before = latest.get(item.priority, item.began)
            assert before <= item.began or came_at[item.began[1]] >= BURST, item
            latest[item.priority] = max(before, item.began)


Histories.TestCase.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
TestNothingIsLostNothingComesTwice = Histories.TestCase
