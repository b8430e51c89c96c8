"""Two faults in one sync: some of the pairs; `tests/histories` has more of them."""

from pathlib import Path

import pytest
from faults.pairs import pairs
from faults.small import BEGIN, assert_equal_at_the_price_of_what_failed

from stripe_assets.simulator.faults import NAMES

SOME = 8
SEED = 20261122


@pytest.mark.parametrize("number", range(SOME))
def test_two_faults_change_nothing(tmp_path: Path, number: int) -> None:
    """A fault in the wake of another meets code that is seldom run."""
    pair = pairs(SEED)[number]
    history = BEGIN[pair.which](tmp_path)
    history.sync(pair.plan)
    assert history.world.app.faults.struck, pair
    assert_equal_at_the_price_of_what_failed(history, pair.which)


def test_every_two_faults_are_a_pair() -> None:
    """In both orders."""
    assert {pair.faults for pair in pairs(SEED)} == {(first, second) for first in NAMES for second in NAMES}
