"""A fault that lasts: the same request fails for ever, and what may follow from it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from faults.small import BEGIN, TYPES, History, asked, attempts, without_faults

from stripe_assets.errors import RequestError
from stripe_assets.simulator.faults import Place

OPENING = ("/v1/account?", "/v1/events?limit=1")
"""What a run needs before it can begin: without these it ends with an error."""
EVENTS = "/v1/events"


def assert_told_and_mended(folder: Path, which: str, number: int, fault: str) -> None:
    """Let one request of a sync always fail, then not: at first told and without effect on the rest, then mended.

    What fails ends as failed, with a dead letter that names the request; what belongs to it cannot be read; all else equals.
    """
    request = without_faults(which)[number - 1]
    path = request.partition("?")[0]
    history = BEGIN[which](folder)
    plan: dict[Place, str] = {request: fault}
    if request in OPENING:
        assert_error_names(history, plan, path)
    elif history.sync(plan).complete:
        assert fault == "drip", "only an empty list is there within its time"
    else:
        told = {name: reason for name, reason in history.failed.items() if path in reason}
        assert told
        assert all("could not be read" in reason for name, reason in history.failed.items() if name not in told)
        assert {result.state for result in history.summaries[-1].results} == {"complete", "failed"}
        assert history.letters == ({path} if path != EVENTS else set())
        sent, usual = (each.count(request) for each in ([*map(asked, history.requests)], without_faults(which)))
        assert attempts(fault) <= sent <= attempts(fault) * usual
        assert history.differences(*(name for name in TYPES if name not in history.failed)) == []
    history.sync()
    assert history.failed == {}
    assert history.letters == set()
    assert history.differences() == []


def assert_error_names(history: History, plan: Mapping[Place, str], path: str) -> None:
    """Check that a run that cannot begin says what it could not ask for."""
    with pytest.raises(RequestError) as caught:
        history.sync(plan)
    assert caught.value.path == path
