"""What a sync will ask for is known before: a first one, those after some days, and all once more, beside what they made."""

from dataclasses import dataclass

import pytest
from mirroring import FEW, NOW, World
from sync.planning import Outcome, planned

from stripe_assets.simulator.account import Account
from stripe_assets.sync.figures import Sure
from stripe_assets.sync.forecast import OWN

TENTH, QUARTER, TEN = 0.1, 0.25, 10
FEW_REQUESTS = 5
"""Requests that may be asked about one type, and by which a small sync may be off."""
OPEN = {"tax_transaction_line_items", "source_source_transactions", "core_events"}
"""What may be said to be open: what is asked for by ids that only a request for each of something else shows, what belongs to
those in embedded lists that go on, and a list of version 2, which is looked at once."""


@dataclass
class Lived:
    """Syncs of one account, each with the plan that was made before it."""

    first: Outcome
    catch_ups: list[Outcome]
    again: Outcome


@pytest.fixture(
    scope="module", params=[(8, 1, (), (5.0,)), (300, 3, FEW, (1.0, 5.0, 1 / 24))], ids=["small, of all types", "larger, of some"]
)
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A first sync, further ones after some days, one or five, or an hour, and all once more."""
    customers, seed, types, pauses = request.param
    world = World(tmp_path_factory.mktemp("planned") / "stripe.duckdb", Account(seed=seed, customers=customers, now=NOW))

    def synced(what: str, **options: bool) -> Outcome:
        plan = planned(world, types, **options)
        return Outcome(what, plan.sync, world.sync(types, **options), plan.asked)

    first, catch_ups = synced("first sync"), []
    for days in pauses:
        world.account.advance(days=days)
        catch_ups.append(synced(f"{days:.2f} days later"))
    return Lived(first, catch_ups, synced("full refresh", full_refresh=True))


def test_first_sync_is_forecast_within_a_tenth(lived: Lived) -> None:
    """Whoever has 40,000 requests before them wants to know it, from five of each list. What nobody can know is said to be open."""
    outcome = lived.first
    known = {one.type: one.requests.value for one in outcome.forecast.types if one.requests.sure is not Sure.AT_LEAST}
    found, made = sum(known.values()), sum(outcome.made[name] for name in known)
    assert abs(found - made) <= TENTH * made, f"{outcome}"
    least = [one for one in outcome.forecast.types if one.type not in known]
    assert {one.type for one in least} <= OPEN
    assert all(one.requests.value <= outcome.made[one.type] for one in least), "at least that"


def test_each_type_of_a_first_sync_is_forecast_within_a_quarter_or_ten(lived: Lived) -> None:
    """A total may be right by chance."""
    pairs = {one.type: (one.requests.whole, lived.first.made[one.type]) for one in lived.first.forecast.types if one.type not in OPEN}
    assert {name: pair for name, pair in pairs.items() if abs(pair[0] - pair[1]) > max(TEN, QUARTER * pair[1])} == {}


def test_catch_ups_are_forecast_within_a_tenth_or_five(lived: Lived) -> None:
    """From the mirror's rows and the events since the last run."""
    for outcome in lived.catch_ups:
        assert outcome.off <= max(FEW_REQUESTS, TENTH * outcome.summary.requests), f"{outcome}"


def test_full_refresh_is_forecast_from_the_rows_in_the_mirror_within_a_fiftieth(lived: Lived) -> None:
    """All of it has been counted; only where cursors will meet is not known."""
    assert lived.again.asked <= len(OWN) + FEW_REQUESTS
    assert lived.again.off <= max(FEW_REQUESTS, 0.02 * lived.again.summary.requests), f"{lived.again}"


def test_finding_out_costs_a_few_requests_a_type_and_hardly_any_of_a_mirrored_account(lived: Lived) -> None:
    """A forecast that eats the allotment is worth nothing."""
    assert lived.first.asked <= 2.5 * len(lived.first.forecast.types)
    assert max(outcome.asked for outcome in lived.catch_ups) <= len(OWN) + FEW_REQUESTS


def test_sync_compares_its_own_forecast_with_its_outcome(lived: Lived) -> None:
    """It asks nothing for it: that the next days are like those before is all it knows, so it may be off by a half."""
    for outcome in (*lived.catch_ups, lived.again):
        found, summary = outcome.summary.comparison, outcome.summary
        assert found is not None
        assert (found.made, found.seconds) == (summary.requests, round(summary.seconds, 1))
        assert abs(found.forecast - found.made) <= max(TEN, 0.5 * found.made), f"{found} {outcome}"
    again = lived.again.summary.comparison
    assert again is not None
    assert abs(again.forecast - again.made) <= max(FEW_REQUESTS, 0.02 * again.made)


def test_first_sync_says_that_it_knew_little(lived: Lived) -> None:
    """Nothing is guessed as none: the sum of what nobody knows is a lower bound, in words."""
    found = lived.first.summary.comparison
    assert found is not None
    assert (found.sure, found.apart) == (Sure.AT_LEAST, ())
    assert found.forecast < found.made
    assert found.sentence.startswith("at least ")
    assert (found.lower_bound, found.from_nothing) == (True, True)
    assert not any(one.summary.comparison.from_nothing for one in lived.catch_ups if one.summary.comparison is not None)
