"""Runs that follow others in any order: interrupted ones, some with `since`, several types one after the other, two at once."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from equality import differences, rows
from mirroring import FEW, NOW
from sync.altered import Altered, Answer
from sync.interrupted import interrupted
from sync.odd import SOME, mend, world

from stripe_assets.errors import WarehouseBusy, WarehouseError
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings


def test_types_selected_one_after_the_other_are_all_right_in_the_end(tmp_path: Path) -> None:
    """Lines alone, then only the invoices that they live in, then all: what one run left out is news to the next."""
    here = world(tmp_path, customers=40)
    account = here.account
    customer = account.objects("customer")[0]["id"]
    here.sync(["invoice_lines"])
    bill = account.bill(customer, lines=3)
    here.sync(["invoices"])
    assert differences(here.database, account, types=("invoices",)) == []
    here.sync(["invoice_lines"])
    assert differences(here.database, account, types=("invoices", "invoice_lines")) == []
    account.advance(days=2)
    account.edit("invoice", bill, description="changed")
    account.bill(customer, lines=12)
    here.sync(["invoices", "subscriptions"])
    assert here.sync(FEW).complete
    assert differences(here.database, account, types=FEW) == []


@pytest.mark.parametrize("pages", [1, 2])
def test_lines_of_invoices_that_a_run_without_them_has_read_to_their_end_are_read(tmp_path: Path, pages: int) -> None:
    """The first sync is killed, somebody wants the invoices alone meanwhile: the lines came inside them, and would not come again."""
    here = world(tmp_path, customers=120)
    both = ("invoices", "invoice_lines")
    asked = 0

    def later(scope: Any) -> bool:
        nonlocal asked
        asked += scope["path"] == "/v1/invoices"
        return asked == pages

    interrupted(here, later, rate_limit=0.25, types=both)  # four seconds a page: those before are stored
    assert here.sync(["invoices"]).complete
    assert here.sync(both).complete
    assert differences(here.database, here.account, types=both) == []


def test_run_that_ends_between_the_lists_and_its_end_goes_on_with_what_changed_alone(tmp_path: Path) -> None:
    """The lists are stored, and what changed since they were begun is told by the position that was stamped before."""
    here = world(tmp_path, customers=40)
    twice = here.account.objects("customer")[0]["id"]
    for email in ("first@example.com", "second@example.com"):
        here.account.edit("customer", twice, email=email)  # has no order: it is read again once the lists are stored
    interrupted(here, lambda scope: scope["path"] == f"/v1/customers/{twice}", types=SOME)
    for customer in here.account.objects("customer")[:5]:
        here.account.edit("customer", customer["id"], email="changed@example.com")
    before = len(here.app.requests)
    assert here.sync(SOME).complete
    lists = [request for request in here.app.requests[before:] if request.path in {f"/v1/{name}" for name in SOME}]
    assert all("created[lte]" in request.params for request in lists)  # a page that brings what is to be read again
    assert differences(here.database, here.account, types=SOME) == []


def test_interrupted_list_goes_on_from_its_stored_cursors_and_leaves_done_slices_alone(tmp_path: Path) -> None:
    """Of a list in several slices, some are done and some half read when the run ends: none of that is asked for again."""
    here = world(tmp_path, customers=2500)
    here.key = "sk_live_simulator"  # no test clocks, whose customers would be asked for between the pages
    names = ["customers"]
    pages = 0

    def later(scope: Any) -> bool:
        nonlocal pages
        pages += scope["path"] == "/v1/customers"
        return pages == 18

    interrupted(here, later, rate_limit=2.0, types=names)  # half a second a page: some chunks are stored meanwhile
    query = "select created_gte::varchar, created_lt::varchar, cursor, done from stripe_sync.slices"
    stored = rows(here.database, query)
    done = {(gte, lt) for gte, lt, _, is_done in stored if is_done}
    cursors = {(gte, lt): cursor for gte, lt, cursor, is_done in stored if not is_done}
    assert done and any(cursors.values()), "interrupted too early to show anything"
    before = len(here.app.requests)
    assert here.sync(names).complete
    asked: dict[tuple[Any, Any], Any] = {}
    for request in here.app.requests[before:]:
        if request.path == "/v1/customers":
            window = (request.params.get("created[gte]"), request.params.get("created[lt]"))
            asked.setdefault(window, request.params.get("starting_after"))
    assert not done & asked.keys()
    assert {window: asked[window] for window in cursors} == cursors
    assert differences(here.database, here.account, types=("customers",)) == []


def test_whole_reading_that_is_finished_by_a_run_with_since_still_finds_what_is_gone(tmp_path: Path) -> None:
    """The lists go on from where they were: what they leave out was said to the run that began them, not to this one."""
    here = world(tmp_path, customers=60)
    here.sync(SOME)
    gone = here.account.objects("customer")[5]["id"]
    here.account.delete("customer", gone)
    here.account.advance(days=31)
    interrupted(here, lambda scope: scope["path"] == "/v1/customers", types=SOME, full_refresh=True)
    assert here.sync(SOME, since=NOW).complete
    assert differences(here.database, here.account, types=SOME) == []


def test_reading_since_a_time_finds_what_is_gone_since(tmp_path: Path) -> None:
    """Every night with the same `--since`: what has no events, and what was deleted in a gap, would stay in the mirror for ever."""
    here = world(tmp_path, customers=60)
    account, since = here.account, NOW - 100 * 86_400
    names = (*SOME, "webhook_endpoints", "transfers", "transfer_reversals")
    here.sync(names)
    here.sync(names, since=since, full_refresh=True)
    bounds = [next(one for one in account.objects("customer") if (one["created"] >= since) is later) for later in (True, False)]
    endpoint = account.objects("webhook_endpoint")[0]
    for thing in (*bounds, endpoint):
        account.delete(thing["object"], thing["id"])
    account.advance(days=31)
    assert here.sync(names, since=since).complete
    assert rows(here.database, "select id from stripe.customers where _deleted_at is not null") == [(bounds[0]["id"],)]
    others = ("webhook_endpoints", "transfers", "transfer_reversals")
    assert differences(here.database, account, types=others) == [], "what is older was not asked for, and is not taken for gone"
    assert here.sync(names).complete
    assert differences(here.database, account, types=names) == []


def test_since_combines_with_runs_before_and_after_it(tmp_path: Path) -> None:
    """Later since, earlier since, none: each run ends with all that any of them has asked for."""
    here = world(tmp_path, customers=60)
    charges = here.account.objects("charge")
    middle = charges[len(charges) // 2]["created"]

    def count() -> int:
        return int(rows(here.database, "select count(*) from stripe.charges where _deleted_at is null")[0][0])

    here.sync(["charges"], since=middle)
    half = sum(charge["created"] >= middle for charge in charges)
    assert count() == half
    before = len(here.asked("/v1/charges"))
    here.sync(["charges"], since=middle + 86_400)
    assert (count(), len(here.asked("/v1/charges"))) == (half, before), "that was there already"
    here.sync(["charges"], since=middle - 86_400 * 30)
    assert count() == sum(charge["created"] >= middle - 86_400 * 30 for charge in charges)
    here.sync(["charges"])
    assert differences(here.database, here.account, types=("charges",)) == []
    assert here.sync(["charges"], full_refresh=True, since=middle).complete
    assert count() == len(charges), "what is older stays"


def test_older_copy_that_is_put_in_the_files_place_during_a_run_is_not_taken_for_it(tmp_path: Path) -> None:
    """The run would note in it that all is known up to now, and what happened between the copy and the run's beginning never came."""
    here = world(tmp_path, customers=30)
    account, copy = here.account, tmp_path / "copy.duckdb"
    here.sync(["customers"])
    shutil.copy(here.database, copy)
    account.edit("customer", account.objects("customer")[0]["id"], email="new@example.com")
    account.advance(days=2)
    here.sync(["customers"])
    account.advance(days=2)

    def put_back(params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        if params["limit"] == "100":
            shutil.copy(copy, here.database)
        return status, body

    here.app = Altered(here.app, {"/v1/events": put_back})  # type: ignore[assignment]  # answers as the simulator does
    with pytest.raises(WarehouseError, match="is not the file that this run has begun with: run again"):
        here.sync(["customers"])
    mend(here)
    assert here.sync(["customers"]).complete
    assert differences(here.database, account, types=("customers",)) == []


def test_second_sync_into_the_same_file_says_that_one_is_under_way(tmp_path: Path) -> None:
    """And the first is not disturbed."""
    here = world(tmp_path, customers=30, latency=0.1)
    refused: list[str] = []

    async def again() -> None:
        await asyncio.sleep(0.3)
        settings = Settings(api_key=here.key, api_base="http://stripe.test", duckdb=here.database)
        with pytest.raises(WarehouseBusy) as busy:
            await Mirror(settings, transport=httpx.ASGITransport(here.app)).sync(SOME)
        refused.append(str(busy.value))

    assert here.sync(SOME, meanwhile=again).complete
    assert len(refused) == 1
    assert "another sync into" in refused[0]
    assert differences(here.database, here.account, types=SOME) == []
