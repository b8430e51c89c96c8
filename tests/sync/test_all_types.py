"""Every type of a simulated account: equal to it, by the fewest requests, and what is refused is told and costs nothing else."""

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from equality import differences, rows
from mirroring import NOW, World
from naive import Reader
from proving import proven

from stripe_assets.catalog.types import Form, Fresh, ObjectType, load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import application
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.kinship import is_knowable, kinship

ALL = load()
OFF = ("issuing", "treasury", "identity", "climate", "v2")
"""Products that many accounts do not use."""
LIMITED = "rk_test_limited"
FORBIDDEN = {"charge", "quote", "entitlements.feature", "subscription_schedule"}
"""What the restricted key may not read, two of which others depend on."""
LONG = (
    "customer_sources", "customer_tax_ids", "quote_line_items", "quote_computed_upfront_line_items", "payment_link_line_items",
    "radar_value_list_items", "payment_intent_amount_details_line_items",
)  # fmt: skip
"""Types of which parents contain the first ten; among these are lists of eleven and of 250."""


def told() -> Account:
    """Tell of an account that has something of every type; the last minute is quiet, as its events would be looked into again."""
    account = Account(seed=3, customers=60, now=NOW)
    clocks = account.objects("test_helpers.test_clock")
    for clock in clocks[:2]:
        account.create("customer", test_clock=clock["id"])
    account.create("payment_method", type="custom", customer=None)
    account.advance(days=0.01)
    account.create("coupon")
    return account


def fewest(account: Account) -> dict[str, int]:
    """Count what a reader needs that asks one thing after the other, each once, a hundred at a time, and nothing that it was shown."""
    reader = Reader(application(account), ALL)
    reader.read()
    return {kind.name: reader.asked.get(kind.name, 0) for kind in ALL}


def asked(summary: Summary) -> dict[str, int]:
    return {result.type: result.requests for result in summary.results}


def differing(here: World, *, types: tuple[str, ...] = ()) -> list[str]:
    return differences(here.database, here.account, types=types)


@dataclass
class First:
    """A first run, and the account as it was then."""

    here: World
    summary: Summary
    least: dict[str, int]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    here = World(tmp_path_factory.mktemp("all") / "stripe.duckdb", told())
    least = fewest(here.account)
    return First(here, here.sync(), least)


@pytest.fixture
def synced(first: First, tmp_path: Path) -> World:
    """The same account and its mirror, to go on with."""
    here = World(tmp_path / "stripe.duckdb", told())
    shutil.copy(first.here.database, here.database)
    return here


def test_first_run_holds_everything(first: First) -> None:
    """Every type, every row, every column."""
    assert first.summary.complete, [result for result in first.summary.results if result.state != "complete"]
    assert {result.type for result in first.summary.results} == set(ALL.names)
    assert differing(first.here) == []
    assert [result.type for result in first.summary.results if not result.rows] == [], "a type without a row shows nothing"


def test_first_run_is_proven_in_every_type(synced: World) -> None:
    """By reading some of it again: three requests a type at most, and none of what is equal is called different."""
    proof = proven(synced, ALL.names)
    wrong = {name: one for name, one in proof.types.items() if not one.passed or one.forgiven or one.refused or one.unproven}
    assert wrong == {}
    assert [name for name, one in proof.types.items() if not one.equal == one.sampled > 0] == []
    assert proof.requests <= 3 * len(ALL.names)
    with Database(synced.database).open(read_only=True) as connection:
        looked = [kinship(connection, ALL, kind) for kind in ALL if is_knowable(kind)]
    assert {one.type: one for one in looked if one.wrong or not one.children} == {}


@pytest.mark.parametrize("name", LONG)
def test_lists_of_eleven_and_of_250_inside_their_parents_are_whole(first: First, name: str) -> None:
    """The shortest that is cut, and one of three pages: where mirrors lose the rest."""
    parent = ALL[name].parent
    assert parent is not None
    counts = {count for (count,) in rows(first.here.database, f'select count(*) from stripe."{name}" group by "{parent.column}"')}
    assert {11, 250} <= counts


def test_first_run_asks_for_hardly_more_than_must_be_asked(first: First) -> None:
    """Requests are what a rate limit is spent on, and a rolling allowance of reads."""
    found = asked(first.summary)
    for kind in ALL:
        print(f"{kind.name:45} {found[kind.name]:5} of {first.least[kind.name]:5}")
    print(f"{'together':45} {first.summary.requests:5} of {sum(first.least.values()):5}")
    # A list that only its `created` tells of is looked at once more at the end, for what has come meanwhile; and so is what the
    # newest minute of events tells of: the coupon.
    more = {kind.name: found[kind.name] - first.least[kind.name] for kind in ALL}
    again = {"coupons", *(kind.name for kind in ALL if kind.fresh is Fresh.CREATED and kind.parent is None)}
    assert {name: count for name, count in more.items() if count > (name in again)} == {}
    assert first.summary.requests <= 1.05 * sum(first.least.values())


def test_second_run_asks_only_for_what_nothing_tells_of(first: First, synced: World) -> None:
    """Lists without events are read again, those by `created` from their newest object on, and what may change untold; else nothing."""
    summary = synced.sync()
    found = asked(summary)
    assert summary.complete
    least = {kind.name: _again(kind, first) for kind in ALL}
    most = {kind.name: least[kind.name] + len(_open(kind, first)) for kind in ALL}
    assert {name: count for name, count in found.items() if not least[name] <= count <= most[name]} == {}
    assert all(found[kind.name] > least[kind.name] for kind in ALL if _open(kind, first))
    assert differing(synced) == []


def _open(kind: ObjectType, first: First) -> list[dict[str, Any]]:
    """List the objects that may change without an event: by a page each, or several by one."""
    states = kind.open.items()
    return [
        thing
        for thing in (first.here.account.objects(kind.path) if states else [])
        if any(thing.get(name) in values if values else thing.get(name) is None for name, values in states)
    ]


def _again(kind: ObjectType, first: First) -> int:
    """Say what a run without news has to ask for."""
    above = ALL[kind.parent.type] if kind.parent is not None else None
    if kind.name == "account" or kind.window is not None:
        return 0  # asked for by every run, before it begins; and sums of whole days once a day
    if kind.fresh is Fresh.REFRESH or (above is not None and above.fresh is Fresh.REFRESH and kind.parent and kind.parent.embedded):
        return first.least[kind.name]
    if kind.fresh is Fresh.CREATED:
        return 1 if above is None else len(first.here.account.objects(above.path))
    return 0


def test_account_and_balance_have_a_row_for_each_sync(synced: World) -> None:
    """Yesterday's balance is nowhere else: it is kept, with its time."""
    synced.sync(["account", "balance"])
    for name in ("account", "balance"):
        found = rows(synced.database, f"select id, _synced_at, _deleted_at from stripe.{name} order by _synced_at")
        assert len(found) == 2
        assert found[0][1] < found[1][1] and found[0][2] is None
    (earlier, moment, _), (later, _, _) = rows(synced.database, "select id, epoch_us(_synced_at), 0 from stripe.balance order by 2")
    assert earlier == f"{synced.account.id}_{moment}" != later


def test_days_of_business_are_caught_up_in_every_type(synced: World) -> None:
    """New objects, edits and deletions, told by events, by `created`, by parents, or by nothing at all."""
    for days in (1, 4, 9):
        synced.account.advance(days=days)
        before = len(synced.app.requests)
        assert synced.sync().complete
        assert differing(synced) == []
        others = [request for request in synced.app.requests[before:] if not request.path.startswith("/v1/billing/meters/")]
        assert len(others) < 200  # beside the sums of whole days, which are read once a day


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> First:
    """A first run with a key and an account that may not read everything."""
    here = World(tmp_path_factory.mktemp("limited") / "stripe.duckdb", told(), {"keys": {LIMITED: FORBIDDEN}}, key=LIMITED)
    least = fewest(here.account)
    for product in OFF:
        here.app.switches.product(product, on=False)
    return First(here, here.sync(), least)


def refused() -> set[str]:
    """Name the types that the restricted key or the account does not allow."""
    off = tuple("/v2" if product == "v2" else f"/v1/{product}" for product in OFF)
    return {kind.name for kind in ALL if kind.path.startswith(off) or kind.object in FORBIDDEN}


def test_what_is_refused_is_skipped_with_stripes_reason_and_all_else_is_complete(limited: First) -> None:
    """A permission is named first, so that whoever reads it knows what to tick."""
    results = {result.type: result for result in limited.summary.results}
    below = {kind.name for kind in ALL if kind.parent is not None and {kind.parent.type, kind.parent.needs} & refused()}
    states = {name: result.state for name, result in results.items()}
    assert states == dict.fromkeys(ALL.names, "complete") | dict.fromkeys(refused() | below, "skipped")
    assert differing(limited.here, types=tuple(name for name, state in states.items() if state == "complete")) == []
    assert (results["charges"].reason or "").startswith("needs the permission rak_charge_read: GET /v1/charges ")
    assert "not set up to use issuing" in (results["issuing_cards"].reason or "")
    assert all(results[name].request_id for name in refused() | below)


def test_refused_types_cost_one_request_each_and_their_children_none(limited: First) -> None:
    found = asked(limited.summary)
    for kind in ALL:
        if kind.name in refused():
            assert found[kind.name] == (0 if kind.parent is not None and kind.parent.type in refused() else 1), kind.name
    below = {kind.name: found[kind.name] for kind in ALL if kind.parent is not None and {kind.parent.type, kind.parent.needs} & refused()}
    assert below == dict.fromkeys(below, 0)
    assert (
        {kind.name for kind in ALL if kind.parent is not None} >= below.keys() >= {"quote_line_items", "product_features", "issuing_tokens"}
    )


def test_permission_that_is_taken_away_leaves_the_rows_as_they_are(synced: World) -> None:
    """A refusal taken for an empty list would delete everything that was mirrored."""
    for product in (*OFF, "/v1/tax_ids", "/v1/accounts", "/v1/radar/value_lists", "/v1/entitlements/features"):
        synced.app.switches.product(product, on=False)
    summary = synced.sync()
    states = Counter(result.state for result in summary.results)
    assert states["failed"] == 0
    assert states["skipped"] > 10
    assert differing(synced) == []


def test_deleted_parents_take_their_children_with_them_to_the_last(synced: World) -> None:
    """A customer's sources, and their transactions: no event tells of any of them."""
    owner = rows(synced.database, "select distinct customer from stripe.customer_sources where object = 'source' limit 1")[0][0]
    lists = [thing["id"] for thing in synced.account.objects("radar.value_list")]
    synced.account.delete("customer", owner)
    synced.account.delete("radar.value_list", lists[0])
    assert synced.sync().complete
    left = "select count(*) from stripe.source_source_transactions t join stripe.customer_sources s on s.id = t.source"
    assert rows(synced.database, f"{left} where s.customer = '{owner}' and t._deleted_at is null") == [(0,)]
    query = f"select count(*) from stripe.radar_value_list_items where value_list = '{lists[0]}' and _deleted_at is null"
    assert rows(synced.database, query) == [(0,)]


def test_single_types_are_all_told_apart_from_lists() -> None:
    """`_again` above speaks of them by name: a new one must be thought of."""
    assert {kind.name for kind in ALL if kind.form is Form.SINGLE and kind.parent is None} == {
        "account", "balance", "balance_settings", "tax_settings",
    }  # fmt: skip
