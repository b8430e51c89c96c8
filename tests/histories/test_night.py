"""The nightly job, as the schedule starts it: all types and the models."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from equality import differences
from mirroring import NOW
from test_definitions import definitions, execute

from stripe_assets.assets import asset_key
from stripe_assets.catalog.types import load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import Serving, serving


@pytest.fixture
def small() -> Iterator[Serving]:
    """An account that has something of every type, and not much of any: the night reads all of them."""
    with serving(Account(seed=1, customers=6, months=3, now=NOW), keys={"rk_test_limited": {"transfer"}}) as server:
        yield server


def night(found: dg.Definitions) -> set[dg.AssetKey]:
    """Give all types, the marts and what they are built on; that the other models build is seen in `tests/dbt`."""
    graph = found.resolve_asset_graph()
    marts = {key for key in graph.get_all_asset_keys() if key.path[0] == "marts"}
    return {asset_key(name) for name in load().names}.union(marts, *(graph.get_ancestor_asset_keys(key) for key in marts))


def test_the_night_mirrors_everything_and_builds_the_models(small: Serving, tmp_path: Path) -> None:
    """With a key that lacks a permission: that type says so, and the models are built all the same."""
    database = tmp_path / "stripe.duckdb"
    found = definitions(small, database, key="rk_test_limited")
    result = execute(found, night(found))
    assert result.success
    made = {event.asset_key.to_user_string(): event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert {"marts/revenue_daily", "marts/mrr_monthly", "stripe/charges", "stripe_sync/runs"} <= made.keys()
    assert [name for name, metadata in made.items() if "data:image/png" in str(metadata)] == ["stripe_sync/runs"]
    checks = {(check.asset_key, check.check_name): check for check in result.get_asset_check_evaluations()}
    refused = checks[asset_key("transfers"), "complete"]
    assert not refused.passed
    assert refused.severity is dg.AssetCheckSeverity.WARN
    assert "permission" in (refused.description or "")
    assert checks[asset_key("charges"), "complete"].passed
    left = tuple(name for name in load().names if name not in ("transfers", "transfer_reversals"))
    assert differences(database, small.account, types=left) == []
