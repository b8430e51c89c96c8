"""Each bad input ends with one sentence, what to do, and the right exit status: no traceback, no key, nothing half-written."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from filelock import FileLock

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import serving

if TYPE_CHECKING:
    from tests.cli.conftest import Run, Start

KEY = "sk_test_nobody_knows_this_one_4242"


def assert_ends(result: Any, status: int, *words: str) -> None:
    """Check that a command ended as promised, with one line that holds these words."""
    lines = result.stderr.strip().splitlines()
    assert (result.exit_code, len(lines)) == (status, 1), result.output
    assert all(word in lines[0] for word in words), lines[0]
    assert KEY not in result.output
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("variables", "arguments", "words"),
    [
        ({"STRIPE_API_KEY": None}, (), ("there is no key", "STRIPE_API_KEY")),
        ({"STRIPE_API_KEY": "pk_live_publishable"}, (), ("not a secret or restricted key",)),
        ({"STRIPE_API_KEY": None, "STRIPE_API_KEY_FILE": "/nowhere/key"}, (), ("STRIPE_API_KEY_FILE", "cannot be read")),
        ({"STRIPE_API_BASE": "stripe.com"}, (), ("STRIPE_API_BASE", "not an address")),
        ({"STRIPE_EXCLUDE_COLUMNS": "customers.emial"}, (), ("STRIPE_EXCLUDE_COLUMNS", "did you mean email?")),
        ({"STRIPE_HASH_COLUMNS": "customers.email"}, (), ("STRIPE_HASH_COLUMNS", "set STRIPE_HASH_KEY")),
        ({"STRIPE_RATE_LIMIT": "fast"}, (), ("STRIPE_RATE_LIMIT", "give a number")),
        ({}, ("chargs",), ("'chargs'", "did you mean charges?")),
        ({}, ("--since", "yesterday"), ("--since", "2026-01-31")),
        ({}, ("--since", "2999-01-01"), ("--since", "still to come")),
        ({"STRIPE_API_KEY": KEY}, (), ("does not know this key", "set STRIPE_API_KEY")),
    ],
)
def test_wrong_configuration_ends_with_2(
    run: Run, variables: dict[str, str | None], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_ends(run("sync", *arguments, **variables), 2, *words)


@pytest.mark.parametrize("arguments", [("sync", "--sinc", "x"), ("frobnicate",), ("simulate", "--port", "many")])
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_a_foreign_file_is_left_as_it_is(run: Run, tmp_path: Path) -> None:
    foreign = tmp_path / "letter.txt"
    foreign.write_text("Dear Sir or Madam, " * 1000)
    for command in ("sync", "status"):
        assert_ends(run(command, STRIPE_DUCKDB=str(foreign)), 1, "letter.txt", "choose another file")
    assert_ends(run("demo", "--duckdb", str(foreign)), 1, "letter.txt", "--duckdb")
    assert foreign.read_text() == "Dear Sir or Madam, " * 1000
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"], "and nothing is left beside it"


def test_the_demo_leaves_a_mirror_of_yours_alone(run: Run, tmp_path: Path) -> None:
    """It makes its file anew, which must never be the file with a real account in it."""
    path = tmp_path / "data" / "stripe.duckdb"
    assert run("sync", "coupons", "--no-limit").exit_code == 0
    before = path.read_bytes()
    assert_ends(run("demo", "--duckdb", str(path)), 1, "not made by the demo")
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_ends_with_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_ends(run("sync", STRIPE_DUCKDB=str(tmp_path / "file" / "stripe.duckdb")), 1, "cannot be made", "STRIPE_DUCKDB")
    assert_ends(run("sync", STRIPE_DUCKDB=str(tmp_path)), 1, "it is a folder")


def test_a_second_sync_into_a_file_ends_with_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with FileLock(tmp_path / "data" / "stripe.duckdb.sync"):
        assert_ends(run("sync"), 1, "another sync", "wait for its end")


def test_a_file_held_by_another_process_is_waited_for(start: Start, tmp_path: Path) -> None:
    """Whoever has it open is named; nobody who lets go in time has done harm."""
    path = tmp_path / "held.duckdb"
    connect = f"duckdb.connect({str(path)!r}, config={{'storage_compatibility_version': 'v1.5.0'}})"
    hold = f"import duckdb; connection = {connect}; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin and holder.stdout and holder.stdout.readline()
        sync = start("sync", "coupons", STRIPE_DUCKDB=str(path))
        assert sync.stderr is not None
        assert f"is held by process {holder.pid}" in sync.stderr.readline()
        holder.communicate("let go\n")
    assert sync.wait(30) == 0


def test_a_stripe_that_is_not_there_ends_with_1(run: Run) -> None:
    """It is said within seconds."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert_ends(run("sync", STRIPE_API_BASE=f"http://127.0.0.1:{nobody.getsockname()[1]}"), 1, "check the network", "STRIPE_API_BASE")


def test_a_stripe_that_answers_html_ends_with_1(run: Run) -> None:
    """As a proxy's error page does."""
    with serving(Account(seed=1, customers=1, months=1), faults={"html": 1.0}) as broken:
        assert_ends(run("sync", STRIPE_API_BASE=broken.url), 1, "not Stripe's", "<html>", "STRIPE_API_BASE")


def test_ctrl_c_ends_with_130_and_keeps_what_is_stored(start: Start, tmp_path: Path) -> None:
    sync = start("sync", STRIPE_RATE_LIMIT="3")
    assert sync.stderr is not None
    assert "of 3" in sync.stderr.readline()
    sync.send_signal(signal.SIGINT)
    said = sync.communicate(timeout=30)[1]
    assert (sync.returncode, "Traceback" in said) == (130, False), said
    assert "the same command goes on from there" in said
    with duckdb.connect() as connection:
        connection.execute(f"attach '{tmp_path / 'data' / 'stripe.duckdb'}' as mirror (read_only)")
        assert connection.execute("select count(*) from mirror.stripe_sync.runs").fetchall() == [(1,)]


@pytest.mark.parametrize("command", ["sync", "status"])
def test_file_of_a_newer_release_is_a_wrong_setting(run: Run, environment: dict[str, str], command: str) -> None:
    """Trying again does not help: another release or another file does."""
    run("sync", "coupons", "--no-limit")
    path = environment["STRIPE_DUCKDB"]
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as newer; update newer.stripe_sync.versions set books = books + 1")
    assert_ends(run(command), 2, "written by a newer stripe-assets", "upgrade, or choose another file with STRIPE_DUCKDB")
