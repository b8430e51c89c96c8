"""Whatever time Stripe's answers tell, or something in between: nothing is lost by it, and nothing taken for gone."""

import logging
from pathlib import Path
from typing import Any

import pytest
from equality import differences
from mirroring import World
from sync.altered import Altered, Answer
from sync.odd import world

from stripe_assets.sync.clock import Clock

DAY = 86_400
NAMES = ("customers", "coupons", "invoices", "invoice_lines")


class Dated:
    """Serves `app`, with the answers dated as `date` says (none: not at all)."""

    def __init__(self, app: Any, date: str | None) -> None:
        self.app = app
        self.date = date

    @property
    def requests(self) -> list[Any]:
        """The requests that have been answered."""
        return list(self.app.requests)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                others = [header for header in message["headers"] if header[0] != b"date"]
                message = {**message, "headers": others + ([(b"date", self.date.encode())] if self.date is not None else [])}
            await send(message)

        await self.app(scope, receive, sent)


def sync_dated(here: World, date: str | None) -> None:
    app = here.app
    here.app = Dated(app, date)  # type: ignore[assignment]  # answers as the simulator does, but for the date
    assert here.sync(NAMES).complete
    here.app = app


def work(here: World) -> None:
    """Change, delete and bill."""
    account = here.account
    account.edit("customer", account.objects("customer")[3]["id"], name="changed")
    account.delete("customer", account.objects("customer")[5]["id"])
    account.delete("coupon", account.objects("coupon")[0]["id"])
    account.bill(account.objects("customer")[0]["id"], lines=12)
    account.advance(days=1)


AHEAD = "Sat Nov 22 00:00:00 2031"
OTHERS = (
    None,
    "Sun, 22 Nov 2026 99999999999999999999:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Sun, 22 Nov 2020 00:00:00 GMT",
)


@pytest.mark.parametrize(("date", "turn"), [(AHEAD, 0), (AHEAD, 1), *((date, 1) for date in OTHERS)])
def test_one_run_that_is_told_a_wrong_time_costs_no_more_than_requests(tmp_path: Path, date: str | None, turn: int) -> None:
    """The first, or one that catches up; afterwards the account is left alone for longer than events are kept, too."""
    here = world(tmp_path, customers=30)
    if turn == 1:
        assert here.sync(NAMES).complete
        work(here)
    sync_dated(here, date)
    assert differences(here.database, here.account, types=NAMES) == []
    work(here)
    assert here.sync(NAMES).complete
    assert differences(here.database, here.account, types=NAMES) == []
    work(here)
    here.account.advance(days=33)
    assert here.sync(NAMES).complete
    assert differences(here.database, here.account, types=NAMES) == []


def test_mirror_that_is_dated_ahead_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It reads everything in every run, and somebody should know why."""
    here = world(tmp_path, customers=5)
    sync_dated(here, AHEAD)
    with caplog.at_level(logging.WARNING):
        assert here.sync(NAMES).complete
    assert "days ahead of Stripe's clock" in caplog.text


def test_date_without_a_zone_is_universal_time() -> None:
    """As an older form of it has none."""
    clock = Clock(wall=lambda: 1_795_000_000.0, steady=lambda: 0.0)
    clock.follow("Sun Nov 22 22:06:44 2026")
    assert clock.now() == 1_795_385_204.0


@pytest.mark.parametrize("already", [True, False], ids=["read whole", "read on"])
def test_object_from_the_future_does_not_hide_those_that_are_made_until_then(tmp_path: Path, already: bool) -> None:
    """What a test clock makes has the time that the clock shows, next year's say; the list is read on from the newest object known."""
    here, names = world(tmp_path, customers=20), ("balance_transactions", "reporting_report_runs")
    if not already:
        here.sync(names)
    for kind in ("balance_transaction", "reporting.report_run"):
        here.account.create(kind, created=here.account.now + 400 * DAY)
    here.sync(names)
    here.account.advance(days=1)
    for kind in ("balance_transaction", "reporting.report_run"):
        here.account.create(kind, created=here.account.now)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


@pytest.mark.parametrize("already", [True, False], ids=["at the beginning", "in a window"])
def test_event_from_the_future_does_not_hide_what_happens_until_then(tmp_path: Path, already: bool) -> None:
    """Events are asked for from the newest known on: one that is dated next year would be the last for a year."""
    here = world(tmp_path, customers=20)
    if not already:
        here.sync(["customers"])

    def ahead(_params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        first = {"id": "evt_ahead", "type": "product.created", "created": here.account.now + 400 * DAY}
        return status, {**body, "data": [{**one, **first} for one in body["data"][:1]] + body["data"]}

    simulator = here.app
    here.app = Altered(simulator, {"/v1/events": ahead})  # type: ignore[assignment]  # answers as the simulator does, but for this one
    here.sync(["customers"])
    here.app = simulator
    here.account.advance(days=1)
    here.account.edit("customer", here.account.objects("customer")[0]["id"], name="changed")
    assert here.sync(["customers"]).complete
    assert differences(here.database, here.account, types=("customers",)) == []
