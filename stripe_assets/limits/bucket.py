"""One rate, kept evenly: a pacer that spaces the slots, and pyrate-limiter's sliding log as the guard behind it.

The guard alone would send a whole second's allowance at once and then wait; the pacer alone could exceed the rate after
a change of it. Who gets a slot belongs in `limiter`.
"""

from pyrate_limiter import InMemoryBucket, Rate, RateItem

PAYBACK = 0.020
"""Seconds of timer lag that may be caught up; without it a busy event loop loses about 5% of the rate."""

WINDOW = 1.03
"""Seconds over which the guard counts the limit. Stripe counts arrivals: requests that leave evenly arrive with some
jitter, and 30 ms more than a second keep the receiver's count below the limit. With 20 ms, full
syncs of a simulated account on busy cores met a 429 now and then (2026-11). Costs 3% of the rate."""

BACK_OFF = 0.9
"""What a 429 leaves of the rate."""
COOL_DOWN = 1.0
"""Seconds after a cut in which further 429s, for requests already under way, do not cut again."""
RECOVERY = 0.03
"""Share of the limit that is regained in each second without a 429."""


class RateBucket:
    """Grants at most `limit` slots in any second, evenly spaced, and fewer for a while after a 429.

    Times are seconds of the caller's clock, which may stand still or jump, but never runs backwards.
    """

    def __init__(self, name: str, limit: float) -> None:
        """Start at the full `limit`, in slots per second."""
        self.name = name
        self.limit = limit
        self._rate = limit
        self._changed_at = 0.0
        self._cut_at: float | None = None
        self._next_at = 0.0
        self._guard = InMemoryBucket(self._guard_rates())
        self.granted = 0

    def __repr__(self) -> str:
        return f"<RateBucket {self.name} {self._rate:.1f} of {self.limit:g} per second, {self.granted} granted>"

    def rate(self, now: float) -> float:
        """Give the present rate: the limit, or what a 429 left of it and time has given back."""
        if self._rate < self.limit and now > self._changed_at:
            self._rate = min(self.limit, self._rate + RECOVERY * self.limit * (now - self._changed_at))
            self._guard.rates = self._guard_rates()
        self._changed_at = now
        return self._rate

    def ready_at(self, now: float) -> float:
        """Say from when on a slot can be had, `now` or later."""
        return max(now, self._next_at)

    def take(self, now: float) -> bool:
        """Take a slot if there is one; otherwise move `ready_at` to when there will be."""
        rate = self.rate(now)
        if now < self._next_at:
            return False
        stamp = round(now * 1000)
        item = RateItem(self.name, stamp)
        self._guard.leak(stamp)
        if not self._guard.put(item):
            self._next_at = now + max(1, int(self._guard.waiting(item))) / 1000  # type: ignore[arg-type]  # in memory it is no awaitable
            return False
        self._next_at = max(self._next_at, now - PAYBACK) + WINDOW / rate
        self.granted += 1
        return True

    def slow_down(self, now: float, *, pause: float = 0.0) -> None:
        """Answer a 429: cut the rate, and grant nothing for `pause` seconds."""
        self._next_at = max(self._next_at, now + pause)
        if self._cut_at is not None and now - self._cut_at < COOL_DOWN:
            return
        self._rate = max(min(1.0, self.limit / 10), self.rate(now) * BACK_OFF)
        self._cut_at = self._changed_at = now
        self._guard.rates = self._guard_rates()

    def _guard_rates(self) -> list[Rate]:
        """Give the sliding log's rate: the whole second's allowance, or one slot per longer stretch below one a second."""
        if self._rate < 1:
            return [Rate(1, round(WINDOW * 1000 / self._rate))]
        return [Rate(int(self._rate), round(WINDOW * 1000 * int(self._rate) / self._rate))]
