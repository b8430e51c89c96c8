"""A mirror made of a simulated account, and one dbt build of it for all tests.

The loader here is not the sync: it writes a whole account at once, so that the models can be tested by themselves.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stripe_assets.catalog.types import Kind, ObjectType, load
from stripe_assets.dbt_generate import PROJECT
from stripe_assets.simulator.account import Account
from stripe_assets.warehouse.tables import statements

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
    """Make a DuckDB file with the mirror's tables and the given objects, by type name."""
    catalog = load()
    with _attached(path) as connection:
        for statement in statements(catalog):
            connection.execute(statement)
        for name, rows in objects.items():
            _insert(connection, catalog[name], list(rows), path.parent)


def _insert(connection: duckdb.DuckDBPyConnection, kind: ObjectType, rows: list[Mapping[str, Any]], folder: Path) -> None:
    if not rows:
        return
    staged = folder / f"{kind.name}.ndjson"
    with staged.open("w") as out:
        for row in rows:
            out.write(json.dumps({column.name: _plain(column.kind, row.get(column.name)) for column in kind.columns}) + "\n")
    types = {
        Kind.INTEGER: "bigint",
        Kind.NUMBER: "double",
        Kind.BOOLEAN: "boolean",
        Kind.TIMESTAMP: "double",
        Kind.JSON: "json",
    }
    shape = ", ".join(f"\"{column.name}\": '{types.get(column.kind, 'varchar')}'" for column in kind.columns)
    chosen = ", ".join(f'to_timestamp("{column.name}")' if column.kind is Kind.TIMESTAMP else f'"{column.name}"' for column in kind.columns)
    connection.execute(
        f"insert into stripe.\"{kind.name}\" by position select {chosen}, '{ACCOUNT_ID}', now(), null, null "
        f"from read_json('{staged}', format = 'newline_delimited', columns = {{{shape}}}, maximum_object_size = 100000000)"
    )


def _plain(kind: Kind, value: Any) -> Any:
    return value["id"] if kind is Kind.ID and isinstance(value, dict) else value


def build(path: Path, *arguments: str, root: Path = PROJECT.parent, named: bool = True) -> Built:
    """Run `dbt build` on a file in a process of its own, with what dbt writes beside the file and not in the repository.

    `root` is the folder that dbt is called from; unless the file is `named`, the profile has to find it by itself.
    """
    target = path.parent / f"{path.stem}-target"
    environment = {name: value for name, value in os.environ.items() if name != "STRIPE_DUCKDB"}
    folders = ["--project-dir", "dbt", "--profiles-dir", "dbt", "--target-path", str(target), "--log-path", str(target)]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dbt")), "--quiet", "--no-use-colors", "build", *folders, *arguments],
        cwd=root,
        env={**environment, "PWD": str(root), **({"STRIPE_DUCKDB": str(path)} if named else {})},
        capture_output=True,
        text=True,
    )
    results = target / "run_results.json"
    nodes = json.loads(results.read_text())["results"] if results.is_file() else []
    return Built(path, done.stdout + done.stderr, {node["unique_id"]: node["status"] for node in nodes})


@pytest.fixture(scope="session")
def account() -> Account:
    """Give a small subscription business; the seed has yen, dinars, disputes won and lost, refunds, trials and changes of price."""
    return Account(seed=2, customers=1000, now=NOW)


@pytest.fixture(scope="session")
def built(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Mirror the account and build everything on it, once for all tests."""
    path = tmp_path_factory.mktemp("dbt") / "stripe.duckdb"
    create(path, {kind.name: account.objects(kind.object) for kind in load()})
    return build(path)


@pytest.fixture
def build_of(tmp_path: Path) -> Callable[..., Built]:
    """Build parts of the project on a mirror of a few objects: `build_of(objects, *arguments of dbt build)`."""

    def built_of(objects: Mapping[str, Iterable[Mapping[str, Any]]], *arguments: str) -> Built:
        create(tmp_path / "stripe.duckdb", objects)
        return build(tmp_path / "stripe.duckdb", *arguments)

    return built_of


@pytest.fixture
def built_by_default(tmp_path: Path) -> Built:
    """Build the currencies in a copy of the project, in the file that is meant when none is named."""
    shutil.copytree(PROJECT, tmp_path / "dbt")
    path = tmp_path / "data/stripe.duckdb"
    path.parent.mkdir()
    create(path, {})
    return build(path, "--select", "currencies", root=tmp_path, named=False)
