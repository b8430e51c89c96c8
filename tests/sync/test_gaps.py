"""What nobody tells any more is noticed, said, and read again; and nothing else is."""

import json
from pathlib import Path
from typing import Any

from equality import differences, rows
from sync.altered import Altered, Answer, empty
from sync.odd import mend, reason, states, world

from stripe_assets.commands.report import gap

NAMES = ("customers", "charges", "balance_transactions")


class AgingOut:
    """Answers the second page of events as if everything from the first one's end on had aged out, and so ever after."""

    def __init__(self) -> None:
        self.dropped = False

    def __call__(self, params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        if "starting_after" in params and not self.dropped:
            self.dropped = True
            return 400, {"error": {"type": "invalid_request_error", "code": "resource_missing", "param": "starting_after", "message": "No"}}
        if self.dropped:
            return status, {**body, "data": body["data"][:50], "has_more": False}
        return status, body


def test_after_longer_than_events_are_kept_what_can_change_is_read_again(tmp_path: Path) -> None:
    """And what never changes is only read on: half of an account need not be fetched a second time."""
    here = world(tmp_path, customers=60)
    here.sync(NAMES)
    here.account.delete("customer", here.account.objects("customer")[5]["id"])
    here.account.edit("charge", here.account.objects("charge")[-1]["id"], description="long ago")
    here.account.advance(days=32)
    before = len(here.app.requests)
    summary = here.sync(NAMES)
    assert summary.complete
    assert summary.missed == {"customers": 31, "charges": 31, "test_helpers_test_clocks": 31}, "whole days since it was last up to date"
    assert gap(summary.missed).startswith("nothing was synced for 31 days")
    assert differences(here.database, here.account, types=NAMES) == []
    lists = [request for request in here.app.requests[before:] if request.path == "/v1/balance_transactions"]
    assert all("created[gte]" in request.params for request in lists)
    details = json.loads(rows(here.database, "select details from stripe_sync.runs order by started_at desc limit 1")[0][0])
    assert details["missed events"] == dict(summary.missed)


def test_a_quiet_account_that_is_synced_every_week_has_no_gap(tmp_path: Path) -> None:
    """The position is that of its newest event, which may be older than events are kept: what counts is when somebody last looked."""
    here = world(tmp_path, customers=20, alter={"/v1/events": empty})
    here.sync(("customers",))
    for _ in range(6):
        here.account.advance(days=7)
        before = len(here.app.requests)
        summary = here.sync(("customers",))
        assert (summary.complete, summary.missed) == (True, {})
        assert len(here.app.requests) - before <= 6


def test_events_that_age_out_while_they_are_read_are_missed_and_said(tmp_path: Path) -> None:
    """The cursor is answered with a 400; from the newest on again, the list ends before it is where it was."""
    here = world(tmp_path, customers=60)
    here.sync(NAMES)
    for turn in range(3):
        for customer in here.account.objects("customer"):
            here.account.edit("customer", customer["id"], name=f"changed {turn}")
        here.account.advance(days=1)
    age = AgingOut()
    here.app = Altered(here.app, {"/v1/events": age})  # type: ignore[assignment]  # answers as the simulator does, but for events
    summary = here.sync(NAMES)
    assert age.dropped
    assert states(summary)["customers"] == "failed"
    assert "dropped by Stripe before they were read" in reason(summary, "customers")
    mend(here)
    assert here.sync(NAMES).complete
    assert differences(here.database, here.account, types=NAMES) == []


def test_types_that_are_read_on_without_events_are_begun_anew_once_events_are_missed(tmp_path: Path) -> None:
    """Their lists tell what is new; that a session which they have shown was paid later is told by events alone."""
    here = world(tmp_path, customers=60)
    names = ("customers", "checkout_sessions")
    here.sync(names)
    for turn in range(3):
        for customer in here.account.objects("customer"):
            here.account.edit("customer", customer["id"], name=f"changed {turn}")
        here.account.advance(days=1)
    here.app = Altered(here.app, {"/v1/events": AgingOut()})  # type: ignore[assignment]  # answers as the simulator does, but for events
    assert states(here.sync(names))["checkout_sessions"] == "failed"
    mend(here)
    before = len(here.app.requests)
    assert here.sync(names).complete
    lists = [request.params for request in here.app.requests[before:] if request.path == "/v1/checkout/sessions"]
    assert any(not any(name.startswith("created") for name in params) for params in lists), "read on, and not from the start"
    assert differences(here.database, here.account, types=names) == []
