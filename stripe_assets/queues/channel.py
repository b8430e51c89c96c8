"""The bounded channel between network and database: who brings too much waits, who takes gets whole batches.

Items have a weight (bytes, say), so that memory stays bounded whatever their size. What is done with a batch belongs to
the one who drains it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):
    """Nothing can be submitted any more."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[T]):
    """An item, inside since `since`, or still at the door with its producer waiting for `admitted`."""

    item: T
    weight: float
    since: float = 0.0
    admitted: asyncio.Future[None] | None = None


class Channel(Generic[T]):
    """Carries items in order from many producers to one consumer.

    `capacity` is the weight that may be inside; an item heavier than that is let in alone. Who makes room lets the next
    ones in at once, not the producers when they wake: nobody can slip in between, and whoever waits stands behind items.
    """

    def __init__(self, capacity: float, *, weigh: Callable[[T], float] = lambda _: 1) -> None:
        """Start empty and open."""
        self.capacity = capacity
        self._weigh = weigh
        self._items: deque[_Entry[T]] = deque()
        self._weight = 0.0
        self._door: deque[_Entry[T]] = deque()
        self._consumer: asyncio.Future[None] | None = None
        self._wanted = 0.0
        self._hurried = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Channel {state}, {len(self._items)} items, {self._weight:g} of {self.capacity:g}, {len(self._door)} waiting>"

    @property
    def weight(self) -> float:
        """What is inside, in the unit of `capacity`."""
        return self._weight

    def try_submit(self, item: T) -> bool:
        """Put an item in if there is room now. Raises `ChannelClosed`."""
        if self._closed:
            raise ChannelClosed
        entry = _Entry(item, self._weigh(item))
        if self._door or not self._fits(entry):
            return False
        self._put(entry)
        return True

    async def submit(self, item: T, *, timeout: float | None = None) -> None:
        """Put an item in, waiting for room, first come first served.

        Raises `ChannelClosed`, and `TimeoutError` after `timeout` seconds; then the item is not inside. Nor is it after a
        cancellation, unless the consumer took it in that same moment.
        """
        if self.try_submit(item):
            return
        loop = asyncio.get_running_loop()
        entry = _Entry(item, self._weigh(item), admitted=(admitted := loop.create_future()))
        self._door.append(entry)
        self._nudge()
        timer = loop.call_later(timeout, self._turn_away, entry, TimeoutError()) if timeout is not None else None
        try:
            await admitted
        except asyncio.CancelledError:
            self._withdraw(entry)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    async def drain(self, weight: float, *, within: float) -> list[T]:
        """Take a batch: once `weight` is inside, or once the oldest item has waited `within` seconds.

        An empty batch means that the channel is closed and everything was taken. At least one item is given otherwise,
        and no more than `weight`, if the first does not weigh more by itself.
        """
        loop = asyncio.get_running_loop()
        self._wanted = min(weight, self.capacity)
        while not (self._closed or self._due()):
            patience = self._items[0].since + within - loop.time() if self._items else None
            if patience is not None and patience <= 0:
                break
            self._consumer = loop.create_future()
            await asyncio.wait([self._consumer], timeout=patience)
        self._hurried = False
        return self._take(weight)

    def hurry(self) -> None:
        """Let the next batch be given as soon as there is anything inside: somebody waits for it to be done."""
        self._hurried = True
        self._nudge()

    def close(self) -> None:
        """Let nothing in any more; what is inside can still be drained. Waiting producers get `ChannelClosed`."""
        self._closed = True
        while self._door:
            self._turn_away(self._door[0], ChannelClosed())
        self._nudge()

    def _due(self) -> bool:
        """Say whether a batch is to be given now: it is full, or waiting would not make it fuller, or somebody is in a hurry."""
        return bool(self._items) and (self._weight >= self._wanted or bool(self._door) or self._hurried)

    def _take(self, weight: float) -> list[T]:
        batch: list[T] = []
        taken = 0.0
        while self._items and (not batch or taken + self._items[0].weight <= weight):
            entry = self._items.popleft()
            batch.append(entry.item)
            taken += entry.weight
        self._lighten(taken)
        return batch

    def _fits(self, entry: _Entry[T]) -> bool:
        return not self._items or self._weight + entry.weight <= self.capacity

    def _put(self, entry: _Entry[T]) -> None:
        entry.since = asyncio.get_running_loop().time()
        self._items.append(entry)
        self._weight += entry.weight
        if self._weight >= self._wanted or len(self._items) == 1:
            self._nudge()

    def _lighten(self, weight: float) -> None:
        """Count out what has left, and let in who now fits."""
        self._weight = self._weight - weight if self._items else 0.0
        self._let_in()

    def _let_in(self) -> None:
        while self._door and not self._closed and (_gone(self._door[0]) or self._fits(self._door[0])):
            entry = self._door.popleft()
            if entry.admitted is not None and not _gone(entry):
                self._put(entry)
                entry.admitted.set_result(None)

    def _turn_away(self, entry: _Entry[T], error: Exception) -> None:
        """End the waiting of a producer, if it still waits."""
        if entry in self._door:
            self._door.remove(entry)
            if entry.admitted is not None and not _gone(entry):
                entry.admitted.set_exception(error)
            self._let_in()

    def _withdraw(self, entry: _Entry[T]) -> None:
        """Take back what a cancelled producer had brought, from the door or, if it was let in this moment, from inside."""
        if entry in self._door:
            self._door.remove(entry)
            self._let_in()
        elif entry in self._items:
            self._items.remove(entry)
            self._lighten(entry.weight)

    def _nudge(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)


def _gone(entry: _Entry[T]) -> bool:
    """Say whether the producer was cancelled, but could not yet take its entry away."""
    return entry.admitted is not None and entry.admitted.cancelled()
