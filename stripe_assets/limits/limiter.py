"""Gives the next free slot to the best waiting request whose account, endpoint and concurrency have room.

    async with limiter.slot("GET /v1/charges", priority=Priority.PAGE) as slot:
        response = await client.get(...)
        if response.status_code == 429:
            slot.throttled(response.headers.get("Stripe-Rate-Limited-Reason"))

The caller stays where it is and knows nothing of rates. One synchronous method decides; it runs when somebody comes to
wait, when a request ends, and when a timer says that a bucket has refilled. Who is best is decided in `order`; retries
belong in `api`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from types import TracebackType
from typing import Self

from stripe_assets.errors import TooManyWaiting
from stripe_assets.limits.bucket import RateBucket
from stripe_assets.limits.crowd import Crowd
from stripe_assets.limits.guard import InProcess, Sharing
from stripe_assets.limits.order import Line, Order, Waiter
from stripe_assets.limits.priority import Priority
from stripe_assets.limits.tally import Snapshot, Tally

MOST_IN_FLIGHT = 64
"""Requests under way at once. Stripe publishes no number; 100 a second at half a second each need 50."""
MOST_WAITING = 20_000
"""Requests that may ever wait at once: each is a task in memory, where a range or a row on disk would do."""
AGAIN = 0.001
"""Seconds until the next look when another process took the slot that was to be granted."""
NOT_SAID = "no reason given"


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per second for an account and for each of its endpoints (none: unlimited), and requests at once.

    `endpoints` names those whose limit differs from `endpoint`. More than `waiting` requests cannot wait.
    """

    account: float | None = 100.0
    endpoint: float | None = 25.0
    in_flight: int = MOST_IN_FLIGHT
    endpoints: Mapping[str, float] = field(default_factory=dict)
    waiting: int = 5_000

    def __post_init__(self) -> None:
        """Raise `ValueError` for what cannot be kept."""
        if not 0 < self.waiting <= MOST_WAITING:
            raise ValueError(f"between 1 and {MOST_WAITING:,} requests may wait, not {self.waiting:,}")
        if self.in_flight < 1:
            raise ValueError(f"at least one request must be allowed under way, not {self.in_flight}")
        for limit in (self.account, self.endpoint, *self.endpoints.values()):
            if limit is not None and not 0 < limit < inf:
                raise ValueError(f"a limit is a number of requests per second above 0, or None for no limit, not {limit}")

    def of(self, endpoint: str) -> float | None:
        """Give an endpoint's limit in requests per second."""
        return self.endpoints.get(endpoint, self.endpoint)


class Limiter:
    """The buckets of one account in one event loop."""

    def __init__(self, limits: Limits, *, sharing: Sharing | None = None) -> None:
        """Start with full buckets; endpoints get theirs when they are first asked for.

        `sharing` says who else counts: nobody, without one.
        """
        self.limits = limits
        self.room_for_answers: Callable[[], bool] | None = None
        """Nothing is granted while this says no: answers could not be stored. `wake` tells when it may have changed."""
        self.tally = Tally()
        self._now: Callable[[], float] = self._bind
        self._sharing = sharing or InProcess()
        self._account = self._bucket("account", limits.account)
        self._lines: dict[str, Line] = {}
        self._crowd = Crowd(limits.in_flight)
        self._order = Order()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._throttled: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Limiter {self._account}, {self._crowd.under_way} in flight, {len(self._order)} waiting>"

    def slot(self, endpoint: str, *, priority: Priority) -> "Slot":
        """Wait for leave to send one request (`async with`), and hold its place among those under way until the block ends.

        Raises `TooManyWaiting`, and `ConfigurationError` if what counts the slots for all machines cannot be reached.
        """
        slot = Slot(self._line(endpoint), priority)
        slot._limiter = self
        return slot

    def work_left(self, endpoint: str, requests: float) -> None:
        """Say how many requests an endpoint still expects: within a priority the one with most goes first, or who has not said."""
        line = self._line(endpoint)
        if line.work_left != requests:
            line.work_left = requests
            self._order.rank(line, self._now())

    def has_room(self, endpoint: str) -> bool:
        """Say whether a further cursor on this endpoint would get slots: nobody waits who would get them first."""
        line = self._line(endpoint)
        if any(line.waiting) or not self._crowd.has_room(self._now()):
            return False
        return line.work_left >= max((other.work_left for other in self._order.lines), default=0.0)

    def change(self, limits: Limits) -> None:
        """Keep other limits from now on, also for those who wait already. What was sent stays counted."""
        self.limits = limits
        self._account = self._changed(self._account, "account", limits.account)
        for line in self._lines.values():
            line.bucket = self._changed(line.bucket, line.name, limits.of(line.name))
            line.crowd.change(limits.in_flight)
            self._order.rank(line, self._now())
        self._crowd.change(limits.in_flight)
        self.wake()

    def share(self, sharing: Sharing) -> None:
        """Let others count as well, from now on; what went out within the last second is told them.

        Whose account it is may be known only after the first request. Raises `RuntimeError` while requests wait.
        """
        if self._order.length or self._crowd.under_way:
            raise RuntimeError("whose allowance is shared must be known before requests wait for it")
        now = self._now()
        self._sharing.close()
        self._sharing = sharing
        buckets = [(self._account, "account"), *((line.bucket, line.name) for line in self._lines.values())]
        for bucket, name in buckets:
            if bucket is not None:
                bucket.share(sharing.guard(name, bucket.limit, self.wake), now)
        self._dispatch(now)

    def wake(self) -> None:
        """Look again whether something may be granted: what held it up, and is not the limiter's business, has changed."""
        now = self._now()
        self._order.look_again(now)
        self._dispatch(now)

    def close(self) -> None:
        """Let go of what is shared with others. Who still waits gets a `RuntimeError`."""
        if self._timer is not None:
            self._timer.cancel()
        self._despair(RuntimeError("the limiter was closed while requests waited for it"))
        self._sharing.close()

    def waiting(self) -> int:
        """Count the requests that wait for a slot."""
        return len(self._order)

    def snapshot(self) -> Snapshot:
        """Describe this moment: rates, waits, what 429s have taught."""
        now = self._now()
        buckets = [bucket for bucket in (self._account, *(line.bucket for line in self._lines.values())) if bucket is not None]
        learned = {bucket.name: bucket.rate(now) for bucket in buckets if bucket.rate(now) < bucket.limit}
        crowds = {"account": self._crowd} | {line.name: line.crowd for line in self._lines.values()}
        return Snapshot(
            limit=self.limits.account,
            rate=self._account.rate(now) if self._account else None,
            in_flight=self._crowd.under_way,
            most_in_flight=self._crowd.most(now),
            waiting=len(self._order),
            granted=self.tally.granted,
            throttled=dict(self._throttled),
            wait_p50=self.tally.waited(0.5),
            wait_p99=self.tally.waited(0.99),
            learned_rates=learned,
            learned_in_flight={name: crowd.most(now) for name, crowd in crowds.items() if crowd.most(now) < crowd.limit},
            lowest_rates={bucket.name: bucket.lowest for bucket in buckets if bucket.lowest is not None},
            lowest_in_flight={name: max(1, int(crowd.lowest)) for name, crowd in crowds.items() if crowd.lowest is not None},
        )

    def _bind(self) -> float:
        """Tell the time for the first time: from now on by the clock of the event loop that runs."""
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        return self._now()

    def _bucket(self, name: str, limit: float | None) -> RateBucket | None:
        return RateBucket(name, limit, self._sharing.guard(name, limit, self.wake)) if limit is not None else None

    def _changed(self, bucket: RateBucket | None, name: str, limit: float | None) -> RateBucket | None:
        if bucket is None or limit is None:
            return self._bucket(name, limit)
        if bucket.limit != limit:
            bucket.change(limit, self._sharing.guard(name, limit, self.wake))
        return bucket

    def _line(self, name: str) -> Line:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(name, self._bucket(name, self.limits.of(name)), Crowd(self.limits.in_flight))
        return line

    def _enter(self, waiter: Waiter) -> None:
        """Let a request wait, and grant it at once if it is its turn."""
        if self._order.length >= self.limits.waiting:
            raise TooManyWaiting(
                f"{self._order.length:,} requests wait already, {waiter.line.name} would be one more: "
                "keep work that cannot be done yet as a range or a row, or allow more by Limits(waiting=...)"
            )
        now = self._now()
        self._order.add(waiter, now)
        self._dispatch(now)

    def _send(self, waiter: Waiter) -> None:
        """Note that a request goes out at this moment."""
        now = waiter.sent_at = self._now()
        account, line = self._account, waiter.line
        if account is not None and waiter.account_slot is not None:
            account.used(waiter.account_slot, now)
        if line.bucket is not None and waiter.endpoint_slot is not None:
            line.bucket.used(waiter.endpoint_slot, now)
        self.tally.sent(line.name, now, waited=now - waiter.since)

    def _withdraw(self, waiter: Waiter) -> None:
        """Let a request wait no more that was cancelled; if it was granted in the same moment, the next one gets its slot."""
        now = self._now()
        if waiter.granted:
            if waiter.account_slot is not None and self._account is not None:
                self._account.give_back(waiter.account_slot, now)
            if waiter.endpoint_slot is not None and waiter.line.bucket is not None:
                waiter.line.bucket.give_back(waiter.endpoint_slot, now)
            self._leave(waiter, now)
        else:
            self._order.remove(waiter, now)

    def _refuse(self, waiter: Waiter, reason: str | None, pause: float) -> None:
        """Answer a 429 where its reason points: at the account's rate, the endpoint's, or the number in flight."""
        now = self._now()
        self._throttled[reason or NOT_SAID] += 1
        self.tally.throttled(waiter.line.name, now)
        if reason == "global-rate" and self._account is not None:
            self._account.refused(now, waiter.sent_at, pause=pause)
        elif reason == "endpoint-rate" and waiter.line.bucket is not None:
            waiter.line.bucket.refused(now, waiter.sent_at, pause=pause)
        elif reason == "global-concurrency":
            self._crowd.refused(now, waiter.sent_at)
        elif reason == "endpoint-concurrency":
            waiter.line.crowd.refused(now, waiter.sent_at)

    def _end(self, waiter: Waiter, *, accepted: bool) -> None:
        """Note that a request is no longer under way."""
        now, sent_at = self._now(), waiter.sent_at
        if accepted:
            account, bucket = self._account, waiter.line.bucket
            if account is not None and waiter.account_slot is not None:
                account.accepted(now, sent_at)
            if bucket is not None and waiter.endpoint_slot is not None:
                bucket.accepted(now, sent_at)
        self._leave(waiter, now)

    def _leave(self, waiter: Waiter, now: float) -> None:
        line = waiter.line
        self._crowd.under_way -= 1
        line.crowd.under_way -= 1
        if line.set_aside:
            self._order.room_again(line, now)
        self._dispatch(now)

    def _dispatch(self, now: float) -> None:
        """Grant slots for as long as there is one and somebody who may have it; then set the timer for the next."""
        account, order = self._account, self._order
        try:
            while order.length and self._crowd.has_room(now) and (self.room_for_answers is None or self.room_for_answers()):
                ready_at = account.ready_at(now) if account is not None else now
                line = order.best(now) if ready_at <= now else None
                if line is None:
                    self._wake_at(ready_at if ready_at > now else order.ready_at())
                    return
                if not self._grant(line, now):
                    self._wake_at(now + AGAIN)
                    return
        except Exception as error:  # whoever waits must hear of it; who gave the occasion may have other things to do
            self._despair(error)

    def _despair(self, error: Exception) -> None:
        """Let all who wait raise what came instead of slots: each leaves the queue by itself."""
        for line in self._order.lines:
            for queue in line.waiting:
                for waiter in queue.values():
                    if waiter.ready is None:  # it is only just coming
                        waiter.ready = self._loop.create_future()
                    if not waiter.ready.done():
                        waiter.ready.set_exception(error)

    def _grant(self, line: Line, now: float) -> bool:
        """Take a slot of the endpoint and one of the account for who is next, or, if another process was faster, none."""
        waiter, bucket, account = line.first, line.bucket, self._account
        assert waiter is not None
        if bucket is not None:
            waiter.endpoint_slot = bucket.take(now)
            if waiter.endpoint_slot is None:
                return False
        if account is not None:
            waiter.account_slot = account.take(now)
            if waiter.account_slot is None:
                if bucket is not None and waiter.endpoint_slot is not None:
                    bucket.give_back(waiter.endpoint_slot, now)
                return False
        self._crowd.under_way += 1
        line.crowd.under_way += 1
        waiter.granted = True
        self._order.remove(waiter, now)
        if waiter.ready is not None and not waiter.ready.done():
            waiter.ready.set_result(None)
        return True

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return  # it will look again then
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_timer, at) if at != float("inf") else None
        self._timer_at = at  # uvloop's handle of a moment that is already past does not know when it is

    def _on_timer(self, at: float) -> None:
        self._timer = None
        self._dispatch(max(at, self._now()))  # a loop may be early by the rounding of its clock


class Slot(Waiter):
    """Leave to send one request: waited for on entry, held until the block ends."""

    __slots__ = ("_limiter",)
    _limiter: Limiter  # set by the limiter that makes it: a constructor that calls another's costs every slot 2%

    async def __aenter__(self) -> Self:
        limiter = self._limiter
        limiter._enter(self)
        if not self.granted:
            if self.ready is None:
                self.ready = limiter._loop.create_future()
            try:
                await self.ready
            except BaseException:
                limiter._withdraw(self)
                raise
        limiter._send(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._limiter._end(self, accepted=self.accepted)

    def throttled(self, reason: str | None, *, pause: float = 0.0) -> None:
        """Say that the answer was a 429, for the reason that it names; `pause` in seconds is what `Retry-After` asked for.

        Without a reason no limiter spoke, and nothing is slowed.
        """
        self.accepted = False
        self._limiter._refuse(self, reason, pause)
