"""What was sent when stands where it belongs, also beside 429s and after a long time."""

from collections import Counter

import pytest

from stripe_assets.limits.tally import STEPS, Step, Tally


@pytest.mark.parametrize("since", [1.0, float(STEPS - 1)])
def test_request_after_a_429_is_counted_in_its_own_step(since: float) -> None:
    """The picture would show seconds above the limit that there never were, just where 429s came; also as steps become longer."""
    tally = Tally()
    tally.sent("events", 0.0, waited=0.0)
    tally.sent("charges", since + 0.5, waited=0.0)
    tally.throttled("charges", since + 1.2)
    tally.sent("refunds", since + 1.3, waited=0.0)
    assert tally.steps[-2:] == [Step(Counter({"charges": 1})), Step(Counter({"refunds": 1}), Counter({"charges": 1}))]
