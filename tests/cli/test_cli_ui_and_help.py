"""The page's surroundings, and what `--help` and `--version` say. The page itself is tested with the definitions."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from stripe_assets.commands.ui import command, prepare

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def test_the_history_is_kept_beside_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the folder that it is typed in, all processes of the page mean the same file."""
    monkeypatch.chdir(tmp_path)
    prepared = prepare({"STRIPE_DUCKDB": "here/mirror.duckdb", "STRIPE_API_KEY_FILE": "key"})
    home = tmp_path / "here" / "dagster"
    assert prepared["STRIPE_DUCKDB"] == str(tmp_path / "here" / "mirror.duckdb")
    assert prepared["STRIPE_API_KEY_FILE"] == str(tmp_path / "key")
    assert prepared["DAGSTER_HOME"] == str(home)
    assert yaml.safe_load((home / "dagster.yaml").read_text()) == {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "concurrency": {"pools": {"granularity": "run", "default_limit": 1}},
    }


def test_a_changed_dagster_yaml_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    prepare({"STRIPE_DUCKDB": str(tmp_path / "stripe.duckdb")})
    assert (tmp_path / "dagster" / "dagster.yaml").read_text() == "telemetry: {enabled: true}\n"


def test_the_page_listens_on_loopback(tmp_path: Path) -> None:
    words = command(tmp_path / "workspace.yaml", host="127.0.0.1", port=3000)
    assert words[1:] == ["-m", "dagster", "dev", "-w", str(tmp_path / "workspace.yaml"), "-h", "127.0.0.1", "-p", "3000"]


def test_page_that_a_script_has_started_in_the_background_can_be_ended() -> None:
    """The shell lets it ignore SIGINT, and Dagster stops what it has started by nothing else."""
    shown = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    started = (
        "import os, signal, sys; from stripe_assets.commands.ui import become; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        f"become([sys.executable, '-c', {shown!r}], os.environ)"
    )
    done = subprocess.run([sys.executable, "-c", started], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_port_in_use_ends_with_1(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("ui", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "is in use: choose another with --port" in result.stderr


@pytest.mark.parametrize("name", ["demo", "sync", "status", "redrive", "doctor", "simulate", "ui"])
def test_each_command_explains_itself(run: Run, name: str) -> None:
    assert f"Usage: stripe-assets {name}" in run(name, "--help").stdout
    assert f"  {name} " in run("--help").stdout


def test_the_help_of_sync_names_its_variables(run: Run) -> None:
    shown = run("sync", "--help").stdout
    for name in ("API_KEY", "API_KEY_FILE", "API_BASE", "DUCKDB", "RATE_LIMIT", "RATE_SHARE", "KEEP_RAW"):
        assert f"STRIPE_{name} " in shown


def test_version(run: Run) -> None:
    assert run("--version").stdout.startswith("stripe-assets")


def test_help_comes_before_anything_heavy_is_loaded() -> None:
    """`stripe-assets --help` in half a second: the engine, Dagster and dbt are loaded by the commands that need them."""
    check = "import sys, stripe_assets.cli; print(sorted({'dagster', 'dbt', 'duckdb', 'httpx', 'uvicorn', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
