"""Opens Dagster's web page with this project in it and its history kept beside the mirror."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from stripe_assets.commands.endings import tell
from stripe_assets.commands.places import check_port, project_file
from stripe_assets.errors import ConfigurationError, WarehouseError
from stripe_assets.sync.settings import duckdb_path, from_environment

INSTANCE = """\
# Written once by `stripe-assets ui`; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false
# Runs of the same pool wait for each other: two syncs at once would fight for the DuckDB file.
concurrency:
  pools:
    granularity: run
    default_limit: 1
"""


def prepare(environment: Mapping[str, str]) -> dict[str, str]:
    """Make the folder that keeps the history, and give the environment that the page runs in.

    Paths become absolute: Dagster's processes need not stand in the same folder. Raises `WarehouseError`.
    """
    duckdb = duckdb_path(environment).resolve()
    home = duckdb.parent / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
        instance = home / "dagster.yaml"
        if not instance.exists():
            instance.write_text(INSTANCE)
    except OSError as error:
        raise WarehouseError(f"{home} cannot be written ({error.strerror}): set STRIPE_DUCKDB to a file in a folder that can") from error
    prepared = {**environment, "DAGSTER_HOME": str(home), "STRIPE_DUCKDB": str(duckdb)}
    # Dagster looks for the programs `dbt` and `dagster` there, also when the virtual environment was not activated.
    prepared["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    if key_file := environment.get("STRIPE_API_KEY_FILE"):
        prepared["STRIPE_API_KEY_FILE"] = str(Path(key_file).resolve())
    return prepared


def command(workspace: Path, *, host: str, port: int) -> list[str]:
    """Write the command that opens the page."""
    return [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", host, "-p", str(port)]


def ui(environment: Mapping[str, str], *, host: str, port: int) -> None:
    """Become Dagster's web server. Raises `CommandError` if the port is taken or the project incomplete."""
    workspace = project_file("workspace.yaml")
    check_port(host, port)
    prepared = prepare(environment)
    try:
        from_environment(environment)
    except ConfigurationError as error:
        tell(f"note: the page opens, but syncing will fail: {error}")
    if host not in ("127.0.0.1", "localhost", "::1"):
        tell(f"note: whoever reaches {host} can start syncs here: the page asks for no password")
    tell(f"opening http://{host}:{port} (history in {prepared['DAGSTER_HOME']}); Ctrl-C ends it")
    become(command(workspace, host=host, port=port), prepared)


def become(words: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Go on as another program, which SIGINT ends.

    A shell lets what a script starts in the background ignore SIGINT. Dagster stops its processes by that signal, also when it is
    told to end by SIGTERM: ignored, they would never stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.flush()
    os.execve(words[0], words, environment)
