"""What Dagster's page is told of a run as a whole: figures to plot, one picture, and never an error because of it."""

import base64
import re
import sys
from dataclasses import replace

import dagster as dg
import pytest

from stripe_assets import runs
from stripe_assets.limits.tally import Snapshot, Tally
from stripe_assets.sync.figures import Figure
from stripe_assets.sync.forecast import Forecast, TypeForecast, Way
from stripe_assets.sync.summary import Summary


def summary(at: Snapshot, *, requests: int = 60) -> Summary:
    tally = Tally()
    for number in range(requests):
        tally.sent("GET /v1/events" if number % 4 else "GET /v1/charges", number / 20, waited=0.1)
    tally.throttled("GET /v1/charges", 1.0)
    return Summary("run_1", "acct_1", (), requests, 987, 3.0, at, tally)


def told(run: Summary) -> tuple[dict[str, object], list[str]]:
    """Give the metadata of a run's materialisation, and what was said meanwhile."""
    said: list[str] = []
    made = runs.materialization(run, say=said.append)
    assert made.asset_key == runs.KEY
    return {name: value.value for name, value in made.metadata.items()}, said


def test_a_run_is_told_with_all_its_figures() -> None:
    at = Snapshot(100.0, 71.26, 0, 60, 0, 60, {"global-rate": 2}, 0.0123456, 1.5, {"account": 71.26}, {"account": 60})
    metadata, said = told(summary(at))
    picture, endpoints = str(metadata.pop("pace")), metadata.pop("endpoints")
    assert isinstance(endpoints, dg.TableMetadataValue)
    assert metadata == {
        "requests": 60,
        "rows written": 987,
        "seconds": 3.0,
        "requests per second": 20.0,
        "limit": 100.0,
        "rate at the end": 71.3,
        "wait p50 (seconds)": 0.0123,
        "wait p99 (seconds)": 1.5,
        "allowed at once": 60,
        "429s": 2,
        "429s by reason": "2 global-rate",
        "learned from 429s": "account 71.3/s, account 60 at once",
        "run id": "run_1",
        "account": "acct_1",
    }
    assert endpoints.records == [
        dg.TableRecord({"endpoint": "GET /v1/events", "requests": 45, "429s": 0}),
        dg.TableRecord({"endpoint": "GET /v1/charges", "requests": 15, "429s": 1}),
    ]
    found = re.fullmatch(r"!\[.*\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", picture)
    assert found
    assert base64.b64decode(found[1]).startswith(b"\x89PNG\r\n")
    assert said == []


def test_a_calm_run_without_a_limit_says_no_more_than_there_is() -> None:
    """Empty rows are noise; but a 0 is a point of the plot."""
    metadata, _ = told(summary(Snapshot()))
    assert {"limit", "rate at the end", "429s by reason", "learned from 429s"} & metadata.keys() == set()
    assert metadata["429s"] == 0


def test_a_run_is_told_with_its_forecast_beside_the_outcome() -> None:
    """To be plotted over all runs: one that takes ten times what it should is seen."""
    expected = Forecast((TypeForecast("charges", Way.WHOLE, None, Figure(40), 1.6),), {"GET /v1/charges": Figure(40)}, 1.6)
    metadata, _ = told(replace(summary(Snapshot()), forecast=expected))
    assert (metadata["requests forecast"], metadata["shortest seconds forecast"]) == (40, 1.6)
    assert metadata["forecast and outcome"] == "40 requests in no less than 1.6 s were forecast, 60 in 3.0 s it took"


def test_a_run_of_a_few_requests_has_no_picture() -> None:
    """Catching up every minute would fill the event log with pictures of nothing."""
    metadata, said = told(summary(Snapshot(limit=100.0), requests=runs.WORTH_A_PICTURE - 1))
    assert "pace" not in metadata
    assert metadata["requests"] == runs.WORTH_A_PICTURE - 1
    assert said == []


@pytest.mark.parametrize("broken", ["matplotlib.figure", "PIL"])
def test_a_picture_that_cannot_be_drawn_is_said_and_nothing_else_is_missing(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """The rows are stored: a broken font or library must not make a run of six hours a failed one."""
    monkeypatch.setitem(sys.modules, broken, None)
    metadata, said = told(summary(Snapshot(limit=100.0)))
    assert "pace" not in metadata
    assert (metadata["requests"], metadata["limit"]) == (60, 100.0)
    (sentence,) = said
    assert sentence.startswith("the picture of the run's pace could not be drawn (")
    assert broken in sentence


def test_types_say_one_line_of_the_run_and_where_there_is_more() -> None:
    found = runs.one_line(summary(Snapshot(limit=100.0)))
    assert found == {
        "run": dg.MetadataValue.text("60 requests in 3.0 s, 20/s of 100 allowed; waits 0 ms (p50), 0 ms (p99); no 429s"),
        "more of the run": dg.MetadataValue.asset(runs.KEY),
    }
