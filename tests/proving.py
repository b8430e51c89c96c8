"""Proves a simulated world's mirror, and damages it on purpose."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx
import virtual_time
from mirroring import World

from stripe_assets.limits.guard import InProcess
from stripe_assets.simulator.account import Account
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.money import MoneyProof, add_up
from stripe_assets.sync.proof import prove
from stripe_assets.sync.settings import Settings
from stripe_assets.sync.verdicts import Proof, TypeProof


def mirror(world: World) -> Mirror:
    settings = Settings(api_key=world.key, api_base="http://stripe.test", duckdb=world.database, rate_limit=500.0, **world.settings)
    return Mirror(settings, transport=httpx.ASGITransport(world.app), sharing=lambda _allowance: InProcess())


def proven(world: World, types: Iterable[str], *, seed: str = "1") -> Proof:
    return virtual_time.run(prove(mirror(world), types, seed=seed))


def added_up(world: World) -> MoneyProof:
    return virtual_time.run(add_up(mirror(world)))


def failing(proof: Proof) -> dict[str, TypeProof]:
    """Give the types whose proof found something wrong."""
    return {name: one for name, one in proof.types.items() if not one.passed}


def damage(database: Path, statement: str) -> list[tuple[Any, ...]]:
    """Change the mirror behind its back; give what the statement returns."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach '{database}' as damaged")
        connection.execute("use damaged")
        return connection.execute(statement).fetchall()


@dataclass
class Synced:
    """A mirror that was made once, for tests that go on from there: each has the account as it was, and a copy of the file."""

    account: dict[str, Any]
    database: Path

    def copy(self, place: Path, **world: Any) -> World:
        shutil.copy(self.database, place)
        return World(place, Account(**self.account), **world)
