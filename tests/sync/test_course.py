"""Each type is read whole, gone on with or only caught up, as its books say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.sync.course import EVENTS_KEPT, to_begin
from stripe_assets.warehouse.ledger import BACKFILL, COMPLETE, Checkpoint

NOW = datetime(2026, 11, 20, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)
LONG_AGO = NOW - EVENTS_KEPT - timedelta(seconds=1)
JUST_IN_TIME = NOW - EVENTS_KEPT
CATALOG = load()


def checkpoint(name: str, **differences: Any) -> Checkpoint:
    """Give the checkpoint of a type that is complete and was caught up yesterday, with some differences."""
    usual = {"state": COMPLETE, "events_from": 5, "created_from": 5, "since": None, "started_at": YESTERDAY, "updated_at": YESTERDAY}
    return Checkpoint(name, **{**usual, **differences})


def begun(*known: Checkpoint, names: tuple[str, ...] = (), full_refresh: bool = False, since: int | None = None) -> set[str]:
    """Decide for the named types (those that are known, without names)."""
    kinds = [kind for kind in CATALOG if kind.name in (names or [each.type for each in known])]
    return to_begin(kinds, {each.type: each for each in known}, now=NOW, full_refresh=full_refresh, since=since)


@pytest.mark.parametrize(
    ("differences", "since", "expected"),
    [
        ({}, None, False),
        ({}, 100, False),
        ({"since": 100}, 100, False),
        ({"since": 100}, 200, False),
        ({"since": 100}, 99, True),
        ({"since": 100}, None, True),
        ({"state": BACKFILL, "started_at": YESTERDAY}, None, False),
        ({"state": BACKFILL, "started_at": JUST_IN_TIME}, None, False),
        ({"state": BACKFILL, "started_at": LONG_AGO}, None, True),
        ({"state": BACKFILL, "events_from": None}, None, False),
        ({"events_from": None}, None, True),
        ({"events_from": 0}, None, False),
        ({"updated_at": JUST_IN_TIME}, None, False),
        ({"updated_at": LONG_AGO}, None, True),
        ({"started_at": LONG_AGO}, None, False),
        ({"updated_at": NOW + timedelta(days=40)}, None, False),
    ],
)
def test_type_told_by_events_is_begun_where_events_cannot_tell(differences: dict[str, Any], since: int | None, expected: bool) -> None:
    """Events are kept for 30 days: a longer silence is a hole, and a list without a known beginning has one too."""
    assert begun(checkpoint("charges", **differences), since=since) == ({"charges"} if expected else set())


def test_type_whose_list_tells_what_is_new_and_events_what_became_of_it_is_begun_where_events_cannot_tell() -> None:
    """A session that was paid during a gap is in the list where it was, and nobody would look there again."""
    assert begun(checkpoint("checkout_sessions", updated_at=LONG_AGO)) == {"checkout_sessions"}
    assert begun(checkpoint("checkout_sessions", events_from=None)) == {"checkout_sessions"}, "nor if the key may not read events"
    for known in ({}, {"events_from": 0}, {"updated_at": JUST_IN_TIME}):
        assert begun(checkpoint("checkout_sessions", **known)) == set()


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ({}, False),
        ({"events_from": None}, False),
        ({"created_from": None}, False),
        ({"created_from": None, "events_from": None}, True),
        ({"updated_at": LONG_AGO}, False),
        ({"state": BACKFILL, "started_at": LONG_AGO}, True),
    ],
)
def test_type_told_by_created_goes_on_from_its_newest_object(differences: dict[str, Any], expected: bool) -> None:
    """Its list is read on from where it was, after any silence, and where events are forbidden."""
    assert begun(checkpoint("balance_transactions", **differences)) == ({"balance_transactions"} if expected else set())


def test_unknown_type_is_begun_alone() -> None:
    assert begun(checkpoint("charges"), names=("charges", "refunds")) == {"refunds"}


def test_full_refresh_begins_everything_selected_and_nothing_else() -> None:
    assert begun(checkpoint("charges"), checkpoint("refunds"), names=("charges",), full_refresh=True) == {"charges"}


@pytest.mark.parametrize("stale", ["invoices", "invoice_lines"])
def test_parent_and_the_children_inside_it_are_begun_together(stale: str) -> None:
    """The children are read in the parent's list: beginning one without the other reads nothing, or stores half."""
    names = ("invoices", "invoice_lines", "charges")
    known = [checkpoint(name, **({"updated_at": LONG_AGO} if name == stale else {})) for name in names]
    assert begun(*known) == {"invoices", "invoice_lines"}


def test_all_children_inside_a_parent_are_begun_with_it() -> None:
    """Whichever of them was the reason: the first child in the list must not miss what the second brings about."""
    lines = CATALOG["invoice_lines"]
    kinds = [CATALOG["invoices"], replace(lines, name="invoice_notes"), lines]
    known = {kind.name: checkpoint(kind.name) for kind in kinds} | {"invoice_lines": checkpoint("invoice_lines", updated_at=LONG_AGO)}
    assert to_begin(kinds, known, now=NOW, full_refresh=False, since=None) == {"invoices", "invoice_notes", "invoice_lines"}


def test_children_that_are_asked_for_one_parent_at_a_time_are_begun_by_themselves() -> None:
    """Their parents are in the mirror already."""
    names = ("customers", "customer_balance_transactions")
    assert begun(checkpoint("customers"), names=names) == {"customer_balance_transactions"}
    assert begun(checkpoint("customer_balance_transactions"), names=names) == {"customers"}


def test_what_nothing_tells_of_is_read_again_in_every_run() -> None:
    """And what was read to the half before: a list that was begun yesterday is not the list of today."""
    for state in ({}, {"state": BACKFILL}):
        assert begun(checkpoint("tax_codes", **state), checkpoint("balance", **state)) == {"tax_codes", "balance"}


def test_children_of_what_nothing_tells_of_are_asked_for_to_the_end_before_they_are_asked_for_again() -> None:
    """A request for each parent: begun afresh by every run, a run that is interrupted each time would never end."""
    assert begun(checkpoint("account_persons"), names=("accounts", "account_persons")) == {"accounts", "account_persons"}
    assert begun(checkpoint("accounts"), checkpoint("account_persons", state=BACKFILL)) == {"accounts"}
    assert begun(checkpoint("accounts"), checkpoint("account_persons", state=BACKFILL, started_at=LONG_AGO)) == {
        "accounts",
        "account_persons",
    }


def test_children_of_which_their_parents_show_ten_are_read_again_with_them() -> None:
    """Nothing tells of an item that comes or goes deeper in a list whose first ones stay."""
    names = ("radar_value_lists", "radar_value_list_items")
    assert begun(*(checkpoint(name) for name in names)) == set(names)
    assert begun(checkpoint("radar_value_lists"), names=names) == set(names)


def test_sums_of_whole_days_are_read_again_once_a_day() -> None:
    """A meter for each of a million customers: nothing can have been added to yesterday since an hour ago."""
    names = ("customers", "billing_meters", "billing_meter_event_summaries")
    parents = [checkpoint(name) for name in names[:2]]
    assert begun(*parents, checkpoint(names[2], started_at=NOW)) == {"billing_meters"}
    assert begun(*parents, checkpoint(names[2], started_at=YESTERDAY)) == {"billing_meters", "billing_meter_event_summaries"}


def test_what_hides_a_part_of_a_list_is_begun_with_the_list() -> None:
    """A test clock that nobody knows of yet may have customers."""
    names = ("customers", "test_helpers_test_clocks", "charges")
    assert begun(checkpoint("test_helpers_test_clocks"), checkpoint("charges"), names=names) == {"customers", "test_helpers_test_clocks"}


def test_children_that_follow_a_parent_that_is_read_again_need_no_events() -> None:
    """They are noted when the parent is read: a key that may not read events must not have them read whole each time."""
    parents = [checkpoint(name, events_from=None) for name in ("invoice_payments", "checkout_sessions")]
    children = [checkpoint(name, events_from=None) for name in ("payment_attempt_records", "checkout_session_line_items")]
    assert begun(*parents, *children) == {"invoice_payments", "checkout_sessions", "checkout_session_line_items"}, "these are inside"
    assert begun(checkpoint("quotes"), checkpoint("quote_line_items", events_from=None)) == {"quotes", "quote_line_items"}
