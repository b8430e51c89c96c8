"""Gives the next free slot to the best waiting request whose account, endpoint and concurrency have room.

    async with limiter.slot("GET /v1/charges", priority=Priority.PAGE):
        response = await client.get(...)

The caller stays where it is and knows nothing of rates. One synchronous method decides; it runs when somebody comes to
wait, when a request ends, and when a timer says that a bucket has refilled. Retries belong in `api`.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

from stripe_assets.limits.bucket import COOL_DOWN, RateBucket
from stripe_assets.limits.priority import Priority

PATIENCE = 5.0
"""Seconds after which a waiting request rises by one priority, so that nobody starves."""
MOST_IN_FLIGHT = 64
"""Requests under way at once. Stripe publishes no number; 100 a second at half a second each need 50."""
LEAST_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per second for an account and for each of its endpoints (none: unlimited), and requests at once."""

    account: float | None = 100.0
    endpoint: float | None = 25.0
    in_flight: int = MOST_IN_FLIGHT


@dataclass(slots=True, eq=False)
class _Waiter:
    priority: Priority
    number: int
    since: float
    ready: asyncio.Future[None]


@dataclass(slots=True)
class _Endpoint:
    name: str
    bucket: RateBucket | None
    waiting: dict[Priority, deque[_Waiter]] = field(default_factory=lambda: {priority: deque() for priority in Priority})
    in_flight: int = 0
    work_left: float = float("inf")  # not known yet: the first answer will tell, so it is worth most

    def heads(self) -> list[_Waiter]:
        """Give who is next in each priority. Who was cancelled, but could not yet take itself out, is gone for good."""
        for queue in self.waiting.values():
            while queue and queue[0].ready.cancelled():
                queue.popleft()
        return [queue[0] for queue in self.waiting.values() if queue]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the limiter is doing at one moment: for progress displays and run metadata."""

    rate: float | None
    in_flight: int
    waiting: int
    granted: int
    throttled: dict[str, int]


class Limiter:
    """The buckets of one account in one event loop."""

    def __init__(self, limits: Limits) -> None:
        """Start with full buckets; endpoints get theirs when they are first asked for."""
        self.limits = limits
        self._account = RateBucket("account", limits.account) if limits.account else None
        self._endpoints: dict[str, _Endpoint] = {}
        self._most_in_flight = float(limits.in_flight)
        self._crowded_until = 0.0
        self._in_flight = 0
        self._granted = 0
        self._arrivals = count()
        self._timer: asyncio.TimerHandle | None = None
        self._throttled: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Limiter {self._account}, {self._in_flight} in flight, {self.waiting()} waiting>"

    @asynccontextmanager
    async def slot(self, endpoint: str, *, priority: Priority) -> AsyncIterator[None]:
        """Wait for leave to send one request, and hold its place among those under way until the block ends."""
        place = self._place(endpoint)
        await self._wait(place, priority)
        try:
            yield
        finally:
            self._in_flight -= 1
            place.in_flight -= 1
            self._dispatch()

    def work_left(self, endpoint: str, pages: float) -> None:
        """Say how many requests an endpoint still expects: within a priority the one with most goes first, or who has not said."""
        self._place(endpoint).work_left = pages

    def has_room(self, endpoint: str) -> bool:
        """Say whether a further cursor on this endpoint would get slots: nobody waits who would get them first."""
        place = self._place(endpoint)
        if any(place.waiting.values()) or self._in_flight >= self._most_in_flight:
            return False
        rivals = (other.work_left for other in self._endpoints.values() if any(other.waiting.values()))
        return place.work_left >= max(rivals, default=0.0)

    def slow_down(self, endpoint: str, reason: str | None, *, pause: float = 0.0) -> None:
        """Answer a 429 where its reason points: at the account's rate, the endpoint's, or the number in flight.

        `pause` in seconds is what `Retry-After` asked for. Without a reason no limiter spoke, and nothing is slowed.
        """
        now = asyncio.get_running_loop().time()
        self._throttled[reason or "no reason given"] += 1
        if reason == "global-rate" and self._account is not None:
            self._account.slow_down(now, pause=pause)
        elif reason == "endpoint-rate" and (bucket := self._place(endpoint).bucket) is not None:
            bucket.slow_down(now, pause=pause)
        elif reason in ("global-concurrency", "endpoint-concurrency") and now >= self._crowded_until:
            self._crowded_until = now + COOL_DOWN
            least = min(LEAST_IN_FLIGHT, self.limits.in_flight)
            self._most_in_flight = max(least, min(self._most_in_flight, self._in_flight + 1) * 0.7)

    def waiting(self) -> int:
        """Count the requests that wait for a slot."""
        return sum(len(queue) for place in self._endpoints.values() for queue in place.waiting.values())

    def snapshot(self) -> Snapshot:
        """Describe this moment."""
        now = asyncio.get_running_loop().time()
        rate = self._account.rate(now) if self._account else None
        return Snapshot(rate, self._in_flight, self.waiting(), self._granted, dict(self._throttled))

    def _place(self, name: str) -> _Endpoint:
        place = self._endpoints.get(name)
        if place is None:
            bucket = RateBucket(name, self.limits.endpoint) if self.limits.endpoint else None
            place = self._endpoints[name] = _Endpoint(name, bucket)
        return place

    async def _wait(self, place: _Endpoint, priority: Priority) -> None:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(priority, next(self._arrivals), loop.time(), loop.create_future())
        place.waiting[priority].append(waiter)
        self._dispatch()
        try:
            await waiter.ready
        except asyncio.CancelledError:
            if waiter.ready.cancelled():
                with suppress(ValueError):  # a dispatch in the same moment has removed it
                    place.waiting[priority].remove(waiter)
            else:
                self._in_flight -= 1  # the slot was granted in the same moment: give the place back
                place.in_flight -= 1
                self._dispatch()
            raise

    def _dispatch(self) -> None:
        """Grant slots for as long as there is one and somebody who may have it; then set the timer for the next."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._in_flight < self._most_in_flight:
            ready_at = self._account.ready_at(now) if self._account else now
            place, wake_at = self._best(now) if ready_at <= now else (None, ready_at)
            if place is None:
                self._wake(loop, wake_at if any(any(p.waiting.values()) for p in self._endpoints.values()) else None)
                return
            if place.bucket is not None and not place.bucket.take(now):
                continue  # the guard moved its `ready_at`: the next round sees it
            if self._account is not None and not self._account.take(now):
                continue
            self._grant(place, now)

    def _grant(self, place: _Endpoint, now: float) -> None:
        queue = min((q for q in place.waiting.values() if q), key=lambda q: (_risen(q[0], now), q[0].number))
        waiter = queue.popleft()
        self._in_flight += 1
        place.in_flight += 1
        self._granted += 1
        # One success more at once for every round of requests that went well.
        self._most_in_flight = min(float(self.limits.in_flight), self._most_in_flight + 1 / max(self._most_in_flight, 1))
        waiter.ready.set_result(None)

    def _best(self, now: float) -> tuple[_Endpoint | None, float]:
        """Choose the endpoint that goes next, or say when one will be ready.

        Lower priority number first; then most work left; then longest wait.
        """
        best: _Endpoint | None = None
        best_key: tuple[float, float, float] | None = None
        wake_at = float("inf")
        for place in self._endpoints.values():
            heads = place.heads()
            if not heads:
                continue
            ready_at = place.bucket.ready_at(now) if place.bucket else now
            if ready_at > now:
                wake_at = min(wake_at, ready_at)
                continue
            key = min((_risen(head, now), -place.work_left, head.number) for head in heads)
            if best_key is None or key < best_key:
                best, best_key = place, key
        return best, wake_at

    def _wake(self, loop: asyncio.AbstractEventLoop, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at, self._dispatch) if at is not None and at != float("inf") else None


def _risen(waiter: _Waiter, now: float) -> float:
    """Give a waiter's priority after its patience was counted in."""
    return waiter.priority - (now - waiter.since) // PATIENCE
