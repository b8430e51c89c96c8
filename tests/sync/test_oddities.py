"""What no account should do, and some do: the mirror stays right, or says which type is not, and the others are unharmed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import virtual_time
from equality import differences, rows
from mirroring import FEW, NOW, World
from sync.altered import Alter, Altered, Answer, empty, failing, forbidden
from sync.interrupted import interrupted

from stripe_assets.api.client import ATTEMPTS
from stripe_assets.catalog.types import Fresh, load
from stripe_assets.errors import WarehouseBusy
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import application
from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror, Summary
from stripe_assets.sync.settings import Settings

SOME = ("customers", "products", "prices", "coupons")
"""Types of a few pages in all: what is odd about one of them must not touch the others."""


def world(tmp_path: Path, *, customers: int = 120, alter: dict[str, Alter] | None = None, **options: Any) -> World:
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=customers, now=NOW), options)
    if alter is not None:
        here.app = Altered(here.app, alter)  # type: ignore[assignment]  # answers as the simulator does, but for some paths
    return here


def mend(here: World) -> None:
    """Let Stripe answer as usual from now on."""
    here.app = application(here.account, **here.options)


def states(summary: Summary) -> dict[str, str]:
    return {result.type: result.state for result in summary.results}


def reason(summary: Summary, name: str) -> str:
    return next(result.reason or "" for result in summary.results if result.type == name)


def others_complete(here: World, summary: Summary, name: str, state: str = "failed") -> bool:
    left = tuple(other for other in states(summary) if other != name)
    assert differences(here.database, here.account, types=left) == []
    return states(summary) == dict.fromkeys(left, "complete") | {name: state}


def spoil(place: int, change: Callable[[dict[str, Any]], Any]) -> Alter:
    """Change one object of each page."""

    def alter(_params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        if status == 200 and len(body["data"]) > abs(place):
            body["data"][place] = change(body["data"][place])
        return status, body

    return alter


def without_id(thing: dict[str, Any]) -> Any:
    return {name: value for name, value in thing.items() if name != "id"}


@pytest.mark.parametrize("change", [without_id, lambda _: None, lambda _: "text"], ids=["without an id", "null", "text"])
def test_object_that_cannot_be_stored_costs_only_itself_and_is_told_of_until_it_is_read_again(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    """Passed over without a word, it would be missing in every sum; and a second run must not call that complete."""
    here = world(tmp_path, customers=105, alter={"/v1/customers": spoil(1, change)})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "customers")
    assert "/v1/customers gave an object that cannot be stored" in reason(summary, "customers")
    missing = [line for line in differences(here.database, here.account, types=("customers",)) if not line.endswith(": missing")]
    assert missing == [], "the objects around it were stored"
    mend(here)
    assert others_complete(here, here.sync(SOME), "customers")
    assert here.sync(SOME, full_refresh=True).complete
    assert differences(here.database, here.account, types=SOME) == []


def test_damaged_end_of_a_page_fails_its_type_with_a_dead_letter(tmp_path: Path) -> None:
    """Without the last object's id there is no way on."""
    here = world(tmp_path, customers=105, alter={"/v1/customers": spoil(-1, without_id)})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "customers")
    assert rows(here.database, "select distinct type, path from stripe_sync.dead_letters") == [("customers", "/v1/customers")]
    mend(here)
    assert here.sync(SOME).complete
    assert differences(here.database, here.account, types=SOME) == []


def more_with_nothing(params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
    if params.get("limit") == "1":
        return status, body  # what a run needs before it can begin
    return status, {**body, "data": [], "has_more": True}


def always_the_first_page() -> Alter:
    first: dict[str, Any] = {}

    def alter(_params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        first.update(first or body)
        return status, {**first, "has_more": True}

    return alter


ENDLESS = [more_with_nothing, always_the_first_page()]


@pytest.mark.parametrize("alter", ENDLESS, ids=["more with nothing", "cursor never advances"])
def test_list_that_never_ends_fails_its_type_and_ends(tmp_path: Path, alter: Alter) -> None:
    """Taken for the end, its rest is lost without a word; gone on with, it is asked for until the allowance is used up."""
    here = world(tmp_path, alter={"/v1/products": alter})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "products")
    assert "says that there is more" in reason(summary, "products")
    assert len(here.asked("/v1/products")) <= ATTEMPTS + 2
    mend(here)
    assert here.sync(SOME).complete
    assert differences(here.database, here.account, types=SOME) == []


@pytest.mark.parametrize("alter", [more_with_nothing, always_the_first_page()], ids=["more with nothing", "cursor never advances"])
@pytest.mark.parametrize("path", ["/v1/balance_transactions", "/v1/events"])
def test_catching_up_with_a_list_that_never_ends_fails_and_ends(tmp_path: Path, path: str, alter: Alter) -> None:
    here = world(tmp_path, customers=40)
    names = ("customers", "balance_transactions")
    here.sync(names)
    here.account.advance(days=3)
    here.app = Altered(here.app, {path: alter})  # type: ignore[assignment]  # answers as the simulator does, but for some paths
    before = len(here.asked(path))
    failed = [result.type for result in here.sync(names).results if result.state == "failed"]
    assert failed == ["balance_transactions"] if path != "/v1/events" else "customers" in failed
    assert len(here.asked(path)) - before <= ATTEMPTS + 3
    mend(here)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


def test_children_whose_list_never_ends_fail_and_are_asked_for_again(tmp_path: Path) -> None:
    here = world(tmp_path, customers=20)
    long = here.account.bill(here.account.objects("customer")[0]["id"], lines=30)
    names = ("invoices", "invoice_lines")
    here.app = Altered(here.app, {f"/v1/invoices/{long}/lines": more_with_nothing})  # type: ignore[assignment]  # as above
    assert states(here.sync(names)) == {"invoices": "complete", "invoice_lines": "failed"}
    mend(here)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


def test_child_that_was_the_cursor_and_is_gone_does_not_block_its_parents_list(tmp_path: Path) -> None:
    """The note keeps the last child that the parent showed: deleted meanwhile, it would be refused in every run."""
    here = world(tmp_path, customers=20)
    long = here.account.bill(here.account.objects("customer")[0]["id"], lines=30)

    def lost(params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        if "starting_after" in params and len(here.asked(f"/v1/invoices/{long}/lines")) == 1:
            return 400, {"error": {"code": "resource_missing", "param": "starting_after", "message": "No such line"}}
        return status, body

    here.app = Altered(here.app, {f"/v1/invoices/{long}/lines": lost})  # type: ignore[assignment]  # as above
    names = ("invoices", "invoice_lines")
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


@pytest.mark.parametrize("status", [404, 400])
def test_customer_that_is_deleted_while_its_children_are_asked_for_has_none(tmp_path: Path, status: int) -> None:
    """Stripe answers 404 for an id in the path, and 400 for one that it takes for a parameter."""
    here = world(tmp_path, customers=30)
    gone = here.account.objects("customer")[7]["id"]

    def delete(_params: dict[str, str], _status: int, _body: dict[str, Any]) -> Answer:
        if gone not in here.account.deleted("customer"):
            here.account.delete("customer", gone)
        return status, {"error": {"code": "resource_missing", "param": "customer", "message": f"No such customer: '{gone}'"}}

    here.app = Altered(here.app, {f"/v1/customers/{gone}/balance_transactions": delete})  # type: ignore[assignment]  # as above
    names = ("customers", "customer_balance_transactions")
    assert here.sync(names).complete
    here.sync(names)
    assert differences(here.database, here.account, types=names) == []


def test_empty_lists_are_complete_with_no_rows(tmp_path: Path) -> None:
    here = world(tmp_path, customers=20, alter={f"/v1/{name}": empty for name in SOME})
    summary = here.sync(SOME)
    assert summary.complete
    assert {result.type: result.rows for result in summary.results if result.type in SOME} == dict.fromkeys(SOME, 0)
    asked = {name: [request.params for request in here.asked(f"/v1/{name}") if "test_clock" not in request.params] for name in SOME}
    assert {name: len(params) for name, params in asked.items()} == dict.fromkeys(SOME, 1) | {"prices": 2}  # archived ones as well


def test_account_without_events_is_not_read_whole_at_every_run(tmp_path: Path) -> None:
    """A quiet account has no event to take a position from: that position is the beginning, not none."""
    here = world(tmp_path, customers=20, alter={"/v1/events": empty})
    assert here.sync(FEW).complete
    before = len(here.app.requests)
    assert here.sync(FEW).complete
    assert len(here.app.requests) - before <= 8
    mend(here)
    name = here.account.objects("customer")[0]["id"]
    here.account.edit("customer", name, email="first@example.com")
    assert here.sync(FEW).complete
    assert differences(here.database, here.account, types=FEW) == []


def test_key_that_may_not_read_events_reads_what_can_change_again(tmp_path: Path) -> None:
    """Nothing tells what changed: only reading everything again keeps the mirror equal, and it must do so."""
    here = world(tmp_path, customers=30, alter={"/v1/events": forbidden})
    names = ("customers", "coupons", "balance_transactions", "events")
    first = here.sync(names)
    assert others_complete(here, first, "events", "skipped")
    edited, deleted = [customer["id"] for customer in here.account.objects("customer")[:2]]
    here.account.edit("customer", edited, email="new@example.com")
    here.account.delete("customer", deleted)
    second = here.sync(names)
    assert others_complete(here, second, "events", "skipped")
    assert "permissions" in reason(second, "events")
    mend(here)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


def test_permission_for_events_that_is_taken_away_fails_what_lives_by_them(tmp_path: Path) -> None:
    """Complete would be a lie: nobody knows what has changed."""
    here = world(tmp_path, customers=30)
    names = ("customers", "coupons", "balance_transactions")
    here.sync(names)
    here.app = Altered(here.app, {"/v1/events": forbidden})  # type: ignore[assignment]  # as above
    summary = here.sync(names)
    told = {kind.name for kind in load() if kind.name in names and kind.fresh is Fresh.EVENTS}
    assert {name for name, state in states(summary).items() if state == "failed"} >= told
    mend(here)
    assert here.sync(names).complete


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


def test_old_event_of_a_type_that_is_up_to_date_does_not_come_back(tmp_path: Path) -> None:
    """The window reaches back to the slowest type: a customer's state of ten days ago is in it, and is not news."""
    here = world(tmp_path, customers=30)
    account = here.account
    here.sync(["customers", "coupons"])
    name = account.objects("customer")[0]["id"]
    account.advance(days=1)
    account.edit("customer", name, email="old@example.com")
    account.advance(days=5)
    account.edit("customer", name, email="new@example.com")
    here.sync(["customers"])
    assert here.sync(["customers", "coupons"]).complete
    assert rows(here.database, f"select email from stripe.customers where id = '{name}'") == [("new@example.com",)]
    assert differences(here.database, account, types=("customers", "coupons")) == []
    assert here.asked(f"/v1/customers/{name}") == []


def test_type_that_is_read_for_the_first_time_is_not_read_again_object_by_object(tmp_path: Path) -> None:
    """Customers today, everything tomorrow: a day of events about what was just listed must not cost a request each."""
    here = world(tmp_path, customers=60)
    here.sync(["customers"])
    here.account.advance(days=3)
    before = len(here.app.requests)
    summary = here.sync(FEW)
    single = [request for request in here.app.requests[before:] if request.path.count("/") == 3 and "_" in request.path.rsplit("/", 1)[1]]
    alone = [request.path for request in single if not request.path.endswith(("/sessions", "/subscription_items"))]
    assert summary.complete
    assert len(alone) < 10, alone
    assert differences(here.database, here.account, types=FEW) == []


def test_deleted_invoice_takes_its_lines_with_it(tmp_path: Path) -> None:
    """No event tells of the lines."""
    here = world(tmp_path, customers=20)
    names = ("invoices", "invoice_lines")
    here.sync(names)
    here.account.delete("invoice", here.account.objects("invoice")[0]["id"])
    here.sync(names)
    assert differences(here.database, here.account, types=names) == []


@pytest.mark.parametrize("clock", ["set back while it runs", "an hour early in the second run"])
def test_clock_that_is_set_back_makes_nothing_look_gone(tmp_path: Path, clock: str) -> None:
    """What a whole reading did not see since its beginning is marked deleted: read \"before\" it, everything would be."""
    here = world(tmp_path, customers=30)
    times = iter(1_800_000_000.0 - 7 * step for step in range(100_000))

    def sync(make: Callable[[], Clock], **options: Any) -> Summary:
        settings = Settings(api_key=here.key, api_base="http://stripe.test", duckdb=here.database)
        return virtual_time.run(Mirror(settings, transport=httpx.ASGITransport(here.app), clock=make).sync(SOME, **options))

    if clock == "set back while it runs":
        assert sync(lambda: Clock(wall=lambda: next(times))).complete
    else:
        sync(lambda: Clock(wall=lambda: 1_800_003_600.0))
        here.account.delete("customer", here.account.objects("customer")[0]["id"])
        assert sync(lambda: Clock(wall=lambda: 1_800_000_000.0), full_refresh=True).complete
    assert differences(here.database, here.account, types=SOME) == []


def test_reading_never_has_an_earlier_time_than_the_one_before() -> None:
    now = {"wall": 1000.0, "steady": 5.0}
    clock = Clock(wall=lambda: now["wall"], steady=lambda: now["steady"])
    clock.not_before(900.0)
    assert clock.now() == 1000.0
    now.update(wall=10.0, steady=7.0)
    assert clock.now() == 1002.0
    clock.not_before(2000.0)
    assert clock.now() == 2000.0
    now["steady"] = 8.0
    assert clock.now() == 2001.0


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
    assert {request.path for request in here.app.requests[before:]} & {f"/v1/{name}" for name in SOME} == set()
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


def test_ids_with_quotes_and_question_marks_are_ids_like_any_other(tmp_path: Path) -> None:
    """Coupons, plans and products are named by the account's owner."""
    here = world(tmp_path, customers=10)
    names = ["it's", 'say "hi"', "a?b=c&d#e", "50%25", "ü ñ", "{id}"]
    for name in names:
        here.account.create("coupon", id=name)
    assert here.sync(["coupons"]).complete
    for name in names[:4]:
        here.account.edit("coupon", name, name="first")
        here.account.edit("coupon", name, name="second")  # in the same second: it is read again by its id
    here.account.delete("coupon", names[4])
    assert here.sync(["coupons"]).complete
    assert differences(here.database, here.account, types=("coupons",)) == []


def test_object_of_five_megabytes_is_mirrored(tmp_path: Path) -> None:
    here = world(tmp_path, customers=10)
    here.account.create("customer", metadata={"note": "x" * 5_000_000})
    assert here.sync(["customers"]).complete
    assert differences(here.database, here.account, types=("customers",)) == []


def test_fault_of_one_list_leaves_the_rest_complete(tmp_path: Path) -> None:
    here = world(tmp_path, customers=40, alter={"/v1/prices": failing})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "prices")
    assert "given up after 8 attempts" in reason(summary, "prices")
