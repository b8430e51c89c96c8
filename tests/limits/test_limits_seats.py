"""A limit as seats: what is used seat by seat, each no sooner than it has rested, never exceeds the limit."""

import random
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits.sending import crowded

from stripe_assets.limits.seats import MARGIN, MOST_SEATS, seating

LIMITS = st.one_of(st.sampled_from([25.0, 100.0, 0.1, 1.0, 1024.0, 1025.0, 10_000.0]), st.floats(0.05, 10_000))


@pytest.mark.parametrize(
    ("limit", "seats", "rest"),
    [(25.0, 25, 1 + MARGIN), (2.5, 3, 1.2 + MARGIN), (0.5, 1, 2 + MARGIN), (3000.0, 1000, (1 + MARGIN) / 3)],
)
def test_limit_is_laid_out_as_seats(limit: float, seats: int, rest: float) -> None:
    assert seating(limit) == (seats, pytest.approx(rest))


@given(limit=LIMITS)
def test_seats_hold_the_limit_and_hardly_less(limit: float) -> None:
    """Every seat less would be lost in every second; one more would be a 429."""
    seats, rest = seating(limit)
    assert 1 <= seats <= MOST_SEATS
    assert 0.99 * limit <= seats / rest < limit


@given(limit=LIMITS, seed=st.integers(0, 100))
def test_no_second_holds_more_than_the_limit_however_the_seats_are_used(limit: float, seed: int) -> None:
    """All that processes agree on is when each seat was last used: that must be enough."""
    seats, rest = seating(limit)
    chance = random.Random(seed)
    sent = [at for _ in range(seats) for at in _uses(chance, rest, 3 * ceil(limit) / limit)]
    assert crowded(sent, limit) == []


def _uses(chance: random.Random, rest: float, until: float) -> list[float]:
    at, uses = chance.choice([0.0, chance.uniform(0, rest)]), []
    while at < until:
        uses.append(at)
        at += rest + chance.choice([0.0, 0.0, chance.uniform(0, 0.1)])
    return uses
