"""What a sync says of itself at its end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from stripe_assets.limits.tally import Snapshot, Tally
from stripe_assets.sync.comparison import Comparison, compare
from stripe_assets.sync.forecast import Forecast
from stripe_assets.warehouse.ledger import TypeResult


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended: one result a type, and what it took.

    `limiter` is the limiter at the end, `tally` what it let through when, `forecast` what the mirror expected at its start,
    `missed` the types that were read again because events since their last sync are not kept any more, with the days since.
    """

    run_id: str
    account_id: str
    results: tuple[TypeResult, ...]
    requests: int
    rows: int
    seconds: float
    limiter: Snapshot
    tally: Tally
    forecast: Forecast | None = None
    missed: Mapping[str, int] = field(default_factory=dict)

    @property
    def comparison(self) -> Comparison | None:
        """What was forecast beside what it was; none of a run that ended before there was a forecast."""
        if self.forecast is None:
            return None
        return compare(self.forecast, self.results, requests=self.requests, seconds=self.seconds)

    @property
    def throttled(self) -> dict[str, int]:
        """429s by reason."""
        return self.limiter.throttled

    @property
    def details(self) -> dict[str, object]:
        """What is kept about a run besides its figures."""
        found = self.comparison
        forecast = {"forecast": asdict(found)} if found is not None else {}
        missed = {"missed events": dict(self.missed)} if self.missed else {}
        return {"limiter": asdict(self.limiter), **forecast, **missed}

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is in the mirror."""
        return all(result.state == "complete" for result in self.results)
