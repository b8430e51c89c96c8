"""What `doctor` finds, each with how to mend it; and that it leaves everything as it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import pytest
from filelock import FileLock

from stripe_assets.automation import at_two
from stripe_assets.catalog.types import load
from stripe_assets.commands.ui import INSTANCE
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import Serving, serving

if TYPE_CHECKING:
    from tests.cli.conftest import Run

FAST = {"STRIPE_RATE_LIMIT": "1000"}
"""The simulated account has no limit; at a sandbox's 25 a second, 123 types take five seconds."""


@pytest.fixture
def served(restricted: str) -> Iterator[Serving]:
    """An account of the test's own, so that the requests are its own as well."""
    with serving(Account(seed=7, customers=6, months=2), keys={DEFAULT_KEY: None, restricted: {"dispute"}}) as server:
        yield server


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def found(result: Any, area: str) -> list[tuple[str, str]]:
    """Give level and text of the findings of one area."""
    return [(one["level"], one["what"]) for one in json.loads(result.stdout)["findings"] if one["area"] == area]


def access(result: Any) -> dict[str, str]:
    """Give for each type what `doctor` found."""
    return {one["type"]: one["access"] for one in json.loads(result.stdout)["types"]}


def test_all_is_well_before_the_first_sync(run: Run, served: Serving, tmp_path: Path) -> None:
    """The first command of somebody new: it says whose key it is, and makes nothing."""
    result = run("doctor", STRIPE_API_BASE=served.url, **FAST)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok       key       a secret key of a sandbox, API version 2026-05-27.dahlia")
    assert lines[0].endswith(f"account {served.account.id} (Simulated)")
    assert any("1000 requests a second, 25 for each endpoint" in line for line in lines)
    assert any("is not there yet: the first `stripe-assets sync` makes it" in line for line in lines)
    assert "Traceback" not in result.output
    assert DEFAULT_KEY not in result.output
    assert tree(tmp_path) == {}


def test_each_type_is_asked_for_once_and_children_with_a_parent_of_the_mirror(run: Run, served: Serving, tmp_path: Path) -> None:
    """A look that costs more than it tells would be made once only."""
    base = {"STRIPE_API_BASE": served.url}
    without = access(run("doctor", "--json", **base, **FAST))
    children = {kind.name for kind in load() if kind.parent is not None}
    assert {name for name, how in without.items() if how == "unchecked"} == children
    run("sync", "customers", "customer_tax_ids", "customer_balance_transactions", "--no-limit", **base)
    held = tree(tmp_path)
    before = len(served.app.requests)
    result = run("doctor", "--json", **base, **FAST)
    assert result.exit_code == 0
    now = access(result)
    assert list(now) == list(load().names)
    assert {now["customer_tax_ids"], now["customer_balance_transactions"], now["customers"]} == {"readable"}
    assert now["invoice_lines"] == "unchecked"
    readable = [name for name, how in now.items() if how == "readable"]
    asked = Counter(request.path for request in served.app.requests[before:])
    assert sum(asked.values()) == len(readable) + 1, "and once whose key it is"
    assert asked["/v1/customers"] == asked["/v1/charges"] == 1
    assert tree(tmp_path) == held, "nothing is written"


def test_missing_permission_is_named_and_ends_with_3(run: Run, served: Serving, restricted: str) -> None:
    """What is to be ticked in the dashboard should be readable, and not be looked for in a log."""
    served.app.switches.product("issuing", on=False)
    result = run("doctor", STRIPE_API_KEY=restricted, STRIPE_API_BASE=served.url, **FAST)
    assert result.exit_code == 3
    assert "wrong    types     disputes needs the permission rak_dispute_read\n" in result.stdout
    assert "give it to the key in the dashboard" in result.stdout
    assert "warning  types     issuing_cards is not in use: " in result.stdout
    assert "Your account is not set up to use issuing" in result.stdout
    assert restricted not in result.output


def test_product_that_is_not_used_is_nothing_wrong(run: Run, served: Serving) -> None:
    """Nobody can mend it, and nobody has to."""
    served.app.switches.product("issuing", on=False)
    result = run("doctor", "--json", STRIPE_API_BASE=served.url, **FAST)
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (0, True)
    assert {how for name, how in access(result).items() if name.startswith("issuing_c")} == {"not used"}


def test_payment_methods_that_want_a_customer_are_asked_with_one(run: Run, served: Serving) -> None:
    served.app.switches.turn("payment-methods-need-customer", on=True)
    base = {"STRIPE_API_BASE": served.url}
    access = [
        one["access"] for one in json.loads(run("doctor", "--json", **base, **FAST).stdout)["types"] if one["type"] == "payment_methods"
    ]
    run("sync", "customers", "--no-limit", **base)
    access += [
        one["access"] for one in json.loads(run("doctor", "--json", **base, **FAST).stdout)["types"] if one["type"] == "payment_methods"
    ]
    assert access == ["unchecked", "readable"]


@pytest.mark.parametrize(
    ("variables", "status", "area", "words"),
    [
        ({"STRIPE_API_KEY": None}, 2, "settings", "there is no key"),
        ({"STRIPE_API_KEY": "pk_live_publishable"}, 2, "settings", "not a secret or restricted key"),
        ({"STRIPE_RATE_LIMIT": "fast"}, 2, "settings", "give a number"),
        ({"STRIPE_EXCLUDE_COLUMNS": "customers.emial"}, 2, "settings", "did you mean email?"),
        ({"STRIPE_API_KEY": "sk_test_nobody_knows_this_one_4242"}, 2, "key", "does not know this key"),
        ({"STRIPE_API_BASE": "http://127.0.0.1:9"}, 1, "key", "check the network"),
        ({"STRIPE_LIMITER": "redis://me:hush@127.0.0.1:9/0"}, 2, "limits", "cannot share the slots"),
    ],
)
def test_what_is_wrong_with_the_settings_does_not_hide_the_rest(
    run: Run, variables: dict[str, str | None], status: int, area: str, words: str
) -> None:
    """One run tells all that is wrong; no line tells a key or a password."""
    result = run("doctor", "--json", **variables)
    assert result.exit_code == status, result.output
    assert [level for level, what in found(result, area) if words in what] == ["wrong"]
    assert json.loads(result.stdout)["types"] == [], "a request that nobody counts would go over somebody's limit"
    assert found(result, "database")
    assert found(result, "dagster")
    assert "nobody_knows" not in result.output
    assert "hush" not in result.output


def test_file_that_is_no_database_is_a_wrong_setting(run: Run, environment: dict[str, str]) -> None:
    path = Path(environment["STRIPE_DUCKDB"])
    path.parent.mkdir()
    path.write_text("not a database, but long enough to be taken for one\n" * 100)
    result = run("doctor", "--json", STRIPE_API_KEY=None)
    assert result.exit_code == 2
    assert [level for level, what in found(result, "database") if "cannot be used as the mirror's DuckDB file" in what] == ["wrong"]


def test_file_of_a_newer_release_is_a_wrong_setting(run: Run, environment: dict[str, str]) -> None:
    run("sync", "coupons", "--no-limit")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{environment['STRIPE_DUCKDB']}' as newer; update newer.stripe_sync.versions set books = books + 1")
    result = run("doctor", "--json", **FAST)
    assert result.exit_code == 2
    assert [level for level, what in found(result, "database") if "written by a newer stripe-assets" in what] == ["wrong"]


def test_sync_that_is_under_way_is_named(run: Run, environment: dict[str, str]) -> None:
    run("sync", "coupons", "--no-limit")
    path = environment["STRIPE_DUCKDB"]
    assert ("ok", "nobody is syncing into it") in found(run("doctor", "--json", **FAST), "database")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as mirror; update mirror.stripe_sync.runs set state = 'running', details = '{{\"pid\": 1}}'")
    with FileLock(f"{path}.sync"):
        result = run("doctor", "--json", **FAST)
    assert any(what.startswith("a sync is under way (process 1, since ") for _, what in found(result, "database"))


def test_what_the_last_run_has_left_is_told(run: Run, environment: dict[str, str]) -> None:
    """An interrupted run, a type that is not complete, letters that can be tried again and such that cannot."""
    run("sync", "coupons", "products", "--no-limit")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{environment['STRIPE_DUCKDB']}' as mirror; use mirror")
        connection.execute("update stripe_sync.runs set state = 'interrupted'")
        connection.execute("update stripe_sync.run_types set state = 'failed', reason = 'it broke' where type = 'coupons'")
        connection.execute("update stripe_sync.checkpoints set state = 'backfill' where type = 'products'")
        letter = "insert into stripe_sync.dead_letters values ('acct', ?, '/v1', '{}', ?, null, ?, now())"
        connection.execute(letter, ["coupons", "it broke", 1])
        connection.execute(letter, ["products", "an object that cannot be stored", 0])
    result = run("doctor", **FAST)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for what, mend in (
        ("was interrupted", "`stripe-assets sync` goes on where it was"),
        ("coupons failed: it broke", "`stripe-assets redrive` or the next sync tries again"),
        ("not read to the end: products", "`stripe-assets sync` goes on where it was"),
        ("1 dead letters: coupons", "`stripe-assets redrive` tries them again"),
        ("products: an object that cannot be stored", "`stripe-assets sync --full-refresh products`"),
    ):
        (place,) = [number for number, line in enumerate(lines) if what in line]
        assert (lines[place].startswith("warning database"), lines[place + 1]) == (True, mend)


def test_instance_without_a_pool_limit_or_a_schedule_is_worth_a_warning(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "history"
    home.mkdir()
    result = run("doctor", "--json", STRIPE_API_KEY=None, DAGSTER_HOME=str(home))
    assert [level for level, _ in found(result, "dagster")] == ["ok", "warning", "warning"]
    assert tree(home) == {}, "opening an instance would have made its tables"
    (home / "dagster.yaml").write_text(INSTANCE)
    with dg.DagsterInstance.from_config(str(home)):
        pass
    result = run("doctor", "--json", STRIPE_API_KEY=None, DAGSTER_HOME=str(home))
    levels = found(result, "dagster")
    assert [level for level, _ in levels] == ["ok", "ok", "warning"]
    assert levels[2][1] == "the schedule stripe_nightly_at_two is off: nothing syncs by itself"


def test_schedule_that_is_on_is_seen(run: Run, tmp_path: Path) -> None:
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteRepositoryOrigin
    from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    (tmp_path / "dagster.yaml").write_text(INSTANCE)
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="stripe_assets.definitions"))
    origin = RemoteRepositoryOrigin(location, "__repository__").get_instigator_origin(at_two(None).name)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        state = InstigatorState(
            origin, InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, ScheduleInstigatorData(str(at_two(None).cron_schedule))
        )
        instance.add_instigator_state(state)
    result = run("doctor", "--json", STRIPE_API_KEY=None, DAGSTER_HOME=str(tmp_path))
    assert found(result, "dagster")[-1] == ("ok", "the schedule stripe_nightly_at_two is on")


@pytest.mark.parametrize(("home", "words"), [("relative", "takes only an absolute path"), ("/nowhere/at/all", "which is no folder")])
def test_dagster_home_that_cannot_work_is_a_wrong_setting(run: Run, home: str, words: str) -> None:
    result = run("doctor", "--json", DAGSTER_HOME=home, **FAST)
    assert result.exit_code == 2
    assert [level for level, what in found(result, "dagster") if words in what] == ["wrong"]
