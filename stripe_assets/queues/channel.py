"""The bounded channel between network and database: who brings too much waits, who takes gets whole batches.

Here is decided who may come in, and when a batch is due. In which order items leave is kept in `lanes`, who waits for a batch
in `line`; what is done with one belongs to whoever drains it.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from stripe_assets.queues.lanes import Arrival, Lanes
from stripe_assets.queues.line import Consumer, Line

T = TypeVar("T")

BURST = 64
"""Items that are brought in a row, by whomever, before a producer lets all others run. 16 cost a fifth of the pace with 20
producers, 256 gain nothing (2026-11). A consumer that was called comes after all who are about to run, 0.3 ms with 20 of them;
letting producers step aside for it makes that 0.1 ms, and halves the pace (2026-11-22)."""
PATIENCE = 5.0
"""Seconds after which an item goes before better ones, where the consumer does not say by `within`."""
EARLY = 0.001
"""Seconds by which an alarm may ring early: uvloop counts in milliseconds."""


class ChannelClosed(Exception):
    """Nothing can be submitted any more."""


@dataclass(slots=True, eq=False)
class _Producer(Arrival, Generic[T]):
    """One who waits at the door with an item, until it is let in."""

    item: T
    weight: float
    priority: int
    admitted: asyncio.Future[None]

    @property
    def gone(self) -> bool:
        """Whether it was cancelled, but could not yet take its item away."""
        return self.admitted.cancelled()


class Channel(Generic[T]):
    """Carries items from many producers to one consumer or more: lowest priority first, in order within a priority.

    `capacity` is the weight that may be inside; an item heavier than that is let in alone. Without `weigh` each weighs 1.

    Who makes room lets the next ones in at once, not the producers when they wake: nobody can slip in between, and whoever
    waits stands behind items. At the door it is first come, first served, whatever the priority: nobody starves there.
    Batches are made by the consumers when they come: who is cancelled on the way to one leaves it to the next.

    Most items go straight in, without a look at anything: `_free` says how many may before the next decision. It belongs to one
    turn of the event loop, in which all items share one time of arrival. The channel belongs to one event loop.
    """

    def __init__(self, capacity: float, *, weigh: Callable[[T], float] | None = None) -> None:
        """Start empty and open."""
        if not capacity > 0:
            raise ValueError(f"a channel needs room: {capacity}")
        self.capacity = capacity
        self._weigh = weigh
        self._inside: Lanes[T] = Lanes(weighed=weigh is not None)
        self._lanes = self._inside.by_priority
        self._door: deque[_Producer[T]] = deque()
        self._line = Line(is_due=self._is_due, settle=self._settle)
        self._alarm: asyncio.TimerHandle | None = None
        self._hurried = False
        self._closed = False
        self._now = Arrival(inf)
        self._stamped = False
        self._free = 0
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._inside)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        inside = f"{len(self)} items, {self.weight:g} of {self.capacity:g}"
        return f"<Channel {state}, {inside}, {len(self._door)} at the door, {len(self._line)} in line>"

    @property
    def weight(self) -> float:
        """What is inside, in the unit of `capacity`."""
        return self._inside.weight

    @property
    def fullness(self) -> float:
        """How full it is, from 0 to 1. It is 1 whenever somebody waits at the door."""
        return 1.0 if self._door else min(1.0, self.weight / self.capacity)

    def try_submit(self, item: T, priority: int = 0) -> bool:
        """Put an item in if there is room now. Raises `ChannelClosed`."""
        if self._closed:
            raise ChannelClosed
        weight = self._weight_of(item)
        if self._door or not self._fits(weight):
            return False
        self._inside.put(item, weight, priority=priority, arrival=self._stamp())
        self._in_a_row += 1
        self._settle()
        return True

    async def submit(self, item: T, priority: int = 0, *, timeout: float | None = None) -> None:
        """Put an item in, waiting for room.

        Raises `ChannelClosed`, and `TimeoutError` after `timeout` seconds; then the item is not inside. Nor is it after a
        cancellation, unless a consumer took it in that same moment.
        """
        if self._free:
            lane = self._lanes[priority]
            lane.items.append(item)
            lane.arrivals.append(self._now)
            self._free -= 1
            return
        if self._in_a_row >= BURST:
            self._in_a_row = 0
            await asyncio.sleep(0)
        if not self.try_submit(item, priority):
            await self._wait_at_the_door(item, priority, timeout)

    async def drain(self, weight: float = inf, *, items: int = sys.maxsize, within: float) -> list[T]:
        """Take a batch: once so much or so many are inside, or once the oldest item has waited `within` seconds.

        An empty batch means that the channel is closed and everything was taken. At least one item is given otherwise, and
        no more than `weight` and `items`, if the first does not weigh more by itself. An item that has waited `within` seconds
        goes first if it is the oldest, however many better ones there are; `within=0` gives what is there now, the best first.

        No timer is more exact than a turn of the event loop, nor is this: by so much, and by `EARLY`, an item may be taken for
        older than it is.
        """
        items = max(1, items if self._weigh else int(min(items, weight, self.capacity)))
        consumer = Consumer(min(weight, self.capacity), items, within, asyncio.get_running_loop().create_future())
        while not self._is_due(consumer):
            await self._line.stand(consumer)
        self._hurried = False
        batch = self._inside.take(weight, items, patience=within or PATIENCE, now=_time())
        self._let_in()
        return batch

    def hurry(self) -> None:
        """Let the next batch be given as soon as there is anything inside: somebody waits for it to be done."""
        self._hurried = True
        self._settle()

    def close(self) -> None:
        """Let nothing in any more; what is inside can still be drained. Waiting producers get `ChannelClosed`."""
        self._closed = True
        while self._door:
            self._turn_away(self._door[0], ChannelClosed())
        if self._alarm is not None:
            self._alarm.cancel()
        self._settle()

    def _is_due(self, consumer: Consumer) -> bool:
        """Say whether a batch is to be given now.

        It is full, or waiting would not make it fuller, or somebody is in a hurry, or the oldest item has waited long enough.
        """
        if self._closed or not (count := len(self._inside)):
            return self._closed
        return (
            count >= consumer.items
            or bool(self._door)
            or self._inside.weight >= consumer.weight
            or self._hurried
            or self._inside.oldest + consumer.within <= _time()
        )

    def _settle(self) -> None:
        """Call a consumer for whom a batch is due, see to it that one is called in time, and let items go straight in.

        Follows whatever changes what is inside or who waits.
        """
        if self._line:
            self._line.call()
            self._set_alarm(self._inside.oldest + self._line.patience)
        self._in_a_row -= self._free
        self._free = self._count_free()
        self._in_a_row += self._free

    def _count_free(self) -> int:
        """Say how many items may go in during this turn of the event loop before there is anything to decide.

        Those are: that it is full, that a batch is, that an alarm must be set for the first one, that the producers' turn is over.
        """
        if self._weigh or self._closed or not self._stamped:
            return 0
        inside = len(self._inside)
        free = min(BURST - self._in_a_row, self.capacity - inside)
        if (enough := self._line.enough) < inf:
            free = min(free, enough - inside - 1) if inside else 0
        return max(0, int(free))

    def _set_alarm(self, at: float) -> None:
        """Look again at a time, or before: an alarm that was set for sooner stays, which costs less than a new one."""
        if self._alarm is not None and self._alarm.when() > at:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None and at < inf:
            self._alarm = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._settle()

    def _stamp(self) -> Arrival:
        """Give the arrival that all share who come in during this turn of the event loop."""
        if not self._stamped:
            loop = asyncio.get_running_loop()
            self._now, self._stamped = Arrival(loop.time()), True
            loop.call_soon(self._turn)
        return self._now

    def _turn(self) -> None:
        """Begin a new turn: everybody has had the chance to run, and what comes now needs a new stamp."""
        self._stamped = False
        self._free = self._in_a_row = 0

    def _weight_of(self, item: T) -> float:
        return self._weigh(item) if self._weigh else 1.0

    def _fits(self, weight: float) -> bool:
        return self._inside.weight + weight <= self.capacity or not self._inside

    async def _wait_at_the_door(self, item: T, priority: int, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        producer = _Producer(inf, item, self._weight_of(item), priority, loop.create_future())
        self._door.append(producer)
        self._line.call()
        timer = loop.call_later(timeout, self._turn_away, producer, TimeoutError()) if timeout is not None else None
        try:
            await producer.admitted
        except asyncio.CancelledError:
            self._withdraw(producer)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _let_in(self) -> None:
        """Let in who now fits, and settle what follows from it, and from who has left."""
        while self._door and not self._closed and self._fits(self._door[0].weight):
            producer = self._door.popleft()
            if not producer.gone:
                producer.at = self._stamp().at
                self._inside.put(producer.item, producer.weight, priority=producer.priority, arrival=producer)
                producer.admitted.set_result(None)
        self._settle()

    def _turn_away(self, producer: _Producer[T], error: Exception) -> None:
        """End the waiting of a producer, if it still waits."""
        if producer in self._door:
            self._door.remove(producer)
            if not producer.gone:
                producer.admitted.set_exception(error)
            self._let_in()

    def _withdraw(self, producer: _Producer[T]) -> None:
        """Take back what a cancelled producer had brought, from the door or, if it was let in this moment, from inside."""
        if producer in self._door:
            self._door.remove(producer)
        else:
            self._inside.remove(priority=producer.priority, arrival=producer)
        self._let_in()


def _time() -> float:
    """Give the loop's time as an alarm takes it."""
    return asyncio.get_running_loop().time() + EARLY
