"""A mirror made of a simulated account, and one dbt build of it for all tests.

The account is mirrored by a real sync; single objects that show a rule are put into the tables by themselves.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from mirroring import World

from stripe_assets.catalog.types import load
from stripe_assets.dbt_generate import PROJECT
from stripe_assets.simulator.account import Account
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.load import incoming, stage, upsert

ACCOUNT_ID = "acct_test"
NOW = int(datetime(2026, 11, 20, 15, 30, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class Built:
    """A DuckDB file that dbt has been run on, and what became of each node."""

    path: Path
    output: str
    statuses: Mapping[str, str]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read from the file; schemas as dbt named them."""
        with _attached(self.path) as connection:
            return connection.execute(sql).fetchall()

    @property
    def unsuccessful(self) -> dict[str, str]:
        """Name every node that did not pass."""
        return {name: status for name, status in self.statuses.items() if status not in ("success", "pass")}


def _attached(path: Path) -> duckdb.DuckDBPyConnection:
    # By its own name, `stripe.duckdb` would make every `stripe.charges` ambiguous: a schema or the database?
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"attach '{path}' as mirror")
    connection.execute("use mirror")
    return connection


def create(path: Path, objects: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Make a mirror of the given objects, by type name."""
    catalog = load()
    database = Database(path)
    database.prepare(catalog)
    with database.open() as connection:
        for name, things in objects.items():
            raw = [msgspec.Raw(msgspec.json.encode(thing)) for thing in things]
            if raw:
                given = incoming(raw, [NOW] * len(raw), [None] * len(raw))
                upsert(connection, catalog[name], stage(connection, catalog[name], given, account_id=ACCOUNT_ID, keep_raw=False))


def build(path: Path, *arguments: str, root: Path = PROJECT.parent, named: bool = True) -> Built:
    """Run `dbt build` on a file in a process of its own, with what dbt writes beside the file and not in the repository.

    `root` is the folder that dbt is called from; unless the file is `named`, the profile has to find it by itself.
    """
    target = path.parent / f"{path.stem}-target"
    results = target / "run_results.json"
    results.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "STRIPE_DUCKDB"}
    folders = ["--project-dir", "dbt", "--profiles-dir", "dbt", "--target-path", str(target), "--log-path", str(target)]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), "--quiet", "--no-use-colors", "build", *folders, *arguments],
        cwd=root,
        env={**environment, "PWD": str(root), **({"STRIPE_DUCKDB": str(path)} if named else {})},
        capture_output=True,
        text=True,
    )
    nodes = json.loads(results.read_text())["results"] if results.is_file() else []
    return Built(path, done.stdout + done.stderr, {node["unique_id"]: node["status"] for node in nodes})


@pytest.fixture(scope="session")
def account() -> Account:
    """Give a small subscription business; the seed has yen, dinars, disputes won and lost, refunds, trials and changes of price."""
    return Account(seed=2, customers=1000, now=NOW)


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Name the file that dbt is run on. Always the same: for another one, dbt would read the whole project again (4 s of 8, 2026-11)."""
    return tmp_path_factory.mktemp("dbt") / "stripe.duckdb"


@pytest.fixture(scope="session")
def built(account: Account, mirror: Path) -> Built:
    """Mirror the account and build everything on it, once for all tests.

    Left out is what is asked for parent by parent, thousands of requests that only take time: the models on it are built on empty tables.
    """
    types = [kind.name for kind in load() if kind.parent is None or kind.parent.embedded]
    mirror.unlink(missing_ok=True)
    World(mirror, account, rate_limit=10_000.0).sync(types)
    found = build(mirror)
    return replace(found, path=mirror.rename(mirror.with_name("built.duckdb")))


@pytest.fixture
def build_of(mirror: Path) -> Callable[..., Built]:
    """Build parts of the project on a mirror of a few objects: `build_of(objects, *arguments of dbt build)`."""

    def built_of(objects: Mapping[str, Iterable[Mapping[str, Any]]], *arguments: str) -> Built:
        mirror.unlink(missing_ok=True)
        create(mirror, objects)
        return build(mirror, *arguments)

    return built_of


@pytest.fixture
def built_by_default(tmp_path: Path) -> Built:
    """Build the currencies in a copy of the project, in the file that is meant when none is named."""
    shutil.copytree(PROJECT, tmp_path / "dbt")
    path = tmp_path / "data/stripe.duckdb"
    path.parent.mkdir()
    create(path, {})
    return build(path, "--select", "currencies", root=tmp_path, named=False)
