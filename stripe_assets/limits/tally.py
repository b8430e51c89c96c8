"""What was sent when, and how long it waited: for displays, run metadata and pictures. Nothing here decides anything.

The memory is the same after a minute and after a week: a run that lasts is told in coarser steps.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import log

STEPS = 600
"""Steps of time that are kept; when there are more, each two become one."""
FINEST, GROWTH = 0.0001, 1.1
"""Waits are told apart from a tenth of a millisecond on, in steps of a tenth of themselves."""
FACTOR = 1 / log(GROWTH)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the limiter is doing at one moment. Rates are per second, waits in seconds.

    `learned_rates` and `learned_in_flight` hold, by bucket, what 429s have taught, while it is in force; `lowest_rates` and
    `lowest_in_flight` the lowest they have ever taught, for a look back.
    """

    limit: float | None = None
    rate: float | None = None
    in_flight: int = 0
    most_in_flight: int = 0
    waiting: int = 0
    granted: int = 0
    throttled: dict[str, int] = field(default_factory=dict)
    wait_p50: float = 0.0
    wait_p99: float = 0.0
    learned_rates: dict[str, float] = field(default_factory=dict)
    learned_in_flight: dict[str, int] = field(default_factory=dict)
    lowest_rates: dict[str, float] = field(default_factory=dict)
    lowest_in_flight: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Step:
    """A stretch of time: requests that went out in it, and 429s that came back, by endpoint."""

    sent: Counter[str] = field(default_factory=Counter)
    throttled: Counter[str] = field(default_factory=Counter)

    def absorb(self, other: "Step") -> None:
        """Count another stretch as part of this one."""
        self.sent.update(other.sent)
        self.throttled.update(other.throttled)


class Tally:
    """Counts by second at first, and by longer steps of 2, 4, 8 ... seconds in longer runs."""

    def __init__(self) -> None:
        """Start at the first request."""
        self.granted = 0
        self.seconds = 1.0
        self.steps: list[Step] = []
        self._began: float | None = None
        self._present: Counter[str] = Counter()  # what is sent in the present step
        self._until = float("-inf")
        self._waits: Counter[int] = Counter()

    def sent(self, endpoint: str, now: float, *, waited: float) -> None:
        """Count a request that goes out."""
        if now >= self._until:
            self._step(now)
        self._present[endpoint] += 1
        self._waits[int(log(waited / FINEST) * FACTOR) + 1 if waited > FINEST else 0] += 1
        self.granted += 1

    def throttled(self, endpoint: str, now: float) -> None:
        """Count a 429."""
        self._step(now).throttled[endpoint] += 1

    def waited(self, share: float) -> float:
        """Give the wait, in seconds and to a tenth of itself, that so large a share of the requests did not exceed."""
        left = share * self.granted
        for size in sorted(self._waits):
            left -= self._waits[size]
            if left <= 0:
                return FINEST * GROWTH**size
        return 0.0

    def _step(self, now: float) -> Step:
        if self._began is None:
            self._began = now
        at = int((now - self._began) / self.seconds)
        while at >= STEPS:
            self._coarsen()
            at = int((now - self._began) / self.seconds)
        while len(self.steps) <= at:
            self.steps.append(Step())
        self._until = self._began + (at + 1) * self.seconds
        self._present = self.steps[at].sent
        return self.steps[at]

    def _coarsen(self) -> None:
        """Make each two steps one."""
        for one, other in zip(self.steps[::2], self.steps[1::2], strict=False):
            one.absorb(other)
        self.steps = self.steps[::2]
        self.seconds *= 2
