"""In Dagster an account is a partition, where there are several: one run takes one of them, some, or all."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from equality import rows
from mirroring import NOW

from stripe_assets import partitions
from stripe_assets.assets import asset_key
from stripe_assets.definitions import build
from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.tally import Snapshot, Tally
from stripe_assets.resources import StripeResource
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import Serving, serving
from stripe_assets.sync.accounts import Outcome
from stripe_assets.sync.summary import Summary
from stripe_assets.warehouse.ledger import TypeResult
from stripe_assets.warehouse.misfits import UNKNOWN, Misfit

CUSTOMERS = asset_key("customers")


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    account = Account(seed=6, customers=8, now=NOW, months=2, connected=3, connected_customers=4)
    with serving(account, keys={"sk_test_simulator": None}) as server:
        yield server


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def resource(served: Serving, database: Path, accounts: str) -> StripeResource:
    return StripeResource(api_key="sk_test_simulator", api_base=served.url, duckdb=str(database), rate_limit=500.0, accounts=accounts)


def accounts_in(database: Path) -> set[str]:
    return {account for (account,) in rows(database, "select distinct _account_id from stripe.customers")}


def test_one_account_has_no_partitions() -> None:
    """Most users have one: they should not have to choose it."""
    assert build(stripe=StripeResource(accounts="")).resolve_asset_graph().get(CUSTOMERS).partitions_def is None


def test_named_accounts_are_partitions_and_one_of_them_can_be_materialised(served: Serving, tmp_path: Path) -> None:
    first, second, _ = served.account.connections.ids
    found = build(stripe=resource(served, tmp_path / "m.duckdb", f"{first},{second}"))
    definition = found.resolve_asset_graph().get(CUSTOMERS).partitions_def
    assert definition is not None
    assert definition.get_partition_keys() == [partitions.OWN, first, second]
    result = found.resolve_job_def("stripe_nightly").execute_in_process(partition_key=second, asset_selection=[CUSTOMERS])
    assert result.success
    made = [event for event in result.get_asset_materialization_events() if event.asset_key == CUSTOMERS]
    assert [event.partition for event in made] == [second]
    assert accounts_in(tmp_path / "m.duckdb") == {second}


def test_account_that_is_gone_fails_the_run_by_name_and_the_others_are_stored(served: Serving, tmp_path: Path) -> None:
    found = build(stripe=resource(served, tmp_path / "m.duckdb", "acct_gone"))
    tags = partitions.whole_range([partitions.OWN, "acct_gone"])
    job = found.resolve_job_def("stripe_nightly")
    result = job.execute_in_process(tags=tags, asset_selection=[CUSTOMERS], raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    assert "acct_gone: " in (failure.step_failure_data.user_failure_data.description or "")
    assert accounts_in(tmp_path / "m.duckdb") == {served.account.id}


def test_all_accounts_are_found_by_the_sensor_and_synced_by_one_run_of_the_night(
    served: Serving, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """Accounts connect every day: nobody should have to add them to a list."""
    stripe = resource(served, tmp_path / "m.duckdb", "all")
    found = build(stripe=stripe)
    sensor, schedule = found.resolve_sensor_def("stripe_accounts"), found.resolve_schedule_def("stripe_nightly_at_two")
    none_yet = schedule.evaluate_tick(dg.build_schedule_context(instance=instance))
    assert none_yet.run_requests == []
    looked = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, definitions=found))
    (request,) = looked.dynamic_partitions_requests
    assert list(request.partition_keys) == [partitions.OWN, *_oldest_last(served)]
    instance.add_dynamic_partitions("stripe_accounts", list(request.partition_keys))
    again = sensor.evaluate_tick(dg.build_sensor_context(instance=instance, definitions=found))
    assert again.dynamic_partitions_requests == []
    (night,) = schedule.evaluate_tick(dg.build_schedule_context(instance=instance)).run_requests or []
    job = found.resolve_job_def("stripe_nightly")
    result = job.execute_in_process(instance=instance, tags=night.tags, asset_selection=[CUSTOMERS])
    assert result.success
    assert accounts_in(tmp_path / "m.duckdb") == {served.account.id, *served.account.connections.ids}
    made = {event.partition for event in result.get_asset_materialization_events() if event.asset_key == CUSTOMERS}
    assert made == {partitions.OWN, *served.account.connections.ids}


def _oldest_last(served: Serving) -> list[str]:
    return [account_id for account_id, _, _ in served.account.connections.shown()][::-1]


def test_what_fits_no_column_is_told_of_all_accounts() -> None:
    """What the first account has must not hide what only the second one has."""

    async def snapshot() -> tuple[Snapshot, Tally]:
        limiter = Limiter(Limits(100.0, 25.0))
        return limiter.snapshot(), limiter.tally

    merged, limits = partitions.Merged(on_summary=lambda _summary: None), asyncio.run(snapshot())
    for account, columns in (("acct_1", ("a",)), ("acct_2", ("a", "b"))):
        misfits = tuple(Misfit(column, UNKNOWN, 2, account) for column in columns)
        results = (TypeResult("customers", "complete", 1, 1, 1.0, None, None, misfits),)
        merged.add(Outcome(account, 1, 1, 1.0), Summary("run", account, results, 1, 1, 1.0, *limits))
    assert merged.results["customers"].misfits == (Misfit("a", UNKNOWN, 4, "acct_2"), Misfit("b", UNKNOWN, 2, "acct_2"))
