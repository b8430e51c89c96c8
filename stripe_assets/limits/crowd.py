"""How many requests may be under way at once, for an account or one of its endpoints.

Stripe limits this too and publishes no number, so it is learned from the 429s that name concurrency as their reason.
"""

from stripe_assets.limits.ceiling import Ceiling


class Crowd:
    """Requests under way, and how many there may be."""

    def __init__(self, limit: int) -> None:
        """Start at the limit."""
        self.limit = limit
        self.under_way = 0
        self._ceiling = Ceiling(limit)

    @property
    def learned(self) -> float | None:
        """The number at which 429s came lately; none while the limit itself is in force."""
        return self._ceiling.learned

    @property
    def lowest(self) -> float | None:
        """The lowest that was ever learned since the limit was set; none without a 429."""
        return self._ceiling.lowest

    def most(self, now: float) -> int:
        """Give how many there may be now: at least one, or nobody would ever notice that it is over."""
        return max(1, int(self._ceiling.value(now)))

    def has_room(self, now: float) -> bool:
        """Say whether one more may be under way."""
        if self._ceiling.is_cut:
            return self.under_way < self.most(now)
        return self.under_way < self.limit

    def refused(self, now: float, sent_at: float) -> None:
        """Answer a 429 for a request sent at `sent_at`, which is still counted: one fewer was accepted."""
        if sent_at >= self._ceiling.cut_at:
            self._ceiling.cut_to(now, max(1.0, self.under_way - 1.0))

    def change(self, limit: int) -> None:
        """Allow another number from now on; what was learned about the old one is forgotten."""
        self.limit, self._ceiling = limit, Ceiling(limit)
