"""What Dagster loads is whole: every type an asset, every model downstream of the tables that it reads, one nightly job."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from equality import differences
from mirroring import NOW

from stripe_assets import runs
from stripe_assets.assets import asset_key
from stripe_assets.catalog.types import load
from stripe_assets.definitions import build
from stripe_assets.resources import StripeResource
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import Serving, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(Account(seed=1, customers=40, now=NOW), keys={"sk_test_simulator": None}) as server:
        yield server


def definitions(server: Serving, database: Path, *, key: str = "sk_test_simulator") -> dg.Definitions:
    return build(stripe=StripeResource(api_key=key, api_base=server.url, duckdb=str(database), rate_limit=500.0))


def run(found: dg.Definitions, *names: str) -> dg.ExecuteInProcessResult:
    """Materialise the named types, as a click in the page does."""
    return execute(found, [asset_key(name) for name in names])


def execute(found: dg.Definitions, keys: Iterable[dg.AssetKey]) -> dg.ExecuteInProcessResult:
    """Run this part of the nightly job."""
    return found.resolve_job_def("stripe_nightly").execute_in_process(raise_on_error=False, asset_selection=list(keys))


def test_every_type_is_an_asset_in_a_group_of_stripes_products() -> None:
    graph = build().resolve_asset_graph()
    for kind in load():
        assert graph.get(asset_key(kind.name)).group_name == kind.group
    assert {key.path[-1] for key in graph.get_all_asset_keys() if key.path[0] == "stripe"} == set(load().names)
    groups = {kind.group for kind in load()}
    assert groups == {
        "account", "balance", "billing", "climate", "connect", "customers", "developers", "events", "financial_connections", "identity",
        "issuing", "payments", "products", "radar", "reporting", "tax", "terminal", "treasury",
    }  # fmt: skip


def test_runs_are_an_asset_that_only_runs_of_the_types_materialise() -> None:
    """Its button would have nothing to do; its page shows what the last sync took of the limit."""
    graph = build().resolve_asset_graph()
    assert not graph.get(runs.KEY).is_executable
    assert graph.get(runs.KEY).group_name == "sync"


def test_models_stand_below_the_tables_that_they_read() -> None:
    graph = build().resolve_asset_graph()
    for kind in load():
        staged = dg.AssetKey(["staging", f"stg_stripe__{kind.name}"])
        assert asset_key(kind.name) in graph.get(staged).parent_keys
    upstream = graph.get_ancestor_asset_keys(dg.AssetKey(["marts", "revenue_daily"]))
    assert asset_key("balance_transactions") in upstream


def test_nightly_job_is_scheduled_at_two() -> None:
    found = build()
    schedule = found.resolve_schedule_def("stripe_nightly_at_two")
    assert schedule.cron_schedule == "0 2 * * *"
    assert schedule.job_name == "stripe_nightly"
    selected = found.resolve_job_def("stripe_nightly").asset_layer.executable_asset_keys
    assert {asset_key(kind.name) for kind in load()} <= set(selected)


def test_one_type_can_be_materialised_by_itself(served: Serving, tmp_path: Path) -> None:
    database = tmp_path / "stripe.duckdb"
    result = run(definitions(served, database), "prices")
    assert result.success
    of_the_run, event = result.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (of_the_run.asset_key, event.asset_key) == (runs.KEY, asset_key("prices"))
    assert metadata["more of the run"] == runs.KEY
    assert "of 500 allowed" in str(metadata["run"])
    assert metadata["dagster/row_count"] == metadata["rows written"] == len(served.account.objects("price"))
    assert metadata["requests"] == 2  # the archived ones may have to be asked for
    assert metadata["state"] == "complete"
    assert differences(database, served.account, types=("prices",)) == []


def test_child_is_read_with_its_parent(served: Serving, tmp_path: Path) -> None:
    database = tmp_path / "stripe.duckdb"
    result = run(definitions(served, database), "invoice_lines")
    assert result.success
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [runs.KEY, asset_key("invoice_lines")]
    assert differences(database, served.account, types=("invoices", "invoice_lines")) == []


def test_asset_shows_what_fits_no_column(tmp_path: Path) -> None:
    """The customer is read in the list and, because of its event, once more: that is two times."""
    account = Account(seed=1, customers=3, months=1, now=NOW)
    first = account.objects("customer")[0]["id"]
    account.edit("customer", first, balance="much")
    with serving(account, keys={"sk_test_simulator": None}) as server:
        result = run(definitions(server, tmp_path / "stripe.duckdb"), "customers", "prices")
    made = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    shown = made[asset_key("customers")]["in no column"]
    assert isinstance(shown, dg.TableMetadataValue)
    record = dg.TableRecord({"column": "balance", "came as": "value of another type", "times": 2, "for example in": first})
    assert record in shown.records
    assert "in no column" not in made[asset_key("prices")]


def test_missing_key_fails_the_run_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)
    monkeypatch.delenv("STRIPE_API_KEY_FILE", raising=False)
    result = run(build(stripe=StripeResource(duckdb=str(tmp_path / "stripe.duckdb"))), "prices")
    (failure,) = result.get_step_failure_events()
    assert "set STRIPE_API_KEY" in (failure.step_failure_data.user_failure_data.description or "")
