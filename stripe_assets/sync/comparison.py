"""Sets a forecast beside what came of it, in requests and seconds.

How a forecast is made belongs in `forecast`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from stripe_assets.sync.figures import Sure
from stripe_assets.sync.forecast import Forecast
from stripe_assets.warehouse.ledger import TypeResult

WORTH_NAMING = 3
"""Types that a comparison names, those that were furthest off first."""


@dataclass(frozen=True, slots=True)
class Apart:
    """A type whose requests were not as many as forecast."""

    type: str
    forecast: int
    made: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A forecast beside its outcome, in requests and seconds (`shortest` possible ones for as many requests as were forecast).

    `apart` are the types that were furthest off, of those of which something was known. The forecast is a `lower_bound` where
    there were types of which nothing was; `from_nothing` where the mirror had none of any: then it says little about the outcome.
    """

    forecast: int
    sure: Sure
    made: int
    shortest: float
    seconds: float
    apart: tuple[Apart, ...]
    lower_bound: bool = False
    from_nothing: bool = False

    @property
    def sentence(self) -> str:
        """The comparison in words."""
        words = "at least " if self.sure is Sure.AT_LEAST else "about " if self.sure is Sure.ESTIMATED else ""
        named = ", ".join(f"{one.type} {one.made:,} instead of {one.forecast:,}" for one in self.apart)
        return (
            f"{words}{self.forecast:,} requests in no less than {self.shortest:.1f} s were forecast, "
            f"{self.made:,} in {self.seconds:.1f} s it took{f' ({named})' if named else ''}"
        )


def compare(expected: Forecast, results: Iterable[TypeResult], *, requests: int, seconds: float) -> Comparison:
    """Set a forecast beside how the sync ended: the results of its types, and all `requests` that it made in `seconds`."""
    made = {result.type: result.requests for result in results}
    known = [one for one in expected.types if one.type in made and one.requests.sure is not Sure.AT_LEAST]
    pairs = [Apart(one.type, one.requests.whole, made[one.type]) for one in known]
    apart = sorted((one for one in pairs if one.made != one.forecast), key=lambda one: -abs(one.made - one.forecast))
    whole = expected.requests
    lower = whole.sure is Sure.AT_LEAST
    return Comparison(
        whole.whole,
        whole.sure,
        requests,
        round(expected.seconds, 1),
        round(seconds, 1),
        tuple(apart[:WORTH_NAMING]),
        lower_bound=lower,
        from_nothing=lower and all(one.rows is None for one in expected.types),
    )
