"""Kill -9 at any moment: what is in the file is true, and the next run goes on from there (promise P3)."""

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from equality import differences, rows
from mirroring import FEW, NOW

from stripe_assets.catalog.types import Fresh, ObjectType, load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import Serving, serving

SYNC = """
import asyncio, sys
from pathlib import Path
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings
settings = Settings(api_key="sk_test_simulator", api_base=sys.argv[1], duckdb=Path(sys.argv[2]), rate_limit=40.0)
summary = asyncio.run(Mirror(settings).sync(sys.argv[3].split(",")))
print("complete" if summary.complete else summary)
"""
TYPES = FEW
Window = tuple[str, str | None, str | None, int]
"""A type, the bounds of `created` as a request says them, and which of the times that the list is read."""
KILLS = 3
STORED = 1_000_000
"""Bytes by which the file has grown when a chunk of rows is in it."""


def start(server: Serving, database: Path, *, types: tuple[str, ...] = TYPES) -> subprocess.Popen[str]:
    """Begin a sync in a process of its own."""
    arguments = [sys.executable, "-c", SYNC, server.url, str(database), ",".join(types)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], server: Serving, requests: int, database: Path) -> bool:
    """Kill the process once the account has answered so many more requests, and something was stored since; false where it came to
    its end before."""
    target, size = len(server.app.requests) + requests, _size(database)
    while len(server.app.requests) < target or _size(database) <= size + STORED:
        try:
            process.wait(0.002)
        except subprocess.TimeoutExpired:
            continue
        assert process.communicate() == ("complete\n", None)
        return False
    process.send_signal(signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    process.communicate()
    return True


def _size(database: Path) -> int:
    return database.stat().st_size if database.exists() else 0


def windows(database: Path) -> set[Window]:
    """Give the slices that the file calls done."""
    done = rows(database, "select type, created_gte::varchar, created_lt::varchar, part from stripe_sync.slices where done")
    return {(name, gte, lt, part) for name, gte, lt, part in done}


def window(kind: ObjectType, params: dict[str, Any]) -> Window:
    """Say which slice a request reads."""
    part = next((part for part, more in enumerate(kind.also_with, 1) if more.items() <= params.items()), 0)
    return kind.name, params.get("created[gte]"), params.get("created[lt]"), part


def complete(database: Path) -> set[str]:
    return {name for (name,) in rows(database, "select type from stripe_sync.checkpoints where state = 'complete'")}


@pytest.mark.parametrize("seed", [11])
def test_killed_again_and_again_it_ends_equal_and_reads_nothing_twice_that_was_done(tmp_path: Path, seed: int) -> None:
    """A real process, a real socket, a real signal."""
    chance = random.Random(seed)
    database = tmp_path / "stripe.duckdb"
    catalog = load()
    paths = {kind.path: kind for kind in catalog if kind.name in TYPES}
    account = Account(seed=seed, customers=700, now=NOW)
    known: list[tuple[int, set[Window], set[str]]] = []
    with serving(account, latency=0.01) as server:
        for _ in range(KILLS):
            requests = chance.randint(80, 130)  # for 2 to 3 seconds, so that some chunks are stored
            print(f"seed {seed}: killed after {requests} requests")
            if not kill_after(start(server, database), server, requests, database):
                break
            known.append((len(server.app.requests), windows(database), complete(database)))
        process = start(server, database)
        assert process.communicate(timeout=60) == ("complete\n", None)
        asked = list(server.app.requests)
    assert any(done or whole for _, done, whole in known), "killed too early to show anything"
    for begin, done, whole in known:
        for request in asked[begin:]:
            kind = paths.get(request.path)
            if kind is None or "test_clock" in request.params:
                continue
            assert window(kind, request.params) not in done, f"{window(kind, request.params)} was done"
            assert kind.name not in whole or kind.fresh is Fresh.CREATED, f"{kind.name} was complete"
    assert differences(database, account, types=TYPES) == []
