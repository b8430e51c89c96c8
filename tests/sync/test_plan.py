"""A plan asks little, of the lowest priority, and whatever may not be read costs the rest nothing."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import virtual_time
from equality import rows
from mirroring import NOW, World
from sync.planning import planned

from stripe_assets.api.answers import Answer
from stripe_assets.api.client import Request
from stripe_assets.catalog.types import Catalog, everything, load
from stripe_assets.errors import Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.simulator.account import Account
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.looks import Looks
from stripe_assets.sync.plan import Plan
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.situation import Way

FEW = 5
NAMES = load().names


def world(tmp_path: Path, customers: int = 60, **options: Any) -> World:
    return World(tmp_path / "stripe.duckdb", Account(seed=3, customers=customers, now=NOW), options)


def ways(plan: Plan) -> dict[str, Way]:
    return {one.type: one.way for one in plan.sync.types}


def of(plan: Plan, name: str) -> Figure:
    return next(one.requests for one in plan.sync.types if one.type == name)


def test_no_list_is_asked_more_than_five_times_and_nothing_is_written(tmp_path: Path) -> None:
    here = world(tmp_path, customers=900)
    plan = planned(here)
    asked = [request.endpoint for request in here.app.requests]
    assert plan.asked == len(asked)
    # The list of charges is looked at once more, for the transactions of the last month.
    assert {name for name in asked if asked.count(name) > FEW} <= {"GET /v1/charges"}
    assert asked.count("GET /v1/charges") <= FEW + 2
    assert not here.database.exists()


def test_mirrored_account_is_asked_for_its_events_and_what_they_do_not_tell(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.sync()
    here.account.advance(days=1)
    before = len(here.app.requests)
    plan = planned(here)
    asked = {request.endpoint for request in here.app.requests[before:]}
    assert asked == {"GET /v1/account", "GET /v1/events", "GET /v1/balance_transactions", "GET /v1/checkout/sessions"}
    assert set(ways(plan).values()) == {Way.CATCH_UP}


def test_type_that_the_key_may_not_read_is_refused_with_its_children_and_the_rest_goes_on(tmp_path: Path) -> None:
    here = world(tmp_path, keys={"rk_test_limited": {"dispute", "customer"}})
    here.key = "rk_test_limited"
    plan = planned(here)
    refused = {one.type: one.reason or "" for one in plan.sync.types if one.way is Way.REFUSED}
    assert set(refused) == {"customers", "payment_methods", "disputes"}
    assert "'rak_dispute_read' permission" in refused["disputes"]
    assert refused["payment_methods"].startswith("its customers could not be read: ")
    assert (of(plan, "customers"), of(plan, "payment_methods")) == (Figure(1), Figure(0))
    assert plan.sync.requests.value > len(NAMES) - len(refused)


def test_children_that_the_key_may_not_read_are_found_out_by_asking_one_parent(tmp_path: Path) -> None:
    """Else a request for every customer would be forecast, and none is made."""
    here = world(tmp_path, keys={"rk_test_limited": {"payment_method"}})
    here.key = "rk_test_limited"
    plan = planned(here)
    assert {name for name, way in ways(plan).items() if way is Way.REFUSED} == {"payment_methods"}
    assert of(plan, "payment_methods") == Figure(1)


def test_key_that_may_not_read_events_reads_everything_each_night(tmp_path: Path) -> None:
    here = world(tmp_path, keys={"rk_test_limited": {"event"}})
    here.key = "rk_test_limited"
    plan = planned(here)
    assert plan.blind
    assert ways(plan)["events"] is Way.REFUSED
    assert plan.night.requests.value >= 0.9 * plan.sync.requests.value
    here.sync()
    again = planned(here)
    assert again.blind
    made = here.sync()
    assert abs(again.sync.requests.value - made.requests) <= 0.1 * made.requests


def test_unknown_key_ends_the_plan(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.key = "sk_test_stranger"
    with pytest.raises(Unauthorized):
        planned(here)


def test_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    here = world(tmp_path, customers=900)
    middle = NOW - 60 * 86_400
    plan, made = planned(here, ["charges"], since=middle), here.sync(["charges"], since=middle)
    assert abs(plan.sync.requests.value - made.requests) <= 1
    assert plan.sync.requests.value < planned(here, ["charges"]).sync.requests.value


def test_interrupted_first_reading_is_planned_from_what_it_has_stored(tmp_path: Path) -> None:
    """Whoever stopped a long sync wants to know what is left."""
    here = world(tmp_path, customers=900)
    key = Settings(api_key=here.key, api_base="http://stripe.test", duckdb=here.database, rate_limit=2.0)
    mirror = Mirror(key, transport=httpx.ASGITransport(here.app))
    with pytest.raises(TimeoutError):
        virtual_time.run(asyncio.wait_for(mirror.sync(["charges"]), 4.5))
    stored = rows(here.database, "select count(*) from stripe.charges")[0][0]
    total = len(here.account.objects("charge"))
    assert 0 < stored < total
    plan = planned(here, ["charges"])
    assert ways(plan) == {"charges": Way.REST}
    made = here.sync(["charges"])
    assert abs(plan.sync.requests.value - made.requests) <= 2


def test_transactions_are_the_charges_of_the_last_month_that_went_through(tmp_path: Path) -> None:
    here = world(tmp_path, customers=300)
    recent = [charge for charge in here.account.objects("charge") if charge["created"] > NOW - 30 * 86_400]
    went_through = sum(charge["paid"] for charge in recent)
    assert 20 < went_through < len(recent)
    first = planned(here, ["coupons"])
    assert (first.transactions, first.allotted) == (Figure(went_through), Figure(500 * went_through))
    here.sync()
    assert planned(here, ["coupons"]).transactions == Figure(went_through)
    here.account.advance(days=5)
    later = planned(here, ["coupons"]).transactions
    assert later.sure is Sure.ESTIMATED
    assert later.value == pytest.approx(went_through, rel=0.3)


def test_all_types_of_the_catalog_can_be_planned_where_most_of_them_are_refused(tmp_path: Path) -> None:
    """This account knows 26 types, and not all that can be expanded in them: what one type is answered must not stop the plan."""
    here = world(tmp_path)
    plan = planned(here, catalog=everything())
    known = {name for name, way in ways(plan).items() if way is Way.WHOLE}
    assert known >= set(NAMES) - {"payment_methods", "payment_intents"}
    assert "issuing_cards" not in known


def test_list_that_is_refused_is_planned_below_its_parents_where_it_can_be_had_there(tmp_path: Path) -> None:
    here = world(tmp_path)
    plan = planned(here, ["customers", "payment_methods"], catalog=everything())
    assert ways(plan)["payment_methods"] is Way.WHOLE
    assert of(plan, "payment_methods") == Figure(60)


@dataclass
class Asked:
    """A client that answers every request with the same page, and keeps what was asked."""

    page: dict[str, Any]
    requests: list[Request] = field(default_factory=list)

    async def get(self, request: Request, read: Any, *, attempts: int) -> Any:
        assert attempts > 1
        self.requests.append(request)
        return read(Answer(request.path, msgspec.json.encode(self.page), "req_1"))


def looked_at(name: str, page: dict[str, Any], *, catalog: Catalog | None = None, most: int = FEW) -> tuple[Asked, Figure]:
    """Look at a list of which every page is the same."""
    catalog = catalog or everything()
    client = Asked(page)
    looks = Looks(client, catalog, catalog.names)  # type: ignore[arg-type]  # it has the one method that is used
    survey = virtual_time.run(looks.over(catalog[name], floor=1000, most=most))
    return client, survey.rows


def test_looks_wait_behind_everything_else() -> None:
    """Beside a sync of the same key they take only the slots that nobody else wants."""
    client, _ = looked_at("charges", {"data": [{"id": "ch_1", "created": 5000}], "has_more": True})
    assert {request.priority for request in client.requests} == {Priority.LEAF}
    assert len(client.requests) == FEW


def test_lists_are_looked_at_as_they_will_be_read() -> None:
    """With what their children are expanded by, and what hides nothing: another question has another answer."""
    client, _ = looked_at("customers", {"data": [], "has_more": False})
    assert client.requests[0].params == {
        "limit": "100",
        "created[gte]": "1000",
        "expand": ("data.sources", "data.tax_ids"),
    }
    client, _ = looked_at("tax_registrations", {"data": [], "has_more": False})
    assert client.requests[0].params == {"status": "all", "limit": "100"}


def test_list_that_takes_no_limit_gets_none() -> None:
    client, found = looked_at("reporting_report_types", {"data": [{"id": "a"}, {"id": "b"}], "has_more": False})
    assert (client.requests[0].params, found) == ({}, Figure(2))


def test_list_of_the_second_kind_is_looked_at_once() -> None:
    """Its next page has another name, and its times are words."""
    page = {"data": [{"id": "acct_1", "created": "2026-01-01T00:00:00Z"}], "next_page_url": "/v2/core/accounts?page=x"}
    client, found = looked_at("core_accounts", page)
    assert (len(client.requests), found) == (1, Figure(2, Sure.AT_LEAST))
    _, last = looked_at("core_accounts", {**page, "next_page_url": None})
    assert last == Figure(1)
