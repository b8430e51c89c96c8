"""A few pages tell how long a list is: exactly where they show all of it, else about, and never more surely than they do."""

import random
from bisect import bisect_left
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_assets.sync.figures import Sure
from stripe_assets.sync.sampling import PAGES, Seen, Survey, Window
from stripe_assets.sync.slices import PAGE

DAY = 86_400
YEAR = 365 * DAY
NOW = 1_790_000_000


class Listing:
    """A list as Stripe pages it: objects by `created`, newest first; an object's id is its place from the oldest on."""

    def __init__(self, times: Sequence[int]) -> None:
        self.times = sorted(times)
        self.windows: list[Window] = []

    def page(self, window: Window) -> tuple[list[Seen], bool]:
        self.windows.append(window)
        low = bisect_left(self.times, window.gte) if window.gte is not None else 0
        high = bisect_left(self.times, window.lt) if window.lt is not None else len(self.times)
        high = int(window.after) if window.after is not None else high
        first = max(low, high - PAGE)
        return [Seen(str(place), self.times[place]) for place in range(high - 1, first - 1, -1)], first > low


def surveyed(listing: Listing, *, floor: int, most: int = PAGES, timed: bool = True, has_times: bool = True) -> Survey:
    """Look at a list until the survey has enough."""
    survey = Survey(floor=floor, most=most, timed=timed)
    while (window := survey.next()) is not None:
        page, more = listing.page(window)
        survey.take(window, page if has_times else [Seen(each.id, None) for each in page], more=more)
    return survey


@settings(max_examples=300, deadline=None, print_blob=True)
@given(
    bursts=st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 250)), max_size=12),
    most=st.integers(1, 6),
    timed=st.booleans(),
    has_times=st.booleans(),
)
def test_counted_is_exact_and_no_request_too_many_is_made(bursts: list[tuple[int, int]], most: int, timed: bool, has_times: bool) -> None:
    """Objects may lie anywhere, hundreds in one second: what is said to be counted is, and looking ends."""
    listing = Listing([second for second, count in bursts for _ in range(count)])
    survey = surveyed(listing, floor=0, most=most, timed=timed, has_times=has_times)
    total = len(listing.times)
    assert 1 <= len(listing.windows) <= most
    assert len(listing.windows) == len(set(listing.windows)), "the same was asked twice"
    if survey.rows.sure is Sure.COUNTED:
        assert survey.rows.value == total
    elif survey.rows.sure is Sure.AT_LEAST:
        assert survey.rows.value <= total
        assert not (timed and has_times)
    if total <= PAGE:
        assert (survey.rows.sure, len(listing.windows)) == (Sure.COUNTED, 1)


def growing(count: int, years: float, growth: float) -> list[int]:
    """Objects whose number a day grows e**growth times over the years before the present."""
    chance = random.Random(7)
    return [int(NOW - years * YEAR * chance.expovariate(1) / growth) for _ in range(count)]


STEADY = [NOW - place * YEAR // 2500 for place in range(5000)]
NIGHTLY = [NOW - day * DAY - second for day in range(1, 700) for second in range(40)]
YOUNG = [NOW - place * 60 * DAY // 5000 for place in range(5000)]
FOUNDED = NOW - 6 * YEAR


@pytest.mark.parametrize(
    ("times", "off"),
    [
        pytest.param(STEADY, 0.2, id="steady for two of six years"),
        pytest.param([each for each in growing(20_000, 4, 3.0) if each > FOUNDED], 0.2, id="growing"),
        pytest.param([2 * NOW - 4 * YEAR - each for each in growing(20_000, 4, 3.0) if each > FOUNDED + 2 * YEAR], 0.5, id="shrinking"),
        pytest.param(YOUNG, 0.5, id="begun two months ago"),
        pytest.param(NIGHTLY, 0.5, id="forty every midnight"),
        pytest.param(STEADY + [NOW - 5] * 300, 0.5, id="an import at the head"),
    ],
)
def test_five_pages_tell_about_how_many_there_are(times: list[int], off: float) -> None:
    survey = surveyed(Listing(times), floor=FOUNDED)
    assert survey.rows.sure is Sure.ESTIMATED
    assert abs(survey.rows.value - len(times)) <= off * len(times), survey.rows


@pytest.mark.parametrize("count", [150, 250])
def test_burst_of_one_second_is_not_taken_for_the_pace_of_years(count: int) -> None:
    """Products that a script has made, say: at the pace of that second there would be billions of them."""
    survey = surveyed(Listing([NOW - 90 * DAY] * count), floor=FOUNDED)
    assert survey.rows.value <= 5 * count


def test_list_without_a_filter_has_at_least_what_was_seen_and_one_more() -> None:
    survey = surveyed(Listing(STEADY), floor=FOUNDED, timed=False)
    assert (survey.rows.value, survey.rows.sure) == (PAGES * PAGE + 1, Sure.AT_LEAST)


def test_empty_list_is_counted() -> None:
    survey = surveyed(Listing([]), floor=FOUNDED)
    assert (survey.rows.value, survey.rows.sure) == (0, Sure.COUNTED)
