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
    assert begun(checkpoint("customers"), names=("customers", "payment_methods")) == {"payment_methods"}
    assert begun(checkpoint("payment_methods"), names=("customers", "payment_methods")) == {"customers"}
