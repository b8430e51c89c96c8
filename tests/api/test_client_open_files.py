"""500 requests a second by 64 connections, in a process that may open 256 files: over real sockets, from a process of its own."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import Application, application
from stripe_assets.simulator.server import Serving

ASKING_MUCH = Path(__file__).with_name("asking_much.py")
REQUESTS = 1_000
IN_FLIGHT = 64
OTHERS = 32
"""Files that are open besides the connections: 7 were with asyncio, 14 with uvloop (2026-11)."""


class Door:
    """The simulated account behind a door that notes who comes in: an address and a port are one connection."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.seen: set[tuple[str, int]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.add(scope["client"])
        await self.app(scope, receive, send)


@contextmanager
def behind_a_door(account: Account, **options: Any) -> Iterator[tuple[Door, str]]:
    """Serve an account from a thread; give the door and the address."""
    door = Door(application(account, latency=0.1, **options))
    server = Serving(account, door, socket.create_server(("127.0.0.1", 0)), live=False)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    server.wait_until_ready()
    try:
        yield door, server.url
    finally:
        server.end()
        thread.join()


def ask_much(address: str, loop: str) -> dict[str, float]:
    """Let a process of its own ask, and give what it says of itself."""
    command = [sys.executable, str(ASKING_MUCH), address, loop, str(REQUESTS)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, float] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_many_requests_share_few_connections(account: Account, loop: str) -> None:
    """A connection for each request would run out of files in the first second, and cost a handshake each."""
    with behind_a_door(account) as (door, address):
        said = ask_much(address, loop)
    assert (said["answers"], said["sent"]) == (REQUESTS, REQUESTS)
    assert len(door.seen) <= IN_FLIGHT
    assert said["most_open"] <= IN_FLIGHT + OTHERS


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_broken_connections_are_closed_and_replaced(account: Account, loop: str) -> None:
    """One left open for each failure is what ends a sync after hours, with an error about something else."""
    faults = {"reset": 0.06, "truncated": 0.06}
    with behind_a_door(account, faults=faults, seed=3) as (door, address):
        said = ask_much(address, loop)
    broken = said["sent"] - REQUESTS
    assert said["answers"] == REQUESTS
    assert door.app.stats.total == said["sent"], "something was sent that no slot was given for"
    assert broken > OTHERS + IN_FLIGHT, "too few to tell"
    assert len(door.seen) <= IN_FLIGHT + broken
    assert said["most_open"] <= IN_FLIGHT + OTHERS
