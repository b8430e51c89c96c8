"""What a sync will ask for is known before: against simulated accounts, and as arithmetic over any numbers."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from equality import rows as rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mirroring import NOW, World
from sync.planning import LIMITS

from stripe_assets.catalog.types import Form, Fresh, load
from stripe_assets.limits.limiter import Limits
from stripe_assets.simulator.account import Account
from stripe_assets.sync.comparison import compare
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import OWN, UNKNOWN, Numbers, Situation, Way, allotment, forecast
from stripe_assets.warehouse.ledger import TypeResult

ALL = load()
ONE, NOTHING = Figure(1), Figure(0)


def test_what_was_forecast_is_kept_with_the_run(tmp_path: Path) -> None:
    world = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=5, now=NOW))
    found = world.sync(["coupons"]).comparison
    assert found is not None
    ((kept,),) = rows_of(world.database, "select json_extract(details, '$.forecast') from stripe_sync.runs")
    assert json.loads(kept) == asdict(found) | {"apart": []}


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
    lines = Numbers(asks=Figure(0.1))
    assert requests(situation(invoices=rows(100), invoice_lines=lines))["invoice_lines"] == 10


def test_children_are_asked_for_where_a_parent_can_have_any() -> None:
    attempts = Numbers(asks=Figure(0.25))
    assert requests(situation(setup_intents=rows(1000), setup_attempts=attempts))["setup_attempts"] == 250


def test_nobody_is_asked_for_what_needs_something_that_is_not_there() -> None:
    found = situation(products=rows(50), entitlements_features=rows(0), product_features=Numbers(asks=ONE))
    assert requests(found)["product_features"] == 0
    with_some = replace(found, numbers={**found.numbers, "entitlements_features": rows(2)})
    assert requests(with_some)["product_features"] == 50


def test_what_nobody_knows_is_no_nothing() -> None:
    """Children of parents that were not seen: 0 would be believed."""
    found = forecast(situation(setup_intents=rows(1000), setup_attempts=Numbers()), LIMITS)
    assert (found.types[-1].requests, found.types[-1].rows) == (UNKNOWN, None)
    unseen = forecast(situation(setup_intents=Numbers(), setup_attempts=Numbers(asks=ONE)), LIMITS)
    assert unseen.types[-1].requests == UNKNOWN
    assert found.requests == Figure(10.5 + len(OWN) + 1, Sure.AT_LEAST), "and half a page, for two cursors"


def test_list_that_is_read_twice_is_counted_twice() -> None:
    assert requests(situation(prices=rows(150, 10)))["prices"] == 3


def test_rest_of_an_interrupted_reading_is_what_is_not_stored() -> None:
    found = situation(Way.REST, charges=replace(rows(500), stored=300), payment_methods=Numbers())
    assert requests(found)["charges"] == 2


def test_what_an_earlier_run_has_left_to_ask_for_is_asked_for() -> None:
    found = situation(Way.CATCH_UP, quotes=Numbers(readings=(Figure(900),), noted=3, again=Figure(4)))
    assert requests(found)["quotes"] == 7


def test_what_is_to_be_read_again_lies_together_and_takes_a_page_for_several() -> None:
    """In the newest part of the list at least; of a short list, in all of it."""
    again = {100_000: {1: 1, 60: 10, 600: 100}, 300: {1: 1, 60: 60 / 21}}
    for stored, expected in again.items():
        for changed, pages in expected.items():
            found = situation(Way.CATCH_UP, charges=Numbers(readings=(Figure(stored),), again=Figure(changed)))
            assert requests(found)["charges"] == pytest.approx(pages), (stored, changed)


def test_refused_type_takes_the_request_that_is_refused_and_its_children_none() -> None:
    found = situation(Way.REFUSED, "customers", "customer_balance_transactions")
    assert requests(found) == {"customers": 1, "customer_balance_transactions": 0}


def test_catch_up_reads_events_and_again_what_they_do_not_tell() -> None:
    """Five objects by a page of their list, two pages of events, three of the newest transactions, a list of which nothing tells."""
    told = Numbers(readings=(Figure(900),), changed=Figure(8), again=Figure(5))
    listed = Numbers(readings=(Figure(900),), onward=Figure(150), new=Figure(80))
    found = situation(Way.CATCH_UP, charges=told, balance_transactions=listed, webhook_endpoints=rows(120), events=Figure(101))
    found = replace(found, ways={**found.ways, "webhook_endpoints": Way.WHOLE})  # nothing tells of them
    kinds = {kind.name: kind for kind in found.kinds}
    assert (kinds["charges"].fresh, kinds["balance_transactions"].fresh) == (Fresh.EVENTS, Fresh.CREATED)
    assert requests(found) == {"charges": 1, "balance_transactions": 3, "webhook_endpoints": 2}
    assert forecast(found, LIMITS).requests == Figure(1 + 3 + 2 + 2 + len(OWN), Sure.ESTIMATED)


def test_children_of_what_has_changed_are_asked_for_again() -> None:
    """Of a new or changed customer alone; where events name the customer, of that one."""
    changed = Numbers(readings=(Figure(900),), changed=Figure(8))
    balance, entitled = Numbers(asks=ONE), Numbers(asks=NOTHING, again=Figure(3))
    found = situation(
        Way.CATCH_UP,
        "entitlements_features",
        customers=changed,
        customer_balance_transactions=balance,
        entitlements_active_entitlements=entitled,
    )
    assert requests(found)["customer_balance_transactions"] == 8
    assert requests(found)["entitlements_active_entitlements"] == 3


def test_lists_below_parents_that_no_event_tells_of_are_asked_for_at_every_parent() -> None:
    below = Numbers(askable=ONE)
    found = situation(Way.CATCH_UP, treasury_financial_accounts=rows(7), treasury_transactions=below)
    assert requests(found)["treasury_transactions"] == 7


def test_shortest_time_is_the_accounts_limit_or_the_busiest_endpoints() -> None:
    """Four lists can be read at 25 a second each; one alone can not be read faster than that."""
    alone = forecast(situation(charges=rows(10_000)), Limits(100.0, 25.0))
    pages = alone.types[0].requests.value
    assert alone.seconds == alone.types[0].seconds == pages / 25
    names = ("charges", "refunds", "invoices", "payouts", "disputes", "topups")
    many = forecast(situation(**{name: rows(10_000) for name in names}), Limits(100.0, 25.0))
    assert many.seconds == many.requests.value / 100 > alone.seconds


def test_types_that_share_an_endpoint_share_its_limit() -> None:
    found = situation(balance_transactions=rows(10_000), payouts=rows(2500), payout_balance_transactions=Numbers(asks=ONE))
    shared = forecast(found, Limits(1000.0, 25.0))
    by_type = {one.type: one for one in shared.types}
    assert shared.seconds == by_type["balance_transactions"].seconds + by_type["payout_balance_transactions"].seconds


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
    ended = [result("charges", 3), result("refunds", 9), result("disputes", 2), result("payouts", 40)]
    after = compare(before, ended, requests=57, seconds=2.04)
    assert (after.forecast, after.made, after.sure, after.shortest, after.seconds) == (before.requests.whole, 57, Sure.COUNTED, 0.1, 2.0)
    assert after.sentence == (
        "9 requests in no less than 0.1 s were forecast, 57 in 2.0 s it took "
        "(payouts 40 instead of 1, refunds 9 instead of 1, disputes 2 instead of 1)"
    )


def test_comparison_with_a_forecast_that_knew_little_says_so() -> None:
    unknown = forecast(situation(charges=Numbers()), LIMITS)
    found = compare(unknown, [result("charges", 9)], requests=12, seconds=1)
    assert found.sentence == "at least 4 requests in no less than 0.1 s were forecast, 12 in 1.0 s it took"


FIGURES = st.builds(Figure, st.integers(0, 10_000).map(float), st.sampled_from(Sure))
SHARES = st.builds(Figure, st.floats(0, 3), st.sampled_from(Sure))
NUMBERS = st.builds(
    Numbers,
    st.one_of(st.none(), st.tuples(FIGURES)),
    st.integers(0, 500),
    st.integers(0, 500),
    FIGURES,
    SHARES,
    SHARES,
    FIGURES,
    FIGURES,
    FIGURES,
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
    )
    made = forecast(found, LIMITS)
    by_type = sum(one.requests.value for one in made.types)
    assert made.requests.value - by_type == pytest.approx(len(OWN)), "what every run asks is all that belongs to no type"
    assert made.seconds >= max(one.seconds for one in made.types) - 1e-9
    assert made.requests.sure is max((one.requests.sure for one in made.types), key=list(Sure).index)
    for one in made.types:
        whole = one.way is Way.WHOLE and ALL[one.type].parent is None and ALL[one.type].endpoint not in OWN
        assert one.requests.value >= (1 if whole else 0)


def test_single_object_takes_one_request() -> None:
    singles = [kind.name for kind in ALL if kind.form is Form.SINGLE and kind.parent is None]
    assert requests(situation(Way.WHOLE, *singles)) == {**dict.fromkeys(singles, 1), "account": 0}, "every run asks for the account first"
