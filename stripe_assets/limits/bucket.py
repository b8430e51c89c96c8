"""One rate, kept evenly: a pacer that spaces the slots, the ceiling that 429s have taught it, and the guard behind both.

The guard alone would send a whole second's allowance at once and then wait; the pacer alone could exceed the rate after
a stall. Who gets a slot belongs in `limiter`.
"""

from stripe_assets.limits.ceiling import Ceiling
from stripe_assets.limits.guard import MARGIN, Guard

PAYBACK = 0.020
"""Seconds of timer lag that may be caught up; without it a busy event loop loses about 5% of the rate."""
SPREAD = 1.0 + MARGIN + 0.0005
"""Seconds over which a second's slots are spread: as many as the guard counts, whose clock knows whole milliseconds, so
that the two hardly ever meet. Costs 0.25% of the rate."""


class RateBucket:
    """Grants at most `limit` slots in any second, evenly spaced, and fewer for a while after a 429.

    Times are seconds of the caller's clock, which may stand still or jump, but never runs backwards.
    """

    def __init__(self, name: str, limit: float, guard: Guard) -> None:
        """Start at the full `limit`, in slots per second."""
        self.name = name
        self.granted = 0
        self._next_at = 0.0
        self._keep(limit, guard, Ceiling(limit))

    def __repr__(self) -> str:
        learned = f", learned {self.learned:.1f}" if self.learned is not None else ""
        return f"<RateBucket {self.name} {self.limit:g} per second{learned}, {self.granted} granted>"

    @property
    def learned(self) -> float | None:
        """The rate at which 429s came lately; none while the limit itself is in force."""
        return self._ceiling.learned

    @property
    def lowest(self) -> float | None:
        """The lowest that was ever learned since the limit was set; none without a 429."""
        return self._ceiling.lowest

    def rate(self, now: float) -> float:
        """Give the present rate: the limit, or what 429s left of it and time has given back."""
        return self._ceiling.value(now)

    def change(self, limit: float, guard: Guard) -> None:
        """Keep another limit from now on; what was learned about the old one is forgotten."""
        self._keep(limit, guard, Ceiling(limit))

    def share(self, guard: Guard, now: float) -> None:
        """Count by another guard from now on, and tell it what was granted so far: little, at the start of a run."""
        for _ in range(self.granted):
            if (slot := guard.take(now)) is not None:
                guard.used(slot, now)
        self._keep(self.limit, guard, self._ceiling)

    def ready_at(self, now: float) -> float:
        """Say from when on a slot can be had, `now` or later."""
        ready_at = self._guard.ready_at(now)
        return ready_at if ready_at > self._next_at else self._next_at

    def take(self, now: float) -> int | None:
        """Take a slot and give its number; None if there is none, and `ready_at` tells when there will be."""
        if now < self._next_at:
            return None
        slot = self._guard.take(now)
        if slot is not None:
            gap = SPREAD / self._ceiling.value(now) if self._ceiling.is_cut else self._gap
            earliest = now - PAYBACK
            self._next_at = (self._next_at if self._next_at > earliest else earliest) + gap
            self.granted += 1
        return slot

    def give_back(self, slot: int, now: float) -> None:
        """Let the next one have a slot: nothing was sent."""
        self._guard.give_back(slot)
        self._next_at -= SPREAD / self.rate(now)
        self.granted -= 1

    def refused(self, now: float, sent_at: float, *, pause: float = 0.0) -> None:
        """Learn from a 429 for this bucket: lower the rate, and grant nothing for `pause` seconds."""
        self._next_at = max(self._next_at, now + pause)
        self._ceiling.refused(now, sent_at)

    def _keep(self, limit: float, guard: Guard, ceiling: Ceiling) -> None:
        self.limit = limit
        self._guard = guard
        self._ceiling = ceiling
        self._gap = SPREAD / limit
        self.used = guard.used
        """Count a slot from now on: its request goes out. (A forwarding method would cost every slot 0.1 µs.)"""
        self.accepted = ceiling.accepted
        """Learn from an answer that was no 429: the request was let in."""
