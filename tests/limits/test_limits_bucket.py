"""One rate: what it grants in any second, how much of it is used, and what a 429 leaves of it."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_assets.limits.bucket import RateBucket
from stripe_assets.limits.guard import InProcess

LIMITS = [500.0, 100.0, 99.5, 25.0, 12.5, 2.5, 1.0, 0.5, 0.1]


def bucket_of(limit: float, name: str = "account") -> RateBucket:
    """Make a bucket whose slots only this process counts."""
    return RateBucket(name, limit, InProcess().guard(name, limit, lambda: None))


def granted(bucket: RateBucket, now: float) -> bool:
    """Take a slot and use it at once, if there is one."""
    slot = bucket.take(now)
    if slot is not None:
        bucket.used(slot, now)
    return slot is not None


def meet_429s(bucket: RateBucket, now: float, *, accepted: int, refused: int) -> None:
    """Answer requests that went out just now: first those that were let in, then the others."""
    for _ in range(accepted):
        bucket.accepted(now, now)
    for _ in range(refused):
        bucket.refused(now, now)


def grants(bucket: RateBucket, until: float, lags: list[float] = [0.0]) -> list[float]:  # noqa: B006  # it is only read
    """Ask for slots whenever one is promised, each time later by the next of `lags`, as a busy event loop does."""
    given_at: list[float] = []
    now, turn = 0.0, 0
    while now < until:
        if granted(bucket, now):
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
    given_at = grants(bucket_of(limit), seconds)
    assert crowded(given_at, limit) == []
    assert len(given_at) >= 0.995 * limit * seconds


@pytest.mark.parametrize("limit", [500.0, 100.0, 25.0])
def test_a_few_milliseconds_of_timer_lag_cost_none_of_the_rate(limit: float) -> None:
    """Event loops are late by some milliseconds all the time: without payback that would be lost."""
    given_at = grants(bucket_of(limit), 20.0, lags=[0.0, 0.004, 0.001, 0.008])
    assert crowded(given_at, limit) == []
    assert len(given_at) >= 0.99 * limit * 20


def test_after_a_pause_slots_come_evenly_again_and_not_all_that_were_missed() -> None:
    """Nobody asked for ten seconds: what could have been sent meanwhile would be a burst now."""
    bucket = bucket_of(100.0)
    assert granted(bucket, 0.0)
    given_at = [at for at in (10.0 + step / 1000 for step in range(200)) if granted(bucket, at)]
    assert sum(1 for at in given_at if at < 10.01) <= 3
    assert len(given_at) <= 23


@pytest.mark.parametrize("limit", LIMITS)
def test_slots_are_spread_evenly(limit: float) -> None:
    """A whole second's allowance at once would meet Stripe's concurrency limit, and other programs of the account."""
    given_at = grants(bucket_of(limit), max(5.0, 10 / limit))
    gaps = [later - earlier for earlier, later in pairwise(given_at)]
    assert min(gaps) >= 0.9 / limit
    assert max(gaps) <= 1.1 / limit + 0.002


@given(
    limit=st.one_of(st.sampled_from(LIMITS), st.floats(0.2, 60)),
    lags=st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), min_size=1, max_size=12),
    late=st.lists(st.one_of(st.just(0.0), st.floats(0, 0.5)), min_size=1, max_size=7),
    cuts=st.sets(st.integers(0, 60), max_size=4),
)
@settings(max_examples=120, deadline=None)
def test_no_lag_and_no_change_of_the_rate_ever_makes_a_second_too_full(
    limit: float, lags: list[float], late: list[float], cuts: set[int]
) -> None:
    """After a stall everything is due at once: that is when a limiter breaks its limit. What counts is when requests leave."""
    bucket = bucket_of(limit)
    left_at: list[float] = []
    now = 0.0
    for turn in range(max(80, ceil(limit) + 20)):
        if turn in cuts:
            meet_429s(bucket, now, accepted=6, refused=2)
        if (slot := bucket.take(now)) is not None:
            now += late[turn % len(late)]
            bucket.used(slot, now)
            left_at.append(now)
        if (ready_at := bucket.ready_at(now)) > now:
            now = ready_at + lags[turn % len(lags)]
    assert crowded(left_at, limit) == []
    assert bucket.granted == len(left_at)


def test_a_slot_that_is_given_back_is_had_by_the_next() -> None:
    """A request that is cancelled when its slot is granted must not cost the rate anything."""
    bucket = bucket_of(1.0)
    slot = bucket.take(0.0)
    assert slot is not None
    assert bucket.ready_at(0.0) > 0.9
    bucket.give_back(slot, 0.0)
    assert (bucket.ready_at(0.0), bucket.granted) == (0.0, 0)
    assert granted(bucket, 0.0)
    assert not granted(bucket, 0.5)


def test_slot_that_is_given_back_after_it_was_forgotten_disturbs_nobody() -> None:
    """A request cancelled after the event loop stood still: an error here would keep its place among those under way for ever."""
    guard = InProcess().guard("any", 1.0, lambda: None)
    for at in (0.0, 2.0):
        slot = guard.take(at)
        assert slot is not None
        guard.used(slot, at)
    late, next_one = guard.take(4.0), guard.take(8.0)
    assert late is not None
    assert next_one is not None
    guard.give_back(late)
    assert guard.take(8.5) is None
    guard.give_back(next_one)
    assert guard.take(8.5) is not None


def test_a_429_lowers_the_rate_to_what_was_accepted_and_it_comes_back() -> None:
    """A cut that were regained at once would meet the next 429 at once."""
    bucket = bucket_of(100.0)
    meet_429s(bucket, 10.0, accepted=90, refused=1)
    rates = [bucket.rate(at) for at in (10.0, 11.0, 13.0, 60.0)]
    assert rates == sorted(rates)
    assert rates[0] < 95.0
    assert rates[-1] == 100.0
    assert bucket.learned is None


def test_429s_of_requests_that_were_already_under_way_count_once() -> None:
    """Fifty requests in flight answer with fifty 429s: they say one thing."""
    bucket = bucket_of(100.0)
    meet_429s(bucket, 10.0, accepted=90, refused=1)
    before = bucket.rate(10.5)
    for _ in range(50):
        bucket.refused(10.5, sent_at=9.9)
    assert bucket.rate(10.5) == before


@pytest.mark.parametrize(("limit", "least"), [(100.0, 1.0), (25.0, 1.0), (2.0, 0.2), (0.5, 0.05)])
def test_a_slow_bucket_is_slowed_as_well_and_none_stands_still(limit: float, least: float) -> None:
    """A rate of zero would end a sync without a word; one that a 429 cannot lower would go on knocking."""
    bucket = bucket_of(limit)
    for at in range(4, 400, 2):
        meet_429s(bucket, float(at), accepted=0, refused=5)
        assert least <= bucket.rate(float(at)) < limit
    assert bucket.rate(398.0) <= 2 * least


def test_what_is_granted_follows_a_cut_at_once() -> None:
    """The pacer has to know the lower rate too."""
    bucket = bucket_of(100.0)
    for at in range(0, 40, 2):
        meet_429s(bucket, float(at), accepted=4, refused=4)
    rate = bucket.rate(38.0)
    assert rate < 20
    given_at: list[float] = []
    now = 38.0
    while now < 39.0:
        if granted(bucket, now):
            given_at.append(now)
        now = max(bucket.ready_at(now), now)
    assert 0.9 * rate <= len(given_at) <= 1.2 * rate + 3


def test_retry_after_is_waited_for_to_the_millisecond() -> None:
    """Asking earlier than told earns the next 429."""
    bucket = bucket_of(100.0)
    assert granted(bucket, 0.0)
    bucket.refused(1.0, 0.0, pause=7.5)
    assert (granted(bucket, 8.49), bucket.ready_at(2.0), granted(bucket, 8.5)) == (False, 8.5, True)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    """Two requests may be told different times."""
    bucket = bucket_of(100.0)
    bucket.refused(1.0, 0.5, pause=9.0)
    bucket.refused(1.1, 0.6, pause=1.0)
    assert bucket.ready_at(1.1) == 10.0


def test_another_limit_counts_what_was_sent_under_the_old_one() -> None:
    """Else a change in the middle of a second would allow both limits in it."""
    counting = InProcess()
    bucket = RateBucket("account", 50.0, counting.guard("account", 50.0, lambda: None))
    left_at = grants(bucket, 0.9)
    bucket.change(20.0, counting.guard("account", 20.0, lambda: None))
    assert bucket.ready_at(0.9) >= left_at[-20] + 1.0


def test_its_repr_shows_its_state() -> None:
    """What is read first when a sync is slower than expected."""
    bucket = bucket_of(25.0, "GET /v1/charges")
    assert granted(bucket, 1.0)
    assert repr(bucket) == "<RateBucket GET /v1/charges 25 per second, 1 granted>"
    meet_429s(bucket, 1.0, accepted=9, refused=1)
    assert "learned" in repr(bucket)
