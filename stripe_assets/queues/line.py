"""The line of consumers who wait for a batch, of whom one is called when there is one.

When a batch is due for a consumer is decided in `channel`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf


@dataclass(slots=True, eq=False)
class Consumer:
    """One who wants a batch: from what weight or how many items on it is full, and how many seconds an item may wait for that."""

    weight: float
    items: int
    within: float
    called: asyncio.Future[None]


class Line:
    """Consumers in the order in which they came. Until the one who was called has come nobody else is called."""

    def __init__(self, *, is_due: Callable[[Consumer], bool], settle: Callable[[], None]) -> None:
        """Start with nobody. `settle` is called when somebody has come into the line, or has left it without a batch."""
        self._is_due = is_due
        self._settle = settle
        self._waiting: deque[Consumer] = deque()
        self._coming: Consumer | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def enough(self) -> float:
        """With how many items inside somebody is to be called; none, while nobody is."""
        return inf if self._coming else min([consumer.items for consumer in self._waiting], default=inf)

    @property
    def patience(self) -> float:
        """After how many seconds of an item's waiting somebody is to be called; never, while nobody is."""
        return inf if self._coming else min([consumer.within for consumer in self._waiting], default=inf)

    def call(self) -> None:
        """Call the first for whom a batch is due, unless somebody is coming."""
        if self._coming is None:
            for consumer in self._waiting:
                if not consumer.called.cancelled() and self._is_due(consumer):
                    self._waiting.remove(consumer)
                    self._coming = consumer
                    consumer.called.set_result(None)
                    return

    async def stand(self, consumer: Consumer) -> None:
        """Wait until called. Who has been called in vain, because a newcomer was faster, stands in front again."""
        if consumer.called.done():
            consumer.called = asyncio.get_running_loop().create_future()
            self._waiting.appendleft(consumer)
        else:
            self._waiting.append(consumer)
        self._settle()
        try:
            await consumer.called
        except asyncio.CancelledError:
            self._leave(consumer)
            self._settle()
            raise
        self._leave(consumer)

    def _leave(self, consumer: Consumer) -> None:
        if self._coming is consumer:
            self._coming = None
        else:
            self._waiting.remove(consumer)
