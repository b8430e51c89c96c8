"""However a list is cut while it is read, its slices cover all of time between them, and their reading ends."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sync.listing import FEW, Listing, Reading, gaps

from stripe_assets.api.answers import Page, Stub
from stripe_assets.sync.slices import PAGE, PAGES_PER_SLICE, WORTH_SPLITTING, Slice, busiest

TIMES = st.lists(st.integers(0, 60), max_size=40)
STEPS = st.lists(st.tuples(st.sampled_from(["read", "read", "read", "split", "delete"]), st.integers(0, 1000)), max_size=120)


def ranges(slices: list[Slice]) -> list[tuple[int | None, int | None]]:
    return [(piece.gte, piece.lt) for piece in slices]


@settings(max_examples=300, deadline=None, print_blob=True)
@given(times=TIMES, steps=STEPS, bottom=st.sampled_from([None, 0, 30]))
def test_any_history_of_reading_splitting_and_deleting_reads_everything(
    times: list[int], steps: list[tuple[str, int]], bottom: int | None
) -> None:
    """No guess about where objects lie, and no object that vanishes under a cursor, may cost another its place."""
    listing = Listing(times)
    reading = Reading(listing, [Slice(0)], bottom=bottom)
    seen: set[str] = set()
    for action, choice in steps:
        before = [(piece.number, piece.gte, piece.lt) for piece in reading.slices if piece.done]
        if action == "split":
            reading.split(choice)
        elif action == "delete" and listing.living:
            listing.deleted.add(listing.living[choice % len(listing.living)])
        elif (delivered := reading.step(choice)) is not None:
            seen |= delivered.ids
        assert gaps(ranges(reading.slices)) == []
        assert sum(piece.lt is None for piece in reading.slices) == 1, "slices overlap at the top"
        assert set(before) <= {(piece.number, piece.gte, piece.lt) for piece in reading.slices}, "what is done was split"
    for delivered in reading.rest():
        seen |= delivered.ids
    assert seen >= set(listing.living)


def test_gap_in_the_ranges_would_be_seen() -> None:
    assert gaps([(None, 5), (6, None)]) == [(5, 6)]
    assert gaps([(None, 5)]) == [(5, None)]
    assert gaps([(3, None)]) == [(None, 3)]
    assert gaps([(5, None), (None, 5)]) == []


def test_slices_adjoin_without_overlap() -> None:
    """What lies in two slices is asked for twice."""
    reading = Reading(Listing(list(range(100))), [Slice(0)], bottom=0)
    for turn in range(12):
        reading.step(turn)
        reading.split(turn)
    bounds = sorted(ranges(reading.slices), key=lambda each: each[0] or 0)
    assert [upper for _, upper in bounds[:-1]] == [lower for lower, _ in bounds[1:]]
    assert (bounds[0][0], bounds[-1][1]) == (None, None)


def page(newest: int, oldest: int, *, more: bool = True, count: int = PAGE) -> Page:
    """Make a page as a slice sees it: only its size and its ends count."""
    return Page((msgspec.Raw(b"{}"),) * count, more, Stub("first", newest), Stub("last", oldest))


def test_finished_slice_is_never_split() -> None:
    piece = Slice(0)
    piece.advance(page(1000, 900, more=False))
    assert piece.split(1, 0) is None
    assert piece.pages_left(0) == 0.0


def test_slice_is_cut_in_the_middle_of_what_is_left() -> None:
    piece = Slice(0)
    piece.advance(page(1000, 900))
    older = piece.split(1, 100)
    assert older is not None
    assert (piece.gte, piece.lt, piece.cursor) == (500, None, "last")
    assert (older.gte, older.lt, older.cursor, older.done) == (None, 500, None, False)


def test_time_that_cannot_be_cut_any_further_is_left_alone() -> None:
    """Hundreds of objects of one second lie in one slice: only its cursor can go through them."""
    piece = Slice(0, gte=900)
    piece.advance(page(901, 901))
    assert piece.split(1, 0) is None


def test_page_that_was_on_its_way_while_its_slice_was_split_ends_it_below_its_stretch() -> None:
    piece = Slice(0)
    piece.advance(page(1000, 900))
    older = piece.split(1, 100)
    piece.advance(page(899, 400))
    assert piece.done
    assert older is not None and not older.done


def test_lost_cursor_goes_on_from_its_second_without_giving_up_its_stretch() -> None:
    """Others of that second may follow it; and what lies above may not be stored yet when the run is killed."""
    piece = Slice(0, gte=100)
    piece.advance(page(1000, 900))
    piece.lose_cursor()
    assert piece.cursor is None
    assert piece.window() == {"created[gte]": 100, "created[lt]": 901}
    assert (piece.range.gte, piece.range.lt) == (100, None)


def test_objects_that_do_not_say_when_they_were_created_are_read_by_one_cursor() -> None:
    piece = Slice(0)
    piece.advance(Page((msgspec.Raw(b"{}"),) * PAGE, True, Stub("a"), Stub("b", 5)))
    assert piece.split(1, 0) is None
    assert piece.pages_left(0) == 1.0
    assert piece.cursor == "b"


def test_without_a_known_beginning_the_list_must_be_long_before_a_second_cursor_leaps_ahead() -> None:
    """A leap beyond the list's end costs a request for nothing."""
    piece = Slice(0)
    piece.advance(page(10_000, 9_900))
    assert busiest([piece], None) is None
    for begin in (9_800, 9_700, 9_600, 9_500):
        piece.advance(page(begin + 99, begin))
    assert busiest([piece], None) is piece
    older = piece.split(1, None)
    assert older is not None and older.lt is not None
    assert 8_000 < older.lt < 9_500


def test_short_list_is_not_split() -> None:
    piece = Slice(0)
    piece.advance(page(1000, 900))
    assert busiest([piece], 1000 - round(WORTH_SPLITTING * 100)) is None
    assert busiest([piece], 0) is piece


@pytest.mark.parametrize("pages", [10, 50, 200, 1000])
def test_waste_of_splitting_is_bounded(pages: int) -> None:
    """Every slice ends with a page that is half empty: so many slices, so many pages too much, 5% at most."""
    total = pages * PAGE
    done = Slice(0)
    done.advance(page(total, total - PAGE))
    slices = [done]
    while (piece := busiest(slices, 0)) is not None:
        older = piece.split(len(slices), 0)
        assert older is not None
        slices.append(older)
        # The older half begins at once: it shows its first page.
        older.advance(page(older.lt or 0, (older.lt or 0) - PAGE))
    assert len(slices) <= 2 + pages / PAGES_PER_SLICE
    assert len(slices) - 1 <= max(1, 0.05 * pages + 1)
    assert pages < WORTH_SPLITTING or len(slices) > 1


def test_reading_without_splitting_costs_no_request_too_many() -> None:
    reading = Reading(Listing(list(range(10 * FEW))), [Slice(0)], bottom=0)
    assert len(set().union(*(delivered.ids for delivered in reading.rest()))) == 10 * FEW
    assert reading.requests == 10
