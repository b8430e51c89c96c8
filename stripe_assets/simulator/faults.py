"""Seeded faults: what goes wrong, and how often."""

import random
from collections.abc import Mapping

from stripe_assets.simulator.replies import Refusal, throttled

REFUSED = {
    "rate-limit": lambda: throttled("global-rate"),
    "endpoint-rate-limit": lambda: throttled("endpoint-rate"),
    "concurrency": lambda: throttled("global-concurrency"),
    "endpoint-concurrency": lambda: throttled("endpoint-concurrency"),
    "lock-timeout": lambda: Refusal(429, "This object cannot be accessed right now, another request holds it.", code="lock_timeout"),
    "server-error": lambda: Refusal(500, "An unknown error occurred.", error_type="api_error"),
    "unavailable": lambda: Refusal(503, "Temporarily unavailable.", error_type="api_error", retry=True),
    "conflict": lambda: Refusal(409, "Another request with the same key is in progress.", error_type="idempotency_error"),
}
"""Faults that are an error answer in Stripe's form."""

MANGLED = frozenset({"html", "reset", "truncated", "corrupt", "slow"})
"""Faults of the answer's way: another's page, no answer, a part of it, broken JSON, five seconds late."""

SLOW_SECONDS = 5.0
NAMES = sorted({*REFUSED, *MANGLED})


class Faults:
    """Draws the fault of each request, at given rates and in the order of the seed."""

    def __init__(self, rates: Mapping[str, float] | None, seed: int) -> None:
        self._rates = dict(rates or {})
        if unknown := sorted(set(self._rates) - set(NAMES)):
            raise ValueError(f"unknown fault {', '.join(unknown)}; there are: {', '.join(NAMES)}")
        if wrong := [name for name, rate in self._rates.items() if not 0 <= rate <= 1]:
            raise ValueError(f"the rate of a fault is from 0 to 1: {', '.join(wrong)}")
        self._random = random.Random(seed)

    def draw(self) -> str | None:
        """Give the fault of the next request, or None. One draw per request; rates are tried in their order and add up."""
        if not self._rates:
            return None
        drawn = self._random.random()
        for name, rate in self._rates.items():
            if drawn < rate:
                return name
            drawn -= rate
        return None
