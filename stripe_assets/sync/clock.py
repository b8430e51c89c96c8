"""The time of a run's readings: later readings have later times, whatever happens to the machine's clock.

Rows are compared by it: what a whole reading did not see again since its beginning is gone. A clock that was set back in
between would make everything look gone.
"""

from collections.abc import Callable
from time import monotonic, time


class Clock:
    """Seconds since 1970, never backwards."""

    def __init__(self, *, wall: Callable[[], float] = time, steady: Callable[[], float] = monotonic) -> None:
        """Start at the machine's present."""
        self._steady = steady
        self._offset = wall() - steady()

    def not_before(self, moment: float) -> None:
        """Tell no time before `moment`: what the mirror has is from then."""
        self._offset = max(self._offset, moment - self._steady())

    def now(self) -> float:
        """Tell the time."""
        return self._offset + self._steady()
