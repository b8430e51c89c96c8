"""A full sync of a simulated account in a process of its own, as a user would run it.

Under a limit the yardstick is the shortest possible time: no mirror can be faster than its requests at the allowed rate.
Without a limit it is how many objects a second two cores take in, the simulator's own share included. All types but
the ones asked for customer by customer, whose time is a matter of the limit alone.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from stripe_assets.catalog.types import load

ACCOUNT_LIMIT, ENDPOINT_LIMIT = 100, 25
LATENCY = 0.1
PATIENCE = 120.0
"""Seconds in which the simulated account must be there."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One sync: seconds of wall clock for the whole process and for the sync in it, and what it did."""

    process_seconds: float
    seconds: float
    rows: int
    requests: int
    throttled: int
    peak_megabytes: float
    rows_by_type: dict[str, int]


def run(*, customers: int, seed: int) -> None:
    """Measure both cases and print them."""
    limits = ["--latency", str(LATENCY), "--account-limit", str(ACCOUNT_LIMIT), "--endpoint-limit", str(ENDPOINT_LIMIT)]
    with _simulated(customers, seed, limits) as url:
        limited = _sync(url, [])
    with _simulated(customers, seed, []) as url:
        free = _sync(url, ["--no-limit"])
    _print_limited(limited)
    _print_free(free)


def listed_types() -> list[str]:
    """Name the types that have lists of their own, or lie inside their parents: all but the ones asked for parent by parent."""
    return [name for name in load().names if not _asked_one_by_one(name)]


def shortest_time(rows_by_type: dict[str, int]) -> tuple[int, float]:
    """Give the fewest requests that could do, `ceil(objects / 100)` for each list, and the seconds that they need."""
    requests = [max(1, ceil(rows / 100)) for rows in rows_by_type.values()]
    return sum(requests), max(sum(requests) / ACCOUNT_LIMIT, max(requests) / ENDPOINT_LIMIT)


def _print_limited(measured: Measured) -> None:
    least, shortest = shortest_time(measured.rows_by_type)
    own = {name: rows for name, rows in measured.rows_by_type.items() if not _embedded(name)}
    least_own, shortest_own = shortest_time(own)
    print(f"\nUnder the limit ({ACCOUNT_LIMIT} a second, {ENDPOINT_LIMIT} an endpoint, answers after {LATENCY} s)")
    print(f"  {measured.rows:,} rows by {measured.requests:,} requests in {measured.seconds:.1f} s; {measured.throttled} were throttled")
    _print_ratio("shortest possible, every list counted:    ", least, shortest, measured)
    _print_ratio("the same without lists that parents embed:", least_own, shortest_own, measured)
    print(f"  peak memory {measured.peak_megabytes:.0f} MB; the whole process took {measured.process_seconds:.1f} s")


def _print_ratio(what: str, requests: int, shortest: float, measured: Measured) -> None:
    print(f"  {what} {requests:,} requests, {shortest:.2f} s; taken / shortest = {measured.seconds / shortest:.3f}")


def _print_free(measured: Measured) -> None:
    print("\nWithout a limit")
    pace = measured.rows / measured.seconds
    print(f"  {measured.rows:,} rows by {measured.requests:,} requests in {measured.seconds:.1f} s: {pace:,.0f} objects a second")
    print(f"  peak memory {measured.peak_megabytes:.0f} MB; the whole process took {measured.process_seconds:.1f} s")


def _embedded(name: str) -> bool:
    parent = load()[name].parent
    return parent is not None and parent.embedded is not None


def _asked_one_by_one(name: str) -> bool:
    parent = load()[name].parent
    return parent is not None and parent.embedded is None


def _sync(url: str, options: list[str]) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "STRIPE_API_BASE": url,
            "STRIPE_API_KEY": "sk_test_simulator",
            "STRIPE_DUCKDB": str(Path(folder) / "mirror.duckdb"),
            "STRIPE_RATE_LIMIT": str(ACCOUNT_LIMIT),
        }
        command = [
            sys.executable,
            "-m",
            "stripe_assets.cli",
            "sync",
            *listed_types(),
            "--json",
            *options,
        ]
        began = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process_seconds = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the sync ended with {os.waitstatus_to_exitcode(status)}: {output}")
    summary = json.loads(output)
    return Measured(
        process_seconds=process_seconds,
        seconds=summary["seconds"],
        rows=summary["rows"],
        requests=summary["requests"],
        throttled=sum(summary["throttled"].values()),
        peak_megabytes=usage.ru_maxrss / 1024,
        rows_by_type={entry["type"]: entry["rows"] for entry in summary["types"]},
    )


@contextmanager
def _simulated(customers: int, seed: int, options: list[str]) -> Iterator[str]:
    """Serve a simulated account from a process of its own until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "stripe_assets.cli",
        "simulate",
        "--port",
        str(port),
        "--customers",
        str(customers),
        "--seed",
        str(seed),
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v1/account", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return  # it answers: without a key, that it wants one
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the simulated account did not come up")
