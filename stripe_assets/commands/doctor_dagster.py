"""Looks at the Dagster instance for `doctor`: its folder, whether two syncs can run at once, whether the nightly one is on."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec

from stripe_assets.assets import POOL
from stripe_assets.automation import at_two
from stripe_assets.commands.endings import WRONG_USAGE
from stripe_assets.commands.findings import Finding, ok, warning, wrong
from stripe_assets.sync.settings import duckdb_path

AREA = "dagster"
SCHEDULE = at_two(None).name
HISTORY = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""What Dagster keeps below its folder unless told to keep it elsewhere; opening an instance without them would make them."""
ELSEWHERE = {"storage", "run_storage", "event_log_storage", "schedule_storage"}
"""What `dagster.yaml` says where that is."""
LIMITED = "concurrency: {pools: {granularity: run, default_limit: 1}}"


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the instance that DAGSTER_HOME names, or at the one that `stripe-assets ui` keeps beside the mirror."""
    named = environment.get("DAGSTER_HOME")
    home = Path(named) if named else duckdb_path(environment).absolute().parent / "dagster"
    if named and not home.is_absolute():
        yield wrong(
            AREA, f"DAGSTER_HOME is {named}, and Dagster takes only an absolute path", f"set it to {home.absolute()}", status=WRONG_USAGE
        )
        return
    if not home.is_dir():
        if named:
            mend = "make that folder, or unset it and use `stripe-assets ui`"
            yield wrong(AREA, f"DAGSTER_HOME names {home}, which is no folder", mend, status=WRONG_USAGE)
        else:
            yield ok(AREA, "no instance yet: `stripe-assets ui` makes one beside the mirror")
        return
    whose = "DAGSTER_HOME" if named else "that of `stripe-assets ui`; for `dagster` itself set DAGSTER_HOME to it"
    yield ok(AREA, f"the history is kept in {home} ({whose})")
    try:
        written = (home / "dagster.yaml").read_bytes() if (home / "dagster.yaml").exists() else b""
        told = msgspec.yaml.decode(written, type=dict[str, Any] | None) or {}
    except (OSError, msgspec.DecodeError) as error:
        yield wrong(AREA, f"{home / 'dagster.yaml'} cannot be read ({_line(error)})", "mend it", status=WRONG_USAGE)
        return
    if not ELSEWHERE & told.keys() and not all((home / name).exists() for name in HISTORY):
        yield from _pool(_default_limit(told), home)
        yield warning(AREA, "nothing has run there yet, and the nightly schedule is off", "`stripe-assets ui`, under Automation")
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield from _instance(instance, home)
    except Exception as error:  # whatever it is built from: storages of others, versions of others
        yield wrong(AREA, f"the instance in {home} cannot be opened ({_line(error)})", "mend its dagster.yaml", status=WRONG_USAGE)


def _instance(instance: dg.DagsterInstance, home: Path) -> Iterator[Finding]:
    limits = {one.name: one.limit for one in instance.event_log_storage.get_pool_limits()}
    yield from _pool(limits.get(POOL, instance.get_concurrency_config().pool_config.default_pool_limit), home)
    states = [state for state in instance.all_instigator_state() if state.instigator_name == SCHEDULE]
    if any(state.is_running for state in states):
        yield ok(AREA, f"the schedule {SCHEDULE} is on")
    else:
        yield warning(
            AREA, f"the schedule {SCHEDULE} is off: nothing syncs by itself", "switch it on in `stripe-assets ui`, under Automation"
        )


def _pool(limit: int | None, home: Path) -> Iterator[Finding]:
    if limit == 1:
        yield ok(AREA, f"the pool {POOL} lets one run at a time sync")
    else:
        allowed = "has no limit" if limit is None else f"lets {limit} run at once"
        mend = f"write into {home / 'dagster.yaml'}: {LIMITED}"
        yield warning(AREA, f"the pool {POOL} {allowed}: of two syncs at the same time one fails", mend)


def _default_limit(told: Mapping[str, Any]) -> int | None:
    pools = (told.get("concurrency") or {}).get("pools") or {}
    found = pools.get("default_limit")
    return found if isinstance(found, int) else None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
