"""The guards that no rate gets past: what was sent within the last second is counted, here or where others count too.

`InProcess` keeps the counts in this process, in pyrate-limiter's sliding logs; guards that other processes share stand
beside it. Spacing the slots, and lowering a rate after a 429, belongs in `bucket`.
"""

from collections.abc import Callable
from math import ceil
from typing import Protocol

from pyrate_limiter import InMemoryBucket, Rate, RateItem

MARGIN = 0.002
"""Seconds beyond one that a guard counts: what leaves evenly arrives with some jitter. The moment that counts is the one
in which the request really leaves (`used`), so that a busy event loop needs no further distance."""
ROUNDING = 1e-6
"""Milliseconds by which a moment that `ready_at` gave may seem to be earlier, in floating point."""


class Guard(Protocol):
    """Counts what was sent lately, so that no second sees more than the limit.

    Times are seconds of the event loop's clock, passed in; they may stand still or jump, but never run backwards.
    """

    def ready_at(self, now: float) -> float:
        """Say when the next slot may be had, `now` or later; infinity while that is not known, and is told later."""
        ...

    def take(self, now: float) -> int | None:
        """Take a slot and give its number, or None if there is none after all: `ready_at` has moved then."""
        ...

    def used(self, slot: int, now: float) -> None:
        """Count a slot from now on: the request goes out, a little later than `take`."""
        ...

    def give_back(self, slot: int) -> None:
        """Count a slot no more: nothing was sent."""
        ...


class Sharing(Protocol):
    """Where the guards of one account live: in this process, or where other processes see them too."""

    def guard(self, name: str, limit: float, on_change: Callable[[], None]) -> Guard:
        """Give the guard of a bucket, `limit` slots a second; what was counted under this `name` before stays counted.

        `on_change` is called in the event loop's thread when `ready_at` was infinity and no longer is.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class InProcess:
    """Guards that only this process knows of."""

    def __init__(self) -> None:
        """Start with nothing sent."""
        self._guards: dict[str, _Log] = {}

    def guard(self, name: str, limit: float, on_change: Callable[[], None]) -> Guard:  # noqa: ARG002  # it always knows
        """Give a bucket's guard, with the rate that it has from now on."""
        guard = self._guards.get(name)
        if guard is None:
            guard = self._guards[name] = _Log(name, limit)
        guard.resize(limit)
        return guard

    def close(self) -> None:
        """Nothing is held open."""


class _Log:
    """pyrate-limiter's sliding log. Its stamps are whole milliseconds."""

    def __init__(self, name: str, limit: float) -> None:
        self._name = name
        self._rate = _rate(limit)
        self._most_kept = 2 * self._rate.limit
        self._bucket = InMemoryBucket([self._rate])
        self._items = self._bucket.items  # its `peek` takes a lock and counts: half a microsecond of every grant
        self._taken: dict[int, RateItem] = {}  # and not yet sent
        self._granted = 0

    def resize(self, limit: float) -> None:
        self._rate = _rate(limit)
        self._most_kept = 2 * self._rate.limit
        self._bucket.rates = [self._rate]

    def ready_at(self, now: float) -> float:
        most = self._rate.limit
        if len(self._items) < most:
            return now
        ready_at = (self._items[-most].timestamp + self._rate.interval + 1) / 1000
        return ready_at if ready_at > now else now

    def take(self, now: float) -> int | None:
        item = RateItem(self._name, int(now * 1000 + ROUNDING))
        if len(self._items) > self._most_kept:
            self._bucket.leak(item.timestamp)
        if not self._bucket.put(item):
            return None
        self._granted = slot = self._granted + 1
        self._taken[slot] = item
        return slot

    def used(self, slot: int, now: float) -> None:
        self._taken.pop(slot).timestamp = int(now * 1000 + ROUNDING)

    def give_back(self, slot: int) -> None:
        item = self._taken.pop(slot)
        if item in self._items:  # it is forgotten already if the event loop stood still for longer than it counts
            self._items.remove(item)


def _rate(limit: float) -> Rate:
    """Give a second's whole allowance; where that is no whole number, one slot more in as much more time as it takes."""
    most = ceil(limit)
    return Rate(most, ceil(1000 * most / limit + 1000 * MARGIN))
