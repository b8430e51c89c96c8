"""The command line as people type it: in this process where that is enough, as a process of its own where it is not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stripe_assets.cli import app
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import Serving, serving

ROOT = Path(__file__).parents[2]
RESTRICTED = "rk_test_restricted"
Run = Callable[..., Any]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="session")
def stripe() -> Iterator[Serving]:
    """A small simulated account without limits; one key may not read disputes."""
    with serving(Account(seed=7, customers=12, months=4), keys={DEFAULT_KEY: None, RESTRICTED: {"dispute"}}) as server:
        yield server


@pytest.fixture(scope="session")
def restricted() -> str:
    """The key that may not read disputes."""
    return RESTRICTED


@pytest.fixture
def environment(tmp_path: Path, stripe: Serving) -> dict[str, str]:
    """Variables that point at the simulated account and an empty folder; nothing of the developer's own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STRIPE_", "DAGSTER_"))}
    return clean | {
        "PYTHONPATH": str(ROOT),
        "STRIPE_API_KEY": DEFAULT_KEY,
        "STRIPE_API_BASE": stripe.url,
        "STRIPE_DUCKDB": str(tmp_path / "data" / "stripe.duckdb"),
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Type a command in this process; `variables` change the environment, None unsets."""

    def typed(*arguments: str, **variables: str | None) -> Any:
        unset = {name: None for name in os.environ if name.startswith(("STRIPE_", "DAGSTER_"))}
        return CliRunner().invoke(app, arguments, env={**unset, **environment, **variables})

    return typed


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Type a command as a process of its own; what is left of it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def typed(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "stripe_assets.cli", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**environment, **variables}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield typed
    for process in started:
        process.kill()
        process.communicate()
