"""A plan asks little, of the lowest priority, and whatever may not be read costs the rest nothing."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import virtual_time
from equality import rows
from mirroring import FEW as TYPES
from mirroring import NOW, World
from sync.planning import planned

from stripe_assets.api.answers import Answer
from stripe_assets.api.client import Request
from stripe_assets.catalog.types import Fresh, load
from stripe_assets.errors import Unauthorized, WarehouseError
from stripe_assets.limits.guard import InProcess
from stripe_assets.limits.priority import Priority
from stripe_assets.simulator.account import Account
from stripe_assets.sync import known as sought
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import OWN, Way
from stripe_assets.sync.plan import Plan
from stripe_assets.sync.probe import Probe
from stripe_assets.sync.settings import Settings
from stripe_assets.warehouse.census import Census

FEW = 5


def world(tmp_path: Path, customers: int = 60, **options: Any) -> World:
    return World(tmp_path / "stripe.duckdb", Account(seed=3, customers=customers, now=NOW), options)


def ways(made: Plan) -> dict[str, Way]:
    return {one.type: one.way for one in made.sync.types}


def of(made: Plan, name: str) -> Figure:
    return next(one.requests for one in made.sync.types if one.type == name)


def test_no_list_is_asked_more_than_five_times_and_nothing_is_written(tmp_path: Path) -> None:
    here = world(tmp_path, customers=600)
    made = planned(here)
    asked = Counter(request.endpoint for request in here.app.requests)
    assert made.asked == asked.total(), "what it took is told, all of it"
    # The charges are looked at once more, for the transactions of the last month; every run asks for the newest event;
    # and of one payout's transactions it is asked whether they may be read, in the same list.
    more = {"GET /v1/charges": FEW + 2, "GET /v1/events": FEW + 1, "GET /v1/balance_transactions": FEW + 1}
    assert {name: count for name, count in asked.items() if count > more.get(name, FEW)} == {}
    assert not here.database.exists()


def test_mirrored_account_is_asked_for_its_events_only(tmp_path: Path) -> None:
    """The lists are known: the mirror has them."""
    here = world(tmp_path)
    here.sync(TYPES)
    here.account.advance(days=1)
    before = len(here.app.requests)
    made = planned(here, TYPES)
    asked = [request.endpoint for request in here.app.requests[before:]]
    assert set(asked) == set(OWN)
    assert len(asked) <= len(OWN) + FEW
    assert {one.type for one in made.sync.types if one.way is Way.WHOLE} <= {kind.name for kind in load() if kind.fresh is Fresh.REFRESH}


def test_type_that_the_key_may_not_read_is_refused_with_its_children_and_the_rest_goes_on(tmp_path: Path) -> None:
    here, some = world(tmp_path, keys={"rk_test_limited": {"dispute", "setup_intent"}}), [*TYPES, "setup_attempts"]
    here.key = "rk_test_limited"
    made = planned(here, some)
    refused = {one.type: one.reason or "" for one in made.sync.types if one.way is Way.REFUSED}
    assert set(refused) == {"disputes", "setup_intents", "setup_attempts"}
    assert "rak_dispute_read" in refused["disputes"]
    assert refused["setup_attempts"].startswith("its setup_intents could not be read: ")
    assert (of(made, "setup_intents"), of(made, "setup_attempts")) == (Figure(1), Figure(0))
    summary = here.sync(some)
    assert {result.type for result in summary.results if result.state == "skipped"} == set(refused)


def test_children_that_the_key_may_not_read_are_found_out_by_asking_one_parent(tmp_path: Path) -> None:
    """Else a request for every customer would be forecast, and one is made."""
    here = world(tmp_path, keys={"rk_test_limited": {"customer_balance_transaction"}})
    here.key = "rk_test_limited"
    made = planned(here, ["customer_balance_transactions"])
    assert {name for name, way in ways(made).items() if way is Way.REFUSED} == {"customer_balance_transactions"}
    assert of(made, "customer_balance_transactions") == Figure(1)


def test_key_that_may_not_read_events_reads_everything_each_time(tmp_path: Path) -> None:
    here = world(tmp_path, keys={"rk_test_limited": {"event"}})
    here.key = "rk_test_limited"
    assert planned(here, TYPES).blind
    here.sync(TYPES)
    again = planned(here, TYPES)
    assert again.blind
    made = here.sync(TYPES)
    assert abs(again.sync.requests.value - made.requests) <= 0.1 * made.requests


def test_unknown_key_ends_the_plan(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.key = "sk_test_stranger"
    with pytest.raises(Unauthorized):
        planned(here)


def test_place_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    """A name that is too long stands for a folder that may not be entered: a test that runs as root may enter all."""
    with pytest.raises(WarehouseError, match="cannot be reached"):
        planned(World(tmp_path / ("m" * 300), Account(seed=1, customers=3, now=NOW)), ("customers",))


def test_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    here = world(tmp_path, customers=600)
    middle = NOW - 60 * 86_400
    made, summary = planned(here, ["charges"], since=middle), here.sync(["charges"], since=middle)
    assert abs(made.sync.requests.value - summary.requests) <= 1
    assert made.sync.requests.value < planned(here, ["charges"]).sync.requests.value


def test_interrupted_first_reading_is_planned_from_what_it_has_stored(tmp_path: Path) -> None:
    """Whoever stopped a long sync wants to know what is left."""
    here = world(tmp_path, customers=600)
    settings = Settings(api_key=here.key, api_base="http://stripe.test", duckdb=here.database, rate_limit=2.0)
    mirror = Mirror(settings, transport=httpx.ASGITransport(here.app), sharing=lambda _allowance: InProcess())
    with pytest.raises(TimeoutError):
        virtual_time.run(asyncio.wait_for(mirror.sync(["charges"]), 4.4))
    stored = rows(here.database, "select count(*) from stripe.charges")[0][0]
    total = len(here.account.objects("charge"))
    assert 0 < stored < total
    made = planned(here, ["charges"])
    assert ways(made)["charges"] is Way.REST
    summary = here.sync(["charges"])
    assert abs(made.sync.requests.value - summary.requests) <= 2


def test_transactions_are_the_charges_of_the_last_month_that_went_through(tmp_path: Path) -> None:
    here = world(tmp_path, customers=150)
    recent = [charge for charge in here.account.objects("charge") if charge["created"] > NOW - 30 * 86_400]
    went_through = sum(charge["paid"] for charge in recent)
    assert 0 < went_through < len(recent) <= 100
    first = planned(here, ["coupons"])
    assert first.transactions == Figure(went_through)
    here.sync(["charges"])
    before = len(here.app.requests)
    assert planned(here, ["coupons"]).transactions == Figure(went_through), "by the mirror"
    assert not [request for request in here.app.requests[before:] if request.path == "/v1/charges"]
    here.account.advance(days=5)
    later = planned(here, ["coupons"]).transactions
    assert later.sure is Sure.ESTIMATED
    assert later.value == pytest.approx(went_through, rel=0.5)


def test_share_of_the_allotment_is_that_of_reads_that_stripe_counts(tmp_path: Path) -> None:
    made = planned(world(tmp_path), ["coupons", "tax_registrations"])
    assert made.sync.requests.value > made.sync.allotted_reads.value
    assert made.share.value == pytest.approx(made.sync.allotted_reads.value / 10_000)


def test_list_that_is_refused_is_planned_below_its_parents_where_it_can_be_had_there(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.app.switches.turn("payment-methods-need-customer", on=True)
    made = planned(here, ["payment_methods"])
    assert ways(made)["payment_methods"] is Way.WHOLE
    summary = here.sync(["payment_methods"])
    found = {result.type: result.requests for result in summary.results}
    assert of(made, "payment_methods").value == pytest.approx(found["payment_methods"], abs=2)


@dataclass
class Asked:
    """A client that answers every request with the same page, and keeps what was asked."""

    page: dict[str, Any]
    requests: list[Request] = field(default_factory=list)

    async def get(self, request: Request, read: Any, *, attempts: int) -> Any:
        assert attempts > 1
        self.requests.append(request)
        return read(Answer(request.path, msgspec.json.encode(self.page), "req_1"))


def looked_at(name: str, page: dict[str, Any]) -> tuple[list[Request], Figure | None]:
    """Look at a list of an account from the second 1000, of which every page is the same; of children everything is selected."""
    client, catalog = Asked(page), load()
    kinds = (catalog[name], *(child for child in catalog.children(name) if child.parent and child.parent.embedded))
    asked = sought.Asked(kinds, "acct_1", 6000.0, 5000)
    known = sought.situation(catalog, asked, Census())
    probe = Probe(client, catalog, known, Census(), asked, opened=1000)  # type: ignore[arg-type]  # it has the one method that is used
    return client.requests, virtual_time.run(probe.look()).numbers[name].rows


def test_looks_wait_behind_everything_else() -> None:
    """Beside a sync of the same key they take only the slots that nobody else wants."""
    requests, _ = looked_at("charges", {"data": [{"id": "ch_1", "created": 5000}], "has_more": True})
    assert {request.priority for request in requests} == {Priority.LEAF}
    assert len(requests) == FEW


def test_lists_are_looked_at_as_they_will_be_read() -> None:
    """With what their children are expanded by, and what hides nothing: another question has another answer."""
    requests, _ = looked_at("customers", {"data": [], "has_more": False})
    assert requests[0].params == {"limit": "100", "created[gte]": "1000", "expand": ("data.sources", "data.tax_ids")}
    requests, _ = looked_at("tax_registrations", {"data": [], "has_more": False})
    assert requests[0].params == {"status": "all", "limit": "100"}


def test_list_that_takes_no_limit_gets_none() -> None:
    requests, found = looked_at("reporting_report_types", {"data": [{"id": "a"}, {"id": "b"}], "has_more": False})
    assert (requests[0].params, found) == ({}, Figure(2))


def test_list_of_version_2_is_looked_at_once() -> None:
    """Its next page has another name, and its times are words."""
    page = {"data": [{"id": "evt_1", "created": "2026-01-01T00:00:00Z"}], "next_page_url": "/v2/core/events?page=x"}
    requests, found = looked_at("core_events", page)
    assert (len(requests), found) == (1, Figure(2, Sure.AT_LEAST))
    _, last = looked_at("core_events", {**page, "next_page_url": None})
    assert last == Figure(1)
