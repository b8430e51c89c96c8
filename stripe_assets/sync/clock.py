"""The time of a run's readings: Stripe's, as its answers tell it, and later for later readings, whatever the machine's clock does.

Rows are compared by it: what a whole reading did not see again since its beginning is gone, and a row that was read before an
event is older than what the event tells. A clock that was set back, or one that is wrong, would make the newer look older.
"""

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import monotonic, time


class Clock:
    """Seconds since 1970, never backwards."""

    def __init__(self, *, wall: Callable[[], float] = time, steady: Callable[[], float] = monotonic) -> None:
        """Start at the machine's present."""
        self._steady = steady
        self._offset = wall() - steady()

    def follow(self, date: str | None) -> None:
        """Go on from the time that an answer's `Date` tells, in whole seconds; without one, from the machine's."""
        try:
            self._offset = parsedate_to_datetime(date).timestamp() - self._steady() if date is not None else self._offset
        except ValueError:
            return  # no date: as good as none

    def not_before(self, moment: float) -> None:
        """Tell no time before `moment`: what the mirror has is from then."""
        self._offset = max(self._offset, moment - self._steady())

    def now(self) -> float:
        """Tell the time."""
        return self._offset + self._steady()
