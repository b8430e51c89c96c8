"""A limit as seats: 25 requests a second are 25 seats, each of which may be used once a second.

Whoever uses them, in whatever order: uses of one seat are a second apart, so no second holds more uses than there are
seats. This is all that processes must agree on to keep a limit together: which seats are whose, or when each was last used.
How they agree belongs in `shared_file` (one machine) and `leases` (several).
"""

from math import ceil
from typing import NamedTuple

MARGIN = 0.002
"""Seconds that a seat rests longer than it must: what leaves a second apart may arrive closer together. Costs 0.2% of the limit."""
PAYBACK = 0.020
"""Seconds of lateness that evenly spaced slots may catch up; without it a busy event loop loses about 5% of the rate."""
MOST_SEATS = 1024
"""Seats of one bucket. A higher limit has fewer seats that rest shorter."""


class Seating(NamedTuple):
    """How many seats a limit has, and for how many seconds each rests after it was used."""

    seats: int
    rest: float


def seating(limit: float) -> Seating:
    """Lay out a limit, in slots per second, as seats.

    A fractional limit is its next whole number of seats that rest longer: 2.5 a second are 3 seats for 1.2 seconds each. Above
    1,024 a second is cut into equal parts: 3,000 are 1,000 seats for a third of a second, so that three parts hold 3,000.
    """
    whole = ceil(limit)
    if whole <= MOST_SEATS:
        return Seating(whole, whole / limit + MARGIN)
    parts = ceil(whole / MOST_SEATS)
    return Seating(int(limit / parts), (1 + MARGIN) / parts)
