"""Dagster's page in a real browser: it loads, shows the types and the models, and one type can be materialised by itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from equality import differences
from mirroring import NOW

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import Serving, serving

PATIENCE = 180.0
"""Seconds for Dagster's processes to come up on a busy machine."""


@pytest.fixture(scope="module")
def stripe() -> Iterator[Serving]:
    with serving(Account(seed=1, customers=30, now=NOW)) as server:
        yield server


@pytest.fixture(scope="module")
def page(stripe: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Page"]:
    folder = tmp_path_factory.mktemp("page")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "STRIPE_API_BASE": stripe.url,
        "STRIPE_API_KEY": "sk_test_simulator",
        "STRIPE_DUCKDB": str(folder / "stripe.duckdb"),
        "STRIPE_RATE_LIMIT": "500",
    }
    command = [sys.executable, "-m", "stripe_assets.cli", "ui", "--port", str(port)]
    with (folder / "ui.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        found = Page(f"http://127.0.0.1:{port}", folder)
        until(lambda: process.poll() is not None or found.is_up())
        assert process.poll() is None, (folder / "ui.log").read_text()
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


class Page:
    """The web page, as its own scripts and a browser see it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def is_up(self) -> bool:
        try:
            return "repositoriesOrError" in json.dumps(self.ask("{repositoriesOrError{__typename}}"))
        except OSError:
            return False

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def seen(self, path: str) -> str:
        """Give what the browser shows at a path, as HTML."""
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += [f"--user-data-dir={self.folder / 'browser'}", "--window-size=1800,2400", "--virtual-time-budget=30000", "--dump-dom"]
        return subprocess.run([*command, self.url + path], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def until(condition: Callable[[], bool]) -> None:
    """Look again and again until a condition holds; a real process has no clock of ours."""
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        threading.Event().wait(0.3)


def test_graph_shows_the_groups_of_types_and_models(page: Page) -> None:
    shown = page.seen("/asset-groups")
    for group in ("customers", "billing", "payments", "balance", "staging", "marts"):
        assert group in shown


def test_group_shows_its_types(page: Page) -> None:
    shown = page.seen("/locations/stripe_assets/asset-groups/billing/lineage")
    for name in ("invoices", "invoice_lines", "subscriptions", "stg_stripe__invoices"):
        assert name in shown


def test_one_type_is_materialised_by_itself(page: Page, stripe: Serving) -> None:
    selector = {
        "repositoryLocationName": "stripe_assets",
        "repositoryName": "__repository__",
        "pipelineName": "__ASSET_JOB",
        "assetSelection": [{"path": ["stripe", "charges"]}],
    }
    launched = page.ask(
        "mutation($p:ExecutionParams!){launchPipelineExecution(executionParams:$p){... on LaunchRunSuccess{run{runId}}}}",
        p={"selector": selector, "mode": "default", "runConfigData": {}},
    )
    run_id = launched["launchPipelineExecution"]["run"]["runId"]

    def status() -> str:
        answer = page.ask("query($id:ID!){runOrError(runId:$id){... on Run{status}}}", id=run_id)
        return str(answer["runOrError"]["status"])

    until(lambda: status() in ("SUCCESS", "FAILURE", "CANCELED"))
    assert status() == "SUCCESS"
    assert differences(page.folder / "stripe.duckdb", stripe.account, types=("charges",)) == []
    assert "Materialized" in page.seen("/locations/stripe_assets/asset-groups/payments/lineage")
