"""What is to be read again takes the fewest requests: pages of the list where it has many of them, single ones elsewhere."""

from itertools import pairwise
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from stripe_assets.catalog.types import load
from stripe_assets.warehouse.stretches import PAGE, Second, Stretch, is_listed, stretches

CATALOG = load()
LISTS = st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=500)


def seconds(objects: list[tuple[int, bool]]) -> list[Second]:
    """Lay out a list of (created, noted) as the mirror counts it."""
    ordered = sorted(objects)
    found: list[Second] = []
    for created in sorted({at for at, noted in ordered if noted}):
        here = [noted for at, noted in ordered if at == created]
        before = sum(1 for at, _ in ordered if at < created)
        found.append(Second(created, before + 1, before + len(here), sum(here)))
    return found


def requests(objects: list[tuple[int, bool]], cut: list[Stretch]) -> int:
    """Count what a cut takes, from the objects themselves: the pages of each stretch, and one request for each noted one outside."""
    pages = sum(ceil(sum(1 for at, _ in objects if one.begin <= at <= one.end) / PAGE) for one in cut)
    return pages + sum(1 for at, noted in objects if noted and not any(one.begin <= at <= one.end for one in cut))


def fewest(objects: list[tuple[int, bool]]) -> int:
    """Count the fewest requests that any cut at seconds takes: the best way to each noted second from the one before."""
    noted = seconds(objects)
    best = [0]
    for end, last in enumerate(noted):
        singly = best[end] + last.noted
        listed = (best[begin] + ceil((last.last - noted[begin].first + 1) / PAGE) for begin in range(end + 1))
        best.append(min(singly, *listed))
    return best[-1]


@given(LISTS)
def test_no_other_cut_takes_fewer_requests_but_for_seconds_that_overflow_a_page(objects: list[tuple[int, bool]]) -> None:
    """Where a second has more objects than a page, two stretches may share one; it is not worth looking for."""
    cut = list(stretches(seconds(objects)))
    crowded = max((sum(1 for at, _ in objects if at == second.created) for second in seconds(objects)), default=0)
    if crowded <= 1:
        assert requests(objects, cut) == fewest(objects)
    assert requests(objects, cut) <= sum(noted for _, noted in objects)


@given(LISTS)
def test_stretches_hold_what_they_say_and_never_meet(objects: list[tuple[int, bool]]) -> None:
    cut = list(stretches(seconds(objects)))
    for one in cut:
        held = [noted for at, noted in objects if one.begin <= at <= one.end]
        assert (sum(held), ceil(len(held) / PAGE)) == (one.noted, one.pages)
        assert one.noted > one.pages
    assert all(before.end < after.begin for before, after in pairwise(cut))


def test_only_lists_that_tell_all_by_themselves_are_cut() -> None:
    """Not those that need a parent, leave objects out, or show some only with another parameter."""
    assert is_listed(CATALOG["charges"])
    assert not any(is_listed(CATALOG[name]) for name in ("treasury_transactions", "prices", "quotes", "balance", "core_accounts"))
