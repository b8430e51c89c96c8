"""What a sync will ask for is known before: against simulated accounts, and as arithmetic over any numbers."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirroring import NOW, World
from sync.planning import LIMITS, Outcome, expected, planned

from stripe_assets.catalog.types import Form, Fresh, everything, load
from stripe_assets.limits.limiter import Limits
from stripe_assets.simulator.account import Account
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import Forecast, allotment, compare, forecast
from stripe_assets.sync.situation import Numbers, Situation, Turn, Way
from stripe_assets.warehouse.ledger import TypeResult

QUARTER, TEN = 0.25, 10
FEW = 5
"""Requests that may be asked about one type."""
ALL = everything()
ONE, NOTHING = Figure(1), Figure(0)


@dataclass
class History:
    """Syncs of one account, each with the forecasts that were made before it."""

    first: Outcome
    catch_ups: list[Outcome]
    without_asking: list[Outcome]
    nights: list[tuple[Forecast, Outcome]]


@pytest.fixture(scope="module", params=[(300, 1), (2000, 2)], ids=lambda each: f"{each[0]} customers")
def history(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> History:
    """A first sync, and further ones after one day, one more, and five."""
    customers, seed = request.param
    world = World(tmp_path_factory.mktemp("planned") / "stripe.duckdb", Account(seed=seed, customers=customers, now=NOW))
    plan = planned(world)
    story = History(Outcome("first sync", plan.sync, world.sync(), plan.asked), [], [], [])
    for days in (1, 1, 5):
        before = plan
        world.account.advance(days=days)
        plan, alone = planned(world), expected(world)
        outcome = Outcome(f"{days} days later", plan.sync, world.sync(), plan.asked)
        story.catch_ups.append(outcome)
        story.without_asking.append(replace(outcome, what=f"{outcome.what}, from the mirror alone", forecast=alone, asked=0))
        if days == 1:
            story.nights.append((before.night, outcome))
    return story


def test_first_sync_is_forecast_within_a_quarter(history: History) -> None:
    """Whoever has a large account wants to know before: minutes or hours, and how much of what Stripe allots."""
    assert history.first.off <= QUARTER * history.first.summary.requests, history.first


def test_each_type_of_a_first_sync_is_forecast_within_a_quarter_or_ten(history: History) -> None:
    """A total may be right by chance."""
    made = {result.type: result.requests for result in history.first.summary.results}
    wrong = [
        one.type for one in history.first.forecast.types if abs(one.requests.value - made[one.type]) > max(TEN, QUARTER * made[one.type])
    ]
    assert wrong == [], history.first


def test_catch_ups_are_forecast_within_a_quarter_or_ten(history: History) -> None:
    for outcome in history.catch_ups:
        assert outcome.off <= max(TEN, QUARTER * outcome.summary.requests), outcome


def test_what_is_counted_in_a_catch_up_is_exact(history: History) -> None:
    """The forecast judges events as the sync does; what the sync does not read yet is left out here."""
    seen = 0
    for outcome in history.catch_ups:
        made = {result.type: result.requests for result in outcome.summary.results}
        counted = [one for one in outcome.forecast.types if one.requests.sure is Sure.COUNTED and not load()[one.type].told_of]
        seen += sum(one.requests.whole for one in counted)
        assert [(one.type, one.requests.whole) for one in counted] == [(one.type, made[one.type]) for one in counted], outcome
    assert seen > TEN


def test_mirror_alone_forecasts_catch_ups_within_a_half_or_ten(history: History) -> None:
    """A sync asks nobody for its own forecast: that tomorrow is like the last month is all it knows."""
    for outcome in history.without_asking:
        assert outcome.off <= max(TEN, 2 * QUARTER * outcome.summary.requests), outcome


def test_night_is_forecast_within_a_half_or_ten(history: History) -> None:
    """Before the first sync by what the account showed, later by the mirror's own month."""
    for night, outcome in history.nights:
        assert abs(night.requests.value - outcome.summary.requests) <= max(TEN, 2 * QUARTER * outcome.summary.requests), outcome


def test_finding_out_costs_a_few_requests_a_type(history: History) -> None:
    """A forecast that eats the allotment is worth nothing."""
    assert history.first.asked <= FEW * len(load().names)
    assert max(outcome.asked for outcome in history.catch_ups) <= 2 * FEW


def test_full_refresh_is_forecast_from_the_rows_in_the_mirror(tmp_path: Path) -> None:
    world = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=150, now=NOW))
    world.sync()
    outcome = Outcome("full refresh", expected(world, full_refresh=True), world.sync(full_refresh=True))
    assert outcome.off <= 0.05 * outcome.summary.requests, outcome


def situation(way: Way = Way.WHOLE, *names: str, events: Figure | None = NOTHING, **numbers: Numbers) -> Situation:
    """Make a situation of the named types, and those in `numbers`; of the others a list has 100 objects."""
    kinds = [kind for kind in ALL if kind.name in {*names, *numbers}]
    known = {kind.name: numbers.get(kind.name, Numbers(readings=(Figure(100),))) for kind in kinds}
    return Situation(kinds, {kind.name: way for kind in kinds}, known, events)


def requests(found: Situation) -> dict[str, float]:
    """Forecast, and give the requests by type."""
    return {one.type: one.requests.value for one in forecast(found, LIMITS).types}


def rows(*counts: float) -> Numbers:
    return Numbers(readings=tuple(Figure(count) for count in counts))


def test_list_takes_a_request_for_every_hundred_objects_and_one_if_it_is_empty() -> None:
    assert requests(situation(coupons=rows(0), disputes=rows(100), refunds=rows(101))) == {"coupons": 1, "refunds": 2, "disputes": 1}


def test_what_embedded_lists_contain_is_not_asked_for() -> None:
    lines = Numbers(cut=Figure(0.1))
    assert requests(situation(invoices=rows(100), invoice_lines=lines))["invoice_lines"] == 10


def test_children_are_asked_for_where_a_parent_can_have_any() -> None:
    attempts = Numbers(asks=Figure(0.25))
    assert requests(situation(setup_intents=rows(1000), setup_attempts=attempts))["setup_attempts"] == 250


def test_nobody_is_asked_for_what_needs_something_that_is_not_there() -> None:
    found = situation(products=rows(50), entitlements_features=rows(0), product_features=Numbers())
    assert requests(found)["product_features"] == 0
    with_some = replace(found, numbers={**found.numbers, "entitlements_features": rows(2)})
    assert requests(with_some)["product_features"] == 50


def test_sums_of_a_meter_are_asked_for_with_every_customer() -> None:
    found = situation(customers=rows(40), billing_meters=rows(3), billing_meter_event_summaries=Numbers())
    assert requests(found)["billing_meter_event_summaries"] == 120


def test_list_that_is_read_twice_is_counted_twice() -> None:
    assert requests(situation(prices=rows(150, 10)))["prices"] == 3


def test_rest_of_an_interrupted_reading_is_what_is_not_stored() -> None:
    found = situation(Way.REST, charges=replace(rows(500), stored=300), payment_methods=Numbers())
    assert requests(found)["charges"] == 2


def test_refused_type_takes_the_request_that_is_refused_and_its_children_none() -> None:
    found = situation(Way.REFUSED, "customers", "customer_balance_transactions")
    assert requests(found) == {"customers": 1, "customer_balance_transactions": 0}


def test_catch_up_reads_events_and_again_what_they_do_not_tell() -> None:
    """Five objects by id, two pages of events, the newest transactions with the pending ones before, a list of which nothing tells."""
    told = Numbers(readings=(Figure(900),), since=Turn(changed=Figure(8), again=Figure(5)))
    listed = Numbers(readings=(Figure(900),), open=Figure(150), since=Turn(new=Figure(80)))
    found = situation(Way.CATCH_UP, charges=told, balance_transactions=listed, webhook_endpoints=rows(120), events=Figure(101))
    found = replace(found, events=Figure(101))
    kinds = {kind.name: kind for kind in found.kinds}
    assert (kinds["charges"].fresh, kinds["balance_transactions"].fresh) == (Fresh.EVENTS, Fresh.CREATED)
    assert requests(found) == {"charges": 5, "balance_transactions": 3, "webhook_endpoints": 2}
    assert forecast(found, LIMITS).requests == Figure(5 + 3 + 2 + 2 + len(("account", "newest event")))


def test_without_leave_to_read_events_a_night_reads_everything_again() -> None:
    found = situation(charges=rows(1000), balance_transactions=rows(1000), events=None)
    night = requests(found.nightly())
    assert night["charges"] >= 10
    assert night["balance_transactions"] == 1


def test_shortest_time_is_the_accounts_limit_or_the_busiest_endpoints() -> None:
    """Four lists can be read at 25 a second each; one alone can not be read faster than that."""
    alone = forecast(situation(charges=rows(10_000)), Limits(100.0, 25.0))
    pages = alone.types[0].requests.value
    assert alone.seconds == alone.types[0].seconds == pages / 25
    names = ("charges", "refunds", "invoices", "payouts", "disputes", "topups")
    many = forecast(situation(**{name: rows(10_000) for name in names}), Limits(100.0, 25.0))
    assert many.seconds == many.requests.value / 100 > alone.seconds


def test_types_that_share_an_endpoint_share_its_limit() -> None:
    found = situation(balance_transactions=rows(10_000), payouts=rows(2500), payout_balance_transactions=Numbers())
    shared = forecast(found, Limits(1000.0, 25.0))
    by_type = {one.type: one for one in shared.types}
    assert shared.seconds == by_type["balance_transactions"].seconds + by_type["payout_balance_transactions"].seconds


def test_what_changes_while_the_sync_lasts_is_read_at_its_end() -> None:
    """An hour of reading is an hour of business."""
    busy = Numbers(readings=(Figure(9_000_000),), day=Turn(changed=Figure(24_000, Sure.ESTIMATED)))
    found = replace(situation(charges=busy), events_a_day=Figure(240_000, Sure.ESTIMATED))
    an_hour = forecast(found, Limits(100.0, 25.0))
    quiet = forecast(replace(found, events_a_day=NOTHING, numbers={"charges": replace(busy, day=Turn())}), Limits(100.0, 25.0))
    hours = quiet.seconds / 3600
    assert hours > 1
    assert an_hour.requests.value - quiet.requests.value == pytest.approx(hours * (1000 + 100), rel=0.05)


@pytest.mark.parametrize(
    ("transactions", "allotted"),
    [
        (Figure(0), Figure(10_000)),
        (Figure(20), Figure(10_000)),
        (Figure(21), Figure(10_500)),
        (Figure(100, Sure.ESTIMATED), Figure(50_000, Sure.ESTIMATED)),
        (Figure(3, Sure.AT_LEAST), Figure(10_000, Sure.AT_LEAST)),
    ],
)
def test_stripe_allots_reads_by_transactions_and_ten_thousand_at_least(transactions: Figure, allotted: Figure) -> None:
    assert allotment(transactions) == allotted


def test_reads_of_tax_and_reports_are_not_counted_by_stripe() -> None:
    found = forecast(situation(tax_registrations=rows(700), charges=rows(100)), LIMITS)
    assert found.requests.value - found.allotted_reads.value == 7


def result(name: str, made: int) -> TypeResult:
    return TypeResult(name, "complete", 0, made, 0.0)


def test_comparison_names_the_types_that_were_furthest_off() -> None:
    before = forecast(situation(charges=rows(300), refunds=rows(100), disputes=rows(100), payouts=rows(100)), LIMITS)
    after = compare(before, [result("charges", 3), result("refunds", 9), result("disputes", 2), result("payouts", 40)], requests=57)
    assert (after.forecast, after.made, after.sure) == (before.requests.whole, 57, Sure.COUNTED)
    assert after.sentence == "57 requests, 9 were forecast (payouts 40 instead of 1, refunds 9 instead of 1, disputes 2 instead of 1)"


def test_comparison_with_a_forecast_that_knew_little_says_so() -> None:
    unknown = forecast(situation(charges=Numbers()), LIMITS)
    assert compare(unknown, [result("charges", 1)], requests=4).sentence == "4 requests, at least 4 were forecast"


FIGURES = st.builds(Figure, st.integers(0, 10_000).map(float), st.sampled_from(Sure))
TURNS = st.builds(Turn, FIGURES, FIGURES, FIGURES)
NUMBERS = st.builds(
    Numbers,
    st.one_of(st.none(), st.tuples(FIGURES)),
    st.integers(0, 500),
    st.integers(0, 500),
    FIGURES,
    st.floats(0, 3).map(Figure),
    st.floats(0, 1).map(Figure),
    TURNS,
    TURNS,
)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(ways=st.randoms(use_true_random=False), numbers=st.lists(NUMBERS, min_size=8, max_size=8), events=st.one_of(st.none(), FIGURES))
def test_any_numbers_of_all_types_give_a_forecast_that_adds_up(ways: object, numbers: list[Numbers], events: Figure | None) -> None:
    """Whatever is known and unknown, the table, the total and the time agree."""
    kinds = tuple(ALL)
    found = Situation(
        kinds,
        {kind.name: ways.choice(list(Way)) for kind in kinds},  # type: ignore[attr-defined]
        {kind.name: ways.choice(numbers) for kind in kinds},  # type: ignore[attr-defined]
        events,
        Figure(50, Sure.ESTIMATED),
    )
    for each in (found, found.nightly()):
        made = forecast(each, LIMITS)
        by_type = sum(one.requests.value for one in made.types)
        assert made.requests.value - by_type == pytest.approx(2), "the account and the newest event are all that belongs to no type"
        assert made.seconds >= max(one.seconds for one in made.types) - 1e-9
        assert made.requests.sure is max((one.requests.sure for one in made.types), key=list(Sure).index)
        for one in made.types:
            assert one.requests.value >= (1 if one.way is Way.WHOLE and ALL[one.type].parent is None else 0)


def test_single_object_takes_one_request() -> None:
    singles = [kind.name for kind in ALL if kind.form is Form.SINGLE and kind.parent is None]
    assert requests(situation(Way.WHOLE, *singles)) == dict.fromkeys(singles, 1)
    assert requests(situation(Way.CATCH_UP, *singles)) == dict.fromkeys(singles, 1)
