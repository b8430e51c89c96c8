"""The time of a run's readings: Stripe's, as its answers tell it, and later for later readings, whatever the machine's clock does.

Rows are compared by it: what a whole reading did not see again since its beginning is gone, and a row that was read before an
event is older than what the event tells. A clock that was set back, or one that is wrong, would make the newer look older.
"""

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import monotonic, time

PLAUSIBLE = 20 * 365 * 86_400.0
"""Seconds by which Stripe's time may differ from the machine's: whoever says more is no clock, but a proxy without one."""


class Clock:
    """Seconds since 1970, never backwards."""

    def __init__(self, *, wall: Callable[[], float] = time, steady: Callable[[], float] = monotonic) -> None:
        """Start at the machine's present."""
        self._steady = steady
        self._offset = wall() - steady()

    def follow(self, date: str | None) -> None:
        """Go on from the time that an answer's `Date` tells, in whole seconds; without one, from the machine's."""
        try:
            moment = parsedate_to_datetime(date) if date is not None else None
            told = None if moment is None else (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return  # no date: as good as none
        if told is not None and abs(told - self.now()) <= PLAUSIBLE:
            self._offset = told - self._steady()

    def not_before(self, moment: float) -> None:
        """Tell no time before `moment`: what the mirror has is from then."""
        self._offset = max(self._offset, moment - self._steady())

    def now(self) -> float:
        """Tell the time."""
        return self._offset + self._steady()
