"""What goes while it is read, and clocks that make things look gone: nothing stays that is gone, nothing goes that is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import virtual_time
from equality import differences, rows
from sync.altered import Altered, Answer
from sync.odd import SOME, world

from stripe_assets.sync.clock import Clock
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.summary import Summary


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


def test_deleted_invoice_takes_its_lines_with_it(tmp_path: Path) -> None:
    """No event tells of the lines."""
    here = world(tmp_path, customers=20)
    names = ("invoices", "invoice_lines")
    here.sync(names)
    here.account.delete("invoice", here.account.objects("invoice")[0]["id"])
    here.sync(names)
    assert differences(here.database, here.account, types=names) == []


@pytest.mark.parametrize("seconds", [0, 10])
def test_what_was_made_under_a_customer_shortly_before_its_end_has_ended_with_it(tmp_path: Path, seconds: int) -> None:
    """Its own event tells only that it was made, and is applied after the one that tells of the customer's end."""
    here = world(tmp_path, customers=20)
    names = ("customers", "customer_tax_ids")
    here.sync(names)
    here.account.advance(days=0.1)
    doomed = here.account.objects("customer")[0]["id"]
    made = here.account.create("customer_tax_id", under=doomed)
    here.account.catch_up(here.account.now + seconds)
    here.account.delete("customer", doomed)
    here.account.advance(days=0.1)
    assert here.sync(names).complete
    assert made not in {row[0] for row in rows(here.database, "select id from stripe.customer_tax_ids where _deleted_at is null")}
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
