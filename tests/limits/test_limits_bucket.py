"""One rate: what it grants in any second, how much of it is used, and what a 429 leaves of it."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_assets.limits.bucket import RateBucket

LIMITS = [500.0, 100.0, 99.5, 25.0, 12.5, 2.5, 1.0, 0.5, 0.1]


def grants(bucket: RateBucket, until: float, lags: list[float] = [0.0]) -> list[float]:  # noqa: B006  # it is only read
    """Ask for slots whenever one is promised, each time later by the next of `lags`, as a busy event loop does."""
    given_at: list[float] = []
    now, turn = 0.0, 0
    while now < until:
        if bucket.take(now):
            given_at.append(now)
        if (ready_at := bucket.ready_at(now)) > now:
            now = ready_at + lags[turn % len(lags)]
            turn += 1
    return given_at


def crowded(given_at: list[float], limit: float) -> list[tuple[float, float]]:
    """Find stretches that hold one slot more than they may: whole slots, in one second or what they take at this rate."""
    most = ceil(limit)
    return [(first, last) for first, last in zip(given_at, given_at[most:], strict=False) if last - first < most / limit]


@pytest.mark.parametrize("limit", LIMITS)
def test_no_second_holds_more_than_the_limit_and_almost_all_of_it_is_used(limit: float) -> None:
    """Stripe answers 429 above the limit, and every slot left unused makes the sync longer."""
    seconds = max(20.0, 40 / limit)
    given_at = grants(RateBucket("account", limit), seconds)
    assert crowded(given_at, limit) == []
    assert len(given_at) >= 0.96 * limit * seconds


@pytest.mark.parametrize("limit", [500.0, 100.0, 25.0])
def test_a_few_milliseconds_of_timer_lag_cost_none_of_the_rate(limit: float) -> None:
    """Event loops are late by some milliseconds all the time: without payback that would be lost."""
    given_at = grants(RateBucket("account", limit), 20.0, lags=[0.0, 0.004, 0.001, 0.008])
    assert crowded(given_at, limit) == []
    assert len(given_at) >= 0.96 * limit * 20


@pytest.mark.parametrize("limit", LIMITS)
def test_slots_are_spread_evenly(limit: float) -> None:
    """A whole second's allowance at once would meet Stripe's concurrency limit, and other programs of the account."""
    given_at = grants(RateBucket("account", limit), max(5.0, 10 / limit))
    gaps = [later - earlier for earlier, later in pairwise(given_at)]
    assert min(gaps) >= 0.9 / limit
    assert max(gaps) <= 1.1 / limit + 0.002


@given(
    limit=st.one_of(st.sampled_from(LIMITS), st.floats(0.2, 60)),
    lags=st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), min_size=1, max_size=12),
    cuts=st.sets(st.integers(0, 60), max_size=4),
)
@settings(max_examples=120, deadline=None)
def test_no_lag_and_no_change_of_the_rate_ever_makes_a_second_too_full(limit: float, lags: list[float], cuts: set[int]) -> None:
    """After a stall everything is due at once: that is when a limiter breaks its limit."""
    bucket = RateBucket("account", limit)
    given_at: list[float] = []
    now = 0.0
    for turn in range(max(80, ceil(limit) + 20)):
        if turn in cuts:
            bucket.slow_down(now)
        if bucket.take(now):
            given_at.append(now)
        if (ready_at := bucket.ready_at(now)) > now:
            now = ready_at + lags[turn % len(lags)]
    assert crowded(given_at, limit) == []
    assert bucket.granted == len(given_at)


def test_a_429_takes_a_tenth_and_a_rest_gives_it_back_step_by_step() -> None:
    """A cut that were regained at once would meet the next 429 at once."""
    bucket = RateBucket("account", 100.0)
    bucket.slow_down(10.0)
    assert [round(bucket.rate(at), 6) for at in (10.0, 11.0, 12.0, 13.0, 14.0, 60.0)] == [90.0, 93.0, 96.0, 99.0, 100.0, 100.0]


def test_429s_of_requests_that_were_already_under_way_count_once() -> None:
    """Fifty requests in flight answer with fifty 429s: they say one thing."""
    bucket = RateBucket("account", 100.0)
    for at in (10.0, 10.0, 10.3, 10.9):
        bucket.slow_down(at)
    assert round(bucket.rate(10.9), 6) == 92.7
    bucket.slow_down(11.0)
    assert round(bucket.rate(11.0), 6) == 83.7


@pytest.mark.parametrize(("limit", "least"), [(100.0, 1.0), (25.0, 1.0), (2.0, 0.2), (0.5, 0.05)])
def test_a_slow_bucket_is_slowed_as_well_and_none_stands_still(limit: float, least: float) -> None:
    """A rate of zero would end a sync without a word; one that a 429 cannot lower would go on knocking."""
    bucket = RateBucket("account", limit)
    bucket.slow_down(2.0)
    assert round(bucket.rate(2.0), 6) == 0.9 * limit
    for at in range(4, 400, 2):
        bucket.slow_down(float(at))
        assert least <= bucket.rate(float(at)) < limit


def test_what_is_granted_follows_a_cut_at_once() -> None:
    """The guard has to know the lower rate too."""
    bucket = RateBucket("account", 100.0)
    for at in range(0, 40):
        bucket.slow_down(at * 1.0)
    rate = bucket.rate(39.0)
    given_at: list[float] = []
    now = 39.0
    while now < 40.0:
        if bucket.take(now):
            given_at.append(now)
        now = bucket.ready_at(now)
    assert 0.9 * rate <= len(given_at) <= rate + 3


def test_retry_after_is_waited_for_to_the_millisecond() -> None:
    """Asking earlier than told earns the next 429."""
    bucket = RateBucket("account", 100.0)
    assert bucket.take(0.0)
    bucket.slow_down(1.0, pause=7.5)
    assert (bucket.take(8.49), bucket.ready_at(2.0), bucket.take(8.5)) == (False, 8.5, True)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Two requests may be told different times."""
    bucket = RateBucket("account", 100.0)
    bucket.slow_down(1.0, pause=9.0)
    bucket.slow_down(1.1, pause=1.0)
    assert bucket.ready_at(1.1) == 10.0


def test_its_repr_shows_its_state() -> None:
    """What is read first when a sync is slower than expected."""
    bucket = RateBucket("GET /v1/charges", 25.0)
    bucket.take(1.0)
    bucket.slow_down(1.0)
    assert repr(bucket) == "<RateBucket GET /v1/charges 22.5 of 25 per second, 1 granted>"
