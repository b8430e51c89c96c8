"""Why a disagreement is no error: only what has happened since the last sync, and what nothing tells of."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.sync.excuses import LATER, NEW, OPEN, TOLD, UNSEEN, UNTOLD, News, excuse, is_told
from stripe_assets.warehouse.agreement import Case, What
from stripe_assets.warehouse.ledger import COMPLETE, Checkpoint

CATALOG = load()
SYNCED, READ = 10_000, 20_000
"""When the last sync began and what it knows ends, and when the object was read again (seconds)."""
BEGAN = datetime.fromtimestamp(SYNCED, UTC)
STANDING = Checkpoint("", COMPLETE, SYNCED, SYNCED, None, BEGAN, BEGAN)
DIFFERING = Case(What.DIFFERING, "x_1", None, 100, float(SYNCED), float(READ))
MISSING = Case(What.MISSING, "x_1", None, 100, None, float(READ))
UNKNOWN = Case(What.UNKNOWN, "x_1", None, 100, float(SYNCED), float(READ))
ABOUT_IT = News(frozenset({"x_1"}), frozenset())


def why(name: str, case: Case, news: News = News(), *, standing: Checkpoint = STANDING, faithful: bool = True) -> str | None:  # noqa: B008  # it cannot be changed
    return excuse(case, CATALOG[name], CATALOG, standing, news, faithful=faithful)


@pytest.mark.parametrize("case", [DIFFERING, MISSING, UNKNOWN], ids=str)
def test_without_news_it_is_an_error(case: Case) -> None:
    assert why("customers", case) is None
    assert why("customers", case, News(frozenset({"x_2"}), frozenset({"customers"}))) is None


@pytest.mark.parametrize("case", [DIFFERING, MISSING, UNKNOWN], ids=str)
def test_event_that_no_sync_has_applied_excuses_its_object(case: Case) -> None:
    assert why("customers", case, ABOUT_IT) == TOLD


def test_event_about_a_parent_excuses_its_children() -> None:
    line = replace(DIFFERING, id="il_1", parent_id="x_1")
    assert why("invoice_lines", line, ABOUT_IT) == TOLD
    assert why("invoice_lines", replace(line, parent_id="x_2"), ABOUT_IT) is None


def test_event_far_above_excuses_what_names_nobody_there() -> None:
    """The row of a payment's tax knows the tax transaction, and not the payment whose event tells of it."""
    news = News(frozenset({"pi_1"}), frozenset({"payment_intents"}))
    assert why("tax_transaction_line_items", DIFFERING, news) == TOLD
    assert why("tax_transaction_line_items", DIFFERING, News(frozenset({"cus_1"}), frozenset({"customers"}))) is None


def test_object_that_is_newer_than_the_sync_is_no_error() -> None:
    assert why("customers", replace(MISSING, created=SYNCED)) == NEW
    assert why("balance_transactions", replace(MISSING, created=SYNCED + 1)) == NEW
    assert why("customers", replace(MISSING, created=SYNCED - 1)) is None


def test_row_that_a_sync_has_read_meanwhile_is_not_compared_with_what_was_before() -> None:
    assert why("customers", replace(DIFFERING, synced_at=READ + 1.0)) == LATER


def test_object_that_is_open_may_differ_but_not_be_lost() -> None:
    assert why("balance_transactions", replace(DIFFERING, open=True)) == OPEN
    assert why("balance_transactions", replace(UNKNOWN, open=True)) is None


def test_where_too_much_has_happened_nobody_knows() -> None:
    assert why("customers", DIFFERING, News(whole=False)) == UNSEEN


@pytest.mark.parametrize("standing", [STANDING, replace(STANDING, events_from=None)], ids=["refresh", "no leave to read events"])
def test_of_what_nothing_tells_only_what_the_mirror_kept_wrong_is_an_error(standing: Checkpoint) -> None:
    name = "tax_codes" if standing is STANDING else "customers"
    assert why(name, DIFFERING, standing=standing) == UNTOLD
    assert why(name, DIFFERING, standing=standing, faithful=False) is None
    assert why(name, replace(DIFFERING, synced_at=SYNCED - 1.0), standing=standing) is None, "the last reading did not see it"
    assert why(name, replace(UNKNOWN, synced_at=SYNCED - 1.0), standing=standing) is None, "the last reading did not see it"
    assert why(name, UNKNOWN, standing=standing) == UNTOLD
    assert why(name, MISSING, standing=standing) is None
    assert why(name, replace(MISSING, created=None), standing=standing) == UNTOLD
    assert why(name, replace(MISSING, created=SYNCED), standing=standing) == NEW


def test_what_is_told_of_follows_from_how_it_is_kept_fresh() -> None:
    told = {name: is_told(CATALOG[name], CATALOG) for name in ("charges", "invoice_lines", "balance_transactions", "tax_codes")}
    assert told == {"charges": True, "invoice_lines": True, "balance_transactions": True, "tax_codes": False}
