"""The bounded channel between network and database: who brings too much waits, who takes gets whole batches.

Items have a weight (bytes, say), so that memory stays bounded whatever their size. What is done with a batch belongs to
the one who drains it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):
    """Nothing can be submitted any more."""


class Channel(Generic[T]):
    """Carries items in order from many producers to one consumer.

    `capacity` is the weight that may be inside; an item heavier than that is let in alone.
    """

    def __init__(self, capacity: float, *, weigh: Callable[[T], float] = lambda _: 1) -> None:
        """Start empty and open."""
        self.capacity = capacity
        self._weigh = weigh
        self._items: deque[tuple[T, float, float]] = deque()
        self._weight = 0.0
        self._producers: deque[asyncio.Future[None]] = deque()
        self._consumer: asyncio.Future[None] | None = None
        self._wanted = 0.0
        self._hurried = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Channel {state}, {len(self._items)} items, {self._weight:g} of {self.capacity:g}, {len(self._producers)} waiting>"

    @property
    def weight(self) -> float:
        """What is inside, in the unit of `capacity`."""
        return self._weight

    def try_submit(self, item: T) -> bool:
        """Put an item in if there is room now. Raises `ChannelClosed`."""
        if self._closed:
            raise ChannelClosed
        weight = self._weigh(item)
        if self._producers or not self._fits(weight):
            return False
        self._put(item, weight)
        return True

    async def submit(self, item: T, *, timeout: float | None = None) -> None:
        """Put an item in, waiting for room, first come first served.

        Raises `ChannelClosed`, and `TimeoutError` after `timeout` seconds; then the item is not inside.
        """
        if self.try_submit(item):
            return
        async with asyncio.timeout(timeout):
            turn = asyncio.get_running_loop().create_future()
            self._producers.append(turn)
            weight = self._weigh(item)
            try:
                while True:
                    await turn
                    if self._closed:
                        raise ChannelClosed
                    if self._fits(weight):
                        break
                    turn = asyncio.get_running_loop().create_future()
                    self._producers.appendleft(turn)
            except asyncio.CancelledError:
                if turn in self._producers:
                    self._producers.remove(turn)
                elif not self._closed:
                    self._let_in()  # the turn came in the same moment: pass it on
                raise
            self._put(item, weight)
            self._let_in()

    async def drain(self, weight: float, *, within: float) -> list[T]:
        """Take a batch: once `weight` is inside, or once the oldest item has waited `within` seconds.

        An empty batch means that the channel is closed and everything was taken. At least one item is given otherwise,
        and no more than `weight`, if the first does not weigh more by itself.
        """
        loop = asyncio.get_running_loop()
        self._wanted = min(weight, self.capacity)
        while not (self._closed or self._producers or (self._hurried and self._items)) and self._weight < self._wanted:
            patience = self._items[0][2] + within - loop.time() if self._items else None
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
        for turn in self._producers:
            if not turn.done():
                turn.set_result(None)
        self._producers.clear()
        self._nudge()

    def _take(self, weight: float) -> list[T]:
        batch: list[T] = []
        taken = 0.0
        while self._items and (not batch or taken + self._items[0][1] <= weight):
            item, its_weight, _ = self._items.popleft()
            batch.append(item)
            taken += its_weight
        self._weight = self._weight - taken if self._items else 0.0
        self._let_in()
        return batch

    def _fits(self, weight: float) -> bool:
        return not self._items or self._weight + weight <= self.capacity

    def _put(self, item: T, weight: float) -> None:
        self._items.append((item, weight, asyncio.get_running_loop().time()))
        self._weight += weight
        if self._weight >= self._wanted or len(self._items) == 1:
            self._nudge()

    def _let_in(self) -> None:
        """Call the producer whose turn it is; it looks for itself whether its item fits."""
        while self._producers and self._weight < self.capacity:
            turn = self._producers.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _nudge(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)
