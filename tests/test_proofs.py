"""The proofs on Dagster's page: checks that are pressed by themselves, with what they found, and an error where something is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mirroring import NOW
from proving import damage

from stripe_assets import proofs
from stripe_assets.assets import asset_key
from stripe_assets.catalog.types import load
from stripe_assets.definitions import build
from stripe_assets.resources import StripeResource
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import Serving, serving

TYPES = ("balance_transactions", "customers", "invoice_lines", "payout_balance_transactions", "payouts")


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    account = Account(seed=6, customers=12, now=NOW, months=4, connected=4, connected_customers=2)
    with serving(account, keys={"sk_test_simulator": None}) as server:
        yield server


def definitions(served: Serving, database: Path, accounts: str = "") -> dg.Definitions:
    stripe = StripeResource(api_key="sk_test_simulator", api_base=served.url, duckdb=str(database), rate_limit=500.0, accounts=accounts)
    return build(stripe=stripe)


def pressed(found: dg.Definitions, *checks: tuple[str, str], **options: Any) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Press these checks on the page: type and check each."""
    keys = [dg.AssetCheckKey(asset_key(name), check) for name, check in checks]
    subset = found.resolve_job_def("stripe_proof").get_subset(asset_check_selection=set(keys))
    result = subset.execute_in_process(raise_on_error=False, **options)
    assert result.success
    return {(one.asset_key.path[-1], one.check_name): one for one in result.get_asset_check_evaluations()}


def plain(one: dg.AssetCheckEvaluation) -> dict[str, Any]:
    """Give a check's metadata as plain values: tables as rows."""
    return {
        name: [dict(record.data) for record in value.records] if isinstance(value, dg.TableMetadataValue) else value.value
        for name, value in one.metadata.items()
    }


def sync(found: dg.Definitions, *names: str, **options: Any) -> None:
    job = found.resolve_job_def("stripe_nightly")
    keys = [asset_key(name) for name in names]
    # What the night selects: the checks of the sync, and no proof.
    checks = {dg.AssetCheckKey(key, "complete") for key in keys}
    assert job.get_subset(asset_selection=set(keys), asset_check_selection=checks).execute_in_process(**options).success


def test_every_type_has_its_proof_and_children_are_held_against_their_parents() -> None:
    keys = {(spec.asset_key.path[-1], spec.name) for spec in proofs.specs()}
    assert {name for name, check in keys if check == proofs.EQUAL} == set(load().names)
    assert {name for name, check in keys if check == proofs.ADDS_UP} == {"balance_transactions"}
    children = {name for name, check in keys if check == proofs.WHOLE}
    assert {"invoice_lines", "subscription_items", "customer_tax_ids"} <= children < set(load().names)


def test_proofs_are_a_job_of_their_own_once_a_week_and_no_part_of_the_night() -> None:
    """They cost requests: who wants them every night can have that by a schedule."""
    found = build()
    proof, night = (found.resolve_job_def(name).asset_layer for name in ("stripe_proof", "stripe_nightly"))
    assert set(proof.asset_graph.asset_check_keys) == {spec.key for spec in proofs.specs()}
    assert not proof.executable_asset_keys
    assert "proof" not in [node.name for node in found.resolve_job_def("stripe_nightly").nodes]
    assert night.executable_asset_keys
    schedule = found.resolve_schedule_def("stripe_proof_on_sundays")
    assert (schedule.cron_schedule, schedule.job_name) == ("0 5 * * 0", "stripe_proof")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def test_proofs_pass_after_a_sync_and_find_what_was_damaged(served: Serving, tmp_path: Path) -> None:
    database = tmp_path / "stripe.duckdb"
    found = definitions(served, database)
    sync(found, *TYPES, "invoices")
    checks = (
        ("customers", "equal"), ("invoice_lines", "equal"), ("invoice_lines", "whole"), ("balance_transactions", "adds_up"),
    )  # fmt: skip
    good = pressed(found, *checks)
    assert {key: one.passed for key, one in good.items()} == dict.fromkeys(checks, True)
    shown = plain(good["customers", "equal"])
    assert shown["sampled"] == shown["equal"] == 12
    assert (shown["differing"], shown["missing"], shown["unknown"], shown["forgiven"], shown["requests"]) == (0, 0, 0, 0, 3)
    ((customer, name),) = damage(
        database, "update stripe.customers set name = 'wrong' where id = (select min(id) from stripe.customers) returning id, name"
    )
    ((payout,),) = damage(database, "update stripe.payouts set amount = 1 where id = (select min(id) from stripe.payouts) returning id")
    ((invoice,),) = damage(database, "delete from stripe.invoices where id = (select min(invoice) from stripe.invoice_lines) returning id")
    bad = pressed(found, *checks)
    assert [key for key, one in bad.items() if one.passed] == [("invoice_lines", "equal")]
    assert {one.severity for one in bad.values() if not one.passed} == {dg.AssetCheckSeverity.ERROR}
    (example,) = plain(bad["customers", "equal"])["examples"]
    theirs = next(thing["name"] for thing in served.account.objects("customer") if thing["id"] == customer)
    assert example == {
        "account": served.account.id, "id": customer, "what": "differing", "column": "name", "mirror": name, "Stripe": theirs,
    }  # fmt: skip
    assert {row["payout"] for row in plain(bad["balance_transactions", "adds_up"])["examples"]} == {payout}
    assert {row["parent"] for row in plain(bad["invoice_lines", "whole"])["examples"]} == {invoice}


def test_what_is_not_in_the_mirror_warns(served: Serving, tmp_path: Path) -> None:
    """A tick for what nobody has looked at would be believed."""
    found = pressed(
        definitions(served, tmp_path / "none.duckdb"), ("charges", "equal"), ("invoice_lines", "whole"), ("balance_transactions", "adds_up")
    )
    assert {one.passed for one in found.values()} == {False}
    assert {one.severity for one in found.values()} == {dg.AssetCheckSeverity.WARN}
    assert all("sync it first" in (one.description or "") for one in found.values())


def test_of_many_accounts_some_are_proven_or_the_one_of_the_run(served: Serving, tmp_path: Path) -> None:
    """A platform with a thousand accounts proves a few of them each time, others the next."""
    database, (first, *others) = tmp_path / "stripe.duckdb", served.account.connections.ids
    found = definitions(served, database, ",".join([first, *others]))
    sync(found, "customers", tags={"dagster/asset_partition_range_start": "own", "dagster/asset_partition_range_end": others[-1]})
    damage(database, "update stripe.customers set balance = 77")
    several = plain(pressed(found, ("customers", "equal"))["customers", "equal"])
    assert several["sampled"] == several["differing"] == 12 + 2 * (proofs.MOST_ACCOUNTS - 1)
    assert served.account.id in {row["account"] for row in several["examples"]}
    one = pressed(found, ("customers", "equal"), tags={"dagster/partition": first})["customers", "equal"]
    assert {row["account"] for row in plain(one)["examples"]} == {first}
    assert plain(one)["requests"] <= 3


def test_missing_key_fails_the_run_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    monkeypatch.delenv("STRIPE_API_KEY_FILE", raising=False)
    job = build(stripe=StripeResource(duckdb=str(tmp_path / "stripe.duckdb"))).resolve_job_def("stripe_proof")
    (failure,) = job.execute_in_process(raise_on_error=False).get_step_failure_events()
    assert "set STRIPE_API_KEY" in (failure.step_failure_data.user_failure_data.description or "")
