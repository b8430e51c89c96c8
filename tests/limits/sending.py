"""Senders that use a guard as a limiter does, and what a receiver then sees."""

import asyncio
from collections.abc import Sequence
from math import ceil

from stripe_assets.limits.guard import Guard, Sharing


class Process:
    """Stands for one process: asks for slots of some buckets at once, as fast as they come or every so many seconds."""

    def __init__(self, sharing: Sharing, sent: list[float], limits: dict[str, float], *, every: float = 0.0) -> None:
        self.sharing = sharing
        self.sent = sent  # by all processes
        self.own: list[float] = []
        self.changed = asyncio.Event()
        self.guards = [sharing.guard(name, limit, self.changed.set) for name, limit in limits.items()]
        self.every = every
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._slot(loop)
            self.own.append(loop.time())
            self.sent.append(loop.time())
            if self.every:
                await asyncio.sleep(self.every)

    async def _slot(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            now = loop.time()
            ready_at = first_late(self.guards, now)
            if ready_at > now:
                self.changed.clear()
                timer = loop.call_at(ready_at, self.changed.set) if ready_at < float("inf") else None
                await self.changed.wait()
                if timer is not None:
                    timer.cancel()
            elif take_all(self.guards, now):
                return

    def stop(self) -> None:
        """Send no more; what is held stays held."""
        self.task.cancel()


def first_late(guards: Sequence[Guard], now: float) -> float:
    """Say when the first guard that is not ready will be; the ones behind it are not asked, as nobody waits for them yet."""
    return next((ready_at for guard in guards if (ready_at := guard.ready_at(now)) > now), now)


def take_all(guards: Sequence[Guard], now: float) -> bool:
    """Take a slot of every guard, or of none."""
    taken: list[tuple[Guard, int]] = []
    for guard in guards:
        slot = guard.take(now)
        if slot is None:
            for other, number in taken:
                other.give_back(number)
            return False
        taken.append((guard, slot))
    for guard, number in taken:
        guard.used(number, now)
    return True


def crowded(sent: Sequence[float], limit: float) -> list[tuple[float, float]]:
    """Find stretches that hold one request more than they may: whole requests, in one second or what they take at this limit."""
    most, ordered = ceil(limit), sorted(sent)
    return [(first, last) for first, last in zip(ordered, ordered[most:], strict=False) if last - first < most / limit - 1e-9]
