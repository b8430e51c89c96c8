"""The mirror equals the account: after a first run, after changes, beside changes, and under faults."""

import asyncio
import shutil
from math import ceil
from pathlib import Path

import pytest
from equality import differences, rows
from mirroring import FEW, NOW, World
from sync.altered import Altered, failing

from stripe_assets.errors import Unauthorized
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import NAMES as FAULTS

BELOW = "customer_balance_transactions"
"""A type that is asked for customer by customer."""
HANDFUL = 7
"""Requests of a run that finds nothing new: the account, the events before and after, two lists without events, and what is open."""


def world(tmp_path: Path, *, customers: int = 60, seed: int = 3, **options: object) -> World:
    return World(tmp_path / "stripe.duckdb", Account(seed=seed, customers=customers, now=NOW), dict(options))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mirror after one run; the same account is told again from its seed for each test that goes on from there."""
    here = world(tmp_path_factory.mktemp("first"))
    assert here.sync(FEW).complete
    return here.database


@pytest.fixture
def synced(first_run: Path, tmp_path: Path) -> World:
    """An account that has been mirrored once."""
    here = world(tmp_path)
    shutil.copy(first_run, here.database)
    return here


def test_run_without_changes_makes_a_handful_of_requests(synced: World) -> None:
    here = synced
    before = len(here.app.requests)
    assert here.sync(FEW).complete
    assert len(here.app.requests) - before <= HANDFUL
    assert differences(here.database, here.account, types=FEW) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_days_of_business_are_caught_up(tmp_path: Path, seed: int) -> None:
    """Renewals, failures, cancellations, deletes and edits arrive by events, the rest by `created`."""
    here = world(tmp_path, seed=seed)
    here.sync(FEW)
    for _ in range(3):
        here.account.advance(days=2)
        before = len(here.app.requests)
        assert here.sync(FEW).complete
        assert differences(here.database, here.account, types=FEW) == []
        assert len(here.app.requests) - before < 40


def test_edits_deletes_and_new_objects_are_told_by_events(synced: World) -> None:
    here = synced
    account = here.account
    edited, deleted = [customer["id"] for customer in account.objects("customer")[:2]]
    account.edit("customer", edited, email="new@example.com")
    account.delete("customer", deleted)
    created = account.create("customer", email="third@example.com")
    here.sync(FEW)
    query = f"select id, email, _deleted_at is null from stripe.customers where id in ('{edited}', '{deleted}', '{created}')"
    found = {row[0]: row[1:] for row in rows(here.database, query)}
    assert found[edited] == ("new@example.com", True)
    assert found[deleted][1] is False
    assert found[created] == ("third@example.com", True)
    assert differences(here.database, account, types=FEW) == []


def test_two_edits_within_one_second_end_in_the_later_state(synced: World) -> None:
    """Mirrors that keep only what is strictly newer by `created` lose the second one."""
    here = synced
    name = here.account.objects("customer")[0]["id"]
    here.account.edit("customer", name, email="first@example.com")
    here.account.edit("customer", name, email="second@example.com")
    here.sync(FEW)
    assert rows(here.database, f"select email from stripe.customers where id = '{name}'") == [("second@example.com",)]


def test_edits_made_during_the_backfill_are_caught_up_in_the_same_run(tmp_path: Path) -> None:
    """The position in the events is stamped before the first list is read, not after the last."""
    here = world(tmp_path, latency=0.2)
    here.rate_limit = 10.0  # so that it takes longer than the edits

    async def edit() -> None:
        for number, customer in enumerate(here.account.objects("customer")[:20]):
            await asyncio.sleep(0.1)
            here.account.edit("customer", customer["id"], email=f"{number}@example.com")

    assert here.sync(FEW, meanwhile=edit).complete
    assert differences(here.database, here.account, types=("customers",)) == []


def test_deleted_cursor_object_does_not_end_the_list(tmp_path: Path) -> None:
    """A page that is to start after a deleted object answers 400: going on from there must lose nothing."""
    here = world(tmp_path, customers=1200)
    here.rate_limit = 5.0  # so that there is time to delete between a page and the next
    deleted: set[str] = set()

    async def delete_cursors() -> None:
        while len(deleted) < 4:
            await asyncio.sleep(0.05)
            answered = [request for request in here.asked("/v1/customers") if request.status == 200]
            last = _last_of_page(here.account, answered[-1].params) if answered else None
            if last is not None:
                here.account.delete("customer", last)
                deleted.add(last)
                await asyncio.sleep(0.5)

    assert here.sync(["customers"], meanwhile=delete_cursors).complete
    lost = [request for request in here.asked("/v1/customers") if request.status == 400]
    assert {request.params["starting_after"] for request in lost} <= deleted
    assert lost
    assert differences(here.database, here.account, types=("customers",)) == []


def _last_of_page(account: Account, params: dict[str, str]) -> str | None:
    """Say which object the next page would start after; none if there is no next page."""
    gte, lt = int(params.get("created[gte]", 0)), int(params.get("created[lt]", 1 << 40))
    ids = [customer["id"] for customer in account.objects("customer") if gte <= customer["created"] < lt]
    begin = ids.index(params["starting_after"]) + 1 if params.get("starting_after") in ids else 0
    return ids[begin + 99] if len(ids) > begin + 100 else None


def test_embedded_lists_that_are_cut_short_are_read_to_their_end(tmp_path: Path) -> None:
    """Eleven and 250 lines where the invoice shows ten; what the invoice shows whole is not asked for."""
    here = world(tmp_path, customers=20)
    customer = here.account.objects("customer")[0]["id"]
    long, short = here.account.bill(customer, lines=250), here.account.bill(customer, lines=11)
    ten = here.account.bill(customer, lines=10)
    here.account.advance(days=0.01)  # an event of the last minute would have the invoices read again
    here.account.create("coupon")
    here.sync(["invoice_lines"])
    counts = dict(rows(here.database, "select invoice, count(*) from stripe.invoice_lines group by 1"))
    assert (counts[long], counts[short], counts[ten]) == (250, 11, 10)
    assert len(here.asked(f"/v1/invoices/{long}/lines")) == 3
    assert len(here.asked(f"/v1/invoices/{short}/lines")) == 1
    assert here.asked(f"/v1/invoices/{ten}/lines") == []
    assert differences(here.database, here.account, types=("invoices", "invoice_lines")) == []


def test_last_short_page_is_kept(tmp_path: Path) -> None:
    here = world(tmp_path, customers=101)
    here.sync(["customers"])
    total = len(here.account.objects("customer"))
    assert total % 100
    assert rows(here.database, "select count(*) from stripe.customers where _deleted_at is null") == [(total,)]


def test_full_refresh_marks_what_has_vanished(synced: World) -> None:
    """Deletes outside the window of events are found by reading everything again."""
    here = synced
    gone = here.account.objects("customer")[5]["id"]
    here.account.delete("customer", gone)
    here.account.advance(days=31)
    assert here.sync(FEW, full_refresh=True).complete
    assert rows(here.database, f"select _deleted_at is not null from stripe.customers where id = '{gone}'") == [(True,)]
    assert differences(here.database, here.account, types=FEW) == []


def test_since_leaves_out_what_is_older_and_a_later_run_brings_it(tmp_path: Path) -> None:
    here = world(tmp_path)
    middle = NOW - 200 * 86_400
    here.sync(["charges"], since=middle)
    expected = sum(charge["created"] >= middle for charge in here.account.objects("charge"))
    assert rows(here.database, "select count(*) from stripe.charges") == [(expected,)]
    here.sync(["charges"])
    assert differences(here.database, here.account, types=("charges",)) == []


def test_permission_that_the_key_lacks_skips_that_type_with_its_reason(tmp_path: Path) -> None:
    """A 403 taken as an empty list makes rows disappear without a word."""
    here = World(
        tmp_path / "stripe.duckdb",
        Account(seed=3, customers=60, now=NOW),
        {"keys": {"rk_test_limited": {"charge", "customer"}}},
        key="rk_test_limited",
    )
    summary = here.sync([*FEW, BELOW])
    states = {result.type: result for result in summary.results}
    assert not summary.complete
    assert {name for name, result in states.items() if result.state != "complete"} == {"charges", "customers", BELOW}
    assert {states[name].state for name in ("charges", "customers", BELOW)} == {"skipped"}
    assert (states["charges"].reason or "").startswith("needs the permission rak_charge_read: GET /v1/charges ")
    assert (states[BELOW].reason or "").startswith("its customers could not be read: needs the permission rak_customer_read: ")
    assert states["charges"].request_id is not None
    assert states[BELOW].requests == 0
    left = tuple(name for name, result in states.items() if result.state == "complete")
    assert differences(here.database, here.account, types=left) == []


def test_unknown_key_ends_the_run(tmp_path: Path) -> None:
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=5, now=NOW), key="sk_test_stranger")
    with pytest.raises(Unauthorized):
        here.sync()


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_all_faults_together_at_a_fifth_of_the_requests_change_nothing(tmp_path: Path, seed: int) -> None:
    """A bad day; each fault alone is in tests/faults."""
    here = world(tmp_path, customers=20, faults=dict.fromkeys(FAULTS, 0.2 / len(FAULTS)), seed=seed)
    types = (*FEW, BELOW, "core_accounts", "balance", "quote_line_items")
    summary = here.sync(types)
    assert summary.complete, [result for result in summary.results if result.state != "complete"]
    assert len(set(here.app.faults.struck)) > 5
    assert differences(here.database, here.account, types=types) == []


def test_failed_types_do_not_stop_the_others_and_are_mended_by_the_next_run(tmp_path: Path) -> None:
    """What always fails ends without hanging, by name and with a request to show Stripe; the next run goes on from there."""
    here = world(tmp_path, customers=40, faults={"server-error": 0.2}, seed=7)
    usual = here.app
    here.app = Altered(usual, {"/v1/charges": failing, "/v1/customers": failing})  # type: ignore[assignment]  # but for two paths as usual
    types = [*FEW, BELOW]
    summary = here.sync(types)
    states = {result.type: result for result in summary.results}
    assert {name for name, result in states.items() if result.state != "complete"} == {"charges", "customers", BELOW}
    for name, path in (("charges", "/v1/charges"), ("customers", "/v1/customers")):
        assert (states[name].state, path in (states[name].reason or ""), states[name].request_id is not None) == ("failed", True, True)
    assert "its customers could not be read" in (states[BELOW].reason or "")
    letters = rows(here.database, "select distinct type, path from stripe_sync.dead_letters order by 1")
    assert letters == [("charges", "/v1/charges"), ("customers", "/v1/customers")]
    left = tuple(name for name, result in states.items() if result.state == "complete")
    assert differences(here.database, here.account, types=left) == []
    here.app = usual
    assert here.sync(types).complete
    assert differences(here.database, here.account, types=tuple(types)) == []
    assert rows(here.database, "select count(*) from stripe_sync.dead_letters") == [(0,)]


def test_limit_is_used_and_never_exceeded(tmp_path: Path) -> None:
    """A full sync at 100 a second and 25 an endpoint, answers after 0.1 s: no 429, no waste, close to the shortest time."""
    here = world(tmp_path, customers=2000, latency=0.1, account_limit=100, endpoint_limit=25)
    summary = here.sync(FEW)
    assert summary.throttled == {}
    counts = dict(rows(here.database, "select type, rows from stripe_sync.run_types"))
    least = {name: ceil(count / 100) or 1 for name, count in counts.items()}
    embedded = sum(result.requests for result in summary.results if result.type in ("invoice_lines", "subscription_items"))
    lists = sum(count for name, count in least.items() if name not in ("invoice_lines", "subscription_items"))
    clocks = 2 * len(here.account.objects("test_helpers.test_clock"))  # customers and subscriptions are asked for by each
    # Of 30 pages each, one for a second cursor; what events and `created` tell again is the rest. 1.05 is for larger accounts.
    assert summary.requests <= 1.08 * lists + embedded + clocks + HANDFUL + 2  # archived prices, custom payment methods
    # Before the lists, after them and after what they lead to, a few answers are waited for one after the other.
    shortest = max(summary.requests / 100, max(least.values()) / 25)
    assert shortest <= here.clock <= 1.25 * shortest + 2.0
