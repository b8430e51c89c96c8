"""Dead letters are tried again, and nothing else is: what failed becomes complete, what still fails says so."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
import virtual_time
from equality import differences, rows
from mirroring import FEW, NOW, World
from sync.altered import Alter, Altered, Answer, failing, forbidden

from stripe_assets.catalog.types import load
from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.redrive import reach, to_resume
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.letters import begun, standing

BELOW = "customer_balance_transactions"
ALWAYS = {"/v1/account", "/v1/events"}
"""What every run asks before anything else."""


def world(tmp_path: Path, *, customers: int = 40, **options: Any) -> World:
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=customers, now=NOW), options)
    here.account.advance(days=0.01)
    return here


def alter(here: World, paths: dict[str, Alter]) -> None:
    """Let some paths be answered otherwise from now on."""
    here.app = Altered(getattr(here.app, "app", here.app), paths)  # type: ignore[assignment]  # answers as the simulator does, but for some paths


def after_the_first_page(params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
    """Answer the first page as usual, later ones with a fault."""
    return failing(params, status, body) if "starting_after" in params else (status, body)


def again(here: World, *types: str, until: Callable[[Any], bool] | None = None) -> Summary:
    """Try the dead letters again, of these types or all; cancelled at the request for which `until` holds."""
    catalog = load()
    with duckdb.connect() as connection:
        connection.execute(f"attach '{here.database}' as mirror (read_only); use mirror")
        lettered = {one.type for one in standing(connection) if one.again}
        known = begun(connection, catalog)
    halt = asyncio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if until is not None and until(scope):
            halt.set()
            await asyncio.sleep(3600)
        await here.app(scope, receive, send)

    async def main() -> Summary:
        settings = Settings(api_key=here.key, api_base="http://stripe.test", duckdb=here.database, rate_limit=here.rate_limit)
        mirror = Mirror(
            settings,
            transport=httpx.ASGITransport(serve),  # type: ignore[arg-type]  # an ASGI callable
            sharing=lambda _allowance: InProcess(),
        )
        run = asyncio.ensure_future(mirror.redrive(types or lettered, known=known))
        if until is not None:
            await halt.wait()
            run.cancel()
        return await run

    return virtual_time.run(main())


def states(summary: Summary) -> dict[str, str]:
    return {result.type: result.state for result in summary.results}


def letters(here: World) -> list[Any]:
    return rows(here.database, "select type, path, attempts from stripe_sync.dead_letters order by all")


def test_failed_lists_and_what_waited_for_them_become_complete(tmp_path: Path) -> None:
    """The lists go on where they stopped; of the types that were read, no page is read again."""
    here = world(tmp_path, customers=150)
    alter(here, {"/v1/charges": after_the_first_page, "/v1/customers": failing})
    types = (*FEW, BELOW)
    assert {name for name, state in states(here.sync(types)).items() if state == "failed"} == {"charges", "customers", BELOW}
    assert {row[0] for row in letters(here)} == {"charges", "customers"}
    asked: list[dict[str, str]] = []

    def note(params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        asked.append(params)
        return status, body

    alter(here, {"/v1/charges": note})
    before = len(here.app.requests)
    summary = again(here)
    assert summary.complete
    assert states(summary).keys() >= {"charges", "customers", BELOW}
    assert letters(here) == []
    assert differences(here.database, here.account, types=types) == []
    others = {request.path for request in here.app.requests[before:]} - ALWAYS
    assert {path for path in others if not path.startswith(("/v1/customers", "/v1/charges"))} == set()
    assert [params for params in asked if not {"starting_after", "created[lt]"} & params.keys()] == [], "the first page was stored"
    assert here.sync(types).complete
    assert differences(here.database, here.account, types=types) == []


def test_one_objects_failure_is_mended_by_one_request(tmp_path: Path) -> None:
    """One odd object must not make the others be read again."""
    here = world(tmp_path)
    odd = here.account.objects("customer")[7]["id"]
    path = f"/v1/customers/{odd}/balance_transactions"
    alter(here, {path: failing})
    types = ("customers", BELOW)
    assert {name for name, state in states(here.sync(types)).items() if state == "failed"} == {BELOW}
    assert letters(here) == [(BELOW, path, 1)]
    alter(here, {})
    before = len(here.app.requests)
    assert states(again(here)) == {BELOW: "complete"}
    assert [request.path for request in here.app.requests[before:] if request.path not in ALWAYS] == [path]
    assert letters(here) == []
    assert differences(here.database, here.account, types=types) == []


def test_what_fails_again_keeps_its_letter_with_one_more_attempt(tmp_path: Path) -> None:
    here = world(tmp_path)
    first, second = (f"/v1/customers/{thing['id']}/balance_transactions" for thing in here.account.objects("customer")[7:9])
    alter(here, {first: failing, second: failing, "/v1/coupons": failing})
    types = ("customers", "coupons", BELOW)
    here.sync(types)
    assert {(row[1], row[2]) for row in letters(here)} == {(first, 1), (second, 1), ("/v1/coupons", 1)}
    alter(here, {second: failing, "/v1/coupons": failing})
    assert states(again(here)) == {BELOW: "failed", "coupons": "failed"}
    assert {(row[1], row[2]) for row in letters(here)} == {(second, 2), ("/v1/coupons", 2)}
    alter(here, {})
    assert states(again(here, "coupons")) == {"coupons": "complete"}
    assert letters(here) == [(BELOW, second, 2)]


def test_what_is_refused_now_keeps_its_letter(tmp_path: Path) -> None:
    """Skipped is not mended: the rows are not there."""
    here = world(tmp_path)
    alter(here, {"/v1/coupons": failing})
    here.sync(("coupons",))
    alter(here, {"/v1/coupons": forbidden})
    assert states(again(here)) == {"coupons": "skipped"}
    assert letters(here) == [("coupons", "/v1/coupons", 1)]


def test_list_of_what_is_new_is_read_on_from_the_newest_known(tmp_path: Path) -> None:
    here = world(tmp_path)
    types = ("charges", "balance_transactions")
    assert here.sync(types).complete
    here.account.advance(days=3)
    alter(here, {"/v1/balance_transactions": failing})
    assert states(here.sync(types)) == {"charges": "complete", "balance_transactions": "failed"}
    alter(here, {})
    before = len(here.app.requests)
    assert states(again(here)) == {"balance_transactions": "complete"}
    assert [request.path for request in here.app.requests[before:] if request.path not in ALWAYS] == ["/v1/balance_transactions"]
    assert letters(here) == []
    assert differences(here.database, here.account, types=types) == []


def test_changes_since_the_failure_are_caught_up(tmp_path: Path) -> None:
    """The pages that were stored before the failure may be out of date by now."""
    here = world(tmp_path, customers=150)
    alter(here, {"/v1/customers": after_the_first_page})
    here.sync(("customers",))
    stored = rows(here.database, "select id from stripe.customers order by created desc limit 2")
    here.account.edit("customer", stored[0][0], email="new@example.com")
    here.account.delete("customer", stored[1][0])
    alter(here, {})
    assert again(here).complete
    assert differences(here.database, here.account, types=("customers",)) == []


def test_interrupted_try_loses_no_letter(tmp_path: Path) -> None:
    here = world(tmp_path)
    paths = [f"/v1/customers/{thing['id']}/balance_transactions" for thing in here.account.objects("customer")[3:9]]
    alter(here, dict.fromkeys([*paths, "/v1/coupons"], failing))
    types = ("customers", "coupons", BELOW)
    here.sync(types)
    assert len(letters(here)) == 7
    alter(here, {})
    with pytest.raises(asyncio.CancelledError):
        again(here, until=lambda scope: scope["path"] == paths[3])
    assert len(letters(here)) == 7
    assert again(here).complete
    assert letters(here) == []
    assert differences(here.database, here.account, types=types) == []


def test_reading_that_was_begun_too_long_ago_is_not_gone_on_with(tmp_path: Path) -> None:
    """Events are kept for 30 days: what changed in the pages that were stored before could not be told."""
    here = world(tmp_path)
    alter(here, {"/v1/coupons": failing})
    here.sync(("coupons",))
    alter(here, {})
    with duckdb.connect() as connection:
        connection.execute(f"attach '{here.database}' as mirror; use mirror")
        connection.execute("update stripe_sync.checkpoints set started_at = started_at - interval 40 days")
    before = len(here.app.requests)
    (result,) = again(here).results
    assert (result.state, "`stripe-assets sync coupons`" in (result.reason or "")) == ("failed", True)
    assert {request.path for request in here.app.requests[before:]} <= ALWAYS
    assert len(letters(here)) == 1
    assert here.sync(("coupons",)).complete


def test_types_that_wait_for_a_failed_one_are_reached_with_it() -> None:
    catalog = load()
    found = reach(catalog, ["customers"], set(catalog.names))
    assert {"customers", BELOW, "customer_tax_ids"} <= found
    assert "charges" not in found
    assert reach(catalog, ["customers"], {"customers"}) == {"customers"}


def test_only_unfinished_types_are_gone_on_with() -> None:
    """Below a failed list those that waited, above it what it waits for; complete ones are left alone."""
    catalog = load()
    kinds = tuple(catalog)
    assert to_resume(kinds, {"customers"}, {"customers", BELOW, "charges"}) == {"customers", BELOW}
    assert to_resume(kinds, {BELOW}, {"customers", BELOW, "customer_tax_ids"}) == {"customers", BELOW, "customer_tax_ids"}
    assert to_resume(kinds, {BELOW}, {"charges"}) == set()
