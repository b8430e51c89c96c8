"""An account that answers oddly, and how a sync of it ended."""

from pathlib import Path
from typing import Any

from equality import differences
from mirroring import NOW, World
from sync.altered import Alter, Altered

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import application
from stripe_assets.sync.summary import Summary

SOME = ("customers", "products", "prices", "coupons")
"""Types of a few pages in all: what is odd about one of them must not touch the others."""


def world(tmp_path: Path, *, customers: int = 120, alter: dict[str, Alter] | None = None, **options: Any) -> World:
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=customers, now=NOW), options)
    if alter is not None:
        here.app = Altered(here.app, alter)  # type: ignore[assignment]  # answers as the simulator does, but for some paths
    return here


def mend(here: World) -> None:
    """Let Stripe answer as usual from now on."""
    here.app = application(here.account, **here.options)


def states(summary: Summary) -> dict[str, str]:
    return {result.type: result.state for result in summary.results}


def reason(summary: Summary, name: str) -> str:
    return next(result.reason or "" for result in summary.results if result.type == name)


def others_complete(here: World, summary: Summary, name: str, state: str = "failed") -> bool:
    left = tuple(other for other in states(summary) if other != name)
    assert differences(here.database, here.account, types=left) == []
    return states(summary) == dict.fromkeys(left, "complete") | {name: state}
