"""Each fault alone, once and for ever: the mirror equals the account afterwards, at the price of the attempts that failed.

Here each fault meets some request of two small syncs; every fault at every request is in `tests/histories`.
"""

import random
from pathlib import Path

import pytest
from faults.lasting import assert_told_and_mended
from faults.small import BEGIN, WHOLE, assert_equal_at_the_price_of_what_failed, without_faults

from stripe_assets.simulator.faults import NAMES

REQUESTS = {"first": 27, "second": 10}
"""Requests of each sync without faults: those of a run that has changed are told by the first test."""
PLACES = [(which, number) for which, count in REQUESTS.items() for number in range(1, count + 1)]
CHANCE = random.Random(20261122)
ONCE = [*zip(CHANCE.sample(PLACES, len(NAMES)), NAMES, strict=True)]
LASTING = [*zip(CHANCE.sample(PLACES, 7), CHANCE.sample(sorted({*NAMES} - WHOLE), 7), strict=True)]
"""Fewer, as each is eight attempts and two syncs."""


def test_the_requests_of_a_sync_without_faults_are_known() -> None:
    """The cases below are counted off by them: one that is not reached would show nothing."""
    assert {which: len(without_faults(which)) for which in BEGIN} == REQUESTS


@pytest.mark.parametrize(("place", "fault"), ONCE)
def test_one_fault_costs_one_request_more_and_changes_nothing(tmp_path: Path, place: tuple[str, int], fault: str) -> None:
    """Whatever it is, whichever request meets it, in a first sync or in one that catches up."""
    which, number = place
    history = BEGIN[which](tmp_path)
    history.sync({number: fault})
    assert history.world.app.faults.struck == [fault]
    assert_equal_at_the_price_of_what_failed(history, which)


@pytest.mark.parametrize(("place", "fault"), LASTING)
def test_what_always_fails_is_told_and_leaves_the_rest_alone(tmp_path: Path, place: tuple[str, int], fault: str) -> None:
    """A dead letter names it, every other type equals the account, and the next run without the fault mends it."""
    assert_told_and_mended(tmp_path, *place, fault)


@pytest.mark.parametrize("start", ["/v1/customers/cus_", "/v1/transfers/tr_"])
def test_children_are_not_complete_where_their_parent_could_not_be_read_again(tmp_path: Path, start: str) -> None:
    """Only its reading would have brought the new ones: nobody would have looked for them."""
    requests = without_faults("second")
    number = 1 + next(index for index, request in enumerate(requests) if request.startswith(start) and request.endswith("?"))
    assert_told_and_mended(tmp_path, "second", number, "server-error")
