"""What the mirror knows: events are judged as the sync judges them, and what nobody knows is not taken for nothing."""

from datetime import UTC, datetime

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import NONE, UNKNOWN, Numbers, Situation, Way
from stripe_assets.sync.known import Asked, Told, situation, told
from stripe_assets.warehouse.census import Below, Census, Count, Signal
from stripe_assets.warehouse.ledger import Checkpoint

CATALOG = load()
PINNED = CATALOG.api_version
NOW = 1_790_000_000
THEN = datetime.fromtimestamp(NOW - 3600, UTC)


def signal(created: int, kind: str = "charge.updated", object_id: str = "ch_1", api_version: str | None = PINNED) -> Signal:
    return Signal(created, kind, object_id, api_version)


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        pytest.param([signal(5)], Told(1, 0), id="one event is the row"),
        pytest.param([signal(5), signal(4)], Told(1, 0), id="the latest is"),
        pytest.param([signal(4), signal(5)], Told(1, 0), id="in any order"),
        pytest.param([signal(5), signal(5, "charge.succeeded")], Told(1, 1), id="two of one second have none"),
        pytest.param([signal(6), signal(5), signal(5)], Told(1, 0), id="unless there is a later one"),
        pytest.param([signal(5, api_version="2020-08-27")], Told(1, 1), id="another version has another shape"),
        pytest.param([signal(5), signal(5, object_id="ch_2")], Told(2, 0), id="each object by itself"),
    ],
)
def test_object_is_read_again_where_its_latest_event_is_not_its_row(signals: list[Signal], expected: Told) -> None:
    assert told(signals, CATALOG, {}) == {"charges": expected}


def test_deleted_object_is_not_read_again() -> None:
    assert told([signal(4, "customer.updated"), signal(5, "customer.deleted")], CATALOG, {}) == {"customers": Told(0, 0)}


def test_event_about_something_else_has_its_object_read_again() -> None:
    assert told([signal(5, "customer.discount.created", "di_1")], CATALOG, {}) == {"customers": Told(1, 1)}


def test_what_cannot_be_read_by_its_id_is_not() -> None:
    without = next(kind for kind in CATALOG if kind.events and kind.retrieve_path is None)
    assert told([signal(5, without.events[0]), signal(5, without.events[0])], CATALOG, {}) == {without.name: Told(1, 0)}


def test_events_that_tell_of_nothing_mirrored_are_left_out() -> None:
    assert told([signal(5, "mandate.updated")], CATALOG, {}) == {}


def test_what_was_applied_before_is_left_out() -> None:
    assert told([signal(5), signal(6, object_id="ch_2")], CATALOG, {"charges": 5}) == {"charges": Told(1, 0)}


def known(*names: str, newest: int | None, events: int = 0, signals: tuple[Signal, ...] = (), state: str = "complete") -> Situation:
    """Say what is known of types that were read whole an hour ago, each with 300 rows."""
    kinds = tuple(kind for kind in CATALOG if kind.name in names)
    begin = NOW - 3600 if newest is not None else None
    checkpoints = {name: Checkpoint(name, state, begin, begin, None, THEN, THEN) for name in names}
    counts = {name: Count(rows=300, stored=200 if state == "backfill" else 0, below=Below(100, 50, 60)) for name in names}
    census = Census(counts, checkpoints, begin, events, signals)
    return situation(CATALOG, Asked(kinds, "acct_1", float(NOW), newest), census)


def test_mirrored_type_is_caught_up_by_as_many_events_as_came_in_the_same_time_before() -> None:
    found = known("charges", "events", newest=NOW, events=4, signals=(signal(NOW - 4000), signal(NOW - 4001, object_id="ch_2")))
    assert found.events == Figure(4, Sure.ESTIMATED)
    assert found.ways == {"charges": Way.CATCH_UP, "events": Way.CATCH_UP}
    assert found.numbers["charges"].changed == Figure(4, Sure.ESTIMATED), "twice what was looked at, as there are twice as many"


def test_account_in_which_nothing_has_happened_has_no_events_to_read() -> None:
    found = known("charges", "events", newest=NOW - 3600, events=9, signals=(signal(5),))
    assert (found.events, found.numbers["charges"].changed) == (NONE, NONE)


@pytest.mark.parametrize(
    ("names", "events"), [(("charges",), 0), (("charges", "events"), 7)], ids=["not mirrored", "kept without what they tell"]
)
def test_events_that_nobody_knows_are_not_taken_for_none(names: tuple[str, ...], events: int) -> None:
    found = known(*names, newest=NOW, events=events)
    assert found.numbers["charges"].changed == found.numbers["charges"].again == UNKNOWN


def test_without_leave_to_read_events_what_they_tell_of_is_read_whole() -> None:
    found = known("charges", "balance_transactions", newest=None)
    assert found.events is None
    assert found.ways["charges"] is Way.WHOLE


def test_interrupted_reading_goes_on_and_nobody_knows_how_far() -> None:
    found = known("charges", newest=NOW, state="backfill")
    assert (found.ways["charges"], found.numbers["charges"].readings, found.numbers["charges"].stored) == (Way.REST, None, 200)


def test_children_are_known_by_the_parents_that_were_looked_at() -> None:
    found = known("payouts", "balance_transactions", "payout_balance_transactions", newest=NOW).numbers["payout_balance_transactions"]
    assert (found.asks, found.askable, found.rows) == (Figure(0.6), Figure(0.5), Figure(300))


def test_empty_file_knows_nothing() -> None:
    kinds = (CATALOG["charges"], CATALOG["refunds"])
    found = situation(CATALOG, Asked(kinds, "acct_1", float(NOW), NOW), Census())
    assert set(found.ways.values()) == {Way.WHOLE}
    assert found.numbers["charges"] == Numbers(new=Figure(0, Sure.ESTIMATED))
