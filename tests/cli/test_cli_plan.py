"""A plan, typed by hand, on a small simulated account over a real socket."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stripe_assets.catalog.types import load
from stripe_assets.commands.plan_told import permission, sentences, to_json
from stripe_assets.limits.limiter import Limits
from stripe_assets.simulator.server import Serving
from stripe_assets.sync.figures import Figure, Sure
from stripe_assets.sync.forecast import NONE, Numbers, Situation, Way, forecast
from stripe_assets.sync.plan import Plan
from stripe_assets.sync.settings import Settings

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def test_plan_prints_one_json_object_and_the_sync_keeps_to_it(run: Run, stripe: Serving) -> None:
    """Scripts decide by it whether to start: nothing else is on standard output."""
    result = run("plan", "--json")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    plan = json.loads(result.stdout)
    assert [row["type"] for row in plan["types"]] == list(load().names)
    assert {row["how"] for row in plan["types"]} == {"whole"}
    assert (plan["complete"], plan["account_id"], plan["reads_events"]) == (True, stripe.account.id, True)
    assert plan["limit"] == {"account": 25.0, "endpoint": 25.0}
    assert plan["allotment"]["reads"]["value"] == 10_000
    rows = {row["type"]: row["objects"] for row in plan["types"]}
    assert rows["customers"]["sure"] == "counted"
    assert rows["customer_balance_transactions"] is None, "nobody knows"
    some = "coupons", "charges", "invoices"
    expected = json.loads(run("plan", *some, "--json").stdout)
    made = json.loads(run("sync", *some, "--json", "--no-limit").stdout)
    assert abs(expected["requests"]["value"] - made["requests"]) <= 3
    assert made["forecast"]["made"] == made["requests"]
    assert (made["forecast"]["sure"], made["forecast"]["lower_bound"], made["forecast"]["from_nothing"]) == ("at least", True, True)


def test_sync_ends_with_its_forecast_beside_the_outcome(run: Run) -> None:
    run("sync", "coupons", "balance", "--no-limit")
    lines = run("sync", "coupons", "balance", "--full-refresh", "--no-limit").stdout.splitlines()
    (found,) = [line for line in lines if line.startswith("forecast: ")]
    assert " requests in no less than 0.0 s were forecast, " in found
    assert found.split(" s were")[0].startswith("forecast: ")


def test_first_sync_names_who_estimates_instead_of_a_lower_bound(run: Run) -> None:
    """At least 95 beside 1,099 looks like a mistake, and is only what is known before anything was read."""
    first = run("sync", "coupons", "charges", "--no-limit").stdout
    assert "forecast: " not in first
    assert "`stripe-assets plan` estimates what a first sync takes" in first
    more = json.loads(run("sync", "coupons", "products", "--no-limit", "--json").stdout)["forecast"]
    assert (more["sure"], more["lower_bound"], more["from_nothing"]) == ("at least", True, False)


def test_plan_after_a_sync_is_a_catch_up_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    run("sync", "coupons", "charges", "--no-limit")
    path = tmp_path / "data" / "stripe.duckdb"
    before = path.read_bytes()
    plan = json.loads(run("plan", "coupons", "charges", "disputes", "--json").stdout)
    ways = {row["type"]: row["how"] for row in plan["types"]}
    assert {name: ways[name] for name in ("coupons", "charges", "disputes")} == {
        "coupons": "catch-up",
        "charges": "catch-up",
        "disputes": "whole",
    }
    assert path.read_bytes() == before
    again = json.loads(run("plan", "charges", "--full-refresh", "--since", "2020-01-01", "--json").stdout)
    assert [row["how"] for row in again["types"]] == ["whole"]


def test_plan_ends_with_a_line_per_type_and_what_it_means(run: Run, stripe: Serving) -> None:
    result = run("plan", "coupons", "products")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    for name, kind in {"products": "product", "coupons": "coupon"}.items():
        assert [name, "whole", str(len(stripe.account.objects(kind))), "1", "0.0", "counted"] in lines
    assert ["total", "5", "0.2", "counted"] in lines
    for words in (
        "The shortest possible time is 0 s, at 25 requests a second, 25 an endpoint.",
        "Stripe allots 10,000 reads in 30 days (what every account has): this sync takes 0.1% of them",
        "counted: all of it was seen",
        "To find out took ",
    ):
        assert words in result.stdout


def test_type_that_may_not_be_read_is_listed_with_the_permission_it_needs(run: Run, restricted: str) -> None:
    result = run("plan", "disputes", "coupons", STRIPE_API_KEY=restricted)
    assert result.exit_code == 3
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["disputes", "refused:", "needs", "rak_dispute_read", "unknown", "1", "0.0", "counted"] in lines
    assert ["coupons", "whole"] in [line[:2] for line in lines]
    assert "stripe-assets: disputes would be skipped:" in result.stderr
    assert restricted not in result.output
    plan = json.loads(run("plan", "disputes", "--json", STRIPE_API_KEY=restricted).stdout)
    assert (plan["complete"], plan["types"][0]["permission"]) == (False, "rak_dispute_read")


@pytest.mark.parametrize(
    ("variables", "arguments", "status", "words"),
    [
        ({"STRIPE_API_KEY": None}, (), 2, "there is no key"),
        ({"STRIPE_API_KEY": "sk_test_nobody_knows_this_one"}, (), 2, "does not know this key"),
        ({}, ("chargs",), 2, "did you mean charges?"),
        ({}, ("--since", "yesterday"), 2, "give a date like 2026-01-31"),
        ({"STRIPE_API_BASE": "http://127.0.0.1:9"}, (), 1, "check the network"),
    ],
)
def test_what_cannot_be_planned_ends_with_one_sentence(
    run: Run, variables: dict[str, str | None], arguments: tuple[str, ...], status: int, words: str
) -> None:
    result = run("plan", *arguments, **variables)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (status, "", 1), result.output
    assert words in result.stderr


def test_file_that_is_no_mirror_is_told_and_left_alone(run: Run, tmp_path: Path) -> None:
    foreign = tmp_path / "letter.txt"
    foreign.write_text("Dear Sir or Madam, " * 1000)
    result = run("plan", STRIPE_DUCKDB=str(foreign))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "choose another file" in result.stderr
    assert foreign.read_text() == "Dear Sir or Madam, " * 1000


def test_plan_explains_itself(run: Run) -> None:
    assert "Usage: stripe-assets plan" in run("plan", "--help").stdout
    assert "  plan " in run("--help").stdout


def plan_of(pages: int, *, sure: Sure = Sure.COUNTED, transactions: Figure = NONE, blind: bool = False) -> Plan:
    """Make a plan of one list that takes so many requests."""
    kind = load()["charges"]
    rows = Numbers(readings=(Figure(pages * 100.0, sure),))
    found = Situation((kind,), {kind.name: Way.WHOLE}, {kind.name: rows}, None if blind else Figure(0))
    return Plan("acct_1", forecast(found, Limits(100.0, 25.0)), transactions, Limits(100.0, 25.0), 7, blind)


def test_more_than_stripe_allots_is_said_in_one_sentence() -> None:
    within, over = (list(sentences(plan_of(pages))) for pages in (100, 12_000))
    assert not any("more than an account is to read" in line for line in within)
    assert sum(line.startswith("That is more than an account is to read") for line in over) == 1
    rich = list(sentences(plan_of(12_000, transactions=Figure(5000))))
    assert not any("more than an account is to read" in line for line in rich)
    assert any("2,500,000 reads in 30 days (500 for each of 5,000 transactions)" in line for line in rich)


def test_unsure_numbers_say_so() -> None:
    lines = "\n".join(sentences(plan_of(300, sure=Sure.AT_LEAST, transactions=Figure(40, Sure.ESTIMATED), blind=True)))
    assert "The shortest possible time is at least " in lines
    assert "Stripe allots about 20,000 reads" in lines
    assert "this sync takes at least 1" in lines
    assert "The key may not read events: without them most types are read whole each time." in lines
    assert "at least (≥): there may be more" in lines
    shown = to_json(replace(plan_of(3, sure=Sure.AT_LEAST), asked=9), Settings(api_key="sk_test_1"))
    assert shown["requests"] == {"value": shown["requests"]["value"], "sure": "at least"}
    assert (shown["asked"], "sk_test_1" in json.dumps(shown)) == (9, False)


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("... Having the 'rak_charge_read' permission would allow this request to continue.", "rak_charge_read"),
        ("Your account does not use Issuing.", None),
        (None, None),
    ],
)
def test_permission_is_found_where_stripe_names_one(reason: str | None, name: str | None) -> None:
    assert permission(reason) == name
