"""Where the true limit lies, learned from 429s: below what is allowed, because other programs take part of it.

After a cut the value comes back to where it met the 429 quickly at first and slowly at last, stays near it, and then
tries for more, faster and faster: the curve of TCP CUBIC (RFC 9438). What the value is of (requests a second, requests
at once) is the owner's business.
"""

STEP_BACK = 0.9
"""What is left of the estimate of what was accepted, right after a cut. The way back is so quick at first that it costs
2.5% on average, and the receiver's full second has time to empty."""
LEAST_REST, REST, MOST_REST = 6.0, 300.0, 40.0
"""Seconds until the value is back at the estimate: so long that about `REST` requests are sent meanwhile, within bounds.
With one or two 429s at each end of it, fewer than 1% of the requests meet one."""
TRIAL = 3.0
"""Seconds after that in which the value doubles (a tenth of the rest, if that is longer); in twice as many it is ninefold."""
STRETCH = 1.0
"""Seconds of answers that an estimate is made of: those of the present stretch and of the one before."""
ENOUGH = 4
"""Answers since the last cut without which there is no estimate."""
BELIEF = 8
"""Accepted answers that are imagined beside the real ones: a few 429s in a row are no measurement yet."""


class Ceiling:
    """One learned value between `least` and `limit`. Times are seconds, and never run backwards."""

    def __init__(self, limit: float) -> None:
        """Start at the limit: nothing is known yet."""
        self.limit = limit
        self.least = min(1.0, limit / 10)
        self.is_cut = False
        self.cut_at = float("-inf")
        self.lowest: float | None = None
        """The lowest estimate ever made; none without a cut."""
        self._top = limit
        self._low = limit
        self._accepted = self._refused = 0
        self._before = (0, 0, limit)  # accepted and refused in the stretch before, and the value when it began
        self._began = float("-inf")
        self._value = limit

    @property
    def learned(self) -> float | None:
        """Where the limit was found to be, while that is in force."""
        return self._top if self.is_cut else None

    def value(self, now: float) -> float:
        """Give what is allowed now."""
        if not self.is_cut:
            return self.limit
        rest = min(MOST_REST, max(LEAST_REST, REST / self._top))
        since = now - self.cut_at
        if since <= rest:
            value = self._top - (self._top - self._low) * (1 - since / rest) ** 3
        else:
            value = self._top * (1 + ((since - rest) / max(TRIAL, rest / 10)) ** 3)
        if value >= self.limit:
            self.is_cut = False
            return self.limit
        return value

    def accepted(self, now: float, sent_at: float) -> None:
        """Note that a request was let in."""
        if now - self._began > STRETCH:
            self._turn_over(now)
        if sent_at >= self.cut_at:
            self._accepted += 1

    def refused(self, now: float, sent_at: float) -> None:
        """Answer a 429 for a request sent at `sent_at`: go to what was accepted lately.

        What was sent before the last cut says nothing new.
        """
        if now - self._began > STRETCH:
            self._turn_over(now)
        if sent_at < self.cut_at:
            return
        self._refused += 1
        accepted_before, refused_before, value_before = self._before
        refused = self._refused + refused_before
        answers = self._accepted + accepted_before + refused
        if answers >= ENOUGH:
            share = 1 - refused / (answers + BELIEF)
            self.cut_to(now, share * (value_before + self.value(now)) / 2)

    def cut_to(self, now: float, estimate: float) -> None:
        """Go a little below the estimate, and come back to it."""
        self._top = min(self.limit, max(self.least, estimate))
        self._low = max(self.least, STEP_BACK * self._top)
        self.lowest = self._top if self.lowest is None else min(self._top, self.lowest)
        self.is_cut = True
        self.cut_at = now
        self._turn_over(now)
        self._before = (0, 0, self._low)

    def _turn_over(self, now: float) -> None:
        """Begin another stretch; one that lies further back than the last is forgotten."""
        fresh = now - self._began <= 2 * STRETCH
        self._before = (self._accepted, self._refused, self._value) if fresh else (0, 0, self.value(now))
        self._accepted = self._refused = 0
        self._began, self._value = now, self.value(now)
